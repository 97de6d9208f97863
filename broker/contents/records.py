"""Seed records: what a declaration may say about one."""

from __future__ import annotations

import base64
import binascii
import json
from datetime import UTC, datetime
from typing import Any, Final

from broker.contents.checking import Checker, described
from broker.contents.model import Path, SeedRecord

RECORD_FIELDS: Final = (
    "value",
    "value_base64",
    "key",
    "key_base64",
    "headers",
    "partition",
    "timestamp",
    "timestamp_ms",
)
MAX_HEADERS: Final = 1_000
MAX_TIMESTAMP_MS: Final = 2**63 - 1


def read_record(check: Checker, value: Any, path: Path, partitions: int) -> SeedRecord | None:
    """One record: a value alone, or a mapping with RECORD_FIELDS. partitions: the topic's, -1 when not declared.

    A mapping that has none of the fields' names is a value itself, written as JSON.
    """
    if not isinstance(value, dict) or not any(name in value for name in RECORD_FIELDS):
        return SeedRecord(as_bytes(check, value, path))
    found = check.mapping(value, path, RECORD_FIELDS)
    key = _one_of(check, found, path, "key")
    content = _one_of(check, found, path, "value")
    headers = _headers(check, found["headers"], (*path, "headers")) if found.get("headers") is not None else ()
    partition = None
    if found.get("partition") is not None:
        partition = check.integer(found["partition"], (*path, "partition"), 0, 2**31 - 1, "a partition")
        if partition is not None and 0 <= partitions <= partition:
            check.note((*path, "partition"), f"the topic has partitions 0 to {partitions - 1}, not {partition}")
    return SeedRecord(content, key, headers, partition, _timestamp(check, found, path))


def as_bytes(check: Checker, value: Any, path: Path) -> bytes | None:
    """Text as UTF-8, None as None, numbers, lists and mappings as compact JSON."""
    if value is None or isinstance(value, bytes):
        return value
    if isinstance(value, str):
        try:
            return value.encode()
        except UnicodeEncodeError as error:
            check.note(path, f"is no text that UTF-8 can hold: {error.reason}")
            return None
    try:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
    except (TypeError, ValueError, RecursionError):
        check.note(path, f"cannot be written as JSON: {described(value)}")
        return None


def _one_of(check: Checker, found: dict[str, Any], path: Path, name: str) -> bytes | None:
    encoded = f"{name}_base64"
    if encoded not in found:
        return as_bytes(check, found.get(name), (*path, name))
    if name in found:
        check.note((*path, encoded), f"give {name} or {encoded}, not both")
        return None
    return _base64(check, found[encoded], (*path, encoded))


def _base64(check: Checker, value: Any, path: Path) -> bytes | None:
    if isinstance(value, str):
        try:
            return base64.b64decode(value, validate=True)
        except (binascii.Error, ValueError):
            pass
    check.note(path, f"must be base64, not {described(value)}")
    return None


def _headers(check: Checker, value: Any, path: Path) -> tuple[tuple[str, bytes | None], ...]:
    """A mapping, or a list of [name, value] where a name comes twice or the order matters."""
    if isinstance(value, dict):
        pairs = [(name, each, (*path, name)) for name, each in check.names(value, path)]
    elif isinstance(value, list):
        pairs = []
        for index, each in enumerate(value):
            if isinstance(each, list) and len(each) == 2 and isinstance(each[0], str):
                pairs.append((each[0], each[1], (*path, index)))
            else:
                check.note((*path, index), f"must be [NAME, VALUE], not {described(each)}")
    else:
        check.note(path, f"must be a mapping of names to values, or a list of [NAME, VALUE], not {described(value)}")
        return ()
    if len(pairs) > MAX_HEADERS:
        check.note(path, f"{len(pairs)} headers are more than {MAX_HEADERS}")
        return ()
    for name, _, place in pairs:
        as_bytes(check, name, place)
    return tuple((name, as_bytes(check, each, place)) for name, each, place in pairs)


def _timestamp(check: Checker, found: dict[str, Any], path: Path) -> int | None:
    if found.get("timestamp_ms") is not None:
        if found.get("timestamp") is not None:
            check.note((*path, "timestamp_ms"), "give timestamp or timestamp_ms, not both")
        return check.integer(found["timestamp_ms"], (*path, "timestamp_ms"), 0, MAX_TIMESTAMP_MS, "a timestamp in ms")
    value = found.get("timestamp")
    if value is None:
        return None
    if isinstance(value, int):
        return check.integer(value, (*path, "timestamp"), 0, MAX_TIMESTAMP_MS, "a timestamp in ms")
    if isinstance(value, str):
        try:
            moment = datetime.fromisoformat(value)
            if moment.tzinfo is None:
                moment = moment.replace(tzinfo=UTC)
            timestamp_ms = round(moment.timestamp() * 1000)
        except (ValueError, OverflowError):
            timestamp_ms = -1
        if timestamp_ms >= 0:
            return timestamp_ms
    check.note(
        (*path, "timestamp"),
        f"must be milliseconds since 1970 or a time such as 2026-01-31T12:00:00Z, not {described(value)}",
    )
    return None
