"""A cluster in the test's process with fault rules."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

from attrs import define

from broker.clock import ManualClock
from broker.cluster import Cluster
from broker.faults.faults import Faults
from broker.virtual.storage import MemoryStorage
from tests.broker.cluster_helpers import Client, Running, running_server


@define
class Faulty:
    """The cluster, its rules, a clock that stands still, and a client."""

    running: Running
    cluster: Cluster
    faults: Faults
    clock: ManualClock
    client: Client

    async def connect(self) -> Client:
        return await self.running.connect(self.cluster)


@contextlib.asynccontextmanager
async def faulty(directory: Path, *, in_memory: bool = False, **settings: str) -> AsyncIterator[Faulty]:
    """With a topic "t" of two partitions and one "other"."""
    async with running_server(directory) as running:
        clock = ManualClock()
        storage = MemoryStorage(clock.now_ms, str(directory)) if in_memory else None
        if in_memory:
            settings["log_dirs"] = "/data"
            storage.mkdir("/data")
        cluster = running.add(clock=clock, storage=storage, **settings)
        client = await running.connect(cluster)
        await client.create_topic("t", 2)
        await client.create_topic("other", 2)
        yield Faulty(running, cluster, Faults(cluster), clock, client)
