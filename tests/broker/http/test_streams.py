"""Server-sent events, and waiting for the broker."""

from __future__ import annotations

from typing import Any

import h11
import pytest
import trio

from broker.clock import ManualClock
from broker.deferred import Deferred
from broker.http.endpoint import Call, Endpoint, Event, EventStream
from tests.broker.http_helpers import served
from tests.broker.http_table import ENDPOINTS, settings, until


class Source:
    """One stream at a time, for the tests to send to."""

    def __init__(self) -> None:
        self.stream: EventStream | None = None
        self.closed = 0

    def open(self, call: Call) -> EventStream:
        self.stream = EventStream(self._count, queue=10)
        return self.stream

    def _count(self) -> None:
        self.closed += 1

    @property
    def endpoints(self) -> list[Endpoint]:
        return [Endpoint("GET", "/events", self.open, answer=EventStream), *ENDPOINTS]


def test_events_and_their_ends() -> None:
    async def main() -> None:
        source = Source()
        async with served(source.endpoints) as door:
            client = await door.connect()
            client.h11.send(h11.Request(method="GET", target="/events", headers=[("Host", "localhost")]))
            await client.stream.send_all(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")
            head = await client.head()
            assert (head.status, head.headers["content-type"]) == (200, "text/event-stream")
            assert source.stream is not None
            source.stream.send(Event({"a": 1}, "thing", "7"))
            source.stream.send(Event([1]))
            events = client.events()
            assert await anext(events) == ("7", "thing", {"a": 1})
            assert await anext(events) == (None, None, [1])
            source.stream.send(Event("last"))
            source.stream.end()
            assert [event async for event in events] == [(None, None, "last")]
            await until(lambda: source.closed == 1)
            await trio.aclose_forcefully(client.stream)

            # The client goes.
            client = await door.connect()
            await client.stream.send_all(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")
            await client.stream.receive_some(1000)
            await trio.aclose_forcefully(client.stream)
            await until(lambda: source.closed == 2)
            source.stream.send(Event("to nobody"))

            head = await door.request("HEAD", "/events")
            assert (head.status, head.body) == (200, b"")
            await until(lambda: source.closed == 3)

            # The broker stops.
            client = await door.connect()
            client.h11.send(h11.Request(method="GET", target="/events", headers=[("Host", "localhost")]))
            await client.stream.send_all(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")
            await client.head()
            idle = await door.connect()
            await idle.request("GET", "/text")
            door.door.stop()
            assert [event async for event in client.events()] == []
            assert await idle.stream.receive_some(10) == b""
            await trio.aclose_forcefully(idle.stream)
            await trio.aclose_forcefully(client.stream)
            await until(lambda: source.closed == 4)
            with pytest.raises(OSError, match="connect"):
                await trio.open_tcp_stream("127.0.0.1", door.door.port)

    trio.run(main)


def test_events_of_a_slow_client_are_dropped_with_a_notice() -> None:
    async def main() -> None:
        stream = EventStream(queue=10)
        for number in range(25):
            stream.send(Event(number))
        assert [event.data for event in await stream.next_events()] == [*range(10), {"dropped": 15}]
        stream.send(Event("again"))
        assert [event.data for event in await stream.next_events()] == ["again"]
        for _ in range(3):
            stream.send(Event("large", size=3 * 1024 * 1024))
        assert [event.data for event in await stream.next_events()] == ["large", {"dropped": 2}]
        stream.end()
        stream.send(Event("too late"))
        assert await stream.next_events() == []

    trio.run(main)


def test_a_silent_stream_says_that_it_is_there() -> None:
    async def main() -> None:
        clock = ManualClock()
        source = Source()
        async with served(source.endpoints, settings(), clock) as door:
            stream = await trio.open_tcp_stream("127.0.0.1", door.door.port)
            async with stream:
                await stream.send_all(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")
                await stream.receive_some(1000)
                await trio.testing.wait_all_tasks_blocked(0.01)
                clock.advance(door.door.settings.limits.keep_alive_ms)
                assert b":\n\n" in await stream.receive_some(1000)

    trio.run(main)


def test_waiting_for_the_broker() -> None:
    async def main() -> None:
        deferred: Deferred[int] = Deferred()

        async def wait(call: Call) -> dict[str, Any]:
            done = await call.wait_at_most(deferred, 1000)
            return {"done": done, "value": await call.wait(deferred) if done else None}

        clock = ManualClock()
        async with served([Endpoint("GET", "/", wait, answer=dict)], settings(), clock) as door:
            answers: list[Any] = []

            async def ask() -> None:
                answers.append((await door.request("GET", "/")).json)

            async with trio.open_nursery() as nursery:
                nursery.start_soon(ask)
                await trio.testing.wait_all_tasks_blocked(0.01)
                clock.advance(1000)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(ask)
                await trio.testing.wait_all_tasks_blocked(0.01)
                deferred.resolve(5)
            assert answers == [{"done": False, "value": None}, {"done": True, "value": 5}]

    trio.run(main)


def test_a_client_that_goes_is_not_waited_for() -> None:
    async def main() -> None:
        ended: list[bool] = []

        async def wait(call: Call) -> dict[str, Any]:
            ended.append(await call.wait_at_most(Deferred(), 1_000_000))
            return {}

        async with served([Endpoint("GET", "/", wait, answer=dict), *ENDPOINTS]) as door:
            stream = await trio.open_tcp_stream("127.0.0.1", door.door.port)
            await stream.send_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            await trio.testing.wait_all_tasks_blocked(0.01)
            await trio.aclose_forcefully(stream)
            await until(lambda: not door.door._connections)
            assert ended == [False]
            # What follows a request that waits is answered after it.
            stream = await trio.open_tcp_stream("127.0.0.1", door.door.port)
            async with stream:
                await stream.send_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
                await trio.testing.wait_all_tasks_blocked(0.01)
                await stream.send_all(b"GET /text HTTP/1.1\r\nHost: localhost\r\n\r\n")
                await trio.testing.wait_all_tasks_blocked(0.01)
                door.door.stopping.set()
                assert b"{}" in await stream.receive_some(1000)

    trio.run(main)


@pytest.mark.parametrize("leaves", [False, True])
def test_a_stream_to_who_does_not_read(leaves: bool, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        clock = ManualClock()
        source = Source()
        async with served(source.endpoints, settings(), clock) as door:
            stream = await trio.open_tcp_stream("127.0.0.1", door.door.port)
            async with stream:
                await stream.send_all(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")
                await stream.receive_some(1000)
                assert source.stream is not None
                for _ in range(5):
                    source.stream.send(Event("x" * 4_000_000))
                await trio.testing.wait_all_tasks_blocked(0.02)
                if leaves:
                    await trio.aclose_forcefully(stream)
                else:
                    clock.advance(door.door.settings.limits.send_ms)
                await until(lambda: not door.door._connections)
            assert source.closed == 1

    trio.run(main)
    assert [record.getMessage() for record in caplog.records if record.levelname == "ERROR"] == []
