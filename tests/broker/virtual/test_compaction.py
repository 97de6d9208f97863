"""Compaction in a virtual cluster, and a fork of one that is being compacted."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio
import trio.testing

from broker.driven_clock import DrivenClock
from broker.virtual.cluster import VirtualCluster
from kwire.records import RecordBatchBuilder
from log.partition_log import PartitionLog
from tests.broker.cluster_helpers import Client
from tests.broker.server_helpers import settled
from tests.broker.virtual.helpers import plane

CONFIGS = {
    "cleanup.policy": "compact",
    "min.cleanable.dirty.ratio": "0",
    "segment.bytes": "1048576",
    "min.compaction.lag.ms": "0",
}


async def produce_keys(client: Client, rounds: int) -> None:
    for number in range(rounds):
        builder = RecordBatchBuilder()
        for key in (b"a", b"b", b"c"):
            builder.append(key, bytes([number]) * 90_000, timestamp=1_700_000_000_000 + number)
        from kwire.messages.produce import PartitionProduceData, ProduceRequest, TopicProduceData

        data = PartitionProduceData(index=0, records=bytes(builder.build()))
        topic = TopicProduceData(name="t", partition_data=[data])
        answer = await client.send(ProduceRequest(acks=-1, timeout_ms=1000, topic_data=[topic]), 9)
        assert answer.responses[0].partition_responses[0].error_code == 0


def log_of(virtual: VirtualCluster) -> PartitionLog:
    partition = virtual.cluster.partitions.get("t", 0)
    assert partition is not None
    return partition.log


def test_logs_are_compacted_and_forks_of_them_are_sound(tmp_path: Path) -> None:
    async def main() -> None:
        async with plane(tmp_path) as p:
            virtual = p.create("c", topics={"t": {"partitions": 1, "configs": CONFIGS}})
            assert isinstance(virtual.clock, DrivenClock)
            virtual.clock.freeze()
            client = await p.connect(virtual)
            await produce_keys(client, 20)
            before = log_of(virtual).size_bytes
            reactor = p.running.server.reactor
            clock, log = virtual.clock, log_of(virtual)

            def turn() -> bool:
                clock.advance(15_000)  # log.cleaner.backoff.ms; what a look began is done in threads, by the next one
                return log.cleaning is not None or log.size_bytes < before / 2

            await settled(reactor, turn, "a cleaning has begun")
            early = p.clusters.fork("c", as_name="early")
            assert not p.clusters.take_snapshot("c").clean or log.cleaning is None
            await settled(reactor, lambda: turn() and log.size_bytes < before / 2, "the log is compacted")
            late = p.clusters.fork("c", as_name="late")
            for each in (virtual, early, late):
                values = await (await p.connect(each)).values("t")
                assert [value[0] if value else None for value in values][-3:] == [19, 19, 19]
                assert log_of(each).log_end_offset == 60
            assert len(await (await p.connect(late)).values("t")) < 60
            await produce_keys(await p.connect(late), 1)

    trio.run(main)


def test_a_cluster_that_is_being_compacted_is_deleted_in_peace(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        async with plane(tmp_path) as p:
            for number in range(3):
                virtual = p.create(f"c{number}", topics={"t": {"partitions": 1, "configs": CONFIGS}})
                assert isinstance(virtual.clock, DrivenClock)
                clock, log = virtual.clock, log_of(virtual)
                clock.freeze()
                await produce_keys(await p.connect(virtual), 12)

                def turn(clock: DrivenClock = clock, log: PartitionLog = log) -> bool:
                    clock.advance(15_000)
                    return log.cleaning is not None

                await settled(p.running.server.reactor, turn, "a cleaning has begun")
                p.clusters.delete(virtual.name)
            await trio.testing.wait_all_tasks_blocked(0.1)

    trio.run(main)
    assert [record.getMessage() for record in caplog.records if record.levelname in ("ERROR", "WARNING")] == []
