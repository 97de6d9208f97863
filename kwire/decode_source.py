"""Writes the source of the decoder of one message at one version. See `kwire.compiler`.

What the generated code relies on, so that hostile bytes cost little and raise only `DecodeError`:

- a read past the end raises `struct.error` or `IndexError`; a slice past the end does not, but moves `pos` beyond the
  end, where the next read or the last check fails;
- an element count above 127 is compared with the bytes that are left, at the least size an element can have, before
  anything is made; a smaller one may go wrong only once, for at most 127 elements.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from functools import lru_cache
from itertools import repeat
from typing import Any

from kwire.compiler import (
    FIXED,
    Layout,
    Source,
    UnpackTable,
    build,
    layout,
    least_field_size,
    least_size,
    struct_item,
)
from kwire.errors import DecodeError
from kwire.primitives import read_unsigned_varint, read_varint_tail
from kwire.runs import LEAST_RUN, Runs, runnable
from kwire.schema import Field, Struct, info_of

MAX_STRING_BYTES = 0x7FFF
"""What Kafka's generated classes accept in any string."""


def compile_decoder(
    cls: type[Struct], version: int, *, lenient: bool = False, with_end: bool = False
) -> Callable[..., Any]:
    """`decode(data, pos=0) -> message`, or with `with_end` `-> (message, end)`.

    Bytes that are not UTF-8 become replacement characters, as in Java. To look for them costs time, so the common
    function does not: when it meets one it leaves the message to a `lenient` one.
    """
    return _DecodeSource(cls, version, lenient, with_end).compile()


def _lenient_decoder(cls: type[Struct], version: int, with_end: bool) -> Callable[..., Any]:
    """The lenient decoder, compiled when first called."""

    @lru_cache(maxsize=1)
    def compiled() -> Callable[..., Any]:
        return compile_decoder(cls, version, lenient=True, with_end=with_end)

    return lambda data, pos: compiled()(data, pos)


def unpack(fmt: str) -> Callable[..., tuple[Any, ...]]:
    return struct.Struct(fmt).unpack_from


def _wrong_null(name: str) -> DecodeError:
    return DecodeError(f"{name} is null, which this version does not allow")


def _wrong_count(name: str, count: int, left: int) -> DecodeError:
    return DecodeError(f"{name} of {count} elements in the {left} bytes left")


def _wrong_tag(name: str, tag: int, what: str) -> DecodeError:
    return DecodeError(f"tagged field {tag} of {name} {what}")


# What one dict of unknown tagged fields takes, and how much of them a message of `size` bytes may have: without a limit
# a struct of three bytes with a tagged field of two would become eighty times as large.
_TAGS_DICT_BYTES = 240
_FREE_TAGS_BYTES = 16384
_TAGS_BYTES_PER_BYTE = 16


def _keep_tag(target: Struct, tag: int, raw: bytes, kept: list[int], size: int) -> None:
    """Keep an unknown tagged field, or pass over it beyond the limit; `kept` has an element a struct that has any."""
    if target.unknown_tagged_fields is not None:
        target.unknown_tagged_fields[tag] = raw
    elif len(kept) * _TAGS_DICT_BYTES <= _FREE_TAGS_BYTES + _TAGS_BYTES_PER_BYTE * size:
        kept.append(tag)
        target.unknown_tagged_fields = {tag: raw}


def _read_unknown_tags(
    buf: bytes | memoryview, pos: int, first: int, target: Struct, end: int, kept: list[int], name: str
) -> int:
    """Read a tagged section of which no field is known; `first` is the first byte of its count."""
    count, pos = read_varint_tail(buf, pos, first) if first > 127 else (first, pos)
    if count * 2 > end - pos:
        raise _wrong_count(f"tagged fields of {name}", count, end - pos)
    for _ in range(count):
        tag, pos = read_unsigned_varint(buf, pos)
        size, pos = read_unsigned_varint(buf, pos)
        if size > end - pos:
            raise _wrong_tag(name, tag, f"of {size} bytes in the {end - pos} bytes left")
        _keep_tag(target, tag, bytes(buf[pos : pos + size]), kept, end)
        pos += size
    return pos


