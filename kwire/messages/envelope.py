"""Envelope (API 58). Versions 0, flexible from 0."""

from kwire.api_keys import ApiKey
from kwire.schema import Struct, binary, int16, message


@message(ApiKey.ENVELOPE, versions="0", flexible="0+")
class EnvelopeRequest(Struct):
    request_data: bytes = binary()
    request_principal: bytes | None = binary(nullable="0+")
    client_host_address: bytes = binary()


@message(ApiKey.ENVELOPE, versions="0", flexible="0+")
class EnvelopeResponse(Struct):
    response_data: bytes | None = binary(nullable="0+", default=None)
    error_code: int = int16()
