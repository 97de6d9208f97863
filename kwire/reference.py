"""A slow, plain interpreter of declared messages: what the compiled codec is compared with in tests.

It shares the declarations with the compiler and nothing else. It trusts its input; hostile bytes are not its matter.
"""

from __future__ import annotations

import struct
from typing import Any, Final

from kwire.errors import DecodeError, EncodeError, UnsupportedVersionError
from kwire.schema import Field, Struct, info_of

_NUMBERS: Final = {
    "int8": ("b", 1),
    "int16": ("h", 2),
    "uint16": ("H", 2),
    "int32": ("i", 4),
    "uint32": ("I", 4),
    "int64": ("q", 8),
    "float64": ("d", 8),
}


def encode(message: Struct, version: int) -> bytes:
    """The bytes of `message`. Raises EncodeError, UnsupportedVersionError."""
    info = info_of(type(message))
    if not info.has_version(version):
        raise UnsupportedVersionError(f"{type(message).__name__} has no version {version}")
    return _Writer(version, info.is_flexible(version)).struct(message)


def decode(cls: type[Struct], version: int, data: bytes, offset: int = 0) -> tuple[Struct, int]:
    """The message at `offset` and the position behind it. Raises DecodeError, UnsupportedVersionError."""
    info = info_of(cls)
    if not info.has_version(version):
        raise UnsupportedVersionError(f"{cls.__name__} has no version {version}")
    reader = _Reader(bytes(data), offset, version, info.is_flexible(version))
    return reader.struct(cls), reader.pos


def default_of(field: Field) -> Any:
    """The value of a field that was not given."""
    if field.default != "new":
        return field.default
    if field.kind == "array":
        return []
    assert isinstance(field.item, type)
    return field.item()


class _Writer:
    def __init__(self, version: int, flexible: bool) -> None:
        self.version = version
        self.flexible = flexible

    def struct(self, value: Struct) -> bytes:
        out, tags = b"", dict(value.unknown_tagged_fields or {})
        for field in type(value).struct_fields:
            inner = getattr(value, field.name)
            name = f"{type(value).__name__}.{field.name}"
            if not field.in_version(self.version):
                if not field.ignorable and inner != default_of(field):
                    raise UnsupportedVersionError(f"{name} is set, and version {self.version} has no such field")
            elif field.tagged_in(self.version):
                if inner != default_of(field):
                    assert field.tag is not None
                    if field.tag in tags:
                        raise EncodeError(f"unknown tagged field {field.tag} has the number of {name}")
                    tags[field.tag] = self.value(field, inner, name, tagged=True)
            else:
                out += self.value(field, inner, name)
        if self.flexible:
            out += self.varint(len(tags))
            for tag in sorted(tags):
                out += self.varint(tag) + self.varint(len(tags[tag])) + tags[tag]
        elif tags:
            raise UnsupportedVersionError(f"{type(value).__name__} has tagged fields, version {self.version} has none")
        return out

    def value(self, field: Field, value: Any, name: str, *, tagged: bool = False) -> bytes:
        nullable = field.nullable_in(self.version)
        if value is None and not nullable:
            raise EncodeError(f"{name} is None, which version {self.version} does not allow")
        if field.kind == "array":
            if value is None:
                return self.length(None, "array")
            out = self.length(len(value), "array")
            for element in value:
                out += (
                    self.struct(element) if isinstance(element, Struct) else self.plain(str(field.item), element, name)
                )
            return out
        if field.kind == "struct":
            if value is None:
                return b"\x00" if tagged else b"\xff"
            return (b"\x01" if nullable else b"") + self.struct(value)
        return self.plain(field.kind, value, name)

    def plain(self, kind: str, value: Any, name: str) -> bytes:
        try:
            return self.any_plain(kind, value, name)
        except (struct.error, TypeError, AttributeError, UnicodeError) as error:
            raise EncodeError(f"{name} is {value!r:.100}, no {kind}: {error}") from None

    def any_plain(self, kind: str, value: Any, name: str) -> bytes:
        if kind == "bool":
            return b"\x01" if value else b"\x00"
        if kind in _NUMBERS:
            return struct.pack(">" + _NUMBERS[kind][0], value)
        if kind == "uuid":
            if len(value) != 16:
                raise EncodeError(f"{name} is not 16 bytes")
            return bytes(value)
        if value is None:
            return self.length(None, kind)
        raw = value.encode() if kind == "string" else bytes(value)
        if kind == "string" and len(raw) > 0x7FFF:
            raise EncodeError(f"{name} has {len(raw)} bytes")
        return self.length(len(raw), kind) + raw

    def length(self, length: int | None, kind: str) -> bytes:
        if self.flexible:
            return self.varint(0 if length is None else length + 1)
        return struct.pack(">h" if kind == "string" else ">i", -1 if length is None else length)

    def varint(self, value: int) -> bytes:
        out = []
        while value >= 0x80:
            out.append(value & 0x7F | 0x80)
            value >>= 7
        return bytes([*out, value])


