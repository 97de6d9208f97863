"""Records of lines: plain, with keys, by a format, or as JSON. Pure but for the stream that is read."""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO, Final

from attrs import evolve, frozen

from broker.cli.record_format import FormatError, Headers, format_parts

MAX_RECORD_BYTES: Final = 64 << 20
_CHUNK_BYTES: Final = 256 << 10
_JSON_FIELDS: Final = frozenset(
    {
        "topic",
        "partition",
        "offset",
        "tstype",
        "ts",
        "timestamp_ms",
        "timestamp_type",
        "broker",
        "headers",
        "key",
        "key_base64",
        "value",
        "value_base64",
        "payload",
    }
)


class InputError(ValueError):
    """A record that cannot be read; the caller adds its number."""


@frozen
class Input:
    """A record to be written."""

    value: bytes | None
    key: bytes | None = None
    headers: Headers = ()
    partition: int | None = None
    timestamp_ms: int | None = None


Reader = Callable[[bytes], Input]


def split(stream: BinaryIO, mark: bytes) -> Iterator[bytes]:
    """What lies between the marks; the last one needs none. Raises InputError for what is longer than allowed."""
    if mark == b"\n":
        while line := stream.readline(MAX_RECORD_BYTES + 1):
            if len(line) > MAX_RECORD_BYTES:
                raise InputError(f"a record is longer than {MAX_RECORD_BYTES >> 20} MiB")
            yield line.removesuffix(b"\n")
        return
    rest = b""
    while chunk := stream.read(_CHUNK_BYTES):
        *whole, rest = (rest + chunk).split(mark)
        yield from whole
        if len(rest) > MAX_RECORD_BYTES:
            raise InputError(f"a record is longer than {MAX_RECORD_BYTES >> 20} MiB")
    # A file's last line end is no record.
    if rest.strip(b"\n"):
        yield rest


def plain_reader(key_delimiter: bytes | None) -> Reader:
    """The whole line is the value; or KEY, delimiter, value. A line without the delimiter has no key."""

    def read(line: bytes) -> Input:
        if key_delimiter is None:
            return Input(line)
        key, found, value = line.partition(key_delimiter)
        return Input(value, key) if found else Input(line)

    return read


def format_reader(text: str) -> Reader:
    """By a format such as ``%k:%s`` or ``%T %k %v``. Raises FormatError.

    Fields: %k key, %s or %v value, %p partition, %T timestamp in ms, %h headers (a=1,b=2). Each reaches to the next
    literal; the last one takes the rest.
    """
    parts = format_parts(text.removesuffix("\\n").removesuffix("\n"))
    pattern = b""
    names: list[str] = []
    previous_is_field = False
    for index, part in enumerate(parts):
        if isinstance(part, bytes):
            pattern += re.escape(part)
            previous_is_field = False
            continue
        name = {"v": "s"}.get(part, part)
        if name not in "kspTh":
            raise FormatError(f"%{part} cannot be written; fields are %k, %s (or %v), %p, %T and %h")
        if name in names:
            raise FormatError(f"%{part} stands twice")
        if previous_is_field:
            raise FormatError(f"between %{names[-1]} and %{part} must be something that parts them")
        names.append(name)
        last = index == len(parts) - 1
        pattern += b"(.*)" if last else b"(.*?)"
        previous_is_field = True
    if "s" not in names:
        raise FormatError("the format needs %s, the value")
    matcher = re.compile(pattern, re.DOTALL)

    def read(line: bytes) -> Input:
        match = matcher.fullmatch(line)
        if match is None:
            raise InputError(f"does not look like {text!r}")
        fields = dict(zip(names, match.groups(), strict=True))
        return Input(
            fields["s"],
            fields.get("k"),
            _headers_of(fields["h"]) if "h" in fields else (),
            _number(fields["p"], "partition") if "p" in fields else None,
            _number(fields["T"], "timestamp") if "T" in fields else None,
        )

    return read


def _headers_of(text: bytes) -> Headers:
    pairs = []
    for each in filter(None, text.split(b",")):
        name, found, value = each.partition(b"=")
        pairs.append((name.decode("utf-8", "replace"), value if found and value != b"NULL" else None))
    return tuple(pairs)


