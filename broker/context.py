"""What a handler knows of the request besides its body: a small value, nothing in it reaches anywhere."""

from __future__ import annotations

from collections.abc import Callable

from attrs import define


def mute_nothing(_delay_ms: float) -> None:
    """Of a request without a connection, or whose connection is closed."""


@define(slots=True)
class ConnectionContext:
    """What all requests of one connection share.

    listener: the listener's name. peer_host: the client's address as Kafka prints it, without a slash; peer_port: its
    port. local_host, local_port: the address the client reached. principal: `User:ANONYMOUS` until authenticated.
    mute_for(ms): stop reading the connection for a while, once the request at hand is answered.
    abandon: set by a handler whose request waits, and taken back with its answer: called when the connection closes
    meanwhile, so that nothing goes on waiting for a client that is gone.
    served_by: the node's dispatcher, by which its connections are known.
    """

    listener: str
    peer_host: str
    local_host: str
    local_port: int
    principal: str
    node_id: int
    secure: bool = False
    client_software_name: str = ""
    client_software_version: str = ""
    mute_for: Callable[[float], None] = mute_nothing
    abandon: Callable[[], None] | None = None
    served_by: object = None
    peer_port: int = 0


@define(slots=True)
class RequestContext:
    """One request's header, and its connection."""

    connection: ConnectionContext
    api_key: int
    api_version: int
    correlation_id: int
    client_id: str | None

    @property
    def listener(self) -> str:
        return self.connection.listener

    @property
    def peer_host(self) -> str:
        return self.connection.peer_host

    @property
    def principal(self) -> str:
        return self.connection.principal

    @property
    def node_id(self) -> int:
        return self.connection.node_id
