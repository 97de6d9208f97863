"""Making a partition log durable, closing it, moving it."""

from __future__ import annotations

from kwire.errors import ApiError
from log.config import CommitRule, LogConfig
from log.log_cleaning import LogCleaning
from log.results import FlushTargets
from log.storage import OpenFile


class LogFlushing(LogCleaning):
    """The part of a partition log that syncs and closes files."""

    __slots__ = ()

    @property
    def unflushed(self) -> int:
        """Offsets above the recovery point."""
        return self.log_end_offset - self.recovery_point

    def flush_due(self, now_ms: int) -> bool:
        """Whether ``flush.messages`` or ``flush.ms`` asks for a sync now, or a closed segment waits for one."""
        if self._closed_unsynced:
            return True
        unflushed = self.log_end_offset - self.recovery_point
        return unflushed > 0 and (
            unflushed >= self.config.flush_messages or now_ms - self._flushed_at_ms >= self.config.flush_ms
        )

    def flush_targets(self) -> FlushTargets:
        """What a thread must sync (``run``) before ``flushed`` may be called with it.

        Indexes of the active segment are left out: recovery makes them anew. (Kafka: LocalLog.flush)
        """
        self._check_online()
        up_to = self.log_end_offset
        active = self.segments.active
        files: list[OpenFile] = []
        try:
            closed = [segment for segment in self._closed_unsynced if segment.base_offset in self.segments]
            for segment in dict.fromkeys([*closed, *self.segments.from_floor(self.recovery_point)]):
                if segment is active:
                    files.append(segment.file.opened())
                else:
                    files += [file.opened() for file in segment.files()]
            if self.epochs.dirty:
                self.epochs.write()
                self._sync_later(self.epochs.path)
        except OSError as error:
            raise self.fail(error) from error
        targets = FlushTargets(up_to, files, self._paths_to_sync, self._directories_to_sync, self._truncations)
        self._paths_to_sync = []
        self._directories_to_sync = []
        self._closed_unsynced = []
        self._under_way.append(targets)
        return targets

    def flushed(self, targets: FlushTargets, now_ms: int) -> int:
        """``targets.run`` succeeded: everything below ``targets.up_to`` is durable. Returns the high watermark."""
        self._under_way = [each for each in self._under_way if each is not targets]
        if self._failure is None and targets.truncations == self._truncations:
            self.recovery_point = max(self.recovery_point, targets.up_to)
            self._flushed_at_ms = now_ms
            if self.commit_rule is CommitRule.FSYNC:
                self.advance_high_watermark(self.recovery_point)
        return self.high_watermark

    def flush_failed(self, error: OSError) -> ApiError:
        """``FlushTargets.run`` raised: what is on the disk is unknown, so the log goes offline. The error to answer
        with.
        """
        return self.fail(error)

    def flush(self, now_ms: int) -> None:
        """Sync everything now, blocking. Raises ``ApiError(KAFKA_STORAGE_ERROR)``."""
        targets = self.flush_targets()
        try:
            targets.run(self.storage)
        except OSError as error:
            raise self.fail(error) from error
        self.flushed(targets, now_ms)

    def close(self, now_ms: int) -> None:
        """Finish the files: producers' snapshot at the end, largest timestamps, indexes cut to size, all synced.

        After a clean close of every log the directory's clean marker may be written. An offline log only gives its
        descriptors back. Raises ``ApiError(KAFKA_STORAGE_ERROR)``: then the marker must not be written.
        """
        if self.closed:
            return
        try:
            self._abort_cleaning()
            targets = self.finish(now_ms)
            if targets is not None:
                targets.run(self.storage)
                self.flushed(targets, now_ms)
        except OSError as error:
            raise self.fail(error) from error
        finally:
            self.closed = True
            self.release_files()

    def finish(self, now_ms: int) -> FlushTargets | None:
        """Write what a clean stop leaves, unsynced; what must be synced then, None when there is nothing.

        With that done, ``flushed`` and ``close``. Raises ``ApiError(KAFKA_STORAGE_ERROR)``.
        """
        if self.closed or self._failure is not None:
            return None
        under_way = list(self._under_way)
        unsynced = self._paths_to_sync or self._directories_to_sync or self._closed_unsynced or under_way
        if not self.touched and not unsynced:
            return None
        active = self.segments.active
        try:
            active.close_for_appends()
            if self.log_end_offset > 0:
                self._take_snapshot(self.log_end_offset)
            self._sync_directory_later()
            targets = self.flush_targets()
            targets.files += [file.opened() for file in active.files()[1:]]
            for other in under_way:  # a thread was to sync these; whether it still will nobody knows
                targets.files += other.files
                targets.paths += other.paths
                targets.directories += other.directories
        except OSError as error:
            raise self.fail(error) from error
        self.touched = False
        return targets

    def abandon(self) -> None:
        """The partition was deleted: give the descriptors back, write nothing."""
        if self.cleaning is not None:
            self.cleaning.drop()
        self.closed = True
        self.release_files()

    def update_config(self, config: LogConfig, commit_rule: CommitRule | None = None) -> None:
        """The topic's settings changed; they hold from the next append on. A log that is held stays held."""
        self.config = config
        if self.commit_rule is CommitRule.HELD:
            return
        self.commit_rule = config.commit_rule if commit_rule is None else commit_rule
        if self.commit_rule is CommitRule.PAGE_CACHE:
            self.advance_high_watermark(self.log_end_offset)

    def release_files(self) -> None:
        """Give back every descriptor (they are opened again when needed)."""
        for segment in self.segments:
            for file in segment.files():
                file.release()

    def rename_directory(self, directory: str) -> None:
        """Rename the partition's directory (``TOPIC-N.UNIQUE-delete``) within its log directory."""
        if self.cleaning is not None:
            self.cleaning.drop()
        try:
            self.storage.rename(self.directory, directory)
        except OSError as error:
            raise self.fail(error) from error
        self.directory = directory
        self.epochs.move(directory)
        self.snapshots.directory = directory
        for segment in self.segments:
            segment.move(directory)
