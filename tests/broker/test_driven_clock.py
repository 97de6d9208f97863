"""A clock that is held, pushed and run at another rate: what it shows, what fires, what it refuses."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker import driven_clock
from broker.driven_clock import LAST_MS, LEAST_RATE, MOST_ADVANCE_MS, MOST_RATE, ClockError, DrivenClock

WEEK_MS = 7 * 86_400_000
NOW_MS = 1_700_000_000_000


class Machine:
    """The machine's clock, in the test's hands."""

    def __init__(self) -> None:
        self.ms = 5_000.0

    def time_ns(self) -> int:
        return int(NOW_MS + self.ms) * 1_000_000

    def monotonic_s(self) -> float:
        return self.ms / 1000.0


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    machine = Machine()
    monkeypatch.setattr(driven_clock, "real_time_ns", machine.time_ns)
    monkeypatch.setattr(driven_clock, "real_monotonic_s", machine.monotonic_s)
    return machine


def test_until_driven_it_is_the_machines(machine: Machine) -> None:
    clock = DrivenClock()
    fired: list[int] = []
    clock.call_later(100, lambda: fired.append(clock.now_ms()))
    assert (clock.now_ms(), clock.monotonic_ms(), clock.wait_ms()) == (NOW_MS + 5_000, 5_000, 100)
    machine.ms += 100
    assert clock.wait_ms() == 0
    clock.run_due()
    assert fired == [NOW_MS + 5_100]
    assert not clock.driven
    assert not clock.stands_still


def test_frozen_it_stands_and_only_what_is_due_at_once_is_done(machine: Machine) -> None:
    clock = DrivenClock()
    clock.freeze()
    machine.ms += 10_000
    assert (clock.now_ms(), clock.monotonic_ms()) == (NOW_MS + 5_000, 5_000)
    fired: list[str] = []
    clock.call_later(0, lambda: fired.append("now"))
    clock.call_later(1, lambda: fired.append("later"))
    assert clock.wait_ms() == 0
    clock.run_due()
    assert (fired, clock.wait_ms()) == (["now"], None)
    clock.resume()
    assert clock.wait_ms() == 1
    machine.ms += 1
    clock.run_due()
    assert fired == ["now", "later"]
    assert clock.now_ms() == NOW_MS + 5_001


def test_an_advance_shows_each_timer_its_own_time(machine: Machine) -> None:
    clock = DrivenClock()
    fired: list[tuple[str, int]] = []

    def note(name: str) -> Callable[[], None]:
        return lambda: fired.append((name, clock.now_ms() - NOW_MS - 5_000))

    def first() -> None:
        note("first")()
        clock.call_later(5, note("set on the way"))
        clock.call_later(500, note("too late"))

    clock.call_later(20, note("second"))
    clock.call_later(10, first)
    clock.advance(100)
    assert fired == [("first", 10), ("set on the way", 15), ("second", 20)]
    assert clock.now_ms() == NOW_MS + 5_100
    machine.ms += 7
    assert clock.now_ms() == NOW_MS + 5_107, "it goes on from there"


def test_a_frozen_clock_is_frozen_after_an_advance(machine: Machine) -> None:
    clock = DrivenClock()
    clock.freeze()
    clock.advance(WEEK_MS)
    machine.ms += 1_000
    assert clock.now_ms() == NOW_MS + 5_000 + WEEK_MS
    assert clock.frozen
    assert not clock.advancing


def test_the_rate_moves_time_and_what_the_reactor_waits_for(machine: Machine) -> None:
    clock = DrivenClock()
    told: list[float | None] = []
    clock.call_later(1_000, lambda: None)
    clock.timers.on_earlier = lambda: told.append(clock.wait_ms())
    clock.set_rate(10)
    machine.ms += 50
    assert clock.now_ms() == NOW_MS + 5_500
    assert clock.wait_ms() == 50
    clock.freeze()
    clock.set_rate(0.5)
    machine.ms += 50
    assert clock.now_ms() == NOW_MS + 5_500
    clock.resume()
    machine.ms += 50
    assert clock.now_ms() == NOW_MS + 5_525
    assert told == [100, 1_000]


def test_it_may_begin_anywhere_and_stand(machine: Machine) -> None:
    clock = DrivenClock(1_000, frozen=True)
    assert clock.now_ms() == 1_000
    clock.advance(clock.ms_until(5_000))
    assert clock.now_ms() == 5_000


@pytest.mark.parametrize(
    ("order", "named"),
    [
        (lambda clock: clock.advance(-1), "does not go back"),
        (lambda clock: clock.advance(MOST_ADVANCE_MS + 1), str(MOST_ADVANCE_MS)),
        (lambda clock: clock.advance(math.nan), str(MOST_ADVANCE_MS)),
        (lambda clock: clock.set_rate(0), str(LEAST_RATE)),
        (lambda clock: clock.set_rate(MOST_RATE * 2), "10000"),
        (lambda clock: clock.set_rate(math.nan), "10000"),
        (lambda clock: clock.ms_until(NOW_MS), f"from {NOW_MS + 5_000} on"),
    ],
)
def test_what_is_refused_says_what_is_allowed_and_changes_nothing(
    machine: Machine, order: Callable[[DrivenClock], Any], named: str
) -> None:
    clock = DrivenClock()
    with pytest.raises(ClockError, match=named):
        order(clock)
    assert not clock.driven
    machine.ms += 1
    assert clock.now_ms() == NOW_MS + 5_001


def test_there_is_no_time_after_the_year_9999(machine: Machine) -> None:
    clock = DrivenClock(LAST_MS - 10, frozen=True)
    with pytest.raises(ClockError, match="year 9999"):
        clock.advance(11)
    clock.advance(10)
    assert clock.now_ms() == LAST_MS


def test_a_week_runs_what_looks_round_some_dozen_times(machine: Machine) -> None:
    clock = DrivenClock()
    turns: list[float] = []
    began_ms = clock.monotonic_ms()

    def look() -> None:
        turns.append(clock.monotonic_ms() - began_ms)
        clock.call_again(1_000, look)

    clock.call_later(1_000, look)
    clock.advance(WEEK_MS)
    assert len(turns) <= 34
    assert turns[0] == 1_000
    assert turns[-1] == WEEK_MS, "the last turn before the end is not left out"
    longest_ms = max(after - before for before, after in pairwise(turns))
    assert longest_ms <= WEEK_MS / 32 + 1_000
    assert all(turn % 1_000 == 0 for turn in turns), "turns of its own, not others"
    turns.clear()
    clock.advance(10_000)
    assert len(turns) == 10, "on a short way none falls out"


@given(
    interval_ms=st.integers(1, 100_000), advance_ms=st.integers(1, 10_000_000), most=st.integers(1, 64), data=st.data()
)
def test_the_last_turn_of_an_advance_is_always_there(
    interval_ms: int, advance_ms: int, most: int, data: st.DataObject
) -> None:
    clock = DrivenClock(frozen=True)
    began_ms = clock.monotonic_ms()
    turns: list[float] = []

    def look() -> None:
        turns.append(clock.monotonic_ms() - began_ms)
        clock.call_again(interval_ms, look, most=most)

    first_ms = data.draw(st.integers(0, interval_ms))
    clock.call_later(first_ms, look)
    clock.advance(advance_ms)
    assert len(turns) <= most + 2
    if first_ms <= advance_ms:
        assert advance_ms - turns[-1] < interval_ms + 0.01
    else:
        assert not turns


def test_at_a_high_rate_what_looks_round_spares_the_machine(machine: Machine) -> None:
    clock = DrivenClock(rate=10_000)
    clock.call_again(1_000, lambda: None)
    assert clock.wait_ms() == 20
    clock.call_later(1_000, lambda: None)
    assert clock.wait_ms() == pytest.approx(0.1)


def test_in_portions_others_are_served_and_orders_wait(machine: Machine, caplog: pytest.LogCaptureFixture) -> None:
    clock = DrivenClock()
    fired: list[float] = []

    def slow() -> None:
        machine.ms += 11  # more than a portion may take
        fired.append(clock.monotonic_ms() - 5_000)
        raise RuntimeError("a bug in a timer")

    for delay_ms in (10, 20, 30):
        clock.call_later(delay_ms, slow)
    way = clock.advance_in_portions(100)
    next(way)
    assert fired == [10]
    assert clock.now_ms() == NOW_MS + 5_010
    assert clock.wait_ms() is None, "the reactor leaves it alone"
    clock.run_due()
    for order in (clock.freeze, clock.resume, lambda: clock.advance(1), lambda: clock.set_rate(2)):
        with pytest.raises(ClockError, match="on its way"):
            order()
    free = [clock.idle(), clock.idle()]
    free[0].add_callback(lambda _: clock.advance(1_000))
    assert len(list(way)) == 2
    assert fired == [10, 20, 30], "what one timer does wrong is logged, the others are not kept from their turn"
    assert len([record for record in caplog.records if "unexpected error" in record.message]) == 3
    assert all(each.done for each in free)
    assert clock.now_ms() == NOW_MS + 5_000 + 1_100


def test_when_its_cluster_is_gone_an_advance_arrives_at_once(machine: Machine) -> None:
    clock = DrivenClock()
    fired: list[str] = []

    def first() -> None:
        machine.ms += 11
        fired.append("first")

    clock.call_later(10, first)
    clock.call_later(20, lambda: fired.append("second"))
    way = clock.advance_in_portions(100)
    next(way)
    clock.close()
    assert list(way) == []
    assert fired == ["first"]
    assert not clock.advancing
    assert clock.wait_ms() is None


@given(
    st.lists(
        st.one_of(
            st.just(("freeze", 0.0)),
            st.just(("resume", 0.0)),
            st.tuples(st.just("rate"), st.floats(LEAST_RATE, MOST_RATE)),
            st.tuples(st.just("advance"), st.floats(0, 1e11)),
            st.tuples(st.just("machine"), st.floats(0, 1e7)),
        ),
        max_size=30,
    )
)
def test_it_never_goes_back(orders: list[tuple[str, float]]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        machine = Machine()
        patch.setattr(driven_clock, "real_time_ns", machine.time_ns)
        patch.setattr(driven_clock, "real_monotonic_s", machine.monotonic_s)
        clock = DrivenClock()
        seen = (clock.now_ms(), clock.monotonic_ms())
        for order, value in orders:
            if order == "freeze":
                clock.freeze()
            elif order == "resume":
                clock.resume()
            elif order == "rate":
                clock.set_rate(value)
            elif order == "advance":
                clock.advance(value)
            else:
                machine.ms += value
            now = (clock.now_ms(), clock.monotonic_ms())
            assert now[0] >= seen[0], order
            assert now[1] >= seen[1], order
            seen = now
