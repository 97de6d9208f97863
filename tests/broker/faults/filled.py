"""Requests with something in every field, for every API that is served."""

from __future__ import annotations

from typing import Any
from unittest.mock import MagicMock

from broker.routes import Route, VersionRange, routes
from kwire.api_keys import ApiKey
from kwire.schema import Field, Struct


def served_routes() -> list[Route]:
    """The route table, of services that are none."""
    return routes(MagicMock(unstable_versions=False))


def served() -> dict[ApiKey, VersionRange]:
    """Every API of the route table, with its versions."""
    return {line.api_key: line.served for line in served_routes()}


def filled(cls: type[Struct], version: int) -> Any:
    """A message with two elements in each array; names and numbers tell where they stand."""
    made: Any = cls()
    for field in cls.struct_fields:
        if field.in_version(version):
            setattr(made, field.name, _value(field, version, 1))
    return made


def _value(field: Field, version: int, number: int) -> Any:
    if field.kind == "array":
        return [_item(field, version, number * 10 + position) for position in range(2)]
    if field.kind == "struct":
        assert isinstance(field.item, type)
        return _struct(field.item, version, number)
    return _plain(field.kind, field.name, number)


def _item(field: Field, version: int, number: int) -> Any:
    if isinstance(field.item, type):
        return _struct(field.item, version, number)
    return _plain(str(field.item), field.name, number)


def _struct(cls: type[Struct], version: int, number: int) -> Any:
    made: Any = cls()
    for field in cls.struct_fields:
        if field.in_version(version):
            setattr(made, field.name, _value(field, version, number))
    return made


def _plain(kind: str, name: str, number: int) -> Any:
    if kind == "string":
        return f"{name}-{number}"
    if kind == "bytes":
        return b"%d" % number
    if kind == "records":
        return None
    if kind == "uuid":
        return bytes([number % 251 + 1]) * 16
    if kind == "bool":
        return True
    if kind == "float64":
        return float(number)
    if name in ("key_type", "resource_type"):
        return number % 2
    return number % 120
