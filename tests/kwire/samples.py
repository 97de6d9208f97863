"""Messages to test with: every class and version, filled at random; and their JSON, as Kafka's converters read it."""

from __future__ import annotations

import base64
import importlib
import json
import lzma
import pkgutil
import random
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import kwire.internal
import kwire.messages
from kwire import uuids
from kwire.schema import Field, Struct, info_of

DATA = Path(__file__).parent / "data"

_RANGES = {
    "int8": (-0x80, 0x7F),
    "int16": (-0x8000, 0x7FFF),
    "uint16": (0, 0xFFFF),
    "int32": (-0x80000000, 0x7FFFFFFF),
    "uint32": (0, 0xFFFFFFFF),
    "int64": (-(1 << 63), (1 << 63) - 1),
}
_ALPHABET = "abcXYZ019._-/ äß€漢🎈"


@cache
def schemas() -> dict[str, dict[str, dict[str, Any]]]:
    """Release: name: reduced schema."""
    found: dict[str, dict[str, dict[str, Any]]] = json.loads(lzma.decompress((DATA / "schemas.json.xz").read_bytes()))
    return found


CURRENT, PAST = "4.3.1", "3.9.1"


@cache
def message_classes() -> dict[str, type[Struct]]:
    """Every class that is a message by itself, by name."""
    found = {}
    for package in (kwire.messages, kwire.internal):
        for module in pkgutil.iter_modules(package.__path__):
            for cls in vars(importlib.import_module(f"{package.__name__}.{module.name}")).values():
                if isinstance(cls, type) and issubclass(cls, Struct) and cls.message_info is not None:
                    found[cls.__name__] = cls
    return dict(sorted(found.items()))


@cache
def all_versions() -> list[tuple[type[Struct], int]]:
    """Every version of every message, those that 4.0 removed too."""
    return [(cls, version) for cls in message_classes().values() for version in info_of(cls).all_versions()]


def schema_of(cls: type[Struct], version: int) -> dict[str, Any] | None:
    """The schema that describes the version."""
    low, high = info_of(cls).versions
    return schemas()[CURRENT if low <= version <= high else PAST].get(cls.__name__)


def structs_of(schema: dict[str, Any]) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Name and fields of every struct of a schema, the message's own first."""
    yield schema["name"], schema["fields"]
    for shared in schema.get("structs", []):
        yield shared["name"], shared["fields"]
    waiting = [*schema["fields"], *(field for shared in schema.get("structs", []) for field in shared["fields"])]
    while waiting:
        field = waiting.pop()
        if "fields" in field:
            yield field["type"].removeprefix("[]"), field["fields"]
            waiting += field["fields"]


class Filler:
    """Fills messages at random. `small`: few bytes, of which few differ, for what is kept in a file."""

    def __init__(self, rng: random.Random, *, unknown_tags: bool = True, small: bool = False) -> None:
        self.rng = rng
        self.unknown_tags = unknown_tags
        self.small = small
        self.null_rate = 0.15
        self.structs = (1, 2) if small else (0, 1, 2, 3, 3)
        self.arrays = (0, 1, 3) if small else (0, 1, 3, 17, 70, 130)
        self.strings = (0, 1, 5) if small else (0, 1, 5, 20, 150)
        self.bytes = (0, 1, 9) if small else (0, 1, 9, 127, 300)

    def message(self, cls: type[Struct], version: int) -> Struct:
        """A message of `cls` in which every field that `version` has is set."""
        return self.struct(cls, version, info_of(cls).is_flexible(version))

    def struct(self, cls: type[Struct], version: int, flexible: bool) -> Struct:
        made, rng = cls(), self.rng
        for field in cls.struct_fields:
            if field.in_version(version):
                setattr(made, field.name, self.value(field, version, flexible))
        if flexible and self.unknown_tags and rng.random() < 0.2:
            tags = rng.sample([*range(100, 140), 5000, 0x7FFFFFFE], rng.randint(1, 3))
            made.unknown_tagged_fields = {tag: rng.randbytes(rng.randint(0, 200)) for tag in tags}
        return made

    def value(self, field: Field, version: int, flexible: bool) -> Any:
        rng = self.rng
        if field.nullable_in(version) and rng.random() < self.null_rate:
            return None
        if field.kind == "array":
            if isinstance(field.item, type):
                item = field.item
                return [self.struct(item, version, flexible) for _ in range(rng.choice(self.structs))]
            return [self.plain(str(field.item)) for _ in range(rng.choice(self.arrays))]
        if field.kind == "struct":
            assert isinstance(field.item, type)
            return self.struct(field.item, version, flexible)
        return self.plain(field.kind)

    def plain(self, kind: str) -> Any:
        rng = self.rng
        if kind in _RANGES:
            low, high = _RANGES[kind]
            few = (low, high, 1, 2, 3, 77)
            return rng.choice(few) if self.small else rng.choice((*few, rng.randint(low, high), rng.randint(low, high)))
        if kind == "bool":
            return rng.random() < 0.5
        if kind == "float64":
            return rng.choice((0.0, -1.5, 1e300) if self.small else (0.0, 1e300, rng.random()))
        if kind == "uuid":
            return rng.choice((uuids.ZERO, self.raw(16), self.raw(16)))
        if kind == "string":
            return "".join(rng.choices(_ALPHABET, k=rng.choice(self.strings)))
        return self.raw(rng.choice(self.bytes))

    def raw(self, size: int) -> bytes:
        return bytes((self.rng.choice((1, 0x80, 0xFF)),)) * size if self.small else self.rng.randbytes(size)


