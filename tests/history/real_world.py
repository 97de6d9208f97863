"""The same clients and checks around a real process, real files and real sockets: `kill -9` at any moment.

Time is the machine's, so a seed does not repeat a history here; what happened is recorded all the same.
"""

from __future__ import annotations

import os
import signal
import struct
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Awaitable
from pathlib import Path
from random import Random
from typing import Any, Final

import trio

from kwire import codec, headers
from tests.history.model import History
from tests.history.network import DisconnectedError, api_key, decode_answer
from tests.history.stage import create_topics, last_word, make_clients

ROOT: Final = Path(__file__).parents[2]
_SIZE: Final = struct.Struct(">i")
_END_SECONDS: Final = 60.0
SETTINGS: Final = {
    "offsets.topic.num.partitions": "2",
    "transaction.state.log.num.partitions": "2",
    "group.initial.rebalance.delay.ms": "0",
    "transaction.abort.timed.out.transaction.cleanup.interval.ms": "1000",
}


class BrokerProcess:
    """`kwire serve` on a directory, each time on another port."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._process: subprocess.Popen[bytes] | None = None
        self.port: int | None = None
        self.starts = 0

    async def start(self) -> None:
        ready = self._directory / "ready"
        ready.unlink(missing_ok=True)
        settings = [f"--set={key}={value}" for key, value in SETTINGS.items()]
        with (self._directory / "broker.log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "kwire", "serve", "--port", "0"),
                    *("--data-dir", str(self._directory / "data"), "--ready-file", str(ready), *settings),
                ],
                cwd=self._directory,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
                stdout=log,
                stderr=log,
            )
        self.starts += 1
        with trio.fail_after(60):
            while not ready.exists():
                assert self._process.poll() is None, self.log()
                await trio.sleep(0.01)
        self.port = int(ready.read_text().strip().rpartition(":")[2])

    async def end(self, number: signal.Signals) -> None:
        """Send a signal and wait for the end."""
        if self._process is not None:
            self.port = None
            self._process.send_signal(number)
            await trio.to_thread.run_sync(self._process.wait)
            self._process = None

    def log(self) -> str:
        return (self._directory / "broker.log").read_text()


class RealLink:
    """One TCP connection (tests.history.clients.base.Connected)."""

    def __init__(self, world: RealWorld, client_id: str, stream: trio.SocketStream) -> None:
        self._world = world
        self._client_id = client_id
        self._stream = stream
        self._correlation_id = 0
        self._waiting: dict[int, tuple[trio.Event, list[bytes], bool]] = {}
        self.dropped = False
        world.links.add(self)

    def send(self, request: Any, version: int, *, timeout_ms: float = 3_000.0) -> Awaitable[Any]:
        self._correlation_id += 1
        number = self._correlation_id
        key = api_key(type(request))
        head = headers.RequestHeader(key, version, number, self._client_id)
        frame = headers.encode_request_header(head) + codec.encode(request, version)
        event, answer = trio.Event(), list[bytes]()
        drawn = self._world.random.random()
        if drawn < self._world.chance:
            self._world.dropped += 1
            self.drop("before")
        self._waiting[number] = (event, answer, drawn > 1.0 - self._world.chance)
        if self.dropped:
            event.set()
        else:
            try:
                sent = self._stream.socket.fileno() >= 0 and os.write(
                    self._stream.socket.fileno(), _SIZE.pack(len(frame)) + frame
                )
                if sent != len(frame) + 4:
                    self.drop("the connection takes no more")
            except OSError:
                self.drop("connection lost")

        async def wait() -> Any:
            with trio.move_on_after(timeout_ms / 1000.0):
                await event.wait()
            self._waiting.pop(number, None)
            if not answer:
                self.drop("no answer")
                raise DisconnectedError("connection lost")
            return decode_answer(answer[0], key, version, number)

        return wait()

    async def read(self) -> None:
        """Take in answers until the connection is gone."""
        data = b""
        try:
            while not self.dropped:
                part = await self._stream.receive_some(65_536)
                if not part:
                    break
                data += part
                while len(data) >= 4 and len(data) >= 4 + (size := _SIZE.unpack_from(data)[0]):
                    self._take(data[4 : 4 + size])
                    data = data[4 + size :]
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass
        self.drop("connection lost")

    def _take(self, frame: bytes) -> None:
        event, answer, lose = self._waiting[_SIZE.unpack_from(frame)[0]]
        if lose:
            self._world.dropped += 1
            self.drop("after")
        elif not self.dropped:
            answer.append(frame)
            event.set()

    def drop(self, why: str) -> None:
        if not self.dropped:
            self.dropped = True
            self._world.links.discard(self)
            self._stream.socket.close()
            for event, _, _ in self._waiting.values():
                event.set()


class RealWorld:
    """The clients' world (tests.history.clients.base.World). chance: of a drop before, and after, each request."""

    def __init__(self, seed: int, directory: Path) -> None:
        self.random = Random(seed)
        self.broker = BrokerProcess(directory)
        self.history = History(now_ms=self.now_ms)
        self.stopping = False
        self.topic_ids: dict[str, bytes] = {}
        self.links: set[RealLink] = set()
        self.chance = 0.0
        self.dropped = 0
        self.faults: Counter[str] = Counter()
        self._began = 0.0
        self._nursery: trio.Nursery

    def now_ms(self) -> float:
        return (trio.current_time() - self._began) * 1000.0

    def wall_ms(self) -> int:
        return time.time_ns() // 1_000_000

    async def sleep(self, ms: float) -> None:
        await trio.sleep(ms / 1000.0)

    async def connect(self, client_id: str) -> RealLink:
        port = self.broker.port
        try:
            if port is None:
                raise OSError("not there")
            stream = await trio.open_tcp_stream("127.0.0.1", port)
        except OSError as error:
            await trio.sleep(0.02)
            raise DisconnectedError("connection refused") from error
        link = RealLink(self, client_id, stream)
        self._nursery.start_soon(link.read)
        return link

    async def run(self, seconds: float) -> None:
        """Live it: the history is complete then."""
        self._began = trio.current_time()
        await self.broker.start()
        try:
            async with trio.open_nursery() as self._nursery:
                await create_topics(self, transactions=True)
                self.chance = 0.01
                with trio.move_on_after(seconds + _END_SECONDS) as scope:
                    async with trio.open_nursery() as clients:
                        for client in make_clients(self, transactions=True):
                            clients.start_soon(_live, client)
                        await self._disturb(seconds)
                if scope.cancelled_caught:
                    self.history.unfinished.append("the clients go on")
                with trio.move_on_after(_END_SECONDS) as scope:
                    await self._until_stable()
                    await last_word(self)
                if scope.cancelled_caught:
                    self.history.unfinished.append("the last reading goes on for ever")
                self._nursery.cancel_scope.cancel()
        finally:
            for link in list(self.links):
                link.drop("the end")
            with trio.CancelScope(shield=True):
                await self.broker.end(signal.SIGKILL)

    async def _disturb(self, seconds: float) -> None:
        """Kill the process again and again, until the time is over."""
        end = trio.current_time() + seconds
        while trio.current_time() < end:
            await trio.sleep(self.random.uniform(0.3, 1.5))
            self.faults["kill -9"] += 1
            self.history.fault("kill -9")
            await self.broker.end(signal.SIGKILL)
            await self.broker.start()
            self.history.fault("the broker serves")
        self.chance = 0.0
        self.stopping = True

    async def _until_stable(self) -> None:
        """Transactions that nobody ends are aborted after their timeout."""
        await trio.sleep(12.0)


async def _live(client: Awaitable[None]) -> None:
    await client
