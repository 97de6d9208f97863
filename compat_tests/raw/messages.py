"""Requests from plain values and responses to objects, by kwire's codec."""

from functools import cache
from importlib import import_module
from typing import Any

from kwire import codec
from kwire.api_keys import ApiKey
from kwire.schema import Struct, StructType, info_of

_UPPER_CASE = str.maketrans({chr(c): f"_{chr(c).lower()}" for c in range(ord("A"), ord("Z") + 1)})


def snake_case(name: str) -> str:
    """ "ListOffsets" -> "list_offsets" """
    return name.translate(_UPPER_CASE).lstrip("_")


@cache
def message_class(api: str, kind: str) -> type[Struct]:
    """The class of ``kind`` ("Request" or "Response") of the API named as in the schemas."""
    found: type[Struct] = getattr(import_module(f"kwire.messages.{snake_case(api)}"), f"{api}{kind}")
    return found


def api_key(api: str) -> int:
    return int(ApiKey[snake_case(api).upper()])


def request_is_flexible(api: str, version: int) -> bool:
    first = ApiKey(api_key(api)).first_flexible
    return first is not None and version >= first


def _build(cls: type[Struct], values: dict[str, Any], version: int) -> Struct:
    """An object of ``cls`` from a dict, structs within as dicts. What the version lacks is left out."""
    assert isinstance(cls, StructType)
    declared = {field.name: field for field in cls.struct_fields}
    unknown = set(values) - set(declared)
    if unknown:
        raise TypeError(f"{cls.__name__} has no fields {sorted(unknown)}; it has {sorted(declared)}")
    built: dict[str, Any] = {}
    for name, value in values.items():
        field = declared[name]
        if not field.in_version(version) and not field.tagged_in(version):
            continue
        item = field.item
        if isinstance(item, type) and value is not None:
            if field.kind == "array":
                value = [_build(item, element, version) for element in value]
            else:
                value = _build(item, value, version)
        built[name] = value
    return cls(**built)


def encode_request(api: str, version: int, fields: dict[str, Any]) -> bytes:
    """The body of a request."""
    return codec.encode(_build(message_class(api, "Request"), fields, version), version)


def decode_response(api: str, version: int, data: bytes) -> Any:
    """The response object; every byte of ``data`` must belong to it."""
    cls = message_class(api, "Response")
    message, end = codec.decode_with_end(cls, version, data)
    assert end == len(data), f"{api} v{version}: {len(data) - end} bytes after the response's end"
    return message


def has_version(api: str, version: int) -> bool:
    return info_of(message_class(api, "Request")).has_version(version)
