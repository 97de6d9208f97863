"""Which neighbouring segments become one, so that segments do not shrink away  (Kafka: Cleaner.groupSegmentsBySize)."""

from __future__ import annotations

from collections.abc import Sequence

from log.compaction.job import SourceSegment

_MAX_OFFSET_SPAN = 0x7FFFFFFF


def group_segments(
    segments: Sequence[SourceSegment], max_bytes: int, max_index_bytes: int, first_uncleanable_offset: int
) -> list[list[SourceSegment]]:
    """Runs of segments, each together no larger than ``max_bytes`` of log and ``max_index_bytes`` of each index, with
    offsets that an index can hold. A segment that is too large by itself stays alone.

    Where a segment ends is taken from where the next begins: the exact end would have to be read.
    """
    groups: list[list[SourceSegment]] = []
    size = offset_index = time_index = 0
    for number, segment in enumerate(segments):
        size += segment.size_bytes
        offset_index += segment.offset_index_bytes
        time_index += segment.time_index_bytes
        after = segments[number + 1].base_offset if number + 1 < len(segments) else first_uncleanable_offset
        if (
            groups
            and size <= max_bytes
            and offset_index <= max_index_bytes
            and time_index <= max_index_bytes
            and (segment.size_bytes == 0 or after - 1 - groups[-1][0].base_offset <= _MAX_OFFSET_SPAN)
        ):
            groups[-1].append(segment)
        else:
            groups.append([segment])
            size, offset_index, time_index = segment.size_bytes, segment.offset_index_bytes, segment.time_index_bytes
    return groups
