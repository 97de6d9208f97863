"""A cluster of several nodes in the test's process, and what tests ask it again and again."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import trio
from attrs import define, field

from broker.clock import ManualClock
from broker.cluster import Cluster
from broker.controller.image import PartitionImage
from broker.nodes import lifecycle
from broker.nodes.node import Node
from broker.nodes.spec import node_specs
from kwire.messages.create_topics import (
    CreatableReplicaAssignment,
    CreatableTopic,
    CreatableTopicConfig,
    CreateTopicsRequest,
)
from kwire.messages.fetch import FetchPartition, FetchRequest, FetchTopic
from kwire.messages.produce import PartitionProduceData, ProduceRequest, TopicProduceData
from kwire.records import iter_batches, read_records
from tests.broker.cluster_helpers import Client, Running, batch, running_server


def in_trio(test: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    """An asynchronous test as pytest calls it."""

    @functools.wraps(test)
    def run(**fixtures: Any) -> None:
        trio.run(functools.partial(test, **fixtures))

    return run


@define
class Nodes:
    """A cluster with a client for each node, made when first asked for."""

    running: Running
    cluster: Cluster
    clock: ManualClock
    clients: dict[int, Client] = field(factory=dict)

    def node(self, node_id: int) -> Node:
        return self.cluster.nodes[node_id]

    async def at(self, node_id: int) -> Client:
        """A client of that node; a new connection after `stop`."""
        if node_id not in self.clients:
            self.clients[node_id] = await self.running.connect(self.cluster, node_id)
        return self.clients[node_id]

    def stop(self, node_id: int, *, kill: bool = False) -> None:
        lifecycle.stop(self.node(node_id), kill=kill)
        self.clients.pop(node_id, None)

    def start(self, node_id: int) -> None:
        lifecycle.start(self.node(node_id))

    def isolate(self, node_id: int) -> None:
        lifecycle.isolate(self.node(node_id))

    def heal(self, node_id: int) -> None:
        lifecycle.heal(self.node(node_id))

    def freeze(self, *node_ids: int) -> None:
        for node_id in node_ids:
            lifecycle.freeze(self.node(node_id))

    def run(self, *node_ids: int) -> None:
        for node_id in node_ids:
            lifecycle.run(self.node(node_id))

    def partition(self, topic: str, index: int = 0) -> PartitionImage:
        found = self.cluster.controller.image.partition(topic, index)
        assert found is not None
        return found

    async def create(self, topic: str, replicas: Sequence[Sequence[int]], *, at: int = 1, **configs: str) -> None:
        """A topic with these replicas, one list a partition, leader first."""
        wanted = CreatableTopic(
            name=topic,
            num_partitions=-1,
            replication_factor=-1,
            assignments=[
                CreatableReplicaAssignment(partition_index=index, broker_ids=list(each))
                for index, each in enumerate(replicas)
            ],
            configs=[CreatableTopicConfig(name=key.replace("_", "."), value=value) for key, value in configs.items()],
        )
        client = await self.at(at)
        response = await client.send(CreateTopicsRequest(topics=[wanted], timeout_ms=1000), 5)
        assert response.topics[0].error_code == 0, response

    async def produce(
        self, node_id: int, topic: str, *values: bytes, acks: int = -1, timeout_ms: int = 1000, version: int = 11
    ) -> Any:
        """The whole answer of a node."""
        await self.begin_produce(node_id, topic, *values, acks=acks, timeout_ms=timeout_ms, version=version)
        return await (await self.at(node_id)).receive(ProduceRequest, version)

    async def begin_produce(
        self, node_id: int, topic: str, *values: bytes, acks: int = -1, timeout_ms: int = 1000, version: int = 11
    ) -> None:
        data = PartitionProduceData(index=0, records=batch(*values, timestamp=self.clock.now_ms()))
        request = ProduceRequest(
            acks=acks, timeout_ms=timeout_ms, topic_data=[TopicProduceData(name=topic, partition_data=[data])]
        )
        await (await self.at(node_id)).send_only(request, version)

    async def fetch(self, node_id: int, topic: str, offset: int = 0, *, version: int = 12, **more: Any) -> Any:
        """The whole answer of a node. more: as of `begin_fetch`."""
        await self.begin_fetch(node_id, topic, offset, version=version, **more)
        return await (await self.at(node_id)).receive(FetchRequest, version)

    async def begin_fetch(
        self,
        node_id: int,
        topic: str,
        offset: int = 0,
        *,
        version: int = 12,
        rack: str = "",
        epoch: int = -1,
        last_epoch: int = -1,
        max_wait_ms: int = 0,
    ) -> None:
        found = self.cluster.controller.image.topic_by_name(topic)
        assert found is not None
        wanted = FetchPartition(
            partition=0,
            fetch_offset=offset,
            partition_max_bytes=1 << 20,
            current_leader_epoch=epoch,
            last_fetched_epoch=last_epoch,
        )
        by_id = version >= 13
        request = FetchRequest(
            max_wait_ms=max_wait_ms,
            min_bytes=1,
            rack_id=rack,
            topics=[
                FetchTopic(
                    topic="" if by_id else topic,
                    topic_id=found.topic_id if by_id else bytes(16),
                    partitions=[wanted],
                )
            ],
        )
        await (await self.at(node_id)).send_only(request, version)

    async def values(self, topic: str) -> list[bytes | None]:
        """All that readers at the leader see."""
        client = await self.at(self.partition(topic).leader)
        return await client.values(topic)


def told(response: Any) -> Any:
    """The one partition of a Produce or Fetch answer."""
    (topic,) = response.responses
    partitions = topic.partition_responses if hasattr(topic, "partition_responses") else topic.partitions
    (partition,) = partitions
    return partition


def values_of(data: Any) -> list[bytes | None]:
    """The records' values of a fetched partition."""
    records = bytes(data.records or b"")
    found: list[bytes | None] = []
    for header in iter_batches(records, partial_tail=True):
        found += [record.value for record in read_records(records, header.position)]
    return found


@contextlib.asynccontextmanager
async def nodes(
    directory: Path, count: int = 3, racks: list[str] | None = None, **settings: str
) -> AsyncIterator[Nodes]:
    """A cluster of `count` nodes whose clock stands still."""
    async with running_server(directory) as running:
        clock = ManualClock()
        cluster = running.add("nodes", clock=clock, nodes=node_specs(count, racks), **settings)
        yield Nodes(running, cluster, clock)
