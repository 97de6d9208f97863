"""What a broker does on its own, on its cluster's clock."""

from __future__ import annotations

from pathlib import Path

import trio
import trio.testing

from broker.clock import ManualClock
from kwire.messages.produce import PartitionProduceData, ProduceRequest, TopicProduceData
from kwire.records import RecordBatchBuilder
from tests.broker.cluster_helpers import Client, running_server


async def _produce_idempotently(client: Client, clock: ManualClock) -> None:
    builder = RecordBatchBuilder(producer_id=5, producer_epoch=0, base_sequence=0)
    builder.append(None, b"x", timestamp=clock.now_ms())
    data = PartitionProduceData(index=0, records=bytes(builder.build()))
    request = ProduceRequest(acks=-1, timeout_ms=1000, topic_data=[TopicProduceData(name="t", partition_data=[data])])
    (answer,) = (await client.send(request, 9)).responses[0].partition_responses
    assert answer.error_code == 0, answer


def test_an_idle_producer_is_forgotten(tmp_path: Path) -> None:
    """producer.id.expiration.ms, looked at every producer.id.expiration.check.interval.ms."""

    async def main() -> None:
        clock = ManualClock()
        async with running_server(tmp_path) as running:
            cluster = running.add(
                clock=clock,
                producer_id_expiration_ms="3600000",
                producer_id_expiration_check_interval_ms="600000",
            )
            client = await running.connect(cluster)
            await client.create_topic("t")
            await _produce_idempotently(client, clock)
            (log,) = (log for log in cluster.manager.open_logs() if log.topic == "t")
            assert [entry.producer_id for entry in log.active_producers()] == [5]
            clock.advance(3_000_000)
            assert [entry.producer_id for entry in log.active_producers()] == [5]
            clock.advance(1_800_000)
            assert not list(log.active_producers())

    trio.run(main)


def test_retention_reaches_logs_that_nobody_has_used_since_the_start(tmp_path: Path) -> None:
    """log.retention.check.interval.ms; also by size, and not those that have nothing old."""

    async def main() -> None:
        clock = ManualClock()
        async with running_server(tmp_path) as running:
            client = await running.connect(running.add(clock=clock, log_initial_task_delay_ms="100000000"))
            for topic, settings in (
                ("old", {"retention_ms": "600000"}),
                ("large", {"retention_bytes": "1"}),
                ("kept", {"retention_ms": "-1"}),
            ):
                await client.create_topic(topic, segment_ms="60000", **settings)
                for _ in range(3):
                    await client.produce(topic, b"value", timestamp=clock.now_ms())
                    clock.advance(100_000)
        async with running_server(tmp_path) as running:
            cluster = running.add(clock=clock)
            used = {log.topic for log in cluster.manager.open_logs()} - {"__cluster_metadata"}
            assert not used, f"opened at the start: {used}"
            client = await running.connect(cluster)
            clock.advance(800_000)
            await trio.testing.wait_all_tasks_blocked()
            starts = {log.topic: log.log_start_offset for log in cluster.manager.open_logs()}
            assert starts["old"] == 3
            assert starts["large"] == 2
            assert "kept" not in starts

    trio.run(main)
