"""What goes wrong: the broker dies, its machine loses power, its disk fails, the network drops, time jumps."""

from __future__ import annotations

import errno
import os
from collections import Counter
from collections.abc import Awaitable, Callable
from random import Random
from typing import Final

from tests.history.clients.base import World
from tests.history.network import Chances, Network
from tests.history.simulated_broker import SimulatedBroker

SESSION_MS: Final = 10_000
TRANSACTION_MS: Final = 60_000
DAY_MS: Final = 86_400_000
WRONG_BY_MS: Final = 1_800_000

Act = Callable[[], Awaitable[None]]


class Nemesis:
    """One fault after the other, with quiet in between, until the world stops; then `heal`."""

    def __init__(
        self, world: World, broker: SimulatedBroker, network: Network, *, synced: bool, only: frozenset[str]
    ) -> None:
        """synced: what is acknowledged was fsynced, so the machine may lose power and syncs may fail.

        only: the names of the faults to do; empty: all.
        """
        self._world = world
        self._broker = broker
        self._network = network
        self._random = Random(world.random.getrandbits(64))
        self.counts: Counter[str] = Counter()
        acts: list[tuple[int, Act]] = [
            (5, self._kill),
            (6, self._kill_in_the_middle),
            (2, self._restart),
            (3, self._full_disk),
            (3, self._failing_disk),
            (5, self._drops),
            (4, self._pause),
            (2, self._wrong_clock),
            (1, self._long_sleep),
        ]
        if synced:
            acts += [(6, self._power_loss), (3, self._failing_syncs)]
        self._acts = [act for weight, act in acts for _ in range(weight) if not only or act.__name__.strip("_") in only]

    async def run(self) -> None:
        while not self._world.stopping:
            await self._quiet(10.0, 300.0)
            if self._world.stopping:
                break
            if self._broker.up:
                await self._random.choice(self._acts)()
            else:
                await self._start()
        await self.heal()

    async def heal(self) -> None:
        """Everything works again, and goes on working."""
        self._broker.fail = None
        self._broker.storage.fail = None
        self._broker.storage.crash_at = None
        self._network.chances = Chances(0.0, 0.0)
        self._broker.wall_ms = 0
        if self._broker.clock is not None:
            self._broker.clock.wall_ms = 0
        if self._broker.up and self._broker.has_offline_logs():
            # An I/O error takes a partition out of service until the next start (docs/DIFFERENCES.md).
            await self._restart()
        while not self._broker.up:
            await self._start()

    async def _quiet(self, low_ms: float, high_ms: float) -> None:
        await self._world.sleep(self._random.uniform(low_ms, high_ms))

    def _tell(self, kind: str, what: str = "") -> None:
        self.counts[kind] += 1
        self._world.history.fault(what or kind)

    async def _start(self) -> None:
        await self._quiet(5.0, 400.0)
        if not self._broker.up:
            started = self._broker.start()
            self._world.history.fault("the broker starts" if started else "the broker cannot start")

    async def _kill(self) -> None:
        self._tell("kill", "the broker is killed")
        self._broker.kill()
        await self._start()

    async def _kill_in_the_middle(self) -> None:
        """At one of the next changes of its files, which happens by half or not at all."""
        storage = self._broker.storage
        storage.crash_at = storage.steps + self._random.randint(1, 60)
        storage.torn = self._random.random() < 0.5
        incarnation = self._broker.incarnation
        for _ in range(100):
            await self._quiet(5.0, 30.0)
            if self._broker.incarnation != incarnation:
                self._tell("kill in the middle", f"the broker was killed in the middle of: {storage.trace[-1]}")
                break
        storage.crash_at = None
        if not self._broker.up:
            await self._start()

    async def _restart(self) -> None:
        self._tell("stop", "the broker is stopped")
        self._broker.stop()
        await self._start()

    async def _power_loss(self) -> None:
        self._tell("power loss", "the machine loses power")
        self._broker.power_loss(self._random)
        await self._start()

    async def _disk(self, kind: str, operations: tuple[str, ...], code: int, limit: int | None = None) -> None:
        """Operations of these kinds fail for a while, or only the next few."""
        left = [limit if limit is not None else -1]
        only = self._random.choice(("", "", ".log", "__consumer_offsets", "__transaction_state", "/t-", "/o-"))

        def fail(operation: str, path: str) -> OSError | None:
            if operation not in operations or only not in path or left[0] == 0:
                return None
            left[0] -= 1
            return OSError(code, os.strerror(code), path)

        self._tell(kind, f"{kind}: {'/'.join(operations)} of {only or 'anything'} fail with {errno.errorcode[code]}")
        self._broker.fail = self._broker.storage.fail = fail
        await self._quiet(20.0, 1_500.0)
        self._broker.fail = self._broker.storage.fail = None
        self._world.history.fault("the disk works again")
        if self._broker.up and self._broker.has_offline_logs() and self._random.random() < 0.7:
            await self._random.choice((self._kill, self._restart))()

    async def _full_disk(self) -> None:
        await self._disk("full disk", ("write",), errno.ENOSPC)

    async def _failing_disk(self) -> None:
        await self._disk("I/O errors", self._random.choice((("write",), ("read",), ("write", "read"))), errno.EIO, 3)

    async def _failing_syncs(self) -> None:
        await self._disk("failing syncs", ("sync",), errno.EIO, self._random.randint(1, 3))

    async def _drops(self) -> None:
        chances = Chances(self._random.choice((0.0, 0.05, 0.2)), self._random.choice((0.05, 0.2, 0.4)))
        self._tell("drops", f"connections drop (before {chances.before:.0%}, after {chances.after:.0%} of requests)")
        self._network.chances = chances
        await self._quiet(50.0, 1_500.0)
        self._network.chances = Chances()
        self._world.history.fault("connections hold again")

    async def _pause(self) -> None:
        """The machine stands still for longer than sessions and transactions may last."""
        ms = self._random.choice((SESSION_MS, TRANSACTION_MS)) * self._random.uniform(0.8, 1.5)
        await self._jump("pause", ms)

    async def _long_sleep(self) -> None:
        """For longer than producers and transactional ids are remembered."""
        await self._jump("long sleep", self._random.choice((1, 1, 8)) * DAY_MS * self._random.uniform(0.9, 1.2))

    async def _jump(self, kind: str, ms: float) -> None:
        self._tell(kind, f"time jumps by {ms / 1_000:.0f} s")
        self._network.drop_all()
        simulation = self._network.simulation
        simulation.jump(ms)

    async def _wrong_clock(self) -> None:
        """The broker's wall clock is set wrong, and right again later."""
        ms = self._random.choice((-1, 1)) * self._random.randint(1_000, WRONG_BY_MS)
        self._tell("wrong clock", f"the broker's clock is {ms / 1_000:.0f} s off")
        self._set_clock(ms)
        await self._quiet(50.0, 2_000.0)
        self._set_clock(0)
        self._world.history.fault("the broker's clock is right")

    def _set_clock(self, ms: int) -> None:
        self._broker.wall_ms = ms
        if self._broker.clock is not None:
            self._broker.clock.wall_ms = ms
