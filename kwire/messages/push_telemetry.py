"""PushTelemetry (API 72). Versions 0, flexible from 0."""

from kwire.api_keys import ApiKey
from kwire.schema import Struct, binary, boolean, int8, int16, int32, message, uuid


@message(ApiKey.PUSH_TELEMETRY, versions="0", flexible="0+")
class PushTelemetryRequest(Struct):
    client_instance_id: bytes = uuid()
    subscription_id: int = int32()
    terminating: bool = boolean()
    compression_type: int = int8()
    metrics: bytes = binary()


@message(ApiKey.PUSH_TELEMETRY, versions="0", flexible="0+")
class PushTelemetryResponse(Struct):
    throttle_time_ms: int = int32()
    error_code: int = int16()
