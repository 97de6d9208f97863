"""Transactional records: who may write them, and the markers that end them."""

import gzip
from collections.abc import Callable, Iterator

import pytest

from compat_tests.raw.batches import Batch, Rec, batch, headers
from compat_tests.raw.transactions import (
    CLASSIC,
    CONTROL,
    CURRENT,
    GENERATIONS,
    TRANSACTIONAL,
    Generation,
    Txn,
    committed_values,
    last_stable,
    marker_type,
    read,
)
from compat_tests.raw.wire import Wire, eventually
from kwire.records import read_records

pytestmark = [pytest.mark.usefixtures("transaction_coordinators"), pytest.mark.capability("transactions")]

both = pytest.mark.parametrize("generation", GENERATIONS.values(), ids=GENERATIONS)

Connect = Callable[[], Wire]


@pytest.fixture
def old(wire: Wire, fresh_name: Callable[[str], str]) -> Txn:
    """The classic generation, with a producer id."""
    return Txn(wire, fresh_name("txn"), CLASSIC).init()


@pytest.fixture
def new(wire: Wire, fresh_name: Callable[[str], str]) -> Txn:
    return Txn(wire, fresh_name("txn"), CURRENT).init()


@pytest.fixture
def txn(wire: Wire, generation: Generation, fresh_name: Callable[[str], str]) -> Txn:
    """With a producer id; each generation in turn."""
    return Txn(wire, fresh_name("txn"), generation).init()


@pytest.fixture
def existing(wire: Wire, topic: str) -> str:
    """A topic with two partitions."""
    wire.create(topic, 2)
    return topic


# Who may write


@pytest.mark.parametrize(("version", "error"), [(3, 48), (8, 48), (10, 48), (11, 120)])
def test_produce_to_a_partition_not_added(old: Txn, existing: str, version: int, error: int) -> None:
    old.add((existing, 0))
    got = old.ask_produce(existing, partition=1, version=version)
    assert (got.error_code, got.base_offset) == (error, -1)
    assert old.wire.start_and_end(existing, 1) == (0, 0)


@pytest.mark.parametrize(("version", "error"), [(9, 48), (11, 120)])
def test_produce_without_a_transaction(old: Txn, existing: str, version: int, error: int) -> None:
    assert old.ask_produce(existing, version=version).error_code == error


@pytest.mark.parametrize("version", range(3, 12))
def test_produce_to_an_added_partition_in_every_version(old: Txn, existing: str, version: int) -> None:
    old.add((existing, 0))
    got = old.ask_produce(existing, b"a", b"b", version=version)
    assert (got.error_code, got.base_offset) == (0, 0)


@pytest.mark.parametrize("version", [12, 13])
def test_produce_v12_joins_the_transaction(new: Txn, existing: str, version: int) -> None:
    assert new.ask_init().error_code == 0
    new.init()
    data = batch(b"v", attributes=0x10, producer_id=new.producer_id, producer_epoch=new.epoch, base_sequence=0)
    fields = new.wire.produce_fields(existing, data, partition=1) | {"transactional_id": new.id}
    if version >= 13:
        topic = fields["topic_data"][0]
        del topic["name"]
        topic["topic_id"] = new.wire.topic_id(existing)
    answer = new.wire.ask("Produce", version, **fields).responses[0].partition_responses[0]
    assert (answer.error_code, answer.base_offset) == (0, 0)
    described = new.described()
    assert described.transaction_state == "Ongoing"
    assert [(t.topic, t.partitions) for t in described.topics] == [(existing, [1])]


@both
def test_plain_batch_of_the_same_producer_in_an_open_transaction(txn: Txn, existing: str) -> None:
    txn.produce(existing)
    got = txn.ask_produce(existing, plain=True, transactional_id=None)
    assert (got.error_code, got.base_offset) == (48, -1)
    got = txn.ask_produce(existing, plain=True)
    assert got.error_code == 48


@both
def test_two_generations_in_one_transaction(txn: Txn, existing: str) -> None:
    """What matters is the request: a partition that was added may be written to with either."""
    txn.produce(existing)
    other = CURRENT if txn.generation is CLASSIC else CLASSIC
    assert txn.ask_produce(existing, version=other.produce).error_code == 0


