"""The indexes of a segment beside the batches they point at.

A cursor is shown every batch of the segment in order and says what is wrong with the entries it passes. Entries that
point into damaged bytes are not judged: the damage is told by itself.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Iterator, Sequence
from struct import Struct
from typing import Final, NamedTuple

from log.transaction_index import ENTRY_SIZE as TRANSACTION_ENTRY
from log.transaction_index import AbortedTransaction

_TIME: Final = Struct(">qi")
_TRANSACTION: Final = Struct(">hqqqq")
_NEVER: Final = sys.maxsize


class Fault(NamedTuple):
    """position: of the entry in the index file. offset: where lookups go wrong, -1 when unknown."""

    position: int
    offset: int
    what: str


def _entry_count(data: bytes, size: int) -> int:
    """Entries before the zeros that a preallocated file ends with."""
    count = len(data) // size
    end = len(data[: count * size].rstrip(b"\x00"))
    if not end and count == 1 and size == 12:
        return 1  # timestamp 0 at the base offset
    return -(-end // size)


class OffsetIndexCursor:
    """Over the entries of a `.index`. `next_position` is what the next entry points at."""

    __slots__ = ("_base", "_entries", "_number", "faults", "next_position")

    def __init__(self, data: bytes, base_offset: int) -> None:
        self._base = base_offset
        count = _entry_count(data, 8)
        entries = array("i", data[: count * 8])
        if sys.byteorder == "little":
            entries.byteswap()
        self._entries = entries
        self._number = 0
        self.faults: list[Fault] = []
        if len(data) % 8:
            self.faults.append(Fault(len(data) // 8 * 8, -1, f"{len(data)} bytes are no whole number of entries of 8"))
        self.faults += self._unsorted()
        self.next_position: int = entries[1] if count else _NEVER

    def __len__(self) -> int:
        return len(self._entries) // 2

    @property
    def last_offset(self) -> int:
        return self._base + self._entries[-2] if self._entries else self._base

    def _unsorted(self) -> Iterator[Fault]:
        offsets, positions = self._entries[0::2], self._entries[1::2]
        last_offset = last_position = -1
        for number, (offset, position) in enumerate(zip(offsets, positions, strict=True)):
            if offset <= last_offset or position <= last_position:
                yield Fault(
                    number * 8,
                    self._base + offset,
                    f"entry {number} (offset {self._base + offset} at {position}) does not rise above the one before "
                    f"it (offset {self._base + last_offset} at {last_position})",
                )
                return
            last_offset, last_position = offset, position

    def passed(self, position: int, base_offset: int, last_offset: int) -> None:
        """A batch at `position`, which is at or behind `next_position`."""
        entries = self._entries
        number = self._number
        while number < len(entries) and entries[number + 1] <= position:
            offset, points_at = self._base + entries[number], entries[number + 1]
            if points_at != position:
                self.faults.append(
                    Fault(number * 4, offset, f"entry {number // 2} points at byte {points_at}, where no batch begins")
                )
            elif offset < base_offset or offset > last_offset:
                self.faults.append(
                    Fault(
                        number * 4,
                        min(offset, base_offset),
                        f"entry {number // 2} says that offset {offset} is at byte {points_at}, where the batch "
                        f"{base_offset}..{last_offset} lies",
                    )
                )
            number += 2
        self._to(number)

    def skip_to(self, position: int) -> None:
        """What lies before `position` is damaged."""
        number = self._number
        while number < len(self._entries) and self._entries[number + 1] < position:
            number += 2
        self._to(number)

    def _to(self, number: int) -> None:
        self._number = number
        self.next_position = self._entries[number + 1] if number < len(self._entries) else _NEVER

    def ended(self, size: int) -> None:
        """The segment has no more batches and `size` bytes."""
        if self._number < len(self._entries):
            offset, position = self._base + self._entries[self._number], self._entries[self._number + 1]
            left = (len(self._entries) - self._number) // 2
            where = f"in or behind the last batch of a segment of {size} bytes"
            self.faults.append(
                Fault(self._number * 4, offset, f"{left} entries, the first for byte {position}, point {where}")
            )
            self._to(len(self._entries))


class TimeIndexCursor:
    """Over the entries of a `.timeindex`. `next_offset` is that of the next entry."""

    __slots__ = ("_base", "_entries", "_largest", "_number", "faults", "next_offset")

    def __init__(self, data: bytes, base_offset: int) -> None:
        self._base = base_offset
        count = _entry_count(data, 12)
        self._entries = [
            (timestamp, base_offset + offset) for timestamp, offset in _TIME.iter_unpack(data[: count * 12])
        ]
        self._number = 0
        self.faults: list[Fault] = []
        if len(data) % 12:
            self.faults.append(
                Fault(len(data) // 12 * 12, -1, f"{len(data)} bytes are no whole number of entries of 12")
            )
        last = (-(1 << 63), -1)
        for number, entry in enumerate(self._entries):
            if entry[0] <= last[0] or entry[1] < last[1]:
                text = f"entry {number} (timestamp {entry[0]}, offset {entry[1]}) does not rise above the one before it"
                self.faults.append(Fault(number * 12, entry[1], f"{text} ({last[0]}, {last[1]})"))
                break
            last = entry
        self._to(0)

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def last_timestamp(self) -> int:
        return self._entries[-1][0] if self._entries else -1

    def _to(self, number: int) -> None:
        self._number = number
        self.next_offset = self._entries[number][1] if number < len(self._entries) else _NEVER

    def passed(self, base_offset: int, last_offset: int, max_timestamp: int, largest: int) -> None:
        """A batch that ends at or above `next_offset`; `largest` is the largest timestamp up to it."""
        number = self._number
        while number < len(self._entries) and self._entries[number][1] <= last_offset:
            timestamp, offset = self._entries[number]
            if offset < base_offset:
                self._fault(number, "no batch has this offset")
            elif timestamp != max_timestamp or timestamp < largest:
                self._fault(
                    number,
                    f"the batch {base_offset}..{last_offset} has the largest timestamp {max_timestamp}, "
                    f"{largest} so far",
                )
            number += 1
        self._to(number)

    def _fault(self, number: int, why: str) -> None:
        timestamp, offset = self._entries[number]
        self.faults.append(
            Fault(number * 12, offset, f"entry {number} says timestamp {timestamp} at offset {offset}, but {why}")
        )

    def skip_to(self, offset: int) -> None:
        number = self._number
        while number < len(self._entries) and self._entries[number][1] < offset:
            number += 1
        self._to(number)

    def ended(self, end_offset: int, largest: int, *, whole: bool) -> None:
        """The segment ends at `end_offset`. whole: it is closed, so the last entry is the largest timestamp's."""
        if self._number < len(self._entries):
            self._fault(self._number, f"the segment ends at offset {end_offset}")
        elif whole and largest >= 0 and self.last_timestamp != largest and not self.faults:
            self.faults.append(
                Fault(
                    max(len(self._entries) - 1, 0) * 12,
                    -1,
                    f"the last entry's timestamp is {self.last_timestamp}, the segment's largest is {largest}",
                )
            )


