"""A cluster's clock that its user may hold, push forward and let run faster or slower.

Until the first such order it is the machine's clock, at the machine's clock's price. From then on it keeps its own
scale: both what it shows as wall time and the scale of timers move together, and neither ever goes back.

An advance is walked through: every timer on the way fires at its own time, with the clock showing that time. What only
looks round from time to time (`call_again`: retention, expiry, checkpoints, retries) keeps its own rhythm too, but
comes round `most` times in one advance at the utmost, evenly spread, the last time at its last turn before the end: an
advance by a week does not flush 600,000 times. So what such a look finds is found no later than it would be at the
advance's end, and at most 1/32 of the advance later than its time on the way.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator
from typing import Final

from broker.clock import Timer, TimerQueue, real_monotonic_s, real_time_ns
from broker.deferred import Deferred, resolved

logger = logging.getLogger("kwire.clock")

LEAST_RATE: Final = 0.001
MOST_RATE: Final = 10_000.0
MOST_ADVANCE_MS: Final = 100 * 365 * 86_400_000
LAST_MS: Final = 253_402_300_799_999
# While an advance lasts, requests of others (and of this cluster, at the time reached) are served this often.
_SLICE_MS: Final = 10.0
# Where time runs faster, what looks round does so this often at the utmost, in the machine's time.
_LEAST_REAL_INTERVAL_MS: Final = 20.0


class ClockError(Exception):
    """An order the clock does not take. The text says what is allowed."""


class DrivenClock:
    """See the module; the protocol is `broker.clock.Clock`."""

    __slots__ = (
        "_at_ms",
        "_began_ms",
        "_closed",
        "_driven",
        "_from_ms",
        "_frozen",
        "_origin_ms",
        "_rate",
        "_real_from_ms",
        "_target_ms",
        "_waiting",
        "_wall_ms",
        "timers",
    )

    def __init__(self, now_ms: int | None = None, *, frozen: bool = False, rate: float = 1.0) -> None:
        """now_ms: what wall time it begins with, the machine's by default. frozen: it stands until told otherwise."""
        self.timers = TimerQueue()
        self._driven = False
        self._frozen = False
        self._rate = 1.0
        self._at_ms: float | None = None
        """Where it stands: frozen, or within an advance."""
        self._from_ms = self._real_from_ms = self._origin_ms = 0.0
        self._wall_ms = 0
        self._began_ms = 0.0
        self._target_ms: float | None = None
        self._waiting: list[Deferred[None]] = []
        self._closed = False
        if now_ms is not None:
            self._take_over()
            self._wall_ms = now_ms
        if rate != 1.0:
            self.set_rate(rate)
        if frozen:
            self.freeze()

    # -- what time it is

    def now_ms(self) -> int:
        if not self._driven:
            return real_time_ns() // 1_000_000
        return self._wall_ms + int(self.monotonic_ms() - self._origin_ms)

    def monotonic_ms(self) -> float:
        if not self._driven:
            return real_monotonic_s() * 1000.0
        at_ms = self._at_ms
        if at_ms is not None:
            return at_ms
        return self._from_ms + (real_monotonic_s() * 1000.0 - self._real_from_ms) * self._rate

    @property
    def stands_still(self) -> bool:
        return self._at_ms is not None

    @property
    def frozen(self) -> bool:
        return self._frozen

    @property
    def advancing(self) -> bool:
        """Whether an advance is under way (in portions, others being served in between)."""
        return self._target_ms is not None

    @property
    def driven(self) -> bool:
        """False while it simply is the machine's clock."""
        return self._driven

    @property
    def rate(self) -> float:
        """Milliseconds a millisecond of the machine, when not frozen."""
        return self._rate

    # -- timers

    def call_later(self, delay_ms: float, fn: Callable[[], None]) -> Timer:
        if not self._driven:
            return self.timers.add(real_monotonic_s() * 1000.0 + delay_ms, fn)
        return self.timers.add(self.monotonic_ms() + delay_ms, fn)

    def call_again(self, delay_ms: float, fn: Callable[[], None], *, most: int = 32) -> Timer:
        now_ms = self.monotonic_ms()
        if self._driven and delay_ms > 0:
            target_ms = self._target_ms
            if target_ms is not None:
                stride_ms = (target_ms - self._began_ms) / most
                if stride_ms > delay_ms:
                    turns = min(math.ceil(stride_ms / delay_ms), math.floor((target_ms - now_ms) / delay_ms))
                    delay_ms *= max(turns, 1)
            elif self._rate > 1.0:
                delay_ms = max(delay_ms, _LEAST_REAL_INTERVAL_MS * self._rate)
        return self.timers.add(now_ms + delay_ms, fn)

    def wait_ms(self) -> float | None:
        due_ms = self.timers.next_due_ms()
        if due_ms is None or self._closed or self._target_ms is not None:
            return None
        left_ms = due_ms - self.monotonic_ms()
        if left_ms <= 0.0:
            return 0.0
        return None if self._at_ms is not None else left_ms / self._rate

    def run_due(self) -> None:
        if self._target_ms is not None:
            return  # the advance under way fires them
        now_ms = self.monotonic_ms()
        while (fn := self.timers.pop_due(now_ms)) is not None:
            fn()

    # -- orders

    def freeze(self) -> None:
        """Stand still. What is due at once is still done; nothing else comes due."""
        self._check_idle()
        self._take_over()
        self._at_ms = self.monotonic_ms()
        self._frozen = True

    def resume(self) -> None:
        """Go on from where it stands, at its rate."""
        self._check_idle()
        self._frozen = False
        if self._driven:
            self._go_on(self.monotonic_ms())

    def set_rate(self, rate: float) -> None:
        """So many milliseconds for one of the machine's. A frozen clock stays frozen, and goes on at this rate."""
        self._check_idle()
        if not LEAST_RATE <= rate <= MOST_RATE:  # a NaN is not between them either
            raise ClockError(
                f"a clock cannot run at {rate:g} times the machine's: from {LEAST_RATE:g} to {MOST_RATE:g}"
            )
        self._take_over()
        at_ms = self.monotonic_ms()
        self._rate = float(rate)
        if not self._frozen:
            self._go_on(at_ms)

    def advance(self, ms: float) -> None:
        """Move on by `ms` at one go; returns when it is there and all that came due on the way was done."""
        for _ in self.advance_in_portions(ms):
            pass

    def advance_in_portions(self, ms: float) -> Iterator[None]:
        """The same, yielding where the loop may turn to others. It has to be gone through to its end.

        Raises ClockError, at once, for a way back, a way too long, and while another advance is under way.
        """
        self._check_idle()
        if not 0 <= ms <= MOST_ADVANCE_MS:
            if ms < 0:
                raise ClockError(
                    f"a clock does not go back ({ms:g} ms): records, sessions and transactions have seen the time as it"
                    " is. Advance by 0 ms or more, or create a cluster whose clock begins where you want it (now_ms)."
                )
            raise ClockError(f"cannot advance by {ms:g} ms: at most {MOST_ADVANCE_MS} ms (100 years) at a time")
        if self.now_ms() + ms > LAST_MS:
            raise ClockError(
                f"cannot advance by {ms:g} ms: beyond {LAST_MS} (the end of the year 9999) there are no dates"
            )
        self._take_over()
        self._at_ms = self._began_ms = self.monotonic_ms()
        self._target_ms = self._began_ms + ms
        return self._walk(self._target_ms)

    def ms_until(self, wall_ms: int) -> float:
        """What to advance by so that `now_ms()` is `wall_ms`. ClockError when that is over."""
        now_ms = self.now_ms()
        if wall_ms < now_ms:
            raise ClockError(
                f"a clock does not go back: it shows {now_ms}, which is {now_ms - wall_ms} ms after {wall_ms}."
                f" Give a time from {now_ms} on, or create a cluster whose clock begins where you want it (now_ms)."
            )
        return float(wall_ms - now_ms)

    def idle(self) -> Deferred[None]:
        """Done when no advance is under way: each who waits has its turn, in the order they came."""
        if self._target_ms is None and not self._waiting:
            return resolved(None)
        turn: Deferred[None] = Deferred()
        self._waiting.append(turn)
        return turn

    def close(self) -> None:
        """Its cluster is gone: nothing fires any more. An advance under way arrives at once."""
        self._closed = True
        self.timers.on_earlier = None

    # -- inside

    def _take_over(self) -> None:
        """Leave the machine's clock: from here on the scale is its own, and begins with what was shown last."""
        if self._driven:
            return
        self._wall_ms = real_time_ns() // 1_000_000
        self._origin_ms = self._from_ms = self._real_from_ms = real_monotonic_s() * 1000.0
        self._driven = True

    def _go_on(self, from_ms: float) -> None:
        self._from_ms = from_ms
        self._real_from_ms = real_monotonic_s() * 1000.0
        self._at_ms = None
        self._tell()

    def _tell(self) -> None:
        """The reactor waits for the next timer of the machine's time, which is another one now."""
        if self.timers.on_earlier is not None:
            self.timers.on_earlier()

    def _check_idle(self) -> None:
        if self._target_ms is not None:
            raise ClockError("the clock is on its way: wait until its advance is done")

    def _walk(self, target_ms: float) -> Iterator[None]:
        timers = self.timers
        try:
            until_ms = real_monotonic_s() * 1000.0 + _SLICE_MS
            while not self._closed and (due_ms := timers.next_due_ms()) is not None and due_ms <= target_ms:
                if self._at_ms is None or due_ms > self._at_ms:
                    self._at_ms = due_ms
                fn = timers.pop_due(due_ms)
                if fn is not None:
                    try:
                        fn()
                    except Exception:
                        logger.exception("unexpected error in a timer")
                if real_monotonic_s() * 1000.0 >= until_ms:
                    yield
                    until_ms = real_monotonic_s() * 1000.0 + _SLICE_MS
            self._at_ms = target_ms
        finally:
            self._target_ms = None
            if self._frozen:
                self._tell()
            elif self._at_ms is not None:
                self._go_on(self._at_ms)
            while self._waiting and self._target_ms is None:
                self._waiting.pop(0).resolve(None)
