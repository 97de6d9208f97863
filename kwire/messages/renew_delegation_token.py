"""RenewDelegationToken (API 39). Versions 1-2, flexible from 2; 0 as in Kafka 3.9."""

from kwire.api_keys import ApiKey
from kwire.schema import Struct, binary, int16, int32, int64, message


@message(ApiKey.RENEW_DELEGATION_TOKEN, versions="1-2", flexible="2+", removed="0")
class RenewDelegationTokenRequest(Struct):
    hmac: bytes = binary()
    renew_period_ms: int = int64()


@message(ApiKey.RENEW_DELEGATION_TOKEN, versions="1-2", flexible="2+", removed="0")
class RenewDelegationTokenResponse(Struct):
    error_code: int = int16()
    expiry_timestamp_ms: int = int64()
    throttle_time_ms: int = int32()
