"""A world in one thread: time that passes only when nothing is left to do, and chance from one seed.

Clients are coroutines that wait for the broker's own `Deferred`s; whatever happens is an event in one queue. The same
seed gives the same history.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Coroutine
from random import Random
from typing import Any

from broker.clock import Timer, TimerQueue
from broker.deferred import Deferred, start

EPOCH_MS = 1_700_000_000_000


class Simulation:
    """`run` until a condition holds. Everything that happens is an event at a time."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.now_ms = 0.0
        self.clocks: list[SimulatedClock] = []
        self.events = 0
        self._queue: list[tuple[float, int, Callable[[], None]]] = []
        self._sequence = 0
        self._failures: list[BaseException] = []

    def after(self, delay_ms: float, fn: Callable[[], None]) -> None:
        """Call `fn` in `delay_ms`."""
        self._sequence += 1
        heapq.heappush(self._queue, (self.now_ms + delay_ms, self._sequence, fn))

    def sleep(self, delay_ms: float) -> Deferred[None]:
        done: Deferred[None] = Deferred()
        self.after(delay_ms, lambda: done.resolve(None))
        return done

    def spawn(self, client: Coroutine[Any, None, None]) -> Deferred[None]:
        """Run a client; an error out of it ends the run."""
        task = start(client)
        task.add_callback(self._ended)
        return task

    def _ended(self, task: Deferred[None]) -> None:
        try:
            task.result()
        except Exception as error:
            self._failures.append(error)

    def jump(self, ms: float) -> None:
        """The machine slept: everything that was due meanwhile is due now."""
        self.now_ms += ms

    def run(self, done: Callable[[], bool], *, within_ms: float) -> bool:
        """Until `done()`; False when the time is over first."""
        end_ms = self.now_ms + within_ms
        while not done():
            due_ms = self._queue[0][0] if self._queue else float("inf")
            clock = min(self.clocks, key=SimulatedClock.due_ms, default=None)
            clock_due_ms = float("inf") if clock is None else clock.due_ms()
            at_ms = max(min(due_ms, clock_due_ms), self.now_ms)
            if at_ms > end_ms:
                return False
            self.now_ms = at_ms
            self.events += 1
            if clock is not None and clock_due_ms <= due_ms:
                clock.fire()
            else:
                heapq.heappop(self._queue)[2]()
            if self._failures:
                raise self._failures[0]
        return True


class SimulatedClock:
    """A broker's clock in a simulation (broker.clock.Clock). `wall_ms` may be set wrong.

    guard: runs each timer, so that a broker may die in it.
    """

    stands_still = True

    def __init__(self, simulation: Simulation, guard: Callable[[Callable[[], None]], None], wall_ms: int = 0) -> None:
        self.timers = TimerQueue()
        self.wall_ms = wall_ms
        self._simulation = simulation
        self._guard = guard

    def now_ms(self) -> int:
        return int(EPOCH_MS + self.wall_ms + self._simulation.now_ms)

    def monotonic_ms(self) -> float:
        return self._simulation.now_ms

    def call_later(self, delay_ms: float, fn: Callable[[], None]) -> Timer:
        return self.timers.add(self._simulation.now_ms + delay_ms, fn)

    def call_again(self, delay_ms: float, fn: Callable[[], None], *, most: int = 32) -> Timer:
        return self.timers.add(self._simulation.now_ms + delay_ms, fn)

    def wait_ms(self) -> float | None:
        raise AssertionError("the simulation knows its timers")

    def run_due(self) -> None:
        raise AssertionError("the simulation fires the timers")

    def due_ms(self) -> float:
        due_ms = self.timers.next_due_ms()
        return float("inf") if due_ms is None else due_ms

    def fire(self) -> None:
        """The first timer that is due."""
        fn = self.timers.pop_due(self._simulation.now_ms)
        if fn is not None:
            self._guard(fn)
