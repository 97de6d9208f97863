from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kwire.errors import FrameError
from kwire.framing import FrameReader, frame


def frames_of(reader: FrameReader) -> list[bytes]:
    found = []
    while (one := reader.next_frame()) is not None:
        assert not one.readonly
        found.append(bytes(one))
    return found


@given(st.lists(st.binary(max_size=300), max_size=20), st.data())
def test_any_split_gives_the_same_frames(bodies: list[bytes], data: st.DataObject) -> None:
    stream = b"".join(frame([body]) for body in bodies)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=10)))
    reader, found = FrameReader(), []
    for start, stop in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        reader.receive_data(stream[start:stop])
        found += frames_of(reader)
    assert found == bodies
    assert reader.buffered_bytes == 0


def test_byte_by_byte() -> None:
    bodies = [b"", b"x", bytes(range(256)), b"y" * 1000]
    reader, found = FrameReader(), []
    for byte in b"".join(frame([body]) for body in bodies):
        reader.receive_data(bytes([byte]))
        found += frames_of(reader)
    assert found == bodies


def test_frames_stay_valid_and_can_be_written_to() -> None:
    reader = FrameReader()
    reader.receive_data(frame([b"one"]) + frame([b"two"])[:5])
    first = reader.next_frame()
    assert first is not None
    reader.receive_data(b"wo")
    second = reader.next_frame()
    assert second is not None
    first[0] = ord("O")
    assert (bytes(first), bytes(second)) == (b"One", b"two")


def test_pending_frame_bytes() -> None:
    reader = FrameReader(1000)
    assert reader.pending_frame_bytes is None
    reader.receive_data(b"\0\0\0")
    assert reader.pending_frame_bytes is None
    reader.receive_data(b"\x09abc")
    assert reader.pending_frame_bytes == 9
    assert reader.buffered_bytes == 7
    assert reader.next_frame() is None


@pytest.mark.parametrize("size", [-1, -(1 << 31), 1001, (1 << 31) - 1])
def test_a_size_that_cannot_be_ends_the_stream(size: int) -> None:
    reader = FrameReader(1000)
    reader.receive_data(frame([b"fine"]) + struct.pack(">i", size) + bytes(100))
    assert reader.next_frame() == b"fine"
    for _ in range(2):
        with pytest.raises(FrameError, match=str(size)):
            reader.next_frame()
    assert reader.buffered_bytes == 0


def test_the_limit_itself_is_allowed() -> None:
    reader = FrameReader(1000)
    reader.receive_data(frame([bytes(1000)]))
    assert reader.next_frame() == bytes(1000)
