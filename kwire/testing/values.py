"""Records as a test gives and gets them: plain Python values one way, bytes with views of them the other."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any

from attrs import field, frozen


@frozen
class Message:
    """A record to produce, where `produce`'s options are not the same for all.

    value, key: `str` as UTF-8, `bytes` as they are, None as null (which deletes the key in a compacted topic), anything
    else as compact JSON. partition None: by the key. timestamp_ms None: the cluster's time.
    """

    value: Any
    key: Any = None
    headers: Mapping[str, Any] = field(factory=dict)
    partition: int | None = None
    timestamp_ms: int | None = None

    def body(self) -> dict[str, Any]:
        """As the control plane takes it. Raises TypeError for what has no JSON."""
        body: dict[str, Any] = {**_plain("key", self.key), **_plain("value", self.value)}
        if self.headers:
            body["headers"] = [{"name": name, **_plain("value", value)} for name, value in self.headers.items()]
        if self.partition is not None:
            body["partition"] = self.partition
        if self.timestamp_ms is not None:
            body["timestamp_ms"] = self.timestamp_ms
        return body


def _plain(name: str, value: Any) -> dict[str, Any]:
    if value is None:
        return {}
    if isinstance(value, bytes | bytearray | memoryview):
        return {f"{name}_base64": base64.b64encode(value).decode("ascii")}
    if isinstance(value, str):
        return {name: value}
    # As text: what the broker writes is what Python's json made of it.
    return {name: json.dumps(value, ensure_ascii=False, separators=(",", ":"))}


@frozen
class Placed:
    """Where a record is, once it is committed."""

    partition: int
    offset: int
    timestamp_ms: int


@frozen
class Record:
    """A record that was read. key, value: the bytes, None for null."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    header_list: tuple[tuple[str, bytes | None], ...] = ()

    @property
    def text(self) -> str | None:
        """The value as UTF-8. Raises UnicodeDecodeError."""
        return None if self.value is None else self.value.decode("utf-8")

    @property
    def json(self) -> Any:
        """The value's JSON, decoded; None for null. Raises ValueError when it is none."""
        return None if self.value is None else json.loads(self.value)

    @property
    def key_text(self) -> str | None:
        """The key as UTF-8. Raises UnicodeDecodeError."""
        return None if self.key is None else self.key.decode("utf-8")

    @property
    def headers(self) -> dict[str, bytes | None]:
        """By name; of a name that comes twice the last one, as Kafka's `lastHeader`."""
        return dict(self.header_list)


def record_of(topic: str, view: Mapping[str, Any]) -> Record:
    """A record of an answer that was asked for with key_format and value_format base64."""
    return Record(
        topic=topic,
        partition=view["partition"],
        offset=view["offset"],
        timestamp_ms=view["timestamp_ms"],
        key=_bytes(view["key"], view["key_encoding"]),
        value=_bytes(view["value"], view["value_encoding"]),
        header_list=tuple((each["name"], _bytes(each["value"], each["encoding"])) for each in view["headers"]),
    )


def _bytes(shown: Any, encoding: str) -> bytes | None:
    if encoding == "null":
        return None
    text: str = shown
    return base64.b64decode(text) if encoding == "base64" else text.encode("utf-8")
