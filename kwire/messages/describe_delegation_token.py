"""DescribeDelegationToken (API 41). Versions 1-3, flexible from 2; 0 as in Kafka 3.9.

Response v3 adds token_requester_principal_type, token_requester_principal_name.
"""

from kwire.api_keys import ApiKey
from kwire.schema import Struct, array, binary, int16, int32, int64, message, string


class DescribeDelegationTokenOwner(Struct):
    principal_type: str = string()
    principal_name: str = string()


@message(ApiKey.DESCRIBE_DELEGATION_TOKEN, versions="1-3", flexible="2+", removed="0")
class DescribeDelegationTokenRequest(Struct):
    owners: list[DescribeDelegationTokenOwner] | None = array(DescribeDelegationTokenOwner, nullable="0+")


class DescribedDelegationTokenRenewer(Struct):
    principal_type: str = string()
    principal_name: str = string()


class DescribedDelegationToken(Struct):
    principal_type: str = string()
    principal_name: str = string()
    token_requester_principal_type: str = string("3+")
    token_requester_principal_name: str = string("3+")
    issue_timestamp: int = int64()
    expiry_timestamp: int = int64()
    max_timestamp: int = int64()
    token_id: str = string()
    hmac: bytes = binary()
    renewers: list[DescribedDelegationTokenRenewer] = array(DescribedDelegationTokenRenewer)


@message(ApiKey.DESCRIBE_DELEGATION_TOKEN, versions="1-3", flexible="2+", removed="0")
class DescribeDelegationTokenResponse(Struct):
    error_code: int = int16()
    tokens: list[DescribedDelegationToken] = array(DescribedDelegationToken)
    throttle_time_ms: int = int32()
