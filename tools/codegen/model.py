"""The classes to write: the schemas of two releases merged, structs named, versions as the declarations have them."""

from __future__ import annotations

import keyword
import re
from dataclasses import dataclass, field
from typing import Any

MAX = 0x7FFF
NONE = (1, 0)
Range = tuple[int, int]


def parse(text: str | None) -> Range:
    if not text or text == "none":
        return NONE
    if text.endswith("+"):
        return int(text[:-1]), MAX
    low, _, high = text.partition("-")
    return int(low), int(high or low)


def cut(a: Range, b: Range) -> Range:
    low, high = max(a[0], b[0]), min(a[1], b[1])
    return (low, high) if low <= high else NONE


def empty(a: Range) -> bool:
    return a[0] > a[1]


def join(a: Range, b: Range, what: str) -> Range:
    """The union of two ranges without a gap between them."""
    if empty(a) or empty(b):
        return b if empty(a) else a
    if max(a[0], b[0]) > min(a[1], b[1]) + 1:
        raise ValueError(f"{what}: versions {a} and {b} are apart")
    return min(a[0], b[0]), max(a[1], b[1])


def text_of(versions: Range) -> str:
    if empty(versions):
        return "none"
    low, high = versions
    if high == MAX:
        return f"{low}+"
    return str(low) if low == high else f"{low}-{high}"


def snake(name: str) -> str:
    name = name.replace("KRaft", "Kraft")
    name = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()
    return name + "_" if keyword.iskeyword(name) else name


@dataclass
class FieldModel:
    name: str
    kind: str  # a primitive, "array" or "struct"
    item: str | None  # what an array holds, or the struct's schema name
    versions: Range
    nullable: Range
    tag: int | None
    tagged: Range
    default: Any
    ignorable: bool
    old_only: bool = False

    def same_declaration(self, other: FieldModel) -> bool:
        return (self.kind, self.item, self.default, self.ignorable, self.tag) == (
            other.kind,
            other.item,
            other.default,
            other.ignorable,
            other.tag,
        )


@dataclass
class StructModel:
    name: str
    fields: list[FieldModel]
    class_name: str = ""


@dataclass
class MessageModel:
    name: str
    type: str
    number: int | None
    versions: Range
    flexible: Range
    removed: Range
    unstable: Range
    structs: dict[str, StructModel] = field(default_factory=dict)  # in order of definition, the message's own last


PRIMITIVES = {
    "bool",
    "int8",
    "int16",
    "uint16",
    "int32",
    "uint32",
    "int64",
    "float64",
    "uuid",
    "string",
    "bytes",
    "records",
}


def build(schema: dict[str, Any]) -> MessageModel:
    """The model of one schema by itself."""
    versions = parse(schema["validVersions"])
    unstable = (versions[1], versions[1]) if schema.get("latestVersionUnstable") else NONE
    flexible = parse(schema["flexibleVersions"])
    model = MessageModel(schema["name"], schema["type"], schema.get("apiKey"), versions, flexible, NONE, unstable)
    for shared in schema.get("structs", []):
        _build_struct(model, shared["name"], shared["fields"], schema)
    _build_struct(model, schema["name"], schema["fields"], schema)
    _sort(model)
    return model


def _build_struct(model: MessageModel, name: str, fields: list[dict[str, Any]], schema: dict[str, Any]) -> None:
    made = []
    for one in fields:
        made.append(_build_field(one, schema))
        if "fields" in one:
            _build_struct(model, one["type"].removeprefix("[]"), one["fields"], schema)
    if name in model.structs:
        raise ValueError(f"{model.name}: {name} is defined twice")
    model.structs[name] = StructModel(name, made)


def _build_field(one: dict[str, Any], schema: dict[str, Any]) -> FieldModel:
    kind, item = one["type"], None
    if kind.startswith("[]"):
        kind, item = "array", kind[2:]
    elif kind not in PRIMITIVES:
        kind, item = "struct", kind
    return FieldModel(
        snake(one["name"]),
        kind,
        item,
        parse(one["versions"]),
        parse(one.get("nullableVersions")),
        int(one["tag"]) if "tag" in one else None,
        parse(one.get("taggedVersions")),
        _default(kind, one.get("default")),
        bool(one.get("ignorable")),
    )


