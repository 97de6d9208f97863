"""Committed offsets of declared groups into a cluster's coordinators."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from broker.contents.model import EARLIEST, LATEST, CommittedOffset, ContentsError, GroupContents, Problem
from broker.controller.names import GROUP_OFFSETS_TOPIC
from broker.deferred import Deferred
from broker.group.ids import partition_for
from kwire import uuids
from kwire.error_codes import ErrorCode
from kwire.errors import ApiError
from kwire.messages.offset_commit import OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic
from kwire.messages.offset_fetch import OffsetFetchRequestTopics, OffsetFetchResponseTopics

if TYPE_CHECKING:
    from broker.cluster import Cluster
    from broker.coordinator.coordinator import GroupCoordinator
    from broker.partitions import Partition

# A coordinator that has just got its partition reads it first; it does so in turns of the loop.
_COORDINATOR_TURNS: Final = 10_000
_COMMIT_VERSION: Final = 9


def led(cluster: Cluster, topic: str, index: int) -> Partition | None:
    """The partition at the node that leads it."""
    described = cluster.controller.image.partition(topic, index)
    node = None if described is None else cluster.nodes.get(described.leader)
    return None if node is None else node.partitions.get(topic, index)


async def commit(cluster: Cluster, group: GroupContents) -> int:
    """Commit those offsets of a group that it has not committed yet; how many. Raises ContentsError."""
    try:
        coordinator = await _coordinator(cluster, group.group_id)
        offsets = _wanted(cluster, group)
        for topic in await _committed(cluster, coordinator, group.group_id, offsets):
            for partition in topic.partitions:
                if partition.committed_offset >= 0:
                    del offsets[topic.name][partition.partition_index]
        topics = [_commit_topic(cluster, topic, each) for topic, each in offsets.items() if each]
        if not topics:
            return 0
        request = OffsetCommitRequest(group_id=group.group_id, topics=topics)
        for answer in await coordinator.commit_offsets(request, topics, _COMMIT_VERSION):
            for answered in answer.partitions:
                if answered.error_code:
                    raise ApiError(ErrorCode(answered.error_code))
    except ApiError as error:
        reason = error.message or error.code.name
        raise ContentsError([Problem(("groups", group.group_id), f"cannot be committed: {reason}")]) from None
    return sum(len(each) for each in offsets.values())


def _wanted(cluster: Cluster, group: GroupContents) -> dict[str, dict[int, int]]:
    """Topic -> partition -> offset. What is said of one partition goes before what is said of all."""
    offsets: dict[str, dict[int, int]] = {}
    for wanted in sorted(group.offsets, key=lambda each: each.partition is not None):
        for index, offset in _resolved(cluster, wanted):
            offsets.setdefault(wanted.topic, {})[index] = offset
    return offsets


def _resolved(cluster: Cluster, wanted: CommittedOffset) -> Iterator[tuple[int, int]]:
    """Partition and offset."""
    topic = cluster.controller.image.topic_by_name(wanted.topic)
    count = 0 if topic is None else len(topic.partitions)
    for index in range(count) if wanted.partition is None else (wanted.partition,):
        offset = wanted.offset
        if offset in (EARLIEST, LATEST):
            partition = led(cluster, wanted.topic, index)
            if partition is None:
                continue
            offset = partition.log.log_start_offset if offset == EARLIEST else partition.log.high_watermark
        yield index, offset


async def _committed(
    cluster: Cluster, coordinator: GroupCoordinator, group_id: str, offsets: dict[str, dict[int, int]]
) -> list[OffsetFetchResponseTopics]:
    """What the group has committed of these, once the coordinator has loaded."""
    topics = [
        OffsetFetchRequestTopics(name=topic, partition_indexes=list(partitions))
        for topic, partitions in offsets.items()
    ]
    for _ in range(_COORDINATOR_TURNS):
        try:
            return await coordinator.fetch_offsets(group_id, topics)
        except ApiError as error:
            if error.code != ErrorCode.COORDINATOR_LOAD_IN_PROGRESS:
                raise
        await next_turn(cluster)
    raise ApiError(ErrorCode.COORDINATOR_LOAD_IN_PROGRESS)


def _commit_topic(cluster: Cluster, name: str, offsets: dict[int, int]) -> OffsetCommitRequestTopic:
    topic = cluster.controller.image.topic_by_name(name)
    return OffsetCommitRequestTopic(
        name=name,
        topic_id=uuids.ZERO if topic is None else topic.topic_id,
        partitions=[
            OffsetCommitRequestPartition(partition_index=index, committed_offset=offset, committed_metadata="")
            for index, offset in offsets.items()
        ],
    )


async def _coordinator(cluster: Cluster, group_id: str) -> GroupCoordinator:
    image = cluster.controller.image
    if image.topic_by_name(GROUP_OFFSETS_TOPIC) is None:
        (created,) = await cluster.controller.create_missing_topic(GROUP_OFFSETS_TOPIC)
        if created.error is not None and created.error.code != ErrorCode.TOPIC_ALREADY_EXISTS:
            raise created.error
    topic = image.topic_by_name(GROUP_OFFSETS_TOPIC)
    if topic is None:
        raise ApiError(ErrorCode.COORDINATOR_NOT_AVAILABLE)
    node = cluster.nodes.get(topic.partitions[partition_for(group_id, len(topic.partitions))].leader)
    if node is None:
        raise ApiError(ErrorCode.COORDINATOR_NOT_AVAILABLE)
    return node.groups


def next_turn(cluster: Cluster) -> Deferred[None]:
    """Done when the loop has served what waits."""
    done: Deferred[None] = Deferred()
    cluster.clock.call_later(0, lambda: done.resolve(None))
    return done
