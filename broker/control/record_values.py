"""Keys, values and headers of records as JSON, both ways.

To bytes: text as its UTF-8, null as null, other JSON as its compact text; `..._base64` for any bytes. From bytes: JSON
where it is some, else text where it is UTF-8, else base64; the answer says which.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from typing import Any, Final, Literal

import msgspec

from broker.http.endpoint import ControlError

Encoding = Literal["json", "text", "base64", "null"]
Format = Literal["auto", "json", "text", "base64"]

_MAX_HEADERS: Final = 1_000


def as_bytes(value: Any, encoded: str | None, where: str) -> bytes | None:
    """A key or value as it was sent; `encoded`: its base64. Raises ControlError 400."""
    if encoded is not None:
        if value is not None:
            raise ControlError(400, "invalid_record", f"{where}: give it plainly or as {where}_base64, not both")
        try:
            return base64.b64decode(encoded, validate=True)
        except (binascii.Error, ValueError) as error:
            raise ControlError(400, "invalid_record", f"{where}_base64 is not base64: {error}") from None
    return _plain(value, where)


def _plain(value: Any, where: str) -> bytes | None:
    if value is None:
        return None
    try:
        return value.encode() if isinstance(value, str) else msgspec.json.encode(value)
    except UnicodeEncodeError as error:
        raise ControlError(400, "invalid_record", f"{where} is no text that UTF-8 can hold: {error.reason}") from None


def headers_as_bytes(
    headers: Sequence[tuple[str, Any, str | None]], where: str
) -> tuple[tuple[str, bytes | None], ...]:
    """headers: name, value, its base64 where that was given instead. Raises ControlError 400."""
    if len(headers) > _MAX_HEADERS:
        raise ControlError(400, "invalid_record", f"{where}: {len(headers)} headers are more than {_MAX_HEADERS}")
    found = []
    for name, value, encoded in headers:
        _plain(name, where)
        found.append((name, as_bytes(value, encoded, f"{where}.{name}")))
    return tuple(found)


def shown(data: bytes | None, wanted: Format, *, is_key: bool = False) -> tuple[Any, Encoding]:
    """Bytes as JSON can hold them, and how they are encoded. wanted: "json" takes text where it is none."""
    if data is None:
        return None, "null"
    if wanted != "base64":
        try:
            text = data.decode("utf-8")
        except UnicodeDecodeError:
            pass
        else:
            if wanted == "json" or (wanted == "auto" and (not is_key or data[:1] in (b"{", b"["))):
                parsed = _json(data)
                if parsed is not None:
                    return parsed, "json"
            return text, "text"
    return base64.b64encode(data).decode("ascii"), "base64"


def _json(data: bytes) -> msgspec.Raw | None:
    """As it is, digits and order of names kept; None when it is no JSON."""
    try:
        msgspec.json.decode(data)
    except (msgspec.DecodeError, RecursionError):
        return None
    return msgspec.Raw(data)
