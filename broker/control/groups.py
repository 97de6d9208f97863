"""`/v1/clusters/{cluster}/groups`: states, members, lag; rebalance, evict, move the coordinator, delete."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import msgspec
from msgspec import Meta

from broker.control.group_views import (
    GroupList,
    GroupView,
    all_groups,
    coordinating,
    summary,
    unknown_group,
    view,
)
from broker.control.plane import cluster_of
from broker.coordinator_log import OFFSETS_TOPIC
from broker.group import force
from broker.http.endpoint import Call, ControlError, Endpoint
from kwire.error_codes import ErrorCode
from kwire.errors import ApiError

if TYPE_CHECKING:
    from broker.cluster import Cluster
    from broker.coordinator.shard import Shard
    from broker.group.decision import Decision, Waiter
    from broker.group.state import ShardState
    from broker.nodes.node import Node


class GroupsQuery(msgspec.Struct, forbid_unknown_fields=True):
    """state: only groups in this state, without regard to case."""

    state: str | None = None


class Rebalanced(msgspec.Struct):
    """begun: false where a rebalance was under way already, which goes on."""

    begun: bool
    state: str
    generation: int


class Evicted(msgspec.Struct):
    """member_id: who was put out. members: how many are left."""

    member_id: str
    state: str
    members: int


class CoordinatorBody(msgspec.Struct, forbid_unknown_fields=True):
    """node: who shall coordinate the group; null: the next node that may, or the same one anew where there is no
    other. Its partition of `__consumer_offsets` moves, and with it all groups that live there.
    """

    node: Annotated[int, Meta(ge=0)] | None = None


class Coordinator(msgspec.Struct):
    """coordinator, before: ids of nodes. partition: of `__consumer_offsets`. leader_epoch: risen in any case."""

    group: str
    coordinator: int
    before: int
    partition: int
    leader_epoch: int


def list_groups(call: Call) -> GroupList:
    wanted = call.query.state
    found = [summary(node, group) for node, _, group in all_groups(cluster_of(call).cluster)]
    return GroupList([each for each in found if wanted is None or each.state.lower() == wanted.lower()])


def show_group(call: Call) -> GroupView:
    cluster = cluster_of(call).cluster
    node, shard = _shard(call, cluster)
    group = shard.state.groups.get(call.path["group"])
    if group is None:
        raise unknown_group(cluster, call.path["group"])
    return view(cluster, node, shard.state, group)


async def rebalance(call: Call) -> Rebalanced:
    group_id = call.path["group"]
    _, shard = _shard(call, cluster_of(call).cluster)

    def operate(waiter: Waiter, decision: Decision) -> None:
        begun = force.rebalance(shard.state, group_id, decision)
        group = shard.state.groups[group_id]
        decision.answer(waiter, Rebalanced(begun, group.state.value, group.generation))

    try:
        answer: Rebalanced = await call.wait(shard.submit(operate))
    except ApiError as error:
        if error.code is ErrorCode.INVALID_REQUEST:
            raise ControlError(409, "empty_group", str(error.message)) from None
        raise _explained(call, error) from None
    return answer


async def evict(call: Call) -> Evicted:
    group_id = call.path["group"]
    _, shard = _shard(call, cluster_of(call).cluster)

    def operate(waiter: Waiter, decision: Decision) -> None:
        member_id = force.evict(shard.state, group_id, call.path["member"], decision)
        group = shard.state.groups[group_id]
        decision.answer(waiter, Evicted(member_id, group.state.value, len(group.members)))

    try:
        answer: Evicted = await call.wait(shard.submit(operate))
    except ApiError as error:
        group = shard.state.groups.get(group_id)
        if error.code is ErrorCode.UNKNOWN_MEMBER_ID and group is not None:
            allowed = [*group.members, *group.static_members][:50]
            raise ControlError(404, "unknown_member", str(error.message), allowed=allowed) from None
        raise _explained(call, error) from None
    return answer


async def move_coordinator(call: Call, body: CoordinatorBody) -> Coordinator:
    cluster = cluster_of(call).cluster
    group_id = call.path["group"]
    node, partition = coordinating(cluster, group_id)
    try:
        to = await call.wait(cluster.controller.move_leader(OFFSETS_TOPIC, partition, body.node))
    except ApiError as error:
        if error.code is ErrorCode.BROKER_ID_NOT_REGISTERED:
            raise ControlError(404, "unknown_node", str(error.message), allowed=sorted(cluster.nodes)) from None
        if error.code in (ErrorCode.NOT_LEADER_OR_FOLLOWER, ErrorCode.ELIGIBLE_LEADERS_NOT_AVAILABLE):
            raise ControlError(409, "node_cannot_lead", str(error.message)) from None
        raise
    described = cluster.controller.image.partition(OFFSETS_TOPIC, partition)
    assert described is not None
    return Coordinator(group_id, to, node.node_id, partition, described.leader_epoch)


async def delete_group(call: Call) -> None:
    group_id = call.path["group"]
    cluster = cluster_of(call).cluster
    node, _ = coordinating(cluster, group_id)
    result = await call.wait(node.groups.delete_group(group_id))
    if result.error_code:
        code = ErrorCode(result.error_code)
        if code is ErrorCode.NON_EMPTY_GROUP:
            raise ControlError(
                409,
                "non_empty_group",
                f"group {group_id!r} has members: let them leave, or put them out (DELETE member)",
            )
        raise _explained(call, ApiError(code))


def _shard(call: Call, cluster: Cluster) -> tuple[Node, Shard[ShardState]]:
    """Where the group of the path lives; 503 while it is being loaded."""
    node, _ = coordinating(cluster, call.path["group"])
    return node, node.groups.shard_of(call.path["group"])


def _explained(call: Call, error: ApiError) -> Exception:
    if error.code is ErrorCode.GROUP_ID_NOT_FOUND:
        return unknown_group(cluster_of(call).cluster, call.path["group"])
    return error


_PATH = "/v1/clusters/{cluster}/groups"
_GROUP = f"{_PATH}/{{group}}"

endpoints = [
    Endpoint(
        "GET", _PATH, list_groups, query=GroupsQuery, answer=GroupList, summary="Groups of a cluster", tag="groups"
    ),
    Endpoint(
        "GET",
        _GROUP,
        show_group,
        answer=GroupView,
        summary="A group: members, what they are assigned, committed offsets, lag",
        tag="groups",
    ),
    Endpoint("DELETE", _GROUP, delete_group, summary="Delete a group without members, and its offsets", tag="groups"),
    Endpoint(
        "POST",
        f"{_GROUP}/rebalance",
        rebalance,
        answer=Rebalanced,
        summary="Let a group rebalance",
        description="Its members are answered REBALANCE_IN_PROGRESS and join again, as when a member joins.",
        tag="groups",
    ),
    Endpoint(
        "DELETE",
        f"{_GROUP}/members/{{member}}",
        evict,
        answer=Evicted,
        summary="Put a member out, by its member id or its instance id",
        description="It is answered UNKNOWN_MEMBER_ID from now on; the others rebalance.",
        tag="groups",
    ),
    Endpoint(
        "PUT",
        f"{_GROUP}/coordinator",
        move_coordinator,
        body=CoordinatorBody,
        answer=Coordinator,
        summary="Move a group's coordinator to another node",
        description="Clients are answered NOT_COORDINATOR where it was, and find the new one. Members stay members."
        " With one node it stays where it is and loads its groups anew, under a new leader epoch.",
        tag="groups",
    ),
]
