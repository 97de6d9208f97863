"""Accepts connections for one listener of one node, and shares among them what connections need."""

from __future__ import annotations

import contextlib
import errno
import logging
import socket
import ssl
import struct
from collections.abc import Callable
from typing import Final

from broker.clock import SystemClock, Timer
from broker.connection import Connection
from broker.context import ConnectionContext
from broker.dispatch import Dispatcher
from broker.memory import BytePool, FrameBuffers
from broker.reactor import READ, Reactor
from broker.transport import PlainTransport, TlsTransport, Transport

logger = logging.getLogger("kwire.listener")

SCRATCH_BYTES: Final = 256 * 1024
BACKLOG_LIMIT_BYTES: Final = 32 * 1024 * 1024
_BACKLOG: Final = 1024
_ACCEPTS_PER_EVENT: Final = 64
_IDLE_SWEEPS: Final = 10
_RETRY_ACCEPT_MS: Final = 100.0
# SO_LINGER on, for no time: closing sends a reset.
_LINGER_0: Final = struct.pack("ii", 1, 0)


class ConnectionHost:
    """What the connections of a process share: the loop, the read buffer, the pools, the limits.

    max_request_bytes: socket.request.max.bytes. max_connections: of all listeners together.
    connections_max_idle_ms: an idle connection is closed after it; below 0: never.
    """

    def __init__(
        self,
        reactor: Reactor,
        *,
        byte_pool: BytePool,
        max_request_bytes: int,
        max_connections: int,
        connections_max_idle_ms: int,
    ) -> None:
        self.reactor = reactor
        self.byte_pool = byte_pool
        self.buffers = FrameBuffers()
        self.scratch = memoryview(bytearray(SCRATCH_BYTES))
        # Requests received behind one that waits. Above the limit, connections are read a little at a time.
        self.backlog_bytes = 0
        self.backlog_limit_bytes = BACKLOG_LIMIT_BYTES
        self.max_request_bytes = max_request_bytes
        self.max_connections = max_connections
        self.connections: set[Connection] = set()
        self._idle_ms = connections_max_idle_ms
        # Connections are the machine's, whatever time a cluster of the process thinks it is.
        self._clock = SystemClock()
        reactor.add_clock(self._clock)
        self._sweeper: Timer | None = None
        if connections_max_idle_ms >= 0:
            self._sweep_later()

    def call_later(self, delay_ms: float, fn: Callable[[], None]) -> Timer:
        return self._clock.call_later(delay_ms, fn)

    def _sweep_later(self) -> None:
        self._sweeper = self._clock.call_later(max(self._idle_ms / _IDLE_SWEEPS, 100.0), self._sweep)

    def _sweep(self) -> None:
        """Close who has been silent for the whole idle time, measured to a tenth of it."""
        for connection in list(self.connections):
            connection.idle_sweeps += 1
            if connection.idle_sweeps > _IDLE_SWEEPS:
                connection.close("idle for longer than connections.max.idle.ms")
        self._sweep_later()

    def opened(self, connection: Connection) -> None:
        self.connections.add(connection)

    def closed(self, connection: Connection) -> None:
        self.connections.discard(connection)

    def close(self) -> None:
        """Close every connection."""
        if self._sweeper is not None:
            self._sweeper.cancel()
        for connection in list(self.connections):
            connection.close()
        self._clock.timers.on_earlier = None
        self.reactor.remove_clock(self._clock)


class Listener:
    """One listening socket."""

    def __init__(
        self,
        host: ConnectionHost,
        dispatcher: Dispatcher,
        *,
        name: str,
        node_id: int,
        bind_host: str,
        bind_port: int,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """Bind and listen. Raises OSError when the address cannot be had."""
        self._host = host
        self._dispatcher = dispatcher
        self.name = name
        self.node_id = node_id
        self._tls = tls
        self._sock = _listening_socket(bind_host, bind_port)
        self.host, self.port = self._sock.getsockname()[:2]
        self._accepting = False

    def start(self) -> None:
        """Begin to accept."""
        self._accepting = True
        self._host.reactor.register(self._sock.fileno(), self._on_connection, READ)

    def _on_connection(self, _mask: int) -> None:
        for _ in range(_ACCEPTS_PER_EVENT):
            try:
                sock, address = self._sock.accept()
            except BlockingIOError:
                return
            except ConnectionAbortedError:
                continue
            except OSError as error:
                if error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM):
                    logger.error("cannot accept on %s: %s; trying again in %d ms", self.name, error, _RETRY_ACCEPT_MS)
                    self._pause()
                    return
                raise
            if len(self._host.connections) >= self._host.max_connections:
                logger.warning("refused %s: max.connections (%d) reached", address[0], self._host.max_connections)
                sock.close()
                continue
            gate = self._dispatcher.gate
            way = None if gate is None else gate(self.name, self.node_id)
            if way is not None:
                _turn_away(sock, way)
                continue
            self._serve(sock, address[0], address[1])

    def _serve(self, sock: socket.socket, peer_host: str, peer_port: int) -> None:
        try:
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            local_host, local_port = sock.getsockname()[:2]
        except OSError:
            sock.close()
            return
        context = ConnectionContext(
            listener=self.name,
            peer_host=_plain(peer_host),
            peer_port=peer_port,
            local_host=_plain(local_host),
            local_port=local_port,
            principal="User:ANONYMOUS",
            node_id=self.node_id,
            secure=self._tls is not None,
            served_by=self._dispatcher,
        )
        transport: Transport = PlainTransport(sock) if self._tls is None else TlsTransport(sock, self._tls)
        connection = Connection(self._host, self._dispatcher, transport, context)
        self._host.opened(connection)
        self._host.reactor.register(connection.fd, connection.on_event, READ)

    def _pause(self) -> None:
        self._host.reactor.modify(self._sock.fileno(), 0)

        def resume() -> None:
            if self._accepting:
                self._host.reactor.modify(self._sock.fileno(), READ)

        self._host.call_later(_RETRY_ACCEPT_MS, resume)

    def close(self) -> None:
        """Accept no more. Connections stay."""
        if self._accepting:
            self._accepting = False
            self._host.reactor.unregister(self._sock.fileno())
        self._sock.close()


def _turn_away(sock: socket.socket, way: str) -> None:
    """Close a connection at once; "reset": so that the client sees it broken, not ended."""
    if way == "reset":
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_0)
    sock.close()


def _listening_socket(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    if host == "" and socket.has_dualstack_ipv6():
        sock = socket.create_server(("", port), family=socket.AF_INET6, backlog=_BACKLOG, dualstack_ipv6=True)
    else:
        if host and family == socket.AF_INET:
            try:
                host = socket.gethostbyname(host)
            except UnicodeError:  # IDNA: a label of more than 63 characters, and the like
                raise OSError(errno.EADDRNOTAVAIL, "that is no host's name") from None
        sock = socket.socket(family, socket.SOCK_STREAM)
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind((host, port))
            sock.listen(_BACKLOG)
        except OSError:
            sock.close()
            raise
    with contextlib.suppress(OSError):
        sock.setblocking(False)
    return sock


def _plain(host: str) -> str:
    """An IPv4 address that came in through a dual-stack socket, as IPv4."""
    return host.removeprefix("::ffff:")
