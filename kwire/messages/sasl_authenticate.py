"""SaslAuthenticate (API 36). Versions 0-2, flexible from 2.

Response v1 adds session_lifetime_ms.
"""

from kwire.api_keys import ApiKey
from kwire.schema import Struct, binary, int16, int64, message, string


@message(ApiKey.SASL_AUTHENTICATE, versions="0-2", flexible="2+")
class SaslAuthenticateRequest(Struct):
    auth_bytes: bytes = binary()


@message(ApiKey.SASL_AUTHENTICATE, versions="0-2", flexible="2+")
class SaslAuthenticateResponse(Struct):
    error_code: int = int16()
    error_message: str | None = string(nullable="0+")
    auth_bytes: bytes = binary()
    session_lifetime_ms: int = int64("1+", ignorable=True)
