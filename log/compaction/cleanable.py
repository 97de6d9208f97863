"""Which part of a log may be compacted, and how much it needs it: pure functions over its segments.

    facts = LogFacts(tuple(log.segments), log.log_start_offset, log.log_end_offset, log.last_stable_offset)
    offsets = cleanable_offsets(facts, checkpoint, min_compaction_lag_ms, now_ms)
    delay_ms = max_compaction_delay_ms(facts, offsets.first_dirty_offset, max_compaction_lag_ms, now_ms)
    candidate = log_to_clean(facts, offsets, delay_ms > 0)
    if candidate.needs_cleaning(min_cleanable_dirty_ratio): ...    # the one with the largest cleanable_ratio first

(Kafka: LogCleanerManager.cleanableOffsets, maxCompactionDelay, calculateCleanableBytes; LogToClean)
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from typing import Protocol

from attrs import define


class SegmentFacts(Protocol):
    """What is asked of a segment (``log.segment.Segment`` has it); the last two may read from the disk."""

    @property
    def base_offset(self) -> int: ...

    @property
    def size(self) -> int: ...

    @property
    def max_timestamp(self) -> int:
        """The largest timestamp, -1 without one."""
        ...

    @property
    def first_timestamp(self) -> int:
        """That of the first batch, -1 without one."""
        ...


@define(slots=True, frozen=True)
class LogFacts:
    """A log's segments in order (the last one is the active one) and its offsets."""

    segments: Sequence[SegmentFacts]
    log_start_offset: int
    log_end_offset: int
    last_stable_offset: int

    def segments_between(self, start: int, end: int) -> Sequence[SegmentFacts]:
        """From the one that would hold ``start`` up to those that begin below ``end``. (LogSegments.values)"""
        bases = [segment.base_offset for segment in self.segments]
        return self.segments[max(bisect_right(bases, start) - 1, 0) : bisect_left(bases, end)] if start < end else ()

    def inactive_from(self, start: int) -> Sequence[SegmentFacts]:
        return self.segments_between(start, self.segments[-1].base_offset)


@define(slots=True, frozen=True)
class CleanableOffsets:
    """``[first_dirty_offset, first_uncleanable_offset)`` may be cleaned; both are the same where nothing may.

    ``checkpoint_invalid``: the checkpoint lay outside of the log and is to be replaced by ``first_dirty_offset``.
    """

    first_dirty_offset: int
    first_uncleanable_offset: int
    checkpoint_invalid: bool


@define(slots=True, frozen=True)
class LogToClean:
    """What a cleaning of this log would work on. ``first_uncleanable_offset`` is a segment's base offset."""

    first_dirty_offset: int
    first_uncleanable_offset: int
    clean_bytes: int
    cleanable_bytes: int
    needs_compaction_now: bool

    @property
    def total_bytes(self) -> int:
        return self.clean_bytes + self.cleanable_bytes

    @property
    def cleanable_ratio(self) -> float:
        total = self.total_bytes
        return self.cleanable_bytes / total if total else 0.0

    def needs_cleaning(self, min_cleanable_dirty_ratio: float) -> bool:
        """Whether it is dirty enough, or older than ``max.compaction.lag.ms`` allows."""
        if self.total_bytes == 0:
            return False
        return (self.needs_compaction_now and self.cleanable_bytes > 0) or (
            self.cleanable_ratio > min_cleanable_dirty_ratio
        )


def cleanable_offsets(
    facts: LogFacts, checkpoint: int | None, min_compaction_lag_ms: int, now_ms: int
) -> CleanableOffsets:
    """``checkpoint`` is the log's entry in ``cleaner-offset-checkpoint``, None without one.

    Not cleaned are the active segment, what is at or above the last stable offset, and everything from the first dirty
    segment on that has a timestamp within ``min.compaction.lag.ms`` of now.
    """
    first_dirty = facts.log_start_offset if checkpoint is None else checkpoint
    invalid = not facts.log_start_offset <= first_dirty <= facts.log_end_offset
    if invalid:
        first_dirty = facts.log_start_offset
    uncleanable = min(facts.last_stable_offset, facts.segments[-1].base_offset)
    if min_compaction_lag_ms > 0:
        newest = now_ms - min_compaction_lag_ms
        for segment in facts.inactive_from(first_dirty):
            if segment.max_timestamp > newest:
                uncleanable = min(uncleanable, segment.base_offset)
                break
    return CleanableOffsets(first_dirty, max(first_dirty, uncleanable), invalid)


def max_compaction_delay_ms(facts: LogFacts, first_dirty_offset: int, max_compaction_lag_ms: int, now_ms: int) -> int:
    """How long the first batch of the oldest dirty segment has been overdue; 0 if it is not."""
    limit = now_ms - max(max_compaction_lag_ms, 0)
    if limit <= 0:
        return 0  # the usual setting, for ever: no need to look at the segments
    found = [segment.first_timestamp for segment in facts.inactive_from(first_dirty_offset)]
    oldest = min((timestamp for timestamp in found if timestamp > 0), default=limit)
    return max(limit - oldest, 0)


def log_to_clean(facts: LogFacts, offsets: CleanableOffsets, needs_compaction_now: bool) -> LogToClean:
    """Rounds the uncleanable offset down to a segment and counts bytes, as Kafka does: a segment that is partly dirty
    counts on both sides."""
    first_dirty = offsets.first_dirty_offset
    inactive = facts.inactive_from(offsets.first_uncleanable_offset)
    uncleanable = (inactive[0] if inactive else facts.segments[-1]).base_offset
    cleanable = facts.segments_between(min(first_dirty, uncleanable), uncleanable)
    clean = (segment for segment in facts.segments if segment.base_offset < first_dirty)
    return LogToClean(
        first_dirty,
        uncleanable,
        sum(segment.size for segment in clean),
        sum(segment.size for segment in cleanable),
        needs_compaction_now,
    )