class _DecodeSource(Source):
    def __init__(self, cls: type[Struct], version: int, lenient: bool, with_end: bool) -> None:
        names: dict[str, Any] = {
            "new_": object.__new__,
            "repeat_": repeat,
            "tail_": read_varint_tail,
            "varint_": read_unsigned_varint,
            "unknown_tags_": _read_unknown_tags,
            "keep_tag_": _keep_tag,
            "null_": _wrong_null,
            "count_": _wrong_count,
            "tag_": _wrong_tag,
            "DecodeError_": DecodeError,
            "struct_error_": struct.error,
        }
        super().__init__(info_of(cls), version, names)
        self.cls = cls
        self.lenient = lenient
        self.with_end = with_end
        self.has_records = _has_records(cls, version)
        self.helpers: list[str] = []
        self.written: set[str] = set()  # names of the helpers
        self.targets: list[str] = []
        self.format = ""
        self.size = 0

    def compile(self) -> Callable[..., Any]:
        self.put("root = new_(" + self.class_name(self.cls) + ")")
        self.fields("root", layout(self.cls, self.version))
        body = self.lines
        cut_off = repr(f"{self.cls.__name__} v{self.version}: cut off")
        prologue = ["buf = data if type(data) is bytes else bytes(data)"]
        if self.has_records:
            prologue = [
                "view = data if type(data) is memoryview else memoryview(data)",
                "buf = data if type(data) is bytes else bytes(data) if len(data) < 8192 else view",
            ]
        again = ["except UnicodeDecodeError:", "    return lenient_(data, start)"]
        if not self.lenient:
            self.names["lenient_"] = _lenient_decoder(self.cls, self.version, self.with_end)
        after = [
            *([] if self.lenient else again),
            "except (struct_error_, IndexError):",
            f"    raise DecodeError_({cut_off}) from None",
            "if pos > end:",
            f"    raise DecodeError_({cut_off})",
            "return root, pos" if self.with_end else "return root",
        ]
        kept = ["kept = None"] if self.flexible else []
        body = [*prologue, "end = len(buf)", "start = pos", *kept, "try:", *(f"    {line}" for line in body), *after]
        source = [*self.helpers, *self.function("decode(data, pos=0", body)]
        return build(source, self.names, "decode", f"decode {self.cls.__name__} v{self.version}")

    def class_name(self, cls: type[Struct]) -> str:
        return self.constant("C", cls, lambda: cls)

    # The run of fixed fields that waits to be read in one call.

    def take(self, target: str, letter: str, size: int) -> None:
        self.targets.append(target)
        self.format += letter
        self.size += size

    def flush(self) -> None:
        targets, fmt, size = self.targets, self.format, self.size
        self.targets, self.format, self.size = [], "", 0
        if fmt == "B":
            self.put(f"{targets[0]} = buf[pos]")
            self.put("pos += 1")
        elif targets:
            read = self.constant("U", fmt, lambda: unpack(">" + fmt))
            self.put(f"{', '.join(targets)}{',' if len(targets) == 1 else ''} = {read}(buf, pos)")
            self.put(f"pos += {size}")

    # Fields.

    def fields(self, owner: str, at: Layout) -> None:
        """Read the fields of a struct into the object called `owner`."""
        for field in [*at.absent, *at.tagged]:
            self.put_default(owner, field)
        self.put(f"{owner}.unknown_tagged_fields = None")
        for field in at.plain:
            self.field(f"{owner}.{field.name}", field, f"{at.cls.__name__}.{field.name}")
        if not self.flexible:
            self.flush()
            return
        tags = self.variable("t")
        self.take(tags, "B", 1)
        self.flush()
        self.put(f"if {tags}:")
        self.put("    kept = kept or []")
        if at.tagged or at.foreign:
            reader = self.constant("tags", at.cls, lambda: None)
            if reader not in self.written:
                self.written.add(reader)
                self.tag_reader(reader, at)
            self.put(f"    pos = {reader}(buf, pos, {tags}, {owner}, end, kept)")
        else:
            self.put(f"    pos = unknown_tags_(buf, pos, {tags}, {owner}, end, kept, {at.cls.__name__!r})")

    def default(self, field: Field) -> str:
        if field.default != "new":
            return repr(field.default)
        if field.kind == "array":
            return "[]"
        cls = struct_item(field)
        return self.constant("default", cls, lambda: _default_maker(cls)) + "()"

    def put_default(self, owner: str, field: Field) -> None:
        """Give a field that is not on the wire its default; a struct's is made in place, which is twice as fast."""
        if field.kind != "struct" or field.default != "new":
            self.put(f"{owner}.{field.name} = {self.default(field)}")
            return
        cls, made = struct_item(field), self.variable("o")
        self.put(f"{made} = {owner}.{field.name} = new_({self.class_name(cls)})")
        for inner in cls.struct_fields:
            self.put_default(made, inner)
        self.put(f"{made}.unknown_tagged_fields = None")

    def field(self, target: str, field: Field, name: str) -> None:
        if field.kind in FIXED:
            letter, size = FIXED[field.kind]
            self.take(target, letter, size)
        elif field.kind == "struct":
            self.struct(target, field)
        elif field.kind == "array":
            self.array(target, field, name)
        else:
            self.run(target, field.kind, field.nullable_in(self.version), name)

    def struct(self, target: str, field: Field) -> None:
        cls = struct_item(field)
        nullable = field.nullable_in(self.version)
        if nullable:
            flag = self.variable("n")
            self.take(flag, "b", 1)
            self.flush()
            self.put(f"if {flag} < 0:")
            self.put(f"    {target} = None")
            self.put("else:")
            self.depth += 1
        self.struct_body(target, cls)
        if nullable:
            self.flush()
            self.depth -= 1

    def struct_body(self, target: str, cls: type[Struct]) -> None:
        owner = self.variable("o")
        self.put(f"{owner} = {target} = new_({self.class_name(cls)})")
        self.fields(owner, layout(cls, self.version))

    def length(self, kind: str) -> str:
        """Read a length; the variable holds the length plus one in flexible versions, the length in others."""
        count = self.variable("n")
        if self.flexible:
            self.take(count, "B", 1)
        elif kind == "string":
            self.take(count, "h", 2)
        else:
            self.take(count, "i", 4)
        self.flush()
        return count

    def long_varint(self, count: str) -> None:
        """Read on when the first byte is not all of the varint; two bytes are the common case."""
        more = self.variable("m")
        self.put(f"if {count} > 127:")
        self.put(f"    {more} = buf[pos]")
        self.put(f"    if {more} < 128:")
        self.put(f"        {count} += ({more} << 7) - 128")
        self.put("        pos += 1")
        self.put("    else:")
        self.put(f"        {count}, pos = tail_(buf, pos, {count})")

    def run(self, target: str, kind: str, nullable: bool, name: str, *, element: bool = False) -> None:
        """Read a string, bytes or records into `target`, or through the call `target(...)` of an element."""
        count = self.length(kind)
        stop = self.variable("e")
        if self.flexible:
            self.long_varint(count)
            if kind == "string":
                self.put(f"    if {count} > {MAX_STRING_BYTES + 1}:")
                self.put(f"        raise count_({name!r}, {count} - 1, end - pos)")
            self.put(f"if {count}:")
            self.put(f"    {stop} = pos + {count} - 1")
        else:
            self.put(f"if {count} >= 0:")
            self.put(f"    {stop} = pos + {count}")
        if kind == "string":
            value = f"str(buf[pos:{stop}], 'utf-8')" if self.has_records else f"buf[pos:{stop}].decode()"
            if self.lenient:
                value = f"str(buf[pos:{stop}], 'utf-8', 'replace')"
        elif kind == "bytes":
            value = f"bytes(buf[pos:{stop}])" if self.has_records else f"buf[pos:{stop}]"
        else:
            value = f"view[pos:{stop}]"
        self.put(f"    {target}({value})" if element else f"    {target} = {value}")
        self.put(f"    pos = {stop}")
        self.put("else:")
        self.put(f"    {target} = None" if nullable else f"    raise null_({name!r})")

    def array(self, target: str, field: Field, name: str) -> None:
        nullable = field.nullable_in(self.version)
        count = self.length("array")
        least = self.least_element(field)
        too_many = f"raise count_({name!r}, {count}, end - pos)"
        if self.flexible:
            self.long_varint(count)
            self.put(f"    if ({count} - 1) * {least} > end - pos:")
            self.put(f"        {too_many}")
            self.put(f"if {count} == 0:")
        else:
            self.put(f"if {count} * {least} > end - pos:")
            self.put(f"    {too_many}")
            self.put(f"if {count} < 0:")
        if nullable:
            self.put(f"    {target} = None")
            self.put("else:")
            self.depth += 1
        else:
            self.put(f"    raise null_({name!r})")
        self.elements(target, field, count, name)
        if nullable:
            self.flush()
            self.depth -= 1

    def least_element(self, field: Field) -> int:
        if isinstance(field.item, type):
            return least_size(field.item, self.version, self.flexible)
        assert field.item is not None
        bare = Field(field.item, "0+", None, "none", None, None, False)
        return least_field_size(bare, self.version, self.flexible)

    def elements(self, target: str, field: Field, count: str, name: str) -> None:
        if field.item in FIXED:
            assert isinstance(field.item, str)
            letter, size = FIXED[field.item]
            offset = 1 if self.flexible else 0
            table = self.constant("T", letter, lambda: UnpackTable(letter, offset))
            self.put(f"if {count} == {offset}:")
            self.put(f"    {target} = []")
            self.put("else:")
            self.put(f"    {target} = [*{table}[{count}](buf, pos)]")
            self.put(f"    pos += {count} * {size}" + (f" - {size}" if offset else ""))
            return
        number, one = (f"{count} - 1", 2) if self.flexible else (count, 1)
        if isinstance(field.item, type):
            cls, items, owner = self.class_name(field.item), self.variable("l"), self.variable("o")
            made = f"[new_({cls})] if {count} == {one} else [*map(new_, repeat_({cls}, {number}))]"
            self.put(f"{items} = {target} = {made}")
            at = layout(field.item, self.version)
            if runnable(at):
                self.run_of_structs(at, items, count)
            self.put(f"for {owner} in {items}:")
            self.depth += 1
            self.fields(owner, at)
        else:
            assert field.item is not None
            add = self.variable("a")
            self.put(f"{target} = []")
            self.put(f"{add} = {target}.append")
            self.put(f"for _ in range({number}):")
            self.depth += 1
            self.run(add, field.item, False, name, element=True)
        self.flush()
        self.depth -= 1

    def run_of_structs(self, at: Layout, items: str, count: str) -> None:
        defaults = {field.name: self.default(field) for field in [*at.absent, *at.tagged]}
        defaults["unknown_tagged_fields"] = "None"
        names = {name: made for name, made in self.names.items() if name.startswith("default")}
        runs = self.constant("runs", at.cls, lambda: Runs(at, self.flexible, defaults, names).decode)
        done = self.variable("d")
        self.put(f"if {count} > {LEAST_RUN + (1 if self.flexible else 0)}:")
        self.put(f"    pos, {done} = {runs}(buf, pos, {items}, end)")
        self.put(f"    if {done}:")
        self.put(f"        {items} = {items}[{done}:]")

    # Tagged fields.

    def tag_reader(self, reader: str, at: Layout) -> None:
        """Write a function that reads the tagged section of one struct class."""
        outer, depth, self.lines, self.depth = self.lines, self.depth, [], 0
        title = repr(at.cls.__name__)
        self.put("if count > 127:")
        self.put("    count, pos = tail_(buf, pos, count)")
        self.put("if count * 2 > end - pos:")
        self.put(f"    raise count_('tagged fields of ' + {title}, count, end - pos)")
        self.put("for _ in range(count):")
        self.depth = 1
        self.put("tag, pos = varint_(buf, pos)")
        self.put("size, pos = varint_(buf, pos)")
        self.put("stop = pos + size")
        self.put("if stop > end:")
        self.put(f"    raise tag_({title}, tag, f'of {{size}} bytes in the {{end - pos}} bytes left')")
        for field in at.tagged:
            self.put(f"if tag == {field.tag}:")
            self.depth = 2
            self.tagged_value(f"owner.{field.name}", field, f"{at.cls.__name__}.{field.name}")
            self.flush()
            self.put("if pos != stop:")
            self.put(f"    raise tag_({title}, tag, f'has {{size}} bytes, its value does not')")
            self.put("continue")
            self.depth = 1
        if at.foreign:
            self.put(f"if tag in {tuple(at.foreign)}:")
            self.put(f"    raise tag_({title}, tag, 'belongs to other versions')")
        self.put("keep_tag_(owner, tag, bytes(buf[pos:stop]), kept, end)")
        self.put("pos = stop")
        self.depth = 0
        self.put("return pos")
        body, self.lines, self.depth = self.lines, outer, depth
        del self.names[reader]
        self.helpers += self.function(f"{reader}(buf, pos, count, owner, end, kept", body)
        self.names[reader] = None

    def tagged_value(self, target: str, field: Field, name: str) -> None:
        if field.kind != "struct" or not field.nullable_in(self.version):
            self.field(target, field, name)
            return
        # A nullable struct in a tagged field has a varint before it where it elsewhere has an int8.
        flag = self.variable("n")
        self.put(f"{flag}, pos = varint_(buf, pos)")
        self.put(f"if {flag} == 0:")
        self.put(f"    {target} = None")
        self.put("else:")
        self.depth += 1
        self.struct_body(target, struct_item(field))
        self.flush()
        self.depth -= 1


def _default_maker(cls: type[Struct]) -> Callable[[], Struct]:
    """Makes a struct with its defaults, without the price of a call with keywords."""
    names: dict[str, Any] = {"new": object.__new__, "cls": cls}
    lines = ["def make(new=new, cls=cls):", "    made = new(cls)", "    made.unknown_tagged_fields = None"]
    for index, field in enumerate(cls.struct_fields):
        value = repr(field.default)
        if field.default == "new":
            value = "[]" if field.kind == "array" else f"m{index}()"
            if field.kind == "struct":
                names[f"m{index}"] = _default_maker(struct_item(field))
        lines.append(f"    made.{field.name} = {value}")
    lines.append("    return made")
    return build(lines, names, "make", f"default {cls.__name__}")


def _has_records(cls: type[Struct], version: int) -> bool:
    for field in cls.struct_fields:
        if field.kind == "records" and field.in_version(version):
            return True
        if isinstance(field.item, type) and _has_records(field.item, version):
            return True
    return False
