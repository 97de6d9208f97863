"""JoinGroup (API 11). Versions 0-9, flexible from 6.

Request v1 adds rebalance_timeout_ms.
Request v5 adds group_instance_id.
Request v8 adds reason.
Response v2 adds throttle_time_ms.
Response v5 adds group_instance_id.
Response v7 adds protocol_type; allows null for protocol_name.
Response v9 adds skip_assignment.
"""

from kwire.api_keys import ApiKey
from kwire.schema import Struct, array, binary, boolean, int16, int32, message, string


class JoinGroupRequestProtocol(Struct):
    name: str = string()
    metadata: bytes = binary()


@message(ApiKey.JOIN_GROUP, versions="0-9", flexible="6+")
class JoinGroupRequest(Struct):
    group_id: str = string()
    session_timeout_ms: int = int32()
    rebalance_timeout_ms: int = int32("1+", default=-1, ignorable=True)
    member_id: str = string()
    group_instance_id: str | None = string("5+", nullable="5+", default=None)
    protocol_type: str = string()
    protocols: list[JoinGroupRequestProtocol] = array(JoinGroupRequestProtocol)
    reason: str | None = string("8+", nullable="8+", default=None, ignorable=True)


class JoinGroupResponseMember(Struct):
    member_id: str = string()
    group_instance_id: str | None = string("5+", nullable="5+", default=None, ignorable=True)
    metadata: bytes = binary()


@message(ApiKey.JOIN_GROUP, versions="0-9", flexible="6+")
class JoinGroupResponse(Struct):
    throttle_time_ms: int = int32("2+", ignorable=True)
    error_code: int = int16()
    generation_id: int = int32(default=-1)
    protocol_type: str | None = string("7+", nullable="7+", default=None, ignorable=True)
    protocol_name: str | None = string(nullable="7+")
    leader: str = string()
    skip_assignment: bool = boolean("9+")
    member_id: str = string()
    members: list[JoinGroupResponseMember] = array(JoinGroupResponseMember)
