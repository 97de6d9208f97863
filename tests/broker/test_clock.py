"""Timers: order, cancelling, and what happens while one fires."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from broker.clock import ManualClock, TimerQueue


def test_timers_fire_at_their_own_time_in_order() -> None:
    clock = ManualClock(now_ms=1_000)
    fired: list[tuple[str, int]] = []
    for name, delay_ms in (("late", 30), ("early", 10), ("middle", 20)):
        clock.call_later(delay_ms, lambda name=name: fired.append((name, clock.now_ms())))
    clock.advance(25)
    assert fired == [("early", 1_010), ("middle", 1_020)]
    assert clock.now_ms() == 1_025
    clock.advance(5)
    assert fired[-1] == ("late", 1_030)


def test_a_timer_set_by_a_timer_fires_in_the_same_advance() -> None:
    clock = ManualClock()
    fired: list[float] = []

    def again() -> None:
        fired.append(clock.monotonic_ms())
        if len(fired) < 4:
            clock.call_later(10, again)

    clock.call_later(10, again)
    clock.advance(100)
    assert fired == [10, 20, 30, 40]


def test_a_cancelled_timer_never_fires_and_may_be_cancelled_again() -> None:
    clock = ManualClock()
    fired: list[str] = []
    timer = clock.call_later(10, lambda: fired.append("no"))
    assert timer.pending
    timer.cancel()
    timer.cancel()
    assert not timer.pending
    clock.advance(20)
    assert fired == []


def test_cancelled_timers_do_not_pile_up() -> None:
    queue = TimerQueue()
    for due in range(10_000):
        queue.add(1e9 + due, lambda: None).cancel()
    assert len(queue._heap) < 200, "cancelled timers must leave the heap before they are due"


def test_an_earlier_timer_is_announced() -> None:
    queue = TimerQueue()
    announced: list[str] = []
    queue.on_earlier = lambda: announced.append("earlier")
    queue.add(100, lambda: None)
    queue.add(200, lambda: None)
    queue.add(50, lambda: None)
    assert announced == ["earlier", "earlier"]


@given(st.lists(st.tuples(st.integers(0, 50), st.booleans()), max_size=40))
def test_what_fires_is_what_was_set_and_not_cancelled(plan: list[tuple[int, bool]]) -> None:
    clock = ManualClock()
    fired: list[int] = []
    timers = [clock.call_later(delay, lambda n=n: fired.append(n)) for n, (delay, _) in enumerate(plan)]
    for timer, (_, cancel) in zip(timers, plan, strict=True):
        if cancel:
            timer.cancel()
    clock.advance(50)
    expected = [
        n for n, (delay, cancel) in sorted(enumerate(plan), key=lambda item: (item[1][0], item[0])) if not cancel
    ]
    assert fired == expected
