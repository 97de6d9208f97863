"""What clients see of a disk that is full, failing, or loses what was not synced; whole brokers over a made-up disk."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import trio

from kwire.error_codes import ErrorCode
from kwire.messages import alter_configs
from kwire.messages.alter_configs import AlterConfigsRequest
from kwire.messages.create_partitions import CreatePartitionsRequest, CreatePartitionsTopic
from kwire.messages.create_topics import CreatableTopic, CreateTopicsRequest
from kwire.messages.delete_topics import DeleteTopicsRequest
from kwire.messages.find_coordinator import FindCoordinatorRequest
from kwire.messages.incremental_alter_configs import (
    AlterableConfig,
    AlterConfigsResource,
    IncrementalAlterConfigsRequest,
)
from kwire.messages.init_producer_id import InitProducerIdRequest
from kwire.messages.join_group import JoinGroupRequest
from kwire.messages.offset_commit import OffsetCommitRequest
from tests.broker.cluster_helpers import Client, running_server
from tests.crash.fault_storage import FaultStorage


def failing(number: int, part_of_path: str, *operations: str) -> Callable[[str, str], OSError | None]:
    def fail(operation: str, path: str) -> OSError | None:
        return OSError(number, os.strerror(number)) if operation in operations and part_of_path in path else None

    return fail


async def fill(client: Client, topic: str, count: int, start: int = 0) -> None:
    for number in range(start, start + count):
        answer = await client.produce(topic, b"%d" % number)
        assert answer.error_code == 0, answer


def numbers(count: int) -> list[bytes | None]:
    return [b"%d" % number for number in range(count)]


def test_a_full_disk_refuses_appends_until_there_is_room() -> None:
    storage = FaultStorage()

    async def main() -> None:
        async with running_server(Path("/d")) as running:
            client = await running.connect(running.add(storage=storage))
            await client.create_topic("full")
            await client.create_topic("fine")
            await fill(client, "full", 3)
            storage.fail = failing(errno.ENOSPC, "full-0", "write")
            assert (await client.produce("full", b"x")).error_code == ErrorCode.KAFKA_STORAGE_ERROR
            await fill(client, "fine", 3)
            assert await client.values("full") == numbers(3), "what is there is served"
            storage.fail = None
            await fill(client, "full", 2, start=3)
            assert await client.values("full") == numbers(5)

    trio.run(main)


def test_an_io_error_takes_one_partition_out_of_service() -> None:
    storage = FaultStorage()

    async def main() -> None:
        async with running_server(Path("/d"), clean=False) as running:
            client = await running.connect(running.add(storage=storage))
            await client.create_topic("broken")
            await client.create_topic("fine")
            await fill(client, "broken", 3)
            storage.fail = failing(errno.EIO, "broken-0", "write", "sync")
            assert (await client.produce("broken", b"x")).error_code == ErrorCode.KAFKA_STORAGE_ERROR
            storage.fail = None
            assert (await client.produce("broken", b"x")).error_code == ErrorCode.KAFKA_STORAGE_ERROR
            assert (await client.fetch("broken")).error_code == ErrorCode.KAFKA_STORAGE_ERROR
            await fill(client, "fine", 3)
            assert await client.values("fine") == numbers(3)
        async with running_server(Path("/d")) as running:
            client = await running.connect(running.add(storage=storage.after_kill()))
            assert await client.values("broken") == numbers(3)
            assert await client.values("fine") == numbers(3)

    trio.run(main)


def test_a_failed_fsync_acknowledges_nothing() -> None:
    storage = FaultStorage()

    async def main() -> None:
        async with running_server(Path("/d"), clean=False) as running:
            client = await running.connect(running.add(storage=storage))
            await client.create_topic("synced", flush_messages="1")
            await client.create_topic("fine", flush_messages="1")
            await fill(client, "synced", 3)
            storage.fail = failing(errno.EIO, "synced-0", "sync")
            assert (await client.produce("synced", b"x")).error_code == ErrorCode.KAFKA_STORAGE_ERROR
            storage.fail = None
            assert (await client.produce("synced", b"y")).error_code == ErrorCode.KAFKA_STORAGE_ERROR, (
                "never as if clean"
            )
            await fill(client, "fine", 3)

    trio.run(main)


def test_a_metadata_log_that_cannot_be_written_stops_changes_not_records() -> None:
    storage = FaultStorage()

    async def main() -> None:
        async with running_server(Path("/d"), clean=False) as running:
            client = await running.connect(running.add(storage=storage))
            await client.create_topic("t")
            storage.fail = failing(errno.EIO, "__cluster_metadata-0", "write", "sync")
            topic = CreatableTopic(name="u", num_partitions=1, replication_factor=1)
            response = await client.send(CreateTopicsRequest(topics=[topic], timeout_ms=1000), 5)
            assert response.topics[0].error_code == ErrorCode.KAFKA_STORAGE_ERROR, response
            await fill(client, "t", 3)
            assert await client.values("t") == numbers(3)

    trio.run(main)


def test_every_change_is_refused_while_the_metadata_log_has_no_room() -> None:
    storage = FaultStorage()
    value = "1000"
    requests: list[tuple[Any, int]] = [
        (DeleteTopicsRequest(topic_names=["t"], timeout_ms=1000), 5),
        (
            CreatePartitionsRequest(
                topics=[CreatePartitionsTopic(name="t", count=2, assignments=None)], timeout_ms=1000
            ),
            3,
        ),
        (
            IncrementalAlterConfigsRequest(
                resources=[
                    AlterConfigsResource(
                        resource_type=2, resource_name="t", configs=[AlterableConfig(name="retention.ms", value=value)]
                    )
                ]
            ),
            1,
        ),
        (
            AlterConfigsRequest(
                resources=[
                    alter_configs.AlterConfigsResource(
                        resource_type=2,
                        resource_name="t",
                        configs=[alter_configs.AlterableConfig(name="retention.ms", value=value)],
                    )
                ]
            ),
            2,
        ),
        (InitProducerIdRequest(transactional_id=None, transaction_timeout_ms=1000), 4),
        (FindCoordinatorRequest(key="g", key_type=0), 3),
        (OffsetCommitRequest(group_id="g", topics=[]), 7),
        (JoinGroupRequest(group_id="g", session_timeout_ms=10_000, rebalance_timeout_ms=10_000), 7),
    ]

    async def main() -> None:
        async with running_server(Path("/d"), clean=False) as running:
            client = await running.connect(running.add(storage=storage))
            await client.create_topic("t")
            storage.fail = failing(errno.ENOSPC, "__cluster_metadata-0", "write")
            for request, version in requests:
                response = await client.send(request, version)
                assert error_codes(response) != {0}, response
            storage.fail = None
            for request, version in requests[1:4]:
                response = await client.send(request, version)
                assert error_codes(response) == {0}, response

    trio.run(main)


def error_codes(response: Any) -> set[int]:
    """Those of the first entries of an answer."""
    results = [getattr(response, name, []) for name in ("responses", "results")]
    entries = [response] if hasattr(response, "error_code") else [entry for part in results for entry in part]
    return {entry.error_code for entry in entries}


def test_what_was_promised_durable_survives_a_power_loss(long_form: bool) -> None:
    """Random writes, renames and creates that were not synced are lost or torn; synced topics keep every record."""
    for seed in range(500 if long_form else 4):
        _lose_power(seed)


def _lose_power(seed: int) -> None:
    random = Random(seed)
    storage = FaultStorage()
    counts = {"a": 0, "b": 0}

    async def main() -> None:
        nonlocal storage
        for round_number in range(3):
            async with running_server(Path("/d"), clean=False) as running:
                client = await running.connect(running.add(storage=storage))
                for topic in counts:
                    if round_number == 0:
                        await client.create_topic(topic, flush_messages="1", internal_segment_bytes="400")
                    assert await client.values(topic) == numbers(counts[topic]), f"seed {seed}"
                for _ in range(random.randint(1, 25)):
                    topic = random.choice(list(counts))
                    await fill(client, topic, 1, start=counts[topic])
                    counts[topic] += 1
            storage = storage.after_power_loss(random)
        async with running_server(Path("/d")) as running:
            client = await running.connect(running.add(storage=storage))
            for topic, count in counts.items():
                assert await client.values(topic) == numbers(count), f"seed {seed}, topic {topic}"

    trio.run(main)
