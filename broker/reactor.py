"""One trio task that serves every socket of the process by plain callbacks.

The epoll set is itself awaited through trio when nothing is ready, so threads, signals and child processes go on as in
any trio program; while there is work, a turn of the loop costs one `epoll_wait` and no task switch (docs/adr/0001).
"""

from __future__ import annotations

import contextlib
import logging
import os
import select
from collections import deque
from collections.abc import Callable
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
        self._clocks: list[Clock] = []
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
        self._clocks.append(clock)
        clock.timers.on_earlier = self._on_earlier_timer

    def remove_clock(self, clock: Clock) -> None:
        self._clocks.remove(clock)
        clock.timers.on_earlier = None

    def _on_earlier_timer(self) -> None:
        if self._idle:
            self._wake()

    def _next_timer_in_ms(self) -> float | None:
        """How long until the first timer of any clock; 0 when one is due; None without any."""
        soonest: float | None = None
        for clock in self._clocks:
            due_ms = clock.timers.next_due_ms()
            if due_ms is not None:
                wait_ms = due_ms - clock.monotonic_ms()
                if wait_ms <= 0.0:
                    return 0.0
                if clock.stands_still:
                    continue
                if soonest is None or wait_ms < soonest:
                    soonest = wait_ms
        return soonest

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
            for clock in self._clocks:
                due_ms = clock.timers.next_due_ms()
                if due_ms is not None and due_ms <= clock.monotonic_ms():
                    try:
                        clock.run_due()
                    except Exception:
                        logger.exception("unexpected error in a timer")
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
        with contextlib.suppress(BlockingIOError):
            os.eventfd_write(self._wake_fd, 1)

    def _drain_wakeup(self, _mask: int) -> None:
        with contextlib.suppress(BlockingIOError):
            os.eventfd_read(self._wake_fd)

    def close(self) -> None:
        """Release the loop's own descriptors. The sockets belong to their owners."""
        self._epoll.close()
        os.close(self._wake_fd)


def loop_time_ms() -> float:
    """The reactor's own time scale, for bounds on its own work (stopping, logging), never for a cluster's timers."""
    return real_monotonic_ms()
