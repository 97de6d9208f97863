"""Transactions through a whole broker: parked readers of committed records, restarts, several producers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import trio

from kwire.messages.end_txn import EndTxnRequest
from kwire.messages.fetch import FetchPartition, FetchRequest, FetchTopic
from kwire.messages.find_coordinator import FindCoordinatorRequest
from kwire.messages.init_producer_id import InitProducerIdRequest
from kwire.messages.produce import PartitionProduceData, ProduceRequest, TopicProduceData
from kwire.messages.write_txn_markers import (
    WritableTxnMarker,
    WritableTxnMarkerTopic,
    WriteTxnMarkersRequest,
)
from kwire.records import RecordBatchBuilder, iter_batches
from tests.broker.cluster_helpers import Client, running_server


class Producer:
    """A producer of transaction.version 2 on a connection of its own."""

    def __init__(self, client: Client, transactional_id: str) -> None:
        self.client = client
        self.id = transactional_id
        self.sequence = 0

    async def init(self) -> Producer:
        request = InitProducerIdRequest(transactional_id=self.id, transaction_timeout_ms=60_000)
        with trio.fail_after(10):
            while True:
                answer = await self.client.send(request, 5)
                if answer.error_code == 0:
                    break
                await self.client.send(FindCoordinatorRequest(key_type=1, coordinator_keys=[self.id]), 4)
        self.producer_id, self.epoch = answer.producer_id, answer.producer_epoch
        return self

    def batch(self, *values: bytes, sequence: int | None = None) -> bytes:
        builder = RecordBatchBuilder(
            producer_id=self.producer_id,
            producer_epoch=self.epoch,
            base_sequence=self.sequence if sequence is None else sequence,
            transactional=True,
        )
        for value in values:
            builder.append(None, value, timestamp=1)
        return bytes(builder.build())

    async def produce(self, topic: str, *values: bytes) -> Any:
        data = PartitionProduceData(index=0, records=self.batch(*values))
        request = ProduceRequest(
            transactional_id=self.id,
            acks=-1,
            timeout_ms=1000,
            topic_data=[TopicProduceData(name=topic, partition_data=[data])],
        )
        answer = (await self.client.send(request, 12)).responses[0].partition_responses[0]
        if answer.error_code == 0:
            self.sequence += len(values)
        return answer

    async def end(self, committed: bool) -> None:
        request = EndTxnRequest(
            transactional_id=self.id, producer_id=self.producer_id, producer_epoch=self.epoch, committed=committed
        )
        answer = await self.client.send(request, 5)
        assert answer.error_code == 0
        self.producer_id, self.epoch, self.sequence = answer.producer_id, answer.producer_epoch, 0


def committed_fetch(topic: str, offset: int, *, min_bytes: int = 1, max_wait_ms: int = 0) -> FetchRequest:
    wanted = FetchPartition(partition=0, fetch_offset=offset, partition_max_bytes=1 << 20)
    return FetchRequest(
        isolation_level=1,
        min_bytes=min_bytes,
        max_wait_ms=max_wait_ms,
        topics=[FetchTopic(topic=topic, partitions=[wanted])],
    )


async def fetched(client: Client, topic: str, offset: int = 0) -> Any:
    return (await client.send(committed_fetch(topic, offset), 12)).responses[0].partitions[0]


def bases(data: Any) -> list[int]:
    return [header.base_offset for header in iter_batches(bytes(data.records))]


FOR_EVER = str(2**63 - 1)


@pytest.mark.parametrize("flush", ["1", FOR_EVER])
def test_a_marker_wakes_who_waits_for_it(tmp_path: Path, flush: str) -> None:
    """At once (the clock stands still); where appends are fsynced, with the marker's fsync."""

    async def run() -> None:
        async with running_server(tmp_path) as running:
            cluster = running.add()
            producer = await Producer(await running.connect(cluster), "x").init()
            reader = await running.connect(cluster)
            await reader.create_topic("t", flush_messages=flush, segment_ms=FOR_EVER)
            assert (await producer.produce("t", b"a")).error_code == 0
            assert (await producer.produce("t", b"b")).error_code == 0
            assert (await fetched(reader, "t")).last_stable_offset == 0
            await reader.send_only(committed_fetch("t", 0, max_wait_ms=60_000), 12)
            await producer.end(True)
            data = (await reader.receive(FetchRequest, 12)).responses[0].partitions[0]
            assert bases(data) == [0, 1, 2]
            assert (data.last_stable_offset, data.high_watermark, data.aborted_transactions) == (3, 3, [])

    trio.run(run)


@pytest.mark.parametrize("clean", [True, False])
def test_a_restart_in_the_middle(tmp_path: Path, clean: bool) -> None:
    async def first() -> tuple[int, int]:
        async with running_server(tmp_path, clean=clean) as running:
            cluster = running.add()
            lost = await Producer(await running.connect(cluster), "lost").init()
            open_ = await Producer(await running.connect(cluster), "open").init()
            client = await running.connect(cluster)
            await client.create_topic("t")
            await lost.produce("t", b"lost")
            await lost.end(False)
            await open_.produce("t", b"open")
            return open_.producer_id, open_.epoch

    async def second(producer_id: int, epoch: int) -> None:
        async with running_server(tmp_path) as running:
            cluster = running.add()
            client = await running.connect(cluster)
            data = await fetched(client, "t")
            assert (data.last_stable_offset, data.high_watermark) == (2, 3)
            assert len(data.aborted_transactions) == 1
            again = Producer(client, "open")
            again.producer_id, again.epoch, again.sequence = producer_id, epoch, 0
            assert (await again.produce("t", b"open")).base_offset == 2, "sent again"
            while (await again.produce("t", b"more")).error_code:
                await trio.lowlevel.checkpoint()
            await again.end(True)
            assert (await fetched(client, "t")).last_stable_offset == 5

    trio.run(second, *trio.run(first))


def test_markers_by_anybody(tmp_path: Path) -> None:
    """Two markers of one producer are answered together; a hanging transaction ends."""

    async def run() -> None:
        async with running_server(tmp_path) as running:
            cluster = running.add()
            producer = await Producer(await running.connect(cluster), "x").init()
            client = await running.connect(cluster)
            await client.create_topic("t", 2)
            await producer.produce("t", b"a")

            def marker(*indexes: int, topic: str = "t") -> WritableTxnMarker:
                return WritableTxnMarker(
                    producer_id=producer.producer_id,
                    producer_epoch=producer.epoch,
                    transaction_result=False,
                    topics=[WritableTxnMarkerTopic(name=topic, partition_indexes=list(indexes))],
                )

            request = WriteTxnMarkersRequest(markers=[marker(0, 7), marker(1), marker(0, topic="nowhere")])
            (answer,) = (await client.send(request, 1)).markers
            told = {(each.name, p.partition_index): p.error_code for each in answer.topics for p in each.partitions}
            assert told == {("t", 0): 0, ("t", 7): 3, ("t", 1): 0, ("nowhere", 0): 3}
            data = await fetched(client, "t")
            assert data.last_stable_offset == 2
            assert [each.first_offset for each in data.aborted_transactions] == [0]

    trio.run(run)
