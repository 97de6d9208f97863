"""SyncGroup  (KIP-345, KIP-559)

v3 static members; v5 protocol type and name must be given, and are answered.
"""

from __future__ import annotations

from broker.context import RequestContext
from broker.coordinator.coordinator import GroupCoordinator
from kwire.error_codes import ErrorCode
from kwire.messages.sync_group import SyncGroupRequest, SyncGroupResponse

_PROTOCOL_SINCE = 5


async def sync_group(request: SyncGroupRequest, ctx: RequestContext, groups: GroupCoordinator) -> SyncGroupResponse:
    if ctx.api_version >= _PROTOCOL_SINCE and (request.protocol_type is None or request.protocol_name is None):
        return SyncGroupResponse(error_code=ErrorCode.INCONSISTENT_GROUP_PROTOCOL)
    return await groups.sync_group(request)
