"""A whole broker compacts: keys written again and again end with their last value, whatever happens meanwhile."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import trio

from broker.cleaner.process import ProcessRunner
from broker.clock import SystemClock
from broker.cluster import Cluster
from kwire.messages.alter_replica_log_dirs import (
    AlterReplicaLogDir,
    AlterReplicaLogDirsRequest,
    AlterReplicaLogDirTopic,
)
from kwire.messages.delete_topics import DeleteTopicsRequest
from kwire.messages.produce import PartitionProduceData, ProduceRequest, TopicProduceData
from kwire.records import RecordBatchBuilder, iter_batches, read_records
from tests.broker.cluster_helpers import Client, Running, running_server

COMPACTED = {
    "cleanup_policy": "compact",
    "segment_bytes": "1048576",
    "internal_segment_bytes": "2000",
    "min_cleanable_dirty_ratio": "0.01",
    "file_delete_delay_ms": "0",
}


def add_broker(running: Running, **settings: str) -> Cluster:
    return running.add(clock=SystemClock(), **({"log_cleaner_backoff_ms": "20"} | settings))


async def put(client: Client, topic: str, *pairs: tuple[bytes, bytes | None]) -> None:
    builder = RecordBatchBuilder()
    for key, value in pairs:
        builder.append(key, value, timestamp=1_700_000_000_000)
    data = PartitionProduceData(index=0, records=bytes(builder.build()))
    request = ProduceRequest(acks=-1, timeout_ms=1000, topic_data=[TopicProduceData(name=topic, partition_data=[data])])
    (answer,) = (await client.send(request, 9)).responses[0].partition_responses
    assert answer.error_code == 0, answer


async def fill(client: Client, topic: str, rounds: int, keys: int = 10) -> dict[bytes, bytes | None]:
    """The last value of each key. More than one segment, the last of which is not compacted."""
    last: dict[bytes, bytes | None] = {}
    for number in range(rounds):
        for key in range(keys):
            last[b"k%d" % key] = b"%d-%d" % (number, key) + b"." * 90
            await put(client, topic, (b"k%d" % key, last[b"k%d" % key]))
    return last


async def read_all(client: Client, topic: str) -> list[tuple[int, bytes | None, bytes | None]]:
    found: list[tuple[int, bytes | None, bytes | None]] = []
    offset = 0
    while True:
        answer = await client.fetch(topic, offset)
        assert answer.error_code == 0, answer
        if not answer.records:
            return found
        data = bytes(answer.records)
        for header in iter_batches(data, partial_tail=True):
            found += [(record.offset, record.key, record.value) for record in read_records(data, header.position)]
            offset = header.next_offset


async def until(condition: Any) -> None:
    while not condition():
        await trio.sleep(0.01)


def all_clean(cluster: Cluster, topic: str) -> bool:
    """Nothing is left to compact, and nobody is at it."""
    log = cluster.manager.opened(topic, 0)
    assert log is not None
    return log.cleaning is None and cluster.manager.cleaned_to(topic, 0) == log.segments.active.base_offset


def test_every_key_keeps_its_last_value(tmp_path: Path) -> None:
    async def main() -> None:
        async with running_server(tmp_path) as running:
            cluster = add_broker(running)
            client = await running.connect(cluster)
            await client.create_topic("t", **COMPACTED)
            last = await fill(client, "t", 30)
            log = cluster.manager.opened("t", 0)
            assert log is not None
            active = log.segments.active.base_offset
            await until(lambda: all_clean(cluster, "t"))
            after = await read_all(client, "t")
            assert all(key == b"k%d" % (offset % 10) for offset, key, _ in after)
            assert [offset for offset, _, _ in after if offset >= active] == list(range(active, 300))
            assert [offset for offset, _, _ in after if offset < active] == list(range(active - 10, active))
            assert {key: value for _, key, value in after} == last
            assert cluster.cleaner.stats.cleanings >= 1
            checkpoint = tmp_path / "one" / "cleaner-offset-checkpoint"
            await until(lambda: checkpoint.read_text() == f"0\n1\nt 0 {active}\n")
        async with running_server(tmp_path) as running:
            client = await running.connect(add_broker(running))
            assert await read_all(client, "t") == after

    trio.run(main)


def test_a_killed_worker_does_no_harm(tmp_path: Path) -> None:
    async def main() -> None:
        async with running_server(tmp_path) as running:
            # so slow that it is still at work when it is killed
            cluster = add_broker(running, log_cleaner_io_max_bytes_per_second="2000")
            runner = cluster.cleaner._runner
            assert isinstance(runner, ProcessRunner)
            client = await running.connect(cluster)
            await client.create_topic("t", **COMPACTED)
            last = await fill(client, "t", 10)
            await until(lambda: runner.pids)
            os.kill(runner.pids[0], signal.SIGKILL)
            await until(lambda: cluster.cleaner.stats.failed)
            cluster.config.set_dynamic({"log.cleaner.io.max.bytes.per.second": "1e9"}, {})
            await until(lambda: all_clean(cluster, "t"))
            assert {key: value for _, key, value in await read_all(client, "t")} == last
            assert not [name for name in os.listdir(tmp_path / "one" / "t-0") if name.endswith((".cleaned", ".swap"))]

    trio.run(main)


def test_a_log_is_moved_while_it_is_compacted(tmp_path: Path) -> None:
    async def main() -> None:
        async with running_server(tmp_path) as running:
            directories = [str(tmp_path / name) for name in ("first", "second")]
            cluster = add_broker(running, log_dirs=",".join(directories), log_cleaner_io_max_bytes_per_second="2000")
            client = await running.connect(cluster)
            await client.create_topic("t", **COMPACTED)
            last = await fill(client, "t", 15)
            await until(lambda: cluster.cleaner._active)
            lies = cluster.manager.directory_of("t", 0)
            assert lies is not None
            (target,) = set(directories) - {lies.path}
            topic = AlterReplicaLogDirTopic(name="t", partitions=[0])
            request = AlterReplicaLogDirsRequest(dirs=[AlterReplicaLogDir(path=target, topics=[topic])])
            answer = await client.send(request, 2)
            assert answer.results[0].partitions[0].error_code == 0
            await until(lambda: (cluster.manager.directory_of("t", 0) or lies).path == target)
            cluster.config.set_dynamic({"log.cleaner.io.max.bytes.per.second": "1e9"}, {})
            assert {key: value for _, key, value in await read_all(client, "t")} == last
            await until(lambda: all_clean(cluster, "t"))
            assert {key: value for _, key, value in await read_all(client, "t")} == last
            assert cluster.cleaner.stats.failed == 0
            checkpoint = Path(target) / "cleaner-offset-checkpoint"
            await until(lambda: checkpoint.read_text().startswith("0\n1\nt 0 "))

    trio.run(main)


def test_a_topic_is_deleted_while_it_is_compacted(tmp_path: Path) -> None:
    async def main() -> None:
        async with running_server(tmp_path) as running:
            cluster = add_broker(running, log_cleaner_io_max_bytes_per_second="2000")
            client = await running.connect(cluster)
            for _ in range(2):
                await client.create_topic("t", **COMPACTED)
                await fill(client, "t", 8)
                await until(lambda: cluster.cleaner._active)
                answer = await client.send(DeleteTopicsRequest(topic_names=["t"], timeout_ms=1000), 5)
                assert answer.responses[0].error_code == 0
                await until(lambda: not cluster.cleaner._active)
            assert cluster.cleaner.stats.failed == 0
            assert cluster.cleaner.stats.aborted == 2

    trio.run(main)
