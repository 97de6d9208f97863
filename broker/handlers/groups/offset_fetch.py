"""OffsetFetch  (KIP-320, KIP-447, KIP-709, KIP-848)

v1 one group; v2 null topics stand for all, errors of the group at the top; v5 leader epochs; v7 require_stable; v8
several groups; v9 member ids (not looked at for a classic group); v10 topics by id.

require_stable: what an open transaction has committed is UNSTABLE_OFFSET_COMMIT; else the offset before is told.
"""

from __future__ import annotations

from broker.context import RequestContext
from broker.coordinator.coordinator import GroupCoordinator
from broker.deferred import gather, start
from broker.group.offsets import no_offset
from kwire.error_codes import ErrorCode
from kwire.errors import ApiError
from kwire.messages.offset_fetch import (
    OffsetFetchRequest,
    OffsetFetchRequestGroup,
    OffsetFetchRequestTopics,
    OffsetFetchResponse,
    OffsetFetchResponseGroup,
    OffsetFetchResponsePartition,
    OffsetFetchResponseTopic,
    OffsetFetchResponseTopics,
)
from kwire.uuids import ZERO

_GROUP_ERROR_SINCE = 2
_GROUPS_SINCE = 8
_TOPIC_IDS_SINCE = 10


async def offset_fetch(
    request: OffsetFetchRequest, ctx: RequestContext, groups: GroupCoordinator
) -> OffsetFetchResponse:
    version = ctx.api_version
    if version >= _GROUPS_SINCE:
        fetches = [
            start(_fetch_group(group, version, groups, require_stable=request.require_stable))
            for group in request.groups
        ]
        return OffsetFetchResponse(groups=await gather(fetches))
    topics = None
    if request.topics is not None:
        topics = [
            OffsetFetchRequestTopics(name=topic.name, partition_indexes=topic.partition_indexes)
            for topic in request.topics
        ]
    answer = await _fetch_group(
        OffsetFetchRequestGroup(group_id=request.group_id, topics=topics),
        version,
        groups,
        require_stable=request.require_stable,
    )
    return OffsetFetchResponse(
        error_code=answer.error_code,
        topics=[
            OffsetFetchResponseTopic(
                name=topic.name,
                partitions=[
                    OffsetFetchResponsePartition(
                        partition_index=each.partition_index,
                        committed_offset=each.committed_offset,
                        committed_leader_epoch=each.committed_leader_epoch,
                        metadata=each.metadata,
                        error_code=each.error_code,
                    )
                    for each in topic.partitions
                ],
            )
            for topic in answer.topics
        ],
    )


async def _fetch_group(
    group: OffsetFetchRequestGroup, version: int, groups: GroupCoordinator, *, require_stable: bool
) -> OffsetFetchResponseGroup:
    wanted = group.topics
    refused: list[OffsetFetchResponseTopics] = []
    by_id = version >= _TOPIC_IDS_SINCE
    if by_id and wanted is not None:
        known = []
        for topic in wanted:
            name = groups.topics.topic_name(topic.topic_id)
            if name is None:
                refused.append(_refuse(topic, ErrorCode.UNKNOWN_TOPIC_ID))
            else:
                topic.name = name
                known.append(topic)
        wanted = known
    elif wanted is not None:
        for topic in wanted:
            topic.topic_id = ZERO
    try:
        found = await groups.fetch_offsets(group.group_id, wanted, require_stable=require_stable)
    except ApiError as error:
        return _group_error(group, error.code, version)
    if by_id and group.topics is None:
        found = _with_ids(found, groups)
    return OffsetFetchResponseGroup(group_id=group.group_id, topics=found + refused)


def _refuse(topic: OffsetFetchRequestTopics, code: ErrorCode) -> OffsetFetchResponseTopics:
    return OffsetFetchResponseTopics(
        name=topic.name,
        topic_id=topic.topic_id,
        partitions=[no_offset(index, code) for index in topic.partition_indexes],
    )


def _with_ids(found: list[OffsetFetchResponseTopics], groups: GroupCoordinator) -> list[OffsetFetchResponseTopics]:
    """Topics that are gone have no id and cannot be named in this version."""
    named = []
    for topic in found:
        topic_id = groups.topics.topic_id(topic.name)
        if topic_id is not None:
            topic.topic_id = topic_id
            named.append(topic)
    return named


def _group_error(group: OffsetFetchRequestGroup, code: ErrorCode, version: int) -> OffsetFetchResponseGroup:
    if version >= _GROUP_ERROR_SINCE or group.topics is None:
        return OffsetFetchResponseGroup(group_id=group.group_id, error_code=code)
    return OffsetFetchResponseGroup(group_id=group.group_id, topics=[_refuse(topic, code) for topic in group.topics])
