"""Which segments of a log are too old, too many, or below its start  (Kafka: UnifiedLog.deleteOldSegments).

Pure choices: the log removes what they name. A segment is only ever named when all before it are, and when the high
watermark has passed its end; the last one not while it is empty.
"""

from __future__ import annotations

from collections.abc import Callable

from log.config import LogConfig
from log.segment import Segment


def segments_to_delete(
    segments: list[Segment],
    config: LogConfig,
    *,
    log_start_offset: int,
    log_end_offset: int,
    high_watermark: int,
    now_ms: int,
) -> list[Segment]:
    """The oldest segments that must go: below the log's start always, by size and time with cleanup policy ``delete``.

    The last segment may be among them: the log rolls first.
    """

    def oldest_while(start: int, breached: Callable[[Segment, Segment | None], bool]) -> int:
        for number in range(start, len(segments)):
            segment = segments[number]
            following = segments[number + 1] if number + 1 < len(segments) else None
            end = following.base_offset if following is not None else log_end_offset
            if high_watermark < end or (following is None and segment.size == 0) or not breached(segment, following):
                return number
        return len(segments)

    count = oldest_while(0, lambda _, following: following is not None and following.base_offset <= log_start_offset)
    if config.delete and config.retention_bytes >= 0:
        excess = sum(segment.size for segment in segments[count:]) - config.retention_bytes

        def too_much(segment: Segment, _: Segment | None) -> bool:
            nonlocal excess
            excess -= segment.size
            return excess >= 0

        count = oldest_while(count, too_much)
    if config.delete and config.retention_ms >= 0:
        oldest = now_ms - config.retention_ms
        count = oldest_while(count, lambda segment, _: segment.retention_timestamp() < oldest)
    return segments[:count]
