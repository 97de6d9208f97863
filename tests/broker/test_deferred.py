"""Deferreds and the driving of coroutines that wait for them."""

from __future__ import annotations

import pytest

from broker.deferred import Deferred, gather, resolved, start


def test_a_coroutine_that_waits_for_nothing_is_done_at_once() -> None:
    async def work() -> int:
        return 3

    assert start(work()).result() == 3


def test_a_coroutine_goes_on_when_what_it_awaits_is_there() -> None:
    first: Deferred[int] = Deferred()
    second: Deferred[int] = Deferred()

    async def work() -> int:
        return await first + await second

    done = start(work())
    assert not done.done
    first.resolve(1)
    assert not done.done
    second.resolve(2)
    assert done.result() == 3


def test_an_error_goes_into_the_coroutine_and_out_of_it() -> None:
    waited: Deferred[int] = Deferred()

    async def work() -> str:
        try:
            await waited
        except ValueError as error:
            raise KeyError(str(error)) from None
        return "no"

    done = start(work())
    waited.fail(ValueError("x"))
    with pytest.raises(KeyError, match="x"):
        done.result()


def test_a_long_chain_of_finished_deferreds_does_not_grow_the_stack() -> None:
    async def work() -> int:
        total = 0
        for number in range(5_000):
            total += await resolved(number)
        return total

    assert start(work()).result() == sum(range(5_000))


def test_finishing_twice_is_a_bug() -> None:
    deferred: Deferred[int] = Deferred()
    deferred.resolve(1)
    with pytest.raises(RuntimeError, match="twice"):
        deferred.resolve(2)


def test_result_before_the_end_is_a_bug() -> None:
    with pytest.raises(RuntimeError, match="not finished"):
        Deferred[int]().result()


def test_gather_keeps_the_order_and_tells_the_first_error() -> None:
    parts: list[Deferred[int]] = [Deferred() for _ in range(3)]
    both = gather(parts)
    parts[2].resolve(2)
    parts[0].resolve(0)
    assert not both.done
    parts[1].resolve(1)
    assert both.result() == [0, 1, 2]
    assert gather([]).result() == []

    failing: list[Deferred[int]] = [Deferred(), Deferred()]
    all_of_them = gather(failing)
    failing[1].fail(ValueError("b"))
    failing[0].fail(ValueError("a"))
    with pytest.raises(ValueError, match="a"):
        all_of_them.result()