def _number(text: bytes, what: str) -> int:
    if not text.isdigit() or len(text) > 18:
        raise InputError(f"the {what} {text[:40].decode('utf-8', 'replace')!r} is no number")
    return int(text)


def read_json(line: bytes) -> Input:
    """An object as `kwire consume --json`, `kcat -J` and declared contents have it; other JSON is a value itself."""
    try:
        found = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise InputError(f"is no JSON: {error}") from None
    if not isinstance(found, dict) or not {"value", "value_base64", "payload"} & found.keys():
        raise InputError("is no object with a value (or value_base64, or kcat's payload)")
    unknown = sorted(found.keys() - _JSON_FIELDS)
    if unknown:
        raise InputError(f"{unknown[0]!r} is not known; there are {', '.join(sorted(_JSON_FIELDS))}")
    value_name = "payload" if "payload" in found else "value"
    timestamp_ms = found.get("timestamp_ms", found.get("ts"))
    partition = found.get("partition")
    for name, number in (("timestamp_ms", timestamp_ms), ("partition", partition)):
        if number is not None and (isinstance(number, bool) or not isinstance(number, int) or not -1 <= number < 2**63):
            raise InputError(f"{name} must be a number")
    return Input(
        _content(found, value_name),
        _content(found, "key"),
        _json_headers(found.get("headers")),
        partition if partition is not None and partition >= 0 else None,
        timestamp_ms if timestamp_ms is not None and timestamp_ms >= 0 else None,
    )


def _content(found: dict[str, Any], name: str) -> bytes | None:
    encoded = found.get(f"{name}_base64")
    if encoded is None:
        return json_bytes(found.get(name))
    try:
        return base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError, TypeError):
        raise InputError(f"{name}_base64 is no base64") from None


def json_bytes(value: Any) -> bytes | None:
    """Text as UTF-8, null as none, other JSON as its compact text."""
    if value is None:
        return None
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise InputError(f"is no text that UTF-8 can hold: {error.reason}") from None


def _json_headers(value: Any) -> Headers:
    """A mapping, a list of [name, value], or kcat's list of names and values in turns."""
    if value is None:
        return ()
    if isinstance(value, dict):
        return tuple((name, json_bytes(each)) for name, each in value.items())
    if isinstance(value, list):
        if all(isinstance(each, list) and len(each) == 2 and isinstance(each[0], str) for each in value):
            return tuple((name, json_bytes(each)) for name, each in value)
        if len(value) % 2 == 0 and all(isinstance(each, str) for each in value[::2]):
            return tuple((name, json_bytes(each)) for name, each in zip(value[::2], value[1::2], strict=True))
    raise InputError("headers must be an object, or a list of [NAME, VALUE]")


def header_option(text: str) -> tuple[str, bytes | None]:
    """`name=value` as kcat, `name:value` as rpk has it; a name alone has an empty value."""
    match = re.match(r"([^=:]+)([=:]?)(.*)", text, re.DOTALL)
    if match is None:
        raise InputError(f"the header {text!r} must be NAME=VALUE")
    return match[1], match[3].encode("utf-8", "surrogateescape")


def completed(
    record: Input, *, key: bytes | None, headers: Headers, partition: int | None, timestamp_ms: int | None, null: bool
) -> Input:
    """With what the options say where the record says nothing. null: an empty value is none (a tombstone)."""
    return evolve(
        record,
        value=None if null and record.value == b"" else record.value,
        key=key if record.key is None else record.key,
        headers=headers + record.headers,
        partition=partition if record.partition is None else record.partition,
        timestamp_ms=timestamp_ms if record.timestamp_ms is None else record.timestamp_ms,
    )


def check_writable(record: Input) -> None:
    """Raises InputError for what kafka-python cannot write."""
    if record.key is None and record.value is None:
        raise InputError("has neither key nor value: a tombstone needs a key")
    empty = [name for name, value in record.headers if value is None]
    if empty:
        raise InputError(f"header {empty[0]!r} has no value (null), which cannot be written; give it an empty one")
