"""Zigzag varints as Kafka's records use them (Kafka: ByteUtils.readVarint, readVarlong, writeVarint).

A reader takes at most 5 bytes (varint) or 10 (varlong), keeps the low 32 or 64 bits, and accepts encodings longer than
needed, all as Kafka does. Readers return `(value, next position)`, raise IndexError when the data ends and ValueError
when the last allowed byte still asks for more; callers turn both into their own error.
"""

from typing import Protocol


class ByteReader(Protocol):
    """bytes, bytearray, memoryview, or anything else that gives a byte by its position and raises IndexError."""

    def __getitem__(self, position: int, /) -> int: ...


def read_varint(data: ByteReader, position: int) -> tuple[int, int]:
    """A signed 32-bit value."""
    byte = data[position]
    position += 1
    if byte < 0x80:
        return (byte >> 1) ^ -(byte & 1), position
    raw = byte & 0x7F
    shift = 7
    while True:
        byte = data[position]
        position += 1
        raw |= (byte & 0x7F) << shift
        if byte < 0x80:
            raw &= 0xFFFFFFFF
            return (raw >> 1) ^ -(raw & 1), position
        shift += 7
        if shift > 28:
            raise ValueError("varint is longer than 5 bytes")


def read_varlong(data: ByteReader, position: int) -> tuple[int, int]:
    """A signed 64-bit value."""
    byte = data[position]
    position += 1
    if byte < 0x80:
        return (byte >> 1) ^ -(byte & 1), position
    raw = byte & 0x7F
    shift = 7
    while True:
        byte = data[position]
        position += 1
        raw |= (byte & 0x7F) << shift
        if byte < 0x80:
            raw &= 0xFFFFFFFFFFFFFFFF
            return (raw >> 1) ^ -(raw & 1), position
        shift += 7
        if shift > 63:
            raise ValueError("varlong is longer than 10 bytes")


def wrap_int64(value: int) -> int:
    """A sum as 64-bit arithmetic gives it: offsets and timestamps of damaged batches overflow."""
    return ((value + (1 << 63)) & 0xFFFFFFFFFFFFFFFF) - (1 << 63)


_ONE_BYTE = tuple(bytes((value,)) for value in range(0x80))


def encode_varint(value: int) -> bytes:
    """Zigzag bytes of a value within a signed 64-bit range."""
    raw = (value << 1) ^ (value >> 63)
    if raw < 0x80:
        return _ONE_BYTE[raw]
    out = bytearray()
    while raw >= 0x80:
        out.append((raw & 0x7F) | 0x80)
        raw >>= 7
    out.append(raw)
    return bytes(out)


def size_of_varint(value: int) -> int:
    raw = (value << 1) ^ (value >> 63)
    return max(1, (raw.bit_length() + 6) // 7)
