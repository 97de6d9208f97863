"""The course of a rebalance: prepare, wait for joins, next generation, wait for syncs (Kafka: GroupMetadataManager).

Every function changes the group and fills the decision; none looks at anything else.
"""

from __future__ import annotations

from broker.group.classic_group import ClassicGroup
from broker.group.decision import Decision, TimerKey
from broker.group.member import NO_DEADLINE, Member
from broker.group.state import ShardState
from broker.group.states import COMPLETING_REBALANCE, DEAD, EMPTY, PREPARING_REBALANCE, STABLE
from kwire.error_codes import ErrorCode
from kwire.messages.join_group import JoinGroupResponse, JoinGroupResponseMember
from kwire.messages.sync_group import SyncGroupResponse


def session_key(group_id: str, member_id: str) -> TimerKey:
    return ("session", group_id, member_id)


def join_key(group_id: str) -> TimerKey:
    return ("join", group_id)


def sync_key(group_id: str) -> TimerKey:
    return ("sync", group_id)


# Sessions


def extend_session(group: ClassicGroup, member: Member, decision: Decision, timeout_ms: int | None = None) -> None:
    """The member was heard of: its session ends `timeout_ms` (default: its session timeout) from now.

    A timer is set only when the one that runs would fire too late.
    """
    delay_ms = member.session_timeout_ms if timeout_ms is None else timeout_ms
    member.deadline_ms = deadline_ms = decision.tick_ms + delay_ms
    if deadline_ms < member.timer_due_ms:
        member.timer_due_ms = deadline_ms
        decision.schedule(session_key(group.group_id, member.member_id), delay_ms)


def session_timer_fired(state: ShardState, group_id: str, member_id: str, decision: Decision) -> None:
    group = state.groups.get(group_id)
    if group is None or group.state is DEAD:
        return
    if member_id in group.pending_join:
        group.remove(member_id)
        if group.state is PREPARING_REBALANCE and group.all_joined:
            complete_join(group, decision)
        return
    member = group.members.get(member_id)
    if member is None:
        return
    member.timer_due_ms = NO_DEADLINE
    if member.deadline_ms > decision.tick_ms:
        member.timer_due_ms = member.deadline_ms
        decision.schedule(session_key(group_id, member_id), member.deadline_ms - decision.tick_ms)
    elif not member.heartbeat_satisfied:
        drop_member(group, member, decision)
        if group.state is STABLE or group.state is COMPLETING_REBALANCE:
            prepare_or_complete(state, group, decision)
        elif group.state is PREPARING_REBALANCE and group.all_joined:
            complete_join(group, decision)


def drop_member(group: ClassicGroup, member: Member, decision: Decision) -> None:
    """Remove a member; a join of it that waits is told to begin anew (UNKNOWN_MEMBER_ID)."""
    waiter = group.take_join_waiter(member)
    if waiter is not None:
        decision.answer(waiter, JoinGroupResponse(error_code=ErrorCode.UNKNOWN_MEMBER_ID, member_id=""))
    if member.awaiting_sync is not None:
        # Kafka forgets such a request without an answer; the client would learn of it by its own timeout.
        decision.answer(member.awaiting_sync, SyncGroupResponse(error_code=ErrorCode.UNKNOWN_MEMBER_ID))
        member.awaiting_sync = None
    group.remove(member.member_id)
    cancel_session(group, member, decision)


def cancel_session(group: ClassicGroup, member: Member, decision: Decision) -> None:
    if member.timer_due_ms != NO_DEADLINE:
        member.timer_due_ms = NO_DEADLINE
        decision.cancel(session_key(group.group_id, member.member_id))


# Prepare


def prepare_or_complete(state: ShardState, group: ClassicGroup, decision: Decision) -> None:
    if group.can_rebalance:
        prepare(state, group, decision)
    else:
        complete_join_if_all_joined(group, decision)


def prepare(state: ShardState, group: ClassicGroup, decision: Decision) -> None:
    """Ask everyone to join again. An empty group waits `group.initial.rebalance.delay.ms` for more members."""
    if group.state is COMPLETING_REBALANCE:
        reset_assignments(group, ErrorCode.REBALANCE_IN_PROGRESS, decision)
    group.pending_sync.clear()
    decision.cancel(sync_key(group.group_id))
    initial = group.state is EMPTY
    if initial:
        delay_ms = state.config.group_initial_rebalance_delay_ms
        group.initial_delay_ms = delay_ms
        group.initial_remaining_ms = max(group.rebalance_timeout_ms - delay_ms, 0)
        decision.schedule(join_key(group.group_id), delay_ms)
    group.transition(PREPARING_REBALANCE, decision.now_ms)
    if initial:
        return
    if group.all_joined:
        complete_join(group, decision)
    else:
        group.initial_delay_ms = None
        decision.schedule(join_key(group.group_id), group.rebalance_timeout_ms)


