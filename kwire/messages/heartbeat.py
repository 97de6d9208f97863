"""Heartbeat (API 12). Versions 0-4, flexible from 4.

Request v3 adds group_instance_id.
Response v1 adds throttle_time_ms.
"""

from kwire.api_keys import ApiKey
from kwire.schema import Struct, int16, int32, message, string


@message(ApiKey.HEARTBEAT, versions="0-4", flexible="4+")
class HeartbeatRequest(Struct):
    group_id: str = string()
    generation_id: int = int32()
    member_id: str = string()
    group_instance_id: str | None = string("3+", nullable="3+", default=None)


@message(ApiKey.HEARTBEAT, versions="0-4", flexible="4+")
class HeartbeatResponse(Struct):
    throttle_time_ms: int = int32("1+", ignorable=True)
    error_code: int = int16()
