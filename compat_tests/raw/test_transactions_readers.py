"""What readers of committed records see of transactions that are open, committed, aborted, or cut off."""

import time
from collections.abc import Callable

import pytest

from compat_tests.differences import expected
from compat_tests.raw.batches import batch, headers
from compat_tests.raw.transactions import (
    CLASSIC,
    CURRENT,
    GENERATIONS,
    Generation,
    Txn,
    committed_values,
    last_stable,
    read,
)
from compat_tests.raw.wire import Wire
from compat_tests.targets import Broker

pytestmark = [pytest.mark.usefixtures("transaction_coordinators"), pytest.mark.capability("transactions")]

both = pytest.mark.parametrize("generation", GENERATIONS.values(), ids=GENERATIONS)

Connect = Callable[[], Wire]


@pytest.fixture
def old(wire: Wire, fresh_name: Callable[[str], str]) -> Txn:
    """The classic generation, with a producer id."""
    return Txn(wire, fresh_name("txn"), CLASSIC).init()


@pytest.fixture
def txn(wire: Wire, generation: Generation, fresh_name: Callable[[str], str]) -> Txn:
    """With a producer id; each generation in turn."""
    return Txn(wire, fresh_name("txn"), generation).init()


@pytest.fixture
def existing(wire: Wire, topic: str) -> str:
    """A topic with two partitions."""
    wire.create(topic, 2)
    return topic


@both
def test_open_transaction_holds_up_readers_of_committed_records(txn: Txn, existing: str) -> None:
    assert txn.wire.produce(existing, batch(b"before")).error_code == 0
    txn.produce(existing, b"open")
    assert txn.wire.produce(existing, batch(b"behind")).error_code == 0
    committed, all_records = read(txn.wire, existing), read(txn.wire, existing, committed=False)
    assert (committed.last_stable_offset, committed.high_watermark) == (1, 3)
    assert [b[0] for b in committed.batches] == [0]
    assert (all_records.last_stable_offset, all_records.high_watermark) == (1, 3)
    assert [b[0] for b in all_records.batches] == [0, 1, 2]
    txn.commit()
    committed = read(txn.wire, existing)
    assert (committed.last_stable_offset, committed.high_watermark) == (4, 4)
    assert committed_values(txn.wire, existing) == [b"before", b"open", b"behind"]


@both
def test_aborted_transactions_are_listed_for_read_committed_only(txn: Txn, existing: str) -> None:
    txn.wire.produce(existing, batch(b"before"))
    txn.produce(existing, b"lost", b"too")
    txn.abort()
    got = txn.wire.fetch(existing, 0, isolation_level=0)
    assert got.aborted_transactions is None
    assert read(txn.wire, existing).aborted == [(txn.producer_id, 1)]
    assert committed_values(txn.wire, existing) == [b"before"]
    assert read(txn.wire, existing, 3).aborted == [(txn.producer_id, 1)], "as long as its marker is not passed"
    assert read(txn.wire, existing, 4).aborted == []


@both
def test_interleaved_transactions(connect: Connect, existing: str, topic: str, generation: Generation) -> None:
    """Two producers in one partition: each marker ends its own; the first open record is the last stable offset."""
    one, two = (Txn(connect(), f"{topic}-{n}", generation).init() for n in (1, 2))
    wire = connect()
    one.produce(existing, b"1a")  # 0
    two.produce(existing, b"2a")  # 1
    one.produce(existing, b"1b")  # 2
    two.commit()  # 3
    assert last_stable(wire, existing) == 0
    two.produce(existing, b"2b")  # 4
    one.abort()  # 5
    assert last_stable(wire, existing) == 4
    two.produce(existing, b"2c")  # 6
    two.commit()  # 7
    assert last_stable(wire, existing) == 8
    assert committed_values(wire, existing) == [b"2a", b"2b", b"2c"]
    assert read(wire, existing).aborted == [(one.producer_id, 0)]


@both
def test_aborted_transactions_over_many(txn: Txn, existing: str) -> None:
    """Only those that overlap what is read are listed."""
    for number in range(6):
        txn.produce(existing, b"%d" % number)
        txn.end(committed=number % 2 == 1)
    firsts = [first for _, first in read(txn.wire, existing).aborted]
    assert firsts == [0, 4, 8]
    behind = txn.wire.fetch(existing, 4, isolation_level=1, partition_max_bytes=1)
    assert behind.aborted_transactions[0].first_offset == 4
    assert {a.first_offset for a in behind.aborted_transactions} <= {4, 8}, "up to where the index tells"
    assert committed_values(txn.wire, existing) == [b"1", b"3", b"5"]


@pytest.mark.parametrize("version", range(4, 13))
def test_fetch_in_every_version(old: Txn, existing: str, version: int) -> None:
    old.produce(existing, b"lost")
    old.abort()
    old.produce(existing, b"open")
    got = old.wire.fetch(existing, 0, version=version, isolation_level=1)
    assert (got.error_code, got.last_stable_offset, got.high_watermark) == (0, 2, 3)
    assert [(a.producer_id, a.first_offset) for a in got.aborted_transactions] == [(old.producer_id, 0)]
    assert [h.base_offset for h in headers(got.records)] == [0, 1]


@pytest.mark.parametrize("version", range(13, 19))
def test_fetch_by_topic_id_in_every_version(old: Txn, existing: str, version: int) -> None:
    old.produce(existing, b"lost")
    old.abort()
    old.produce(existing, b"open")
    got = old.wire.fetch(old.wire.topic_id(existing), 0, version=version, isolation_level=1)
    assert (got.error_code, got.last_stable_offset, got.high_watermark) == (0, 2, 3)
    assert [(a.producer_id, a.first_offset) for a in got.aborted_transactions] == [(old.producer_id, 0)]


