"""What transactions leave in the logs: batches of offsets and markers byte for byte, the aborted ones, and restarts."""

import struct
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from compat_tests.raw.batches import batch, headers
from compat_tests.raw.groups import LOADING, Member, wait_for_coordinator
from compat_tests.raw.transactions import (
    CLASSIC,
    GENERATIONS,
    Generation,
    Txn,
    committed_values,
    last_stable,
    read,
    starts,
    warm_up_transactions,
)
from compat_tests.raw.wire import Wire, eventually
from compat_tests.targets import OwnBroker
from kwire.records import read_records

pytestmark = [pytest.mark.usefixtures("transaction_coordinators"), pytest.mark.capability("transactions")]

both = pytest.mark.parametrize("generation", GENERATIONS.values(), ids=GENERATIONS)
OFFSETS = "__consumer_offsets"


@pytest.fixture
def existing(wire: Wire, topic: str) -> str:
    """A topic of two partitions."""
    wire.create(topic, 2)
    return topic


@pytest.fixture
def txn(wire: Wire, generation: Generation, fresh_name: Callable[[str], str]) -> Txn:
    """With a producer id; each generation in turn."""
    return Txn(wire, fresh_name("txn"), generation).init()


def java_hash(text: str) -> int:
    code = 0
    for letter in text:
        code = (code * 31 + ord(letter)) & 0xFFFFFFFF
    return code


def partition_of(group: str) -> int:
    signed = struct.unpack(">i", struct.pack(">I", java_hash(group)))[0]
    return (abs(signed) if signed != -(1 << 31) else 0) % 50


def stored(wire: Wire, group: str, since: int) -> list[tuple[Any, list[Any]]]:
    """The batches of the group's partition from an offset on: (header, records)."""
    data = bytes(wire.fetch(OFFSETS, since, partition=partition_of(group), isolation_level=0).records)
    found = []
    for position, header in zip(starts(data), headers(data), strict=True):
        if header.base_offset >= since:
            found.append((header, list(read_records(data, position))))
    return found


def offset_key(group: str, topic: str, partition: int) -> bytes:
    names = b"".join(struct.pack(">h", len(each)) + each.encode() for each in (group, topic))
    return b"\0\1" + names + struct.pack(">i", partition)


@both
def test_batches_of_offsets(txn: Txn, existing: str, group: str) -> None:
    """A plain commit, one in a transaction, its marker: each field of the headers, keys and values."""
    wire = txn.wire
    topic_id = wire.topic_id(existing)
    wait_for_coordinator(wire, group)
    assert Member(wire, group).commit(existing, 3) == 0
    since = wire.start_and_end(OFFSETS, partition_of(group))[1] - 1
    txn.commit_offset(group, existing, 5, partition=1)
    epoch = txn.epoch
    txn.commit()
    (plain, (commit,)), (transactional, (pending,)), (marker, (end,)) = stored(wire, group, since)
    raised = epoch + (txn.generation.joins)
    assert [
        (each.attributes, each.producer_id, each.producer_epoch, each.base_sequence, each.count, each.crc_ok)
        for each in (plain, transactional, marker)
    ] == [
        (0x00, -1, -1, 0, 1, True),
        (0x10, txn.producer_id, epoch, 0, 1, True),
        (0x30, txn.producer_id, raised, -1, 1, True),
    ]
    assert [each.base_offset for each in (plain, transactional, marker)] == [since, since + 1, since + 2]
    assert bytes(commit.key) == offset_key(group, existing, 0)
    assert bytes(pending.key) == offset_key(group, existing, 1)
    value = bytes(pending.value)
    assert value[:-9] == b"\0\4" + struct.pack(">qi", 5, -1) + b"\2t"
    assert value[-1:] == b"\0", "without the topic's id"
    assert bytes(commit.value).endswith(b"\1\0\x10" + topic_id)
    assert bytes(end.key) == struct.pack(">hh", 0, 1)
    assert bytes(end.value)[:2] == b"\0\0"
    assert len(end.value) == 6


@both
def test_transactions_that_were_aborted_above_the_last_stable_offset(
    txn: Txn, existing: str, connect: Callable[[], Wire], topic: str, generation: Generation
) -> None:
    """They are listed, although none of their records is read yet."""
    other = Txn(connect(), f"{topic}-other", generation).init()
    txn.wire.produce(existing, batch(b"plain"))
    txn.produce(existing, b"open")
    other.produce(existing, b"gone")
    other.abort()
    seen = read(txn.wire, existing)
    assert (seen.last_stable_offset, [base for base, *_ in seen.batches]) == (1, [0])
    assert seen.aborted == [(other.producer_id, 2)]
    assert read(txn.wire, existing, 1).aborted == []
    txn.commit()
    assert read(txn.wire, existing).aborted == [(other.producer_id, 2)]
    assert committed_values(txn.wire, existing) == [b"plain", b"open"]


