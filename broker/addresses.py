"""Where clients are told to find a node: one function for Metadata, FindCoordinator, DescribeCluster, leader hints."""

from __future__ import annotations

from attrs import define

from broker.context import RequestContext


@define(slots=True, frozen=True)
class Endpoint:
    """A listener of a node as opened. advertised: what the settings say; None: the address the client reached."""

    listener: str
    protocol: str
    bound_host: str
    bound_port: int
    advertised: tuple[str, int] | None


class AddressBook:
    """The endpoints of every node, by node id and listener name."""

    def __init__(self) -> None:
        self._endpoints: dict[tuple[int, str], Endpoint] = {}

    def add(self, node_id: int, endpoint: Endpoint) -> None:
        self._endpoints[(node_id, endpoint.listener)] = endpoint

    def endpoints(self, node_id: int) -> list[Endpoint]:
        """In the order they were opened."""
        return [endpoint for (node, _), endpoint in self._endpoints.items() if node == node_id]

    def for_node(self, node_id: int, ctx: RequestContext) -> tuple[str, int] | None:
        """Host and port of a node on the listener the request came in by; None when it has no such listener.

        Untold, a node is where the client reached it: that works on loopback and through containers' port mappings
        as long as the port is the same; `advertised.listeners` is for when it is not.
        """
        connection = ctx.connection
        endpoint = self._endpoints.get((node_id, connection.listener))
        if endpoint is None:
            return None
        if endpoint.advertised is not None:
            host, port = endpoint.advertised
            return (host or connection.local_host, port or endpoint.bound_port)
        return (connection.local_host, endpoint.bound_port)
