"""Compiles a declared message, at one version, to a Python function that decodes or encodes it.

`kwire.decode_source` and `kwire.encode_source` write the source of such a function; here is what both need: the fields
a version has and how each travels, the source under construction, and tables of structs by element count. The functions
are made at first use and kept by `kwire.codec`.

What makes the functions fast: neighbouring fields of fixed size are one `struct` call, which also takes the length of
the field behind them; a run of structs of the same shape is one call too (`kwire.runs`); nested structs and loops are
written out in place; objects are filled without calling `__init__`; tagged fields, rare as they are, cost one byte's
comparison.
"""

from __future__ import annotations

from collections.abc import Callable
from struct import Struct as Packer
from typing import Any, Final, NamedTuple

from kwire.schema import Field, MessageInfo, Struct

FIXED: Final = {
    "bool": ("?", 1),
    "int8": ("b", 1),
    "int16": ("h", 2),
    "uint16": ("H", 2),
    "int32": ("i", 4),
    "uint32": ("I", 4),
    "int64": ("q", 8),
    "float64": ("d", 8),
    "uuid": ("16s", 16),
}
"""Kinds of fixed size: their letter for `struct`, and their size in bytes."""

KEPT_TABLE_ENTRIES: Final = 64
"""Arrays of up to this many elements have their struct kept; those of longer ones are made for each use."""

KEPT_SHAPES: Final = 256
"""Combinations of lengths for which `ShapePackTable` keeps a struct."""


class Layout(NamedTuple):
    """The fields of a struct at one version, in the order they travel.

    `foreign` are the tags that other versions define: to receive one is an error, as in Kafka.
    """

    cls: type[Struct]
    plain: list[Field]
    tagged: list[Field]
    absent: list[Field]
    foreign: list[int]


def layout(cls: type[Struct], version: int) -> Layout:
    present = [field for field in cls.struct_fields if field.in_version(version)]
    tagged = [field for field in present if field.tagged_in(version)]
    return Layout(
        cls,
        [field for field in present if not field.tagged_in(version)],
        sorted(tagged, key=lambda field: field.tag or 0),
        [field for field in cls.struct_fields if not field.in_version(version)],
        [field.tag for field in cls.struct_fields if field.tag is not None and field not in tagged],
    )


def least_size(cls: type[Struct], version: int, flexible: bool) -> int:
    """The fewest bytes an instance takes on the wire, at least 1: what bounds the element count of a hostile array."""
    size = 1 if flexible else 0
    for field in layout(cls, version).plain:
        size += least_field_size(field, version, flexible)
    return max(size, 1)


def least_field_size(field: Field, version: int, flexible: bool) -> int:
    if field.kind in FIXED:
        return FIXED[field.kind][1]
    if field.kind == "struct":
        nested = least_size(struct_item(field), version, flexible)
        return 1 if field.nullable_in(version) else nested
    if flexible:
        return 1
    return 2 if field.kind == "string" else 4


def struct_item(field: Field) -> type[Struct]:
    """The class of a struct field, or of the elements of an array of structs."""
    assert isinstance(field.item, type)
    return field.item


class UnpackTable(dict[int, Callable[..., tuple[Any, ...]]]):
    """`unpack_from` of n elements, by n + 1 (as compact arrays say it) or by n."""

    def __init__(self, element: str, offset: int) -> None:
        super().__init__()
        self._element = element
        self._offset = offset

    def __missing__(self, key: int) -> Callable[..., tuple[Any, ...]]:
        made = Packer(repeated(self._element, key - self._offset)).unpack_from
        if key <= KEPT_TABLE_ENTRIES:
            self[key] = made
        return made


class PackTable(dict[int, Callable[..., bytes]]):
    """`pack` of n elements and the fixed fields behind them, by n."""

    def __init__(self, element: str, rest: str) -> None:
        super().__init__()
        self._element = element
        self._rest = rest

    def __missing__(self, count: int) -> Callable[..., bytes]:
        made = Packer(repeated(self._element, count, self._rest)).pack
        if count <= KEPT_TABLE_ENTRIES:
            self[count] = made
        return made


class ShapePackTable(dict[Any, Callable[..., bytes]]):
    """`pack` of a whole struct of numbers and arrays of numbers, by the arrays' lengths: one, or a tuple of them.

    `pieces` has a string of letters for the fields between the arrays, and (letter of the length, letter of the
    elements) for an array. A length that takes a varint of two bytes or more is written by `long_lengths`.
    """

    def __init__(self, pieces: list[str | tuple[str, str]], long_lengths: Callable[[int], bytes]) -> None:
        super().__init__()
        self._pieces = pieces
        self._long_lengths = long_lengths

    def __missing__(self, key: Any) -> Callable[..., bytes]:
        lengths = list(key) if isinstance(key, tuple) else [key]
        compact = any(piece[0] == "B" for piece in self._pieces if isinstance(piece, tuple))
        if compact and max(lengths) > 126:
            return lambda *values: self._pack_long(lengths, values)
        fmt, left = ">", list(lengths)
        for piece in self._pieces:
            fmt += piece if isinstance(piece, str) else f"{piece[0]}{left.pop(0)}{piece[1]}"
        made = Packer(fmt).pack
        if len(self) < KEPT_SHAPES:
            self[key] = made
        return made

    def _pack_long(self, lengths: list[int], values: tuple[Any, ...]) -> bytes:
        out, at, left = [], 0, list(lengths)
        for piece in self._pieces:
            if isinstance(piece, tuple):
                count = left.pop(0)
                out.append(self._long_lengths(values[at]))
                at += 1
                out.append(Packer(f">{count}{piece[1]}").pack(*values[at : at + count]))
            else:
                count = len(piece.replace("16s", "s"))
                out.append(Packer(">" + piece).pack(*values[at : at + count]))
            at += count
        return b"".join(out)


def repeated(element: str, count: int, rest: str = "") -> str:
    return f">{element * count}{rest}" if element == "16s" else f">{count}{element}{rest}"


class Source:
    """Python source under construction, and the names it uses from outside."""

    def __init__(self, info: MessageInfo, version: int, names: dict[str, Any]) -> None:
        self.version = version
        self.flexible = info.is_flexible(version)
        self.names = names
        self.lines: list[str] = []
        self.depth = 0
        self._shared: dict[object, str] = {}
        self._count = 0

    def put(self, line: str) -> None:
        self.lines.append("    " * self.depth + line)

    def variable(self, prefix: str) -> str:
        self._count += 1
        return f"{prefix}{self._count}"

    def constant(self, prefix: str, key: object, make: Callable[[], Any]) -> str:
        """The name of an outside object, made once for each key."""
        name = self._shared.get((prefix, key))
        if name is None:
            name = self._shared[(prefix, key)] = self.variable(prefix)
            self.names[name] = make()
        return name

    def function(self, head: str, body: list[str]) -> list[str]:
        """A function whose outside names are bound as defaults, so that they are local to it."""
        text = "\n".join(body)
        used = [name for name in self.names if name in text]
        arguments = "".join(f", {name}={name}" for name in used)
        return [f"def {head}{arguments}):", *(f"    {line}" for line in body)]


def build(source: list[str], names: dict[str, Any], function: str, title: str) -> Callable[..., Any]:
    """Execute generated source. `title` names it in tracebacks."""
    scope = dict(names)
    exec(compile("\n".join(source), f"<{title}>", "exec"), scope)
    made: Callable[..., Any] = scope[function]
    return made
