"""The listening socket, and nothing else until somebody comes: what serves connections is loaded with the first."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import trio
from attrs import field, frozen

from broker.http.limits import HttpLimits

if TYPE_CHECKING:
    from broker.http.application import Application
    from broker.http.endpoint import CallLater

logger = logging.getLogger("kwire.http")

_BACKLOG: Final = 256
_RETRY_ACCEPT_MS: Final = 100.0
_REFUSAL: Final = b'{"error":{"code":"too_many_connections","message":"too many HTTP connections are open"}}'
_REFUSAL_HEAD: Final = (
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nConnection: close\r\n"
    b"Content-Length: %d\r\n\r\n"
)


@frozen
class HttpSettings:
    """host: "" for all addresses. token: what requests must show; None only on loopback."""

    host: str = "127.0.0.1"
    port: int = 9380
    token: str | None = None
    limits: HttpLimits = field(factory=HttpLimits)


class HttpDoor:
    """Accepts connections and serves each in a task. `run` until cancelled; `stop`, then `drain`."""

    def __init__(
        self,
        settings: HttpSettings,
        application: Callable[[HttpDoor], Application],
        call_later: CallLater,
    ) -> None:
        """Bind and listen. application: called at the first connection. Raises OSError."""
        self.settings = settings
        self.call_later = call_later
        self.stopping = trio.Event()
        self._make = application
        self._application: Application | None = None
        self._sock = _listening_socket(settings.host, settings.port)
        self._accepting = trio.CancelScope()
        self._idle: dict[trio.CancelScope, None] = {}
        self._connections = 0
        self._drained = trio.Event()
        self.host, self.port = self._sock.getsockname()[:2]

    @property
    def url(self) -> str:
        """Where a client on this machine reaches it."""
        host = self.settings.host
        host = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
        return f"http://[{host}]:{self.port}" if ":" in host else f"http://{host}:{self.port}"

    async def run(self) -> None:
        """Accept and serve. An error of one connection harms no other."""
        async with trio.open_nursery() as nursery:
            try:
                with self._accepting:
                    listener = trio.SocketListener(trio.socket.from_stdlib_socket(self._sock))
                    while True:
                        stream = await self._accept(listener)
                        if stream is not None:
                            nursery.start_soon(self._serve, stream)
            finally:
                self._sock.close()

    async def _accept(self, listener: trio.SocketListener) -> trio.SocketStream | None:
        try:
            return await listener.accept()
        except OSError as error:
            # Out of descriptors, or a client that was gone before it was accepted.
            logger.error("cannot accept HTTP connections: %s; trying again in %d ms", error, _RETRY_ACCEPT_MS)
            later = trio.Event()
            self.call_later(_RETRY_ACCEPT_MS, later.set)
            await later.wait()
            return None

    async def _serve(self, stream: trio.SocketStream) -> None:
        if self._connections >= self.settings.limits.connections and self._idle:
            # Who has been idle longest makes room; its client connects again when it needs to.
            longest = next(iter(self._idle))
            del self._idle[longest]
            longest.cancel()
        elif self._connections >= self.settings.limits.connections:
            with contextlib.suppress(OSError):  # its empty buffer takes this at once, or the client does without
                os.write(stream.socket.fileno(), _REFUSAL_HEAD % len(_REFUSAL) + _REFUSAL)
            await trio.aclose_forcefully(stream)
            return
        self._connections += 1
        try:
            application = self._application
            if application is None:
                application = self._application = self._make(self)
            from broker.http.connection import HttpConnection

            await HttpConnection(stream, application, self._idle).serve()
        except Exception:
            logger.exception("unexpected error on an HTTP connection")
            await trio.aclose_forcefully(stream)
        finally:
            self._connections -= 1
            if self._connections == 0:
                self._drained.set()

    def stop(self) -> None:
        """Accept no more; streams end, idle connections close, requests at hand go on."""
        self.stopping.set()
        self._accepting.cancel()
        for scope in list(self._idle):
            scope.cancel()

    def close(self) -> None:
        """Let go of a door that was never run."""
        self._sock.close()

    async def drain(self) -> None:
        """Wait for the requests at hand, not long. To be called after `stop`, while the loop runs."""
        if self._connections == 0:
            return
        self._drained = trio.Event()
        self.call_later(self.settings.limits.drain_ms, self._drained.set)
        await self._drained.wait()


def _listening_socket(host: str, port: int) -> socket.socket:
    """Raises OSError."""
    if host == "" and socket.has_dualstack_ipv6():
        sock = socket.create_server(("", port), family=socket.AF_INET6, backlog=_BACKLOG, dualstack_ipv6=True)
    else:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        sock = socket.create_server((host, port), family=family, backlog=_BACKLOG)
    sock.setblocking(False)
    return sock
