"""Producer ids: InitProducerId without a transactional id, sequences and epochs in Produce, DescribeProducers."""

import pytest
from attrs import define

from compat_tests.raw.batches import batch, headers
from compat_tests.raw.wire import Wire


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
