"""The one thing a handler may wait for.

Handlers are coroutines that never touch the event loop: they await `Deferred`s only, so the reactor can drive them
inside the callback that read the request, and tests can drive them without any loop at all.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Generator, Iterable
from typing import Any, Generic, TypeVar, cast

T = TypeVar("T")


class Deferred(Generic[T]):
    """A value that will be there later. Single-threaded; resolved or failed exactly once."""

    __slots__ = ("_callbacks", "_done", "_error", "_value")

    def __init__(self) -> None:
        self._done = False
        self._value: T | None = None
        self._error: BaseException | None = None
        self._callbacks: list[Callable[[Deferred[T]], None]] | None = None

    @property
    def done(self) -> bool:
        return self._done

    def resolve(self, value: T) -> None:
        """Set the value and run the callbacks, in the order they were added."""
        self._finish(value, None)

    def fail(self, error: BaseException) -> None:
        """Set the error that `result` and `await` raise, and run the callbacks."""
        self._finish(None, error)

    def _finish(self, value: T | None, error: BaseException | None) -> None:
        if self._done:
            raise RuntimeError("Deferred finished twice")
        self._done = True
        self._value = value
        self._error = error
        callbacks = self._callbacks
        if callbacks is not None:
            self._callbacks = None
            for callback in callbacks:
                callback(self)

    def add_callback(self, fn: Callable[[Deferred[T]], None]) -> None:
        """Call `fn(self)` when finished; at once when it already is."""
        if self._done:
            fn(self)
        elif self._callbacks is None:
            self._callbacks = [fn]
        else:
            self._callbacks.append(fn)

    def result(self) -> T:
        """The value, or raise the error. RuntimeError when not finished yet."""
        if not self._done:
            raise RuntimeError("Deferred is not finished")
        if self._error is not None:
            raise self._error
        return cast(T, self._value)

    def __await__(self) -> Generator[Deferred[Any], None, T]:
        if not self._done:
            yield self
        return self.result()


def resolved(value: T) -> Deferred[T]:
    """A Deferred that is already finished."""
    deferred: Deferred[T] = Deferred()
    deferred.resolve(value)
    return deferred


def start(coro: Coroutine[Any, None, T]) -> Deferred[T]:
    """Drive a coroutine until it returns; it may await Deferreds only. Errors go into the result."""
    result: Deferred[T] = Deferred()
    _step(coro, result, None)
    return result


def _step(coro: Coroutine[Any, None, T], result: Deferred[T], _woken_by: Any) -> None:
    # A loop, not recursion: a coroutine that awaits a thousand finished Deferreds must not grow the stack.
    while True:
        try:
            awaited: Deferred[Any] = coro.send(None)
        except StopIteration as stop:
            result.resolve(stop.value)
            return
        except Exception as error:
            result.fail(error)
            return
        if not awaited.done:
            awaited.add_callback(lambda woken: _step(coro, result, woken))
            return


def gather(deferreds: Iterable[Deferred[T]]) -> Deferred[list[T]]:
    """Finished when all are: their values in order, or the first error in that order."""
    waiting = list(deferreds)
    result: Deferred[list[T]] = Deferred()
    left = len(waiting)
    if not left:
        result.resolve([])
        return result

    def one_done(_: Deferred[T]) -> None:
        nonlocal left
        left -= 1
        if left == 0:
            try:
                values = [each.result() for each in waiting]
            except Exception as error:
                result.fail(error)
            else:
                result.resolve(values)

    for each in waiting:
        each.add_callback(one_done)
    return result
