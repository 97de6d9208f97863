"""DescribeGroups  (KIP-345, KIP-430, KIP-1043)

v3 authorized operations; v4 instance ids; v6 an unknown group is 69 with a message, before it is Dead without an error.
"""

from __future__ import annotations

from broker.context import RequestContext
from broker.coordinator.coordinator import GroupCoordinator
from broker.deferred import gather, start
from kwire.error_codes import ErrorCode
from kwire.messages.describe_groups import DescribeGroupsRequest, DescribeGroupsResponse

_OPERATIONS_SINCE = 3
# READ, DELETE, DESCRIBE, DESCRIBE_CONFIGS, ALTER_CONFIGS: all there are for a group, which is what everyone may do
# without an authorizer (bit n stands for AclOperation code n).
_ALL_GROUP_OPERATIONS = 1 << 3 | 1 << 6 | 1 << 8 | 1 << 10 | 1 << 11


async def describe_groups(
    request: DescribeGroupsRequest, ctx: RequestContext, groups: GroupCoordinator
) -> DescribeGroupsResponse:
    version = ctx.api_version
    described = await gather([start(groups.describe_group(group_id, version)) for group_id in request.groups])
    if request.include_authorized_operations and version >= _OPERATIONS_SINCE:
        for group in described:
            if group.error_code == ErrorCode.NONE:
                group.authorized_operations = _ALL_GROUP_OPERATIONS
    return DescribeGroupsResponse(groups=described)