def complete_join_if_all_joined(group: ClassicGroup, decision: Decision) -> None:
    """The end of waiting for joins, unless this is a first rebalance, which always lasts its delay."""
    if group.state is PREPARING_REBALANCE and group.previous_state is not EMPTY and group.all_joined:
        complete_join(group, decision)


def join_timer_fired(state: ShardState, group_id: str, decision: Decision) -> None:
    group = state.groups.get(group_id)
    if group is None:
        return
    if group.initial_delay_ms is not None and group.new_member_added and group.initial_remaining_ms:
        # Someone joined during the delay: wait once more, as long as the rebalance timeout allows.
        group.new_member_added = False
        delay_ms = min(state.config.group_initial_rebalance_delay_ms, group.initial_remaining_ms)
        group.initial_remaining_ms = max(group.initial_remaining_ms - group.initial_delay_ms, 0)
        group.initial_delay_ms = delay_ms
        decision.schedule(join_key(group_id), delay_ms)
    else:
        complete_join(group, decision)


# Complete


def complete_join(group: ClassicGroup, decision: Decision) -> None:
    """Begin the next generation with those who joined; static members stay without joining."""
    decision.cancel(join_key(group.group_id))
    group.initial_delay_ms = None
    for member in [each for each in group.members.values() if each.awaiting_join is None and each.instance_id is None]:
        group.remove(member.member_id)
        cancel_session(group, member, decision)
    if group.state is not PREPARING_REBALANCE:
        return
    if not group.elect_joined_leader() and group.members:
        # Only static members are left and none came: wait for them until their sessions end.
        decision.schedule(join_key(group.group_id), group.rebalance_timeout_ms)
        return
    group.begin_generation(decision.now_ms)
    if group.state is EMPTY:
        decision.records.append(group.to_record({}))
        return
    for member in group.members.values():
        waiter = group.take_join_waiter(member)
        if waiter is not None:
            decision.answer(waiter, joined(group, member.member_id))
        extend_session(group, member, decision)
        member.is_new = False
        group.pending_sync[member.member_id] = None
    group.pending_sync_generation = group.generation
    decision.schedule(sync_key(group.group_id), group.rebalance_timeout_ms)


def joined(group: ClassicGroup, member_id: str, *, skip_assignment: bool = False) -> JoinGroupResponse:
    """The answer to a member of this generation; only the leader is shown the others."""
    return JoinGroupResponse(
        generation_id=group.generation,
        protocol_type=group.protocol_type,
        protocol_name=group.protocol,
        leader=group.leader or "",
        skip_assignment=skip_assignment,
        member_id=member_id,
        members=listed_members(group) if group.leader == member_id else [],
    )


def listed_members(group: ClassicGroup) -> list[JoinGroupResponseMember]:
    protocol = group.protocol
    return [
        JoinGroupResponseMember(
            member_id=member.member_id,
            group_instance_id=member.instance_id,
            metadata=member.metadata(protocol),
        )
        for member in group.members.values()
    ]


def sync_timer_fired(state: ShardState, group_id: str, decision: Decision) -> None:
    """Members that joined and never asked for their assignment go, and the rest rebalances."""
    group = state.groups.get(group_id)
    if group is None or group.pending_sync_generation != group.generation:
        return
    if group.state in (COMPLETING_REBALANCE, STABLE) and group.pending_sync:
        for member_id in list(group.pending_sync):
            member = group.members.get(member_id)
            group.remove(member_id)
            if member is not None:
                cancel_session(group, member, decision)
        prepare(state, group, decision)


# Assignments


def reset_assignments(group: ClassicGroup, error: ErrorCode, decision: Decision) -> None:
    for member in group.members.values():
        member.assignment = b""
    propagate_assignments(group, error, decision)


def propagate_assignments(group: ClassicGroup, error: ErrorCode, decision: Decision) -> None:
    """Answer every member that waits for its assignment; its session begins anew."""
    named = error is ErrorCode.NONE
    for member in group.members.values():
        waiter = member.awaiting_sync
        if waiter is None:
            continue
        member.awaiting_sync = None
        response = SyncGroupResponse(
            error_code=error,
            protocol_type=group.protocol_type if named else None,
            protocol_name=group.protocol if named else None,
            assignment=member.assignment,
        )
        decision.answer(waiter, response)
        extend_session(group, member, decision)
