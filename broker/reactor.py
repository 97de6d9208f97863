"""One trio task that serves every socket of the process by plain callbacks.

The epoll set is itself awaited through trio when nothing is ready, so threads, signals and child processes go on as in
any trio program; while there is work, a turn of the loop costs one `epoll_wait` and no task switch (docs/adr/0001).
"""

from __future__ import annotations

import contextlib
import heapq
import logging
import math
import os
import select
from collections import deque
from collections.abc import Callable
from functools import partial
from itertools import count
from typing import Any, Final, ParamSpec, TypeVar

import trio

from broker.clock import Clock, real_monotonic_ms
from broker.deferred import Deferred

logger = logging.getLogger("kwire.reactor")

READ: Final = select.EPOLLIN
WRITE: Final = select.EPOLLOUT
CLOSED: Final = select.EPOLLHUP | select.EPOLLERR | select.EPOLLRDHUP

# trio must get its turn (signals, finished threads) even under full load: at the latest after this many turns.
_TURNS_BETWEEN_CHECKPOINTS: Final = 8
_MAX_EVENTS: Final = 256
# A client that sends its next request as soon as it has the answer is back within this time. Going to sleep and being
# woken takes as long, most of all on an idle virtual machine; so the loop looks out for it this long before it sleeps,
# but only where the last sleep was no longer: a client that pauses costs nothing.
_LOOK_OUT_MS: Final = 0.15

T = TypeVar("T")
P = ParamSpec("P")
Sink = Callable[[int], None]


