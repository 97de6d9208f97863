"""What a partition log answers, and the work it hands out."""

from __future__ import annotations

from attrs import define, field

from log.storage import FileRange, OpenFile, Storage, remove_if_exists


@define(slots=True)
class AppendInfo:
    """Where a batch went. A duplicate carries the offsets (and append time) of the batch that was there before."""

    first_offset: int
    last_offset: int
    log_append_time_ms: int
    """-1 unless the topic's timestamp type is LogAppendTime."""
    log_start_offset: int
    duplicate: bool = False


@define(slots=True)
class ReadResult:
    """Bytes of one segment, from the batch that holds the offset asked for; ``file_range`` is None for no bytes.

    The last batch may be cut short, as Kafka cuts it; the first one is whole when ``min_one`` was asked.
    """

    file_range: FileRange | None
    first_offset: int
    """Base offset of the first batch; the offset asked for when there are no bytes."""

    @property
    def size(self) -> int:
        return 0 if self.file_range is None else self.file_range.size


@define(slots=True)
class FlushTargets:
    """What must be synced so that everything below ``up_to`` is durable. ``run`` may be called in another thread."""

    up_to: int
    files: list[OpenFile]
    paths: list[str] = field(factory=list)
    """Small files, synced by name; one that has gone away in the meantime needs no sync."""
    directories: list[str] = field(factory=list)
    truncations: int = 0
    """How often the log had been truncated: what was cut since cannot be called durable."""

    def run(self, storage: Storage) -> None:
        """Sync everything; blocks. ``OSError``: tell the log with ``flush_failed``."""
        for file in self.files:
            file.sync()
        for path in self.paths:
            try:
                storage.open(path, create=False).sync()
            except FileNotFoundError:
                continue
        for directory in self.directories:
            try:
                storage.sync_dir(directory)
            except FileNotFoundError:
                continue


@define(slots=True)
class DeferredDelete:
    """Files that were renamed to ``NAME.deleted`` and may go after ``delay_ms`` (``file.delete.delay.ms``)."""

    paths: list[str]
    delay_ms: int

    def run(self, storage: Storage) -> None:
        """Unlink them; what is gone already is fine."""
        for path in self.paths:
            remove_if_exists(storage, path)
