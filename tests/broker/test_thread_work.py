"""Blocking work of a cluster: counted, and told when none is left."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from broker.deferred import Deferred, resolved
from broker.thread_work import ThreadWork


def test_who_waits_is_told_once_all_of_it_is_done() -> None:
    started: list[Deferred[Any]] = []

    def run(work: Callable[[], Any]) -> Deferred[Any]:
        started.append(Deferred())
        return started[-1]

    threads = ThreadWork(run)
    assert threads.idle().done
    results = [threads(lambda: None), threads(lambda: None)]
    idle = threads.idle()
    assert (threads.running, idle.done) == (2, False)
    started[1].fail(OSError("the disk is gone"))
    assert (threads.running, idle.done) == (1, False)
    started[0].resolve("done")
    assert (threads.running, idle.done) == (0, True)
    assert results[0].result() == "done"
    assert threads.idle().done


def test_work_that_is_done_at_once_is_never_under_way() -> None:
    threads = ThreadWork(lambda work: resolved(work()))
    assert threads(lambda: 3).result() == 3
    assert threads.running == 0
