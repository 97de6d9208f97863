"""UnregisterBroker (API 64). Versions 0, flexible from 0."""

from kwire.api_keys import ApiKey
from kwire.schema import Struct, int16, int32, message, string


@message(ApiKey.UNREGISTER_BROKER, versions="0", flexible="0+")
class UnregisterBrokerRequest(Struct):
    broker_id: int = int32()


@message(ApiKey.UNREGISTER_BROKER, versions="0", flexible="0+")
class UnregisterBrokerResponse(Struct):
    throttle_time_ms: int = int32()
    error_code: int = int16()
    error_message: str | None = string(nullable="0+")
