"""CreateDelegationToken on a listener that does not authenticate (KIP-48)."""

from __future__ import annotations

from typing import Final

from broker.context import RequestContext
from kwire.error_codes import ErrorCode
from kwire.messages.create_delegation_token import CreateDelegationTokenRequest, CreateDelegationTokenResponse

_REQUESTER_FROM: Final = 3


def create_delegation_token(
    request: CreateDelegationTokenRequest, ctx: RequestContext
) -> CreateDelegationTokenResponse:
    """DELEGATION_TOKEN_REQUEST_NOT_ALLOWED: tokens are given to who proved who they are."""
    requester_type, _, requester = ctx.principal.partition(":")
    response = CreateDelegationTokenResponse(
        error_code=ErrorCode.DELEGATION_TOKEN_REQUEST_NOT_ALLOWED,
        principal_type=request.owner_principal_type or requester_type,
        principal_name=request.owner_principal_name or requester,
        issue_timestamp_ms=-1,
        expiry_timestamp_ms=-1,
        max_timestamp_ms=-1,
    )
    if ctx.api_version >= _REQUESTER_FROM:
        response.token_requester_principal_type = requester_type
        response.token_requester_principal_name = requester
    return response
