"""One broker for all runs of pytest in this process that need not start their own."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from kwire.testing import Broker
from tests.pytest_kwire.runs import QUIET


@pytest.fixture(scope="session")
def running_broker() -> Iterator[Broker]:
    with Broker.start() as broker:
        yield broker


@pytest.fixture
def run(pytester: pytest.Pytester, running_broker: Broker) -> Callable[..., pytest.RunResult]:
    """`run(source, *arguments)`: the tests in `source`, on the broker that runs."""

    def run(source: str, *arguments: str) -> pytest.RunResult:
        pytester.makepyfile(source)
        return pytester.runpytest_inprocess(*QUIET, "--kwire-url", running_broker.url, *arguments)

    return run
