"""One broker for the tests of this folder that need one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from kwire.testing import Broker, Cluster


@pytest.fixture(scope="session")
def broker() -> Iterator[Broker]:
    with Broker.start() as broker:
        yield broker


@pytest.fixture
def cluster(broker: Broker) -> Iterator[Cluster]:
    with broker.create_cluster() as cluster:
        yield cluster
