"""Writes the source of the encoder of one message at one version. See `kwire.compiler`.

The generated function appends pieces to a list and joins them. It raises `EncodeError` for values the wire cannot carry
and `UnsupportedVersionError` where Kafka does: a field with a value other than its default, not declared ignorable, in
a version that lacks it; unknown tagged fields in a version that is not flexible.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any, Final

from kwire.compiler import FIXED, Layout, PackTable, ShapePackTable, Source, build, layout, struct_item
from kwire.decode_source import MAX_STRING_BYTES
from kwire.errors import EncodeError, KwireError, UnsupportedVersionError
from kwire.primitives import unsigned_varint
from kwire.schema import Field, Struct, info_of

INLINE_RECORDS_BYTES: Final = 1024
"""Records up to this size are copied into their neighbours; larger ones are pieces of their own."""

_ONE_BYTE: Final = tuple(bytes((value,)) for value in range(0x80))


def compile_encoder(cls: type[Struct], version: int, *, parts: bool = False) -> Callable[..., Any]:
    """`encode(message) -> bytes`, or with `parts` `-> list[bytes | memoryview | ExternalBytes]`."""
    return _EncodeSource(cls, version, parts).compile()


def _pack(fmt: str) -> Callable[..., bytes]:
    return struct.Struct(fmt).pack


def _null(name: str) -> EncodeError:
    return EncodeError(f"{name} is None, which this version does not allow")


def _too_long(name: str, size: int) -> EncodeError:
    return EncodeError(f"{name} has {size} bytes, a string may have {MAX_STRING_BYTES}")


def _not_uuid(name: str) -> EncodeError:
    return EncodeError(f"{name} is not 16 bytes")


def _lacks(name: str, version: int) -> UnsupportedVersionError:
    return UnsupportedVersionError(f"{name} is set, and version {version} has no such field")


def _explainer(version: int) -> Callable[[Struct, Exception], KwireError]:
    """Makes the error of a failed encode. The compiled code does not know at which field it was; the reference does."""

    def explain(message: Struct, error: Exception) -> KwireError:
        from kwire import reference

        where = f"{type(message).__name__} v{version}"
        try:
            reference.encode(message, version)
        except (EncodeError, UnsupportedVersionError) as found:
            return type(found)(f"{where}: {found}")
        except (TypeError, AttributeError, ValueError):
            pass
        return EncodeError(f"{where}: {error}")

    return explain


def _raw_tags(known: list[tuple[int, bytes]], unknown: dict[int, bytes] | None, name: str) -> bytes:
    """A tagged section: count, then tag, size and value of each in the order of tags."""
    fields = dict(known)
    for tag, value in (unknown or {}).items():
        if tag in fields:
            raise EncodeError(f"unknown tagged field {tag} of {name} has the number of a known one")
        fields[tag] = bytes(value)
    pieces = [unsigned_varint(len(fields))]
    for tag in sorted(fields):
        pieces += (unsigned_varint(tag), unsigned_varint(len(fields[tag])), fields[tag])
    return b"".join(pieces)


class _EncodeSource(Source):
    def __init__(self, cls: type[Struct], version: int, parts: bool) -> None:
        names: dict[str, Any] = {
            "join_": b"".join,
            "one_": _ONE_BYTE,
            "varint_": unsigned_varint,
            "raw_tags_": _raw_tags,
            "null_": _null,
            "too_long_": _too_long,
            "not_uuid_": _not_uuid,
            "lacks_": _lacks,
            "sixteen_": {16},
            "bytes_like_": (bytes, memoryview, bytearray),
            "struct_error_": struct.error,
        }
        super().__init__(info_of(cls), version, names)
        self.cls = cls
        self.parts = parts
        self.helpers: list[str] = []
        self.written: set[str] = set()  # names of the helpers
        self.values: list[str] = []
        self.format = ""
        self.star: tuple[str, str, str] | None = None  # list, count variable, element kind

    def compile(self) -> Callable[..., Any]:
        self.fields("root", layout(self.cls, self.version))
        body = self.lines
        result = ["return join_(out)"]
        start = ["out = []", "add = out.append"]
        if self.parts:
            start.append("parts = []")
            result = ["if out:", "    parts.append(join_(out))", "return parts"]
        self.names["explain_"] = _explainer(self.version)
        body = [
            *start,
            "try:",
            *(f"    {line}" for line in [*body, *result]),
            "except (struct_error_, TypeError, AttributeError, ValueError) as error:",
            "    raise explain_(root, error) from error",
        ]
        source = [*self.helpers, *self.function("encode(root", body)]
        return build(source, self.names, "encode", f"encode {self.cls.__name__} v{self.version}")

    # The run of fixed fields that waits to be packed in one call.

    def take(self, value: str, letter: str) -> None:
        self.values.append(value)
        self.format += letter

    def pending(self, more: str = "", letter: str = "") -> str:
        """The expression that packs what waits, and `more` behind it; the run goes on waiting. Empty if nothing."""
        values = [*self.values, more] if letter else self.values
        fmt = self.format + letter
        if self.star is not None:
            items, count, kind = self.star
            element = FIXED[kind][0]
            table = self.constant("T", (element, fmt), lambda: PackTable(element, fmt))
            return f"{table}[{count}]({', '.join(['*' + items, *values])})"
        if not fmt:
            return ""
        if fmt == "B" and not more.isdigit():
            return f"one_[{values[0]}]"
        if all(value.lstrip("-").isdigit() for value in values):
            return repr(struct.pack(">" + fmt, *map(int, values)))
        pack = self.constant("P", fmt, lambda: _pack(">" + fmt))
        return f"{pack}({', '.join(values)})"

    def clear(self) -> None:
        self.values, self.format, self.star = [], "", None

    def flush(self, more: str = "", letter: str = "") -> None:
        expression = self.pending(more, letter)
        if expression:
            self.put(f"add({expression})")
        self.clear()

    def flush_varint(self, value: str) -> None:
        """Pack what waits, with the unsigned varint `value` behind it."""
        self.put(f"if {value} < 128:")
        self.put(f"    add({self.pending(value, 'B')})")
        self.put("else:")
        alone = self.pending()
        if alone:
            self.put(f"    add({alone})")
        self.put(f"    add(varint_({value}))")
        self.clear()

    # Fields.

    def fields(self, owner: str, at: Layout) -> None:
        """Write the fields of the struct object called `owner`."""
        name = at.cls.__name__
        self.absent(owner, at)
        for field in at.plain:
            self.field(f"{owner}.{field.name}", field, f"{name}.{field.name}")
        unknown = f"{owner}.unknown_tagged_fields"
        if not self.flexible:
            self.put(f"if {unknown}:")
            self.put(f"    raise lacks_('{name}.unknown_tagged_fields', {self.version})")
            self.flush()
            return
        if at.tagged:
            tests = [self.differs(f"{owner}.{field.name}", field) for field in at.tagged]
            writer = self.constant("tags", at.cls, lambda: None)
            if writer not in self.written:
                self.written.add(writer)
                self.tag_writer(writer, at)
            self.put(f"if {unknown} or {' or '.join(tests)}:")
            section = f"{writer}({owner})"
        else:
            self.put(f"if {unknown}:")
            section = f"raw_tags_([], {unknown}, {name!r})"
        alone = self.pending()
        if alone:
            self.put(f"    add({alone})")
        self.put(f"    add({section})")
        self.put("else:")
        self.put(f"    add({self.pending('0', 'B')})")
        self.clear()

    def absent(self, owner: str, at: Layout) -> None:
        """Refuse fields that the version lacks."""
        for field in at.absent:
            if not field.ignorable:
                self.put(f"if {self.differs(f'{owner}.{field.name}', field)}:")
                self.put(f"    raise lacks_('{at.cls.__name__}.{field.name}', {self.version})")

    def differs(self, value: str, field: Field) -> str:
        """The expression that tells whether a field has a value other than its default."""
        if field.kind == "bool":
            return f"not {value}" if field.default else value
        if field.default is None:
            return f"{value} is not None"
        if field.kind == "array":
            return f"({value} is None or len({value}) > 0)"
        if field.default == "new":
            tests = [self.differs(f"{value}.{inner.name}", inner) for inner in struct_item(field).struct_fields]
            null = "" if never_null(field) else f"{value} is None or "
            return f"({null}{value}.unknown_tagged_fields or {' or '.join(tests)})"
        return f"{value} != {field.default!r}"

    def field(self, value: str, field: Field, name: str) -> None:
        nullable = field.nullable_in(self.version)
        if field.kind == "uuid":
            local = self.variable("u")
            self.put(f"{local} = {value}")
            self.put(f"if len({local}) != 16:")
            self.put(f"    raise not_uuid_({name!r})")
            self.take(local, "16s")
        elif field.kind in FIXED:
            self.take(value, FIXED[field.kind][0])
        elif field.kind == "struct":
            self.struct(value, field)
        elif field.kind == "array":
            self.array(value, field, name)
        else:
            self.run(value, field.kind, nullable, name)

    def struct(self, value: str, field: Field) -> None:
        owner = self.variable("o")
        self.put(f"{owner} = {value}")
        if not field.nullable_in(self.version):
            self.fields(owner, layout(struct_item(field), self.version))
            return
        self.flush()
        self.put(f"if {owner} is None:")
        self.put("    add(b'\\xff')")
        self.put("else:")
        self.depth += 1
        self.take("1", "b")
        self.fields(owner, layout(struct_item(field), self.version))
        self.flush()
        self.depth -= 1

    def run(self, value: str, kind: str, nullable: bool, name: str) -> None:
        """Write a string, bytes or records with its length."""
        raw, size = self.variable("b"), self.variable("n")
        content = f"{value}.encode()" if kind == "string" else value
        extra = " + 1" if self.flexible else ""
        null = 0 if self.flexible else -1
        if nullable:
            self.put(f"{raw} = {value}")
            self.put(f"if {raw} is None:")
            self.put(f"    {raw} = b''")
            self.put(f"    {size} = {null}")
            self.put("else:")
            if kind == "string":
                self.put(f"    {raw} = {raw}.encode()")
            self.put(f"    {size} = len({raw}){extra}")
        else:
            self.put(f"{raw} = {content}")
            if kind != "string":
                self.put(f"if {raw} is None:")
                self.put(f"    raise null_({name!r})")
            self.put(f"{size} = len({raw}){extra}")
        if self.flexible:
            if kind == "string":
                self.put(f"if {size} > {MAX_STRING_BYTES + 1}:")
                self.put(f"    raise too_long_({name!r}, {size} - 1)")
            self.flush_varint(size)
        else:
            self.flush(size, "h" if kind == "string" else "i")
        if kind == "records" and self.parts:
            self.put(f"if len({raw}) > {INLINE_RECORDS_BYTES} or not isinstance({raw}, bytes_like_):")
            self.put("    parts.append(join_(out))")
            self.put(f"    parts.append({raw})")
            self.put("    out.clear()")
            self.put("else:")
            self.put(f"    add({raw})")
        else:
            self.put(f"add({raw})")

    def array(self, value: str, field: Field, name: str) -> None:
        items, count = self.variable("l"), self.variable("n")
        nullable = field.nullable_in(self.version)
        self.put(f"{items} = {value}")
        length = f"{count} + 1" if self.flexible else count
        if nullable:
            self.put(f"if {items} is None:")
            self.put(f"    {items} = ()")
            self.put(f"    {count} = 0")
            length = self.variable("m")
            self.put(f"    {length} = {0 if self.flexible else -1}")
            self.put("else:")
            self.put(f"    {count} = len({items})")
            self.put(f"    {length} = {count}{' + 1' if self.flexible else ''}")
        else:
            self.put(f"{count} = len({items})")
            if self.flexible:
                length = self.variable("m")
                self.put(f"{length} = {count} + 1")
        if field.item == "uuid":
            self.put(f"if {items} and set(map(len, {items})) != sixteen_:")
            self.put(f"    raise not_uuid_({name!r})")
        if self.flexible:
            self.flush_varint(length)
        else:
            self.flush(length, "i")
        if field.item in FIXED:
            assert isinstance(field.item, str)
            self.star = (items, count, field.item)
            return
        each = self.variable("o")
        self.put(f"for {each} in {items}:")
        self.depth += 1
        if isinstance(field.item, type):
            at = layout(field.item, self.version)
            if self.packs_at_once(at):
                self.struct_at_once(each, at)
            else:
                self.fields(each, at)
        else:
            assert field.item is not None
            self.run(each, field.item, False, name)
        self.flush()
        self.depth -= 1

    def packs_at_once(self, at: Layout) -> bool:
        """Whether one call can pack a whole struct: it has numbers and arrays of numbers only, and some array."""
        arrays = [field for field in at.plain if field.kind == "array"]
        numbers = all(field.kind in FIXED for field in at.plain if field.kind != "array")
        plain = all(
            field.item in FIXED and field.item != "uuid" and not field.nullable_in(self.version) for field in arrays
        )
        return bool(arrays) and numbers and plain and not at.tagged

    def struct_at_once(self, owner: str, at: Layout) -> None:
        unknown = f"{owner}.unknown_tagged_fields"
        if self.flexible:  # tagged fields are rare: field by field then
            self.put(f"if {unknown}:")
            self.depth += 1
            self.fields(owner, at)
            self.put("continue")
            self.depth -= 1
        else:
            self.put(f"if {unknown}:")
            self.put(f"    raise lacks_('{at.cls.__name__}.unknown_tagged_fields', {self.version})")
        self.absent(owner, at)
        pieces: list[str | tuple[str, str]] = [""]
        values, lengths = [], []
        for field in at.plain:
            value = f"{owner}.{field.name}"
            if field.kind == "array":
                items = self.variable("l")
                self.put(f"{items} = {value}")
                lengths.append(f"len({items})")
                pieces += [("B" if self.flexible else "i", FIXED[str(field.item)][0]), ""]
                values += [f"{lengths[-1]} + 1" if self.flexible else lengths[-1], f"*{items}"]
                continue
            if field.kind == "uuid":
                self.put(f"if len({value}) != 16:")
                self.put(f"    raise not_uuid_('{at.cls.__name__}.{field.name}')")
            pieces[-1] = f"{pieces[-1]}{FIXED[field.kind][0]}"
            values.append(value)
        if self.flexible:
            pieces[-1] = f"{pieces[-1]}B"
            values.append("0")
        table = self.constant("S", tuple(pieces), lambda: ShapePackTable(pieces, unsigned_varint))
        self.put(f"add({table}[{', '.join(lengths)}]({', '.join(values)}))")

    # Tagged fields.

    def tag_writer(self, writer: str, at: Layout) -> None:
        """Write a function that makes the tagged section of one struct class."""
        outer, depth, self.lines, self.depth = self.lines, self.depth, [], 0
        waiting = self.values, self.format, self.star
        self.clear()
        self.put("known = []")
        for field in at.tagged:
            value = f"owner.{field.name}"
            self.put(f"if {self.differs(value, field)}:")
            self.depth = 1
            self.put("out = []")
            self.put("add = out.append")
            self.tagged_value(value, field, f"{at.cls.__name__}.{field.name}")
            self.flush()
            self.put(f"known.append(({field.tag}, join_(out)))")
            self.depth = 0
        self.put(f"return raw_tags_(known, owner.unknown_tagged_fields, {at.cls.__name__!r})")
        body, self.lines, self.depth = self.lines, outer, depth
        self.values, self.format, self.star = waiting
        del self.names[writer]
        self.helpers += self.function(f"{writer}(owner", body)
        self.names[writer] = None

    def tagged_value(self, value: str, field: Field, name: str) -> None:
        if field.kind != "struct" or not field.nullable_in(self.version):
            self.field(value, field, name)
            return
        # A nullable struct in a tagged field has a varint before it where it elsewhere has an int8.
        owner = self.variable("o")
        self.put(f"{owner} = {value}")
        self.put(f"if {owner} is None:")
        self.put("    add(b'\\0')")
        self.put("else:")
        self.depth += 1
        self.put("add(b'\\x01')")
        self.fields(owner, layout(struct_item(field), self.version))
        self.flush()
        self.depth -= 1


def never_null(field: Field) -> bool:
    """Whether a field is nullable in no version."""
    return field.nullable == "none"
