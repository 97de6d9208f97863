"""The HTTP server in the test's process, and a client that speaks to it over its socket."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import h11
import trio
from attrs import define

from broker.clock import SystemClock
from broker.cluster import Cluster
from broker.config.broker_config import BrokerConfig
from broker.control.plane import ControlPlane
from broker.control.table import application
from broker.http.application import Application
from broker.http.door import HttpDoor, HttpSettings
from broker.http.endpoint import Endpoint
from broker.http.guard import Guard
from broker.virtual.registry import VirtualClusters
from tests.broker.cluster_helpers import Running, running_server
from tests.broker.server_helpers import LIMIT_S


@define
class HttpAnswer:
    """status, headers by lower case name, the body's bytes."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> dict[str, Any]:
        return self.json["error"]


class HttpClient:
    """One kept connection."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self.stream = stream
        self.h11 = h11.Connection(h11.CLIENT)

    async def request(
        self,
        method: str,
        target: str,
        body: Any = None,
        headers: Sequence[tuple[str, str]] = (),
        *,
        host: str = "127.0.0.1",
    ) -> HttpAnswer:
        data = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        sent = [("Host", host), *headers]
        if body is not None:
            sent.append(("Content-Length", str(len(data))))
            if not any(name.lower() == "content-type" for name, _ in headers):
                sent.append(("Content-Type", "application/json"))
        await self.send(self.h11.send(h11.Request(method=method, target=target, headers=sent)))
        if data:
            await self.send(self.h11.send(h11.Data(data=data)))
        await self.send(self.h11.send(h11.EndOfMessage()))
        answer = await self.answer()
        if self.h11.states == {h11.CLIENT: h11.DONE, h11.SERVER: h11.DONE}:
            self.h11.start_next_cycle()
        return answer

    async def send(self, data: bytes | None) -> None:
        if data:
            await self.stream.send_all(data)

    async def answer(self) -> HttpAnswer:
        found = await self.head()
        while not isinstance(event := await self.event(), h11.EndOfMessage):
            found.body += bytes(event.data)
        return found

    async def head(self) -> HttpAnswer:
        while True:
            event = await self.event()
            if isinstance(event, h11.Response):
                headers = {name.decode(): value.decode() for name, value in event.headers}
                return HttpAnswer(event.status_code, headers, b"")
            if isinstance(event, h11.ConnectionClosed):
                raise EOFError("the server closed the connection")

    async def event(self) -> Any:
        while (event := self.h11.next_event()) is h11.NEED_DATA:
            self.h11.receive_data(bytes(await self.stream.receive_some(65536)))
        return event

    async def events(self) -> AsyncGenerator[tuple[str | None, str | None, Any], None]:
        """(id, event, data) of a stream whose head was read."""
        rest = b""
        while isinstance(event := await self.event(), h11.Data):
            rest += bytes(event.data)
            while b"\n\n" in rest:
                block, _, rest = rest.partition(b"\n\n")
                lines = dict(line.split(b": ", 1) for line in block.split(b"\n") if b": " in line)
                if b"data" in lines:
                    name, number = lines.get(b"event"), lines.get(b"id")
                    yield (
                        None if number is None else number.decode(),
                        None if name is None else name.decode(),
                        json.loads(lines[b"data"]),
                    )


@define
class Door:
    """A door that is served; `connect` as often as wanted."""

    door: HttpDoor

    async def connect(self) -> HttpClient:
        return HttpClient(await trio.open_tcp_stream("127.0.0.1", self.door.port))

    async def request(self, *args: Any, **kwargs: Any) -> HttpAnswer:
        client = await self.connect()
        async with client.stream:
            return await client.request(*args, **kwargs)


@contextlib.asynccontextmanager
async def served(
    endpoints: Sequence[Endpoint], settings: HttpSettings | None = None, clock: SystemClock | None = None
) -> AsyncIterator[Door]:
    """A table of a test's own, without any cluster. clock: of the bounds on time; without one they are not kept."""
    settings = HttpSettings(port=0) if settings is None else settings
    clock = SystemClock() if clock is None else clock

    def made(door: HttpDoor) -> Application:
        return Application(
            None,
            endpoints,
            guard=Guard(door.settings.host, door.settings.token),
            limits=door.settings.limits,
            call_later=door.call_later,
            stopping=door.stopping,
        )

    door = HttpDoor(settings, made, clock.call_later)
    with trio.fail_after(LIMIT_S):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(door.run)
            yield Door(door)
            door.stop()
            nursery.cancel_scope.cancel()


@define
class Plane:
    """A server with the process's own cluster, `default`, and its control plane."""

    running: Running
    default: Cluster
    clusters: VirtualClusters
    control: ControlPlane
    door: Door
    client: HttpClient

    async def request(self, method: str, path: str, body: Any = None) -> HttpAnswer:
        """Over one kept connection."""
        return await self.client.request(method, path, body)

    async def get(self, path: str) -> Any:
        """The JSON of a 200."""
        return await self._expect("GET", path, None)

    async def post(self, path: str, body: Any = None) -> Any:
        return await self._expect("POST", path, {} if body is None else body)

    async def _expect(self, method: str, path: str, body: Any) -> Any:
        answer = await self.request(method, path, body)
        assert 200 <= answer.status < 300, (answer.status, answer.body)
        return answer.json if answer.body else None


@contextlib.asynccontextmanager
async def running_plane(directory: Path) -> AsyncIterator[Plane]:
    """The whole control plane in the test's process."""
    async with running_server(directory) as running:
        default = running.add("default")
        server = running.server
        config = BrokerConfig({})
        clusters = VirtualClusters(server, default, config, spill_directory=str(directory))
        plane = ControlPlane(server, clusters, config)
        door = HttpDoor(HttpSettings(port=0), lambda door: application(plane, door), server.host.call_later)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(door.run)
            client = await Door(door).connect()
            try:
                yield Plane(running, default, clusters, plane, Door(door), client)
            finally:
                with trio.CancelScope(shield=True):
                    await trio.aclose_forcefully(client.stream)
                door.stop()
            await door.drain()
            nursery.cancel_scope.cancel()