def fill(cls: type[Struct], version: int, rng: random.Random, *, unknown_tags: bool = True) -> Struct:
    """A message of `cls` in which every field that `version` has is set at random."""
    return Filler(rng, unknown_tags=unknown_tags).message(cls, version)


@cache
def _json_names(name: str, release: str) -> dict[str, dict[str, str]]:
    """Struct: field as the schema spells it, by our name without underscores."""
    schema = schemas()[release][name]
    return {
        struct: {field["name"].lower(): field["name"][0].lower() + field["name"][1:] for field in fields}
        for struct, fields in structs_of(schema)
    }


def json_name(message: type[Struct], struct: type[Struct], field: Field, release: str) -> str:
    """The name of a field in Kafka's JSON."""
    key = field.name.rstrip("_").replace("_", "")
    for name, fields in _json_names(message.__name__, release).items():
        if struct.__name__.endswith(name) and key in fields:
            return fields[key]
    raise KeyError(f"{release} {message.__name__}: no {struct.__name__}.{field.name}")


def to_json(message: Struct, version: int) -> dict[str, Any]:
    """What Kafka's JSON converter of the version reads."""
    low, high = info_of(type(message)).versions
    return _to_json(type(message), message, version, CURRENT if low <= version <= high else PAST)


def _to_json(root: type[Struct], value: Struct, version: int, release: str) -> dict[str, Any]:
    out = {}
    for field in type(value).struct_fields:
        if field.in_version(version):
            inner = getattr(value, field.name)
            out[json_name(root, type(value), field, release)] = _json_value(root, field, inner, version, release)
    return out


def _json_value(root: type[Struct], field: Field, value: Any, version: int, release: str) -> Any:
    if field.kind == "array" and value is not None:
        return [
            _to_json(root, one, version, release) if isinstance(one, Struct) else _json_plain(str(field.item), one)
            for one in value
        ]
    if isinstance(value, Struct):
        return _to_json(root, value, version, release)
    return _json_plain(field.kind, value)


def _json_plain(kind: str, value: Any) -> Any:
    if value is None or kind not in ("bytes", "records", "uuid"):
        return value
    return uuids.to_string(value) if kind == "uuid" else base64.b64encode(value).decode()


def from_json(cls: type[Struct], version: int, given: dict[str, Any]) -> Struct:
    """The message that `to_json` wrote."""
    low, high = info_of(cls).versions
    return _from_json(cls, cls, version, given, CURRENT if low <= version <= high else PAST)


def _from_json(root: type[Struct], cls: type[Struct], version: int, given: dict[str, Any], release: str) -> Struct:
    made = cls()
    for field in cls.struct_fields:
        if field.in_version(version):
            value = given[json_name(root, cls, field, release)]
            if field.kind == "array" and value is not None:
                value = [
                    _from_json(root, field.item, version, one, release)
                    if isinstance(field.item, type)
                    else _python_plain(str(field.item), one)
                    for one in value
                ]
            elif isinstance(field.item, type) and value is not None:
                value = _from_json(root, field.item, version, value, release)
            elif not isinstance(field.item, type):
                value = _python_plain(field.kind, value)
            setattr(made, field.name, value)
    return made


def _python_plain(kind: str, value: Any) -> Any:
    if value is None or kind not in ("bytes", "records", "uuid"):
        return value
    return uuids.from_string(value) if kind == "uuid" else base64.b64decode(value)