def test_aborted_transactions_up_to_where_the_index_tells(
    wire: Wire, existing: str, fresh_name: Callable[[str], str]
) -> None:
    """A fetch that is cut lists what an index entry behind it allows for, not all that is there."""
    txn = Txn(wire, fresh_name("txn"), CLASSIC).init()
    for _ in range(12):
        txn.produce(existing, b"v" * 1500)
        txn.abort()
    assert len(read(wire, existing).aborted) == 12
    lists = []
    for size in (1, 2000, 5000, 9000):
        got = wire.fetch(existing, 0, isolation_level=1, partition_max_bytes=size)
        lists.append([each.first_offset for each in got.aborted_transactions])
    few, many = [0, 2, 4], [0, 2, 4, 6, 8, 10]  # index entries stand after each 4096 bytes of batches
    assert lists == [few, few, many, many]


def test_producers_outlive_deleted_records(wire: Wire, existing: str) -> None:
    producer_id = wire.producer_id()

    def send(sequence: int) -> Any:
        return wire.produce(existing, batch(b"v", producer_id=producer_id, producer_epoch=0, base_sequence=sequence))

    assert [send(sequence).error_code for sequence in range(3)] == [0, 0, 0]
    assert wire.delete_records(existing, 3).error_code == 0
    again = send(2)
    assert (again.error_code, again.base_offset) == (0, 2)
    assert send(5).error_code == 45
    assert send(3).base_offset == 3


END = {"kill -9": OwnBroker.kill, "stop": OwnBroker.stop}


@pytest.fixture
def before(restartable_broker: OwnBroker) -> Iterator[Wire]:
    """A connection to the broker before its restart."""
    with Wire(restartable_broker.address) as wire:
        yield wire


@pytest.mark.long_on_kafka
@pytest.mark.parametrize("how", list(END))
def test_restart_in_a_transaction(
    before: Wire, restartable_broker: OwnBroker, how: str, topic: str, group: str, fresh_name: Callable[[str], str]
) -> None:
    """Open and ended transactions, pending offsets and sequences are as before; what is open is ended afterwards."""
    warm_up_transactions(before)
    before.create(topic, 2)
    wait_for_coordinator(before, group)
    for generation in GENERATIONS.values():
        gone = Txn(before, fresh_name("gone"), generation).init()
        gone.produce(topic, b"gone")
        gone.abort()
    txn = Txn(before, fresh_name("txn"), CLASSIC).init()
    txn.produce(topic, b"first")
    txn.produce(topic, b"second")
    txn.commit_offset(group, topic, 7)
    lso = last_stable(before, topic)
    aborted = read(before, topic).aborted
    assert len(aborted) == 2
    END[how](restartable_broker)
    restartable_broker.start()
    with Wire(restartable_broker.address) as after:
        after.wait_for_topic(topic, 2)
        warm_up_transactions(after)
        wait_for_coordinator(after, group)
        txn.wire = after
        assert last_stable(after, topic) == lso
        assert read(after, topic).aborted == aborted
        groups = [{"group_id": group, "topics": [{"name": topic, "partition_indexes": [0]}]}]

        def fetched() -> Any:
            answer = after.ask("OffsetFetch", 8, groups=groups, require_stable=True).groups[0]
            return (answer.error_code, answer.topics[0].partitions[0]) if answer.topics else (answer.error_code, None)

        code, entry = eventually(fetched, lambda found: found[0] not in LOADING, "the group's offsets")
        assert (code, entry.error_code) == (0, 88)
        again = after.produce(
            topic,
            batch(b"second", attributes=0x10, producer_id=txn.producer_id, producer_epoch=txn.epoch, base_sequence=1),
            version=11,
            transactional_id=txn.id,
        )
        assert (again.error_code, again.base_offset) == (0, lso + 1), "a batch sent again is recognised"
        assert txn.produce(topic, b"third") == lso + 2
        txn.commit()
        assert committed_values(after, topic) == [b"first", b"second", b"third"]
        entry = eventually(fetched, lambda found: found[1].error_code != 88, "the marker")[1]
        assert (entry.error_code, entry.committed_offset) == (0, 7)
