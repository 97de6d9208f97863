"""Request headers v0 to v2 and response headers v0 and v1, and which of them a request of a given version has.

A request is `int32 size | header | body`; the size is `kwire.framing`'s. The client id keeps its int16 length in the
flexible header too, so that a broker can read the head of any request (KIP-482, RequestHeader.json).
"""

from __future__ import annotations

import struct
from struct import Struct
from typing import NamedTuple

from kwire.api_keys import ApiKey
from kwire.errors import DecodeError, EncodeError
from kwire.primitives import Buffer, read_unsigned_varint, unsigned_varint

_HEAD = Struct(">hhih")
_HEAD_V0 = Struct(">hhi")
_INT32 = Struct(">i")
_RESPONSE_V1 = Struct(">iB")
_unpack_head = _HEAD.unpack_from

MAX_KEPT_TAGS = 64
"""Unknown tagged fields kept from one header; more are skipped, so a header cannot cost more than its bytes."""


class RequestHeader(NamedTuple):
    """`api_key` and `api_version` are as sent, perhaps unknown. `client_id` is None for null and in header v0."""

    api_key: int
    api_version: int
    correlation_id: int
    client_id: str | None
    unknown_tagged_fields: dict[int, bytes] | None = None


class ResponseHeader(NamedTuple):
    correlation_id: int
    unknown_tagged_fields: dict[int, bytes] | None = None


_FIRST_FLEXIBLE = {int(key): 0x7FFF if key.first_flexible is None else key.first_flexible for key in ApiKey}


def request_header_version(api_key: int, api_version: int) -> int:
    """0 (ControlledShutdown v0 only), 1, or 2 for flexible versions. Raises DecodeError for an unknown key."""
    try:
        flexible = api_version >= _FIRST_FLEXIBLE[api_key]
    except KeyError:
        raise DecodeError(f"unknown api key {api_key}") from None
    if flexible:
        return 2
    return 0 if api_key == 7 and api_version == 0 else 1


def response_header_version(api_key: int, api_version: int) -> int:
    """0, or 1 for flexible versions. ApiVersions always has 0: its client may not know the version yet (KIP-511)."""
    try:
        flexible = api_version >= _FIRST_FLEXIBLE[api_key]
    except KeyError:
        raise DecodeError(f"unknown api key {api_key}") from None
    return 1 if flexible and api_key != 18 else 0


def decode_request_header(data: Buffer, pos: int = 0) -> tuple[RequestHeader, int]:
    """The header at `pos` and the position of the body.

    A key of no known API is read with header v1 (the caller refuses it by its number). Raises DecodeError.
    """
    try:
        api_key, api_version, correlation_id, size = _unpack_head(data, pos)
        flexible = api_version >= _FIRST_FLEXIBLE.get(api_key, 0x7FFF)
        if api_key == 7 and api_version == 0:
            return RequestHeader(api_key, api_version, correlation_id, None), pos + 8
        pos += 10
        if size >= 0:
            end = pos + size
            if end > len(data):
                raise DecodeError(f"request header: client id of {size} bytes in {len(data) - pos}")
            client_id = str(data[pos:end], "utf-8")
            pos = end
        elif size == -1:
            client_id = None
        else:
            raise DecodeError(f"request header: client id of {size} bytes")
        if not flexible:
            return RequestHeader(api_key, api_version, correlation_id, client_id), pos
        if data[pos] == 0:
            return RequestHeader(api_key, api_version, correlation_id, client_id), pos + 1
        tags, pos = _decode_tags(data, pos)
        return RequestHeader(api_key, api_version, correlation_id, client_id, tags), pos
    except (struct.error, IndexError):
        # ControlledShutdown v0's header is two bytes shorter than the head read above.
        if len(data) - pos == 8 and bytes(data[pos : pos + 4]) == b"\0\x07\0\0":
            api_key, api_version, correlation_id = _HEAD_V0.unpack_from(data, pos)
            return RequestHeader(api_key, api_version, correlation_id, None), pos + 8
        raise DecodeError(f"request header: cut off after {len(data)} bytes") from None
    except UnicodeDecodeError:
        raise DecodeError("request header: the client id is not UTF-8") from None


def encode_request_header(header: RequestHeader) -> bytes:
    """The bytes of `header`, in the header version its key and version ask for. Raises EncodeError."""
    version = request_header_version(header.api_key, header.api_version)
    try:
        if version == 0:
            return _HEAD_V0.pack(header.api_key, header.api_version, header.correlation_id)
        client_id = b"" if header.client_id is None else header.client_id.encode()
        size = -1 if header.client_id is None else len(client_id)
        head = _HEAD.pack(header.api_key, header.api_version, header.correlation_id, size) + client_id
    except (struct.error, UnicodeEncodeError) as error:
        raise EncodeError(f"request header: {error}") from None
    return head if version == 1 else head + _encode_tags(header.unknown_tagged_fields)


def decode_response_header(version: int, data: Buffer, pos: int = 0) -> tuple[ResponseHeader, int]:
    """The response header at `pos` and the position of the body. Raises DecodeError."""
    try:
        (correlation_id,) = _INT32.unpack_from(data, pos)
        if version == 0:
            return ResponseHeader(correlation_id), pos + 4
        tags, pos = _decode_tags(data, pos + 4)
        return ResponseHeader(correlation_id, tags), pos
    except (struct.error, IndexError):
        raise DecodeError(f"response header: cut off after {len(data)} bytes") from None


def encode_response_header(version: int, correlation_id: int) -> bytes:
    """The response header: the correlation id and, in v1, no tagged fields."""
    if version == 0:
        return _INT32.pack(correlation_id)
    return _RESPONSE_V1.pack(correlation_id, 0)


def _decode_tags(data: Buffer, pos: int) -> tuple[dict[int, bytes] | None, int]:
    count, pos = read_unsigned_varint(data, pos)
    if count * 2 > len(data) - pos:
        raise DecodeError(f"header: {count} tagged fields in {len(data) - pos} bytes")
    tags: dict[int, bytes] = {}
    for _ in range(count):
        tag, pos = read_unsigned_varint(data, pos)
        size, pos = read_unsigned_varint(data, pos)
        if pos + size > len(data):
            raise DecodeError(f"header: tagged field {tag} of {size} bytes in {len(data) - pos}")
        if len(tags) < MAX_KEPT_TAGS:
            tags[tag] = bytes(data[pos : pos + size])
        pos += size
    return tags or None, pos


def _encode_tags(tags: dict[int, bytes] | None) -> bytes:
    if not tags:
        return b"\0"
    parts = [unsigned_varint(len(tags))]
    for tag in sorted(tags):
        parts += (unsigned_varint(tag), unsigned_varint(len(tags[tag])), tags[tag])
    return b"".join(parts)
