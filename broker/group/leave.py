"""LeaveGroup (Kafka: classicGroupLeave; KIP-345 for leaving by instance id)."""

from __future__ import annotations

from broker.group.classic_group import ClassicGroup
from broker.group.decision import Decision, Waiter
from broker.group.rebalance import complete_join_if_all_joined, drop_member, prepare_or_complete, session_key
from broker.group.state import ShardState
from broker.group.states import COMPLETING_REBALANCE, DEAD, PREPARING_REBALANCE, STABLE
from kwire.error_codes import ErrorCode
from kwire.errors import ApiError
from kwire.messages.leave_group import LeaveGroupResponse, MemberIdentity, MemberResponse


def leave(state: ShardState, group_id: str, members: list[MemberIdentity], waiter: Waiter, decision: Decision) -> None:
    """Remove each member asked for; each is answered by itself. Nothing is stored until the next generation."""
    group = state.groups.get(group_id)
    if group is None:
        answers = [_answer(member, ErrorCode.UNKNOWN_MEMBER_ID) for member in members]
        decision.answer(waiter, LeaveGroupResponse(members=answers))
        return
    if group.state is DEAD:
        decision.answer(waiter, LeaveGroupResponse(error_code=ErrorCode.COORDINATOR_NOT_AVAILABLE))
        return
    answers = []
    any_left = False
    for member in members:
        try:
            leave_one(group, member, decision)
        except ApiError as error:
            answers.append(_answer(member, error.code))
        else:
            answers.append(_answer(member, ErrorCode.NONE))
            any_left = True
    if any_left:
        settle_after_leaving(state, group, decision)
    decision.answer(waiter, LeaveGroupResponse(members=answers))


def settle_after_leaving(state: ShardState, group: ClassicGroup, decision: Decision) -> None:
    """What becomes of a group some of whose members have left."""
    if group.state is STABLE or group.state is COMPLETING_REBALANCE:
        prepare_or_complete(state, group, decision)
    elif group.state is PREPARING_REBALANCE:
        complete_join_if_all_joined(group, decision)


def _answer(member: MemberIdentity, code: ErrorCode) -> MemberResponse:
    return MemberResponse(member_id=member.member_id, group_instance_id=member.group_instance_id, error_code=code)


def leave_one(group: ClassicGroup, leaving: MemberIdentity, decision: Decision) -> None:
    """Remove a member; ApiError UNKNOWN_MEMBER_ID, FENCED_INSTANCE_ID. `settle_after_leaving` comes after it."""
    member_id, instance_id = leaving.member_id, leaving.group_instance_id
    if not member_id:
        # An administrator removes a static member by its instance id alone.
        known_id = group.static_members.get(instance_id) if instance_id is not None else None
        if known_id is None:
            raise ApiError(ErrorCode.UNKNOWN_MEMBER_ID)
        drop_member(group, group.members[known_id], decision)
    elif member_id in group.pending_join:
        group.remove(member_id)
        decision.cancel(session_key(group.group_id, member_id))
    else:
        drop_member(group, group.check_member(member_id, instance_id), decision)