@both
def test_produce_without_transactional_id(txn: Txn, existing: str) -> None:
    txn.add((existing, 0))
    assert txn.ask_produce(existing, transactional_id=None).error_code == 53
    assert txn.ask_produce(existing, transactional_id="").error_code == 42


@both
def test_produce_of_an_unknown_transactional_id(txn: Txn, existing: str) -> None:
    assert txn.ask_produce(existing, transactional_id=f"{txn.id}-nobody").error_code == 49


@both
def test_produce_with_another_producer_id(txn: Txn, existing: str) -> None:
    txn.add((existing, 0))
    txn.producer_id += 1000
    assert txn.ask_produce(existing).error_code == 49


@both
def test_produce_with_an_epoch_not_given_yet(txn: Txn, existing: str) -> None:
    txn.add((existing, 0))
    txn.epoch += 1
    assert txn.ask_produce(existing).error_code == 47


@both
def test_produce_with_acks_1_or_0(txn: Txn, existing: str) -> None:
    """Only acks=all makes sense of a transaction; the broker asks for it of none but producers."""
    txn.add((existing, 0))
    data = batch(b"v", attributes=0x10, producer_id=txn.producer_id, producer_epoch=txn.epoch, base_sequence=0)
    got = txn.wire.produce(existing, data, acks=1, version=txn.generation.produce, transactional_id=txn.id)
    assert got.error_code == 0


@both
def test_sequences_in_a_transaction(txn: Txn, existing: str) -> None:
    txn.produce(existing, b"a", b"b")
    assert txn.ask_produce(existing, sequence=5).error_code == 45
    again = txn.ask_produce(existing, b"a", b"b", sequence=0)
    assert (again.error_code, again.base_offset) == (0, 0)
    assert txn.produce(existing, b"c") == 2


def test_sequences_go_on_over_classic_transactions(old: Txn, existing: str) -> None:
    old.produce(existing, b"a", b"b")
    old.commit()
    old.add((existing, 0))
    assert old.ask_produce(existing, sequence=2).error_code == 0


def test_first_batch_of_a_transaction_is_the_lowest_that_was_verified(old: Txn, existing: str) -> None:
    """While a partition is verified a lower sequence was seen: a higher one may not overtake it into the log."""
    old.produce(existing, b"a", b"b")
    old.commit()
    old.add((existing, 0))
    assert old.ask_produce(existing, sequence=0).error_code == 45, "seen, and refused"
    assert old.ask_produce(existing, sequence=2).error_code == 45


def test_sequences_start_anew_after_each_new_transaction(new: Txn, existing: str) -> None:
    new.produce(existing, b"a", b"b")
    new.commit()
    assert new.ask_produce(existing, sequence=2).error_code == 45
    assert new.ask_produce(existing, sequence=0).error_code == 0


def test_produce_with_the_epoch_before_the_end(new: Txn, existing: str) -> None:
    new.produce(existing)
    epoch = new.epoch
    new.commit()
    new.epoch = epoch
    assert new.ask_produce(existing, sequence=1, version=12).error_code == 47
    new.epoch = epoch + 1
    new.produce(existing)


def test_retry_of_a_batch_after_the_end_of_its_transaction(old: Txn, existing: str) -> None:
    """A batch sent again after the marker is one the log has: the transaction must not open anew by it."""
    old.produce(existing, b"a")
    old.commit()
    got = old.ask_produce(existing, b"a", sequence=0)
    assert got.error_code != 0 or got.base_offset == 0
    assert last_stable(old.wire, existing) == old.wire.start_and_end(existing)[1]


def test_transactional_and_other_batches_in_one_request(old: Txn, existing: str) -> None:
    """Each partition is answered on its own."""
    old.add((existing, 0))
    inside = batch(b"v", attributes=0x10, producer_id=old.producer_id, producer_epoch=old.epoch, base_sequence=0)
    partitions = [{"index": 0, "records": inside}, {"index": 1, "records": inside}, {"index": 9, "records": inside}]
    answer = old.wire.ask(
        "Produce",
        11,
        acks=-1,
        timeout_ms=5000,
        transactional_id=old.id,
        topic_data=[{"name": existing, "partition_data": partitions}],
    )
    assert {p.index: p.error_code for p in answer.responses[0].partition_responses} == {0: 0, 1: 120, 9: 3}


