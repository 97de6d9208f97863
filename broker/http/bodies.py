"""Bodies and queries to msgspec's Structs, and what to say when they do not fit."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final
from urllib.parse import parse_qsl

import msgspec
from msgspec import inspect

from broker.http.endpoint import ControlError

_MAX_PARAMETERS: Final = 100
_AT: Final = re.compile(r"^(.*?)(?: - at `(key in )?(\$.*)`)?$", re.DOTALL)
_STEP: Final = re.compile(r"\.([A-Za-z_][A-Za-z0-9_]*)|\[\.\.\.\]|\[(\d+)\]")


class Body:
    """Reads one endpoint's bodies."""

    def __init__(self, wanted: Any) -> None:
        self._wanted = wanted
        self._decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(wanted)

    def read(self, data: bytes) -> Any:
        """Raises ControlError 400 with the path of what is wrong and what is allowed there."""
        try:
            return self._decoder.decode(data if data.strip() else b"{}")
        except msgspec.ValidationError as error:
            raise _refusal("invalid_body", "body", self._wanted, error) from None
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise ControlError(400, "invalid_json", f"the body is not JSON: {error}") from None
        except RecursionError:
            raise ControlError(400, "invalid_json", "the body is nested too deeply") from None


class Query:
    """Reads one endpoint's query parameters. A parameter may be repeated where it is a list."""

    def __init__(self, wanted: Any) -> None:
        self._wanted = wanted
        described = inspect.type_info(wanted) if wanted is not None else None
        fields = described.fields if isinstance(described, inspect.StructType) else ()
        self._names = [each.encode_name for each in fields]
        self._lists = {each.encode_name for each in fields if _is_list(each.type)}
        self._texts = {each.encode_name for each in fields if _may_be_text(each.type)}

    def read(self, text: str) -> Any:
        """Raises ControlError 400."""
        try:
            pairs = parse_qsl(
                text, keep_blank_values=True, strict_parsing=bool(text), errors="strict", max_num_fields=_MAX_PARAMETERS
            )
        except ValueError as error:  # UnicodeDecodeError is one
            raise ControlError(400, "invalid_query", f"the query cannot be read: {error}") from None
        given: dict[str, Any] = {}
        for name, value in pairs:
            if name not in self._names:
                raise ControlError(
                    400, "invalid_query", f"there is no query parameter {name[:100]!r}", allowed=self._names
                )
            if name in self._lists:
                given.setdefault(name, []).append(value)
            elif name in given:
                raise ControlError(400, "invalid_query", f"the query parameter {name} is given twice")
            elif value == "null" and name not in self._texts:
                raise ControlError(400, "invalid_query", f"query.{name}: leave it out instead of giving null")
            else:
                given[name] = value
        if self._wanted is None:
            return None
        try:
            return msgspec.convert(given, self._wanted, strict=False)
        except msgspec.ValidationError as error:
            raise _refusal("invalid_query", "query", self._wanted, error) from None


def encode(value: Any) -> bytes:
    """An answer or an event as JSON."""
    return msgspec.json.encode(value)


def _refusal(code: str, where: str, wanted: Any, error: msgspec.ValidationError) -> ControlError:
    found = _AT.match(str(error))
    assert found is not None
    what, _, path = found.groups()
    at = where if path is None or path == "$" else path.replace("$", where, 1)
    return ControlError(400, code, f"{at}: {what}", allowed=_allowed(wanted, path or "$", what))


def _allowed(wanted: Any, path: str, what: str) -> list[Any] | None:
    """What could stand at a path: the fields of an object, the members of an enumeration."""
    candidates = [inspect.type_info(wanted)]
    for step in _STEP.finditer(path):
        name = step.group(1)
        candidates = [inner for outer in _alternatives(candidates) for inner in _step(outer, name)]
    allowed: list[Any] = []
    for kind in _alternatives(candidates):
        if isinstance(kind, inspect.StructType) and ("field" in what or "tag" in what):
            allowed += [each.encode_name for each in kind.fields]
        elif isinstance(kind, inspect.LiteralType) or (isinstance(kind, inspect.EnumType) and "enum" in what):
            allowed += kind.values if isinstance(kind, inspect.LiteralType) else [each.value for each in kind.cls]
    return list(dict.fromkeys(allowed)) or None


def _step(kind: inspect.Type, name: str | None) -> Iterator[inspect.Type]:
    if isinstance(kind, inspect.StructType) and name is not None:
        for each in kind.fields:
            if each.encode_name == name:
                yield each.type
    elif isinstance(kind, inspect.DictType):
        yield kind.value_type
    elif isinstance(kind, (inspect.ListType, inspect.VarTupleType)) and name is None:
        yield kind.item_type


def _alternatives(kinds: list[inspect.Type]) -> Iterator[inspect.Type]:
    for kind in kinds:
        if isinstance(kind, inspect.UnionType):
            yield from _alternatives(list(kind.types))
        elif isinstance(kind, inspect.Metadata):
            yield from _alternatives([kind.type])
        else:
            yield kind


def _is_list(kind: inspect.Type) -> bool:
    return any(isinstance(each, (inspect.ListType, inspect.VarTupleType)) for each in _alternatives([kind]))


def _may_be_text(kind: inspect.Type) -> bool:
    """Whether "null" is a text there: msgspec takes it for None where that is allowed and text is not."""
    return any(isinstance(each, (inspect.StrType, inspect.LiteralType)) for each in _alternatives([kind]))
