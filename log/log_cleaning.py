"""The part of a partition log that lets itself be compacted: what a cleaning works on, and the swap of its results.

One cleaning at a time. It ends when the log is closed, moved, deleted or truncated; what was not put in place by then
is undone, or finished where readers have seen it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from attrs import evolve

from log.compaction.cleanable import LogFacts, LogToClean, cleanable_offsets, log_to_clean, max_compaction_delay_ms
from log.compaction.job import CleaningJob, LastRecord, SourceSegment
from log.log_state import LogState
from log.segment_swap import SegmentSwap, SwapAbortedError, remove_leftovers

__all__ = ["Cleanable", "Cleaning", "LogCleaning", "SwapAbortedError"]


class Cleanable(NamedTuple):
    """What a look at a log says."""

    wanted: LogToClean
    checkpoint_invalid: bool
    """The cleaner checkpoint is to be replaced by the first dirty offset."""
    overdue_ms: int
    """For how long it should have been cleaned already, by ``max.compaction.lag.ms``."""


class Cleaning:
    """A cleaning under way. Whoever runs it asks for one swap after the other, then calls ``end``."""

    __slots__ = ("_log", "_swap", "directory")

    def __init__(self, log: LogCleaning) -> None:
        self._log = log
        self._swap: SegmentSwap | None = None
        self.directory = log.directory

    @property
    def aborted(self) -> bool:
        """The log has been closed, moved, deleted or truncated, or is offline: nothing more may be swapped in."""
        return self._log.cleaning is not self or self._log.offline

    def swap(self, base_offset: int, sources: Sequence[int]) -> SegmentSwap:
        """The replacement of the segments at ``sources`` by the cleaned one at ``base_offset``, not begun yet.

        Only when the one before is done. Raises ``SwapAbortedError``.
        """
        if self.aborted:
            raise SwapAbortedError(f"{self.directory}: the cleaning was ended")
        self._swap = SegmentSwap(self._log, base_offset, sources)
        return self._swap

    def end(self) -> None:
        """It is done, or given up."""
        if self._log.cleaning is self:
            self._log.cleaning = None

    def abort(self) -> None:
        """The log closes: see ``SegmentSwap.abort``. Raises ``OSError``."""
        self.end()
        if self._swap is not None:
            self._swap.abort()
        self._log.remove_cleaning_leftovers()

    def drop(self) -> None:
        """The directory goes away with all that is in it: no further step, and none under way when this returns."""
        self.end()
        if self._swap is not None:
            self._swap.drop()


class LogCleaning(LogState):
    """The part of a partition log that is compacted."""

    __slots__ = ()

    def to_clean(self, checkpoint: int | None, now_ms: int) -> Cleanable:
        """What a cleaning would work on. ``checkpoint``: where the one before ended, None without an entry.

        What is above the recovery point is left alone, so that recovery after a crash never meets the holes that
        compaction makes. Raises ``ApiError(KAFKA_STORAGE_ERROR)``.
        """
        self._check_online()
        config = self.config
        facts = LogFacts(
            tuple(self.segments),
            self.log_start_offset,
            self.log_end_offset,
            min(self.last_stable_offset, self.recovery_point),
        )
        try:
            offsets = cleanable_offsets(facts, checkpoint, config.min_compaction_lag_ms, now_ms)
            delay_ms = max_compaction_delay_ms(facts, offsets.first_dirty_offset, config.max_compaction_lag_ms, now_ms)
            return Cleanable(log_to_clean(facts, offsets, delay_ms > 0), offsets.checkpoint_invalid, delay_ms)
        except OSError as error:
            raise self.fail(error) from error

    def cleaning_job(
        self, wanted: LogToClean, now_ms: int, *, map_bytes: int, map_load_factor: float, io_buffer_bytes: int
    ) -> Callable[[], CleaningJob]:
        """The job as plain data, once the call that is returned has asked the disk for sizes: it may run in a thread
        while the log is being cleaned. Raises ``ApiError(KAFKA_STORAGE_ERROR)``; the call ``OSError``.
        """
        self._check_online()
        config = self.config
        end = wanted.first_uncleanable_offset
        try:
            aborted = {
                entry: None
                for segment in self.segments
                if segment.transaction_index.exists
                for entry in segment.transaction_index.entries()
                if entry.first_offset < end
            }
        except OSError as error:
            raise self.fail(error) from error
        job = CleaningJob(
            self.topic,
            self.partition,
            self.directory,
            now_ms,
            wanted.first_dirty_offset,
            end,
            (),
            tuple(sorted(aborted, key=lambda entry: entry.last_offset)),
            tuple(
                LastRecord(
                    entry.producer_id,
                    entry.epoch,
                    entry.batches[-1].last_offset if entry.batches else -1,
                )
                for entry in self.producers.producers.values()
            ),
            config.segment_bytes,
            config.segment_index_bytes,
            config.index_interval_bytes,
            config.delete_retention_ms,
            config.max_message_bytes,
            map_bytes,
            map_load_factor,
            io_buffer_bytes,
        )
        segments = [segment for segment in self.segments if segment.base_offset < end]
        storage = self.storage

        def complete() -> CleaningJob:
            sources = (
                SourceSegment(
                    segment.base_offset,
                    segment.size,
                    storage.size(segment.offset_index.file.path),
                    storage.size(segment.time_index.file.path),
                    storage.modified_ms(segment.file.path),
                )
                for segment in segments
            )
            return evolve(job, segments=tuple(sources))

        return complete

    def begin_cleaning(self) -> Cleaning:
        """From here on the segments below the job's end are changed by this cleaning only. Raises ``ApiError``."""
        self._check_online()
        if self.cleaning is not None:
            raise ValueError(f"{self!r} is being cleaned")
        self.cleaning = Cleaning(self)
        return self.cleaning

    def remove_cleaning_leftovers(self) -> None:
        """Files of a cleaning that was given up. Blocks. Raises ``OSError``."""
        remove_leftovers(self.storage, self.directory)

    def replace_segments(self, base_offset: int, sources: Sequence[int]) -> SegmentSwap:
        """Put the cleaned segment at ``base_offset`` in the place of those at ``sources``, blocking.

        Raises ``SwapAbortedError``, ``ApiError(KAFKA_STORAGE_ERROR)``.
        """
        cleaning = self.begin_cleaning()
        try:
            swap = cleaning.swap(base_offset, sources)
            swap.run()
        except OSError as error:
            raise self.fail(error) from error
        finally:
            cleaning.end()
        return swap

    def _abort_cleaning(self) -> None:
        """Before the files go elsewhere. Raises ``ApiError(KAFKA_STORAGE_ERROR)``."""
        cleaning = self.cleaning
        if cleaning is not None:
            if self.offline:
                cleaning.drop()  # whoever opens the log again finishes or undoes what is there
                return
            try:
                cleaning.abort()
            except OSError as error:
                raise self.fail(error) from error
