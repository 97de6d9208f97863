"""Whole clusters in the test's process, and a client that speaks the protocol to them."""

from __future__ import annotations

import contextlib
import struct
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from random import Random
from typing import Any

import trio
from attrs import define, field

from broker.clock import Clock, ManualClock
from broker.cluster import Cluster
from broker.config.broker_config import BrokerConfig
from broker.dispatch import Hooks
from broker.nodes.spec import NodeSpec
from broker.reactor import Reactor
from broker.routes import api_name
from broker.server import Server
from kwire import codec, headers
from kwire.api_keys import ApiKey
from kwire.messages.create_topics import CreatableTopic, CreatableTopicConfig, CreateTopicsRequest
from kwire.messages.fetch import FetchPartition, FetchRequest, FetchTopic
from kwire.messages.produce import PartitionProduceData, ProduceRequest, TopicProduceData
from kwire.records import RecordBatchBuilder, iter_batches, read_records
from log.storage import Storage
from tests.broker.server_helpers import LIMIT_S


@define
class Client:
    """One connection. `send(request, version)` gives the decoded response."""

    stream: trio.SocketStream
    client_id: str = "test"
    correlation_id: int = 0
    """Of the last request; answered_id: of the last answer."""
    answered_id: int = 0

    async def send(self, request: Any, version: int) -> Any:
        await self.send_only(request, version)
        return await self.receive(type(request), version)

    async def send_only(self, request: Any, version: int) -> None:
        self.correlation_id += 1
        key = _api_key(type(request))
        head = headers.encode_request_header(headers.RequestHeader(key, version, self.correlation_id, self.client_id))
        body = codec.encode(request, version)
        await self.stream.send_all(struct.pack(">i", len(head) + len(body)) + head + body)

    async def receive(self, request_class: type[Any], version: int) -> Any:
        (size,) = struct.unpack(">i", await self._exactly(4))
        data = await self._exactly(size)
        key = _api_key(request_class)
        header, offset = headers.decode_response_header(headers.response_header_version(key, version), data)
        self.answered_id = header.correlation_id
        module = __import__(request_class.__module__, fromlist=["x"])
        response_class = getattr(module, request_class.__name__.replace("Request", "Response"))
        return codec.decode(response_class, version, data, offset)

    async def _exactly(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            part = await self.stream.receive_some(size - len(data))
            if not part:
                raise EOFError("the broker closed the connection")
            data += part
        return data

    async def create_topic(self, name: str, partitions: int = 1, **configs: str) -> None:
        topic = CreatableTopic(
            name=name,
            num_partitions=partitions,
            replication_factor=1,
            configs=[CreatableTopicConfig(name=key.replace("_", "."), value=value) for key, value in configs.items()],
        )
        response = await self.send(CreateTopicsRequest(topics=[topic], timeout_ms=1000), 5)
        assert response.topics[0].error_code == 0, response

    async def produce(self, topic: str, *values: bytes, partition: int = 0, acks: int = -1, timestamp: int = 1) -> Any:
        """The partition's answer."""
        request = produce_request(topic, *values, partition=partition, acks=acks, timestamp=timestamp)
        response = await self.send(request, 9)
        return response.responses[0].partition_responses[0]

    async def fetch(
        self, topic: str, offset: int = 0, *, partition: int = 0, max_wait_ms: int = 0, min_bytes: int = 1
    ) -> Any:
        """The partition's answer."""
        response = await self.send(fetch_request(topic, offset, partition, max_wait_ms, min_bytes), 12)
        return response.responses[0].partitions[0]

    async def values(self, topic: str, partition: int = 0) -> list[bytes | None]:
        """Everything in a partition."""
        found: list[bytes | None] = []
        offset = 0
        while True:
            data = await self.fetch(topic, offset, partition=partition)
            assert data.error_code == 0, data
            if not data.records:
                return found
            records = bytes(data.records)
            for header in iter_batches(records, partial_tail=True):
                found += [record.value for record in read_records(records, header.position)]
                offset = header.last_offset + 1


def fetch_request(
    topic: str, offset: int, partition: int = 0, max_wait_ms: int = 0, min_bytes: int = 1
) -> FetchRequest:
    wanted = FetchPartition(partition=partition, fetch_offset=offset, partition_max_bytes=1 << 20)
    return FetchRequest(
        max_wait_ms=max_wait_ms, min_bytes=min_bytes, topics=[FetchTopic(topic=topic, partitions=[wanted])]
    )


def produce_request(
    topic: str, *values: bytes, partition: int = 0, acks: int = -1, timestamp: int = 1
) -> ProduceRequest:
    data = PartitionProduceData(index=partition, records=batch(*values, timestamp=timestamp))
    return ProduceRequest(acks=acks, timeout_ms=1000, topic_data=[TopicProduceData(name=topic, partition_data=[data])])


def batch(*values: bytes, timestamp: int = 1) -> bytes:
    builder = RecordBatchBuilder()
    for value in values:
        builder.append(None, value, timestamp=timestamp)
    return bytes(builder.build())


def _api_key(request_class: type[Any]) -> ApiKey:
    name = request_class.__name__.removesuffix("Request")
    return next(key for key in ApiKey if api_name(key) == name)


@define
class Running:
    """A server in the test's process."""

    server: Server
    directory: Path
    clients: list[Client] = field(factory=list)

    def add(
        self,
        name: str = "one",
        *,
        clock: Clock | None = None,
        storage: Storage | None = None,
        hooks: Hooks | None = None,
        nodes: Sequence[NodeSpec] = (),
        **settings: str,
    ) -> Cluster:
        """A cluster on a free port of 127.0.0.1, by default with a clock of its own that stands still."""
        texts = {"listeners": "PLAINTEXT://127.0.0.1:0", "log.dirs": str(self.directory / name)}
        texts |= {key.replace("_", "."): value for key, value in settings.items()}
        return self.server.add(
            BrokerConfig(texts),
            clock=clock if clock is not None else ManualClock(),
            random=Random(name),
            storage=storage,
            hooks=hooks,
            nodes=nodes,
        )

    async def connect(self, cluster: Cluster, node_id: int | None = None) -> Client:
        """To one of its nodes, by default the first."""
        node = cluster.node if node_id is None else cluster.nodes[node_id]
        client = Client(await trio.open_tcp_stream("127.0.0.1", node.addresses[0].bound_port))
        self.clients.append(client)
        return client


@contextlib.asynccontextmanager
async def running_server(directory: Path, *, clean: bool = True) -> AsyncIterator[Running]:
    """clean=False: the process just ends, as by kill -9 (nothing is closed or synced)."""
    reactor = Reactor()
    server = Server(reactor, BrokerConfig({}))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(reactor.run)
        try:
            with trio.fail_after(LIMIT_S):
                running = Running(server, directory)
                yield running
        finally:
            for client in running.clients:
                await trio.aclose_forcefully(client.stream)
            server.stop_serving()
            reactor.stop()
    if clean:
        server.close()
    else:
        server.abandon()
    reactor.close()
