"""ListGroups (API 16). Versions 0-5, flexible from 3.

Request v4 adds states_filter.
Request v5 adds types_filter.
Response v1 adds throttle_time_ms.
Response v4 adds group_state.
Response v5 adds group_type.
"""

from kwire.api_keys import ApiKey
from kwire.schema import Struct, array, int16, int32, message, string


@message(ApiKey.LIST_GROUPS, versions="0-5", flexible="3+")
class ListGroupsRequest(Struct):
    states_filter: list[str] = array(string, "4+")
    types_filter: list[str] = array(string, "5+")


class ListedGroup(Struct):
    group_id: str = string()
    protocol_type: str = string()
    group_state: str = string("4+", ignorable=True)
    group_type: str = string("5+", ignorable=True)


@message(ApiKey.LIST_GROUPS, versions="0-5", flexible="3+")
class ListGroupsResponse(Struct):
    throttle_time_ms: int = int32("1+", ignorable=True)
    error_code: int = int16()
    groups: list[ListedGroup] = array(ListedGroup)
