"""What a message names (topics, groups, errors), and messages as plain values for JSON, by their declared fields."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from typing import Any, Final

from broker.transcript.records import RecordsSummary, Sample
from kwire import uuids
from kwire.error_codes import ErrorCode
from kwire.records import BatchHeader
from kwire.schema import Struct

TopicNames = Callable[[bytes], str | None]

_TOPIC_FIELDS: Final = frozenset({"topic", "topic_name"})
_TOPIC_LISTS: Final = frozenset({"topic_names", "subscribed_topic_names"})
_GROUP_LISTS: Final = frozenset({"group_ids", "groups_names", "groups"})
_RESOURCE_TOPIC: Final = 2
_KEY_TYPE_GROUP: Final = 0
# Of these nothing but the name is for other eyes.
_SECRET_FIELDS: Final = frozenset({"auth_bytes", "hmac", "salted_password", "salt"})
_SECRET_WORDS: Final = ("password", "secret", "jaas", "credential", "keystore.key", "token")
_HIDDEN: Final = "(hidden)"
_MOST_ITEMS: Final = 1_000
_MOST_BYTES: Final = 4_096


def topics_of(message: Any, names: TopicNames) -> dict[str, None]:
    """The topics a message names, in its order; ids are looked up."""
    found: dict[str, None] = {}
    for struct in _structs(message):
        cls = type(struct)
        slots = cls.__slots__
        if "name" in slots and "Topic" in cls.__name__ and "Config" not in cls.__name__ and struct.name:
            found[struct.name] = None
        for name in _TOPIC_FIELDS:
            if name in slots and isinstance(topic := getattr(struct, name), str) and topic:
                found[topic] = None
        for name in _TOPIC_LISTS:
            if name in slots:
                found.update(dict.fromkeys(getattr(struct, name) or ()))
        if "topic_id" in slots and struct.topic_id != uuids.ZERO and (known := names(struct.topic_id)) is not None:
            found[known] = None
        if "resource_type" in slots and struct.resource_type == _RESOURCE_TOPIC and "resource_name" in slots:
            found[struct.resource_name] = None
    return found


def groups_of(request: Any) -> dict[str, None]:
    """The groups a request names."""
    found: dict[str, None] = {}
    for struct in _structs(request):
        slots = type(struct).__slots__
        if "group_id" in slots and struct.group_id:
            found[struct.group_id] = None
        for name in _GROUP_LISTS:
            if name in slots:
                found.update(dict.fromkeys(each for each in getattr(struct, name) or () if isinstance(each, str)))
        if "key_type" in slots and struct.key_type == _KEY_TYPE_GROUP:
            found.update(dict.fromkeys(each for each in (struct.key, *(struct.coordinator_keys or ())) if each))
    return found


def errors_of(response: Any) -> dict[str, int]:
    """How often each error occurs, by its name."""
    found: dict[str, int] = {}
    for struct in _structs(response):
        if "error_code" in type(struct).__slots__ and struct.error_code:
            name = error_name(struct.error_code)
            found[name] = found.get(name, 0) + 1
    return found


def error_name(code: int) -> str:
    """NOT_LEADER_OR_FOLLOWER, or the number where it is no code of Kafka's."""
    try:
        return ErrorCode(code).name
    except ValueError:
        return str(code)


def _structs(value: Any) -> Iterator[Any]:
    """The struct and all within it, outer ones first."""
    if isinstance(value, Struct):
        yield value
        for each in type(value).struct_fields:
            if each.kind in ("struct", "array"):
                yield from _structs(getattr(value, each.name))
    elif isinstance(value, list) and value and isinstance(value[0], Struct):
        for item in value:
            yield from _structs(item)


def plain(message: Any, version: int) -> Any:
    """A message as dicts and lists: the fields its version has, by their names; long lists and bytes are cut short."""
    if isinstance(message, Struct):
        hidden = _hides_value(message)
        return {
            each.name: _HIDDEN
            if each.name in _SECRET_FIELDS or (hidden and each.name == "value" and message.value is not None)  # type: ignore[attr-defined]
            else _value(getattr(message, each.name), each.kind, version)
            for each in type(message).struct_fields
            if each.in_version(version) or each.tagged_in(version)
        }
    return _value(message, "", version)


def _hides_value(struct: Struct) -> bool:
    name = getattr(struct, "name", None)
    return isinstance(name, str) and hasattr(struct, "value") and any(word in name for word in _SECRET_WORDS)


def _value(value: Any, kind: str, version: int) -> Any:
    if isinstance(value, Struct):
        return plain(value, version)
    if isinstance(value, RecordsSummary):
        return _summary(value)
    if isinstance(value, (list, tuple)):
        shown = [_value(each, kind, version) for each in value[:_MOST_ITEMS]]
        if len(value) > _MOST_ITEMS:
            shown.append(f"... {len(value) - _MOST_ITEMS} more")
        return shown
    if isinstance(value, (bytes, bytearray, memoryview)):
        if kind == "uuid" or (kind == "array" and len(value) == 16):
            return uuids.to_string(bytes(value))
        return _bytes(bytes(value))
    return value


def _bytes(value: bytes) -> Any:
    shown = {"base64": base64.b64encode(value[:_MOST_BYTES]).decode("ascii")}
    return {**shown, "size": len(value)} if len(value) > _MOST_BYTES else shown


def _summary(summary: RecordsSummary) -> dict[str, Any]:
    shown: dict[str, Any] = {"size": summary.size, "batches": [_batch(each) for each in summary.batches]}
    if not summary.complete:
        shown["complete"] = False
    if summary.first:
        shown["first"] = [_sample(each) for each in summary.first]
    return shown


def _batch(header: BatchHeader) -> dict[str, Any]:
    try:
        codec = header.codec.name.lower()
    except Exception:  # a codec nobody knows, in what a client sent
        codec = str(header.codec_id)
    shown: dict[str, Any] = {
        "base_offset": header.base_offset,
        "last_offset": header.last_offset,
        "records": header.record_count,
        "size": header.size,
        "codec": codec,
    }
    if header.has_producer_id:
        shown |= {
            "producer_id": header.producer_id,
            "producer_epoch": header.producer_epoch,
            "base_sequence": header.base_sequence,
        }
    if header.is_transactional:
        shown["transactional"] = True
    if header.is_control:
        shown["control"] = True
    return shown


def _sample(sample: Sample) -> dict[str, Any]:
    return {
        "offset": sample.offset,
        "timestamp_ms": sample.timestamp_ms,
        "key": _text(sample.key),
        "value": _text(sample.value),
    }


def _text(value: bytes | None) -> Any:
    if value is None:
        return None
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return _bytes(value)