@both
def test_plain_batch_with_a_transactional_id(txn: Txn, existing: str) -> None:
    """Only what the batch says counts: no transaction begins."""
    got = txn.wire.produce(existing, batch(b"v"), version=txn.generation.produce, transactional_id=txn.id)
    assert (got.error_code, txn.state) == (0, "Empty")


def test_transactional_batch_to_the_transactions_own_topic(old: Txn) -> None:
    """It is asked for first whether the partition is in the transaction."""
    assert old.wire.produce("__transaction_state").error_code == 17
    assert old.ask_produce("__transaction_state").error_code == 120


@both
def test_requests_that_follow_the_end_at_once(txn: Txn, existing: str) -> None:
    """They meet a transaction that is completing, or has just completed: what a client then asks again about."""
    wide = f"{existing}-wide"
    txn.wire.create(wide, 50)
    for _ in range(3):
        txn.add(*((wide, index) for index in range(50)))
        ending = txn.wire.send("EndTxn", txn.generation.end, **txn.me, committed=True)
        if txn.generation.joins:
            txn.epoch += 1
        data = batch(b"v", attributes=0x10, producer_id=txn.producer_id, producer_epoch=txn.epoch, base_sequence=0)
        fields = txn.wire.produce_fields(existing, data) | {"transactional_id": txn.id}
        producing = txn.wire.send("Produce", txn.generation.produce, **fields)
        adding = txn.wire.send("AddOffsetsToTxn", 4, **txn.me, group_id="nobodys")
        assert txn.wire.answer("EndTxn", txn.generation.end, ending).error_code == 0
        produced = txn.wire.answer("Produce", txn.generation.produce, producing).responses[0].partition_responses[0]
        # Not verified, tell it later: 19 for clients that do not know better.
        assert produced.error_code in ({0, 51} if txn.generation.joins else {19, 120})
        assert txn.wire.answer("AddOffsetsToTxn", 4, adding).error_code in (0, 51)
        txn.init()


def test_control_batch_of_a_client(old: Txn, existing: str) -> None:
    old.add((existing, 0))
    marker = Batch(
        records=[Rec(key=b"\0\0\0\1", value=b"\0\0\0\0\0\0")],
        attributes=TRANSACTIONAL | CONTROL,
        producer_id=old.producer_id,
        producer_epoch=old.epoch,
        base_sequence=0,
    ).encode()
    assert old.wire.produce(existing, marker, version=11, transactional_id=old.id).error_code == 87


# Markers


@both
@pytest.mark.parametrize("committed", [True, False])
def test_marker_takes_one_offset(txn: Txn, existing: str, committed: bool) -> None:
    epoch = txn.epoch
    txn.produce(existing, b"a", b"b")
    txn.end(committed)
    assert txn.wire.start_and_end(existing) == (0, 3)
    data = bytes(txn.wire.fetch(existing, 2).records)
    (marker,) = headers(data)
    assert (marker.base_offset, marker.attributes, marker.count) == (2, TRANSACTIONAL | CONTROL, 1)
    assert marker.producer_id == txn.producer_id
    assert marker.producer_epoch == (epoch + 1 if txn.generation.joins else epoch)
    assert (marker.base_sequence, marker.crc_ok, marker.leader_epoch) == (-1, True, 0)
    (record,) = read_records(data)
    assert marker_type(record) == ("commit" if committed else "abort")
    assert record.value == b"\0\0" + (0).to_bytes(4, "big"), "version and coordinator epoch"


@both
def test_markers_in_every_partition_of_the_transaction(txn: Txn, existing: str) -> None:
    """Also where nothing was written: an added partition gets its marker."""
    txn.produce(existing, partition=0)
    txn.add((existing, 1))
    txn.commit()
    assert [txn.wire.start_and_end(existing, index) for index in (0, 1)] == [(0, 2), (0, 1)]


def write_marker(
    wire: Wire, topic: str, producer_id: int, epoch: int, *, committed: bool, version: int = 1, coordinator: int = 0
) -> dict[int, int]:
    """WriteTxnMarkers for partitions 0 and 9: {partition: error}"""
    marker = {
        "producer_id": producer_id,
        "producer_epoch": epoch,
        "transaction_result": committed,
        "topics": [{"name": topic, "partition_indexes": [0, 9]}],
        "coordinator_epoch": coordinator,
    }
    answer = wire.ask("WriteTxnMarkers", version, markers=[marker])
    (result,) = answer.markers
    assert result.producer_id == producer_id
    return {p.partition_index: p.error_code for p in result.topics[0].partitions}


