"""Records as text: kcat's format strings, JSON lines, a line for a person. Pure."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any, Final

from attrs import frozen

from broker.cli.when import shown_time

Headers = tuple[tuple[str, bytes | None], ...]


@frozen
class Consumed:
    """A record that was read. timestamp_type: 0 of its creation, 1 of its appending."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    timestamp_type: int
    key: bytes | None
    value: bytes | None
    headers: Headers


class FormatError(ValueError):
    """A format string that is none; says which fields there are."""


_ESCAPES: Final = {"n": b"\n", "r": b"\r", "t": b"\t", "0": b"\0", "\\": b"\\"}


def _length(data: bytes | None) -> bytes:
    return b"-1" if data is None else b"%d" % len(data)


def _headers_text(record: Consumed) -> bytes:
    return b",".join(name.encode() + b"=" + (b"NULL" if value is None else value) for name, value in record.headers)


_FIELDS: Final[dict[str, Callable[[Consumed], bytes]]] = {
    "t": lambda record: record.topic.encode(),
    "p": lambda record: b"%d" % record.partition,
    "o": lambda record: b"%d" % record.offset,
    "k": lambda record: record.key or b"",
    "K": lambda record: _length(record.key),
    "s": lambda record: record.value or b"",
    "v": lambda record: record.value or b"",
    "S": lambda record: _length(record.value),
    "V": lambda record: _length(record.value),
    "R": lambda record: (-1 if record.value is None else len(record.value)).to_bytes(4, "big", signed=True),
    "T": lambda record: b"%d" % record.timestamp_ms,
    "d": lambda record: shown_time(record.timestamp_ms).encode(),
    "h": _headers_text,
    "H": lambda record: b"%d" % len(record.headers),
}
FIELDS_HELP: Final = (
    "%t topic, %p partition, %o offset, %k key, %K its length, %s or %v value, %S its length, %h headers, "
    "%H their number, %T timestamp in ms, %d the same as a date, %R length in 4 bytes, %% a percent sign; \\n \\t \\r "
    "\\0 \\xNN"
)


def compiled_format(text: str) -> Callable[[Consumed], bytes]:
    """What writes a record by a format string. Raises FormatError."""
    parts: list[bytes | Callable[[Consumed], bytes]] = []
    for each in format_parts(text):
        if isinstance(each, bytes):
            parts.append(each)
        elif each in _FIELDS:
            parts.append(_FIELDS[each])
        else:
            raise FormatError(f"%{each} is no field; there are {FIELDS_HELP}")

    def write(record: Consumed) -> bytes:
        return b"".join(part if isinstance(part, bytes) else part(record) for part in parts)

    return write


def format_parts(text: str) -> list[bytes | str]:
    """Literals as bytes, fields as their letter. Raises FormatError."""
    parts: list[bytes | str] = []
    literal = b""
    index = 0
    while index < len(text):
        char = text[index]
        index += 1
        if char == "%" and index < len(text):
            field = text[index]
            index += 1
            if field == "%":
                literal += b"%"
                continue
            if literal:
                parts.append(literal)
                literal = b""
            parts.append(field)
        elif char == "%":
            raise FormatError("the format ends with %; %% stands for a percent sign")
        elif char == "\\" and index < len(text):
            escape = text[index]
            index += 1
            if escape == "x":
                try:
                    literal += bytes([int(text[index : index + 2], 16)])
                except ValueError:
                    raise FormatError("\\x needs two hexadecimal digits") from None
                index += 2
            elif escape in _ESCAPES:
                literal += _ESCAPES[escape]
            else:
                literal += b"\\" + escape.encode()
        else:
            literal += char.encode("utf-8", "surrogateescape")
    if literal:
        parts.append(literal)
    return parts


def delimiter(text: str) -> bytes:
    """`\\n`, `\\t`, `:` as bytes. Raises FormatError: it must not be empty nor hold fields."""
    parts = format_parts(text.replace("%", "%%"))
    if len(parts) != 1 or not isinstance(parts[0], bytes):
        raise FormatError("a delimiter must not be empty")
    return parts[0]


def as_json(record: Consumed) -> dict[str, Any]:
    """kwire's shape: what `kwire produce -J`, declared contents and the HTTP door take as well."""
    shown: dict[str, Any] = {"topic": record.topic, "partition": record.partition, "offset": record.offset}
    shown["timestamp_ms"] = record.timestamp_ms if record.timestamp_ms >= 0 else None
    _add(shown, "key", record.key)
    _add(shown, "value", record.value)
    if record.headers:
        names = [name for name, _ in record.headers]
        texts = [(name, _text(value)) for name, value in record.headers]
        shown["headers"] = dict(texts) if len(set(names)) == len(names) else [list(each) for each in texts]
    return shown


def as_kcat_json(record: Consumed) -> dict[str, Any]:
    """kcat's envelope (`kcat -J`)."""
    return {
        "topic": record.topic,
        "partition": record.partition,
        "offset": record.offset,
        "tstype": "logappend" if record.timestamp_type == 1 else "create",
        "ts": record.timestamp_ms,
        "headers": [each for name, value in record.headers for each in (name, _text(value))],
        "key": _text(record.key),
        "payload": _text(record.value),
    }


def json_line(shown: dict[str, Any]) -> bytes:
    """Without line ends inside."""
    return json.dumps(shown, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def _add(shown: dict[str, Any], name: str, data: bytes | None) -> None:
    if data is not None:
        try:
            shown[name] = data.decode("utf-8")
        except UnicodeDecodeError:
            shown[f"{name}_base64"] = base64.b64encode(data).decode("ascii")
        return
    shown[name] = None


def _text(data: bytes | None) -> str | None:
    """What is no UTF-8 is lost: the formats with this have no other way."""
    return None if data is None else data.decode("utf-8", "backslashreplace")


def readable(text: bytes | None) -> str:
    """For a terminal: no control characters; NULL for none."""
    if text is None:
        return "NULL"
    decoded = text.decode("utf-8", "backslashreplace")
    return "".join(each if each.isprintable() or each == "\t" else ascii(each)[1:-1] for each in decoded)
