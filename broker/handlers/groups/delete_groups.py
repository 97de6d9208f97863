"""DeleteGroups  (KIP-229)"""

from __future__ import annotations

from broker.context import RequestContext
from broker.coordinator.coordinator import GroupCoordinator
from broker.deferred import gather, start
from kwire.messages.delete_groups import DeleteGroupsRequest, DeleteGroupsResponse


async def delete_groups(
    request: DeleteGroupsRequest, _ctx: RequestContext, groups: GroupCoordinator
) -> DeleteGroupsResponse:
    """One result a group, however often it is named."""
    group_ids = dict.fromkeys(request.groups_names)
    return DeleteGroupsResponse(results=await gather([start(groups.delete_group(each)) for each in group_ids]))
