"""Fixtures of the client tests: endpoints, and the watch over what clients log."""

import logging
import threading
from collections.abc import Iterator

import pytest

from compat_tests.clients import warnings_log
from compat_tests.clients.support import Endpoint
from compat_tests.clients.warnings_log import WarningsLog
from compat_tests.targets import Broker
from kwire.testing import Broker as KwireBroker

CLIENT_LOGGERS = ("kafka", "aiokafka", "librdkafka", "asyncio")


@pytest.fixture
def endpoint(broker: Broker) -> Endpoint:
    """The plain listener."""
    return Endpoint(broker.plain)


@pytest.fixture(params=["plain", "tls"])
def any_endpoint(broker: Broker, request: pytest.FixtureRequest) -> Endpoint:
    """Each listener in turn."""
    if request.param == "plain":
        return Endpoint(broker.plain)
    if broker.tls is None or broker.certificates is None:
        pytest.skip("no TLS listener (openssl is missing, or the broker was started elsewhere)")
    return Endpoint(broker.tls, broker.certificates.ca)


@pytest.fixture(autouse=True)
def client_log(request: pytest.FixtureRequest) -> Iterator[WarningsLog]:
    """Fails a test whose client logs a warning that it does not log on Kafka."""
    log = WarningsLog()
    for name in CLIENT_LOGGERS:
        logging.getLogger(name).addHandler(log)
    yield log
    for name in CLIENT_LOGGERS:
        logging.getLogger(name).removeHandler(log)
    seen = log.seen()
    test = request.node.nodeid.removeprefix("compat_tests/").partition("[")[0]
    if request.config.getoption("--target") == "kafka":
        if request.config.getoption("--record"):
            warnings_log.record(test, set(seen))
        return
    known = warnings_log.allowed(test)
    unexpected = [line for pattern, line in seen.items() if pattern not in known]
    assert unexpected == [], "the client logs what it does not log on Kafka"


@pytest.fixture(autouse=True)
def _no_threads_left() -> Iterator[None]:
    """A client that was not closed would log into later tests."""
    before = set(threading.enumerate())
    yield
    for thread in set(threading.enumerate()) - before:
        thread.join(5)


@pytest.fixture(scope="module")
def own_broker(target_name: str) -> Iterator[KwireBroker]:
    """A kwire with its HTTP door, for what only kwire does to its clients on purpose."""
    if target_name != "kwire":
        pytest.skip("clusters that fail on purpose are kwire's own")
    with KwireBroker.start() as broker:
        yield broker