@pytest.mark.parametrize("version", [1, 2])
def test_marker_by_a_client_for_any_producer_id(wire: Wire, existing: str, version: int) -> None:
    got = write_marker(wire, existing, 123456, 0, committed=True, version=version)
    assert got == {0: 0, 9: 3}
    assert wire.start_and_end(existing) == (0, 1)


def test_marker_by_a_client_ends_what_is_open_in_the_partition(old: Txn, existing: str) -> None:
    """What abortTransaction of the admin client does with a hanging transaction."""
    old.produce(existing)
    assert write_marker(old.wire, existing, old.producer_id, old.epoch, committed=False)[0] == 0
    assert last_stable(old.wire, existing) == 2
    assert committed_values(old.wire, existing) == []


def test_marker_with_an_epoch_below_the_producers(old: Txn, existing: str) -> None:
    old.init()
    old.produce(existing)
    assert write_marker(old.wire, existing, old.producer_id, old.epoch - 1, committed=False)[0] == 47
    assert last_stable(old.wire, existing) == 0


def test_marker_v2_of_transaction_version_2_needs_a_raised_epoch(new: Txn, existing: str) -> None:
    """transaction_version 2 in the request: the marker's epoch must be above that of the records."""
    new.produce(existing)
    marker = {
        "producer_id": new.producer_id,
        "producer_epoch": new.epoch,
        "transaction_result": False,
        "topics": [{"name": existing, "partition_indexes": [0]}],
        "coordinator_epoch": 0,
        "transaction_version": 2,
    }

    def write(epoch: int) -> int:
        answer = new.wire.ask("WriteTxnMarkers", 2, markers=[marker | {"producer_epoch": epoch}])
        return int(answer.markers[0].topics[0].partitions[0].error_code)

    assert write(new.epoch) == 47
    assert last_stable(new.wire, existing) == 0
    assert write(new.epoch + 1) == 0
    assert last_stable(new.wire, existing) == 2


@pytest.mark.parametrize(("producer_id", "epoch"), [(-1, 0), (5000, -1)])
def test_marker_of_no_producer_fails_the_whole_request(wire: Wire, existing: str, producer_id: int, epoch: int) -> None:
    """What comes before it is written all the same."""
    topics = [{"name": existing, "partition_indexes": [0]}]
    fine = {"producer_id": 6000, "producer_epoch": 0, "topics": [{"name": existing, "partition_indexes": [1]}]}
    broken = {"producer_id": producer_id, "producer_epoch": epoch, "topics": topics}
    answer = wire.ask("WriteTxnMarkers", 1, markers=[fine, broken])
    errors = {m.producer_id: [p.error_code for t in m.topics for p in t.partitions] for m in answer.markers}
    assert errors == {6000: [-1], producer_id: [-1]}
    assert (wire.start_and_end(existing, 0), wire.start_and_end(existing, 1)) == ((0, 0), (0, 1))
    nowhere = broken | {"topics": [{"name": f"{existing}-missing", "partition_indexes": [0]}]}
    (answer,) = wire.ask("WriteTxnMarkers", 1, markers=[nowhere]).markers
    assert answer.topics[0].partitions[0].error_code == 3


def test_marker_of_an_epoch_below_none(wire: Wire, existing: str) -> None:
    assert write_marker(wire, existing, 5000, -2, committed=True)[0] == 47


def test_markers_without_partitions_are_left_out(wire: Wire, existing: str) -> None:
    empty = {"producer_id": 5000, "producer_epoch": 0, "topics": []}
    fine = {"producer_id": 6000, "producer_epoch": 0, "topics": [{"name": existing, "partition_indexes": [1]}]}
    assert wire.ask("WriteTxnMarkers", 1, markers=[]).markers == []
    assert wire.ask("WriteTxnMarkers", 1, markers=[empty]).markers == []
    assert [m.producer_id for m in wire.ask("WriteTxnMarkers", 1, markers=[empty, fine]).markers] == [6000]


