"""Transactions of franz-go."""

from collections.abc import Callable
from typing import Any

import pytest

from compat_tests.clients.go_program import compiled, run
from compat_tests.clients.support import Endpoint
from compat_tests.clients.transactions import committed, committed_offset, fill, make_topics
from compat_tests.clients.warnings_log import WarningsLog
from compat_tests.targets import TargetUnavailableError

capability = pytest.mark.capability
pytestmark = [pytest.mark.client("franz-go"), pytest.mark.usefixtures("transaction_coordinators")]

Run = Callable[..., Any]


@pytest.fixture(scope="session")
def program(request: pytest.FixtureRequest) -> str:
    try:
        return compiled(build=request.config.getoption("--long"))
    except TargetUnavailableError as error:
        pytest.skip(str(error))


@pytest.fixture
def scenario(program: str, endpoint: Endpoint, client_log: WarningsLog) -> Run:
    """Runs a scenario of the program: ``scenario("fencing", topic, transactional_id)``."""

    def start(name: str, *arguments: str) -> Any:
        told, lines = run(program, name, endpoint.bootstrap, *arguments)
        for line in lines:
            client_log.add(line)
        return told

    return start


@pytest.fixture
def name(fresh_name: Callable[[str], str]) -> str:
    """A transactional id."""
    return fresh_name("txn")


@pytest.fixture
def one(endpoint: Endpoint, topic: str) -> str:
    """A topic of one partition."""
    make_topics(endpoint, topic)
    return topic


@capability("transactions")
def test_commit_and_abort(scenario: Run, one: str, name: str) -> None:
    told = scenario("commit-and-abort", one, name)
    assert told["committed"] == [str(number) for number in range(12) if number % 3 != 2 for _ in range(2)]
    assert told["all"] == [str(number) for number in range(12) for _ in range(2)]


@capability("transactions: exactly once")
def test_consume_transform_produce_with_a_crash(
    scenario: Run, endpoint: Endpoint, fresh_name: Callable[[str], str], name: str, group: str
) -> None:
    """The first process ends in the middle of its third transaction; the second takes its place."""
    source, target = fresh_name("source"), fresh_name("target")
    make_topics(endpoint, source, target)
    fill(endpoint, source, 30)
    assert scenario("exactly-once", source, target, group, name, "29", "3") == {"crashed": True}
    assert scenario("exactly-once", source, target, group, name, "29", "0")["transactions"] >= 4
    assert committed(endpoint, target) == [b"%d!" % number for number in range(30)]
    assert committed_offset(endpoint, group, source) == 30


@capability("transactions: fencing")
def test_zombie_is_fenced(scenario: Run, one: str, name: str) -> None:
    assert scenario("fencing", one, name) == {"late": "PRODUCER_FENCED", "committed": ["kept"]}


@capability("transactions: timeout")
def test_transaction_past_its_time_is_aborted(scenario: Run, one: str, name: str) -> None:
    assert scenario("timeout", one, name) == {"late": "INVALID_TXN_STATE", "committed": ["kept"]}


@capability("admin: transactions")
def test_admin_of_transactions(scenario: Run, one: str, name: str) -> None:
    assert scenario("admin", one, name) == {"listed": "Ongoing", "described": "Ongoing", "starts": [0]}
