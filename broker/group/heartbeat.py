"""Heartbeat: the hottest request of a group, so it makes no Decision (Kafka: classicGroupHeartbeat)."""

from __future__ import annotations

from broker.group.member import Member
from broker.group.state import ShardState
from broker.group.states import DEAD, EMPTY, PREPARING_REBALANCE
from kwire.error_codes import ErrorCode


def heartbeat(
    state: ShardState, group_id: str, member_id: str, instance_id: str | None, generation: int, tick_ms: float
) -> tuple[ErrorCode, Member | None]:
    """The answer's code, and the member if a session timer has to be set for it (it has none that fires in time)."""
    group = state.groups.get(group_id)
    if group is None:
        return ErrorCode.UNKNOWN_MEMBER_ID, None
    if group.state is DEAD:
        return ErrorCode.COORDINATOR_NOT_AVAILABLE, None
    if instance_id is not None:
        known_id = group.static_members.get(instance_id)
        if known_id is None:
            return ErrorCode.UNKNOWN_MEMBER_ID, None
        if known_id != member_id:
            return ErrorCode.FENCED_INSTANCE_ID, None
    member = group.members.get(member_id)
    if member is None or group.state is EMPTY:
        return ErrorCode.UNKNOWN_MEMBER_ID, None
    if generation != group.generation:
        return ErrorCode.ILLEGAL_GENERATION, None
    member.deadline_ms = deadline_ms = tick_ms + member.session_timeout_ms
    code = ErrorCode.REBALANCE_IN_PROGRESS if group.state is PREPARING_REBALANCE else ErrorCode.NONE
    return code, member if deadline_ms < member.timer_due_ms else None
