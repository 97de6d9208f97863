"""Waiting, in plain code, in asyncio's and in trio's."""

from __future__ import annotations

import asyncio
import threading

import pytest
import trio

from kwire.testing import KwireError, WaitTimeoutError, in_thread, wait_for


def test_the_first_true_value_is_returned() -> None:
    answers = iter([None, 0, [], "found", "never asked for"])
    assert wait_for(lambda: next(answers)) == "found"


def test_an_assertion_and_an_error_of_kwire_mean_not_yet() -> None:
    errors = iter([AssertionError("a"), KwireError("b"), None])

    def check() -> bool:
        error = next(errors)
        if error is not None:
            raise error
        return True

    assert wait_for(check)


def test_any_other_error_is_the_callers() -> None:
    with pytest.raises(ZeroDivisionError):
        wait_for(lambda: 1 / 0)


def test_in_vain_says_what_was_seen_last() -> None:
    with pytest.raises(WaitTimeoutError, match=r"^the invoice: not within 0 s; last: \[\]$"):
        wait_for(list, timeout_s=0, what="the invoice")

    def refused() -> bool:
        raise AssertionError("still 3")

    with pytest.raises(WaitTimeoutError, match=r"^refused: not within 0 s; last: still 3$") as caught:
        wait_for(refused, timeout_s=0)
    assert isinstance(caught.value.__cause__, AssertionError)
    assert isinstance(caught.value, TimeoutError)


async def thread_of(tag: str) -> tuple[str, bool]:
    here = threading.get_ident()

    def work(tag: str, *, suffix: str) -> tuple[str, bool]:
        return tag + suffix, threading.get_ident() != here

    return await in_thread(work, tag, suffix="!")


def test_in_a_thread_of_asyncio_and_of_trio() -> None:
    assert asyncio.run(thread_of("a")) == ("a!", True)
    assert trio.run(thread_of, "t") == ("t!", True)


def test_in_neither_it_is_an_error() -> None:
    with pytest.raises(RuntimeError):
        thread_of("x").send(None)


def test_an_asyncio_loop_ends_while_the_thread_of_a_cancelled_call_still_waits() -> None:
    release, ended = threading.Event(), threading.Event()

    def work() -> None:
        release.wait(90)
        ended.set()

    async def conversation() -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(in_thread(work), 0.01)

    asyncio.run(conversation())
    assert not ended.is_set()
    release.set()
    assert ended.wait(90)


def test_errors_arrive_from_a_thread_of_asyncio() -> None:
    with pytest.raises(ZeroDivisionError):
        asyncio.run(in_thread(lambda: 1 / 0))
    with pytest.raises(RuntimeError, match="StopIteration"):
        asyncio.run(in_thread(lambda: next(iter(()))))
