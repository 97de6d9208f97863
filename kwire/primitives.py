"""The wire's elementary forms: varints and the checks every reader shares.

`buf` is bytes or a memoryview of unsigned bytes. Readers return `(value, next position)`. A number that cannot be is a
`DecodeError`; a read past the end is an `IndexError`, which whoever parses a whole message turns into a `DecodeError`.
"""

from __future__ import annotations

from typing import Protocol, TypeAlias

from kwire.errors import DecodeError, EncodeError

Buffer: TypeAlias = bytes | memoryview


class ExternalBytes(Protocol):
    """Bytes that are elsewhere, such as a range of a file: a length is all the codec needs."""

    def __len__(self) -> int: ...


Records: TypeAlias = bytes | bytearray | memoryview | ExternalBytes
"""What a `records` field takes. A decoded message has a memoryview of the bytes it was decoded from."""

MAX_UNSIGNED_VARINT = (1 << 32) - 1


def read_unsigned_varint(buf: Buffer, pos: int) -> tuple[int, int]:
    """An unsigned varint of at most 5 bytes, 0 to 2**32 - 1 (ByteUtils.readUnsignedVarint)."""
    value = buf[pos]
    if value < 0x80:
        return value, pos + 1
    value &= 0x7F
    for index in (1, 2, 3, 4):
        byte = buf[pos + index]
        value |= (byte & 0x7F) << 7 * index
        if byte < 0x80:
            return value & MAX_UNSIGNED_VARINT, pos + index + 1
    raise DecodeError("a varint is longer than 5 bytes")


def read_varint_tail(buf: Buffer, pos: int, first: int) -> tuple[int, int]:
    """The rest of an unsigned varint whose first byte, 0x80 or above, was read already; `pos` is behind that byte."""
    value = first & 0x7F
    for shift in (7, 14, 21, 28):
        byte = buf[pos]
        pos += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & MAX_UNSIGNED_VARINT, pos
    raise DecodeError("a varint is longer than 5 bytes")


def read_varint(buf: Buffer, pos: int) -> tuple[int, int]:
    """A zig-zag varint of at most 5 bytes, an int32 (ByteUtils.readVarint)."""
    value, pos = read_unsigned_varint(buf, pos)
    return (value >> 1) ^ -(value & 1), pos


def read_varlong(buf: Buffer, pos: int) -> tuple[int, int]:
    """A zig-zag varint of at most 10 bytes, an int64 (ByteUtils.readVarlong)."""
    value = 0
    for shift in (0, 7, 14, 21, 28, 35, 42, 49, 56, 63):
        byte = buf[pos]
        pos += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            value &= 0xFFFFFFFFFFFFFFFF
            return (value >> 1) ^ -(value & 1), pos
    raise DecodeError("a varlong is longer than 10 bytes")


_ONE_BYTE = tuple(bytes((value,)) for value in range(0x80))


def unsigned_varint(value: int) -> bytes:
    """`value` as an unsigned varint. Raises EncodeError outside 0 to 2**32 - 1."""
    if 0 <= value < 0x80:
        return _ONE_BYTE[value]
    if not 0 <= value <= MAX_UNSIGNED_VARINT:
        raise EncodeError(f"{value} does not fit an unsigned varint of 32 bits")
    return _long_unsigned_varint(value)


def varint(value: int) -> bytes:
    """`value` (int32) as a zig-zag varint. Raises EncodeError outside int32."""
    if not -0x80000000 <= value <= 0x7FFFFFFF:
        raise EncodeError(f"{value} does not fit an int32")
    return _long_unsigned_varint((value << 1) ^ (value >> 31))


def varlong(value: int) -> bytes:
    """`value` (int64) as a zig-zag varint. Raises EncodeError outside int64."""
    if not -(1 << 63) <= value < 1 << 63:
        raise EncodeError(f"{value} does not fit an int64")
    return _long_unsigned_varint((value << 1) ^ (value >> 63))


def _long_unsigned_varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
