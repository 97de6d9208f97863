"""Something done with a handler's response, whether that is there at once or comes later."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from broker.deferred import Deferred, start


def then(outcome: Any, change: Callable[[Any], Any]) -> Any:
    """`change(response)` in the response's place; at once where the response is there."""
    if isinstance(outcome, Coroutine):
        outcome = start(outcome)
    if type(outcome) is not Deferred:
        return change(outcome)
    if outcome.done:
        return change(outcome.result())
    changed: Deferred[Any] = Deferred()

    def finish(done: Deferred[Any]) -> None:
        try:
            response = change(done.result())
        except BaseException as error:
            changed.fail(error)
        else:
            changed.resolve(response)

    outcome.add_callback(finish)
    return changed
