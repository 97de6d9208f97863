"""A whole cluster of one node in a simulation: its disk is in memory and fails, its clock is told, it dies anywhere."""

from __future__ import annotations

import logging
from collections.abc import Callable
from random import Random
from typing import TypeVar

from broker.addresses import Endpoint
from broker.cluster import Cluster
from broker.config.broker_config import BrokerConfig
from broker.deferred import Deferred
from broker.start_error import StartError
from kwire.errors import ApiError
from tests.crash.fault_storage import Crash, FaultStorage
from tests.history.simulation import SimulatedClock, Simulation

T = TypeVar("T")
_THREAD_MS = (0.05, 3.0)


class SimulatedBroker:
    """Starts, serves `dispatcher`, is killed, starts again. `on_death`: told each time, however it came about.

    incarnation: grows with each death; what belongs to an older one is dead.
    """

    def __init__(self, simulation: Simulation, settings: dict[str, str]) -> None:
        self.simulation = simulation
        self.settings = settings
        self.storage = FaultStorage()
        self.clock: SimulatedClock | None = None
        self.cluster: Cluster | None = None
        self.incarnation = 0
        self.on_death: Callable[[], None] = lambda: None
        self.errors: list[str] = []
        self.wall_ms = 0
        self.starts = 0
        self.fail: Callable[[str, str], OSError | None] | None = None
        self._random = Random(simulation.random.getrandbits(64))

    @property
    def up(self) -> bool:
        return self.cluster is not None

    def has_offline_logs(self) -> bool:
        """Whether a partition is out of service for an I/O error."""
        assert self.cluster is not None
        return any(log.offline for log in self.cluster.manager.open_logs())

    def start(self) -> bool:
        """False: it could not start (its disk fails), or died starting."""
        assert self.cluster is None
        self.starts += 1
        incarnation = self.incarnation
        storage = self.storage
        storage.fail = self.fail
        clock = SimulatedClock(self.simulation, self._guarded(incarnation), self.wall_ms)
        cluster = Cluster(
            BrokerConfig(self.settings),
            clock,
            Random(self._random.getrandbits(64)),
            self._run_in_thread(incarnation),
            storage,
        )
        try:
            cluster.open()
            cluster.register([Endpoint("PLAINTEXT", "PLAINTEXT", "127.0.0.1", 9092, None)])
            cluster.start()
        except (StartError, ApiError, OSError):
            self._leave(storage.after_kill())
            return False
        except Crash:
            self._leave(storage.after_kill())
            return False
        self.clock = clock
        self.cluster = cluster
        self.simulation.clocks.append(clock)
        return True

    def kill(self) -> None:
        """The process is gone; what it wrote is in the page cache."""
        self._leave(self.storage.after_kill())

    def power_loss(self, random: Random) -> None:
        """The machine is gone; of what was not synced any part is left."""
        self._leave(self.storage.after_power_loss(random, keep=random.choice((0.0, 0.5, 0.9, 1.0))))

    def stop(self) -> None:
        """A clean stop."""
        assert self.cluster is not None
        try:
            self.cluster.stop()
            self.cluster.close()
        except Crash:
            pass
        self._leave(self.storage.after_kill())

    def _leave(self, storage: FaultStorage) -> None:
        self.incarnation += 1
        self.storage.dead = True
        self.storage = storage
        if self.clock is not None and self.clock in self.simulation.clocks:
            self.simulation.clocks.remove(self.clock)
        self.cluster = self.clock = None
        self.on_death()

    def step(self, incarnation: int, fn: Callable[[], T]) -> T | None:
        """Let the broker do something; it may die of it. None then, or when it is dead already."""
        if incarnation != self.incarnation:
            return None
        try:
            result = fn()
        except Crash:
            result = None
        if incarnation == self.incarnation and self.storage.dead:
            self._leave(self.storage.after_kill())
            return None
        return result

    def _guarded(self, incarnation: int) -> Callable[[Callable[[], None]], None]:
        def guard(fn: Callable[[], None]) -> None:
            try:
                self.step(incarnation, fn)
            except Exception as error:
                logging.getLogger("kwire").exception("unexpected error in a timer: %r", error)

        return guard

    def _run_in_thread(self, incarnation: int) -> Callable[[Callable[[], T]], Deferred[T]]:
        """Blocking work is done some time later; what else happens in between is chance."""

        def run_in_thread(fn: Callable[[], T]) -> Deferred[T]:
            result: Deferred[T] = Deferred()

            def work() -> None:
                try:
                    value = fn()
                except Exception as error:
                    result.fail(error)
                else:
                    result.resolve(value)

            delay_ms = self.simulation.random.uniform(*_THREAD_MS)
            self.simulation.after(delay_ms, lambda: self.step(incarnation, work))
            return result

        return run_in_thread