def _default(kind: str, given: Any) -> Any:
    """The default as the declarations give it; None is null, "new" a fresh list or struct."""
    if given == "null" or kind == "records":
        return None
    if kind in ("array", "struct"):
        return "new"
    if kind == "bool":
        return given in (True, "true")
    if kind == "string":
        return given or ""
    if kind == "bytes":
        return b""
    if kind == "uuid":
        return bytes(16)
    if kind == "float64":
        return float(given or 0)
    return int(given, 0) if isinstance(given, str) else int(given or 0)


def merge(new: MessageModel, old: MessageModel | None) -> MessageModel:
    """Adds to `new` the versions that only `old` has."""
    if old is None:
        return new
    if empty(new.versions):
        removed = old.versions
    else:
        removed = cut(old.versions, (0, new.versions[0] - 1))
    if empty(removed):
        return new
    new.removed = removed
    kept = new.versions
    new.flexible = join(cut(new.flexible, (kept[0], MAX)), cut(old.flexible, removed), new.name)
    if not empty(kept) and empty(cut(old.flexible, removed)) and new.flexible != NONE:
        new.flexible = (new.flexible[0], MAX)
    if empty(kept):
        new.flexible = old.flexible
    live = NONE if empty(kept) else (kept[0], MAX)
    _merge_struct(new, old, new.name, old.name, live, removed)
    order = [name for name in old.structs if name not in new.structs]
    for name in order:  # structs only the removed versions have
        new.structs = {name: old.structs[name], **new.structs}
        for one in new.structs[name].fields:
            one.versions, one.nullable, one.tagged = (cut(r, removed) for r in (one.versions, one.nullable, one.tagged))
    _prune(new)
    return new


def _merge_struct(new: MessageModel, old: MessageModel, name: str, old_name: str, live: Range, removed: Range) -> None:
    target, source = new.structs.get(name), old.structs[old_name]
    if target is None:
        return
    mine = {one.name: one for one in target.fields}
    merged: list[FieldModel] = []
    theirs = {one.name: one for one in source.fields}
    for one in target.fields:
        other = theirs.get(one.name)
        own = tuple(cut(r, live) for r in (one.versions, one.nullable, one.tagged))
        if other is None:
            one.versions, one.nullable, one.tagged = own
        else:
            past = tuple(cut(r, removed) for r in (other.versions, other.nullable, other.tagged))
            what = f"{new.name}.{name}.{one.name}"
            primitive = {one.item, other.item} <= PRIMITIVES | {None}
            if not empty(past[0]) and primitive and (one.kind, one.item) != (other.kind, other.item):
                raise ValueError(f"{what}: {one.kind} {one.item} was {other.kind} {other.item}")
            if not empty(past[0]) and one.default != other.default and empty(own[0]):
                one.default = other.default
            one.versions, one.nullable, one.tagged = (join(a, b, what) for a, b in zip(own, past, strict=True))
            one.old_only = empty(own[0])
            if one.tag is None:
                one.tag = other.tag if not empty(past[2]) else None
            if one.item is not None and one.item not in PRIMITIVES and other.item in old.structs:
                _merge_struct(new, old, one.item, other.item, live, removed)
        merged.append(one)
    previous = None
    for other in source.fields:  # fields only the removed versions have, behind the field they followed
        if other.name not in mine:
            other.versions, other.nullable, other.tagged = (
                cut(r, removed) for r in (other.versions, other.nullable, other.tagged)
            )
            other.old_only = True
            if not empty(other.versions):
                index = next((i + 1 for i, one in enumerate(merged) if one.name == previous), 0)
                merged.insert(index, other)
        previous = other.name
    target.fields = merged


def _prune(message: MessageModel) -> None:
    """Drop fields no version has, then structs no field refers to."""
    for struct in message.structs.values():
        struct.fields = [one for one in struct.fields if not empty(one.versions)]
    used, waiting = set(), [message.name]
    while waiting:
        name = waiting.pop()
        if name not in used:
            used.add(name)
            waiting += [one.item for one in message.structs[name].fields if one.item and one.item in message.structs]
    message.structs = {name: struct for name, struct in message.structs.items() if name in used}
    _sort(message)


def _sort(message: MessageModel) -> None:
    """Definitions before uses."""
    ordered: dict[str, StructModel] = {}

    def visit(name: str) -> None:
        if name in ordered:
            return
        for one in message.structs[name].fields:
            if one.item and one.item in message.structs:
                visit(one.item)
        ordered[name] = message.structs[name]

    visit(message.name)
    message.structs = ordered
