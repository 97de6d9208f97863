"""ExpireDelegationToken on a listener that does not authenticate (KIP-48)."""

from __future__ import annotations

from broker.context import RequestContext
from kwire.error_codes import ErrorCode
from kwire.messages.expire_delegation_token import ExpireDelegationTokenRequest, ExpireDelegationTokenResponse


def expire_delegation_token(
    _request: ExpireDelegationTokenRequest, _ctx: RequestContext
) -> ExpireDelegationTokenResponse:
    """DELEGATION_TOKEN_REQUEST_NOT_ALLOWED."""
    return ExpireDelegationTokenResponse(
        error_code=ErrorCode.DELEGATION_TOKEN_REQUEST_NOT_ALLOWED, expiry_timestamp_ms=-1
    )
