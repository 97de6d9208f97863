"""Writes the modules: one per API, and one per family of stored records."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tools.codegen.model import NONE, FieldModel, MessageModel, StructModel, empty, snake, text_of

SPECIFIERS = {"bool": "boolean", "bytes": "binary", "records": "record_data"}
ANNOTATIONS = {
    "bool": "bool",
    "float64": "float",
    "uuid": "bytes",
    "string": "str",
    "bytes": "bytes",
    "records": "Records",
}
ZERO_VALUES: dict[str, Any] = {
    "bool": False,
    "float64": 0.0,
    "uuid": bytes(16),
    "string": "",
    "bytes": b"",
    "records": None,
    "array": "new",
    "struct": "new",
}


def write_api(directory: Path, stem: str, request: MessageModel, response: MessageModel, first_flexible: str) -> None:
    """The module of one API: its request and response."""
    shared = _name_structs(request, response)
    title = f"{_words(stem)} (API {request.number}). {_versions_sentence(request, first_flexible)}"
    history = _history("Request", request) + _history("Response", response)
    body = _classes(request, set()) + _classes(response, shared)
    _write(directory / f"{stem}.py", title, history, body, api_key=True)


def write_records(path: Path, title: str, models: list[MessageModel]) -> None:
    """A module of stored records."""
    _name_record_structs(models)
    body: list[str] = []
    done: dict[str, StructModel] = {}
    for model in models:
        skip = {name for name, struct in model.structs.items() if done.get(struct.class_name) is not None}
        body += _classes(model, skip)
        done |= {struct.class_name: struct for struct in model.structs.values()}
    _write(path, title, [], body, api_key=False)


def _write(path: Path, title: str, history: list[str], body: list[str], *, api_key: bool) -> None:
    text = "\n".join(body)
    names = {"Struct"}
    for name in (
        "array",
        "binary",
        "boolean",
        "float64",
        "int16",
        "int32",
        "int64",
        "int8",
        "message",
        "nested",
        "record",
    ):
        if f"{name}(" in text:
            names.add(name)
    for name in ("record_data", "string", "uint16", "uint32", "uuid"):
        if f"{name}(" in text:
            names.add(name)
    for item in ("int8", "int16", "int32", "int64", "uuid", "string", "binary"):
        if f"array({item}" in text:
            names.add(item)
    imports = ["from kwire.api_keys import ApiKey"] if api_key else []
    if "Records" in text:
        imports.append("from kwire.primitives import Records")
    imports.append(f"from kwire.schema import {', '.join(sorted(names))}")
    doc = [f'"""{title}', "", *history, '"""'] if history else [f'"""{title}"""']
    path.write_text("\n".join([*doc, "", *imports, "", *body]) + "\n")


def _classes(model: MessageModel, skip: set[str]) -> list[str]:
    lines: list[str] = []
    for name, struct in model.structs.items():
        if name in skip:
            continue
        lines += ["", ""]
        if name == model.name:
            lines.append(_decorator(model))
        lines.append(f"class {struct.class_name}(Struct):")
        lines += [f"    {_field(one, model)}" for one in struct.fields] or ["    pass"]
    return lines


def _decorator(model: MessageModel) -> str:
    options = [f'versions="{text_of(model.versions)}"']
    if not empty(model.flexible):
        options.append(f'flexible="{text_of(model.flexible)}"')
    if model.type in ("request", "response"):
        if not empty(model.removed):
            options.append(f'removed="{text_of(model.removed)}"')
        if not empty(model.unstable):
            options.append(f'unstable="{text_of(model.unstable)}"')
        name = snake(model.name.removesuffix("Request").removesuffix("Response")).upper()
        return f"@message(ApiKey.{name}, {', '.join(options)})"
    number = f", {model.number}" if model.number is not None else ""
    return f'@record("{model.type}"{number}, {", ".join(options)})'


def _field(one: FieldModel, model: MessageModel) -> str:
    annotation, arguments = _annotation(one, model), []
    if one.kind in ("array", "struct"):
        assert one.item is not None
        struct = model.structs.get(one.item)
        arguments.append(struct.class_name if struct else SPECIFIERS.get(one.item, one.item))
    if text_of(one.versions) != "0+":
        arguments.append(f'"{text_of(one.versions)}"')
    if not empty(one.nullable):
        arguments.append(f'nullable="{text_of(one.nullable)}"')
        annotation += " | None"
    elif one.default is None:
        annotation += " | None"
    if one.default != ZERO_VALUES.get(one.kind, 0):
        arguments.append(f"default={one.default!r}")
    if one.ignorable:
        arguments.append("ignorable=True")
    if one.tag is not None:
        arguments.append(f"tag={one.tag}")
        if one.tagged != one.versions:
            arguments.append(f'tagged="{text_of(one.tagged)}"')
    specifier = {"array": "array", "struct": "nested"}.get(one.kind) or SPECIFIERS.get(one.kind, one.kind)
    note = "  # as in 3.9" if one.old_only and not empty(model.versions) else ""
    return f"{one.name}: {annotation} = {specifier}({', '.join(arguments)}){note}"


def _annotation(one: FieldModel, model: MessageModel) -> str:
    if one.kind == "array":
        assert one.item is not None
        struct = model.structs.get(one.item)
        return f"list[{struct.class_name if struct else ANNOTATIONS.get(one.item, 'int')}]"
    if one.kind == "struct":
        assert one.item is not None
        return model.structs[one.item].class_name
    return ANNOTATIONS.get(one.kind, "int")


# Names of classes.


def _name_structs(request: MessageModel, response: MessageModel) -> set[str]:
    """Names the classes of both; returns the response's structs that are the request's."""
    shared = set()
    for name, struct in request.structs.items():
        other = response.structs.get(name)
        if other is not None and not _same(request, struct, response, other):
            struct.class_name = f"Request{name}"
        else:
            struct.class_name = name
    for name, struct in response.structs.items():
        other = request.structs.get(name)
        if other is None:
            struct.class_name = name
        elif _same(request, other, response, struct):
            struct.class_name = name
            shared.add(name)
        else:
            struct.class_name = f"Response{name}"
    return shared


def _same(a: MessageModel, one: StructModel, b: MessageModel, other: StructModel) -> bool:
    if one.fields != other.fields:
        return False
    items = [field.item for field in one.fields if field.item in a.structs]
    return all(_same(a, a.structs[item], b, b.structs[item]) for item in items if item is not None)


def _name_record_structs(models: list[MessageModel]) -> None:
    """A nested struct keeps its name if no other of that name in the module differs; else its record's comes first."""
    for model in models:
        for name, struct in model.structs.items():
            alike = all(
                _same(model, struct, other, other.structs[name])
                for other in models
                if name in other.structs and name != other.name
            )
            stem = model.name.removesuffix("Key").removesuffix("Value").removesuffix("Record")
            struct.class_name = name if name == model.name or alike else f"{stem}{name}"


