"""The ``.txnindex`` of a segment: the transactions whose abort marker is in the segment.

Entries of 34 bytes, big-endian: int16 version 0, int64 producer id, int64 first offset, int64 last offset (the
marker's), int64 last stable offset when it was written. The file appears with the first abort.  (Kafka:
TransactionIndex, AbortedTxn)
"""

from __future__ import annotations

from bisect import bisect_left
from operator import attrgetter
from struct import Struct
from typing import Final

from attrs import define

from kwire.errors import CorruptRecordsError
from log.storage import LogFile

_ENTRY = Struct(">hqqqq")
ENTRY_SIZE = _ENTRY.size
_VERSION = 0
_LAST_OFFSET: Final = attrgetter("last_offset")


@define(slots=True, frozen=True)
class AbortedTransaction:
    producer_id: int
    first_offset: int
    last_offset: int
    last_stable_offset: int


class TransactionIndex:
    """Aborted transactions of one segment, in the order of their markers; read from the file when first needed."""

    __slots__ = ("_entries", "_exists", "_file")

    def __init__(self, file: LogFile, *, exists: bool) -> None:
        self._file = file
        self._exists = exists
        self._entries: list[AbortedTransaction] | None = None if exists else []

    @property
    def file(self) -> LogFile:
        return self._file

    @property
    def exists(self) -> bool:
        """Whether there is a file."""
        return self._exists

    def entries(self) -> list[AbortedTransaction]:
        """All entries. Raises ``CorruptRecordsError`` for a version that is not known."""
        if self._entries is None:
            opened = self._file.opened()
            size = opened.size() // ENTRY_SIZE * ENTRY_SIZE
            found = []
            for version, *values in _ENTRY.iter_unpack(opened.pread(size, 0)):
                if version > _VERSION:
                    raise CorruptRecordsError(f"aborted transaction of version {version} in {self._file.path}")
                found.append(AbortedTransaction(*values))
            self._entries = found
        return self._entries

    def append(self, aborted: AbortedTransaction) -> None:
        entries = self.entries()
        data = _ENTRY.pack(
            _VERSION,
            aborted.producer_id,
            aborted.first_offset,
            aborted.last_offset,
            aborted.last_stable_offset,
        )
        self._file.opened().pwrite(data, len(entries) * ENTRY_SIZE)
        self._exists = True
        entries.append(aborted)

    def collect(self, fetch_offset: int, upper_bound: int) -> tuple[list[AbortedTransaction], bool]:
        """Those that touch ``[fetch_offset, upper_bound)``, and whether later segments can hold no more of them."""
        found = []
        entries = self.entries()
        for number in range(bisect_left(entries, fetch_offset, key=_LAST_OFFSET), len(entries)):
            aborted = entries[number]
            if aborted.first_offset < upper_bound:
                found.append(aborted)
            if aborted.last_stable_offset >= upper_bound:
                return found, True
        return found, False

    def truncate_to(self, offset: int) -> None:
        """Drop the entries whose marker is at or above ``offset``."""
        if not self._exists:
            return
        entries = self.entries()
        keep = next((i for i, aborted in enumerate(entries) if aborted.last_offset >= offset), len(entries))
        self._file.opened().truncate(keep * ENTRY_SIZE)
        del entries[keep:]

    def reset(self) -> None:
        """Drop everything (before a rebuild)."""
        if self._exists:
            self._file.opened().truncate(0)
        self._entries = []