class _Reader:
    def __init__(self, data: bytes, pos: int, version: int, flexible: bool) -> None:
        self.data = data
        self.pos = pos
        self.version = version
        self.flexible = flexible

    def struct(self, cls: type[Struct]) -> Struct:
        made = cls()
        for field in cls.struct_fields:
            if field.in_version(self.version) and not field.tagged_in(self.version):
                setattr(made, field.name, self.value(field, f"{cls.__name__}.{field.name}"))
        if not self.flexible:
            return made
        for _ in range(self.varint()):
            tag, size = self.varint(), self.varint()
            end = self.pos + size
            known = [field for field in cls.struct_fields if field.tag == tag]
            if known and not known[0].tagged_in(self.version):
                raise DecodeError(f"tagged field {tag} of {cls.__name__} belongs to other versions")
            if known:
                value = self.value(known[0], f"{cls.__name__}.{known[0].name}", tagged=True)
                setattr(made, known[0].name, value)
                if self.pos != end:
                    raise DecodeError(f"tagged field {tag} of {cls.__name__} has {size} bytes, its value does not")
            else:
                made.unknown_tagged_fields = {**(made.unknown_tagged_fields or {}), tag: self.take(size)}
        return made

    def value(self, field: Field, name: str, *, tagged: bool = False) -> Any:
        nullable = field.nullable_in(self.version)
        if field.kind == "array":
            count = self.length("array", nullable, name)
            if count is None:
                return None
            if isinstance(field.item, type):
                return [self.struct(field.item) for _ in range(count)]
            return [self.plain(str(field.item), False, name) for _ in range(count)]
        if field.kind == "struct":
            assert isinstance(field.item, type)
            if nullable and (self.varint() == 0 if tagged else self.number("int8") < 0):
                return None
            return self.struct(field.item)
        return self.plain(field.kind, nullable, name)

    def plain(self, kind: str, nullable: bool, name: str) -> Any:
        if kind == "bool":
            return self.take(1) != b"\0"
        if kind in _NUMBERS:
            return self.number(kind)
        if kind == "uuid":
            return self.take(16)
        length = self.length(kind, nullable, name)
        if length is None:
            return None
        raw = self.take(length)
        return raw.decode("utf-8", "replace") if kind == "string" else raw

    def number(self, kind: str) -> Any:
        letter, size = _NUMBERS[kind]
        return struct.unpack(">" + letter, self.take(size))[0]

    def length(self, kind: str, nullable: bool, name: str) -> int | None:
        if self.flexible:
            length = self.varint() - 1
        else:
            length = self.number("int16" if kind == "string" else "int32")
        if length >= 0:
            return int(length)
        if not nullable:
            raise DecodeError(f"{name} is null, which this version does not allow")
        return None

    def varint(self) -> int:
        value, shift = 0, 0
        while True:
            byte = self.take(1)[0]
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
            shift += 7

    def take(self, size: int) -> bytes:
        raw = self.data[self.pos : self.pos + size]
        if len(raw) < size:
            raise DecodeError(f"cut off: {size} bytes wanted, {len(raw)} there")
        self.pos += size
        return raw
