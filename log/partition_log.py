"""One partition on disk: append, read, roll, flush, close  (Kafka: UnifiedLog, LocalLog).

Synchronous and single-threaded; time comes in as ``now_ms`` values, files through ``Storage``. The only thing another
thread may do is ``FlushTargets.run``.

Offsets: ``log_start_offset <= last_stable_offset <= high_watermark <= log_end_offset``. The recovery point is the offset
below which everything is known to be on the disk.

Errors: ``ApiError`` for what the protocol has a code for. After an I/O error that leaves the files in doubt, or a failed
sync, the log is offline: every call raises ``KAFKA_STORAGE_ERROR`` until it is opened again, which reads from the disk
what is really there.
"""

from __future__ import annotations

from collections.abc import Callable

from kwire.error_codes import ErrorCode
from kwire.errors import ApiError
from log import recovery, retention
from log.append_errors import RecordsRejectedError
from log.append_validation import AppendOrigin, validate_append
from log.config import CommitRule, LogConfig
from log.filenames import DELETED, PARTITION_METADATA
from log.leader_epochs import LeaderEpochs
from log.partition_metadata import write_topic_id
from log.producer_snapshots import ProducerSnapshots
from log.producer_state import ProducerStateManager, ProducerUpdate
from log.results import AppendInfo, DeferredDelete, FlushTargets, ReadResult
from log.segment import Segment, TimestampOffset
from log.segments import Segments, Tail
from log.storage import Bytes, FileRange, OpenFile, Storage, is_space_error, remove_if_exists
from log.transaction_index import AbortedTransaction

__all__ = ["AppendInfo", "AppendOrigin", "CommitRule", "PartitionLog", "ReadResult"]


