"""Cuts a byte stream into frames: `int32 size | size bytes`. No I/O: bytes go in, frames come out.

    reader = FrameReader(max_frame_bytes=104_857_600)
    reader.receive_data(chunk)
    while (frame := reader.next_frame()) is not None: ...

A frame is a writable memoryview over its own memory (produce patches record batches in place), so it stays valid after
further data arrives. A size that is negative or above the limit raises `FrameError`, at once and from then on: behind a
size that lies nothing can be found again (class `NetworkReceive`). Size 0 is a frame, an empty one.
"""

from __future__ import annotations

from struct import Struct

from kwire.errors import FrameError
from kwire.primitives import Buffer

_SIZE = Struct(">i")

DEFAULT_MAX_FRAME_BYTES = 104_857_600
"""Kafka's default of socket.request.max.bytes."""


class FrameReader:
    """The reading side of one connection. Holds no more than what was received and not yet taken out."""

    __slots__ = ("_buffer", "_failed", "_max_frame_bytes", "_position")

    def __init__(self, max_frame_bytes: int = DEFAULT_MAX_FRAME_BYTES) -> None:
        self._max_frame_bytes = max_frame_bytes
        self._buffer = bytearray()
        self._position = 0
        self._failed: str | None = None

    def receive_data(self, data: Buffer | bytearray) -> None:
        """Take in bytes as they came from the peer, in pieces of any size."""
        if self._position and self._position == len(self._buffer):
            self._buffer = bytearray()
            self._position = 0
        self._buffer += data

    def next_frame(self) -> memoryview | None:
        """The next whole frame without its size field, or None until more data has come. Raises FrameError."""
        size = self.pending_frame_bytes
        if size is None:
            return None
        start = self._position + 4
        end = start + size
        if end > len(self._buffer):
            if self._position > 65536:
                del self._buffer[: self._position]
                self._position = 0
            return None
        if self._position == 0 and end == len(self._buffer):
            frame = memoryview(self._buffer)[4:]
            self._buffer = bytearray()
            return frame
        self._position = end
        return memoryview(self._buffer[start:end])

    @property
    def pending_frame_bytes(self) -> int | None:
        """The size of the frame that is being received, None before its size field is whole. Raises FrameError.

        A server draws this much from its byte pool before it reads on.
        """
        if self._failed is not None:
            raise FrameError(self._failed)
        if len(self._buffer) - self._position < 4:
            return None
        size: int = _SIZE.unpack_from(self._buffer, self._position)[0]
        if 0 <= size <= self._max_frame_bytes:
            return size
        if size < 0:
            self._failed = f"a frame of negative size {size}"
        else:
            self._failed = f"a frame of {size} bytes, more than the {self._max_frame_bytes} allowed"
        self._buffer = bytearray()
        self._position = 0
        raise FrameError(self._failed)

    @property
    def buffered_bytes(self) -> int:
        """Bytes received and not yet taken out as frames."""
        return len(self._buffer) - self._position


def frame(parts: list[bytes]) -> bytes:
    """The frame whose body is `parts` joined."""
    return b"".join([_SIZE.pack(sum(map(len, parts))), *parts])
