"""ExpireDelegationToken (API 40). Versions 1-2, flexible from 2; 0 as in Kafka 3.9."""

from kwire.api_keys import ApiKey
from kwire.schema import Struct, binary, int16, int32, int64, message


@message(ApiKey.EXPIRE_DELEGATION_TOKEN, versions="1-2", flexible="2+", removed="0")
class ExpireDelegationTokenRequest(Struct):
    hmac: bytes = binary()
    expiry_time_period_ms: int = int64()


@message(ApiKey.EXPIRE_DELEGATION_TOKEN, versions="1-2", flexible="2+", removed="0")
class ExpireDelegationTokenResponse(Struct):
    error_code: int = int16()
    expiry_timestamp_ms: int = int64()
    throttle_time_ms: int = int32()
