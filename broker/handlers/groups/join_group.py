"""JoinGroup  (KIP-62, KIP-345, KIP-394, KIP-559, KIP-800, KIP-814)

v1 rebalance timeout; v4 a member without id is given one and has to come again; v5 static members; v7 the answer names
the protocol type, the protocol's name may be null; v8 reason; v9 a leader may be told to skip the assignment.
"""

from __future__ import annotations

from broker.context import RequestContext
from broker.coordinator.coordinator import GroupCoordinator
from kwire.messages.join_group import JoinGroupRequest, JoinGroupResponse

_REBALANCE_TIMEOUT_SINCE = 1
_NULL_PROTOCOL_SINCE = 7


async def join_group(request: JoinGroupRequest, ctx: RequestContext, groups: GroupCoordinator) -> JoinGroupResponse:
    version = ctx.api_version
    if version < _REBALANCE_TIMEOUT_SINCE:
        request.rebalance_timeout_ms = request.session_timeout_ms
    response = await groups.join_group(request, version, ctx.client_id, f"/{ctx.peer_host}")
    if version < _NULL_PROTOCOL_SINCE:
        response.protocol_name = response.protocol_name or ""
    else:
        response.protocol_name = response.protocol_name or None
    return response
