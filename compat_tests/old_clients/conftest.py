"""Brokers with the manners of older releases, one process for each release, started when first asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from compat_tests.old_clients.past_kafka import PAST_VERSION, past_kafka
from compat_tests.raw.groups import warm_up
from compat_tests.raw.wire import Wire
from compat_tests.targets import OwnBroker, TargetUnavailableError, make_broker

PAST_LINE = ".".join(PAST_VERSION.split(".")[:2])


@pytest.fixture(scope="session")
def as_version(target_name: str, scratch: Path) -> Iterator[Callable[[str], OwnBroker]]:
    """`as_version("0.11")`: a kwire that is like that Kafka. Skips where the target is not kwire."""
    brokers: dict[str, OwnBroker] = {}

    def start(release: str) -> OwnBroker:
        if target_name != "kwire":
            pytest.skip("personalities are kwire's own")
        if release not in brokers:
            directory = scratch / f"as-{release}"
            brokers[release] = broker = make_broker("kwire", directory, None, {"kwire.as.version": release})
            broker.start()
        return brokers[release]

    yield start
    for broker in brokers.values():
        broker.kill()


@pytest.fixture(scope="session")
def past_broker(
    target_name: str, scratch: Path, as_version: Callable[[str], OwnBroker], request: pytest.FixtureRequest
) -> Iterator[OwnBroker]:
    """kwire as Kafka 3.9; with `--target kafka` that Kafka itself."""
    if target_name == "kwire":
        yield as_version(PAST_LINE)
        return
    if target_name != "kafka":
        pytest.skip("another broker is of its own version")
    try:
        broker = past_kafka(scratch / "past-kafka", fetch=bool(request.config.getoption("--long")))
    except TargetUnavailableError as error:
        pytest.skip(str(error))
    broker.start()
    yield broker
    broker.kill()


@pytest.fixture(scope="session")
def _warm(past_broker: OwnBroker) -> None:
    with Wire(past_broker.address) as wire:
        warm_up(wire)


@pytest.fixture
def past(past_broker: OwnBroker, _warm: None) -> Iterator[Wire]:
    """A connection of the test's own to the broker of 3.9."""
    with Wire(past_broker.address) as wire:
        yield wire
