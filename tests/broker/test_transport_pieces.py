"""File pieces whose bytes move while they are sent: from a file into memory, as a virtual cluster's may."""

from __future__ import annotations

import os
import socket
import tempfile

import pytest

from broker.transport import PlainTransport


class Moving:
    """In a file until `moved`."""

    position = 0

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.moved = False
        self._file = tempfile.TemporaryFile()
        self._file.write(data)
        self._file.flush()

    def __len__(self) -> int:
        return len(self.data)

    def fileno(self) -> int:
        return -1 if self.moved else self._file.fileno()

    def read(self) -> bytes:
        return self.data


@pytest.mark.parametrize("size", [3_000_000, 100])
def test_what_was_sent_is_not_sent_again(size: int) -> None:
    ours, theirs = socket.socketpair()
    with theirs:
        ours.setblocking(False)
        transport = PlainTransport(ours)
        piece = Moving(os.urandom(size))
        other = Moving(os.urandom(500))
        done = transport.send([b"head", piece, other, b"tail"])
        piece.moved = other.moved = True
        received = b""
        wanted = b"head" + piece.data + other.data + b"tail"
        while len(received) < len(wanted):
            received += theirs.recv(1 << 20)
            done = done or transport.flush()
        assert received == wanted
        assert done
        transport.close()