# What a module says of itself.


def _words(stem: str) -> str:
    return "".join(part.capitalize() for part in stem.split("_"))


def _versions_sentence(model: MessageModel, first_flexible: str) -> str:
    if empty(model.versions):
        return (
            f"Removed in Kafka 4.0; versions {text_of(model.removed)} are those of 3.9, flexible from {first_flexible}."
        )
    sentence = f"Versions {text_of(model.versions)}"
    if not empty(model.flexible):
        sentence += f", flexible from {first_flexible}"
    if not empty(model.removed):
        sentence += f"; {text_of(model.removed)} as in Kafka 3.9"
    return sentence + "."


def _history(label: str, model: MessageModel) -> list[str]:
    """A line a version that changed fields."""
    lines = []
    every = [v for v in (model.versions, model.removed) if v != NONE]
    first, last = min(v[0] for v in every), max(v[1] for v in every)
    for version in range(first + 1, last + 1):
        added = [one.name for s in model.structs.values() for one in s.fields if one.versions[0] == version]
        gone = [one.name for s in model.structs.values() for one in s.fields if one.versions[1] == version - 1]
        nullable = [
            one.name
            for s in model.structs.values()
            for one in s.fields
            if one.nullable[0] == version and one.nullable != NONE and one.versions[0] < version
        ]
        said = []
        if added:
            said.append("adds " + ", ".join(dict.fromkeys(added)))
        if gone:
            said.append("drops " + ", ".join(dict.fromkeys(gone)))
        if nullable:
            said.append("allows null for " + ", ".join(dict.fromkeys(nullable)))
        if said:
            lines += _wrap(f"{label} v{version} {'; '.join(said)}.")
    return lines


def _wrap(text: str, width: int = 116) -> list[str]:
    lines = [""]
    for word in text.split():
        if len(lines[-1]) + len(word) + 1 > width:
            lines.append("   ")
        lines[-1] += (" " if lines[-1].strip() else "") + word
    return lines
