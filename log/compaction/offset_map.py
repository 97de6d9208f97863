"""The last offset of each key in the dirty part of a log, within a bound of memory  (Kafka: SkimpyOffsetMap).

Kafka's map takes 24 bytes a key. A dict of keys is six to ten times as large and five times as quick, and most topics
have few enough keys; so there are two maps of the same behaviour, and the second is taken only when the first would
exceed the bound (``MapMemoryError``: begin again with ``CompactOffsetMap``). Both hold as many keys as Kafka's would.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import repeat
from typing import Protocol

ENTRY_BYTES = 24
_SECOND_HASH = b"\xff"

# CPython's, on 64 bits: a bytes object (rounded up to 16), an int of 31 to 60 bits, and a dict's table while it grows:
# the old one full to two thirds and the new one of twice its size, with 8-byte indices at worst.
_KEY_OVERHEAD = 33 + 15
_VALUE_BYTES = 32
_DICT_ENTRY_BYTES = 108


class MapMemoryError(Exception):
    """The keys take more memory than allowed in a :class:`DictOffsetMap`."""


class OffsetMap(Protocol):
    """``latest_offset`` is how far the log was read into it, -1 before; no more than ``capacity`` keys."""

    capacity: int
    latest_offset: int

    def __len__(self) -> int: ...

    def put(self, keys: Sequence[bytes], offsets: Sequence[int]) -> bool:
        """Note that these keys were seen at these rising offsets. False when it is full: ``latest_offset`` is then the
        last offset taken. A full map takes no keys that it knows either.  (Kafka: buildOffsetMapForSegment)"""
        ...

    def put_one(self, key: bytes, offset: int) -> bool:
        """As ``put``."""
        ...

    def latest_of(self, key: bytes) -> int:
        """The last offset noted, or -1."""
        ...

    def latest(self, keys: Sequence[bytes | None]) -> list[int]:
        """For each the last offset noted, or -1."""
        ...

    @property
    def bytes_used(self) -> int:
        """Memory taken."""
        ...


def capacity_of(map_bytes: int, load_factor: float) -> int:
    """How many keys Kafka's map of so many bytes takes."""
    return int(map_bytes // ENTRY_BYTES * load_factor)


class DictOffsetMap:
    """The quick one: a dict of the keys themselves.

    ``put`` raises ``MapMemoryError`` beyond ``max_bytes``, and at a quarter of that if it will come to twice as much
    should ``expected`` records bring as many new keys as those so far: then the time is better not spent.
    """

    __slots__ = ("_expected", "_key_bytes", "_known", "_max_bytes", "_seen", "capacity", "latest_offset")

    def __init__(self, capacity: int, max_bytes: int, expected: int = 0) -> None:
        self.capacity = capacity
        self.latest_offset = -1
        self._max_bytes = max_bytes
        self._expected = expected
        self._seen = 0
        self._known: dict[bytes | None, int] = {}
        self._key_bytes = 0

    def __len__(self) -> int:
        return len(self._known)

    def put(self, keys: Sequence[bytes], offsets: Sequence[int]) -> bool:
        known = self._known
        if not keys:
            return True
        before = len(known)
        if before + len(keys) > self.capacity:
            return self._put_some(keys, offsets)
        known.update(zip(keys, offsets, strict=True))
        self.latest_offset = offsets[-1]
        self._seen += len(keys)
        added = len(known) - before
        if added:
            self._key_bytes += max(map(len, keys)) * added  # never too little
            used = self.bytes_used
            most = self._max_bytes
            if used > most or (4 * used > most and used * self._expected > 2 * most * self._seen):
                raise MapMemoryError
        return True

    def _put_some(self, keys: Sequence[bytes], offsets: Sequence[int]) -> bool:
        known = self._known
        for key, offset in zip(keys, offsets, strict=True):
            if len(known) >= self.capacity:
                return False
            if key not in known:
                self._key_bytes += len(key)
            known[key] = offset
            self.latest_offset = offset
        if self.bytes_used > self._max_bytes:
            raise MapMemoryError
        return True

    def put_one(self, key: bytes, offset: int) -> bool:
        known = self._known
        if len(known) >= self.capacity:
            return False
        if key not in known:
            return self.put((key,), (offset,))
        known[key] = offset
        self.latest_offset = offset
        self._seen += 1
        return True

    def latest_of(self, key: bytes) -> int:
        return self._known.get(key, -1)

    def latest(self, keys: Sequence[bytes | None]) -> list[int]:
        return list(map(self._known.get, keys, repeat(-1)))

    @property
    def bytes_used(self) -> int:
        return self._key_bytes + len(self._known) * (_KEY_OVERHEAD + _VALUE_BYTES + _DICT_ENTRY_BYTES)


class CompactOffsetMap:
    """The small one: an open hash table of 24 bytes a slot, two 64-bit hashes of the key and the offset.

    The hashes are Python's of the key and of the key with a byte before it: SipHash with the process's secret, so that
    nobody can choose keys that collide, and by chance two of n keys do with a probability of n * n / 2**129. Probing is
    by double hashing over a prime number of slots.
    """

    __slots__ = ("_count", "_slots", "_table", "capacity", "latest_offset")

    def __init__(self, capacity: int, max_bytes: int, expected: int) -> None:
        """``expected``: no more than so many keys will come (the table need not be larger than they need)."""
        self.capacity = capacity
        self.latest_offset = -1
        self._count = 0
        slots = min(max_bytes // ENTRY_BYTES, expected + expected // 3 + 8)
        self._slots = _prime_at_most(slots)
        self.capacity = min(capacity, self._slots - 1)
        self._table = memoryview(bytearray(self._slots * ENTRY_BYTES)).cast("q")

    def __len__(self) -> int:
        return self._count

    def put(self, keys: Sequence[bytes], offsets: Sequence[int]) -> bool:
        table = self._table
        slots = self._slots
        capacity = self.capacity
        count = self._count
        put_all = True
        offset = self.latest_offset
        for key, new in zip(keys, offsets, strict=True):
            if count >= capacity:
                put_all = False
                break
            offset = new
            first = hash(key)
            second = hash(_SECOND_HASH + key)
            slot = first % slots
            at = 3 * slot
            while True:
                if not table[at + 2]:  # offset + 1, so 0 is an empty slot
                    table[at] = first
                    table[at + 1] = second
                    count += 1
                    break
                if table[at] == first and table[at + 1] == second:
                    break
                slot = (slot + 1 + second % (slots - 1)) % slots
                at = 3 * slot
            table[at + 2] = offset + 1
        self._count = count
        self.latest_offset = offset
        return put_all

    def put_one(self, key: bytes, offset: int) -> bool:
        return self.put((key,), (offset,))

    def latest_of(self, key: bytes) -> int:
        return self.latest((key,))[0]

    def latest(self, keys: Sequence[bytes | None]) -> list[int]:
        table = self._table
        slots = self._slots
        found = []
        for key in keys:
            if key is None:
                found.append(-1)
                continue
            first = hash(key)
            slot = first % slots
            at = 3 * slot
            offset = table[at + 2]
            if offset:
                second = hash(_SECOND_HASH + key)
                while offset and (table[at] != first or table[at + 1] != second):
                    slot = (slot + 1 + second % (slots - 1)) % slots
                    at = 3 * slot
                    offset = table[at + 2]
            found.append(offset - 1)
        return found

    @property
    def bytes_used(self) -> int:
        return self._table.nbytes


def _prime_at_most(limit: int) -> int:
    """The largest prime up to ``limit``, at least 3."""
    candidate = max(3, limit - 1 + limit % 2)
    while any(candidate % divisor == 0 for divisor in range(3, int(candidate**0.5) + 1, 2)):
        candidate -= 2
    return candidate
