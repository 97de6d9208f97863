"""Producer ids: InitProducerId without a transactional id, sequences and epochs in Produce, DescribeProducers."""

from collections.abc import Iterator

import pytest
from attrs import define

from compat_tests.raw.batches import batch, headers
from compat_tests.raw.wire import Wire, eventually


@define
class Producer:
    """Sends batches of ``count`` records with chosen sequence and epoch; (error, base offset) comes back."""

    wire: Wire
    topic: str
    id: int

    def send(self, sequence: int, count: int = 1, epoch: int = 0) -> tuple[int, int]:
        values = [b"%d" % (sequence + i) for i in range(count)]
        data = batch(*values, producer_id=self.id, producer_epoch=epoch, base_sequence=sequence)
        got = self.wire.produce(self.topic, data)
        return got.error_code, got.base_offset


@pytest.fixture
def producer(wire: Wire, topic: str) -> Producer:
    wire.create(topic)
    return Producer(wire, topic, wire.producer_id())


@pytest.mark.parametrize("version", range(6))
def test_every_version_gives_a_new_id_with_epoch_0(wire: Wire, version: int) -> None:
    last = wire.producer_id()
    answer = wire.ask("InitProducerId", version, transactional_id=None, transaction_timeout_ms=60000)
    assert (answer.error_code, answer.producer_epoch) == (0, 0)
    assert answer.producer_id > last


@pytest.mark.parametrize(
    ("timeout_ms", "producer_id", "epoch"),
    [(0, -1, -1), (-5, -1, -1), (2**31 - 1, -1, -1), (1000, 123456, 7), (1, 5, 0)],
)
def test_null_transactional_id_with_anything_gives_a_new_id(
    wire: Wire, timeout_ms: int, producer_id: int, epoch: int
) -> None:
    last = wire.producer_id()
    fields = {"transaction_timeout_ms": timeout_ms, "producer_id": producer_id, "producer_epoch": epoch}
    answer = wire.ask("InitProducerId", 4, transactional_id=None, **fields)
    assert (answer.error_code, answer.producer_epoch) == (0, 0)
    assert answer.producer_id > last


@pytest.mark.parametrize("sequence", [0, 3, 7])
def test_first_batch_may_have_any_sequence(producer: Producer, sequence: int) -> None:
    assert producer.send(sequence) == (0, 0)
    assert producer.send(sequence + 1) == (0, 1)


def test_gap_is_out_of_order(producer: Producer) -> None:
    assert producer.send(0) == (0, 0)
    assert producer.send(2) == (45, -1)
    assert producer.send(1) == (0, 1)


def test_same_batch_again_gives_its_old_offset(producer: Producer) -> None:
    for sequence in range(0, 10, 2):
        assert producer.send(sequence, count=2) == (0, sequence)
    for sequence in range(0, 10, 2):
        assert producer.send(sequence, count=2) == (0, sequence), "one of the last five batches"
    assert producer.wire.start_and_end(producer.topic) == (0, 10), "nothing is stored twice"


def test_same_first_sequence_with_another_count(producer: Producer) -> None:
    assert producer.send(0, count=2) == (0, 0)
    assert producer.send(0, count=1) == (45, -1)
    assert producer.send(0, count=3) == (45, -1)


def test_older_than_the_last_five_batches(producer: Producer) -> None:
    for sequence in range(6):
        assert producer.send(sequence) == (0, sequence)
    assert producer.send(0) == (45, -1)
    assert producer.send(1) == (0, 1)


def test_new_epoch_starts_at_sequence_0(producer: Producer) -> None:
    assert producer.send(0) == (0, 0)
    assert producer.send(5, epoch=1) == (45, -1)
    assert producer.send(0, epoch=1) == (0, 1)


def test_old_epoch_is_fenced(producer: Producer) -> None:
    assert producer.send(0, epoch=2) == (0, 0)
    assert producer.send(1, epoch=1) == (47, -1)


def test_producer_id_without_sequence_is_invalid(producer: Producer) -> None:
    assert producer.send(-1) == (87, -1)


def test_sequence_wraps_between_batches(producer: Producer) -> None:
    assert producer.send(2**31 - 1) == (0, 0)
    assert producer.send(0) == (0, 1)


def test_sequence_wraps_within_a_batch(producer: Producer) -> None:
    assert producer.send(2**31 - 2, count=4) == (0, 0)
    assert producer.send(2) == (0, 4)
    assert producer.send(2**31 - 2, count=4) == (0, 0), "the wrapped batch is recognised when it comes again"


@pytest.mark.parametrize("sequence", [2**31 - 3, 3, 1000])
def test_wrong_sequence_after_the_wrap_is_out_of_order(producer: Producer, sequence: int) -> None:
    assert producer.send(2**31 - 1) == (0, 0)
    assert producer.send(0) == (0, 1)
    assert producer.send(sequence) == (45, -1)
    assert producer.send(1) == (0, 2)


def test_last_five_batches_are_known_over_an_epoch_bump(producer: Producer) -> None:
    """A new epoch starts with nothing: what was sent with the old one is fenced, also as a repetition."""
    assert producer.send(0) == (0, 0)
    assert producer.send(0, epoch=1) == (0, 1)
    assert producer.send(0, epoch=0) == (47, -1)
    assert producer.send(0, epoch=1) == (0, 1)
    assert producer.wire.start_and_end(producer.topic) == (0, 2)


