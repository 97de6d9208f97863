"""Decodes runs of equally shaped structs in an array: the partitions of a Metadata response, say.

The structs of long arrays mostly have the same shape: fields of fixed size, and arrays of integers that all have as
many elements as in the first struct. Then the whole run is one `struct.iter_unpack`, whose rows are checked to have the
same shape and put into the objects by a function compiled for it. What does not fit is left to the usual decoder.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any, Final

from kwire.compiler import FIXED, Layout, build
from kwire.schema import Struct

LEAST_RUN: Final = 8
"""Arrays with fewer elements are decoded one by one."""
MAX_SHAPES: Final = 16
"""Shapes for which a function is compiled; a struct that has more of them is decoded one by one."""
MAX_ELEMENTS: Final = 8
"""Elements of an inner array; above, to go element by element costs little in comparison."""

Run = Callable[[bytes | memoryview, int, list[Struct], int], int]


def runnable(at: Layout) -> bool:
    """Whether a struct has fields of fixed size and arrays of such only."""
    return all(field.kind in FIXED or (field.kind == "array" and field.item in FIXED) for field in at.plain)


class Runs:
    """Runs of one struct class at one version. `defaults` has the expression of the value of each field that is not on
    the wire, `names` what those expressions use."""

    def __init__(self, at: Layout, flexible: bool, defaults: dict[str, str], names: dict[str, Any]) -> None:
        self._at = at
        self._flexible = flexible
        self._defaults = defaults
        self._names = names
        self._shapes: dict[tuple[int, ...], Run | None] = {}

    def decode(self, buf: bytes | memoryview, pos: int, items: list[Struct], end: int) -> tuple[int, int]:
        """Fill `items` from `pos` on; returns the position behind those that were filled, and how many they are."""
        shape = self._shape(buf, pos)
        if shape is None:
            return pos, 0
        key, size = shape
        if size * len(items) > end - pos:
            return pos, 0
        run = self._shapes.get(key)
        if run is None:
            if len(self._shapes) >= MAX_SHAPES:
                return pos, 0
            run = self._shapes[key] = self._compile(key)
        done = run(buf, pos, items, size)
        return pos + size * done, done

    def _shape(self, buf: bytes | memoryview, pos: int) -> tuple[tuple[int, ...], int] | None:
        """The counts of the first struct's arrays, and its size; None if it has to be decoded by itself."""
        start, counts = pos, []
        try:
            for field in self._at.plain:
                if field.kind != "array":
                    pos += FIXED[field.kind][1]
                    continue
                if self._flexible:
                    count = buf[pos] - 1
                    pos += 1
                else:
                    count = struct.unpack_from(">i", buf, pos)[0]
                    pos += 4
                if not 0 <= count <= MAX_ELEMENTS:
                    return None
                counts.append(count)
                pos += count * FIXED[str(field.item)][1]
        except (IndexError, struct.error):
            return None
        return tuple(counts), pos - start + (1 if self._flexible else 0)

    def _compile(self, counts: tuple[int, ...]) -> Run:
        fmt, left = ">", list(counts)
        row: list[str] = []
        tests: list[str] = []
        body: list[str] = []
        for field in self._at.plain:
            if field.kind != "array":
                fmt += FIXED[field.kind][0]
                row.append(f"f{len(row)}")
                body.append(f"item.{field.name} = {row[-1]}")
                continue
            count = left.pop(0)
            fmt += "B" if self._flexible else "i"
            row.append(f"f{len(row)}")
            tests.append(f"{row[-1]} != {count + 1 if self._flexible else count}")
            values = [f"f{len(row) + index}" for index in range(count)]
            fmt += FIXED[str(field.item)][0] * count
            row += values
            body.append(f"item.{field.name} = [{', '.join(values)}]")
        if self._flexible:
            fmt += "B"
            row.append(f"f{len(row)}")
            tests.append(row[-1])
        body += [f"item.{name} = {value}" for name, value in self._defaults.items()]
        rows = "rows(memoryview(buf)[pos:pos + size * len(items)])"
        lines = ["def run(buf, pos, items, size, rows=rows):", "    done = 0"]
        lines.append(f"    for item, ({', '.join(row)},) in zip(items, {rows}):")
        if tests:
            lines += [f"        if {' or '.join(tests)}:", "            return done"]
        lines += [f"        {line}" for line in body]
        lines += ["        done += 1", "    return done"]
        names = {**self._names, "rows": struct.Struct(fmt).iter_unpack}
        return build(lines, names, "run", f"run of {self._at.cls.__name__}")
