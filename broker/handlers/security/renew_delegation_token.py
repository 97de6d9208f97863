"""RenewDelegationToken on a listener that does not authenticate (KIP-48)."""

from __future__ import annotations

from broker.context import RequestContext
from kwire.error_codes import ErrorCode
from kwire.messages.renew_delegation_token import RenewDelegationTokenRequest, RenewDelegationTokenResponse


def renew_delegation_token(_request: RenewDelegationTokenRequest, _ctx: RequestContext) -> RenewDelegationTokenResponse:
    """DELEGATION_TOKEN_REQUEST_NOT_ALLOWED."""
    return RenewDelegationTokenResponse(
        error_code=ErrorCode.DELEGATION_TOKEN_REQUEST_NOT_ALLOWED, expiry_timestamp_ms=-1
    )
