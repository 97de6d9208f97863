"""File pieces whose bytes are read in another way while they are sent, as a virtual cluster's may be."""

from __future__ import annotations

import os
import socket
import tempfile

import pytest

from broker.transport import PlainTransport
from broker.virtual.storage import MemoryStorage
from log.storage import FileRange


@pytest.mark.parametrize("size", [3_000_000, 100])
def test_what_was_sent_is_not_sent_again(size: int) -> None:
    storage = MemoryStorage(lambda: 0, tempfile.gettempdir(), spill_bytes=10)
    file = storage.open("/log", create=True)
    data = os.urandom(size + 500)
    file.pwrite(data, 0)
    assert file.fd >= 0
    ours, theirs = socket.socketpair()
    with theirs:
        ours.setblocking(False)
        transport = PlainTransport(ours)
        done = transport.send([b"head", FileRange(file, 0, size), FileRange(file, size, 500), b"tail"])
        storage.fail = lambda _operation, _path: None
        assert file.fd == -1
        received = b""
        wanted = b"head" + data + b"tail"
        while len(received) < len(wanted):
            received += theirs.recv(1 << 20)
            done = done or transport.flush()
        assert received == wanted
        assert done
        transport.close()
