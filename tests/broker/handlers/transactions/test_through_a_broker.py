"""Transactions where the rest of the broker has a say: features, topics that go, versions that are held back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import trio

from broker.cluster import Cluster
from kwire.messages.add_partitions_to_txn import AddPartitionsToTxnRequest, AddPartitionsToTxnTopic
from kwire.messages.api_versions import ApiVersionsRequest
from kwire.messages.delete_topics import DeleteTopicsRequest
from kwire.messages.describe_transactions import DescribeTransactionsRequest
from kwire.messages.end_txn import EndTxnRequest
from kwire.messages.find_coordinator import FindCoordinatorRequest
from kwire.messages.init_producer_id import InitProducerIdRequest
from kwire.messages.update_features import FeatureUpdateKey, UpdateFeaturesRequest
from tests.broker.cluster_helpers import Client, running_server


async def init(client: Client, version: int = 5) -> tuple[int, int]:
    """Producer id and epoch; the coordinator's topic is made on the way."""
    request = InitProducerIdRequest(transactional_id="x", transaction_timeout_ms=60_000)
    for _ in range(100):
        answer = await client.send(request, version)
        if answer.error_code not in (14, 15, 16, 51):
            assert answer.error_code == 0
            return answer.producer_id, answer.producer_epoch
        await client.send(FindCoordinatorRequest(key_type=1, coordinator_keys=["x"]), 4)
    raise AssertionError(f"no coordinator: {answer.error_code}")


async def add(client: Client, producer: tuple[int, int], *names: str) -> list[int]:
    request = AddPartitionsToTxnRequest(
        v3_and_below_transactional_id="x",
        v3_and_below_producer_id=producer[0],
        v3_and_below_producer_epoch=producer[1],
        v3_and_below_topics=[AddPartitionsToTxnTopic(name=name, partitions=[0]) for name in names],
    )
    topics = (await client.send(request, 3)).results_by_topic_v3_and_below
    return [each.partition_error_code for topic in topics for each in topic.results_by_partition]


async def end(client: Client, producer: tuple[int, int], version: int = 4) -> Any:
    request = EndTxnRequest(transactional_id="x", producer_id=producer[0], producer_epoch=producer[1], committed=True)
    return await client.send(request, version)


async def state(client: Client) -> str:
    (found,) = (await client.send(DescribeTransactionsRequest(transactional_ids=["x"]), 0)).transaction_states
    return str(found.transaction_state)


async def set_level(client: Client, level: int) -> None:
    unsafe_downgrade, upgrade = 3, 1
    how = unsafe_downgrade if level < 2 else upgrade
    update = FeatureUpdateKey(feature="transaction.version", max_version_level=level, upgrade_type=how)
    answer = await client.send(UpdateFeaturesRequest(timeout_ms=1000, feature_updates=[update]), 1)
    assert answer.error_code == 0


def level_of(cluster: Cluster) -> int:
    return cluster.services.versions.finalized_features()[1].get("transaction.version", 0)


def test_the_level_is_lowered_and_raised_on_a_running_broker(tmp_path: Path) -> None:
    async def main() -> None:
        async with running_server(tmp_path) as running:
            cluster = running.add()
            client = await running.connect(cluster)
            assert level_of(cluster) == 2
            await client.create_topic("t")
            producer = await init(client)
            assert await add(client, producer, "t") == [0]
            answer = await end(client, producer, 5)
            assert (answer.error_code, answer.producer_epoch) == (0, producer[1] + 1)
            await set_level(client, 0)
            assert level_of(cluster) == 0
            producer = await init(client)
            assert await add(client, producer, "t") == [0]
            assert (await end(client, producer, 5)).error_code == 35
            assert (await end(client, producer, 4)).error_code == 0
            await set_level(client, 2)
            assert await add(client, producer, "t") == [0]
            assert (await end(client, producer, 5)).producer_epoch == producer[1] + 1

    trio.run(main)


def test_topics_that_are_deleted_meanwhile(tmp_path: Path) -> None:
    async def main() -> None:
        async with running_server(tmp_path) as running:
            client = await running.connect(running.add())
            for name in ("kept", "gone"):
                await client.create_topic(name)
            producer = await init(client)
            assert await add(client, producer, "kept", "gone") == [0, 0]
            await client.send(DeleteTopicsRequest(topic_names=["gone"], timeout_ms=1000), 5)
            assert (await end(client, producer)).error_code == 0
            assert await state(client) == "CompleteCommit"
            assert (await client.fetch("kept")).high_watermark == 1, "its marker"

    trio.run(main)


def test_the_coordinators_topic_is_deleted(tmp_path: Path) -> None:
    """All is forgotten, and begun anew with ids nobody had."""

    async def main() -> None:
        async with running_server(tmp_path) as running:
            client = await running.connect(running.add())
            await client.create_topic("t")
            first = await init(client)
            await add(client, first, "t")
            await client.send(DeleteTopicsRequest(topic_names=["__transaction_state"], timeout_ms=1000), 5)
            assert (await end(client, first)).error_code == 16
            second = await init(client)
            assert second[0] > first[0]
            assert await state(client) == "Empty"

    trio.run(main)


def test_two_phase_commit_is_held_back(tmp_path: Path) -> None:
    async def main() -> None:
        async with running_server(tmp_path) as running:
            for name, settings in (("stable", {}), ("unstable", {"unstable_api_versions_enable": "true"})):
                client = await running.connect(running.add(name, **settings))
                advertised = (await client.send(ApiVersionsRequest(), 2)).api_keys
                assert {each.api_key: each.max_version for each in advertised}[22] == (6 if settings else 5)
            answer = await init(client, 6)
            assert answer[1] == 0

    trio.run(main)