class Reactor:
    """Sockets, timers and thread results of all clusters of a process. Not thread-safe but for `call_soon_threadsafe`.

    `register(fd, sink)`: `sink(event_mask)` is called while the descriptor is ready for what it asked for.
    An exception out of a sink or a callback is logged; it never ends the loop.
    """

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._sinks: dict[int, Sink] = {}
        self._soon: deque[Callable[[], None]] = deque()
        self._flushes: list[Callable[[], None]] = []
        self._later: deque[Callable[[], None]] = deque()
        # When each clock is to be looked at, on the machine's scale, the earliest first: of a thousand clocks a turn
        # sees one. An entry that is not its clock's latest is passed over.
        self._due: list[tuple[float, int, Clock]] = []
        self._scheduled: dict[Clock, float] = {}
        self._sequence = count()
        self._wake_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._epoll.register(self._wake_fd, READ)
        self._sinks[self._wake_fd] = self._drain_wakeup
        self._idle = False
        self._stopped = False
        self._trio_token: trio.lowlevel.TrioToken | None = None
        self.looks_out = False

    # -- descriptors

    def register(self, fd: int, sink: Sink, mask: int = READ) -> None:
        self._sinks[fd] = sink
        self._epoll.register(fd, mask)

    def modify(self, fd: int, mask: int) -> None:
        self._epoll.modify(fd, mask)

    def unregister(self, fd: int) -> None:
        """Forget a descriptor. To be called before it is closed."""
        del self._sinks[fd]
        self._epoll.unregister(fd)

    # -- callbacks

    def call_soon(self, fn: Callable[[], None]) -> None:
        """Call `fn` in this turn of the loop, after the events at hand."""
        self._soon.append(fn)
        if self._idle:
            self._wake()

    def flush_later(self, fn: Callable[[], None]) -> None:
        """Call `fn` when the events at hand are handled, before anything else.

        Answers of one turn leave together: a client that waits for many is woken once, not once for each.
        """
        self._flushes.append(fn)
        if self._idle:
            self._wake()

    def work_later(self, fn: Callable[[], None]) -> None:
        """Call `fn` when all else of a turn is done: one such piece of work a turn, in the order they came.

        For what takes long (the pieces of a large request), so that small requests wait for one piece at most.
        """
        self._later.append(fn)
        if self._idle:
            self._wake()

    def flush_now(self) -> None:
        """Let the answers gathered so far leave (before something that takes long)."""
        if self._flushes:
            flushes, self._flushes = self._flushes, []
            for fn in flushes:
                try:
                    fn()
                except Exception:
                    logger.exception("unexpected error while sending")

    def call_soon_threadsafe(self, fn: Callable[[], None]) -> None:
        """The same from any thread."""
        self._soon.append(fn)
        self._wake()

    def run_in_thread(self, fn: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Deferred[T]:
        """Run blocking work that releases the GIL (fsync, unlink, cold reads) in a thread.

        The Deferred is finished on the loop. Only while `run` is running.
        """
        result: Deferred[T] = Deferred()

        def work() -> T:
            return fn(*args, **kwargs)

        def deliver(outcome: Any) -> None:
            def finish() -> None:
                try:
                    value = outcome.unwrap()
                except BaseException as error:
                    result.fail(error)
                else:
                    result.resolve(value)

            self.call_soon_threadsafe(finish)

        trio.lowlevel.start_thread_soon(work, deliver, name="kwire-worker")
        return result

    # -- time

    def add_clock(self, clock: Clock) -> None:
        """Fire this clock's timers as they become due."""
        self._scheduled[clock] = math.inf
        clock.timers.on_earlier = partial(self._earlier, clock)
        self._earlier(clock)

    def remove_clock(self, clock: Clock) -> None:
        """Leave its timers alone from now on; the reactor keeps nothing of it."""
        del self._scheduled[clock]
        clock.timers.on_earlier = None
        self._due = [entry for entry in self._due if entry[2] is not clock]
        heapq.heapify(self._due)

    def _earlier(self, clock: Clock) -> None:
        """Its next timer may be due earlier than was known."""
        wait_ms = clock.wait_ms()
        if wait_ms is None:
            return
        due_ms = real_monotonic_ms() + wait_ms
        if due_ms < self._scheduled[clock]:
            self._schedule(clock, due_ms)
            if self._idle:
                self._wake()

    def _schedule(self, clock: Clock, due_ms: float) -> None:
        self._scheduled[clock] = due_ms
        heapq.heappush(self._due, (due_ms, next(self._sequence), clock))
        if len(self._due) > 2 * len(self._scheduled) + 64:
            self._due = [entry for entry in self._due if self._scheduled[entry[2]] == entry[0]]
            heapq.heapify(self._due)

    def _next_timer_in_ms(self) -> float | None:
        """How long until the first clock is to be looked at; 0 when one is due; None without any."""
        if not self._due:
            return None
        return max(self._due[0][0] - real_monotonic_ms(), 0.0)

    def _run_due_clocks(self) -> None:
        """Fire what is due, each clock once: what a timer sets due at once has the next turn."""
        now_ms = real_monotonic_ms()
        due = self._due
        if due[0][0] > now_ms:
            return
        clocks: list[Clock] = []
        while due and due[0][0] <= now_ms:
            due_ms, _, clock = heapq.heappop(due)
            if self._scheduled.get(clock) == due_ms:
                self._scheduled[clock] = math.inf
                clocks.append(clock)
        for clock in clocks:
            if clock not in self._scheduled:
                continue  # a timer of another one removed it
            try:
                clock.run_due()
            except Exception:
                logger.exception("unexpected error in a timer")
            if clock in self._scheduled:
                self._earlier(clock)

    # -- the loop

    def stop(self) -> None:
        """Let `run` return after the turn at hand."""
        self._stopped = True
        self._wake()

    async def run(self) -> None:
        """Serve until `stop` (or cancelled)."""
        turns = 0
        sinks = self._sinks
        poll = self._epoll.poll
        while not self._stopped:
            events = poll(0, _MAX_EVENTS)
            if not events and not self._soon and not self._flushes and not self._later:
                wait_ms = self._next_timer_in_ms()
                if wait_ms is None or wait_ms > 0.0:
                    began_ms = real_monotonic_ms()
                    if self.looks_out and (wait_ms is None or wait_ms > _LOOK_OUT_MS):
                        until_ms = began_ms + _LOOK_OUT_MS
                        while not (events := poll(0, _MAX_EVENTS)) and real_monotonic_ms() < until_ms:
                            pass
                    if not events:
                        await self._wait(wait_ms)
                        turns = 0
                        self.looks_out = real_monotonic_ms() - began_ms < 2 * _LOOK_OUT_MS
                        events = poll(0, _MAX_EVENTS)
            for fd, mask in events:
                sink = sinks.get(fd)
                if sink is not None:
                    try:
                        sink(mask)
                    except Exception:
                        logger.exception("unexpected error in an event handler")
            if self._flushes:
                self.flush_now()
            soon = self._soon
            for _ in range(len(soon)):
                try:
                    soon.popleft()()
                except Exception:
                    logger.exception("unexpected error in a callback")
            if self._due:
                self._run_due_clocks()
            if self._flushes:
                self.flush_now()
            if self._later:
                try:
                    self._later.popleft()()
                except Exception:
                    logger.exception("unexpected error in a callback")
                if self._flushes:
                    self.flush_now()
            turns += 1
            if turns >= _TURNS_BETWEEN_CHECKPOINTS:
                turns = 0
                await trio.lowlevel.checkpoint()

    async def _wait(self, wait_ms: float | None) -> None:
        self._idle = True
        try:
            if wait_ms is None:
                await trio.lowlevel.wait_readable(self._epoll.fileno())
            else:
                with trio.move_on_after(wait_ms / 1000.0):
                    await trio.lowlevel.wait_readable(self._epoll.fileno())
        finally:
            self._idle = False

    def _wake(self) -> None:
        if self._wake_fd < 0:  # closed: a thread's result comes too late
            return
        with contextlib.suppress(BlockingIOError):
            os.eventfd_write(self._wake_fd, 1)

    def _drain_wakeup(self, _mask: int) -> None:
        with contextlib.suppress(BlockingIOError):
            os.eventfd_read(self._wake_fd)

    def close(self) -> None:
        """Release the loop's own descriptors. The sockets belong to their owners."""
        self._epoll.close()
        # Its number is soon another file's, which a thread that ends late must not write to.
        wake_fd, self._wake_fd = self._wake_fd, -1
        os.close(wake_fd)


def loop_time_ms() -> float:
    """The reactor's own time scale, for bounds on its own work (stopping, logging), never for a cluster's timers."""
    return real_monotonic_ms()