@both
def test_list_offsets_of_committed_records(txn: Txn, existing: str) -> None:
    """read_committed: the end is the last stable offset, and what is behind it is not found by time."""
    now = int(time.time() * 1000)
    txn.wire.produce(existing, batch(b"v", base_timestamp=now - 10000))
    data = batch(
        b"open",
        attributes=0x10,
        producer_id=txn.producer_id,
        producer_epoch=txn.epoch,
        base_sequence=0,
        base_timestamp=now + 1000,
    )
    txn.add((existing, 0))
    got = txn.wire.produce(existing, data, version=txn.generation.produce, transactional_id=txn.id)
    assert got.error_code == 0
    txn.wire.produce(existing, batch(b"behind", base_timestamp=now + 2000))

    def ask(timestamp: int, committed: bool) -> tuple[int, int]:
        topics = [{"name": existing, "partitions": [{"partition_index": 0, "timestamp": timestamp}]}]
        answer = txn.wire.ask("ListOffsets", 7, replica_id=-1, isolation_level=int(committed), topics=topics)
        entry = answer.topics[0].partitions[0]
        return entry.error_code, entry.offset

    assert ask(-1, committed=True) == (0, 1)
    assert ask(-1, committed=False) == (0, 3)
    assert ask(-2, committed=True) == (0, 0)
    assert ask(now, committed=True) == (0, -1)
    assert ask(now, committed=False) == (0, 1)
    assert ask(now - 10000, committed=True) == (0, 0)
    assert ask(-3, committed=False) == (0, 2)
    assert ask(-3, committed=True) == (0, -1), "the largest timestamp is behind the last stable offset"
    txn.commit()
    assert ask(-1, committed=True) == (0, 4)
    assert ask(now, committed=True) == (0, 1)


@both
def test_reader_parked_at_the_last_stable_offset_is_woken_by_the_marker(
    connect: Connect, txn: Txn, existing: str
) -> None:
    txn.produce(existing, b"open")
    reader = connect()
    fields = reader.fetch_fields(existing, 0, isolation_level=1) | {"max_wait_ms": 20000, "min_bytes": 1}
    sent = reader.send("Fetch", 12, **fields)
    reader.assert_silent("nothing is committed yet", 0.1)
    began = time.monotonic()
    txn.commit()
    got = reader.answer("Fetch", 12, sent).responses[0].partitions[0]
    assert time.monotonic() - began < 5
    assert got.last_stable_offset == 2
    assert [h.base_offset for h in headers(got.records)][:1] == [0]


def test_other_records_do_not_wake_a_reader_parked_at_the_last_stable_offset(
    connect: Connect, old: Txn, existing: str
) -> None:
    old.produce(existing, b"open")
    reader = connect()
    fields = reader.fetch_fields(existing, 0, isolation_level=1) | {"max_wait_ms": 20000, "min_bytes": 1}
    sent = reader.send("Fetch", 12, **fields)
    old.wire.produce(existing, batch(b"behind"))
    reader.assert_silent("what is behind an open transaction is not readable", 0.1)
    old.commit()
    got = reader.answer("Fetch", 12, sent).responses[0].partitions[0]
    assert (got.last_stable_offset, [h.base_offset for h in headers(got.records)]) == (3, [0, 1, 2])


def test_answer_of_a_reader_that_waited_in_vain(old: Txn, existing: str) -> None:
    old.produce(existing, b"open")
    old.wire.produce(existing, batch(b"behind"))
    got = old.wire.fetch(existing, 0, isolation_level=1, max_wait_ms=50, min_bytes=1)
    assert (got.last_stable_offset, got.high_watermark, bytes(got.records)) == (0, 2, b"")


def test_delete_records_in_an_open_transaction(old: Txn, existing: str) -> None:
    """Records of an open transaction may be deleted; the last stable offset is not below the log's start."""
    old.produce(existing, b"a", b"b")
    old.wire.produce(existing, batch(b"behind"))
    deleted = old.wire.delete_records(existing, 2)
    assert (deleted.error_code, deleted.low_watermark) == (0, 2)
    assert last_stable(old.wire, existing) == 2
    old.commit()
    assert last_stable(old.wire, existing) == 4


def test_delete_records_within_the_first_batch_of_an_open_transaction(old: Txn, existing: str, broker: Broker) -> None:
    old.produce(existing, b"a", b"b")
    assert old.wire.delete_records(existing, 1).error_code == 0
    what = "last stable offset once DeleteRecords has moved the log's start into the first batch of an open transaction"
    above = expected(what, broker.kind) == "the log's start"
    assert last_stable(old.wire, existing) == (1 if above else 0)
    old.commit()
    assert last_stable(old.wire, existing) == 3


def test_producer_id_that_was_made_up(wire: Wire, existing: str, broker: Broker) -> None:
    """Its refused batch is of no transaction anybody knows; what it then sends without one is a new producer's."""
    made_up = Txn(wire, "nobody-knows", CURRENT, producer_id=2**40 + time.time_ns() % 2**30, epoch=0)
    assert made_up.ask_produce(existing, sequence=2).error_code == 49
    forgotten = expected("a transactional batch refused with INVALID_PRODUCER_ID_MAPPING (49)", broker.kind).startswith(
        "forgotten"
    )
    got = made_up.ask_produce(existing, plain=True, transactional_id=None, sequence=5)
    assert got.error_code == (0 if forgotten else 45)


def test_topic_deleted_under_an_open_transaction(old: Txn, existing: str) -> None:
    old.produce(existing)
    assert old.wire.ask("DeleteTopics", 5, topic_names=[existing], timeout_ms=5000).responses[0].error_code == 0
    old.commit()
    assert old.state == "CompleteCommit"