def read_transactions(data: bytes) -> tuple[list[AbortedTransaction], list[Fault]]:
    """The entries of a `.txnindex`, and what is wrong with them alone."""
    faults = []
    whole = len(data) // TRANSACTION_ENTRY * TRANSACTION_ENTRY
    if whole != len(data):
        faults.append(Fault(whole, -1, f"{len(data)} bytes are no whole number of entries of {TRANSACTION_ENTRY}"))
    found: list[AbortedTransaction] = []
    for number, (version, *values) in enumerate(_TRANSACTION.iter_unpack(data[:whole])):
        entry = AbortedTransaction(*values)
        if version != 0:
            faults.append(Fault(number * TRANSACTION_ENTRY, -1, f"entry {number} has version {version}, 0 is known"))
            break
        if found and entry.last_offset <= found[-1].last_offset:
            text = f"entry {number} (marker at {entry.last_offset}) does not follow the one before it"
            faults.append(Fault(number * TRANSACTION_ENTRY, entry.last_offset, text))
        found.append(entry)
    return found, faults


def compare_transactions(
    stored: Sequence[AbortedTransaction], expected: Sequence[AbortedTransaction], first_known: int
) -> Iterator[Fault]:
    """Where a `.txnindex` differs from what the log says. What begins before `first_known` is not known."""
    by_marker = {entry.last_offset: entry for entry in stored}
    for entry in expected:
        found = by_marker.pop(entry.last_offset, None)
        if found is None:
            yield Fault(
                len(stored) * TRANSACTION_ENTRY,
                entry.first_offset,
                f"the transaction of producer {entry.producer_id} from {entry.first_offset}, aborted at "
                f"{entry.last_offset}, is missing",
            )
        elif found != entry and not (
            found.producer_id == entry.producer_id and min(found.first_offset, found.last_stable_offset) < first_known
        ):
            yield Fault(
                stored.index(found) * TRANSACTION_ENTRY, entry.first_offset, f"it says {found}, the log {entry}"
            )
    for entry in by_marker.values():
        if entry.first_offset >= first_known:
            yield Fault(
                stored.index(entry) * TRANSACTION_ENTRY,
                entry.first_offset,
                f"the log knows of no transaction of producer {entry.producer_id} from {entry.first_offset} that was "
                f"aborted at {entry.last_offset}",
            )
