"""A listener with a made-up dispatcher, and clients for it."""

from __future__ import annotations

import contextlib
import struct
from collections.abc import AsyncIterator, Callable
from typing import Any

import trio
from attrs import define, field

from broker.clock import real_monotonic_ms
from broker.connection import Connection
from broker.deferred import Deferred
from broker.dispatch import Answer, MalformedRequestError
from broker.listener import ConnectionHost, Listener
from broker.memory import BytePool
from broker.reactor import Reactor

# Whose test lasts that long, hangs: also on a slow machine that does much else.
LIMIT_S = 90


class ScriptedDispatcher:
    """Answers a frame with what `answer(frame)` gives; `bad` frames are malformed; keeps what it saw."""

    gate = None

    def __init__(self, answer: Callable[[bytes], Any]) -> None:
        self._answer = answer
        self.frames: list[bytes] = []

    def dispatch(self, frame: memoryview, connection: Connection) -> Answer | Deferred[Answer]:
        data = bytes(frame)
        if data == b"bad":
            raise MalformedRequestError("the frame says bad")
        self.frames.append(data)
        return self._answer(data)  # type: ignore[no-any-return]


@define
class Running:
    reactor: Reactor
    host: ConnectionHost
    listener: Listener
    dispatcher: ScriptedDispatcher
    clients: list[trio.SocketStream] = field(factory=list)

    async def connect(self) -> trio.SocketStream:
        stream = await trio.open_tcp_stream("127.0.0.1", self.listener.port)
        self.clients.append(stream)
        return stream


@contextlib.asynccontextmanager
async def running_listener(
    answer: Callable[[bytes], Any],
    *,
    tls: Any = None,
    pool_bytes: int = 1 << 30,
    max_request_bytes: int = 100 << 20,
    max_connections: int = 10_000,
    idle_ms: int = -1,
) -> AsyncIterator[Running]:
    reactor = Reactor()
    dispatcher = ScriptedDispatcher(answer)
    host = ConnectionHost(
        reactor,
        byte_pool=BytePool(pool_bytes),
        max_request_bytes=max_request_bytes,
        max_connections=max_connections,
        connections_max_idle_ms=idle_ms,
    )
    listener = Listener(
        host,
        dispatcher,  # type: ignore[arg-type]
        name="PLAINTEXT",
        node_id=1,
        bind_host="127.0.0.1",
        bind_port=0,
        tls=tls,
    )
    listener.start()
    running = Running(reactor, host, listener, dispatcher)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(reactor.run)
        try:
            with trio.fail_after(LIMIT_S):
                yield running
        finally:
            for client in running.clients:
                await trio.aclose_forcefully(client)
            listener.close()
            host.close()
            reactor.stop()
    reactor.close()


def frame(body: bytes) -> bytes:
    return struct.pack(">i", len(body)) + body


async def receive_exactly(stream: Any, size: int) -> bytes:
    data = b""
    while len(data) < size:
        part = await stream.receive_some(size - len(data))
        if not part:
            raise EOFError(f"the connection ended after {len(data)} of {size} bytes")
        data += part
    return data


async def settled(reactor: Reactor, check: Callable[[], bool], what: str) -> None:
    """Let the loop turn until `check()` holds."""
    deadline_ms = real_monotonic_ms() + LIMIT_S * 500
    while not check():
        if real_monotonic_ms() > deadline_ms:
            raise AssertionError(f"never came true: {what}")
        done = trio.Event()
        reactor.call_soon(done.set)
        await done.wait()
