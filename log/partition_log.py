"""One partition on disk: append, read, roll, flush, close  (Kafka: UnifiedLog, LocalLog).

Synchronous and single-threaded; time comes in as ``now_ms`` values, files through ``Storage``. The only thing another
thread may do is ``FlushTargets.run``.

Offsets: ``log_start_offset <= last_stable_offset <= high_watermark <= log_end_offset``. The recovery point is the
offset below which everything is known to be on the disk.

Errors: ``ApiError`` for what the protocol has a code for. After an I/O error that leaves the files in doubt, or a
failed sync, the log is offline: every call raises ``KAFKA_STORAGE_ERROR`` until it is opened again, which reads from
the disk what is really there.
"""

from __future__ import annotations

from collections.abc import Callable

from kwire.error_codes import ErrorCode
from kwire.errors import ApiError
from log import recovery
from log.append_errors import RecordsRejectedError
from log.append_validation import AppendOrigin, validate_append
from log.config import CommitRule, LogConfig
from log.filenames import PARTITION_METADATA
from log.log_deleting import LogDeleting
from log.log_flushing import LogFlushing
from log.log_reading import LogReading
from log.partition_metadata import read_topic_id, write_topic_id
from log.producer_state import ProducerStateManager, ProducerUpdate
from log.results import AppendInfo, DeferredDelete, FlushTargets, ReadResult
from log.segment import Segment, TimestampOffset
from log.storage import Bytes, Storage, is_space_error
from log.transaction_index import AbortedTransaction
from log.verification import UNCHECKED, VerificationGuard

__all__ = [
    "AppendInfo",
    "AppendOrigin",
    "CommitRule",
    "DeferredDelete",
    "FlushTargets",
    "PartitionLog",
    "ReadResult",
    "RecordsRejectedError",
    "TimestampOffset",
    "VerificationGuard",
]


class PartitionLog(LogReading, LogFlushing, LogDeleting):
    """The log of one partition. Make one with :meth:`open`."""

    __slots__ = ()

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
        ``topic_id`` is written to ``partition.metadata`` when that is missing or damaged.

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
                synced=rule is CommitRule.FSYNC,
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
            if topic_id is not None and read_topic_id(storage, directory) is None:
                write_topic_id(storage, directory, topic_id)
                log._paths_to_sync.append(f"{directory}/{PARTITION_METADATA}")
            if not clean_shutdown:
                # Names that the process before gave, a new segment's or the directory's own, it may not have synced.
                for path in (directory, directory.rsplit("/", 1)[0]):
                    if path not in log._directories_to_sync:
                        log._directories_to_sync.append(path)
            if rule is CommitRule.FSYNC and (log.recovery_point < log.log_end_offset or loaded.rebuilt):
                log.flush(now_ms)
        except OSError as error:
            raise ApiError(ErrorCode.KAFKA_STORAGE_ERROR, f"cannot open {directory}: {error}") from error
        return log

    def append_as_leader(
        self,
        records: Bytes,
        *,
        leader_epoch: int,
        now_ms: int,
        origin: AppendOrigin = AppendOrigin.CLIENT,
        guard: VerificationGuard | None = UNCHECKED,
        transaction_version: int = -1,
    ) -> AppendInfo:
        """Validate ``records`` (a client: one batch), give them the next offsets and write them.

        Base offset and leader epoch are patched into ``records`` in place when it is writable, else into a copy.
        ``guard`` and ``transaction_version``: see ``ProducerStateManager.prepare``.

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
            update = self.producers.prepare(header, data, origin, guard=guard, transaction_version=transaction_version)
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
