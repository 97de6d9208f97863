"""The ``.index`` of a segment: offset -> position of its batch, one entry for every ``index.interval.bytes`` of log.

Entries of 8 bytes: int32 offset - base, int32 position, both big-endian and rising; the offset is the *last* one of the
batch at the position. The active segment's file is extended with zeros to ``segment.index.bytes`` and cut to its
entries when the segment is rolled or closed.  (Kafka: OffsetIndex, AbstractIndex)

New entries wait in memory and are written some hundred at a time: a segment that was not closed or flushed gets its
indexes rebuilt anyway. There is no mmap, so an index costs nothing while nobody looks into it.
"""

from __future__ import annotations

import sys
from array import array
from bisect import bisect_left, bisect_right

from log.storage import LogFile

ENTRY_SIZE = 8
_PAGE_ENTRIES = 512
_TAIL_ENTRIES = 512
_ZERO = bytes(ENTRY_SIZE)
_SWAP = sys.byteorder == "little"


class OffsetIndex:
    """Sparse map of one segment. ``entries`` counts what is in the file and what waits in memory."""

    __slots__ = (
        "_file",
        "_loaded",
        "_page",
        "_page_number",
        "_preallocated",
        "_tail_offsets",
        "_tail_positions",
        "_written",
        "base_offset",
        "last_offset",
        "max_entries",
        "max_size",
    )

    def __init__(self, file: LogFile, base_offset: int, max_size: int) -> None:
        """An index over an existing file, which is looked at when first needed."""
        self._file = file
        self.base_offset = base_offset
        self.max_size = max_size
        self.max_entries = max_size // ENTRY_SIZE
        self.last_offset = base_offset
        self._loaded = False
        self._preallocated = False
        self._written = 0
        self._tail_offsets = array("i")
        self._tail_positions = array("i")
        self._page_number = -1
        self._page: tuple[array[int], array[int]] = (array("i"), array("i"))

    @property
    def file(self) -> LogFile:
        return self._file

    @property
    def entries(self) -> int:
        self.load()
        return self._written + len(self._tail_offsets)

    @property
    def is_full(self) -> bool:
        return self.entries >= self.max_entries

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
        if count and opened.pread(ENTRY_SIZE, (count - 1) * ENTRY_SIZE) == _ZERO:
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
        self.last_offset = self.base_offset
        if count:
            last = opened.pread(ENTRY_SIZE, (count - 1) * ENTRY_SIZE)
            self.last_offset = self.base_offset + int.from_bytes(last[:4], "big")

    def append(self, offset: int, position: int) -> None:
        """Add an entry; the caller has checked that it is not full and that offsets rise."""
        if not self._loaded:
            self.load()
        tail = self._tail_offsets
        tail.append(offset - self.base_offset)
        self._tail_positions.append(position)
        self.last_offset = offset
        if len(tail) >= _TAIL_ENTRIES:
            self.write_tail()

    def write_tail(self) -> None:
        """Write the waiting entries to the file."""
        offsets = self._tail_offsets
        count = len(offsets)
        if not count:
            return
        opened = self._file.opened()
        if not self._preallocated:
            opened.truncate(max(self.max_entries, self._written + count) * ENTRY_SIZE)
            self._preallocated = True
        data = array("i", bytes(count * ENTRY_SIZE))
        data[0::2] = offsets
        data[1::2] = self._tail_positions
        if _SWAP:
            data.byteswap()
        opened.pwrite(data.tobytes(), self._written * ENTRY_SIZE)
        self._written += count
        self._page_number = -1
        del offsets[:]
        del self._tail_positions[:]

    def lookup(self, offset: int) -> int:
        """Position to search from for ``offset``: that of the last entry at or below it, else 0."""
        if not self._loaded:
            self.load()
        relative = offset - self.base_offset
        tail = self._tail_offsets
        if tail and tail[0] <= relative:
            return self._tail_positions[bisect_right(tail, relative) - 1]
        if not self._written:
            return 0
        offsets, positions = self._page_with(relative)
        slot = bisect_right(offsets, relative)
        return positions[slot - 1] if slot else 0

    def _page_with(self, relative: int) -> tuple[array[int], array[int]]:
        """The page of entries where ``relative`` belongs; the last one looked at is kept."""
        pages = (self._written + _PAGE_ENTRIES - 1) // _PAGE_ENTRIES
        number = self._page_number
        if number >= 0 and self._page[0][0] <= relative and (number == pages - 1 or relative < self._page[0][-1]):
            return self._page
        opened = self._file.opened()
        low, high = 0, pages - 1
        while low < high:
            middle = (low + high + 1) // 2
            first = int.from_bytes(opened.pread(4, middle * _PAGE_ENTRIES * ENTRY_SIZE), "big")
            if first <= relative:
                low = middle
            else:
                high = middle - 1
        return self._read_page(low)

    def _read_page(self, number: int) -> tuple[array[int], array[int]]:
        count = min(_PAGE_ENTRIES, self._written - number * _PAGE_ENTRIES)
        raw = self._file.opened().pread(count * ENTRY_SIZE, number * _PAGE_ENTRIES * ENTRY_SIZE)
        data = array("i", raw)
        if _SWAP:
            data.byteswap()
        self._page = (data[0::2], data[1::2])
        self._page_number = number
        return self._page

    def offset_at_or_after(self, position: int) -> int | None:
        """Offset of the first entry whose batch is at or behind ``position``; None when there is none."""
        self.load()
        low, high = 0, self._written
        opened = self._file.opened() if self._written else None
        while low < high and opened is not None:
            middle = (low + high) // 2
            if int.from_bytes(opened.pread(4, middle * ENTRY_SIZE + 4), "big") < position:
                low = middle + 1
            else:
                high = middle
        if low < self._written and opened is not None:
            return self.base_offset + int.from_bytes(opened.pread(4, low * ENTRY_SIZE), "big")
        slot = bisect_left(self._tail_positions, position)
        return self.base_offset + self._tail_offsets[slot] if slot < len(self._tail_offsets) else None

    def all_entries(self) -> list[tuple[int, int]]:
        """Every (offset, position), for checks and tests."""
        self.write_tail()
        self.load()
        found = []
        for number in range((self._written + _PAGE_ENTRIES - 1) // _PAGE_ENTRIES):
            offsets, positions = self._read_page(number)
            found += [(self.base_offset + o, p) for o, p in zip(offsets, positions, strict=True)]
        return found

    def truncate_to(self, offset: int) -> None:
        """Drop the entries at or above ``offset``."""
        self.write_tail()
        self.load()
        relative = offset - self.base_offset
        if self._written:
            if relative <= 0:
                keep = 0
            else:
                offsets, _ = self._page_with(relative - 1)
                keep = self._page_number * _PAGE_ENTRIES + bisect_right(offsets, relative - 1)
            opened = self._file.opened()
            opened.truncate(keep * ENTRY_SIZE)
            self._preallocated = False
            self._page_number = -1
            self._written = keep
            self.last_offset = self.base_offset
            if keep:
                last = opened.pread(4, (keep - 1) * ENTRY_SIZE)
                self.last_offset += int.from_bytes(last, "big")

    def trim(self) -> None:
        """Write what waits and cut the file to its entries."""
        self.load()
        self.write_tail()
        if self._preallocated:
            self._file.opened().truncate(self._written * ENTRY_SIZE)
            self._preallocated = False

    def _reset_memory(self) -> None:
        self._written = 0
        self._page_number = -1
        self.last_offset = self.base_offset
        del self._tail_offsets[:]
        del self._tail_positions[:]
