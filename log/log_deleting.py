"""Taking records out of a partition log: at its start by retention and DeleteRecords, at its end by truncation."""

from __future__ import annotations

from kwire.error_codes import ErrorCode
from kwire.errors import ApiError
from log import recovery, retention
from log.filenames import DELETED
from log.log_cleaning import LogCleaning
from log.results import DeferredDelete
from log.segment import Segment


class LogDeleting(LogCleaning):
    """The part of a partition log that removes records."""

    __slots__ = ()

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

    def truncate_to(self, offset: int, now_ms: int) -> None:
        """Drop the batches from the one that holds ``offset`` on (a replica that lost its tail)."""
        self._check_online()
        if offset >= self.log_end_offset:
            return
        self._abort_cleaning()
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
            self.producers.high_watermark_advanced(self.high_watermark)
            self.touched = True
            self._sync_directory_later()
            if self.epochs.dirty:
                self.epochs.write()
                self._sync_later(self.epochs.path)
        except OSError as error:
            raise self.fail(error) from error

    def truncate_fully(self, start_offset: int, now_ms: int) -> None:
        """Drop everything and begin anew at ``start_offset``, above the log's end too  (Kafka:
        truncateFullyAndStartAt). Raises ``ApiError(KAFKA_STORAGE_ERROR)``.
        """
        self._check_online()
        self._abort_cleaning()
        try:
            self._tail.clear()
            self._truncations += 1
            for old in list(self.segments):
                self._drop(old)
            self.segments.add(self._new_segment(start_offset, now_ms))
            self.log_start_offset = self.log_end_offset = start_offset
            self.recovery_point = self.high_watermark = start_offset
            self.epochs.clear()
            self.snapshots.remove_above(start_offset)
            self.producers.reset(start_offset)
            self.touched = True
            self._sync_directory_later()
            if self.epochs.dirty:
                self.epochs.write()
                self._sync_later(self.epochs.path)
        except OSError as error:
            raise self.fail(error) from error
