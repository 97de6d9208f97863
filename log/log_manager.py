"""All logs of a broker: directories, lazily opened partitions, checkpoints, deletion, the clean stop  (Kafka:
LogManager).

A partition has no directory until it is first used, and no open file until it is read or written; the rest of it is a
few entries in dictionaries. Nothing here has a clock: the broker calls the periodic parts and runs the work handed out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from attrs import define

from kwire import uuids
from kwire.error_codes import ErrorCode
from kwire.errors import ApiError
from log import clean_shutdown, meta_properties
from log.checkpoints import CheckpointWrite, TopicPartition
from log.config import CommitRule, LogConfig
from log.filenames import DELETE_DIR, STRAY_DIR, marked_dir, partition_dir
from log.log_directory import DirectoryInUseError, LogDirectory
from log.meta_properties import MetaProperties
from log.partition_log import PartitionLog
from log.partition_metadata import read_topic_id
from log.results import FlushTargets
from log.storage import Storage, remove_tree

__all__ = ["DeferredDirectoryDelete", "DirectoryInUseError", "LogManager"]


@define(slots=True)
class DeferredDirectoryDelete:
    """A deleted partition's directory, renamed to ``TOPIC-N.UNIQUE-delete``, that may go after ``delay_ms``."""

    path: str
    delay_ms: int

    def run(self, storage: Storage) -> None:
        """Remove it; blocks."""
        if storage.exists(self.path):
            remove_tree(storage, self.path)


