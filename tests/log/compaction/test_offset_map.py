"""Both offset maps against a plain dict, and what memory they take."""

from __future__ import annotations

import contextlib
import random
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from log.compaction.offset_map import CompactOffsetMap, DictOffsetMap, MapMemoryError, OffsetMap, capacity_of

batches = st.lists(st.lists(st.binary(max_size=3), max_size=12), max_size=12)


def maps(capacity: int, expected: int) -> list[OffsetMap]:
    return [DictOffsetMap(capacity, 1 << 40), CompactOffsetMap(capacity, 1 << 20, expected)]


@given(batches, st.integers(1, 20), st.booleans())
def test_behaves_as_kafkas(batches: list[list[bytes]], capacity: int, one_by_one: bool) -> None:
    for offset_map in maps(capacity, sum(map(len, batches))):
        known: dict[bytes, int] = {}
        latest = -1
        offset = 0
        full = False
        for keys in batches:
            offsets = list(range(offset, offset + 2 * len(keys), 2))
            if one_by_one:
                went_on = all(offset_map.put_one(key, at) for key, at in zip(keys, offsets, strict=True))
            else:
                went_on = offset_map.put(keys, offsets)
            for key, at in zip(keys, offsets, strict=True):
                full = len(known) >= capacity
                if full:
                    break
                known[key] = latest = at
            else:
                full = False
            assert went_on is not full
            offset += 2 * len(keys) + 1
            if full:
                break
        assert offset_map.latest_offset == latest
        assert len(offset_map) == len(known)
        asked = [key for keys in batches for key in keys] + [b"not there"]
        expected = [known.get(key, -1) for key in asked]
        assert offset_map.latest(asked) == expected
        assert [offset_map.latest_of(key) for key in asked] == expected
        assert offset_map.latest([None, *asked]) == [-1, *expected]


def test_a_full_table_is_searched_to_its_end() -> None:
    offset_map = CompactOffsetMap(1 << 30, 24 * 101, 1000)
    keys = [b"%d" % number for number in range(offset_map.capacity)]
    assert offset_map.put(keys, range(len(keys)))
    assert not offset_map.put_one(b"one more", 5000)
    assert offset_map.latest(keys) == list(range(len(keys)))
    assert offset_map.latest_of(b"one more") == -1


@pytest.mark.parametrize("key_size", [1, 20, 300])
def test_memory_is_counted(key_size: int) -> None:
    rng = random.Random(5)
    tracemalloc.start()
    try:
        offset_map = DictOffsetMap(1 << 30, 1 << 40)
        for start in range(0, 30_000, 60):
            offset_map.put([rng.randbytes(key_size) for _ in range(60)], [1 << 40 | start + i for i in range(60)])
            if start % 3000 == 0:
                assert tracemalloc.get_traced_memory()[1] <= offset_map.bytes_used + 30_000
    finally:
        tracemalloc.stop()


def test_the_bound_of_memory_holds() -> None:
    small = DictOffsetMap(1 << 30, 100_000)
    number = 0
    with contextlib.suppress(MapMemoryError):
        for number in range(10_000):
            small.put_one(b"%d" % number, number)
    assert number < 1000
    early = DictOffsetMap(1 << 30, 100_000, 10_000)
    with contextlib.suppress(MapMemoryError):
        for number in range(10_000):
            early.put_one(b"%d" % number, number)
    assert early.bytes_used < 30_000
    assert CompactOffsetMap(1000, 100_000, 1 << 60).bytes_used <= 100_000
    assert CompactOffsetMap(1000, 1 << 40, 10).bytes_used < 1000


def test_capacity() -> None:
    assert capacity_of(128 << 20, 0.9) == 5_033_164
