"""The loop: timers of several clocks, work in threads, callbacks that fail."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest
import trio

from broker.clock import ManualClock, SystemClock
from broker.deferred import Deferred
from broker.reactor import Reactor


def run_until(reactor: Reactor, done: Deferred[object]) -> None:
    done.add_callback(lambda _: reactor.stop())

    async def main() -> None:
        with trio.fail_after(10):
            await reactor.run()

    trio.run(main)
    reactor.close()
    assert done.done


def test_a_timer_fires_while_the_loop_is_idle() -> None:
    reactor, clock, done = Reactor(), SystemClock(), Deferred[object]()
    reactor.add_clock(clock)
    clock.call_later(5, lambda: done.resolve(None))
    run_until(reactor, done)


def test_a_thread_that_ends_after_the_close_writes_to_no_other_file(tmp_path: Path) -> None:
    reactor = Reactor()
    wake_fd = reactor._wake_fd
    reactor.close()
    opened = [os.open(tmp_path / str(number), os.O_RDWR | os.O_CREAT) for number in range(wake_fd + 1)]
    try:
        assert wake_fd in opened
        reactor.call_soon_threadsafe(lambda: None)
        assert [os.fstat(each).st_size for each in opened] == [0] * len(opened)
    finally:
        for each in opened:
            os.close(each)


def test_work_in_a_thread_comes_back_on_the_loop() -> None:
    reactor = Reactor()
    names: list[str] = []
    done: Deferred[object] = Deferred()

    def begin() -> None:
        def finished(value: Deferred[int]) -> None:
            names.append(threading.current_thread().name)
            done.resolve(value.result())

        reactor.run_in_thread(lambda a, b: a + b, 2, b=3).add_callback(finished)

    reactor.call_soon(begin)
    run_until(reactor, done)
    assert done.result() == 5
    assert names == [threading.main_thread().name]


def test_an_error_in_a_thread_is_the_deferreds_error() -> None:
    reactor = Reactor()
    done: Deferred[object] = Deferred()

    def fail() -> None:
        raise OSError(5, "disk")

    reactor.call_soon(lambda: reactor.run_in_thread(fail).add_callback(lambda d: done.resolve(d)))
    run_until(reactor, done)
    failed = done.result()
    assert isinstance(failed, Deferred)
    with pytest.raises(OSError, match="disk"):
        failed.result()


def test_a_failing_callback_does_not_end_the_loop(caplog: pytest.LogCaptureFixture) -> None:
    reactor, done = Reactor(), Deferred[object]()
    reactor.call_soon(lambda: 1 // 0)  # type: ignore[arg-type, return-value]
    reactor.call_soon(lambda: done.resolve(None))
    run_until(reactor, done)
    assert "ZeroDivisionError" in caplog.text


def test_a_clock_that_stands_still_does_not_keep_the_others_waiting() -> None:
    reactor, frozen, clock, done = Reactor(), ManualClock(), SystemClock(), Deferred[object]()
    reactor.add_clock(frozen)
    reactor.add_clock(clock)
    fired: list[str] = []
    frozen.call_later(1, lambda: fired.append("frozen"))
    clock.call_later(20, lambda: done.resolve(None))
    run_until(reactor, done)
    assert fired == []


def test_advancing_a_clock_between_turns_fires_its_timers() -> None:
    reactor, manual, done = Reactor(), ManualClock(), Deferred[object]()
    reactor.add_clock(manual)
    manual.call_later(3_600_000, lambda: done.resolve(manual.now_ms()))
    reactor.call_soon(lambda: manual.advance(3_600_000))
    run_until(reactor, done)


def test_the_loop_looks_out_for_quick_clients_only() -> None:
    """After a long sleep it goes to sleep at once; after a short one it first looks out, and misses no timer."""
    reactor, clock, done = Reactor(), SystemClock(), Deferred[object]()
    reactor.add_clock(clock)
    seen: list[bool] = []

    def after_a_long_sleep() -> None:
        seen.append(reactor.looks_out)
        clock.call_later(0.05, lambda: clock.call_later(2, lambda: done.resolve(None)))

    clock.call_later(20, after_a_long_sleep)
    run_until(reactor, done)
    assert seen == [False]


def test_of_many_clocks_only_those_with_something_due_are_asked() -> None:
    reactor, done = Reactor(), Deferred[object]()
    asked: list[int] = []

    class Counted(ManualClock):
        def run_due(self) -> None:
            asked.append(id(self))
            super().run_due()

    clocks = [Counted() for _ in range(1000)]
    for clock in clocks:
        reactor.add_clock(clock)
        clock.call_later(60_000, lambda: None)
    clocks[7].call_later(0, lambda: reactor.call_soon(lambda: done.resolve(None)))
    run_until(reactor, done)
    assert asked == [id(clocks[7])]


def test_a_clock_that_was_removed_is_forgotten() -> None:
    reactor, clock, other, done = Reactor(), SystemClock(), SystemClock(), Deferred[object]()
    fired: list[str] = []
    reactor.add_clock(clock)
    reactor.add_clock(other)
    clock.call_later(1, lambda: fired.append("removed"))
    reactor.remove_clock(clock)
    other.call_later(10, lambda: done.resolve(None))
    run_until(reactor, done)
    assert fired == []
    assert clock.timers.on_earlier is None


def test_a_clock_whose_rate_goes_up_is_looked_at_earlier() -> None:
    class Rated(SystemClock):
        rate = 0.0

        def wait_ms(self) -> float | None:
            return None if self.rate == 0.0 else 5.0 / self.rate

        def run_due(self) -> None:
            done.resolve(None)

    reactor, clock, other, done = Reactor(), Rated(), SystemClock(), Deferred[object]()
    reactor.add_clock(clock)
    reactor.add_clock(other)

    def faster() -> None:
        clock.rate = 5.0
        assert clock.timers.on_earlier is not None
        clock.timers.on_earlier()

    other.call_later(5, faster)
    run_until(reactor, done)


def test_short_timers_before_a_long_one_leave_nothing_behind_in_the_reactor() -> None:
    reactor, clock, done = Reactor(), SystemClock(), Deferred[object]()
    reactor.add_clock(clock)
    clock.call_later(3_600_000, lambda: None)
    left = 500

    def again() -> None:
        nonlocal left
        left -= 1
        if left:
            clock.call_later(0.01, again)
        else:
            done.resolve(None)

    clock.call_later(0, again)
    run_until(reactor, done)
    assert len(reactor._due) < 100
