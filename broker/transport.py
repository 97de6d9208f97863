"""Bytes in and out of one socket, without blocking: a plain and a TLS twin behind one small interface.

What is sent is a list of pieces: bytes-like objects, and file ranges that a plain socket passes on with `sendfile`.
"""

from __future__ import annotations

import os
import socket
import ssl
from collections import deque
from collections.abc import Sequence
from typing import Final, Protocol, runtime_checkable

Buffer = bytes | bytearray | memoryview

# Pieces are gathered into one `sendmsg` up to the kernel's limit of entries.
_MAX_IOV: Final = 512
# Cached or not is looked at once per kernel readahead window.
_PROBE_EVERY_BYTES: Final = 128 * 1024
# What is read ahead, without waiting, behind a range that had to be read from the disk: a scan goes on there.
_READ_AHEAD_BYTES: Final = 4 * 1024 * 1024
# Up to here a piece of a file goes into one send with its neighbours; a fetch of many partitions has hundreds of them.
_SMALL_FILE_BYTES: Final = 16 * 1024
# How much of a file is read (TLS) or sent at a time, so that one large answer does not hold the loop.
_FILE_CHUNK_BYTES: Final = 1024 * 1024
_TLS_CHUNK_BYTES: Final = 128 * 1024
_TLS_RECV_BYTES: Final = 256 * 1024


@runtime_checkable
class FilePiece(Protocol):
    """Bytes of a file, to be sent without passing through Python (log.storage.FileRange)."""

    position: int

    def __len__(self) -> int: ...

    def fileno(self) -> int:
        """The descriptor to send from; -1 when the bytes must be read instead."""

    def read(self) -> bytes: ...


Piece = Buffer | FilePiece


class ColdRange:
    """Bytes of a file that would have to be waited for."""

    __slots__ = ("_count", "_piece", "_position")

    def __init__(self, piece: FilePiece, position: int, count: int) -> None:
        self._piece = piece
        self._position = position
        self._count = count

    def warm(self) -> None:
        """Read them, and begin to read what follows. Blocks; the piece keeps the file open."""
        fd = self._piece.fileno()
        os.posix_fadvise(fd, self._position, max(self._count, _READ_AHEAD_BYTES), os.POSIX_FADV_WILLNEED)
        position, end = self._position, self._position + self._count
        while position < end:
            got = len(os.pread(fd, min(_PROBE_EVERY_BYTES, end - position), position))
            if not got:
                return
            position += got


def read_if_cached(piece: FilePiece) -> bytearray | None:
    """All of a small piece when that takes no waiting for the disk."""
    if piece.fileno() < 0:
        return bytearray(piece.read())
    data = bytearray(len(piece))
    try:
        got = os.preadv(piece.fileno(), [data], piece.position, os.RWF_NOWAIT)
    except OSError:
        return None
    return data if got == len(data) else None


def is_cached(fd: int, position: int, count: int) -> bool:
    """Whether a read would not wait for the disk, as far as probing a byte here and there can tell."""
    probe = bytearray(1)
    end = position + count
    try:
        while position < end:
            os.preadv(fd, [probe], position, os.RWF_NOWAIT)
            position += _PROBE_EVERY_BYTES
        os.preadv(fd, [probe], end - 1, os.RWF_NOWAIT)
    except BlockingIOError:
        return False
    except OSError:
        return True  # a file system that cannot tell
    return True


class Transport(Protocol):
    """One socket. Errors of the socket are raised as OSError.

    cold: set when `send` or `flush` returned False because the next bytes of a file are not in the page cache. Its
    `warm()` reads them (in a thread); then `flush` goes on.
    """

    sock: socket.socket
    cold: ColdRange | None

    def receive_into(self, view: memoryview) -> int:
        """Bytes read; 0 at the end of the stream; -1 when there is nothing to read now."""

    def has_buffered_input(self) -> bool:
        """True when `receive_into` has more to give without the socket being readable."""

    def send(self, pieces: Sequence[Piece]) -> bool:
        """Send all, or keep the rest for `flush`. True when everything is with the kernel."""

    def flush(self) -> bool:
        """Go on sending what is kept. True when nothing is left."""

    def close(self) -> None: ...


def _size(piece: Piece) -> int:
    return piece.nbytes if type(piece) is memoryview else len(piece)