class LogManager:
    """The logs under one broker's ``log.dirs``.

    ``config_for(topic)`` gives a topic's settings; ``unique()`` 32 random hex digits; ``random_uuid()`` 16 random
    bytes; ``jitter(n)`` a random int in ``[0, n)``; ``commit_rule_for(topic)`` overrides the rule a topic's settings
    imply.
    """

    def __init__(
        self,
        storage: Storage,
        directories: Sequence[str],
        config_for: Callable[[str], LogConfig],
        *,
        unique: Callable[[], str],
        random_uuid: Callable[[], bytes],
        jitter: Callable[[int], int] = lambda _: 0,
        commit_rule_for: Callable[[str], CommitRule | None] = lambda _: None,
        producer_expiration_ms: Callable[[], int] = lambda: 86_400_000,
    ) -> None:
        self.storage = storage
        self.directories = [LogDirectory(storage, path.rstrip("/") or "/") for path in directories]
        self.config_for = config_for
        self._unique = unique
        self._random_uuid = random_uuid
        self._jitter = jitter
        self._commit_rule_for = commit_rule_for
        self._producer_expiration_ms = producer_expiration_ms
        self.bulk_sync_from = 64
        """From so many open logs on a stop syncs the file system once instead of every file."""
        self._logs: dict[TopicPartition, PartitionLog] = {}
        self._where: dict[TopicPartition, LogDirectory] = {}

    # Start

    def lock(self) -> None:
        """Lock every directory (made when missing). One that cannot be used is left out (``failed_directories``).

        Raises ``DirectoryInUseError``; ``OSError`` when no directory can be used.
        """
        for directory in self.directories:
            try:
                directory.lock()
            except OSError as error:
                directory.failed = error
            except DirectoryInUseError:
                self.unlock()
                raise
        if all(directory.failed for directory in self.directories):
            raise next(directory.failed for directory in self.directories if directory.failed)

    def unlock(self) -> None:
        for directory in self.directories:
            directory.unlock()

    @property
    def online_directories(self) -> list[LogDirectory]:
        return [directory for directory in self.directories if directory.failed is None]

    def identify(self, *, cluster_id: str | None, node_id: int, new_cluster_id: Callable[[], str], date: str) -> str:
        """Read ``meta.properties`` of every directory, check that they agree, write the missing ones.

        Returns the cluster id: the stored one, else ``cluster_id``, else a new one. ``date``: see
        ``write_meta_properties``. Raises ``MetaPropertiesError``.
        """
        found = [
            (directory, meta_properties.read_meta_properties(self.storage, directory.path))
            for directory in self.online_directories
        ]
        known = meta_properties.verify(
            [(directory.path, properties) for directory, properties in found], cluster_id=cluster_id, node_id=node_id
        )
        cluster_id = known or new_cluster_id()
        for directory, properties in found:
            if properties is None or properties.directory_id is None:
                properties = MetaProperties(cluster_id, node_id, self._new_directory_id())
                meta_properties.write_meta_properties(self.storage, directory.path, properties, date)
            directory.properties = properties
        return cluster_id

    def _new_directory_id(self) -> bytes:
        while True:
            candidate = self._random_uuid()
            if not uuids.is_reserved(candidate) and not uuids.to_string(candidate).startswith("-"):
                return candidate

    def load(self) -> None:
        """Learn which partitions exist and what the checkpoints say. Opens none of them."""
        for directory in self.online_directories:
            directory.load()
            for partition in directory.partitions:
                self._where.setdefault(partition, directory)

    def leave_as_found(self, *, broker_epoch: int) -> None:
        """The start ends here, nothing was written: give the clean markers back that `load` took. Raises OSError."""
        for log in self._logs.values():
            log.abandon()
        self._logs.clear()
        for directory in self.online_directories:
            if directory.was_clean:
                clean_shutdown.write_marker(self.storage, directory.path, broker_epoch)

    # Partitions

    def __len__(self) -> int:
        """Partitions that have a directory."""
        return len(self._where)

    def __contains__(self, partition: TopicPartition) -> bool:
        return partition in self._where

    def partitions(self) -> Iterator[TopicPartition]:
        """Those that have a directory, open or not."""
        return iter(list(self._where))

    def directory_of(self, topic: str, partition: int) -> LogDirectory | None:
        """Where the partition lies, None while it has no directory."""
        return self._where.get((topic, partition))

    def opened(self, topic: str, partition: int) -> PartitionLog | None:
        """The partition's log if it is open."""
        return self._logs.get((topic, partition))

    def open_logs(self) -> list[PartitionLog]:
        return list(self._logs.values())

    def get(self, topic: str, partition: int, *, now_ms: int, topic_id: bytes | None = None) -> PartitionLog | None:
        """The partition's log, opened (and recovered) when needed; None when it has no directory.

        A directory that belongs to another topic id is what a deleted topic of the same name left: it is set aside
        and counts as none. Raises ``ApiError(KAFKA_STORAGE_ERROR)``.
        """
        key = (topic, partition)
        log = self._logs.get(key)
        if log is not None:
            return log
        directory = self._where.get(key)
        if directory is None:
            return None
        path = f"{directory.path}/{partition_dir(topic, partition)}"
        try:
            stored_id = read_topic_id(self.storage, path)
            if topic_id is not None and stored_id is not None and stored_id != topic_id:
                self.set_aside([key])
                return None
        except OSError as error:
            raise ApiError(ErrorCode.KAFKA_STORAGE_ERROR, f"{path}: {error}") from error
        return self._open(key, directory, topic_id if stored_id is None else None, now_ms)

    def get_or_create(
        self, topic: str, partition: int, *, topic_id: bytes, now_ms: int, directory_id: bytes | None = None
    ) -> PartitionLog:
        """The partition's log; its directory and files are made when there are none.

        ``directory_id`` chooses the log directory, else the one with the fewest partitions is taken. Raises
        ``ApiError(KAFKA_STORAGE_ERROR)``.
        """
        log = self._logs.get((topic, partition)) or self.get(topic, partition, now_ms=now_ms, topic_id=topic_id)
        if log is not None:
            return log
        return self._open((topic, partition), self.choose_directory(directory_id), topic_id, now_ms)

    def choose_directory(self, directory_id: bytes | None = None) -> LogDirectory:
        """The directory a new partition goes to: the one named, else that with the fewest partitions."""
        online = self.online_directories
        for directory in online:
            if directory_id and directory.properties and directory.properties.directory_id == directory_id:
                return directory
        if not online:
            raise ApiError(ErrorCode.KAFKA_STORAGE_ERROR, "no log directory is online")
        return min(online, key=lambda directory: len(directory.partitions))

    def _open(
        self,
        key: TopicPartition,
        directory: LogDirectory,
        topic_id: bytes | None,
        now_ms: int,
        *,
        after_failure: bool = False,
    ) -> PartitionLog:
        topic, partition = key
        log = PartitionLog.open(
            self.storage,
            f"{directory.path}/{partition_dir(topic, partition)}",
            topic,
            partition,
            self.config_for(topic),
            now_ms=now_ms,
            clean_shutdown=key not in directory.unrecovered and not after_failure,
            recovery_point=directory.recovery_points.get(key, 0),
            log_start_offset=directory.log_starts.get(key, 0),
            topic_id=topic_id,
            commit_rule=self._commit_rule_for(topic),
            jitter=self._jitter,
            after_failure=after_failure,
            producer_expiration_ms=self._producer_expiration_ms(),
        )
        directory.unrecovered.discard(key)
        directory.partitions.add(key)
        self._where[key] = directory
        self._logs[key] = log
        return log

    def reopen(self, topic: str, partition: int, *, now_ms: int) -> PartitionLog:
        """Open an offline log again: recovered from what the disk really holds."""
        key = (topic, partition)
        old = self._logs.get(key)
        directory = self._where[key]
        if old is not None:
            directory.recovery_points[key] = old.recovery_point
            if old.log_start_offset:
                directory.log_starts[key] = old.log_start_offset
            old.close(now_ms)
        return self._open(key, directory, None, now_ms, after_failure=True)

    def unrecovered(self) -> list[TopicPartition]:
        """Partitions not looked at since an unclean stop; ``get`` recovers them. While there are any, no stop is
        clean.
        """
        return [partition for directory in self.online_directories for partition in directory.unrecovered]

    def config_changed(self, topic: str) -> None:
        """The topic's settings changed: its open logs follow."""
        for (name, _), log in self._logs.items():
            if name == topic:
                log.update_config(self.config_for(topic), self._commit_rule_for(topic))

    # Deletion

    def delete(self, partitions: Iterable[TopicPartition]) -> list[DeferredDirectoryDelete]:
        """Take partitions out of service: directories renamed to ``-delete``, checkpoints written without them.

        Those without a directory are passed over. Raises ``ApiError(KAFKA_STORAGE_ERROR)``.
        """
        work = []
        touched: list[LogDirectory] = []
        for key in partitions:
            moved = self._rename_away(key, DELETE_DIR, touched)
            if moved is not None:
                work.append(DeferredDirectoryDelete(moved, self.config_for(key[0]).file_delete_delay_ms))
        self._write_checkpoints(touched)
        return work

    def set_aside(self, partitions: Iterable[TopicPartition]) -> list[str]:
        """Rename the directories of partitions that nothing refers to (``-stray``); they are kept. Their new paths."""
        touched: list[LogDirectory] = []
        moved = [self._rename_away(key, STRAY_DIR, touched) for key in partitions]
        self._write_checkpoints(touched)
        return [path for path in moved if path is not None]

    def replace(self, log: PartitionLog, target: LogDirectory, path: str) -> list[DeferredDirectoryDelete]:
        """``path``, a whole copy of the closed ``log`` in ``target``, takes its place (LogMove.finish).

        The copy gets its name before the old directory loses it: after a crash between, either is whole.
        """
        key = (log.topic, log.partition)
        old = self._where[key]
        self.storage.rename(path, f"{target.path}/{partition_dir(*key)}")
        self.storage.sync_dir(target.path)
        moved = f"{old.path}/{marked_dir(*key, self._unique(), DELETE_DIR)}"
        self.storage.rename(log.directory, moved)
        del self._logs[key]
        cleaned_to = old.cleaner_offsets.get(key)
        old.forget(key)
        self._where[key] = target
        target.partitions.add(key)
        target.recovery_points[key] = log.recovery_point
        if log.log_start_offset > log.segments.first.base_offset:
            target.log_starts[key] = log.log_start_offset
        if cleaned_to is not None:
            target.cleaner_offsets[key] = cleaned_to
        self._write_checkpoints([old, target])
        return [DeferredDirectoryDelete(moved, 0)]

    def unfinished_deletes(self) -> list[DeferredDirectoryDelete]:
        """Directories found at the start whose deletion had begun."""
        work = [DeferredDirectoryDelete(path, 0) for directory in self.online_directories for path in directory.doomed]
        for directory in self.online_directories:
            directory.doomed.clear()
        return work

    def _rename_away(self, key: TopicPartition, mark: str, touched: list[LogDirectory]) -> str | None:
        directory = self._where.pop(key, None)
        if directory is None:
            return None
        target = f"{directory.path}/{marked_dir(*key, self._unique(), mark)}"
        log = self._logs.pop(key, None)
        try:
            if log is not None:
                log.rename_directory(target)
                log.abandon()
            else:
                self.storage.rename(f"{directory.path}/{partition_dir(*key)}", target)
        except OSError as error:
            raise ApiError(ErrorCode.KAFKA_STORAGE_ERROR, f"{partition_dir(*key)}: {error}") from error
        directory.forget(key)
        if directory not in touched:
            touched.append(directory)
        return target

    def _write_checkpoints(self, directories: Iterable[LogDirectory]) -> None:
        for directory in directories:
            try:
                directory.write_checkpoints()
            except OSError as error:
                raise ApiError(ErrorCode.KAFKA_STORAGE_ERROR, f"{directory.path}: {error}") from error

    # Periodic work

    def flush_due(self, now_ms: int) -> list[PartitionLog]:
        """The open logs that ask for a sync."""
        return [log for log in self._logs.values() if not log.offline and log.flush_due(now_ms)]

    def expire_producers(self, now_ms: int) -> None:
        """Forget idle producer ids (``producer.id.expiration.check.interval.ms``)."""
        for log in self._logs.values():
            log.expire_producers(now_ms)

    def checkpoint_recovery_points(self) -> list[CheckpointWrite]:
        """``recovery-point-offset-checkpoint`` of every directory (``log.flush.offset.checkpoint.interval.ms``).

        The files that change, to be written in a thread.
        """
        self._note_recovery_points()
        return _changed(directory.recovery_points_write() for directory in self.online_directories)

    def checkpoint_log_starts(self) -> list[CheckpointWrite]:
        """``log-start-offset-checkpoint``, likewise (``log.flush.start.offset.checkpoint.interval.ms``)."""
        self._note_log_starts()
        return _changed(directory.log_starts_write() for directory in self.online_directories)

    def cleaned_to(self, topic: str, partition: int) -> int | None:
        """What the cleaner checkpoint says of a partition, None without an entry."""
        directory = self._where.get((topic, partition))
        return None if directory is None else directory.cleaner_offsets.get((topic, partition))

    def checkpoint_cleaner(self, topic: str, partition: int, offset: int) -> list[CheckpointWrite]:
        """``cleaner-offset-checkpoint``: the partition is clean below ``offset``. To be written in a thread."""
        directory = self._where.get((topic, partition))
        if directory is None:
            return []
        directory.cleaner_offsets[topic, partition] = offset
        return _changed([directory.cleaner_offsets_write()])

    def checkpoint_high_watermarks(self) -> list[CheckpointWrite]:
        """``replication-offset-checkpoint``, likewise (``replica.high.watermark.checkpoint.interval.ms``)."""
        self._note_high_watermarks()
        return _changed(directory.high_watermarks_write() for directory in self.online_directories)

    def _note_recovery_points(self) -> None:
        for key, log in self._logs.items():
            self._where[key].recovery_points[key] = log.recovery_point

    def _note_log_starts(self) -> None:
        """Only starts that no segment begins at (DeleteRecords)."""
        for key, log in self._logs.items():
            starts = self._where[key].log_starts
            if log.log_start_offset > log.segments.first.base_offset:
                starts[key] = log.log_start_offset
            else:
                starts.pop(key, None)

    def _note_high_watermarks(self) -> None:
        for key, log in self._logs.items():
            self._where[key].high_watermarks[key] = log.high_watermark

    # Stop

    def close(
        self,
        now_ms: int,
        *,
        broker_epoch: int = -1,
        progress: Callable[[int, int], None] = lambda done, total: None,
    ) -> list[ApiError]:
        """Close every log, synced, then write checkpoints and the clean markers, and unlock.

        A directory where a log failed, or where partitions were never recovered after an unclean stop, gets no marker.
        Returns the failures.
        """
        failures: list[ApiError] = []
        spoiled: list[LogDirectory] = []
        if len(self._logs) >= self.bulk_sync_from and self.storage.can_sync_all:
            failures += self._finish_together(now_ms)
        total = len(self._logs)
        for done, (key, log) in enumerate(list(self._logs.items())):
            try:
                if log.offline:
                    spoiled.append(self._where[key])
                log.close(now_ms)
            except ApiError as error:
                failures.append(error)
                spoiled.append(self._where[key])
            progress(done + 1, total)
        try:
            self._note_recovery_points()
            self._note_log_starts()
            self._note_high_watermarks()
            for directory in self.online_directories:
                directory.write_checkpoints(high_watermarks=True)
                if directory not in spoiled and not directory.unrecovered:
                    clean_shutdown.write_marker(self.storage, directory.path, broker_epoch)
        except OSError as error:
            failures.append(ApiError(ErrorCode.KAFKA_STORAGE_ERROR, str(error)))
        self.unlock()
        return failures

    def _finish_together(self, now_ms: int) -> list[ApiError]:
        """Finish many logs, with one sync for all instead of several for each."""
        failures: list[ApiError] = []
        for directory in self.online_directories:
            finished: list[tuple[PartitionLog, FlushTargets]] = []
            for key in directory.partitions:
                log = self._logs.get(key)
                if log is None:
                    continue
                try:
                    targets = log.finish(now_ms)
                except ApiError as error:
                    failures.append(error)
                    continue
                if targets is not None:
                    targets.files.clear()  # or all of them would be open at once
                    finished.append((log, targets))
            try:
                self.storage.sync_all(directory.path)
            except OSError as error:
                failures += [log.flush_failed(error) for log, _ in finished]
                continue
            for log, targets in finished:
                log.flushed(targets, now_ms)
        return failures

    def previous_broker_epoch(self) -> int | None:
        """The broker epoch in the clean markers (read before ``load``, which removes them)."""
        for directory in self.online_directories:
            epoch = clean_shutdown.read_broker_epoch(self.storage, directory.path)
            if epoch is not None:
                return epoch
        return None


def _changed(work: Iterable[CheckpointWrite | None]) -> list[CheckpointWrite]:
    return [write for write in work if write is not None]
