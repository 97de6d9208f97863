"""A cluster's blocking work (fsyncs, removal of files, cleanings): who wants to know whether any of it is under way."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from broker.deferred import Deferred, resolved

T = TypeVar("T")


class ThreadWork:
    """Runs work as `Reactor.run_in_thread` does, and counts it. Used on the loop alone."""

    __slots__ = ("_run", "_waiting", "running")

    def __init__(self, run: Callable[..., Deferred[Any]]) -> None:
        self._run = run
        self._waiting: list[Deferred[None]] = []
        self.running = 0

    def __call__(self, work: Callable[[], T]) -> Deferred[T]:
        done: Deferred[T] = self._run(work)
        if not done.done:
            self.running += 1
            done.add_callback(self._finished)
        return done

    def idle(self) -> Deferred[None]:
        """Done when nothing is under way: at once, or with the end of the last of it, before its result is acted on."""
        if not self.running:
            return resolved(None)
        waiting: Deferred[None] = Deferred()
        self._waiting.append(waiting)
        return waiting

    def _finished(self, _done: Deferred[Any]) -> None:
        self.running -= 1
        if not self.running and self._waiting:
            waiting, self._waiting = self._waiting, []
            for each in waiting:
                each.resolve(None)
