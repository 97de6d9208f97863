"""LeaveGroup  (KIP-345, KIP-800)

Up to v2 one member, its error at the top; v3 several members, by id or instance id, each with its error; v5 reasons.
"""

from __future__ import annotations

from broker.context import RequestContext
from broker.coordinator.coordinator import GroupCoordinator
from kwire.messages.leave_group import LeaveGroupRequest, LeaveGroupResponse, MemberIdentity

_MEMBERS_SINCE = 3


async def leave_group(request: LeaveGroupRequest, ctx: RequestContext, groups: GroupCoordinator) -> LeaveGroupResponse:
    if ctx.api_version >= _MEMBERS_SINCE:
        return await groups.leave_group(request.group_id, request.members)
    response = await groups.leave_group(request.group_id, [MemberIdentity(member_id=request.member_id)])
    code = response.error_code or response.members[0].error_code
    return LeaveGroupResponse(error_code=code)
