"""The ``.timeindex`` of a segment: largest timestamp so far -> offset of the batch that has it.

Entries of 12 bytes: int64 timestamp, int32 offset - base, big-endian; timestamps rise strictly. One entry is kept
free for the largest timestamp, which is added when the segment is rolled or closed.  (Kafka: TimeIndex)
"""

from __future__ import annotations

from struct import Struct

from log.storage import LogFile

ENTRY_SIZE = 12
_ENTRY = Struct(">qi")
_TAIL_BYTES = 256 * ENTRY_SIZE
_ZERO = bytes(ENTRY_SIZE)
NO_TIMESTAMP = -1


class TimeIndex:
    """Sparse map of one segment. ``last_timestamp`` is -1 and ``last_offset`` the base offset while it is empty."""

    __slots__ = (
        "_file",
        "_last_offset",
        "_last_timestamp",
        "_loaded",
        "_preallocated",
        "_tail",
        "_written",
        "base_offset",
        "max_entries",
        "max_size",
    )

    def __init__(self, file: LogFile, base_offset: int, max_size: int) -> None:
        """An index over an existing file, which is looked at when first needed."""
        self._file = file
        self.base_offset = base_offset
        self.max_size = max_size
        self.max_entries = max_size // ENTRY_SIZE
        self._last_timestamp = NO_TIMESTAMP
        self._last_offset = base_offset
        self._loaded = False
        self._preallocated = False
        self._written = 0
        self._tail = bytearray()

    @property
    def file(self) -> LogFile:
        return self._file

    @property
    def entries(self) -> int:
        self.load()
        return self._written + len(self._tail) // ENTRY_SIZE

    @property
    def is_full(self) -> bool:
        """One entry is reserved for the roll."""
        return self.entries >= self.max_entries - 1

    @property
    def last_timestamp(self) -> int:
        self.load()
        return self._last_timestamp

    @property
    def last_offset(self) -> int:
        self.load()
        return self._last_offset

    def create(self) -> None:
        """Begin an empty, preallocated file where there was none."""
        self._loaded = True
        self._reset_memory()
        self._file.opened().truncate(self.max_entries * ENTRY_SIZE)
        self._preallocated = True

    def reset(self) -> None:
        """Empty the file, before its entries are made anew."""
        self._loaded = True
        self._reset_memory()
        opened = self._file.opened()
        if opened.size():
            opened.truncate(0)
        self._preallocated = False

    def load(self) -> None:
        """Count the entries of the file; a zero-filled tail left by a crash does not count."""
        if self._loaded:
            return
        opened = self._file.opened()
        size = opened.size()
        count = size // ENTRY_SIZE
        if count > 1 and opened.pread(ENTRY_SIZE, (count - 1) * ENTRY_SIZE) == _ZERO:
            low, high = 0, count - 1
            while low < high:
                middle = (low + high) // 2
                if opened.pread(ENTRY_SIZE, middle * ENTRY_SIZE) == _ZERO:
                    high = middle
                else:
                    low = middle + 1
            count = low
        self._preallocated = size != count * ENTRY_SIZE
        self._written = count
        self._loaded = True
        self._load_last()

    def _load_last(self) -> None:
        self._last_timestamp, self._last_offset = NO_TIMESTAMP, self.base_offset
        if self._written:
            self._last_timestamp, self._last_offset = self._entry(self._written - 1)

    def _entry(self, number: int) -> tuple[int, int]:
        at = number * ENTRY_SIZE
        if number < self._written:
            timestamp, relative = _ENTRY.unpack(self._file.opened().pread(ENTRY_SIZE, at))
        else:
            timestamp, relative = _ENTRY.unpack_from(self._tail, at - self._written * ENTRY_SIZE)
        return timestamp, self.base_offset + relative

    def maybe_append(self, timestamp: int, offset: int) -> None:
        """Add an entry when ``timestamp`` is above the last one's."""
        if not self._loaded:
            self.load()
        if timestamp <= self._last_timestamp:
            return
        self._tail += _ENTRY.pack(timestamp, offset - self.base_offset)
        self._last_timestamp = timestamp
        self._last_offset = offset
        if len(self._tail) >= _TAIL_BYTES:
            self.write_tail()

    def write_tail(self) -> None:
        """Write the waiting entries to the file."""
        tail = self._tail
        if not tail:
            return
        count = len(tail) // ENTRY_SIZE
        opened = self._file.opened()
        if not self._preallocated:
            opened.truncate(max(self.max_entries, self._written + count) * ENTRY_SIZE)
            self._preallocated = True
        opened.pwrite(tail, self._written * ENTRY_SIZE)
        self._written += count
        tail.clear()

    def lookup(self, timestamp: int) -> int:
        """Offset to search from for ``timestamp``: that of the last entry at or below it, else the base offset."""
        low, high = 0, self.entries
        while low < high:
            middle = (low + high) // 2
            if self._entry(middle)[0] <= timestamp:
                low = middle + 1
            else:
                high = middle
        return self._entry(low - 1)[1] if low else self.base_offset

    def all_entries(self) -> list[tuple[int, int]]:
        """Every (timestamp, offset), for checks and tests."""
        return [self._entry(number) for number in range(self.entries)]

    def truncate_to(self, offset: int) -> None:
        """Drop the entries at or above ``offset``."""
        self.load()
        self.write_tail()
        low, high = 0, self._written
        while low < high:
            middle = (low + high) // 2
            if self._entry(middle)[1] < offset:
                low = middle + 1
            else:
                high = middle
        self._file.opened().truncate(low * ENTRY_SIZE)
        self._preallocated = False
        self._written = low
        self._load_last()

    def trim(self) -> None:
        """Write what waits and cut the file to its entries."""
        self.load()
        self.write_tail()
        if self._preallocated:
            self._file.opened().truncate(self._written * ENTRY_SIZE)
            self._preallocated = False

    def _reset_memory(self) -> None:
        self._written = 0
        self._tail.clear()
        self._last_timestamp = NO_TIMESTAMP
        self._last_offset = self.base_offset
