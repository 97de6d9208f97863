"""Which leader epoch wrote from which offset on: the cache and its file  (Kafka: LeaderEpochFileCache).

``leader-epoch-checkpoint`` is text: version 0, number of entries, then ``epoch start_offset`` a line. It is written
when an epoch begins, without a sync: recovery finds the epochs that are not in it in the batches themselves, and a
torn file is recognised and made again. A flush of the log makes it durable.
"""

from __future__ import annotations

from attrs import define

from log.checkpoints import parse_lines
from log.filenames import LEADER_EPOCHS
from log.storage import Storage, read_file, write_file

UNDEFINED_EPOCH = -1
UNDEFINED_OFFSET = -1


@define(slots=True, frozen=True)
class EpochEntry:
    epoch: int
    start_offset: int


class LeaderEpochs:
    """Entries in rising order of epoch and of start offset."""

    __slots__ = ("_directory", "_storage", "dirty", "entries", "latest_epoch", "unsynced")

    def __init__(self, storage: Storage, directory: str, entries: list[EpochEntry] | None = None) -> None:
        self._storage = storage
        self._directory = directory
        self.entries: list[EpochEntry] = entries or []
        self.latest_epoch = self.entries[-1].epoch if self.entries else UNDEFINED_EPOCH
        self.dirty = False
        """The file lags behind (truncations are written with the next flush or close)."""
        self.unsynced = False
        """The file was written since the last flush."""

    @classmethod
    def load(cls, storage: Storage, directory: str) -> tuple[LeaderEpochs, bool]:
        """The cache, and whether its file was missing or unreadable (then the log must be asked)."""
        raw = read_file(storage, f"{directory}/{LEADER_EPOCHS}")
        lines = parse_lines(raw) if raw is not None else None
        if lines is None:
            return cls(storage, directory), True
        entries: list[EpochEntry] = []
        for line in lines:
            parts = line.split(" ")
            try:
                entry = EpochEntry(int(parts[0]), int(parts[1]))
            except (ValueError, IndexError):
                return cls(storage, directory), True
            if entries and (entry.epoch <= entries[-1].epoch or entry.start_offset < entries[-1].start_offset):
                return cls(storage, directory), True
            entries.append(entry)
        return cls(storage, directory, entries), False

    @property
    def path(self) -> str:
        return f"{self._directory}/{LEADER_EPOCHS}"

    def move(self, directory: str) -> None:
        """The directory was renamed."""
        self._directory = directory

    def assign(self, epoch: int, start_offset: int, *, write: bool = True) -> None:
        """``epoch`` writes from ``start_offset`` on; entries that contradict it are dropped."""
        entries = self.entries
        if entries:
            last = entries[-1]
            if last.epoch == epoch and start_offset >= last.start_offset:
                return
            while entries and (entries[-1].epoch >= epoch or entries[-1].start_offset >= start_offset):
                entries.pop()
        entries.append(EpochEntry(epoch, start_offset))
        self.latest_epoch = epoch
        self.dirty = True
        if write:
            self.write()

    def epoch_for_offset(self, offset: int) -> int:
        """The epoch of the record at ``offset``, -1 when unknown."""
        found = UNDEFINED_EPOCH
        for entry in self.entries:
            if entry.start_offset > offset:
                break
            found = entry.epoch
        return found

    def end_offset_for(self, epoch: int, log_end_offset: int) -> tuple[int, int]:
        """(epoch, end offset) of the largest epoch at or below ``epoch``; (-1, -1) when not known.

        An epoch below all known ones ends where the first of them begins.
        """
        entries = self.entries
        if epoch == UNDEFINED_EPOCH or not entries:
            return UNDEFINED_EPOCH, UNDEFINED_OFFSET
        if entries[-1].epoch == epoch:
            return epoch, log_end_offset
        if epoch > entries[-1].epoch:
            return UNDEFINED_EPOCH, UNDEFINED_OFFSET
        floor: EpochEntry | None = None
        for entry in entries:
            if entry.epoch > epoch:
                return (floor.epoch if floor is not None else epoch), entry.start_offset
            floor = entry
        return UNDEFINED_EPOCH, UNDEFINED_OFFSET

    def truncate_from_end(self, end_offset: int) -> None:
        """Forget the epochs that begin at or after ``end_offset``."""
        entries = self.entries
        while entries and entries[-1].start_offset >= end_offset:
            entries.pop()
            self.dirty = True
        self.latest_epoch = entries[-1].epoch if entries else UNDEFINED_EPOCH

    def truncate_from_start(self, start_offset: int) -> None:
        """Nothing is left before ``start_offset``: the epoch there begins there."""
        entries = self.entries
        keep = 0
        while keep < len(entries) and entries[keep].start_offset <= start_offset:
            keep += 1
        if keep and (keep > 1 or entries[0].start_offset != start_offset):
            entries[:keep] = [EpochEntry(entries[keep - 1].epoch, start_offset)]
            self.dirty = True

    def clear(self) -> None:
        if self.entries:
            self.entries.clear()
            self.dirty = True
        self.latest_epoch = UNDEFINED_EPOCH

    def write(self) -> None:
        """Write the file anew (not synced)."""
        lines = [f"0\n{len(self.entries)}\n"]
        lines += [f"{entry.epoch} {entry.start_offset}\n" for entry in self.entries]
        write_file(self._storage, self.path, "".join(lines).encode(), sync=False)
        self.dirty = False
        self.unsynced = True
