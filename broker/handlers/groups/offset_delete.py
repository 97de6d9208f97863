"""OffsetDelete  (KIP-496)"""

from __future__ import annotations

from broker.context import RequestContext
from broker.coordinator.coordinator import GroupCoordinator
from kwire.error_codes import ErrorCode
from kwire.errors import ApiError
from kwire.messages.offset_delete import (
    OffsetDeleteRequest,
    OffsetDeleteRequestPartition,
    OffsetDeleteRequestTopic,
    OffsetDeleteResponse,
    OffsetDeleteResponsePartition,
    OffsetDeleteResponseTopic,
)


async def offset_delete(
    request: OffsetDeleteRequest, _ctx: RequestContext, groups: GroupCoordinator
) -> OffsetDeleteResponse:
    """Partitions that do not exist are refused one by one and come first in the answer, as in Kafka."""
    known: list[OffsetDeleteRequestTopic] = []
    answers: dict[str, OffsetDeleteResponseTopic] = {}
    for topic in request.topics:
        count = groups.topics.partition_count(topic.name)
        there = [each for each in topic.partitions if 0 <= each.partition_index < count]
        missing = [each for each in topic.partitions if not 0 <= each.partition_index < count]
        if missing or not count:
            _add(answers, _refuse(topic.name, missing))
        if there:
            known.append(OffsetDeleteRequestTopic(name=topic.name, partitions=there))
    try:
        deleted = await groups.delete_offsets(request.group_id, known)
    except ApiError as error:
        return OffsetDeleteResponse(error_code=error.code)
    for answer in deleted:
        _add(answers, answer)
    return OffsetDeleteResponse(topics=list(answers.values()))


def _refuse(name: str, partitions: list[OffsetDeleteRequestPartition]) -> OffsetDeleteResponseTopic:
    return OffsetDeleteResponseTopic(
        name=name,
        partitions=[
            OffsetDeleteResponsePartition(
                partition_index=each.partition_index, error_code=ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
            )
            for each in partitions
        ],
    )


def _add(answers: dict[str, OffsetDeleteResponseTopic], topic: OffsetDeleteResponseTopic) -> None:
    before = answers.setdefault(topic.name, topic)
    if before is not topic:
        before.partitions.extend(topic.partitions)
