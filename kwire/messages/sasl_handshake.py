"""SaslHandshake (API 17). Versions 0-1."""

from kwire.api_keys import ApiKey
from kwire.schema import Struct, array, int16, message, string


@message(ApiKey.SASL_HANDSHAKE, versions="0-1")
class SaslHandshakeRequest(Struct):
    mechanism: str = string()


@message(ApiKey.SASL_HANDSHAKE, versions="0-1")
class SaslHandshakeResponse(Struct):
    error_code: int = int16()
    mechanisms: list[str] = array(string)