class PartitionLog:
    """The log of one partition. Make one with :meth:`open`."""

    __slots__ = (
        "_directories_to_sync",
        "_failure",
        "_flushed_at_ms",
        "_jitter",
        "_paths_to_sync",
        "_tail",
        "_truncations",
        "closed",
        "commit_rule",
        "config",
        "directory",
        "epochs",
        "high_watermark",
        "log_end_offset",
        "log_start_offset",
        "name",
        "partition",
        "producers",
        "recovery_point",
        "segments",
        "snapshots",
        "storage",
        "topic",
        "touched",
    )

    def __init__(
        self,
        storage: Storage,
        directory: str,
        topic: str,
        partition: int,
        config: LogConfig,
        loaded: recovery.LoadedLog,
        *,
        now_ms: int,
        commit_rule: CommitRule,
        jitter: Callable[[int], int],
    ) -> None:
        self.storage = storage
        self.directory = directory
        self.topic = topic
        self.partition = partition
        self.name = f"{topic}-{partition}"
        self.config = config
        self.commit_rule = commit_rule
        self.segments: Segments = loaded.segments
        self.epochs: LeaderEpochs = loaded.epochs
        self.producers: ProducerStateManager = loaded.producers
        self.snapshots: ProducerSnapshots = loaded.snapshots
        self.log_start_offset = loaded.log_start_offset
        self.log_end_offset = loaded.log_end_offset
        self.recovery_point = loaded.recovery_point
        self.high_watermark = loaded.log_end_offset
        self.closed = False
        self.touched = loaded.recovered
        self._truncations = 0
        self._jitter = jitter
        self._tail = Tail()
        self._failure: OSError | None = None
        self._flushed_at_ms = now_ms
        self._paths_to_sync: list[str] = []
        self._directories_to_sync: list[str] = list(loaded.new_directories)

    @classmethod
    def open(
        cls,
        storage: Storage,
        directory: str,
        topic: str,
        partition: int,
        config: LogConfig,
        *,
        now_ms: int,
        clean_shutdown: bool = True,
        recovery_point: int = 0,
        log_start_offset: int = 0,
        topic_id: bytes | None = None,
        commit_rule: CommitRule | None = None,
        jitter: Callable[[int], int] = lambda _: 0,
        after_failure: bool = False,
        producer_expiration_ms: int = 86_400_000,
    ) -> PartitionLog:
        """Open the partition's directory, creating it (and its first segment) when it is not there.

        ``recovery_point`` and ``log_start_offset`` come from the log directory's checkpoints (0 without an entry).
        Without ``clean_shutdown`` everything from the recovery point on is checked and indexed anew. ``after_failure``:
        reopened after an I/O error, so cached pages are not believed. ``jitter(n)`` gives a random int in ``[0, n)``.
        ``topic_id`` is written to ``partition.metadata`` when that is missing.

        Raises ``ApiError(KAFKA_STORAGE_ERROR)`` when the files cannot be read or written.
        """
        rule = config.commit_rule if commit_rule is None else commit_rule
        try:
            loaded = recovery.load(
                storage,
                directory,
                config,
                now_ms=now_ms,
                clean_shutdown=clean_shutdown,
                recovery_point=recovery_point,
                log_start_offset=log_start_offset,
                after_failure=after_failure,
                producers=ProducerStateManager(f"{topic}-{partition}", expiration_ms=producer_expiration_ms),
            )
            log = cls(
                storage,
                directory,
                topic,
                partition,
                config,
                loaded,
                now_ms=now_ms,
                commit_rule=rule,
                jitter=jitter,
            )
            log.segments.active.jitter_ms = log._segment_jitter()
            if topic_id is not None and not storage.exists(f"{directory}/{PARTITION_METADATA}"):
                write_topic_id(storage, directory, topic_id)
                log._paths_to_sync.append(f"{directory}/{PARTITION_METADATA}")
            if rule is CommitRule.FSYNC and log.recovery_point < log.log_end_offset:
                log.flush(now_ms)
        except OSError as error:
            raise ApiError(ErrorCode.KAFKA_STORAGE_ERROR, f"cannot open {directory}: {error}") from error
        return log

    # State

    def __repr__(self) -> str:
        return f"PartitionLog({self.name}, [{self.log_start_offset}, {self.log_end_offset}))"

    @property
    def leader_epoch(self) -> int:
        """The latest leader epoch known, -1 without one."""
        return self.epochs.latest_epoch

    @property
    def last_stable_offset(self) -> int:
        """What a read_committed reader may see: up to the first open transaction, at most the high watermark."""
        unstable = self.producers.first_unstable_offset
        if unstable is None or unstable >= self.high_watermark:
            return self.high_watermark
        return max(unstable, self.log_start_offset)

    @property
    def size_bytes(self) -> int:
        return self.segments.size_bytes

    @property
    def offline(self) -> bool:
        """An I/O error put the log out of service until it is opened again."""
        return self._failure is not None

    def _check_online(self) -> None:
        if self._failure is not None:
            raise self._storage_error(self._failure)
        if self.closed:
            raise ApiError(ErrorCode.KAFKA_STORAGE_ERROR, f"the log of {self.name} is closed")

    def _storage_error(self, error: OSError) -> ApiError:
        return ApiError(ErrorCode.KAFKA_STORAGE_ERROR, f"{self.name} in {self.directory}: {error}")

    def fail(self, error: OSError) -> ApiError:
        """Put the log out of service; the error to raise."""
        if self._failure is None:
            self._failure = error
        return self._storage_error(error)

    # Appending

    def append_as_leader(
        self, records: Bytes, *, leader_epoch: int, now_ms: int, origin: AppendOrigin = AppendOrigin.CLIENT
    ) -> AppendInfo:
        """Validate ``records`` (a client: one batch), give them the next offsets and write them.

        Base offset and leader epoch are patched into ``records`` in place when it is writable, else into a copy.

        Raises ``ApiError``: what validation and producer state refuse (``RecordsRejectedError`` with the records at
        fault), ``RECORD_LIST_TOO_LARGE`` above ``segment.bytes``, ``KAFKA_STORAGE_ERROR``.
        """
        if self._failure is not None or self.closed:
            self._check_online()
        first_offset = self.log_end_offset
        config = self.config
        valid = validate_append(
            records if isinstance(records, memoryview) else memoryview(records),
            first_offset,
            leader_epoch,
            config,
            now_ms,
            origin,
            partition=self.name,
        )
        header = valid.header
        data = valid.data
        size = len(data)
        update = None
        if header.producer_id >= 0:
            if origin is AppendOrigin.CLIENT:
                duplicate = self.producers.find_duplicate(header)
                if duplicate is not None:
                    return AppendInfo(
                        duplicate.first_offset,
                        duplicate.last_offset,
                        duplicate.timestamp,
                        self.log_start_offset,
                        duplicate=True,
                    )
            update = self.producers.prepare(header, data, origin)
        if size > config.segment_bytes:
            raise RecordsRejectedError(
                ErrorCode.RECORD_LIST_TOO_LARGE,
                f"Message batch size is {size} bytes in append to partition {self.name}, which exceeds the maximum "
                f"configured segment size of {config.segment_bytes}.",
            )
        last_offset = valid.last_offset
        max_timestamp = valid.max_timestamp
        segment = self.segments.active
        try:
            if leader_epoch != self.epochs.latest_epoch and leader_epoch >= 0:
                self._begin_epoch(leader_epoch, first_offset)
            if segment.must_roll(config, size, last_offset, max_timestamp, now_ms):
                self._roll(now_ms)
                segment = self.segments.active
        except OSError as error:
            raise self._after_error(error) from error
        position = segment.size
        try:
            segment.append(data, size, last_offset, max_timestamp, config.index_interval_bytes)
        except OSError as error:
            raise self._after_failed_write(segment, position, error) from error
        self.touched = True
        self._tail.note(first_offset, position, size)
        self.log_end_offset = end = last_offset + 1
        if self.commit_rule is CommitRule.PAGE_CACHE:
            self.high_watermark = end
        if update is not None:
            self._apply(update, segment)
        return AppendInfo(first_offset, last_offset, valid.log_append_time_ms, self.log_start_offset)

    def _apply(self, update: ProducerUpdate, segment: Segment) -> None:
        """A batch of a producer is in the log: remember it, and the transaction that it ended."""
        producers = self.producers
        completed = producers.apply(update)
        if completed is not None:
            if completed.aborted:
                aborted = AbortedTransaction(
                    completed.producer_id, completed.first_offset, completed.last_offset, completed.last_stable_offset
                )
                try:
                    segment.transaction_index.append(aborted)
                except OSError as error:
                    raise self.fail(error) from error
            producers.high_watermark_advanced(self.high_watermark)

    def _after_failed_write(self, segment: Segment, position: int, error: OSError) -> ApiError:
        """Cut what the write left; a full disk then hurts only this append, anything else the log."""
        if segment.size != position:
            return self.fail(error)  # the batch is written, an index is not
        try:
            segment.undo_write()
        except OSError:
            return self.fail(error)
        return self._after_error(error)

    def _after_error(self, error: OSError) -> ApiError:
        return self._storage_error(error) if is_space_error(error) else self.fail(error)

    def assign_epoch(self, leader_epoch: int) -> None:
        """A leader epoch begins at the end of the log (an empty one too). Older epochs are passed over."""
        self._check_online()
        try:
            self._begin_epoch(leader_epoch, self.log_end_offset)
        except OSError as error:
            raise self.fail(error) from error

    def _begin_epoch(self, epoch: int, offset: int) -> None:
        self.epochs.assign(epoch, offset)
        self._sync_later(self.epochs.path)

    def _sync_later(self, path: str) -> None:
        if path not in self._paths_to_sync:
            self._paths_to_sync.append(path)

    # Rolling

    def _segment_jitter(self) -> int:
        limit = min(self.config.segment_jitter_ms, self.config.segment_ms)
        return self._jitter(limit) if limit > 0 else 0

    def roll(self, now_ms: int) -> Segment:
        """Begin a new segment at the end of the log; the old one's indexes are finished, the producers' state saved."""
        self._check_online()
        try:
            return self._roll(now_ms)
        except OSError as error:
            raise self.fail(error) from error

    def _roll(self, now_ms: int) -> Segment:
        active = self.segments.active
        base = self.log_end_offset
        if active.base_offset == base:
            if active.size == 0:
                return active
            raise ValueError(f"{self!r}: a segment with base offset {base} exists")
        active.close_for_appends()
        segment = self._new_segment(base, now_ms)
        self.segments.add(segment)
        self.touched = True
        self._tail.clear()
        self._take_snapshot(base)
        self._sync_directory_later()
        return segment

    def _new_segment(self, base: int, now_ms: int) -> Segment:
        return Segment.create(
            self.storage, self.directory, base, self.config, now_ms=now_ms, jitter_ms=self._segment_jitter()
        )

    def _sync_directory_later(self) -> None:
        if self.directory not in self._directories_to_sync:
            self._directories_to_sync.append(self.directory)

    def _drop(self, segment: Segment) -> None:
        self.segments.remove(segment)
        for file in segment.files():
            file.release()
            remove_if_exists(self.storage, file.path)
        self.snapshots.remove(segment.base_offset)

    def _take_snapshot(self, offset: int) -> None:
        path = self.snapshots.take(self.producers, offset)
        if path is not None:
            self._sync_later(path)

    # Reading

    def advance_high_watermark(self, offset: int) -> int:
        """Readers may see what is below ``offset`` (at most the log's end; it never goes back). Returns the mark."""
        if offset > self.high_watermark:
            self.high_watermark = min(offset, self.log_end_offset)
            self.producers.high_watermark_advanced(self.high_watermark)
        return self.high_watermark

    def read(self, offset: int, max_bytes: int, *, up_to: int, min_one: bool = True) -> ReadResult:
        """Bytes from the batch that holds ``offset``: at most ``max_bytes``, of one segment, nothing at or above ``up_to``.

        ``up_to`` is the high watermark, the last stable offset or the end of the log. With ``min_one`` the first batch is
        given whole even when it is larger. The last batch may be cut short (a client asks for it again).

        Raises ``ApiError``: ``OFFSET_OUT_OF_RANGE`` below the log's start or above its end, ``KAFKA_STORAGE_ERROR``.
        (Kafka: LocalLog.read)
        """
        if self._failure is not None or self.closed:
            self._check_online()
        end = self.log_end_offset
        if offset > end or offset < self.log_start_offset:
            raise ApiError(
                ErrorCode.OFFSET_OUT_OF_RANGE,
                f"Received request for offset {offset} for partition {self.name}, "
                f"but we only have log segments from offset {self.log_start_offset} to {end}.",
            )
        if up_to > end:
            up_to = end
        if offset >= up_to:
            return ReadResult(None, offset, offset)
        active = segment = self.segments.active
        try:
            if offset >= active.base_offset:
                span = self._tail.find(offset, end) or active.search(offset)
            else:
                found = self.segments.floor(offset)
                span = None
                while found is not None:
                    segment = found
                    span = found.search(offset)
                    if span is not None:
                        break
                    found = self.segments.higher(found.base_offset)
            if span is None or span.base_offset >= up_to:
                return ReadResult(None, offset, offset)
            first_offset, _, position, size = span
            bound = up_to
            if segment is active:
                limit = segment.size if up_to == end else self._position_of(segment, up_to)
            else:
                following = self.segments.higher(segment.base_offset)
                if following is None or up_to >= following.base_offset:
                    limit = segment.size
                    if following is not None:
                        bound = following.base_offset
                else:
                    limit = self._position_of(segment, up_to)
            if size < max_bytes:
                size = min(max_bytes, limit - position)
            elif not min_one:
                size = min(max_bytes, size)
            if size <= 0:
                return ReadResult(None, offset, offset)
            return ReadResult(FileRange(segment.file.opened(), position, size), first_offset, bound)
        except OSError as error:
            raise self.fail(error) from error

    def _position_of(self, segment: Segment, offset: int) -> int:
        """Where the batch that holds ``offset`` begins: what a reader limited to below ``offset`` may see ends there."""
        if segment is self.segments.active:
            position = self._tail.position(offset)
            if position >= 0:
                return position
        span = segment.search(offset)
        return segment.size if span is None else span.position

    def aborted_transactions(self, from_offset: int, to_offset: int) -> list[AbortedTransaction]:
        """The aborted transactions with records in ``[from_offset, to_offset)``  (Kafka: collectAbortedTransactions)."""
        found: list[AbortedTransaction] = []
        try:
            for segment in self.segments.from_floor(from_offset):
                if segment.transaction_index.exists:
                    some, complete = segment.transaction_index.collect(from_offset, to_offset)
                    found += some
                    if complete:
                        break
        except OSError as error:
            raise self.fail(error) from error
        return found

    def find_by_timestamp(self, timestamp: int) -> TimestampOffset | None:
        """The first record with at least this timestamp, from the log's start on; None when there is none."""
        self._check_online()
        try:
            for segment in self.segments:
                if segment.retention_timestamp() >= timestamp:
                    return segment.find_by_timestamp(timestamp, self.log_start_offset)
        except OSError as error:
            raise self.fail(error) from error
        return None

    def find_max_timestamp(self) -> TimestampOffset | None:
        """The first record with the largest timestamp (ListOffsets -3); None in an empty log."""
        self._check_online()
        try:
            return max(self.segments, key=lambda segment: segment.max_timestamp).find_max_timestamp()
        except OSError as error:
            raise self.fail(error) from error

    def end_offset_for_epoch(self, epoch: int) -> tuple[int, int]:
        """(epoch, end offset) of the largest epoch at or below ``epoch``; (-1, -1) when unknown (KIP-101, KIP-279)."""
        return self.epochs.end_offset_for(epoch, self.log_end_offset)

    # Flushing

    @property
    def unflushed(self) -> int:
        """Offsets above the recovery point."""
        return self.log_end_offset - self.recovery_point

    def flush_due(self, now_ms: int) -> bool:
        """Whether ``flush.messages`` or ``flush.ms`` asks for a sync now, or a closed segment waits for one."""
        unflushed = self.log_end_offset - self.recovery_point
        if unflushed <= 0:
            return False
        return (
            unflushed >= self.config.flush_messages
            or now_ms - self._flushed_at_ms >= self.config.flush_ms
            or self.recovery_point < self.segments.active.base_offset
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
            for segment in self.segments.from_floor(self.recovery_point):
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
        return targets

    def flushed(self, targets: FlushTargets, now_ms: int) -> int:
        """``targets.run`` succeeded: everything below ``targets.up_to`` is durable. Returns the high watermark."""
        if self._failure is None and targets.truncations == self._truncations:
            self.recovery_point = max(self.recovery_point, targets.up_to)
            self._flushed_at_ms = now_ms
            if self.commit_rule is CommitRule.FSYNC:
                self.advance_high_watermark(self.recovery_point)
        return self.high_watermark

    def flush_failed(self, error: OSError) -> ApiError:
        """``FlushTargets.run`` raised: what is on the disk is unknown, so the log goes offline. The error to answer with."""
        return self.fail(error)

    def flush(self, now_ms: int) -> None:
        """Sync everything now, blocking. Raises ``ApiError(KAFKA_STORAGE_ERROR)``."""
        targets = self.flush_targets()
        try:
            targets.run(self.storage)
        except OSError as error:
            raise self.fail(error) from error
        self.flushed(targets, now_ms)

    # Deleting

    def delete_records_before(self, offset: int) -> int:
        """Move the log's start to ``offset`` (-1: to the high watermark); below the present start nothing changes.

        Returns the start. Files go at the next ``delete_old_segments``. Raises ``ApiError``: ``OFFSET_OUT_OF_RANGE``
        beyond the high watermark or below -1, ``KAFKA_STORAGE_ERROR``.  (Kafka: Partition.deleteRecordsOnLeader)
        """
        self._check_online()
        if offset == -1:
            offset = self.high_watermark
        if offset < 0 or offset > self.high_watermark:
            raise ApiError(
                ErrorCode.OFFSET_OUT_OF_RANGE,
                f"Cannot increment the log start offset to {offset} of partition {self.name} "
                f"since it is larger than the high watermark {self.high_watermark}",
            )
        if offset > self.log_start_offset:
            try:
                self._move_start(offset)
                if self.epochs.dirty:
                    self.epochs.write()
                    self._sync_later(self.epochs.path)
            except OSError as error:
                raise self.fail(error) from error
        return self.log_start_offset

    def _move_start(self, offset: int) -> None:
        self.log_start_offset = offset
        self.epochs.truncate_from_start(offset)
        self.producers.log_start_advanced(offset)

    def delete_old_segments(self, now_ms: int) -> list[DeferredDelete]:
        """Take out of service what retention or the log's start leave behind; its files are renamed to ``.deleted``.

        Returns the files to remove after ``file.delete.delay.ms``.
        """
        self._check_online()
        try:
            doomed = retention.segments_to_delete(
                list(self.segments),
                self.config,
                log_start_offset=self.log_start_offset,
                log_end_offset=self.log_end_offset,
                high_watermark=self.high_watermark,
                now_ms=now_ms,
            )
            if not doomed:
                return []
            if len(doomed) == len(self.segments):
                self._roll(now_ms)
            first_left = self.segments.higher(doomed[-1].base_offset)
            if first_left is not None and first_left.base_offset > self.log_start_offset:
                self._move_start(first_left.base_offset)
            return [self._retire(doomed)]
        except OSError as error:
            raise self.fail(error) from error

    def _retire(self, doomed: list[Segment]) -> DeferredDelete:
        paths: list[str] = []
        for segment in doomed:
            self.segments.remove(segment)
            paths += segment.add_suffix(DELETED)
            for file in segment.files():
                file.release()
            snapshot = self.snapshots.retire(segment.base_offset)
            if snapshot is not None:
                paths.append(snapshot)
        return DeferredDelete(paths, self.config.file_delete_delay_ms)

    def roll_if_due(self, now_ms: int) -> bool:
        """Roll when the active segment's time is up by the wall clock.

        Kafka rolls by time only when something is appended; the log does so too, and this is for topics that want their
        old segment closed (compaction). Returns whether it rolled.
        """
        self._check_online()
        active = self.segments.active
        try:
            if not active.size or now_ms - max(active.first_timestamp, 0) <= self.config.segment_ms - active.jitter_ms:
                return False
            self._roll(now_ms)
        except OSError as error:
            raise self.fail(error) from error
        return True

    def truncate_to(self, offset: int, now_ms: int) -> None:
        """Drop the batches from the one that holds ``offset`` on (a replica that lost its tail)."""
        self._check_online()
        if offset >= self.log_end_offset:
            return
        try:
            self._tail.clear()
            self._truncations += 1
            if offset < self.segments.first.base_offset:
                doomed = list(self.segments)
                self.log_end_offset = offset
                for old in doomed:
                    self._drop(old)
                self.segments.add(self._new_segment(offset, now_ms))
            else:
                for segment in self.segments.from_floor(offset)[1:]:
                    self._drop(segment)
                self.segments.active.truncate_to(offset, now_ms)
                self.log_end_offset = max(self.segments.active.next_offset(), self.segments.active.base_offset)
            end = self.log_end_offset
            self.epochs.truncate_from_end(end)
            self.log_start_offset = min(self.log_start_offset, end)
            self.recovery_point = min(self.recovery_point, end)
            self.high_watermark = min(self.high_watermark, end)
            self.snapshots.remove_above(end)
            recovery.replay_producers(self.segments, self.producers, self.snapshots, self.log_start_offset, end, now_ms)
            self.touched = True
            self._sync_directory_later()
            if self.epochs.dirty:
                self.epochs.write()
                self._sync_later(self.epochs.path)
        except OSError as error:
            raise self.fail(error) from error

    # Closing and moving

    def close(self, now_ms: int, *, sync: bool = True) -> None:
        """Finish the files: producers' snapshot at the end, largest timestamps, indexes cut to size, all synced.

        After a clean close of every log the directory's clean marker may be written. An offline log only gives its
        descriptors back. Raises ``ApiError(KAFKA_STORAGE_ERROR)``: then the marker must not be written.
        """
        if self.closed:
            return
        try:
            if self._failure is None:
                self._finish(now_ms, sync)
        except OSError as error:
            raise self.fail(error) from error
        finally:
            self.closed = True
            self.release_files()

    def _finish(self, now_ms: int, sync: bool) -> None:
        if not self.touched and not self._paths_to_sync and not self._directories_to_sync:
            return
        active = self.segments.active
        active.close_for_appends()
        if self.log_end_offset > 0:
            self._take_snapshot(self.log_end_offset)
        if sync:
            self._sync_directory_later()
            targets = self.flush_targets()
            targets.files += [file.opened() for file in active.files()[1:]]
            targets.run(self.storage)
            self.flushed(targets, now_ms)

    def abandon(self) -> None:
        """The partition was deleted: give the descriptors back, write nothing."""
        self.closed = True
        self.release_files()

    def update_config(self, config: LogConfig, commit_rule: CommitRule | None = None) -> None:
        """The topic's settings changed; they hold from the next append on."""
        self.config = config
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
        try:
            self.storage.rename(self.directory, directory)
        except OSError as error:
            raise self.fail(error) from error
        self.directory = directory
        self.epochs.move(directory)
        self.snapshots.directory = directory
        for segment in self.segments:
            segment.move(directory)
