"""Connections: framing, order of answers, back pressure, bounds on memory, and what ends one."""

from __future__ import annotations

import gc
import logging
import os
import struct
import weakref
from pathlib import Path

import pytest
import trio

from broker import transport
from broker.deferred import Deferred
from broker.dispatch import Refusal
from broker.listener import SCRATCH_BYTES
from log.storage import FileRange, RealStorage
from tests.broker.server_helpers import frame, receive_exactly, running_listener, settled


def test_frames_are_answered_in_order_however_they_arrive() -> None:
    bodies = [bytes([65 + n]) * size for n, size in enumerate((1, 0, 5, 300, 70_000, 3, 300_000, 2))]
    sent = b"".join(map(frame, bodies))

    async def main() -> None:
        async with running_listener(frame) as running:
            for step in (len(sent), 1_000, 65_537, 4096):
                stream = await running.connect()
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(_send_in_steps, stream, sent, step)
                    assert await receive_exactly(stream, len(sent)) == sent, f"in steps of {step}"
            small = b"".join(map(frame, bodies[:4]))
            stream = await running.connect()
            await _send_in_steps(stream, small, 1)
            assert await receive_exactly(stream, len(small)) == small

    trio.run(main)


async def _send_in_steps(stream: trio.SocketStream, data: bytes, step: int) -> None:
    for start in range(0, len(data), step):
        await stream.send_all(data[start : start + step])


def test_a_request_that_waits_holds_back_the_next_ones_of_its_connection_only() -> None:
    waiting: Deferred[bytes] = Deferred()

    async def main() -> None:
        async with running_listener(lambda body: waiting if body == b"wait" else frame(body)) as running:
            first, other = await running.connect(), await running.connect()
            await first.send_all(frame(b"wait") + frame(b"next"))
            await other.send_all(frame(b"free"))
            assert await receive_exactly(other, 8) == frame(b"free")
            assert running.dispatcher.frames == [b"wait", b"free"]
            await first.send_all(frame(b"last"))
            waiting.resolve(frame(b"done"))
            assert await receive_exactly(first, 24) == frame(b"done") + frame(b"next") + frame(b"last")

    trio.run(main)


def test_a_large_frame_that_waits_is_left_alone_until_it_is_answered() -> None:
    waiting: Deferred[bytes] = Deferred()

    async def main() -> None:
        async with running_listener(lambda body: waiting if len(body) > 100 else frame(body)) as running:
            stream = await running.connect()
            await stream.send_all(frame(b"x" * 500_000) + frame(b"next"))
            await settled(running.reactor, lambda: len(running.dispatcher.frames) == 1, "the large frame is handled")
            assert running.host.byte_pool.used_bytes >= 500_000
            waiting.resolve(frame(b"done"))
            assert await receive_exactly(stream, 16) == frame(b"done") + frame(b"next")
            assert running.host.byte_pool.used_bytes == 0

    trio.run(main)


