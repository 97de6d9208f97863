"""What the tests of all clients share."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from attrs import frozen

from compat_tests.targets import Broker

T = TypeVar("T")
PATIENCE_S = 20.0


@frozen
class Endpoint:
    """Where a client connects: ``ca`` is None on the plain listener."""

    bootstrap: str
    ca: Path | None = None


def endpoint_of(broker: Broker) -> Endpoint:
    return Endpoint(broker.plain)


def until(ask: Callable[[], T], good: Callable[[T], bool], what: str, patience_s: float = PATIENCE_S) -> T:
    """Ask until ``good``. ``ask`` itself waits a little (a poll); otherwise it is asked every 10 ms."""
    deadline = time.monotonic() + patience_s
    while True:
        answer = ask()
        if good(answer):
            return answer
        assert time.monotonic() < deadline, f"{what}: still {answer!r} after {patience_s} s"
        time.sleep(0.01)