def test_marker_of_a_coordinator_that_was_replaced(wire: Wire, existing: str) -> None:
    producer_id = wire.producer_id()
    assert write_marker(wire, existing, producer_id, 0, committed=False, coordinator=7)[0] == 0
    assert write_marker(wire, existing, producer_id, 0, committed=False, coordinator=6)[0] == 52
    assert write_marker(wire, existing, producer_id, 0, committed=False, coordinator=7)[0] == 0


# Hanging transactions


@pytest.fixture
def verification_off(wire: Wire) -> Iterator[None]:
    """transaction.partition.verification.enable=false while the test runs."""
    name = "transaction.partition.verification.enable"

    def alter(operation: int, value: str | None) -> None:
        resource = {"resource_type": 4, "resource_name": ""}
        configs = [{"name": name, "config_operation": operation, "value": value}]
        answer = wire.ask("IncrementalAlterConfigs", 1, resources=[resource | {"configs": configs}])
        assert answer.responses[0].error_code == 0

    def described() -> str:
        resource = {"resource_type": 4, "resource_name": "1", "configuration_keys": [name]}
        return str(wire.ask("DescribeConfigs", 4, resources=[resource]).results[0].configs[0].value)

    alter(0, "false")
    eventually(described, lambda value: value == "false", name)
    yield
    alter(1, None)
    eventually(described, lambda value: value == "true", name)


def test_hanging_transaction_without_verification(verification_off: None, old: Txn, existing: str) -> None:
    """A late batch of an ended transaction opens one that its coordinator knows nothing of."""
    old.produce(existing, b"a")
    old.commit()
    late = eventually(
        lambda: old.ask_produce(existing, b"late"), lambda a: a.error_code != 120, "the setting is in force"
    )
    assert (late.error_code, old.state) == (0, "CompleteCommit")
    assert old.wire.produce(existing, batch(b"behind")).error_code == 0
    assert (last_stable(old.wire, existing), old.wire.start_and_end(existing)[1]) == (2, 4)
    assert write_marker(old.wire, existing, old.producer_id, old.epoch, committed=False)[0] == 0
    assert committed_values(old.wire, existing) == [b"a", b"behind"]


# DescribeProducers


@both
def test_describe_producers_in_and_after_a_transaction(txn: Txn, existing: str) -> None:
    def described() -> tuple[int, int, int, int, int]:
        topics = [{"name": existing, "partition_indexes": [0]}]
        (topic,) = txn.wire.ask("DescribeProducers", 0, topics=topics).topics
        (partition,) = topic.partitions
        assert partition.error_code == 0
        (p,) = partition.active_producers
        return p.producer_id, p.producer_epoch, p.last_sequence, p.coordinator_epoch, p.current_txn_start_offset

    txn.wire.produce(existing, batch(b"before"))
    epoch = txn.epoch
    txn.produce(existing, b"a", b"b")
    assert described() == (txn.producer_id, epoch, 1, -1, 1)
    txn.commit()
    assert described() == (txn.producer_id, txn.epoch, -1 if txn.generation.joins else 1, 0, -1)


def test_compressed_transactional_batches(old: Txn, existing: str) -> None:
    old.add((existing, 0))
    plain = Batch(
        records=[Rec(value=b"v" * 100)] * 3,
        attributes=0x10,
        producer_id=old.producer_id,
        producer_epoch=old.epoch,
        base_sequence=0,
    )
    packed = plain.but(attributes=0x11, body=gzip.compress(plain.encode_records())).encode()
    assert old.wire.produce(existing, packed, version=11, transactional_id=old.id).error_code == 0
    old.abort()
    assert committed_values(old.wire, existing) == []
    assert read(old.wire, existing).aborted == [(old.producer_id, 0)]


def test_requests_behind_a_verification_are_answered_in_order(old: Txn, existing: str) -> None:
    old.add((existing, 0))
    wire = old.wire
    data = batch(b"v", attributes=0x10, producer_id=old.producer_id, producer_epoch=old.epoch, base_sequence=0)
    first = wire.send("Produce", 11, **wire.produce_fields(existing, data) | {"transactional_id": old.id})
    second = wire.send("ApiVersions", 0)
    assert wire.answer("Produce", 11, first).responses[0].partition_responses[0].error_code == 0
    assert wire.answer("ApiVersions", 0, second).error_code == 0
