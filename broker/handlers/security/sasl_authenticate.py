"""SaslAuthenticate on a listener without SASL."""

from __future__ import annotations

from broker.context import RequestContext
from kwire.error_codes import ErrorCode
from kwire.messages.sasl_authenticate import SaslAuthenticateRequest, SaslAuthenticateResponse


def sasl_authenticate(_request: SaslAuthenticateRequest, _ctx: RequestContext) -> SaslAuthenticateResponse:
    """ILLEGAL_SASL_STATE; the connection stays."""
    return SaslAuthenticateResponse(
        error_code=ErrorCode.ILLEGAL_SASL_STATE,
        error_message="SaslAuthenticate request received after successful authentication",
    )
