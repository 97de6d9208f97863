"""What handlers of topics and of the cluster need to be called: a running controller, a context, an address book."""

from __future__ import annotations

from typing import Any

from broker.addresses import AddressBook, Endpoint
from broker.context import ConnectionContext, RequestContext
from broker.controller.controller import Controller
from broker.deferred import start
from kwire import codec
from tests.broker.controller.controller_world import MemoryLog, running


class AdminWorld:
    """A controller with `nodes` brokers, each with the listener PLAINTEXT on port 9091 + its id."""

    def __init__(self, nodes: int = 1, **settings: Any) -> None:
        self.controller: Controller
        self.log: MemoryLog
        self.controller, self.log = running(nodes=nodes, **settings)
        self.addresses = AddressBook()
        for node in range(1, nodes + 1):
            self.addresses.add(node, Endpoint("PLAINTEXT", "PLAINTEXT", "127.0.0.1", 9091 + node, None))

    def call(self, handler: Any, request: Any, version: int) -> Any:
        """Call a handler as the dispatcher does; the request and the answer go through the codec."""
        request = codec.decode(type(request), version, codec.encode(request, version))
        connection = ConnectionContext("PLAINTEXT", "127.0.0.1", "127.0.0.1", 9092, "User:ANONYMOUS", 1)
        ctx = RequestContext(connection, 0, version, 1, "test")
        wanted = handler.__code__.co_varnames[2 : handler.__code__.co_argcount]
        services = [getattr(self, name) for name in wanted]
        answer = handler(request, ctx, *services)
        if hasattr(answer, "send"):
            answer = start(answer).result()
        module = __import__(type(request).__module__, fromlist=["x"])
        response = getattr(module, type(request).__name__.removesuffix("Request") + "Response")
        raw = answer if isinstance(answer, bytes) else codec.encode(answer, version)
        return codec.decode(response, version, raw)