def test_epoch_may_jump(producer: Producer) -> None:
    assert producer.send(0, epoch=0) == (0, 0)
    assert producer.send(0, epoch=32767) == (0, 1)
    assert producer.send(1, epoch=32767) == (0, 2)


def test_producer_id_without_epoch_may_have_any_sequence(producer: Producer) -> None:
    assert producer.send(0, epoch=-1) == (0, 0)
    assert producer.send(7, epoch=-1) == (0, 1)
    assert producer.send(2, epoch=-1) == (0, 2)


@pytest.mark.parametrize("epoch", [-2, -32768])
def test_epoch_below_none_is_fenced(producer: Producer, epoch: int) -> None:
    assert producer.send(0, epoch=epoch) == (47, -1)
    assert producer.send(-1, epoch=epoch) == (87, -1)


def test_sequences_are_the_partitions_own(wire: Wire, topic: str) -> None:
    wire.create(topic, 2)
    producer_id = wire.producer_id()
    for partition in (0, 1):
        for sequence in (0, 1):
            data = batch(b"v", producer_id=producer_id, producer_epoch=0, base_sequence=sequence)
            assert wire.produce(topic, data, partition=partition).base_offset == sequence


def test_refused_batch_does_not_use_up_its_sequence(producer: Producer) -> None:
    assert producer.send(0) == (0, 0)
    broken = batch(b"1", producer_id=producer.id, producer_epoch=0, base_sequence=1, crc=7)
    assert producer.wire.produce(producer.topic, broken).error_code == 2
    assert producer.send(1) == (0, 1)


def test_producer_is_known_after_its_records_were_deleted(producer: Producer) -> None:
    assert producer.send(0, count=3) == (0, 0)
    assert producer.wire.delete_records(producer.topic, 3).error_code == 0
    assert producer.send(0, count=3) == (0, 0), "still recognised as sent before"
    assert producer.send(4) == (45, -1)
    assert producer.send(3) == (0, 3)


def test_topic_made_anew_knows_no_producer(producer: Producer) -> None:
    assert producer.send(0) == (0, 0)
    wire, topic = producer.wire, producer.topic
    assert wire.ask("DeleteTopics", 5, topic_names=[topic], timeout_ms=5000).responses[0].error_code == 0
    eventually(lambda: wire.metadata(topic), lambda t: t.error_code == 3, "the deletion")
    wire.create(topic)
    assert producer.send(7) == (0, 0)


@pytest.fixture
def producers_expire(wire: Wire) -> Iterator[None]:
    """producer.id.expiration.ms=1 while the test runs; the suite's brokers look every 0.1 s."""

    def alter(operation: int, value: str | None) -> None:
        configs = [{"name": "producer.id.expiration.ms", "config_operation": operation, "value": value}]
        resources = [{"resource_type": 4, "resource_name": "", "configs": configs}]
        assert wire.ask("IncrementalAlterConfigs", 1, resources=resources).responses[0].error_code == 0

    alter(0, "1")
    yield
    alter(1, None)


def test_expired_producer_may_go_on_anywhere(producers_expire: None, producer: Producer) -> None:
    """Who is forgotten starts anew: any sequence is taken, and a repetition is not recognised."""
    assert producer.send(0, count=3) == (0, 0)
    topics = [{"name": producer.topic, "partition_indexes": [0]}]
    eventually(
        lambda: producer.wire.ask("DescribeProducers", 0, topics=topics).topics[0].partitions[0].active_producers,
        lambda active: active == [],
        "the producer's expiry",
    )
    assert producer.send(9) == (0, 3)


def test_stored_batch_keeps_producer_fields(producer: Producer) -> None:
    producer.send(0, count=3)
    (stored,) = headers(producer.wire.fetch(producer.topic, 0).records)
    assert (stored.producer_id, stored.producer_epoch, stored.base_sequence) == (producer.id, 0, 0)


def test_describe_producers(producer: Producer) -> None:
    producer.send(0, count=3)
    partitions = [{"name": producer.topic, "partition_indexes": [0, 9]}]
    (topic,) = producer.wire.ask("DescribeProducers", 0, topics=partitions).topics
    found = {p.partition_index: p for p in topic.partitions}
    assert (found[0].error_code, found[9].error_code) == (0, 3)
    (active,) = found[0].active_producers
    assert (active.producer_id, active.producer_epoch, active.last_sequence) == (producer.id, 0, 2)
    assert (active.coordinator_epoch, active.current_txn_start_offset) == (-1, -1)
    assert active.last_timestamp > 0


def test_describe_producers_of_what_is_not_there(wire: Wire, topic: str) -> None:
    wire.create(topic)
    names = ("a b", "", f"{topic}-nowhere", topic)
    wanted = [{"name": name, "partition_indexes": [7, -1]} for name in names]
    found = wire.ask("DescribeProducers", 0, topics=wanted).topics
    assert [(t.name, [(p.partition_index, p.error_code, p.error_message) for p in t.partitions]) for t in found] == [
        (name, [(index, code, message) for index in (7, -1)])
        for name, code, message in (
            (
                "a b",
                17,
                "Topic name is invalid: 'a b' contains one or more characters other than ASCII alphanumerics, '.', "
                "'_' and '-'",
            ),
            ("", 17, "Topic name is invalid: the empty string is not allowed"),
            (f"{topic}-nowhere", 3, "This server does not host this topic-partition."),
            (topic, 3, None),
        )
    ]
