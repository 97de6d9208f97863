"""What the cleaner has done, for metrics and for who asks  (Kafka: the gauges of LogCleaner, LogCleanerManager)."""

from __future__ import annotations

from attrs import define, field

from log.compaction.job import CleaningStats


@define(slots=True)
class LastCleaning:
    """The latest finished cleaning."""

    topic: str
    partition: int
    first_dirty_offset: int
    end_offset: int
    took_ms: float
    stats: CleaningStats


@define(slots=True)
class CleanerStats:
    """Counts from the broker's start on."""

    cleanings: int = 0
    aborted: int = 0
    """Ended by the broker: the topic was deleted, moved, no longer to be compacted."""
    failed: int = 0
    """The worker died, or the disk failed; tried again."""
    bytes_read: int = 0
    bytes_written: int = 0
    last: LastCleaning | None = None
    last_run_ms: int = -1
    """When it was last looked for something to clean, by the wall clock (time-since-last-run-ms)."""
    max_dirty_percent: int = 0
    """Of the dirtiest log, at that time."""
    max_compaction_delay_ms: int = 0
    """How long the most overdue log waits beyond ``max.compaction.lag.ms``, at that time."""
    uncleanable: dict[tuple[str, int], str] = field(factory=dict)
    """Partitions that are left out, with why."""

    @property
    def recopy_percent(self) -> int:
        """cleaner-recopy-percent of the last cleaning."""
        if self.last is None:
            return 0
        return 100 * self.last.stats.bytes_written // max(self.last.stats.bytes_read, 1)

    @property
    def max_buffer_utilization_percent(self) -> int:
        return 0 if self.last is None else int(100 * self.last.stats.map_utilization)

    @property
    def max_clean_time_secs(self) -> int:
        return 0 if self.last is None else int(self.last.took_ms / 1000)
