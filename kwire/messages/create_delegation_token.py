"""CreateDelegationToken (API 38). Versions 1-3, flexible from 2; 0 as in Kafka 3.9.

Request v3 adds owner_principal_type, owner_principal_name.
Response v3 adds token_requester_principal_type, token_requester_principal_name.
"""

from kwire.api_keys import ApiKey
from kwire.schema import Struct, array, binary, int16, int32, int64, message, string


class CreatableRenewers(Struct):
    principal_type: str = string()
    principal_name: str = string()


@message(ApiKey.CREATE_DELEGATION_TOKEN, versions="1-3", flexible="2+", removed="0")
class CreateDelegationTokenRequest(Struct):
    owner_principal_type: str | None = string("3+", nullable="3+")
    owner_principal_name: str | None = string("3+", nullable="3+")
    renewers: list[CreatableRenewers] = array(CreatableRenewers)
    max_lifetime_ms: int = int64()


@message(ApiKey.CREATE_DELEGATION_TOKEN, versions="1-3", flexible="2+", removed="0")
class CreateDelegationTokenResponse(Struct):
    error_code: int = int16()
    principal_type: str = string()
    principal_name: str = string()
    token_requester_principal_type: str = string("3+")
    token_requester_principal_name: str = string("3+")
    issue_timestamp_ms: int = int64()
    expiry_timestamp_ms: int = int64()
    max_timestamp_ms: int = int64()
    token_id: str = string()
    hmac: bytes = binary()
    throttle_time_ms: int = int32()
