"""Decoded objects as plain values for JSON and for people: bytes, uuids, structs, times."""

from __future__ import annotations

from base64 import b64encode
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from kwire import uuids
from kwire.schema import Struct

Plain = dict[str, Any]
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def plain_bytes(data: bytes | memoryview | None) -> str | dict[str, str] | None:
    """Text for what is UTF-8 without control characters, else ``{"base64": ...}``."""
    if data is None:
        return None
    try:
        text = str(data, "utf-8")
    except UnicodeDecodeError:
        return {"base64": b64encode(data).decode()}
    if text.isprintable() or all(c.isprintable() or c in "\n\r\t" for c in text):
        return text
    return {"base64": b64encode(data).decode()}


def plain_struct(struct: Struct) -> Plain:
    """The fields of a message by their names; uuids in Kafka's text form, bytes as `plain_bytes`."""
    found: Plain = {}
    for field in type(struct).struct_fields:
        value = getattr(struct, field.name)
        if field.kind == "array":
            found[field.name] = None if value is None else [_plain_value(field.item, each) for each in value]
        else:
            found[field.name] = _plain_value(field.kind, value)
    if struct.unknown_tagged_fields:
        found["unknown_tagged_fields"] = {
            str(tag): {"base64": b64encode(data).decode()} for tag, data in struct.unknown_tagged_fields.items()
        }
    return found


def _plain_value(kind: object, value: Any) -> Any:
    if isinstance(value, Struct):
        return plain_struct(value)
    if kind == "uuid":
        return uuids.to_string(value)
    if isinstance(value, bytes | memoryview):
        return plain_bytes(value)
    return value


def time_text(timestamp_ms: int) -> str:
    """``2026-11-20T10:45:51.123Z``; the number itself where it is no time of these centuries."""
    if not 0 <= timestamp_ms < 253_402_300_800_000:
        return str(timestamp_ms)
    return f"{(_EPOCH + timedelta(milliseconds=timestamp_ms)).isoformat(timespec='milliseconds')[:-6]}Z"
