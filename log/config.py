"""The settings of one log, from the topic's configuration strings  (Kafka: LogConfig, TopicConfig).

Values are checked where they are set (the broker's configuration); here they are only read. ``internal.segment.bytes``,
when given, takes the place of ``segment.bytes`` (Kafka's tests, and ours, roll small segments with it).
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum

from attrs import define, field

_MAX_INT64 = (1 << 63) - 1
RECORD_OVERHEAD = 12


class CommitRule(Enum):
    """When an appended record counts as committed, so that readers may see it."""

    PAGE_CACHE = "page cache"
    """As soon as it is written: a crash of the process loses nothing, a power loss may. Kafka's default."""
    FSYNC = "fsync"
    """When it is synced to the disk."""
    HELD = "held"
    """When whoever set this rule says so (``advance_high_watermark``): replicas are behind."""


@define(slots=True, frozen=True)
class LogConfig:
    """Units are in the names; -1 in a retention setting is "no limit"."""

    cleanup_policy: tuple[str, ...] = ("delete",)
    compression_type: str = "producer"
    compression_gzip_level: int = -1
    compression_lz4_level: int = 9
    compression_zstd_level: int = 3
    delete_retention_ms: int = 86_400_000
    file_delete_delay_ms: int = 60_000
    flush_messages: int = _MAX_INT64
    flush_ms: int = _MAX_INT64
    index_interval_bytes: int = 4096
    max_compaction_lag_ms: int = _MAX_INT64
    max_message_bytes: int = 1_048_588
    message_timestamp_after_max_ms: int = 3_600_000
    message_timestamp_before_max_ms: int = _MAX_INT64
    message_timestamp_type: str = "CreateTime"
    min_cleanable_dirty_ratio: float = 0.5
    min_compaction_lag_ms: int = 0
    min_insync_replicas: int = 1
    preallocate: bool = False
    retention_bytes: int = -1
    retention_ms: int = 604_800_000
    segment_bytes: int = 1_073_741_824
    segment_index_bytes: int = 10_485_760
    segment_jitter_ms: int = 0
    segment_ms: int = 604_800_000
    max_segment_ms: int = field(init=False)
    """When the active segment is old enough to be rolled: compaction leaves it alone, so it must not outlive
    ``max.compaction.lag.ms``."""

    def __attrs_post_init__(self) -> None:
        longest = self.segment_ms
        if self.compact and self.max_compaction_lag_ms > 0:
            longest = min(longest, self.max_compaction_lag_ms)
        object.__setattr__(self, "max_segment_ms", longest)

    @property
    def compact(self) -> bool:
        return "compact" in self.cleanup_policy

    @property
    def delete(self) -> bool:
        """Whether retention by time and size applies; an empty policy keeps everything."""
        return "delete" in self.cleanup_policy

    @property
    def log_append_time(self) -> bool:
        return self.message_timestamp_type == "LogAppendTime"

    @property
    def commit_rule(self) -> CommitRule:
        """``flush.messages=1`` asks for every record to be on the disk before it is acknowledged."""
        return CommitRule.FSYNC if self.flush_messages <= 1 else CommitRule.PAGE_CACHE

    @classmethod
    def from_strings(
        cls, configs: Mapping[str, str | None], defaults: Mapping[str, str | None] | None = None
    ) -> LogConfig:
        """From topic configuration names (``segment.bytes``) to values; ``configs`` wins over ``defaults``.

        Names that do not concern a log are passed over. Raises ``ValueError`` for a value that does not parse.
        """
        merged = {**(defaults or {}), **configs}
        values: dict[str, object] = {}
        for name, default in _DEFAULTS.items():
            text = merged.get(name)
            if text is None:
                continue
            attribute = name.replace(".", "_")
            text = text.strip()
            if isinstance(default, bool):
                values[attribute] = text.lower() == "true"
            elif isinstance(default, int):
                values[attribute] = int(text)
            elif isinstance(default, float):
                values[attribute] = float(text)
            elif isinstance(default, tuple):
                values[attribute] = tuple(part.strip().lower() for part in text.split(",") if part.strip())
            else:
                values[attribute] = text
        internal = merged.get("internal.segment.bytes")
        if internal is not None:
            values["segment_bytes"] = int(internal)
        return cls(**values)  # type: ignore[arg-type]


_DEFAULTS: Mapping[str, object] = {
    attribute.name.replace("_", "."): attribute.default for attribute in LogConfig.__attrs_attrs__ if attribute.init
}
