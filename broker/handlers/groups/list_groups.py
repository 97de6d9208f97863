"""ListGroups  (KIP-518, KIP-848)

v4 states, and a filter on them; v5 types, and a filter on them.
"""

from __future__ import annotations

from broker.context import RequestContext
from broker.coordinator.coordinator import GroupCoordinator
from kwire.errors import ApiError
from kwire.messages.list_groups import ListGroupsRequest, ListGroupsResponse


async def list_groups(request: ListGroupsRequest, _ctx: RequestContext, groups: GroupCoordinator) -> ListGroupsResponse:
    try:
        found = await groups.list_groups(request.states_filter, request.types_filter)
    except ApiError as error:
        return ListGroupsResponse(error_code=error.code)
    return ListGroupsResponse(groups=found)
