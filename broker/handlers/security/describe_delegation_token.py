"""DescribeDelegationToken on a listener that does not authenticate (KIP-48)."""

from __future__ import annotations

from broker.context import RequestContext
from kwire.error_codes import ErrorCode
from kwire.messages.describe_delegation_token import DescribeDelegationTokenRequest, DescribeDelegationTokenResponse


def describe_delegation_token(
    _request: DescribeDelegationTokenRequest, _ctx: RequestContext
) -> DescribeDelegationTokenResponse:
    """DELEGATION_TOKEN_REQUEST_NOT_ALLOWED."""
    return DescribeDelegationTokenResponse(error_code=ErrorCode.DELEGATION_TOKEN_REQUEST_NOT_ALLOWED)