@pytest.mark.parametrize(
    ("sent", "told"),
    [
        (struct.pack(">i", -1), "frame size -1"),
        (struct.pack(">i", 1001), "frame size 1001"),
        (frame(b"bad"), "the frame says bad"),
    ],
)
def test_a_malformed_frame_closes_its_connection_with_one_log_line(
    sent: bytes, told: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        async with running_listener(frame, max_request_bytes=1000) as running:
            good, bad = await running.connect(), await running.connect()
            await bad.send_all(frame(b"first") + sent)
            assert await receive_exactly(bad, 9) == frame(b"first"), "requests before the bad one are answered"
            assert await bad.receive_some(1) == b""
            await good.send_all(frame(b"still here"))
            assert await receive_exactly(good, 14) == frame(b"still here")

    with caplog.at_level(logging.WARNING):
        trio.run(main)
    assert len(caplog.records) == 1, caplog.text
    assert told in caplog.text


def test_a_refusal_closes_without_an_answer() -> None:
    async def main() -> None:
        async with running_listener(lambda body: Refusal("no") if body == b"no" else frame(body)) as running:
            stream = await running.connect()
            await stream.send_all(frame(b"yes") + frame(b"no") + frame(b"yes"))
            assert await receive_exactly(stream, 7) == frame(b"yes")
            assert await stream.receive_some(1) == b""

    trio.run(main)


def test_file_ranges_follow_their_header(tmp_path: Path) -> None:
    path = tmp_path / "file"
    content = os.urandom(3_000_000)
    path.write_bytes(content)
    storage = RealStorage()

    async def main() -> None:
        file = storage.open(str(path), create=False)

        def answer(body: bytes) -> list[object]:
            return [b"head", FileRange(file, 10, 2_500_000), b"tail", FileRange(file, 0, 5)]

        async with running_listener(answer) as running:
            stream = await running.connect()
            await stream.send_all(frame(b"x") * 2)
            expected = b"head" + content[10:2_500_010] + b"tail" + content[:5]
            assert await receive_exactly(stream, 2 * len(expected)) == expected * 2

    trio.run(main)


def test_bytes_that_are_not_in_the_page_cache_are_read_in_a_thread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = os.urandom(3_000_000)
    (tmp_path / "file").write_bytes(content)
    cold_once: set[int] = set()
    warmed: list[int] = []

    def is_cached(fd: int, position: int, count: int) -> bool:
        cold = position not in cold_once
        cold_once.add(position)
        return not cold

    monkeypatch.setattr(transport, "is_cached", is_cached)
    warm = transport.ColdRange.warm
    monkeypatch.setattr(transport.ColdRange, "warm", lambda self: (warmed.append(self._position), warm(self))[1])

    async def main() -> None:
        file = RealStorage().open(str(tmp_path / "file"), create=False)
        async with running_listener(lambda body: [body, FileRange(file, 5, 2_500_000)]) as running:
            stream = await running.connect()
            await stream.send_all(frame(b"one") + frame(b"two"))
            expected = b"one" + content[5:2_500_005] + b"two" + content[5:2_500_005]
            assert await receive_exactly(stream, len(expected)) == expected

    trio.run(main)
    assert warmed == [5, 5 + 1024 * 1024, 5 + 2 * 1024 * 1024]


def test_the_loop_never_waits_for_the_disk_to_read_a_small_range(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_bytes(bytes(range(200)))
    asked: list[int] = []
    real = os.preadv

    def preadv(fd: int, buffers: list[bytearray], position: int, flags: int = 0) -> int:
        asked.append(flags)
        if len(asked) <= 2:
            raise BlockingIOError
        return real(fd, buffers, position, flags)

    monkeypatch.setattr(os, "preadv", preadv)

    async def main() -> None:
        file = RealStorage().open(str(tmp_path / "file"), create=False)
        async with running_listener(lambda body: [body, FileRange(file, 5, 100)]) as running:
            stream = await running.connect()
            await stream.send_all(frame(b"one"))
            expected = b"one" + bytes(range(5, 105))
            assert await receive_exactly(stream, len(expected)) == expected

    trio.run(main)
    assert asked
    assert set(asked) == {os.RWF_NOWAIT}


def test_a_peer_that_does_not_read_stops_being_read() -> None:
    async def main() -> None:
        async with running_listener(lambda body: frame(body * 1000)) as running:
            stream = await running.connect()
            body = b"y" * 1000
            sent = 0
            with trio.move_on_after(0.3):
                while True:
                    await stream.send_all(frame(body))
                    sent += 1
            assert len(running.dispatcher.frames) < sent + 1
            handled = len(running.dispatcher.frames)
            assert handled * 1_000_000 < 50_000_000, "answers nobody reads must not pile up"
            # It reads after all: every answer to what was sent whole comes.
            for _ in range(sent):
                assert len(await receive_exactly(stream, 1_000_004)) == 1_000_004

    trio.run(main)


def test_slow_senders_of_large_frames_hold_what_they_sent_and_no_more() -> None:
    async def main() -> None:
        async with running_listener(frame, pool_bytes=1_000_000) as running:
            slow = [await running.connect() for _ in range(20)]
            for stream in slow:
                await stream.send_all(struct.pack(">i", 90_000_000) + b"z")
            probe = await running.connect()
            await probe.send_all(frame(b"q" * 200_000))
            assert len(await receive_exactly(probe, 200_004)) == 200_004
            assert running.host.byte_pool.used_bytes <= 20 * 10

    trio.run(main)


def test_what_is_received_behind_requests_that_wait_is_bounded() -> None:
    waiting: list[Deferred[bytes]] = []

    def answer(body: bytes) -> bytes | Deferred[bytes]:
        if body != b"wait":
            return frame(body)
        waiting.append(Deferred())
        return waiting[-1]

    async def main() -> None:
        async with running_listener(answer) as running:
            running.host.backlog_limit_bytes = 100_000
            streams = [await running.connect() for _ in range(30)]
            rest = frame(b"r" * 96) * 500
            for stream in streams:
                await stream.send_all(frame(b"wait") + rest)
            await settled(running.reactor, lambda: len(waiting) == 30, "every connection waits")
            assert running.host.backlog_bytes <= 100_000 + SCRATCH_BYTES
            await streams.pop().aclose()
            for each in waiting:
                each.resolve(frame(b"done"))
            for stream in streams:
                assert await receive_exactly(stream, 8 + len(rest)) == frame(b"done") + rest
            await settled(running.reactor, lambda: len(running.host.connections) == 29, "the closed one is noticed")
            assert running.host.backlog_bytes == 0

    trio.run(main)


def test_a_full_pool_still_lets_frames_through_one_by_one() -> None:
    async def main() -> None:
        async with running_listener(lambda body: frame(body[:10]), pool_bytes=1_000_000) as running:
            streams = [await running.connect() for _ in range(6)]
            body = b"w" * 900_000

            async def exchange(stream: trio.SocketStream) -> None:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(stream.send_all, frame(body))
                    assert await receive_exactly(stream, 14) == frame(body[:10])

            async with trio.open_nursery() as nursery:
                for stream in streams:
                    nursery.start_soon(exchange, stream)
            assert running.host.byte_pool.used_bytes == 0

    trio.run(main)


def test_a_closed_client_leaves_nothing_behind() -> None:
    waiting: Deferred[bytes] = Deferred()

    async def main() -> None:
        async with running_listener(lambda body: waiting, pool_bytes=1 << 20) as running:
            half, parked = await running.connect(), await running.connect()
            await half.send_all(struct.pack(">i", 500_000) + b"z" * 200_000)
            await parked.send_all(frame(b"p" * 300_000))
            await settled(running.reactor, lambda: len(running.dispatcher.frames) == 1, "the whole frame is handled")
            await half.aclose()
            await parked.aclose()
            await settled(running.reactor, lambda: not running.host.connections, "both connections are gone")
            assert running.host.byte_pool.used_bytes == 0
            waiting.resolve(b"too late")

    trio.run(main)


def test_a_closed_connection_is_freed_at_once() -> None:
    """What a TLS session takes is outside of what the collector of cycles counts by."""

    async def main() -> None:
        async with running_listener(frame) as running:
            stream = await running.connect()
            await stream.send_all(frame(b"x"))
            await receive_exactly(stream, 5)
            (context,) = [weakref.ref(connection.context) for connection in running.host.connections]
            gc.disable()
            try:
                await stream.aclose()
                await settled(running.reactor, lambda: not running.host.connections, "it is gone")
                await settled(running.reactor, lambda: context() is None, "nothing refers to it")
            finally:
                gc.enable()

    trio.run(main)


def test_connections_above_the_limit_are_refused() -> None:
    async def main() -> None:
        async with running_listener(frame, max_connections=1) as running:
            first, second = await running.connect(), await running.connect()
            await first.send_all(frame(b"in"))
            assert await receive_exactly(first, 6) == frame(b"in")
            assert await second.receive_some(1) == b""

    trio.run(main)


def test_an_error_in_a_handler_closes_that_connection_only(caplog: pytest.LogCaptureFixture) -> None:
    def answer(body: bytes) -> bytes:
        if body == b"boom":
            raise ZeroDivisionError
        return frame(body)

    async def main() -> None:
        async with running_listener(answer) as running:
            one, two = await running.connect(), await running.connect()
            await one.send_all(frame(b"boom"))
            assert await one.receive_some(1) == b""
            await two.send_all(frame(b"fine"))
            assert await receive_exactly(two, 8) == frame(b"fine")

    trio.run(main)
    assert "ZeroDivisionError" in caplog.text
