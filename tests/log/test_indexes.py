"""The three indexes of a segment against plain lists."""

from __future__ import annotations

from bisect import bisect_right

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kwire.errors import CorruptRecordsError
from log.offset_index import OffsetIndex
from log.storage import LogFile
from log.time_index import TimeIndex
from log.transaction_index import AbortedTransaction, TransactionIndex
from tests.crash.fault_storage import FaultStorage

BASE = 1000


def offset_index(storage: FaultStorage, max_size: int = 1 << 20) -> OffsetIndex:
    return OffsetIndex(LogFile(storage, "/i", create=True), BASE, max_size)


def time_index(storage: FaultStorage, max_size: int = 1 << 20) -> TimeIndex:
    return TimeIndex(LogFile(storage, "/t", create=True), BASE, max_size)


@given(
    gaps=st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9000)), max_size=60),
    copies=st.integers(1, 40),
    cut=st.floats(0, 1),
    probes=st.lists(st.floats(-0.1, 1.1), min_size=1, max_size=20),
    reopen=st.booleans(),
)
def test_offset_index(gaps: list[tuple[int, int]], copies: int, cut: float, probes: list[float], reopen: bool) -> None:
    storage = FaultStorage()
    index = offset_index(storage)
    index.create()
    entries: list[tuple[int, int]] = []
    offset, position = BASE, 0
    for more_offset, more_position in gaps * copies:  # beyond a page, and beyond what waits in memory
        offset += more_offset
        position += more_position
        index.append(offset, position)
        entries.append((offset, position))

    def check() -> None:
        offsets = [entry[0] for entry in entries]
        positions = [entry[1] for entry in entries]
        assert index.entries == len(entries)
        assert index.last_offset == (offsets[-1] if offsets else BASE)
        for probe in probes:
            target = BASE + int(probe * (offset - BASE + 2))
            slot = bisect_right(offsets, target)
            assert index.lookup(target) == (positions[slot - 1] if slot else 0)
            at = int(probe * (position + 2))
            assert index.offset_at_or_after(at) == next((o for o, p in entries if p >= at), None)

    check()
    if reopen:
        index.trim()
        assert storage.size("/i") == 8 * len(entries)
        index = offset_index(storage)
        index.load()
        check()
    below = BASE + int(cut * (offset - BASE + 2))
    index.truncate_to(below)
    entries = [entry for entry in entries if entry[0] < below]
    check()
    index.append(offset + 5, position + 5)
    entries.append((offset + 5, position + 5))
    offset, position = offset + 5, position + 5
    check()
    assert index.all_entries() == entries


@given(
    gaps=st.lists(st.tuples(st.integers(0, 5), st.integers(1, 9)), max_size=40),
    copies=st.integers(1, 20),
    cut=st.floats(0, 1),
    probes=st.lists(st.floats(-0.1, 1.1), min_size=1, max_size=20),
    reopen=st.booleans(),
)
def test_time_index(gaps: list[tuple[int, int]], copies: int, cut: float, probes: list[float], reopen: bool) -> None:
    storage = FaultStorage()
    index = time_index(storage)
    index.create()
    entries: list[tuple[int, int]] = []
    timestamp, offset = 50, BASE
    for later, further in gaps * copies:
        timestamp += later
        offset += further
        index.maybe_append(timestamp, offset)
        if not entries or timestamp > entries[-1][0]:
            entries.append((timestamp, offset))

    def check() -> None:
        assert index.entries == len(entries)
        assert (index.last_timestamp, index.last_offset) == (entries[-1] if entries else (-1, BASE))
        for probe in probes:
            target = 50 + int(probe * (timestamp - 48))
            slot = bisect_right([entry[0] for entry in entries], target)
            assert index.lookup(target) == (entries[slot - 1][1] if slot else BASE)

    check()
    if reopen:
        index.trim()
        assert storage.size("/t") == 12 * len(entries)
        index = time_index(storage)
        check()
    below = BASE + int(cut * (offset - BASE + 2))
    index.truncate_to(below)
    entries = [entry for entry in entries if entry[1] < below]
    check()
    assert index.all_entries() == entries


def test_zeros_left_behind_the_entries_do_not_count() -> None:
    storage = FaultStorage()
    index, times = offset_index(storage, 8000), time_index(storage, 8000)
    index.create()
    times.create()
    assert (storage.size("/i"), storage.size("/t")) == (8000, 7992)
    for number in range(1, 600):
        index.append(BASE + number, number * 10)
        times.maybe_append(number, BASE + number)
    index.write_tail()
    times.write_tail()
    index, times = offset_index(storage, 8000), time_index(storage, 8000)
    assert (index.entries, index.last_offset) == (599, BASE + 599)
    assert (times.entries, times.last_timestamp) == (599, 599)
    index.trim()
    times.trim()
    assert (storage.size("/i"), storage.size("/t")) == (599 * 8, 599 * 12)


def test_full() -> None:
    storage = FaultStorage()
    index, times = offset_index(storage, 16), time_index(storage, 36)
    index.create()
    times.create()
    index.append(BASE + 1, 5)
    times.maybe_append(1, BASE)
    assert not index.is_full
    assert not times.is_full
    index.append(BASE + 2, 6)
    times.maybe_append(2, BASE + 1)
    assert index.is_full
    assert times.is_full, "one entry is kept for the roll"
    times.maybe_append(3, BASE + 2)
    times.trim()
    assert storage.size("/t") == 36


def test_transaction_index() -> None:
    storage = FaultStorage()
    index = TransactionIndex(LogFile(storage, "/x", create=True), exists=False)
    assert not index.exists
    assert index.collect(0, 100) == ([], False)
    assert not storage.exists("/x"), "no file before the first abort"
    first = AbortedTransaction(0, 2, 3, 4)
    second = AbortedTransaction(1, 1, 9, 10)
    index.append(first)
    index.append(second)
    assert storage.open("/x", create=False).pread(100, 0) == bytes.fromhex(
        "0000 0000000000000000 0000000000000002 0000000000000003 0000000000000004"
        "0000 0000000000000001 0000000000000001 0000000000000009 000000000000000a"
    )
    index = TransactionIndex(LogFile(storage, "/x"), exists=True)
    assert index.entries() == [first, second]
    assert index.collect(0, 3) == ([first], True)
    assert index.collect(4, 8) == ([second], True)
    assert index.collect(0, 100) == ([first, second], False)
    index.truncate_to(9)
    assert index.entries() == [first]
    assert storage.size("/x") == 34
    storage.open("/x", create=False).pwrite(b"\x00\x01", 0)
    with pytest.raises(CorruptRecordsError):
        TransactionIndex(LogFile(storage, "/x"), exists=True).entries()
