"""OffsetCommit  (KIP-211, KIP-320, KIP-345, KIP-848)

v2-4 with a retention time; v6 leader epochs; v7 static members; v9 an unknown group is 69; v10 topics by id.
"""

from __future__ import annotations

from broker.context import RequestContext
from broker.coordinator.coordinator import GroupCoordinator
from kwire.error_codes import ErrorCode
from kwire.messages.offset_commit import (
    OffsetCommitRequest,
    OffsetCommitRequestPartition,
    OffsetCommitRequestTopic,
    OffsetCommitResponse,
    OffsetCommitResponsePartition,
    OffsetCommitResponseTopic,
)

_TOPIC_IDS_SINCE = 10


async def offset_commit(
    request: OffsetCommitRequest, ctx: RequestContext, groups: GroupCoordinator
) -> OffsetCommitResponse:
    """Partitions that do not exist are refused one by one and come first in the answer, as in Kafka."""
    by_id = ctx.api_version >= _TOPIC_IDS_SINCE
    known: list[OffsetCommitRequestTopic] = []
    refused: list[OffsetCommitResponseTopic] = []
    topics = groups.topics
    for topic in request.topics:
        if by_id:
            name = topics.topic_name(topic.topic_id)
            if name is None:
                refused.append(_refuse(topic, topic.partitions, ErrorCode.UNKNOWN_TOPIC_ID))
                continue
            topic.name = name
        else:
            topic_id = topics.topic_id(topic.name)
            if topic_id is None:
                refused.append(_refuse(topic, topic.partitions, ErrorCode.UNKNOWN_TOPIC_OR_PARTITION))
                continue
            topic.topic_id = topic_id
        count = topics.partition_count(topic.name)
        missing = [each for each in topic.partitions if not 0 <= each.partition_index < count]
        if missing:
            refused.append(_refuse(topic, missing, ErrorCode.UNKNOWN_TOPIC_OR_PARTITION))
            topic.partitions = [each for each in topic.partitions if 0 <= each.partition_index < count]
        if topic.partitions:
            known.append(topic)
    if not known:
        return OffsetCommitResponse(topics=_merged(refused, []))
    answered = await groups.commit_offsets(request, known, ctx.api_version)
    return OffsetCommitResponse(topics=_merged(refused, answered) if refused else answered)


def _refuse(
    topic: OffsetCommitRequestTopic, partitions: list[OffsetCommitRequestPartition], code: ErrorCode
) -> OffsetCommitResponseTopic:
    return OffsetCommitResponseTopic(
        name=topic.name,
        topic_id=topic.topic_id,
        partitions=[
            OffsetCommitResponsePartition(partition_index=each.partition_index, error_code=code) for each in partitions
        ],
    )


def _merged(
    refused: list[OffsetCommitResponseTopic], answered: list[OffsetCommitResponseTopic]
) -> list[OffsetCommitResponseTopic]:
    """One entry a topic, refused partitions first."""
    merged: dict[tuple[str, bytes], OffsetCommitResponseTopic] = {}
    for topic in refused + answered:
        before = merged.setdefault((topic.name, topic.topic_id), topic)
        if before is not topic:
            before.partitions.extend(topic.partitions)
    return list(merged.values())
