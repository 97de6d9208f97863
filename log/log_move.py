"""Moving a partition's log to another log directory of the same broker  (KIP-113; Kafka: ReplicaAlterLogDirsThread).

The log stays in use while its closed segments are copied into ``TOPIC-N.UNIQUE-future``. What remains then, a small
active segment, is copied in one step that also renames both directories. A crash before that step leaves the old
directory as it was and a ``-future`` one that the next start removes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from log.filenames import FUTURE_DIR, marked_dir
from log.log_directory import LogDirectory
from log.log_manager import DeferredDirectoryDelete, LogManager
from log.storage import Storage, remove_if_exists

if TYPE_CHECKING:
    from log.partition_log import PartitionLog

# What is left to copy in the last step, in which the partition has to wait.
SMALL_BYTES = 4 * 1024 * 1024
_CHUNK_BYTES = 1024 * 1024


class LogMove:
    """One partition on its way. Repeat ``plan`` (on the loop) and ``copy`` (in a thread) until ``plan`` gives None,
    then ``finish``.

    Errors are ``OSError`` (of either disk) and ``ApiError``; after one, ``abandon`` removes what was copied.
    """

    def __init__(self, manager: LogManager, log: PartitionLog, target: LogDirectory, unique: str) -> None:
        self._manager = manager
        self._storage: Storage = manager.storage
        self._log = log
        self.target = target
        self.path = f"{target.path}/{marked_dir(log.topic, log.partition, unique, FUTURE_DIR)}"
        self._copied: set[str] = set()

    def plan(self, now_ms: int) -> list[str] | None:
        """The files to copy next; None when only a small active segment is left."""
        log = self._log
        if log.segments.active.size > SMALL_BYTES:
            log.roll(now_ms)
        names = [
            file.path.rpartition("/")[2]
            for segment in log.segments
            if segment is not log.segments.active
            for file in segment.files()
        ]
        fresh = [name for name in names if name not in self._copied]
        return fresh or None

    def copy(self, names: list[str]) -> None:
        """Copy files of closed segments, synced. Blocks."""
        self._storage.mkdir(self.path)
        for name in names:
            if self._copy(name):
                self._copied.add(name)

    def _copy(self, name: str) -> bool:
        """False: the file is gone, retention was quicker."""
        source_path = f"{self._log.directory}/{name}"
        if not self._storage.exists(source_path):
            return False
        source = self._storage.open(source_path, create=False)
        copy = self._storage.open(f"{self.path}/{name}", create=True)
        copy.truncate(0)
        position, size = 0, source.size()
        while position < size:
            data = source.pread(min(_CHUNK_BYTES, size - position), position)
            if not data:
                break
            copy.pwrite(data, position)
            position += len(data)
        copy.sync()
        return True

    def finish(self, now_ms: int) -> list[DeferredDirectoryDelete]:
        """Close the log, copy the rest, put the new directory in the old one's place.

        The log given before is closed; the manager opens the new one when next asked. Returns what is to be removed.
        """
        self._log.close(now_ms)
        self._storage.mkdir(self.path)
        there = set(self._storage.list_dir(self._log.directory))
        for name in sorted(there - self._copied):
            self._copy(name)
        for name in self._copied - there:
            remove_if_exists(self._storage, f"{self.path}/{name}")
        self._storage.sync_dir(self.path)
        return self._manager.replace(self._log, self.target, self.path)

    def abandon(self) -> list[DeferredDirectoryDelete]:
        """Leave the partition where it is; the copy is to be removed."""
        return [DeferredDirectoryDelete(self.path, 0)]
