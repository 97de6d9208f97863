"""What is shown of groups: their members, what these are assigned, what is committed and how far it is behind."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Literal

import msgspec

from broker.coordinator_log import OFFSETS_TOPIC
from broker.group.ids import partition_for
from broker.group.states import STABLE
from broker.group.subscription import subscribed_topics
from broker.http.endpoint import ControlError
from broker.nodes.node import RUNNING
from kwire.errors import ApiError, DecodeError, KwireError
from kwire.internal.framing import decode_assignment

if TYPE_CHECKING:
    from broker.cluster import Cluster
    from broker.coordinator.shard import Shard
    from broker.group.classic_group import ClassicGroup
    from broker.group.durable import GroupOffsets
    from broker.group.member import Member
    from broker.group.state import ShardState
    from broker.nodes.node import Node

_SHOWN_NAMES = 50


class GroupSummary(msgspec.Struct):
    """One line of the list. coordinator: the id of its node."""

    group: str
    state: str
    protocol_type: str
    generation: int
    members: int
    coordinator: int


class GroupList(msgspec.Struct):
    """In the order of their names."""

    groups: list[GroupSummary]


class TopicPartitions(msgspec.Struct):
    topic: str
    partitions: list[int]


class MemberView(msgspec.Struct):
    """waits: for the others to join ("join"), for its assignment ("sync"), or for nothing.

    subscription, assignment: of consumers; null where they are none, or say it in another way.
    """

    member_id: str
    instance_id: str | None
    client_id: str
    host: str
    session_timeout_ms: int
    rebalance_timeout_ms: int
    waits: Literal["join", "sync"] | None
    subscription: list[str] | None
    assignment: list[TopicPartitions] | None


class OffsetView(msgspec.Struct):
    """One partition of a group: those with a committed offset, and those assigned without one.

    committed_offset: null when there is none; then all records of the partition count as lag. lag: high_watermark less
    the committed offset, at least 0; null when the partition is not there. member_id: who has it assigned.
    pending: an open transaction has committed an offset that is not in force yet.
    """

    topic: str
    partition: int
    committed_offset: int | None
    leader_epoch: int | None
    metadata: str | None
    high_watermark: int | None
    lag: int | None
    member_id: str | None
    pending: bool


class GroupView(msgspec.Struct):
    """state: Empty, PreparingRebalance, CompletingRebalance, Stable. lag: the sum over `offsets`."""

    group: str
    state: str
    protocol_type: str
    protocol: str | None
    generation: int
    leader: str | None
    coordinator: int
    members: list[MemberView]
    offsets: list[OffsetView]
    lag: int


def coordinating(cluster: Cluster, group_id: str) -> tuple[Node, int]:
    """The node that coordinates a group, and the partition of `__consumer_offsets` it lives in.

    Raises ControlError: 404 where there are no groups at all, 503 while nobody leads the partition.
    """
    topic = cluster.controller.image.topic_by_name(OFFSETS_TOPIC)
    if topic is None:
        raise unknown_group(cluster, group_id)
    index = partition_for(group_id, len(topic.partitions))
    node = cluster.nodes.get(topic.partitions[index].leader)
    if node is None or node.state != RUNNING:
        raise ControlError(
            503, "coordinator_not_available", f"partition {index} of {OFFSETS_TOPIC} has no leader now: start a node"
        )
    return node, index


def unknown_group(cluster: Cluster, group_id: str) -> ControlError:
    names = [group.group_id for _, _, group in all_groups(cluster)][:_SHOWN_NAMES]
    return ControlError(404, "unknown_group", f"there is no group {group_id!r}", allowed=names)


def all_groups(cluster: Cluster) -> Iterable[tuple[Node, Shard[ShardState], ClassicGroup]]:
    """Of all nodes that run, by name; those that are being loaded are not among them."""
    found = [
        (node, shard, group)
        for node in cluster.nodes.values()
        if node.state == RUNNING
        for shard in node.groups.active_shards()
        for group in shard.state.groups.values()
    ]
    return sorted(found, key=lambda each: each[2].group_id)


def summary(node: Node, group: ClassicGroup) -> GroupSummary:
    return GroupSummary(
        group=group.group_id,
        state=group.state.value,
        protocol_type=group.protocol_type or "",
        generation=group.generation,
        members=len(group.members),
        coordinator=node.node_id,
    )


def view(cluster: Cluster, node: Node, state: ShardState, group: ClassicGroup) -> GroupView:
    members = [_member(group, member) for member in group.members.values()]
    owners = {
        (part.topic, index): member.member_id
        for member in members
        for part in member.assignment or ()
        for index in part.partitions
    }
    pending = set(state.durable.pending.partitions(group.group_id))
    offsets = _offsets(cluster, state.durable.offsets.get(group.group_id, {}), owners, pending)
    return GroupView(
        group=group.group_id,
        state=group.state.value,
        protocol_type=group.protocol_type or "",
        protocol=group.protocol,
        generation=group.generation,
        leader=group.leader,
        coordinator=node.node_id,
        members=members,
        offsets=offsets,
        lag=sum(each.lag or 0 for each in offsets),
    )


def _member(group: ClassicGroup, member: Member) -> MemberView:
    subscription = assignment = None
    if group.uses_consumer_protocol:
        try:
            name = group.protocol if group.state is STABLE else member.protocols[0][0] if member.protocols else None
            subscription = subscribed_topics(member.metadata(name))
        except (DecodeError, KeyError):
            subscription = None
        assignment = _assigned(member.assignment)
    waits: Literal["join", "sync"] | None = None
    if member.awaiting_join is not None:
        waits = "join"
    elif member.awaiting_sync is not None:
        waits = "sync"
    return MemberView(
        member_id=member.member_id,
        instance_id=member.instance_id,
        client_id=member.client_id,
        host=member.client_host,
        session_timeout_ms=member.session_timeout_ms,
        rebalance_timeout_ms=member.rebalance_timeout_ms,
        waits=waits,
        subscription=subscription,
        assignment=assignment,
    )


def _assigned(raw: bytes) -> list[TopicPartitions] | None:
    if not raw:
        return []
    try:
        decoded = decode_assignment(raw)
    except KwireError:
        return None
    return [TopicPartitions(each.topic, list(each.partitions)) for each in decoded.assigned_partitions]


def _offsets(
    cluster: Cluster, committed: GroupOffsets, owners: dict[tuple[str, int], str], pending: set[tuple[str, int]]
) -> list[OffsetView]:
    keys = {(topic, index) for topic, partitions in committed.items() for index in partitions} | owners.keys() | pending
    found = []
    for topic, index in sorted(keys):
        value = committed.get(topic, {}).get(index)
        span = span_of(cluster, topic, index)
        lag = None
        if span is not None:
            lag = max(span[1] - (span[0] if value is None else value.offset), 0)
        found.append(
            OffsetView(
                topic=topic,
                partition=index,
                committed_offset=None if value is None else value.offset,
                leader_epoch=None if value is None or value.leader_epoch < 0 else value.leader_epoch,
                metadata=None if value is None else value.metadata,
                high_watermark=None if span is None else span[1],
                lag=lag,
                member_id=owners.get((topic, index)),
                pending=(topic, index) in pending,
            )
        )
    return found


def span_of(cluster: Cluster, topic: str, index: int) -> tuple[int, int] | None:
    """Log start offset and high watermark; None when nobody leads the partition. A log that was never used is not
    made for being looked at."""
    described = cluster.controller.image.partition(topic, index)
    if described is None:
        return None
    node = cluster.nodes.get(described.leader)
    if node is None or node.state != RUNNING:
        return None
    if cluster.manager.directory_of(topic, index) is None:
        return 0, 0
    partition = node.partitions.get(topic, index)
    if partition is None:
        return None
    try:
        return partition.log.log_start_offset, partition.log.high_watermark
    except ApiError:
        return None
