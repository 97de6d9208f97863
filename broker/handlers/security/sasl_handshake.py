"""SaslHandshake on a listener without SASL."""

from __future__ import annotations

from broker.context import RequestContext
from kwire.error_codes import ErrorCode
from kwire.messages.sasl_handshake import SaslHandshakeRequest, SaslHandshakeResponse


def sasl_handshake(_request: SaslHandshakeRequest, _ctx: RequestContext) -> SaslHandshakeResponse:
    """ILLEGAL_SASL_STATE, no mechanisms; the connection stays."""
    return SaslHandshakeResponse(error_code=ErrorCode.ILLEGAL_SASL_STATE)