class PlainTransport:
    """TCP as it is."""

    __slots__ = ("_known_warm", "_rest", "_sent_of_file", "cold", "sock")

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.cold: ColdRange | None = None
        self._known_warm = 0  # how far into the file piece at hand was found cached, or was warmed
        self._rest: deque[Piece] = deque()
        self._sent_of_file = 0

    def receive_into(self, view: memoryview) -> int:
        try:
            return self.sock.recv_into(view)
        except BlockingIOError:
            return -1

    def has_buffered_input(self) -> bool:
        return False

    def send(self, pieces: Sequence[Piece]) -> bool:
        if not self._rest and len(pieces) == 1:
            piece = pieces[0]
            if type(piece) is bytes:
                try:
                    sent = self.sock.send(piece)
                except BlockingIOError:
                    sent = 0
                if sent == len(piece):
                    return True
                self._rest.append(memoryview(piece)[sent:])
                return False
        self._rest.extend(pieces)
        return self.flush()

    def flush(self) -> bool:
        if self.cold is not None:
            return False
        rest = self._rest
        try:
            while rest:
                first = rest[0]
                if isinstance(first, (bytes, memoryview, bytearray)):
                    self._send_buffers(rest)
                elif first.fileno() < 0:
                    # It may have been in a file until now (a virtual cluster's).
                    rest[0] = memoryview(first.read())[self._sent_of_file :]
                    self._sent_of_file = 0
                    self._known_warm = 0
                elif not self._send_file(first):
                    return False
                else:
                    rest.popleft()
                    self._sent_of_file = 0
                    self._known_warm = 0
        except BlockingIOError:
            return False
        return True

    def _send_buffers(self, rest: deque[Piece]) -> None:
        buffers: list[Buffer] = []
        file_follows = False
        for position, piece in enumerate(rest):
            if not isinstance(piece, (bytes, memoryview, bytearray)):
                data = read_if_cached(piece) if len(piece) <= _SMALL_FILE_BYTES else None
                if data is None:
                    file_follows = True
                    break
                rest[position] = piece = data
            buffers.append(piece)
            if len(buffers) == _MAX_IOV:
                break
        # MSG_MORE: the header of an answer and the start of its file range leave in one packet.
        sent = self.sock.sendmsg(buffers, (), socket.MSG_MORE if file_follows else 0)
        while sent:
            size = _size(rest[0])
            if sent >= size:
                rest.popleft()
                sent -= size
            else:
                first = rest[0]
                assert isinstance(first, (bytes, memoryview, bytearray))
                rest[0] = memoryview(first)[sent:]
                sent = 0
        while rest and _size(rest[0]) == 0 and isinstance(rest[0], (bytes, memoryview, bytearray)):
            rest.popleft()

    def _send_file(self, piece: FilePiece) -> bool:
        size = len(piece)
        budget = _FILE_CHUNK_BYTES
        while self._sent_of_file < size:
            if budget <= 0:
                return False  # others' turn; the socket stays writable, so the loop comes back
            count = min(size - self._sent_of_file, budget)
            start = piece.position + self._sent_of_file
            if self._sent_of_file + count > self._known_warm:
                self._known_warm = self._sent_of_file + count
                if not is_cached(piece.fileno(), start, count):
                    self.cold = ColdRange(piece, start, count)
                    return False
            sent = os.sendfile(self.sock.fileno(), piece.fileno(), start, count)
            if sent == 0:
                raise ConnectionError("a file range is shorter than it was said to be")
            self._sent_of_file += sent
            budget -= sent
        return True

    def close(self) -> None:
        self._rest.clear()
        self.sock.close()


class TlsTransport:
    """TLS over TCP: the record layer works on memory, the socket stays non-blocking."""

    __slots__ = (
        "_encrypted",
        "_file_sent",
        "_incoming",
        "_known_warm",
        "_outgoing",
        "_rest",
        "_tls",
        "cold",
        "handshaken",
        "sock",
    )

    def __init__(self, sock: socket.socket, context: ssl.SSLContext) -> None:
        self.sock = sock
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._rest: deque[Piece] = deque()
        self._file_sent = 0
        self._known_warm = 0
        self.cold: ColdRange | None = None
        self._encrypted = memoryview(b"")
        self.handshaken = False

    def receive_into(self, view: memoryview) -> int:
        while True:
            try:
                if not self.handshaken:
                    self._tls.do_handshake()
                    self.handshaken = True
                    self._drain()
                return self._tls.read(view.nbytes, view)  # type: ignore[return-value]
            except ssl.SSLWantReadError:
                self._drain()
                try:
                    data = self.sock.recv(_TLS_RECV_BYTES)
                except BlockingIOError:
                    return -1
                if not data:
                    return 0
                self._incoming.write(data)
            except ssl.SSLZeroReturnError:
                return 0
            except ssl.SSLError as error:
                self._drain()
                raise ConnectionError(f"TLS: {error.reason or error}") from None

    def has_buffered_input(self) -> bool:
        return self._tls.pending() > 0 or self._incoming.pending > 0

    def send(self, pieces: Sequence[Piece]) -> bool:
        self._rest.extend(pieces)
        return self.flush()

    def flush(self) -> bool:
        if not self._drain() or self.cold is not None:
            return False
        rest = self._rest
        while rest:
            piece = rest[0]
            if isinstance(piece, (bytes, memoryview, bytearray)):
                view = memoryview(piece)
                if view.nbytes > _TLS_CHUNK_BYTES:
                    self._tls.write(view[:_TLS_CHUNK_BYTES])
                    rest[0] = view[_TLS_CHUNK_BYTES:]
                else:
                    if view.nbytes:
                        self._tls.write(view)
                    rest.popleft()
            elif piece.fileno() < 0:
                rest[0] = memoryview(piece.read())[self._file_sent :]
                self._file_sent = 0
                self._known_warm = 0
            else:
                count = min(len(piece) - self._file_sent, _TLS_CHUNK_BYTES)
                if count:
                    start = piece.position + self._file_sent
                    if self._file_sent + count > self._known_warm:
                        self._known_warm = self._file_sent + count
                        if not is_cached(piece.fileno(), start, count):
                            self.cold = ColdRange(piece, start, count)
                            return False
                    data = os.pread(piece.fileno(), count, start)
                    if not data:
                        raise ConnectionError("a file range is shorter than it was said to be")
                    self._tls.write(data)
                    self._file_sent += len(data)
                if self._file_sent >= len(piece):
                    rest.popleft()
                    self._file_sent = 0
                    self._known_warm = 0
            if self._outgoing.pending >= _TLS_CHUNK_BYTES and not self._drain():
                return False
        return self._drain()

    def _drain(self) -> bool:
        """Send what is encrypted. True when none is left."""
        while True:
            if not self._encrypted:
                if not self._outgoing.pending:
                    return True
                self._encrypted = memoryview(self._outgoing.read())
            try:
                sent = self.sock.send(self._encrypted)
            except BlockingIOError:
                return False
            self._encrypted = self._encrypted[sent:]

    def close(self) -> None:
        self._rest.clear()
        self.sock.close()
