"""The segments of one log in offset order, and the last batches of the active one  (Kafka: LogSegments)."""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterator

from log.segment import BatchSpan, Segment

_TAIL_KEEP = 64
_TAIL_LIMIT = 128


class Segments:
    """An ordered map base offset -> segment; the last one is the active one."""

    __slots__ = ("_bases", "_items", "active")

    active: Segment

    def __init__(self) -> None:
        self._bases: list[int] = []
        self._items: list[Segment] = []

    def __len__(self) -> int:
        return len(self._items)

    def __iter__(self) -> Iterator[Segment]:
        return iter(list(self._items))

    def __contains__(self, base_offset: int) -> bool:
        at = bisect_left(self._bases, base_offset)
        return at < len(self._bases) and self._bases[at] == base_offset

    @property
    def first(self) -> Segment:
        return self._items[0]

    @property
    def size_bytes(self) -> int:
        return sum(segment.size for segment in self._items)

    def add(self, segment: Segment) -> None:
        at = bisect_left(self._bases, segment.base_offset)
        self._bases.insert(at, segment.base_offset)
        self._items.insert(at, segment)
        self.active = self._items[-1]

    def remove(self, segment: Segment) -> None:
        at = bisect_left(self._bases, segment.base_offset)
        del self._bases[at]
        del self._items[at]
        if self._items:
            self.active = self._items[-1]

    def floor(self, offset: int) -> Segment | None:
        """The segment that would hold ``offset``."""
        at = bisect_right(self._bases, offset)
        return self._items[at - 1] if at else None

    def higher(self, offset: int) -> Segment | None:
        """The first segment with a base offset above ``offset``."""
        at = bisect_right(self._bases, offset)
        return self._items[at] if at < len(self._items) else None

    def from_floor(self, offset: int) -> list[Segment]:
        """The segment that would hold ``offset`` and all after it."""
        at = bisect_right(self._bases, offset)
        return self._items[max(at - 1, 0) :]


class Tail:
    """Where the last batches of the active segment lie, so that reading at the end needs no look at the disk."""

    __slots__ = ("_offsets", "_positions", "end")

    def __init__(self) -> None:
        self._offsets = array("q")
        self._positions = array("q")
        self.end = 0
        """Position after the last batch noted."""

    def note(self, base_offset: int, position: int, size: int) -> None:
        """A batch was appended."""
        offsets = self._offsets
        offsets.append(base_offset)
        self._positions.append(position)
        self.end = position + size
        if len(offsets) > _TAIL_LIMIT:
            del offsets[:-_TAIL_KEEP]
            del self._positions[:-_TAIL_KEEP]

    def clear(self) -> None:
        """Forget everything: another segment is active, or the end was cut off."""
        del self._offsets[:]
        del self._positions[:]

    def find(self, offset: int, end_offset: int) -> BatchSpan | None:
        """The batch that holds ``offset`` (below ``end_offset``, the log's end), if it is one of the last."""
        offsets = self._offsets
        if not offsets or offset < offsets[0]:
            return None
        after = bisect_right(offsets, offset)
        position = self._positions[after - 1]
        if after < len(offsets):
            return BatchSpan(offsets[after - 1], offsets[after] - 1, position, self._positions[after] - position)
        return BatchSpan(offsets[after - 1], end_offset - 1, position, self.end - position)

    def position(self, offset: int) -> int:
        """Position of the batch that holds ``offset``; -1 when it is not one of the last."""
        offsets = self._offsets
        if not offsets or offset < offsets[0]:
            return -1
        return self._positions[bisect_right(offsets, offset) - 1]
