"""The HTTP server with tables of its own: framing, bounds, slow clients, streams."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from typing import Annotated, Any

import h11
import msgspec
import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Meta

from broker.clock import ManualClock
from broker.deferred import Deferred
from broker.http.door import HttpSettings
from broker.http.endpoint import Call, ControlError, Endpoint, Event, EventStream, Text
from broker.http.limits import HttpLimits
from tests.broker.http_helpers import Door, served


class Thing(msgspec.Struct, forbid_unknown_fields=True):
    """What the tests send."""

    name: str
    size: Annotated[int, Meta(ge=0, le=9)] = 0


class ThingQuery(msgspec.Struct, forbid_unknown_fields=True):
    """What they ask."""

    times: Annotated[int, Meta(ge=1)] = 1
    tags: list[str] = []
    loud: bool = False
    most: int | None = None
    word: str | None = None


def echo(call: Call, body: Thing) -> Thing:
    return body


def ask(call: Call) -> dict[str, Any]:
    query: ThingQuery = call.query
    return {"times": query.times, "tags": query.tags, "loud": query.loud, "id": call.path["id"], "word": query.word}


def fail(call: Call) -> None:
    raise RuntimeError("broken on purpose")


def refuse(call: Call) -> None:
    raise ControlError(409, "in_the_way", "there is one already", allowed=["another"])


def text(call: Call) -> Text:
    return Text("a 1\n")


def nothing(call: Call) -> None:
    return None


ENDPOINTS = [
    Endpoint("POST", "/things", echo, body=Thing, answer=Thing, status=201),
    Endpoint("GET", "/things/{id}", ask, query=ThingQuery, answer=dict),
    Endpoint("DELETE", "/things/{id}", nothing),
    Endpoint("GET", "/fail", fail, answer=Thing),
    Endpoint("GET", "/refuse", refuse, answer=Thing),
    Endpoint("GET", "/text", text, answer=Text),
    Endpoint("GET", "/open", text, answer=Text, open=True),
]


def settings(**limits: int) -> HttpSettings:
    return HttpSettings(port=0, limits=HttpLimits(**limits))


async def raw(door: Door, data: bytes) -> bytes:
    """All that is answered to these bytes, until the server closes."""
    stream = await trio.open_tcp_stream("127.0.0.1", door.door.port)
    async with stream:
        await stream.send_all(data)
        found = b""
        while part := await stream.receive_some(65536):
            found += part
        return found


async def until(true: Callable[[], object]) -> None:
    while not true():
        await trio.lowlevel.checkpoint()


def status_of(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


def test_requests_of_one_connection() -> None:
    async def main() -> None:
        async with served(ENDPOINTS) as door:
            client = await door.connect()
            async with client.stream:
                made = await client.request("POST", "/things", {"name": "x", "size": 3})
                assert (made.status, made.json) == (201, {"name": "x", "size": 3})
                found = await client.request("GET", "/things/a%2Fb?times=2&tags=x&tags=y&loud=true&word=null")
                assert found.json == {"times": 2, "tags": ["x", "y"], "loud": True, "id": "a/b", "word": "null"}
                gone = await client.request("DELETE", "/things/1")
                assert (gone.status, gone.body, "content-length" in gone.headers) == (204, b"", False)
                head = await client.request("HEAD", "/things/1")
                assert (head.status, head.body, head.headers["content-length"]) == (200, b"", "55")
                plain = await client.request("GET", "/text")
                assert (plain.headers["content-type"], plain.body) == ("text/plain; charset=utf-8", b"a 1\n")
                refused = await client.request("GET", "/refuse")
                assert refused.status == 409
                assert refused.error == {
                    "code": "in_the_way",
                    "message": "there is one already",
                    "allowed": ["another"],
                }

    trio.run(main)


@pytest.mark.parametrize(
    ("method", "target", "status", "code"),
    [
        ("GET", "/nothing", 404, "unknown_path"),
        ("GET", "/things/", 404, "unknown_path"),
        ("GET", "/things/1/", 404, "unknown_path"),
        ("PUT", "/things/1", 405, "method_not_allowed"),
        ("OPTIONS", "/things/1", 405, "method_not_allowed"),
        ("GET", "/things/%ff", 400, "invalid_path"),
        ("GET", "/things/1?times=0", 400, "invalid_query"),
        ("GET", "/things/1?times=x", 400, "invalid_query"),
        ("GET", "/things/1?times=1&times=2", 400, "invalid_query"),
        ("GET", "/things/1?time=1", 400, "invalid_query"),
        ("GET", "/things/1?most=null", 400, "invalid_query"),
        ("GET", "/things/1?times=%ff", 400, "invalid_query"),
        ("GET", "/text?a=1", 400, "invalid_query"),
    ],
)
def test_refusals_by_the_head(method: str, target: str, status: int, code: str) -> None:
    async def main() -> None:
        async with served(ENDPOINTS) as door:
            client = await door.connect()
            async with client.stream:
                answer = await client.request(method, target)
                assert (answer.status, answer.error["code"]) == (status, code)
                if status == 405:
                    assert answer.headers["allow"] == "DELETE, GET, HEAD"
                # The connection is as good as before.
                assert (await client.request("GET", "/text")).status == 200

    trio.run(main)


@pytest.mark.parametrize(
    ("body", "code", "message", "allowed"),
    [
        (b'{"name": 1}', "invalid_body", "body.name: Expected `str`, got `int`", None),
        (
            b'{"name": "a", "colour": 1}',
            "invalid_body",
            "body: Object contains unknown field `colour`",
            ["name", "size"],
        ),
        (b'{"name": "a", "size": 10}', "invalid_body", "body.size: Expected `int` <= 9", None),
        (b"{}", "invalid_body", "body: Object missing required field `name`", ["name", "size"]),
        (b"", "invalid_body", "body: Object missing required field `name`", ["name", "size"]),
        (b"{", "invalid_json", "the body is not JSON: Input data was truncated", None),
        (b'{"name": "\xff"}', "invalid_json", None, None),
    ],
)
def test_bodies_that_do_not_fit(body: bytes, code: str, message: str | None, allowed: list[str] | None) -> None:
    async def main() -> None:
        async with served(ENDPOINTS) as door:
            answer = await door.request("POST", "/things", body)
            assert (answer.status, answer.error["code"]) == (400, code)
            assert message is None or answer.error["message"] == message
            assert answer.error.get("allowed") == allowed

    trio.run(main)


def test_kinds_of_bodies() -> None:
    async def main() -> None:
        async with served(ENDPOINTS) as door:
            form = [("Content-Type", "application/x-www-form-urlencoded")]
            answer = await door.request("POST", "/things", b"name=x", headers=form)
            assert (answer.status, answer.error["allowed"]) == (415, ["application/json"])
            packed = [("Content-Encoding", "gzip")]
            assert (await door.request("POST", "/things", b"x", headers=packed)).status == 415
            with_charset = [("Content-Type", "application/json; charset=utf-8")]
            assert (await door.request("POST", "/things", b'{"name":"x"}', headers=with_charset)).status == 201
            chunked = (
                b"POST /things HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nConnection: close\r\n"
                b'Transfer-Encoding: chunked\r\n\r\n5\r\n{"nam\r\n7\r\ne":"y"}\r\n0\r\n\r\n'
            )
            assert (await raw(door, chunked)).endswith(b'{"name":"y","size":0}')
            assert (await door.request("DELETE", "/things/1", b'{"a":1}')).error["code"] == "invalid_body"

    trio.run(main)


def test_too_large_bodies() -> None:
    async def main() -> None:
        async with served(ENDPOINTS, settings(body_bytes=1000)) as door:
            answer = await door.request("POST", "/things", {"name": "x" * 1000})
            assert (answer.status, answer.error["code"]) == (413, "body_too_large")
            # Told by its length alone, the body need not come.
            head = b"POST /things HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            assert status_of(await raw(door, head + b"Content-Length: 99999999\r\nExpect: 100-continue\r\n\r\n")) == 413
            chunks = b"100\r\n" + b"x" * 256 + b"\r\n"
            assert status_of(await raw(door, head + b"Transfer-Encoding: chunked\r\n\r\n" + chunks * 20)) == 413
            assert (await door.request("POST", "/things", {"name": "x" * 900})).status == 201

    trio.run(main)


def test_many_large_bodies_at_once() -> None:
    async def main() -> None:
        async with served(ENDPOINTS, settings(all_bodies_bytes=1500)) as door:
            head = b"POST /things HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            first = await trio.open_tcp_stream("127.0.0.1", door.door.port)
            async with first:
                await first.send_all(head + b"Content-Length: 1000\r\n\r\n" + b" " * 999)
                await until(lambda: door.door._application and door.door._application.buffered_bytes == 999)
                refused = await door.request("POST", "/things", {"name": "x" * 900})
                assert (refused.status, refused.error["code"]) == (503, "busy")
                assert (await door.request("POST", "/things", {"name": "x"})).status == 201
            await until(lambda: door.door._application and door.door._application.buffered_bytes == 0)
            assert (await door.request("POST", "/things", {"name": "x" * 900})).status == 201

    trio.run(main)


def test_waiting_for_100_continue() -> None:
    async def main() -> None:
        async with served(ENDPOINTS) as door:
            stream = await trio.open_tcp_stream("127.0.0.1", door.door.port)
            async with stream:
                await stream.send_all(
                    b"POST /things HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                    b"Content-Length: 12\r\nExpect: 100-continue\r\n\r\n"
                )
                assert (await stream.receive_some(100)).startswith(b"HTTP/1.1 100 ")
                await stream.send_all(b'{"name":"x"}')
                assert b" 201 " in await stream.receive_some(1000)

    trio.run(main)


def test_what_is_no_http() -> None:
    async def main() -> None:
        async with served(ENDPOINTS, settings(head_bytes=2000)) as door:
            for data, status in (
                (b"\x16\x03\x01 a TLS hello\r\n\r\n", 400),
                (b"GET / HTTP/1.1\r\n\r\n", 400),  # no Host
                (b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 3000, 431),
                (b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n", 400),
                (b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
                (b"POST /things HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: gzip\r\n\r\n", 501),
            ):
                answer = await raw(door, data)
                assert status_of(answer) == status, (data[:40], answer)
                assert json.loads(answer.partition(b"\r\n\r\n")[2])["error"]["message"]
            assert (await door.request("GET", "/text")).status == 200

    trio.run(main)


def test_http_1_0_and_the_absolute_form() -> None:
    async def main() -> None:
        async with served(ENDPOINTS) as door:
            assert (await raw(door, b"GET /text HTTP/1.0\r\n\r\n")).endswith(b"a 1\n")
            absolute = b"GET http://localhost/text HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
            assert (await raw(door, absolute)).endswith(b"a 1\n")

    trio.run(main)


def test_pipelined_requests() -> None:
    async def main() -> None:
        async with served(ENDPOINTS) as door:
            one = b"GET /text HTTP/1.1\r\nHost: localhost\r\n\r\n"
            last = b"GET /text HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
            assert (await raw(door, one * 20 + last)).count(b"a 1\n") == 21

    trio.run(main)


def test_an_unexpected_error_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async with served(ENDPOINTS) as door:
            client = await door.connect()
            async with client.stream:
                answer = await client.request("GET", "/fail")
                assert (answer.status, answer.error["code"]) == (500, "internal_error")
                assert "broken on purpose" not in answer.body.decode()
                assert (await client.request("GET", "/text")).status == 200

    with caplog.at_level(logging.INFO):
        trio.run(main)
    (record,) = caplog.records
    assert record.exc_info is not None
    assert "broken on purpose" in str(record.exc_info[1])


def test_requests_are_logged_at_debug(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async with served(ENDPOINTS) as door:
            await door.request("GET", "/text")
            await door.request("GET", "/nothing")

    with caplog.at_level(logging.DEBUG, logger="kwire.http"):
        trio.run(main)
    assert [record.getMessage() for record in caplog.records] == ["GET /text 200", "GET /nothing 404"]


def test_who_may_ask() -> None:
    async def main() -> None:
        async with served(ENDPOINTS) as door:
            for host in ("localhost", "localhost:9380", "127.0.0.1:1", "[::1]:9380", "LOCALHOST"):
                assert (await door.request("GET", "/text", host=host)).status == 200, host
            for host in ("evil.example", "127.0.0.1.evil.example", "localhost.evil.example:80", "192.168.0.1"):
                answer = await door.request("GET", "/text", host=host)
                assert (answer.status, answer.error["code"]) == (403, "foreign_host"), host
                assert (await door.request("GET", "/unknown", host=host)).status == 403
            same = [("Origin", "http://localhost:9380")]
            assert (await door.request("GET", "/text", headers=same, host="localhost:9380")).status == 200
            for origin in ("http://evil.example", "null", "https://localhost:9380", "http://localhost:1"):
                answer = await door.request("GET", "/text", headers=[("Origin", origin)], host="localhost:9380")
                assert (answer.status, answer.error["code"]) == (403, "foreign_origin"), origin
                assert "access-control-allow-origin" not in answer.headers

    trio.run(main)


def test_the_token() -> None:
    async def main() -> None:
        async with served(ENDPOINTS, HttpSettings(port=0, token="correct-horse")) as door:
            for headers in (
                [],
                [("Authorization", "Bearer correct-hors")],
                [("Authorization", "Basic correct-horse")],
                [("Authorization", "Bearer correct-horse correct-horse")],
            ):
                answer = await door.request("GET", "/text", headers=headers)
                assert (answer.status, answer.error["code"]) == (401, "unauthorized")
                assert answer.headers["www-authenticate"] == 'Bearer realm="kwire"'
            good = [("Authorization", "Bearer correct-horse")]
            assert (await door.request("GET", "/text", headers=good)).status == 200
            # Reached by a name we do not know: a container's.
            assert (await door.request("GET", "/text", headers=good, host="kwire:9380")).status == 200
            assert (await door.request("GET", "/open", host="kwire:9380")).status == 200
            assert (await door.request("GET", "/unknown")).status == 401

    trio.run(main)


def test_slow_clients() -> None:
    async def main() -> None:
        clock = ManualClock()
        async with served(ENDPOINTS, settings(), clock) as door:

            async def begun(data: bytes) -> trio.SocketStream:
                stream = await trio.open_tcp_stream("127.0.0.1", door.door.port)
                await stream.send_all(data)
                await until(lambda: door.door._connections)
                await trio.testing.wait_all_tasks_blocked(0.01)
                return stream

            async def nobody() -> None:
                await until(lambda: not door.door._connections)

            async with await begun(b"GET /te") as stream:
                clock.advance(door.door.settings.limits.head_ms)
                assert status_of(await stream.receive_some(1000)) == 408
            await nobody()
            head = b"POST /things HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            async with await begun(head + b"Content-Length: 100\r\n\r\n{") as stream:
                clock.advance(door.door.settings.limits.body_ms)
                assert status_of(await stream.receive_some(1000)) == 408
            await nobody()
            async with await begun(b"") as stream:
                clock.advance(door.door.settings.limits.idle_ms)
                assert await stream.receive_some(1000) == b""
            await nobody()

    trio.run(main)


def test_a_client_that_does_not_read() -> None:
    large = Text(b"x" * 32 * 1024 * 1024)

    async def main() -> None:
        clock = ManualClock()
        async with served([Endpoint("GET", "/", lambda call: large, answer=Text)], settings(), clock) as door:
            stream = await trio.open_tcp_stream("127.0.0.1", door.door.port)
            async with stream:
                await stream.send_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
                await until(lambda: door.door._connections)
                await trio.testing.wait_all_tasks_blocked(0.05)
                clock.advance(door.door.settings.limits.send_ms)
                await until(lambda: not door.door._connections)

    trio.run(main)


def test_many_connections() -> None:
    async def main() -> None:
        async with served(ENDPOINTS, settings(connections=20)) as door:
            clients = [await door.connect() for _ in range(20)]
            for client in clients:
                assert (await client.request("GET", "/text")).status == 200
            assert status_of(await raw(door, b"")) == 503
            await trio.aclose_forcefully(clients[0].stream)
            await until(lambda: door.door._connections < 20)
            assert (await door.request("GET", "/text")).status == 200
            for client in clients:
                await trio.aclose_forcefully(client.stream)

    trio.run(main)


def test_clients_that_leave() -> None:
    async def main() -> None:
        async with served(ENDPOINTS) as door:
            for data in (
                b"",
                b"GET /te",
                b"POST /things HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n"
                b"Content-Type: application/json\r\n\r\n{",
            ):
                stream = await trio.open_tcp_stream("127.0.0.1", door.door.port)
                await stream.send_all(data)
                await trio.aclose_forcefully(stream)
            assert (await door.request("GET", "/text")).status == 200
            await until(lambda: not door.door._connections)

    trio.run(main)


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


HTTP_LIKE = st.lists(
    st.one_of(
        st.binary(max_size=30),
        st.sampled_from(
            [
                b"GET /text HTTP/1.1\r\n",
                b"POST /things HTTP/1.1\r\n",
                b"Host: localhost\r\n",
                b"\r\n",
                b"Content-Length: 5\r\n",
                b"Transfer-Encoding: chunked\r\n",
                b"5\r\nabcde\r\n",
                b"0\r\n\r\n",
                b"Expect: 100-continue\r\n",
                b"Connection: upgrade\r\nUpgrade: websocket\r\n",
            ]
        ),
    ),
    max_size=12,
)


def test_any_bytes_are_answered_or_refused() -> None:
    """Whatever a client sends, what comes back is HTTP, the connection ends, and others are served."""

    async def main(pieces: list[bytes], door: Door) -> None:
        stream = await trio.open_tcp_stream("127.0.0.1", door.door.port)
        async with stream:
            answer = b""
            try:
                for piece in pieces:
                    await stream.send_all(piece)
                await stream.send_eof()
                while part := await stream.receive_some(65536):
                    answer += part
            except trio.BrokenResourceError:
                pass
            assert not answer or answer.startswith(b"HTTP/1.1 "), answer
            assert b" 500 " not in answer[:20]

    async def all_of_them() -> None:
        async with served(ENDPOINTS, settings(body_bytes=100, head_bytes=300)) as door:
            examples: list[list[bytes]] = []

            @given(HTTP_LIKE)
            def collect(pieces: list[bytes]) -> None:
                examples.append(pieces)

            collect()
            for pieces in examples:
                await main(pieces, door)
            assert (await door.request("GET", "/text")).status == 200

    trio.run(all_of_them)
