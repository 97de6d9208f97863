"""Fixtures of the raw-frames tests."""

from collections.abc import Callable, Iterator

import pytest

from compat_tests.raw.connection import Connection
from compat_tests.raw.wire import Wire
from compat_tests.targets import Broker


@pytest.fixture
def connect(broker: Broker) -> Iterator[Callable[[], Wire]]:
    """Makes connections; all are closed at the end of the test."""
    made: list[Connection] = []

    def make() -> Wire:
        made.append(wire := Wire(broker.address))
        return wire

    yield make
    for connection in made:
        connection.close()


@pytest.fixture
def wire(connect: Callable[[], Wire]) -> Wire:
    """A connection of the test's own."""
    return connect()
