"""Fixtures of the raw-frames tests."""

from collections.abc import Callable, Iterator

import pytest

from compat_tests.differences import NOT_YET_ADVERTISED
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


@pytest.fixture(autouse=True)
def _needs(request: pytest.FixtureRequest, broker: Broker) -> None:
    """Skips a test marked ``needs(api)`` where the target does not have that API yet."""
    marker = request.node.get_closest_marker("needs")
    if marker is not None and broker.kind == "kwire" and marker.args[0] in NOT_YET_ADVERTISED:
        pytest.skip(f"kwire has no {marker.args[0]} (docs/DIFFERENCES.md)")
