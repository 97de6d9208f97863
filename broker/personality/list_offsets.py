"""ListOffsets v0: first offsets of segments, the newest first, by when the segments were last written.

(Kafka 3.9: UnifiedLog.legacyFetchOffsetsBefore, Partition.legacyFetchOffsetsForTimestamp)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from kwire.error_codes import ErrorCode
from kwire.errors import ApiError
from kwire.messages.list_offsets import (
    ListOffsetsPartition,
    ListOffsetsPartitionResponse,
    ListOffsetsRequest,
    ListOffsetsResponse,
    ListOffsetsTopicResponse,
)

if TYPE_CHECKING:
    from broker.context import RequestContext
    from broker.dispatch import Handler
    from broker.partitions import Partitions
    from broker.personality.personality import Personality
    from broker.services import Services
    from log.partition_log import PartitionLog
    from log.segment import Segment

_LATEST: Final = -1
_EARLIEST: Final = -2


def around(call: Handler, services: Services, personality: Personality) -> Handler:
    partitions = services.partitions
    clock = services.clock

    def list_offsets(request: ListOffsetsRequest, ctx: RequestContext) -> Any:
        return ListOffsetsResponse(
            topics=[
                ListOffsetsTopicResponse(
                    name=topic.name,
                    partitions=[_answer(partitions, topic.name, wanted, clock.now_ms()) for wanted in topic.partitions],
                )
                for topic in request.topics
            ]
        )

    return list_offsets


def _answer(
    partitions: Partitions, topic: str, wanted: ListOffsetsPartition, now_ms: int
) -> ListOffsetsPartitionResponse:
    answer = ListOffsetsPartitionResponse(partition_index=wanted.partition_index)
    try:
        if wanted.timestamp < _EARLIEST:
            raise ApiError(ErrorCode.UNSUPPORTED_VERSION)
        partition = partitions.get(topic, wanted.partition_index)
        if partition is None:
            raise ApiError(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION)
        answer.old_style_offsets = offsets_before(partition.log, wanted.timestamp, wanted.max_num_offsets, now_ms)
    except ApiError as error:
        answer.error_code = error.code
    return answer


def offsets_before(log: PartitionLog, timestamp: int, most: int, now_ms: int) -> list[int]:
    """At most `most` offsets, falling: the log's end and first offsets of segments that were last written by
    `timestamp` (-1: all, -2: the first only). Nothing above the high watermark."""
    marks = [(max(segment.base_offset, log.log_start_offset), segment) for segment in log.segments]
    count = len(marks)
    has_end = log.segments.active.size > 0
    if timestamp == _LATEST:
        at = count if has_end else count - 1
    elif timestamp == _EARLIEST:
        at = 0
    else:
        at = count if has_end and now_ms <= timestamp else count - 1
        while at >= 0 and at < count and _modified_ms(log, marks[at][1]) > timestamp:
            at -= 1
    offsets: list[int] = []
    while at >= 0 and len(offsets) < most:
        offsets.append(log.log_end_offset if at == count else marks[at][0])
        at -= 1
    offsets.sort(reverse=True)
    high_watermark = log.high_watermark
    if offsets and offsets[0] > high_watermark:
        return [high_watermark, *(offset for offset in offsets if offset <= high_watermark)]
    return offsets


def _modified_ms(log: PartitionLog, segment: Segment) -> int:
    try:
        return segment.storage.modified_ms(segment.file.path)
    except OSError as error:
        raise log.fail(error) from error
