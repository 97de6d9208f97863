"""Long work in portions, one a turn of the loop, so that everybody else is served in between."""

from __future__ import annotations

from collections.abc import Generator
from functools import partial
from typing import TypeVar

from broker.coordinator.ports import CoordinatorClock
from broker.deferred import Deferred

T = TypeVar("T")


async def in_turns(work: Generator[None, None, T], clock: CoordinatorClock) -> T:
    """What `work` returns. It yields where the loop may turn to others."""
    while True:
        try:
            next(work)
        except StopIteration as done:
            result: T = done.value
            return result
        turn: Deferred[None] = Deferred()
        clock.call_later(0, partial(turn.resolve, None))
        await turn
