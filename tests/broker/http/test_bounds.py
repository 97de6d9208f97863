"""Bounds on what clients may ask: sizes, times, connections; any bytes."""

from __future__ import annotations

import trio
from hypothesis import given
from hypothesis import strategies as st

from broker.clock import ManualClock
from broker.http.endpoint import Endpoint, Text
from tests.broker.http_helpers import Door, served
from tests.broker.http_table import ENDPOINTS, raw, settings, status_of, until


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
            # Who is idle makes room, the longest idle one first.
            assert (await door.request("GET", "/text")).status == 200
            assert await clients[0].stream.receive_some(1) == b""
            for client in clients[1:]:
                await client.stream.send_all(b"GET /te")
            last = await door.connect()
            await last.stream.send_all(b"GET /te")
            await until(lambda: door.door._connections == 20 and not door.door._idle)
            assert status_of(await raw(door, b"")) == 503
            await trio.aclose_forcefully(last.stream)
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
