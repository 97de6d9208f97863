"""Options, targets and what every test of the suite shares.

    pytest compat_tests                        against kwire
    pytest compat_tests --target kafka         against Apache Kafka 4.3.1, started by the suite
    pytest compat_tests --target HOST:PORT     against a broker that is running (tests that restart it are skipped)

The environment variable TARGET gives the same as ``--target``.
"""

import itertools
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path

import pytest

pytest.register_assert_rewrite(
    "compat_tests.raw.connection",
    "compat_tests.raw.groups",
    "compat_tests.raw.transactions",
    "compat_tests.raw.wire",
    "compat_tests.clients.support",
)

from compat_tests import matrix  # noqa: E402
from compat_tests.certificates import Certificates, make_certificates  # noqa: E402
from compat_tests.processes import ScratchDirectory  # noqa: E402
from compat_tests.raw.groups import warm_up  # noqa: E402
from compat_tests.raw.transactions import warm_up_transactions  # noqa: E402
from compat_tests.raw.wire import Wire  # noqa: E402
from compat_tests.targets import Broker, OwnBroker, TargetUnavailableError, answers_requests, make_broker  # noqa: E402

RESTARTABLE_PROPERTIES = {
    # Members of groups that die without a word are missed sooner than Kafka's least of 6 s allows.
    "group.min.session.timeout.ms": "500",
    # A Kafka that was killed may register again only when its old session is over.
    "broker.session.timeout.ms": "4000",
    "broker.heartbeat.interval.ms": "500",
}

MATRIX = pytest.StashKey[matrix.Results]()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("compat")
    group.addoption(
        "--target", default=os.environ.get("TARGET") or "kwire", help="kwire (default), kafka, or HOST:PORT"
    )
    group.addoption(
        "--matrix", action="store_true", help="write the client x capability matrix to docs/COMPATIBILITY.md"
    )
    group.addoption(
        "--record",
        action="store_true",
        help="with --target kafka: keep what Kafka answers, and the warnings clients log, as what is expected",
    )
    with suppress(ValueError):  # another suite of the same run has it
        parser.addoption("--long", action="store_true", help="also run what takes long")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "capability(name): the row of the matrix that the test stands for")
    config.addinivalue_line("markers", "client(name): the column of the matrix; by default from the module's name")
    config.addinivalue_line("markers", "needs(api): the raw-frames test asks this API, which kwire may not have yet")
    config.addinivalue_line("markers", "long: runs with --long only")
    config.addinivalue_line("markers", "long_on_kafka: with target kafka it runs with --long only, for its time there")
    # Stock clients leave sockets to the garbage collector and use deprecated calls; that is not what is tested here.
    for category in ("ResourceWarning", "DeprecationWarning", "PendingDeprecationWarning"):
        config.addinivalue_line("filterwarnings", f"ignore::{category}")
    config.addinivalue_line("filterwarnings", "ignore::pytest.PytestUnraisableExceptionWarning")
    config.stash[MATRIX] = matrix.Results()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here not in item.path.parents:
            continue
        if config.getoption("--long"):
            continue
        if item.get_closest_marker("long"):
            item.add_marker(pytest.mark.skip(reason="runs with --long"))
        elif item.get_closest_marker("long_on_kafka") and config.getoption("--target") == "kafka":
            item.add_marker(pytest.mark.skip(reason="on Kafka it runs with --long"))


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    outcome = yield
    report: pytest.TestReport = outcome.get_result()  # type: ignore[attr-defined]
    item.config.stash[MATRIX].add(item, report)


def pytest_sessionfinish(session: pytest.Session) -> None:
    if session.config.getoption("--matrix"):
        session.config.stash[MATRIX].write(str(session.config.getoption("--target")))


@pytest.fixture(scope="session")
def target_name(request: pytest.FixtureRequest) -> str:
    """``kwire``, ``kafka`` or ``HOST:PORT``."""
    return str(request.config.getoption("--target"))


@pytest.fixture(scope="session")
def scratch() -> Iterator[Path]:
    directory = ScratchDirectory()
    yield directory.path
    directory.close()


@pytest.fixture(scope="session")
def certificates(scratch: Path) -> Certificates | None:
    return make_certificates(scratch / "tls")


def _start(
    target_name: str,
    directory: Path,
    certificates: Certificates | None,
    properties: Mapping[str, str] | None = None,
) -> OwnBroker:
    try:
        broker = make_broker(target_name, directory, certificates, properties)
    except TargetUnavailableError as error:
        pytest.skip(str(error))
    broker.start()
    with Wire(broker.address) as wire:
        warm_up(wire)
    return broker


@pytest.fixture(scope="session")
def broker(target_name: str, scratch: Path, certificates: Certificates | None) -> Iterator[Broker]:
    """The broker that all tests share."""
    if target_name not in ("kwire", "kafka"):
        running = Broker("remote", target_name)
        if not answers_requests(*running.address):
            pytest.exit(f"no broker answers at {target_name}", returncode=4)
        yield running
        return
    own = _start(target_name, scratch / "broker", certificates)
    yield own
    own.kill()


@pytest.fixture(scope="session")
def transaction_coordinators(broker: Broker) -> None:
    """The shared broker's coordinators of transactional ids answer: a new broker may refuse for a moment."""
    with Wire(broker.address) as wire:
        warm_up_transactions(wire)


@pytest.fixture(scope="session")
def _second_broker(target_name: str, scratch: Path, certificates: Certificates | None) -> Iterator[OwnBroker]:
    if target_name not in ("kwire", "kafka"):
        pytest.skip("a broker that was started elsewhere is not restarted")
    own = _start(target_name, scratch / "restartable", certificates, RESTARTABLE_PROPERTIES)
    yield own
    own.kill()


@pytest.fixture
def restartable_broker(_second_broker: OwnBroker) -> OwnBroker:
    """A running broker of its own that the test may kill, stop and start; ports and data stay."""
    _second_broker.start()
    return _second_broker


@pytest.fixture
def bootstrap(broker: Broker) -> str:
    """``host:port`` of the plain listener."""
    return broker.plain


@pytest.fixture
def tls_bootstrap(broker: Broker) -> str:
    """``host:port`` of the TLS listener; the test is skipped where there is none."""
    if broker.tls is None:
        pytest.skip("no TLS listener (openssl is missing, or the broker was started elsewhere)")
    return broker.tls


@pytest.fixture(scope="session")
def fresh_names() -> Callable[[str], str]:
    """Names nobody used before: ``fresh_names("orders") -> "orders-17-4711"`` (number, process)."""
    numbers = itertools.count(1)
    return lambda stem: f"{stem}-{next(numbers)}-{os.getpid()}"


@pytest.fixture
def fresh_name(fresh_names: Callable[[str], str]) -> Callable[[str], str]:
    """The same, for one test."""
    return fresh_names


@pytest.fixture
def topic(fresh_name: Callable[[str], str]) -> str:
    """The name of a topic that does not exist yet (it is created on first use, with 4 partitions)."""
    return fresh_name("topic")


@pytest.fixture
def group(fresh_name: Callable[[str], str]) -> str:
    """A group id nobody used before."""
    return fresh_name("group")
