"""Waiting for what a test expects, in plain code and in asyncio's and trio's."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any, Final, ParamSpec, TypeVar, cast

from kwire.testing.errors import KwireError, WaitTimeoutError

T = TypeVar("T")
P = ParamSpec("P")

DEFAULT_TIMEOUT_S: Final = 10.0
# The first looks come close together, for what is there at once; later ones leave the processor to those waited for.
_FIRST_PAUSE_S: Final = 0.002
_LONGEST_PAUSE_S: Final = 0.05
_SHOWN_CHARACTERS: Final = 1000


def wait_for(check: Callable[[], T], *, timeout_s: float = DEFAULT_TIMEOUT_S, what: str = "") -> T:
    """Call `check` again and again until it returns something true, and return that.

    An AssertionError or a KwireError from `check` means "not yet". what: told when the time is over, beside what
    `check` said last. Raises WaitTimeoutError.
    """
    deadline = time.monotonic() + timeout_s
    pause_s = _FIRST_PAUSE_S
    while True:
        reason: Exception | None = None
        try:
            found = check()
            if found:
                return found
            last = repr(found)
        except (AssertionError, KwireError) as error:
            reason, last = error, str(error) or type(error).__name__
        left_s = deadline - time.monotonic()
        if left_s <= 0:
            told = what or getattr(check, "__name__", "what was waited for")
            raise WaitTimeoutError(f"{told}: not within {timeout_s:g} s; last: {last[:_SHOWN_CHARACTERS]}") from reason
        time.sleep(min(pause_s, left_s))
        pause_s = min(pause_s * 1.5, _LONGEST_PAUSE_S)


async def in_thread(function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """Call a blocking function from asyncio or trio code without holding up the loop.

    `await in_thread(cluster.consume_until, "orders", 3)`. When the task is cancelled the thread finishes by itself.
    Raises RuntimeError outside both.
    """
    call = partial(function, *args, **kwargs)
    trio = _running_trio()
    if trio is not None:
        found: T = await trio.to_thread.run_sync(call, abandon_on_cancel=True)
        return found
    # Who runs asyncio has loaded it.
    if "asyncio" not in sys.modules:
        raise RuntimeError("neither asyncio nor trio runs here")
    answer: T = await _in_thread_of_asyncio(call)
    return answer


async def _in_thread_of_asyncio(call: Callable[[], T]) -> T:
    """In a thread of its own: a loop that ends waits for those of its executor, also where nobody awaits them."""
    import asyncio
    import contextvars
    import threading

    loop = asyncio.get_running_loop()
    answer: asyncio.Future[T] = loop.create_future()
    context = contextvars.copy_context()

    def tell(result: T | None, error: BaseException | None) -> None:
        if answer.done():
            return
        if error is None:
            answer.set_result(cast(T, result))
        elif isinstance(error, StopIteration):
            # A future cannot carry it.
            answer.set_exception(RuntimeError(f"the call raised {error!r}"))
        else:
            answer.set_exception(error)

    def run() -> None:
        result: T | None = None
        error: BaseException | None = None
        try:
            result = context.run(call)
        except BaseException as raised:
            error = raised
        # Who no longer has a loop no longer waits.
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(tell, result, error)

    threading.Thread(target=run, name="kwire-in-thread", daemon=True).start()
    return await answer


def _running_trio() -> Any:
    trio = sys.modules.get("trio")
    if trio is None:
        return None
    try:
        trio.lowlevel.current_task()
    except RuntimeError:
        return None
    return trio
