"""SyncGroup: the leader hands in the assignment, everyone is given theirs (Kafka: classicGroupSync)."""

from __future__ import annotations

from broker.group.classic_group import ClassicGroup
from broker.group.decision import Decision, Waiter
from broker.group.rebalance import prepare, propagate_assignments, reset_assignments, sync_key
from broker.group.state import ShardState
from broker.group.states import COMPLETING_REBALANCE, DEAD, EMPTY, PREPARING_REBALANCE, STABLE
from kwire.error_codes import ErrorCode
from kwire.errors import ApiError
from kwire.messages.sync_group import SyncGroupRequest, SyncGroupResponse


def sync(state: ShardState, request: SyncGroupRequest, waiter: Waiter, decision: Decision) -> None:
    """Decide on one SyncGroup. A member that asks before the leader waits for it."""
    try:
        _sync(state, request, waiter, decision)
    except ApiError as error:
        decision.answer(waiter, SyncGroupResponse(error_code=error.code))


def _sync(state: ShardState, request: SyncGroupRequest, waiter: Waiter, decision: Decision) -> None:
    group = state.groups.get(request.group_id)
    if group is None or group.state is EMPTY:
        raise ApiError(ErrorCode.UNKNOWN_MEMBER_ID)
    if group.state is DEAD:
        raise ApiError(ErrorCode.COORDINATOR_NOT_AVAILABLE)
    member = group.check_member(request.member_id, request.group_instance_id)
    if request.generation_id != group.generation:
        raise ApiError(ErrorCode.ILLEGAL_GENERATION)
    if _differs(request.protocol_type, group.protocol_type) or _differs(request.protocol_name, group.protocol):
        raise ApiError(ErrorCode.INCONSISTENT_GROUP_PROTOCOL)
    if group.state is PREPARING_REBALANCE:
        raise ApiError(ErrorCode.REBALANCE_IN_PROGRESS)
    group.pending_sync.pop(member.member_id, None)
    if not group.pending_sync:
        decision.cancel(sync_key(group.group_id))
    if group.state is STABLE:
        response = SyncGroupResponse(
            protocol_type=group.protocol_type, protocol_name=group.protocol, assignment=member.assignment
        )
        decision.answer(waiter, response)
        return
    if member.awaiting_sync is not None:
        # Kafka forgets the earlier request of a member that asks twice.
        decision.answer(member.awaiting_sync, SyncGroupResponse(error_code=ErrorCode.REBALANCE_IN_PROGRESS))
    member.awaiting_sync = waiter
    if group.leader == member.member_id:
        _store(state, group, request, decision)


def _differs(asked: str | None, has: str | None) -> bool:
    return asked is not None and has is not None and asked != has


def _store(state: ShardState, group: ClassicGroup, request: SyncGroupRequest, decision: Decision) -> None:
    """Store the assignment; it becomes the members' once it is committed, unless the group has moved on by then."""
    given = {each.member_id: bytes(each.assignment) for each in request.assignments}
    assignments = {member_id: given.get(member_id, b"") for member_id in group.members}
    generation = group.generation
    decision.records.append(group.to_record(assignments))

    def committed(later: Decision) -> None:
        if group.state is COMPLETING_REBALANCE and group.generation == generation:
            for member in group.members.values():
                member.assignment = assignments.get(member.member_id, b"")
            propagate_assignments(group, ErrorCode.NONE, later)
            group.transition(STABLE, later.now_ms)

    def refused(code: ErrorCode, later: Decision) -> None:
        if group.state is COMPLETING_REBALANCE and group.generation == generation:
            reset_assignments(group, code, later)
            prepare(state, group, later)

    decision.on_committed = committed
    decision.on_refused = refused
