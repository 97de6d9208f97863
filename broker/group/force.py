"""What is done to a group from outside, on purpose: a rebalance nobody asked for, a member put out."""

from __future__ import annotations

from broker.group.classic_group import ClassicGroup
from broker.group.decision import Decision
from broker.group.leave import leave_one, settle_after_leaving
from broker.group.rebalance import prepare
from broker.group.state import ShardState
from broker.group.states import COMPLETING_REBALANCE, STABLE
from kwire.error_codes import ErrorCode
from kwire.errors import ApiError
from kwire.messages.leave_group import MemberIdentity


def find(state: ShardState, group_id: str) -> ClassicGroup:
    """The group, or ApiError GROUP_ID_NOT_FOUND."""
    group = state.groups.get(group_id)
    if group is None:
        raise ApiError(ErrorCode.GROUP_ID_NOT_FOUND, f"Group {group_id} not found.")
    return group


def rebalance(state: ShardState, group_id: str, decision: Decision) -> bool:
    """Ask everyone to join again, as when a member joins. False: there is one under way, which goes on.

    ApiError GROUP_ID_NOT_FOUND; INVALID_REQUEST for a group without members.
    """
    group = find(state, group_id)
    if not group.members:
        raise ApiError(ErrorCode.INVALID_REQUEST, f"Group {group_id} has no members that could rebalance.")
    if group.state is not STABLE and group.state is not COMPLETING_REBALANCE:
        return False
    prepare(state, group, decision)
    return True


def evict(state: ShardState, group_id: str, member: str, decision: Decision) -> str:
    """Put a member out, given by its id or, if it is static, by its instance id: as if it had left. Gives its id.

    What it has waiting, and whatever it sends next, is answered with UNKNOWN_MEMBER_ID; the others rebalance.
    ApiError GROUP_ID_NOT_FOUND, UNKNOWN_MEMBER_ID.
    """
    group = find(state, group_id)
    member_id = member
    if member not in group.members and member not in group.pending_join:
        member_id = group.static_members.get(member, "")
        if not member_id:
            raise ApiError(ErrorCode.UNKNOWN_MEMBER_ID, f"Group {group_id} has no member {member}.")
    leave_one(group, MemberIdentity(member_id=member_id), decision)
    settle_after_leaving(state, group, decision)
    return member_id
