"""The listening sockets of one node: opened, closed with their connections, opened again on the same ports."""

from __future__ import annotations

import errno
import socket
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from attrs import evolve

from broker.addresses import Endpoint
from broker.config.listeners import Listener as WantedListener
from broker.listener import ConnectionHost, Listener
from broker.start_error import StartError
from broker.tls import server_context

if TYPE_CHECKING:
    from broker.config.broker_config import BrokerConfig
    from broker.dispatch import Dispatcher
    from broker.nodes.spec import NodeSpec

_NO_DESCRIPTOR: Final = "Each listener needs a descriptor: delete clusters, or allow the process more (ulimit -n)."
_ADVICE: Final = {
    errno.EADDRINUSE: "Another program may hold the port; choose another with --port, or 0 for any free one.",
    errno.EMFILE: _NO_DESCRIPTOR,
    errno.ENFILE: _NO_DESCRIPTOR,
}


class NodeListeners:
    """See the module. Closed until `open`."""

    def __init__(
        self,
        host: ConnectionHost,
        dispatcher: Dispatcher,
        config: BrokerConfig,
        node_id: int,
        wanted: Sequence[WantedListener],
    ) -> None:
        self._host = host
        self._dispatcher = dispatcher
        self._config = config
        self._node_id = node_id
        self._wanted = list(wanted)
        self.open_ones: list[Listener] = []
        self._ports: list[int] = []
        self._reserved: list[socket.socket] = []

    def open(self) -> None:
        """Bind all, accept nothing yet. Raises StartError; none is open then.

        A port that was any free one stays what it was the first time.
        """
        opened: list[Listener] = []
        self._release()
        try:
            for index, wanted in enumerate(self._wanted):
                opened.append(self._bind(index, wanted))
        except BaseException:
            for listener in opened:
                listener.close()
            raise
        self.open_ones = opened
        self._ports = [listener.port for listener in opened]

    def start(self) -> None:
        """Begin to accept."""
        for listener in self.open_ones:
            listener.start()

    def close(self, *, cut: bool, reserve: bool = False) -> None:
        """Accept no more. cut: close the connections too, without answers to what waits.

        reserve: keep the ports from others meanwhile; a port that is bound and does not listen refuses connections.
        """
        if not reserve:
            self._release()
        for listener in self.open_ones:
            listener.close()
            if reserve:
                self._reserve(listener)
        self.open_ones = []
        if cut:
            for connection in list(self._host.connections):
                if connection.context.served_by is self._dispatcher:
                    connection.close()

    def _reserve(self, listener: Listener) -> None:
        sock = socket.socket(socket.AF_INET6 if ":" in listener.host else socket.AF_INET, socket.SOCK_STREAM)
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind((listener.host, listener.port))
        except OSError:
            sock.close()  # then it is not kept
        else:
            self._reserved.append(sock)

    def _release(self) -> None:
        for sock in self._reserved:
            sock.close()
        self._reserved.clear()

    def endpoints(self) -> list[Endpoint]:
        """Of the listeners that are open."""
        return [
            Endpoint(
                listener.name,
                wanted.protocol,
                listener.host,
                listener.port,
                None if wanted.advertised is None else (wanted.advertised.host, wanted.advertised.port),
            )
            for listener, wanted in zip(self.open_ones, self._wanted, strict=True)
        ]

    def _bind(self, index: int, wanted: WantedListener) -> Listener:
        tls = server_context(self._config, wanted.name) if wanted.secure else None
        port = self._ports[index] if self._ports else wanted.port
        try:
            return Listener(
                self._host,
                self._dispatcher,
                name=wanted.name,
                node_id=self._node_id,
                bind_host=wanted.host,
                bind_port=port,
                tls=tls,
            )
        except OSError as error:
            raise StartError(
                f"cannot listen on {wanted.host or '*'}:{port} ({wanted.name}): {error.strerror}. "
                + _ADVICE.get(
                    error.errno or 0,
                    "Choose an address of this machine with --host (0.0.0.0: all) and a port with --port.",
                )
            ) from None


def listeners_for(config: BrokerConfig, spec: NodeSpec, *, first: bool) -> list[WantedListener]:
    """What a node listens on: the settings' listeners, moved to where the node is wanted.

    Only the first node may take the settings' ports and be advertised as they say.
    """
    found = []
    for index, wanted in enumerate(config.listeners):
        port = wanted.port if first else 0
        if index == 0 and spec.port is not None:
            port = spec.port
        found.append(
            evolve(
                wanted,
                host=wanted.host if spec.host is None else spec.host,
                port=port,
                advertised=wanted.advertised if first else None,
            )
        )
    return found
