"""What pytest sees: options, the marker, hooks and fixtures.

Loaded in every pytest run of an environment that has kwire: what a run without these fixtures does not need is
imported later.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from kwire.testing import Broker, Cluster
    from pytest_kwire.sharing import SharedBroker

_MARKER = (
    "kafka(nodes=1, racks=[...], topics={'orders': 6}, configs={...}, seed=1, as_version='2.8', snapshot='fixture'): "
    "how the test's kafka_cluster is made"
)
# What is to be told at the end of the run about a broker that did not outlive it.
_death = pytest.StashKey[str]()
_shared: pytest.StashKey[SharedBroker] = pytest.StashKey()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Options and ini settings."""
    group = parser.getgroup("kwire")
    group.addoption(
        "--kwire-url",
        metavar="URL",
        help="use the kwire whose control plane is there (http://127.0.0.1:9380) instead of starting one",
    )
    group.addoption("--kwire-log", metavar="FILE", help="append the log of the broker that is started to FILE")
    parser.addini("kwire_settings", "broker settings, KEY=VALUE, of the broker that is started", "linelist", [])
    parser.addini("kwire_log_level", "how much that broker logs: DEBUG, INFO, WARN or ERROR", "string", "INFO")
    parser.addini("kwire_requests", "how many last requests a failing test's report shows; 0: none", "string", "20")


def pytest_configure(config: pytest.Config) -> None:
    """Declare the marker, check the settings."""
    config.addinivalue_line("markers", _MARKER)
    requests = config.getini("kwire_requests")
    if not requests.isdecimal():
        raise pytest.UsageError(f"kwire_requests is a number of requests, 0 for none, not {requests!r}")


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """xdist, in the controller: tell each worker where to ask for the one broker. It starts when the first one asks."""
    config = node.config
    if config.getoption("kwire_url"):
        return
    from pytest_kwire.sharing import SharedBroker, start_broker

    if _shared not in config.stash:
        try:
            config.stash[_shared] = SharedBroker(lambda: start_broker(config))
        except OSError:
            # No sockets here: a run that needs no broker is not stopped by that, a worker that does starts its own.
            return
    node.workerinput["kwire"] = config.stash[_shared].address


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any, error: object) -> None:
    """xdist, in the controller: what a worker that crashed had is deleted."""
    shared = node.config.stash.get(_shared, None)
    if shared is not None and error:
        shared.forget_worker(node.gateway.id)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say so when the broker died during the run: what tests tell then is only that nobody answers."""
    shared = config.stash.get(_shared, None)
    death = config.stash.get(_death, None) if shared is None else shared.death()
    if death is not None:
        terminalreporter.section("kwire")
        terminalreporter.write_line(death)


def pytest_unconfigure(config: pytest.Config) -> None:
    """Stop the workers' broker."""
    shared = config.stash.get(_shared, None)
    if shared is not None:
        shared.close()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Any:
    """A failing test's report shows the last requests and the groups of its clusters."""
    report = yield
    if not report.failed:
        return report
    from pytest_kwire.clusters import clusters_of

    clusters = clusters_of(item)
    if clusters:
        from pytest_kwire.report import add_sections

        add_sections(report, clusters, int(item.config.getini("kwire_requests")))
    return report


@pytest.fixture(scope="session")
def kafka_broker(pytestconfig: pytest.Config) -> Iterator[Broker]:
    """The broker of this run: started when a test first wants it; with pytest-xdist one for all workers."""
    from pytest_kwire.sharing import find_broker

    broker = find_broker(pytestconfig)
    yield broker
    death = broker.death()
    if death is not None:
        pytestconfig.stash[_death] = death
    broker.close()


@pytest.fixture(scope="session")
def kafka_seed() -> Cluster | None:
    """Override it, in module or session scope, to seed a cluster once; each test's cluster is a fork of it then."""
    return None


@pytest.fixture
def kafka_nodes(request: pytest.FixtureRequest, kafka_broker: Broker) -> Iterator[Callable[..., Cluster]]:
    """`kafka_nodes(3)`: a fresh cluster of so many nodes, deleted after the test; more as `create_cluster` takes it."""
    from pytest_kwire.clusters import ClustersOfTest

    with ClustersOfTest(request.node, kafka_broker) as clusters:
        yield lambda nodes, **options: clusters.create(nodes=nodes, **options)


@pytest.fixture
def kafka_cluster(request: pytest.FixtureRequest, kafka_broker: Broker) -> Iterator[Cluster]:
    """A fresh cluster, made as the test's `kafka` marker says, or a fork of `kafka_seed`; deleted after the test."""
    from pytest_kwire.clusters import ClustersOfTest
    from pytest_kwire.marker import cluster_options

    with ClustersOfTest(request.node, kafka_broker) as clusters:
        options = cluster_options(request.node)
        seed = options.pop("snapshot", "kafka_seed")
        parent = None if seed is None else request.getfixturevalue(seed)
        yield clusters.create(**options) if parent is None else clusters.fork(parent, **options)


@pytest.fixture
def bootstrap_servers(kafka_cluster: Cluster) -> str:
    """`host:port,...` of `kafka_cluster`, for Kafka's clients."""
    return kafka_cluster.bootstrap_servers
