from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kwire.errors import DecodeError, EncodeError
from kwire.primitives import (
    read_unsigned_varint,
    read_varint,
    read_varint_tail,
    read_varlong,
    unsigned_varint,
    varint,
    varlong,
)

INT32 = st.integers(-(1 << 31), (1 << 31) - 1)
INT64 = st.integers(-(1 << 63), (1 << 63) - 1)
UINT32 = st.integers(0, (1 << 32) - 1)


@given(UINT32)
def test_unsigned_varint(value: int) -> None:
    raw = unsigned_varint(value)
    assert len(raw) == max(1, -(-value.bit_length() // 7))
    assert read_unsigned_varint(b"." + raw + b".", 1) == (value, 1 + len(raw))
    if raw[0] > 127:
        assert read_varint_tail(memoryview(raw), 1, raw[0]) == (value, len(raw))


@given(INT32)
def test_varint(value: int) -> None:
    raw = varint(value)
    assert read_varint(memoryview(raw), 0) == (value, len(raw))
    assert raw == varlong(value)


@given(INT64)
def test_varlong(value: int) -> None:
    raw = varlong(value)
    assert read_varlong(raw, 0) == (value, len(raw))


@pytest.mark.parametrize(
    ("value", "raw"),
    [(0, "00"), (-1, "01"), (1, "02"), (63, "7e"), (-64, "7f"), (64, "8001"), (-(1 << 31), "ffffffff0f")],
)
def test_zig_zag(value: int, raw: str) -> None:
    assert varint(value).hex() == raw


def test_out_of_range() -> None:
    for value in (-1, 1 << 32):
        with pytest.raises(EncodeError):
            unsigned_varint(value)
    for value in (1 << 31, -(1 << 31) - 1):
        with pytest.raises(EncodeError):
            varint(value)
    for value in (1 << 63, -(1 << 63) - 1):
        with pytest.raises(EncodeError):
            varlong(value)


def test_too_long() -> None:
    with pytest.raises(DecodeError):
        read_unsigned_varint(b"\xff" * 5 + b"\x01", 0)
    with pytest.raises(DecodeError):
        read_varint_tail(b"\xff" * 5 + b"\x01", 1, 0xFF)
    with pytest.raises(DecodeError):
        read_varlong(b"\xff" * 10 + b"\x01", 0)
    assert read_unsigned_varint(b"\xff\xff\xff\xff\x7f", 0) == ((1 << 32) - 1, 5)  # bits above 32 fall away, as in Java


@pytest.mark.parametrize("raw", [b"", b"\x80", b"\xff\xff\xff\xff"])
def test_cut_off(raw: bytes) -> None:
    with pytest.raises(IndexError):
        read_unsigned_varint(raw, 0)
    with pytest.raises(IndexError):
        read_varlong(raw, 0)
