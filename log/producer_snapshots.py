"""The ``OFFSET.snapshot`` files of a partition: the producers' state up to an offset  (Kafka: ProducerStateManager).

One is written per roll and at a clean close. They are not synced when written: a torn one has a wrong CRC, and then
the one before it is taken and more batches are replayed.
"""

from __future__ import annotations

from bisect import bisect_right, insort

from kwire.errors import CorruptRecordsError
from log.filenames import DELETED, PRODUCER_SNAPSHOT, offset_name
from log.producer_state import ProducerStateManager
from log.storage import Storage, read_file, remove_if_exists


class ProducerSnapshots:
    """The snapshot files of one directory, by rising offset."""

    __slots__ = ("_storage", "directory", "offsets")

    def __init__(self, storage: Storage, directory: str, offsets: list[int]) -> None:
        self._storage = storage
        self.directory = directory
        self.offsets = sorted(offsets)

    def path(self, offset: int) -> str:
        return f"{self.directory}/{offset_name(offset, PRODUCER_SNAPSHOT)}"

    def take(self, producers: ProducerStateManager, offset: int) -> str | None:
        """Save the state, which goes up to ``offset``; the file's path, None when there was one already."""
        if offset in self.offsets:
            return None
        producers.end_offset = offset
        path = self.path(offset)
        opened = self._storage.open(path, create=True)
        opened.truncate(0)
        opened.pwrite(producers.encode_snapshot(), 0)
        insort(self.offsets, offset)
        return path

    def load_latest(self, producers: ProducerStateManager, up_to: int, now_ms: int) -> bool:
        """Begin from the latest sound snapshot at or below ``up_to``; False when there is none (nothing is changed)."""
        for offset in reversed(self.offsets[: bisect_right(self.offsets, up_to)]):
            data = read_file(self._storage, self.path(offset))
            if data is None:
                continue
            try:
                producers.load_snapshot(data, offset, now_ms)
            except CorruptRecordsError:
                self.remove(offset)
                continue
            return True
        return False

    def remove(self, offset: int) -> None:
        remove_if_exists(self._storage, self.path(offset))
        if offset in self.offsets:
            self.offsets.remove(offset)

    def remove_above(self, offset: int) -> bool:
        """Remove those beyond the end of the log; whether there were any."""
        above = self.offsets[bisect_right(self.offsets, offset) :]
        for snapshot in above:
            self.remove(snapshot)
        return bool(above)

    def remove_stray(self, bases: set[int]) -> None:
        """Keep those that begin a segment, and the latest one."""
        for offset in self.offsets[:-1]:
            if offset not in bases:
                self.remove(offset)

    def retire(self, offset: int) -> str | None:
        """Rename one to ``.deleted``; its new path, None when there is none."""
        if offset not in self.offsets:
            return None
        path = self.path(offset)
        self._storage.rename(path, path + DELETED)
        self.offsets.remove(offset)
        return path + DELETED
