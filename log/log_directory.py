"""One directory of ``log.dirs``: lock, identity, clean marker, checkpoints, the partitions found in it."""

from __future__ import annotations

from attrs import define, field

from log import clean_shutdown
from log.checkpoints import CheckpointWrite, OffsetCheckpoint, TopicPartition
from log.filenames import (
    CLEANER_OFFSETS,
    DELETE_DIR,
    FUTURE_DIR,
    HIGH_WATERMARKS,
    LOCK,
    LOG_STARTS,
    RECOVERY_POINTS,
    STRAY_DIR,
    parse_partition_dir,
)
from log.meta_properties import MetaProperties
from log.storage import Storage, remove_if_exists


class DirectoryInUseError(Exception):
    """Another process works on the directory."""


@define(slots=True, eq=False)
class LogDirectory:
    """State of one log directory. ``recovery_points`` and ``log_starts`` are what the checkpoints say."""

    storage: Storage
    path: str
    was_clean: bool = False
    """The last stop was clean: the checkpoints and indexes are believed."""
    properties: MetaProperties | None = None
    recovery_points: dict[TopicPartition, int] = field(factory=dict)
    log_starts: dict[TopicPartition, int] = field(factory=dict)
    high_watermarks: dict[TopicPartition, int] = field(factory=dict)
    cleaner_offsets: dict[TopicPartition, int] = field(factory=dict)
    """Up to where compacted partitions are clean. A damaged file counts as none: they are cleaned from the start."""
    partitions: set[TopicPartition] = field(factory=set)
    """The partitions that have a directory here."""
    unrecovered: set[TopicPartition] = field(factory=set)
    """Those not opened since an unclean stop."""
    doomed: list[str] = field(factory=list)
    """Directories of deleted partitions that were not removed yet (full paths)."""
    failed: OSError | None = None
    _lock: object | None = None
    _recovery_file: OffsetCheckpoint = field(init=False)
    _start_file: OffsetCheckpoint = field(init=False)
    _high_watermark_file: OffsetCheckpoint = field(init=False)
    _cleaner_file: OffsetCheckpoint = field(init=False)

    def __attrs_post_init__(self) -> None:
        def checkpoint(name: str) -> OffsetCheckpoint:
            return OffsetCheckpoint(self.storage, f"{self.path}/{name}")

        self._recovery_file = checkpoint(RECOVERY_POINTS)
        self._start_file = checkpoint(LOG_STARTS)
        self._high_watermark_file = checkpoint(HIGH_WATERMARKS)
        self._cleaner_file = checkpoint(CLEANER_OFFSETS)

    def lock(self) -> None:
        """Create the directory when missing and lock it. Raises ``DirectoryInUseError``, ``OSError``."""
        _make_directories(self.storage, self.path)
        self._lock = self.storage.try_lock(f"{self.path}/{LOCK}")
        if self._lock is None:
            raise DirectoryInUseError(
                f"Failed to acquire lock on file {LOCK} in {self.path}. "
                "Another broker, in this or another process, is using this directory."
            )

    def load(self) -> None:
        """Read marker, checkpoints and partition directories. The marker is removed: from now on a stop is unclean."""
        for file in (self._cleaner_file, self._start_file, self._recovery_file, self._high_watermark_file):
            file.ensure_exists()
        self.recovery_points, points_fine = _read(self._recovery_file)
        self.log_starts, starts_fine = _read(self._start_file)
        self.high_watermarks, _ = _read(self._high_watermark_file)
        self.cleaner_offsets, cleaner_fine = _read(self._cleaner_file)
        if cleaner_fine:
            self._cleaner_file.holds(self.cleaner_offsets)
        self.was_clean = clean_shutdown.remove_marker(self.storage, self.path) and points_fine and starts_fine
        for name in self.storage.list_dir(self.path):
            found = parse_partition_dir(name)
            if found is None or found.mark == STRAY_DIR:
                continue
            if found.mark in (DELETE_DIR, FUTURE_DIR):
                self.doomed.append(f"{self.path}/{name}")
            elif not found.mark:
                self.partitions.add((found.topic, found.partition))
        if not self.was_clean:
            self.unrecovered = set(self.partitions)

    def forget(self, partition: TopicPartition) -> None:
        """The partition is gone: its checkpoint entries must not meet a new one of the same name."""
        self.partitions.discard(partition)
        self.unrecovered.discard(partition)
        self.recovery_points.pop(partition, None)
        self.log_starts.pop(partition, None)
        self.high_watermarks.pop(partition, None)
        self.cleaner_offsets.pop(partition, None)

    def recovery_points_write(self) -> CheckpointWrite | None:
        return self._recovery_file.prepare(self.recovery_points)

    def log_starts_write(self) -> CheckpointWrite | None:
        return self._start_file.prepare(self.log_starts)

    def high_watermarks_write(self) -> CheckpointWrite | None:
        return self._high_watermark_file.prepare(self.high_watermarks)

    def cleaner_offsets_write(self) -> CheckpointWrite | None:
        return self._cleaner_file.prepare(self.cleaner_offsets)

    def write_checkpoints(self, *, high_watermarks: bool = False) -> None:
        """Write recovery points, log starts and cleaner offsets (and high watermarks) now. Raises ``OSError``."""
        self._recovery_file.write(self.recovery_points)
        self._start_file.write(self.log_starts)
        self._cleaner_file.write(self.cleaner_offsets)
        if high_watermarks:
            self._high_watermark_file.write(self.high_watermarks)

    def unlock(self) -> None:
        """Give the directory back; the lock file goes away as after Kafka's stop."""
        if self._lock is not None:
            remove_if_exists(self.storage, f"{self.path}/{LOCK}")
            self._lock = None


def _read(file: OffsetCheckpoint) -> tuple[dict[TopicPartition, int], bool]:
    """A damaged checkpoint is no checkpoint: everything is then recovered from the start."""
    try:
        return file.read(), True
    except ValueError:
        return {}, False


def _make_directories(storage: Storage, path: str) -> None:
    """Create ``path`` and what is missing above it, durably."""
    if not path or storage.exists(path):
        return
    parent = path.rsplit("/", 1)[0]
    _make_directories(storage, parent)
    storage.mkdir(path)
    storage.sync_dir(parent or "/")
