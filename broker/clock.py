"""Time of one cluster: what the clock says, and what is due when. The only place that reads the system's clock.

Timers are kept in one heap per clock. A cancelled timer stays in the heap until it is due or until cancelled ones are
the majority, so cancelling is O(1).
"""

from __future__ import annotations

import heapq
import time
from collections.abc import Callable
from itertools import count
from typing import Final, Protocol


class Timer:
    """One call to come. `cancel()` may be called any number of times, also after it fired."""

    __slots__ = ("_clock", "due_ms", "fn")

    def __init__(self, clock: TimerQueue, due_ms: float, fn: Callable[[], None]) -> None:
        self._clock: TimerQueue | None = clock
        self.due_ms = due_ms
        self.fn: Callable[[], None] | None = fn

    @property
    def pending(self) -> bool:
        return self.fn is not None

    def cancel(self) -> None:
        """Never fire. O(1)."""
        if self.fn is not None:
            self.fn = None
            clock, self._clock = self._clock, None
            if clock is not None:
                clock.note_cancelled()


class TimerQueue:
    """A heap of timers by due time; equal times fire in the order they were set."""

    __slots__ = ("_cancelled", "_heap", "_sequence", "on_earlier")

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Timer]] = []
        self._sequence = count()
        self._cancelled = 0
        self.on_earlier: Callable[[], None] | None = None

    def add(self, due_ms: float, fn: Callable[[], None]) -> Timer:
        timer = Timer(self, due_ms, fn)
        earlier = not self._heap or due_ms < self._heap[0][0]
        heapq.heappush(self._heap, (due_ms, next(self._sequence), timer))
        if earlier and self.on_earlier is not None:
            self.on_earlier()
        return timer

    def note_cancelled(self) -> None:
        self._cancelled += 1
        if self._cancelled > 64 and self._cancelled * 2 > len(self._heap):
            self._heap = [entry for entry in self._heap if entry[2].fn is not None]
            heapq.heapify(self._heap)
            self._cancelled = 0

    def next_due_ms(self) -> float | None:
        """When the first pending timer is due, on the monotonic scale; None when there is none."""
        heap = self._heap
        while heap and heap[0][2].fn is None:
            heapq.heappop(heap)
            self._cancelled -= 1
        return heap[0][0] if heap else None

    def pop_due(self, now_ms: float) -> Callable[[], None] | None:
        """Take the next call due at `now_ms`, or None."""
        due_ms = self.next_due_ms()
        if due_ms is None or due_ms > now_ms:
            return None
        timer = heapq.heappop(self._heap)[2]
        fn, timer.fn = timer.fn, None
        return fn


class Clock(Protocol):
    """What the rest of the broker knows of time."""

    timers: TimerQueue

    @property
    def stands_still(self) -> bool:
        """True when time passes only by being told to: waiting for a timer would be in vain."""

    def wait_ms(self) -> float | None:
        """Milliseconds of the machine's time until `run_due` has something to do: 0 now, None never as things are.

        Whoever changes the answer to an earlier one (a timer before the others, a clock that goes on again or faster)
        calls `timers.on_earlier`, when it is set. A later one need not be told: `run_due` in vain does no harm.
        """

    def now_ms(self) -> int:
        """Wall clock, milliseconds since 1970."""

    def monotonic_ms(self) -> float:
        """Never goes back; the scale of timers."""

    def call_later(self, delay_ms: float, fn: Callable[[], None]) -> Timer:
        """Call `fn` once, `delay_ms` from now (0: at the next turn)."""

    def call_again(self, delay_ms: float, fn: Callable[[], None], *, most: int = 32) -> Timer:
        """The next turn of what looks round again and again, or tries again: the same as `call_later`.

        Only where the clock is pushed a long way on at one go do turns fall out: what would come round more often than
        `most` times on the way does so at evenly spread turns of its own, the last one before the end among them
        (broker/driven_clock.py). So `fn` must do all that is due by then, however long ago it came round.
        """

    def run_due(self) -> None:
        """Fire what is due by now, with what that sets due by now."""


class SystemClock:
    """The machine's clock."""

    __slots__ = ("timers",)
    stands_still = False

    def __init__(self) -> None:
        self.timers = TimerQueue()

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000

    def monotonic_ms(self) -> float:
        return time.monotonic() * 1000.0

    def call_later(self, delay_ms: float, fn: Callable[[], None]) -> Timer:
        return self.timers.add(time.monotonic() * 1000.0 + delay_ms, fn)

    def call_again(self, delay_ms: float, fn: Callable[[], None], *, most: int = 32) -> Timer:
        return self.timers.add(time.monotonic() * 1000.0 + delay_ms, fn)

    def wait_ms(self) -> float | None:
        due_ms = self.timers.next_due_ms()
        return None if due_ms is None else max(due_ms - time.monotonic() * 1000.0, 0.0)

    def run_due(self) -> None:
        now_ms = self.monotonic_ms()
        while (fn := self.timers.pop_due(now_ms)) is not None:
            fn()


class ManualClock:
    """A clock that stands still until told to move. For tests, and for clusters whose time a user drives."""

    __slots__ = ("_monotonic_ms", "_wall_offset_ms", "timers")
    stands_still = True

    def __init__(self, now_ms: int = 1_700_000_000_000) -> None:
        self.timers = TimerQueue()
        self._monotonic_ms = 0.0
        self._wall_offset_ms = now_ms

    def now_ms(self) -> int:
        return int(self._wall_offset_ms + self._monotonic_ms)

    def monotonic_ms(self) -> float:
        return self._monotonic_ms

    def call_later(self, delay_ms: float, fn: Callable[[], None]) -> Timer:
        return self.timers.add(self._monotonic_ms + delay_ms, fn)

    def call_again(self, delay_ms: float, fn: Callable[[], None], *, most: int = 32) -> Timer:
        return self.timers.add(self._monotonic_ms + delay_ms, fn)

    def wait_ms(self) -> float | None:
        due_ms = self.timers.next_due_ms()
        return None if due_ms is None or due_ms > self._monotonic_ms else 0.0

    def advance(self, ms: float) -> None:
        """Move on by `ms`; each timer on the way fires at its own time."""
        if ms < 0:
            raise ValueError("a clock does not go back")
        target_ms = self._monotonic_ms + ms
        while (due_ms := self.timers.next_due_ms()) is not None and due_ms <= target_ms:
            self._monotonic_ms = max(self._monotonic_ms, due_ms)
            fn = self.timers.pop_due(due_ms)
            if fn is not None:
                fn()
        self._monotonic_ms = target_ms

    def run_due(self) -> None:
        self.advance(0)


def real_monotonic_ms() -> float:
    """The machine's monotonic clock, for the reactor, which serves clusters of any clock."""
    return time.monotonic() * 1000.0


def real_now_ms() -> int:
    """The machine's wall clock, beside a cluster's own."""
    return time.time_ns() // 1_000_000


# For a clock that is the machine's until told otherwise: no call more than SystemClock's.
real_time_ns: Final = time.time_ns
real_monotonic_s: Final = time.monotonic
