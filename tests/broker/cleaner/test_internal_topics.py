"""The coordinators' own topics are compacted while they are in use, and loaded from what is left."""

from __future__ import annotations

from pathlib import Path

import trio

from broker.cluster import Cluster
from kwire.messages.find_coordinator import FindCoordinatorRequest
from kwire.messages.incremental_alter_configs import (
    AlterableConfig,
    AlterConfigsResource,
    IncrementalAlterConfigsRequest,
)
from kwire.messages.init_producer_id import InitProducerIdRequest
from kwire.messages.offset_commit import OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic
from kwire.messages.offset_fetch import OffsetFetchRequest, OffsetFetchRequestGroup, OffsetFetchRequestTopics
from tests.broker.cleaner.test_compacting import add_broker, all_clean
from tests.broker.cluster_helpers import Client, Running, running_server

SETTINGS = {
    "offsets_topic_num_partitions": "1",
    "transaction_state_log_num_partitions": "1",
    "log_cleaner_min_cleanable_ratio": "0.05",
}


async def coordinator(client: Client, key: str, key_type: int) -> None:
    """Until it has one."""
    with trio.fail_after(10):
        request = FindCoordinatorRequest(key_type=key_type, coordinator_keys=[key])
        while (await client.send(request, 4)).coordinators[0].error_code:
            await trio.sleep(0.01)


async def commit(client: Client, group: str, offset: int) -> int:
    partition = OffsetCommitRequestPartition(partition_index=0, committed_offset=offset)
    topic = OffsetCommitRequestTopic(name="t", partitions=[partition])
    answer = await client.send(OffsetCommitRequest(group_id=group, topics=[topic]), 8)
    code: int = answer.topics[0].partitions[0].error_code
    return code


async def committed(client: Client, group: str) -> tuple[int, int]:
    """Error code and offset."""
    wanted = OffsetFetchRequestTopics(name="t", partition_indexes=[0])
    request = OffsetFetchRequest(groups=[OffsetFetchRequestGroup(group_id=group, topics=[wanted])])
    (found,) = (await client.send(request, 8)).groups
    if found.error_code:
        return found.error_code, -1
    (partition,) = found.topics[0].partitions
    return partition.error_code, partition.committed_offset


async def producer(client: Client, transactional_id: str) -> tuple[int, int, int]:
    """Error code, producer id and epoch."""
    answer = await client.send(InitProducerIdRequest(transactional_id=transactional_id, transaction_timeout_ms=1000), 4)
    return answer.error_code, answer.producer_id, answer.producer_epoch


async def small_segments(client: Client, topic: str) -> None:
    config = AlterableConfig(name="internal.segment.bytes", value="2000")
    resource = AlterConfigsResource(resource_type=2, resource_name=topic, configs=[config])
    (answer,) = (await client.send(IncrementalAlterConfigsRequest(resources=[resource]), 1)).responses
    assert answer.error_code == 0, answer


async def compacted(cluster: Cluster, topic: str) -> int:
    """Wait until it is; how many bytes are left."""
    with trio.fail_after(10):
        while not all_clean(cluster, topic):
            await trio.sleep(0.01)
    log = cluster.manager.opened(topic, 0)
    assert log is not None
    return log.size_bytes


async def started(running: Running) -> tuple[Cluster, Client]:
    cluster = add_broker(running, **SETTINGS)
    return cluster, await running.connect(cluster)


def test_committed_offsets_outlive_the_records_they_came_from(tmp_path: Path) -> None:
    async def main() -> None:
        async with running_server(tmp_path) as running:
            cluster, client = await started(running)
            await client.create_topic("t")
            await coordinator(client, "g0", 0)
            with trio.fail_after(10):
                while await commit(client, "g0", 0):
                    await trio.sleep(0.01)
            await small_segments(client, "__consumer_offsets")
            for offset in range(100):
                for group in range(3):
                    assert await commit(client, f"g{group}", offset + group) == 0
            log = cluster.manager.opened("__consumer_offsets", 0)
            assert log is not None
            assert await compacted(cluster, "__consumer_offsets") < 4_000
            assert log.log_end_offset > 300
            for group in range(3):
                assert await committed(client, f"g{group}") == (0, 99 + group)
                assert await commit(client, f"g{group}", 1000 + group) == 0
        for clean in (False, True):
            async with running_server(tmp_path, clean=clean) as running:
                cluster, client = await started(running)
                await coordinator(client, "g0", 0)
                for group in range(3):
                    with trio.fail_after(10):
                        while (found := await committed(client, f"g{group}"))[0] == 14:
                            await trio.sleep(0.01)
                    assert found == (0, 1000 + group)

    trio.run(main)


def test_transactional_ids_outlive_the_records_they_came_from(tmp_path: Path) -> None:
    async def main() -> None:
        async with running_server(tmp_path) as running:
            cluster, client = await started(running)
            await coordinator(client, "x", 1)
            with trio.fail_after(10):
                while (first := await producer(client, "x"))[0]:
                    await trio.sleep(0.01)
            await small_segments(client, "__transaction_state")
            for number in range(60):
                last = await producer(client, "x")
                assert last == (0, first[1], first[2] + number + 1)
            assert await compacted(cluster, "__transaction_state") < 4_000
        async with running_server(tmp_path) as running:
            cluster, client = await started(running)
            await coordinator(client, "x", 1)
            with trio.fail_after(10):
                while (after := await producer(client, "x"))[0]:
                    await trio.sleep(0.01)
            assert after == (0, last[1], last[2] + 1)

    trio.run(main)
