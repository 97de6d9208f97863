"""What the histories found, as small as it can be told."""

from __future__ import annotations

import errno
import os
from random import Random
from typing import Any

from broker.deferred import Deferred
from kwire.messages.create_topics import CreatableTopic, CreateTopicsRequest
from kwire.messages.init_producer_id import InitProducerIdRequest
from tests.history.network import DisconnectedError, Network
from tests.history.simulated_broker import SimulatedBroker
from tests.history.simulation import Simulation

SETTINGS = {"listeners": "PLAINTEXT://127.0.0.1:0", "log.dirs": "/data", "log.cleaner.enable": "false"}


class Bench:
    """A simulated broker, and requests to it one after the other."""

    def __init__(self) -> None:
        self.simulation = Simulation(1)
        self.broker = SimulatedBroker(self.simulation, SETTINGS)
        self.network = Network(self.simulation, self.broker)
        assert self.broker.start()

    def ask(self, request: Any, version: int) -> Any:
        """The response; None without one."""
        found: list[Any] = []

        async def ask() -> None:
            try:
                link = await self.network.connect("test")
                found.append(await link.send(request, version))
            except DisconnectedError:
                found.append(None)

        task: Deferred[None] = self.simulation.spawn(ask())
        assert self.simulation.run(lambda: task.done, within_ms=60_000.0)
        return found[0]

    def create(self, topic: str) -> int:
        """The error code, or -2 without an answer."""
        wanted = CreatableTopic(name=topic, num_partitions=1, replication_factor=1)
        response = self.ask(CreateTopicsRequest(topics=[wanted], timeout_ms=1_000), 7)
        return -2 if response is None else int(response.topics[0].error_code)


def failing_syncs(operation: str, path: str) -> OSError | None:
    return OSError(errno.EIO, os.strerror(errno.EIO), path) if operation == "sync" else None


def test_metadata_after_a_failed_sync_a_kill_and_a_power_loss() -> None:
    """After the failed sync the page cache held records that the disk did not; what was built on them was lost."""
    bench = Bench()
    assert bench.create("before") == 0
    bench.broker.storage.fail = failing_syncs
    assert bench.create("refused") != 0
    bench.broker.kill()
    assert bench.broker.start()
    assert bench.create("after") == 0
    ids = [bench.ask(InitProducerIdRequest(transactional_id=None), 5).producer_id]
    bench.broker.power_loss(Random(3))
    assert bench.broker.start()
    cluster = bench.broker.cluster
    assert cluster is not None
    topics = {topic.name for topic in cluster.controller.image.topics()}
    assert {"before", "after"} <= topics
    ids.append(bench.ask(InitProducerIdRequest(transactional_id=None), 5).producer_id)
    assert len(set(ids)) == 2, "a producer id is given once"
