"""aiokafka."""

import asyncio
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from functools import wraps
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerStoppedError, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic, RecordsToDelete
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import MessageSizeTooLargeError
from aiokafka.helpers import create_ssl_context

from compat_tests.clients.support import PATIENCE_S, Endpoint
from compat_tests.targets import OwnBroker

capability = pytest.mark.capability


def in_loop(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Run the coroutine function as a plain test."""

    @wraps(test)
    def run(**fixtures: Any) -> None:
        asyncio.run(asyncio.wait_for(test(**fixtures), 60))

    return run


def settings(endpoint: Endpoint) -> dict[str, Any]:
    common: dict[str, Any] = {"bootstrap_servers": endpoint.bootstrap}
    if endpoint.ca is not None:
        common |= {"security_protocol": "SSL", "ssl_context": create_ssl_context(cafile=str(endpoint.ca))}
    return common


@asynccontextmanager
async def producer(endpoint: Endpoint, **more: Any) -> AsyncIterator[AIOKafkaProducer]:
    client = AIOKafkaProducer(**settings(endpoint), **more)
    await client.start()
    try:
        yield client
    finally:
        await client.stop()


@asynccontextmanager
async def consumer(endpoint: Endpoint, *topics: str, **more: Any) -> AsyncIterator[AIOKafkaConsumer]:
    defaults = {
        "auto_offset_reset": "earliest",
        "fetch_max_wait_ms": 100,
        "heartbeat_interval_ms": 100,
        "retry_backoff_ms": 20,
    }
    client = AIOKafkaConsumer(*topics, **settings(endpoint), **defaults | more)
    await client.start()
    try:
        yield client
    finally:
        await client.stop()


@asynccontextmanager
async def admin(endpoint: Endpoint) -> AsyncIterator[AIOKafkaAdminClient]:
    client = AIOKafkaAdminClient(**settings(endpoint))
    await client.start()
    try:
        yield client
    finally:
        await client.close()


async def until(ask: Callable[[], Awaitable[Any]], good: Callable[[Any], bool], what: str) -> Any:
    deadline = time.monotonic() + PATIENCE_S
    while True:
        answer = await ask()
        if good(answer):
            return answer
        assert time.monotonic() < deadline, f"{what}: still {answer!r} after {PATIENCE_S} s"
        await asyncio.sleep(0.01)


async def create(endpoint: Endpoint, topic: str, partitions: int = 4) -> None:
    async with admin(endpoint) as client:
        await client.create_topics([NewTopic(topic, partitions, 1)])
        await until(
            lambda: client.describe_topics([topic]), lambda t: len(t[0]["partitions"]) == partitions, "the new topic"
        )


async def send(endpoint: Endpoint, topic: str, count: int, partition: int | None = None, **more: Any) -> list[Any]:
    """Send the values b"0", b"1", ... and return their metadata."""
    async with producer(endpoint, **more) as client:
        futures = [await client.send(topic, b"%d" % i, partition=partition) for i in range(count)]
        metadata = list(await asyncio.gather(*futures))
        if more.get("acks") == 0:
            # Kafka overlooks a TLS end that arrives with the last data, and asyncio waits 30 s for its answer.
            await asyncio.sleep(0.05)
        return metadata


async def read(client: AIOKafkaConsumer, count: int) -> list[Any]:
    records: list[Any] = []

    async def poll() -> int:
        for batch in (await client.getmany(timeout_ms=200)).values():
            records.extend(batch)
        return len(records)

    await until(poll, lambda found: found >= count, f"{count} records")
    return records


# Produce


@capability("produce: acks")
@pytest.mark.parametrize("acks", [0, 1, "all"])
@in_loop
async def test_acks(any_endpoint: Endpoint, topic: str, acks: int | str) -> None:
    await send(any_endpoint, topic, 1, partition=0)  # with acks 0 nobody waits for the new topic
    await send(any_endpoint, topic, 20, 0, acks=acks)
    async with consumer(any_endpoint, topic) as client:
        assert sorted(int(r.value) for r in await read(client, 21)) == [0, *range(20)]


@capability("produce: codecs")
@pytest.mark.parametrize("codec", [None, "gzip", "snappy", "lz4", "zstd"])
@in_loop
async def test_codecs(endpoint: Endpoint, topic: str, codec: str | None) -> None:
    value = b"compressible " * 100
    async with producer(endpoint, compression_type=codec, linger_ms=20) as client:
        await asyncio.gather(
            *[await client.send(topic, value, key=b"%d" % i, headers=[("n", b"%d" % i)]) for i in range(50)]
        )
    async with consumer(endpoint, topic) as reader:
        records = await read(reader, 50)
    assert {r.value for r in records} == {value}
    assert sorted(int(r.key) for r in records) == list(range(50))
    assert all(r.headers == (("n", r.key),) for r in records)


@capability("produce: partitioners")
@in_loop
async def test_partitioners(endpoint: Endpoint, topic: str) -> None:
    await create(endpoint, topic)
    async with producer(endpoint) as client:
        by_key = {(await client.send_and_wait(topic, b"v", key=b"same")).partition for _ in range(5)}
        by_hand = [(await client.send_and_wait(topic, b"v", partition=p)).partition for p in range(4)]
    assert len(by_key) == 1
    assert by_hand == [0, 1, 2, 3]
    metadata = await send(endpoint, topic, 5, partitioner=lambda key, every, available: sorted(every)[-1])
    assert {m.partition for m in metadata} == {3}


@capability("produce: keys, nulls, headers, timestamps")
@in_loop
async def test_record_parts(endpoint: Endpoint, topic: str) -> None:
    await create(endpoint, topic)
    now = int(time.time() * 1000)
    async with producer(endpoint) as client:
        await client.send_and_wait(topic, None, key=b"k", partition=0, timestamp_ms=now - 5000)
        await client.send_and_wait(topic, b"v", partition=0, headers=[("a", b"1"), ("a", b"")])
    async with consumer(endpoint, topic) as reader:
        first, second = await read(reader, 2)
    assert (first.key, first.value, first.timestamp) == (b"k", None, now - 5000)
    assert (second.key, second.value, second.headers) == (None, b"v", (("a", b"1"), ("a", b"")))


@capability("produce: idempotent")
@in_loop
async def test_idempotent(any_endpoint: Endpoint, topic: str) -> None:
    metadata = await send(any_endpoint, topic, 500, partition=1, enable_idempotence=True)
    assert [m.offset for m in metadata] == list(range(500))


@capability("produce: too large")
@in_loop
async def test_too_large(endpoint: Endpoint, topic: str) -> None:
    await create(endpoint, topic)
    async with producer(endpoint, max_request_size=5_000_000) as client:
        with pytest.raises(MessageSizeTooLargeError):
            await client.send_and_wait(topic, bytes(2_000_000))


# Consume


@capability("consume: from any position")
@in_loop
async def test_positions(any_endpoint: Endpoint, topic: str) -> None:
    await send(any_endpoint, topic, 100, partition=0)
    here = TopicPartition(topic, 0)
    async with consumer(any_endpoint) as client:
        client.assign([here])
        for offset in (50, 0, 99, 7):
            client.seek(here, offset)
            assert (await client.getone()).offset == offset
        await client.seek_to_beginning(here)
        assert await client.position(here) == 0
        await client.seek_to_end(here)
        assert await client.position(here) == 100
        assert await client.beginning_offsets([here]) == {here: 0}
        assert await client.end_offsets([here]) == {here: 100}


@capability("consume: from latest")
@in_loop
async def test_from_latest(endpoint: Endpoint, topic: str) -> None:
    await send(endpoint, topic, 10, partition=0)
    here = TopicPartition(topic, 0)
    async with consumer(endpoint, auto_offset_reset="latest") as client:
        client.assign([here])
        assert await client.position(here) == 10
        await send(endpoint, topic, 1, partition=0)
        assert (await client.getone()).offset == 10


@capability("consume: out of range resets")
@in_loop
async def test_out_of_range(endpoint: Endpoint, topic: str) -> None:
    await send(endpoint, topic, 10, partition=0)
    here = TopicPartition(topic, 0)
    async with consumer(endpoint) as client:
        client.assign([here])
        client.seek(here, 1000)
        assert (await client.getone()).offset == 0


@capability("consume: by time")
@in_loop
async def test_by_time(endpoint: Endpoint, topic: str) -> None:
    base = int(time.time() * 1000) - 100_000
    async with producer(endpoint) as client:
        for i in range(10):
            await client.send_and_wait(topic, b"v", partition=0, timestamp_ms=base + i * 1000)
    here = TopicPartition(topic, 0)
    async with consumer(endpoint) as reader:
        found = (await reader.offsets_for_times({here: base + 4500}))[here]
        assert (found.offset, found.timestamp) == (5, base + 5000)
        assert (await reader.offsets_for_times({here: base + 10_000}))[here] is None


@capability("consume: pause and resume")
@in_loop
async def test_pause(endpoint: Endpoint, topic: str) -> None:
    await create(endpoint, topic)
    here, there = (TopicPartition(topic, p) for p in (0, 1))
    async with consumer(endpoint) as client:
        client.assign([here, there])
        client.pause(here)
        for partition in (0, 1):
            await send(endpoint, topic, 5, partition=partition)
        assert {r.partition for r in await read(client, 5)} == {1}
        assert await client.getmany(timeout_ms=50) == {}
        client.resume(here)
        assert {r.partition for r in await read(client, 5)} == {0}


@capability("consume: wake-up")
@in_loop
async def test_wake_up(endpoint: Endpoint, topic: str) -> None:
    await create(endpoint, topic)
    async with consumer(endpoint, topic, fetch_max_wait_ms=5000) as client:
        waiting = asyncio.create_task(client.getone())
        await asyncio.sleep(0.05)
        assert not waiting.done()
        await client.stop()
        with pytest.raises(ConsumerStoppedError):
            await waiting


@capability("consume: large records")
@in_loop
async def test_large_records(any_endpoint: Endpoint, topic: str) -> None:
    async with producer(any_endpoint) as client:
        for i in range(5):
            await client.send_and_wait(topic, bytes([i]) * 900_000, partition=0)
    async with consumer(any_endpoint, topic, max_partition_fetch_bytes=1000) as reader:
        found = [(r.value[0], len(r.value)) for r in await read(reader, 5)]
    assert found == [(i, 900_000) for i in range(5)]


@capability("consume: pattern subscription")
@in_loop
async def test_pattern(endpoint: Endpoint, topic: str, group: str) -> None:
    for suffix in "ab":
        await send(endpoint, f"{topic}-{suffix}", 3)
    async with consumer(endpoint, group_id=group) as client:
        client.subscribe(pattern=f"^{topic}-.*")
        assert {r.topic for r in await read(client, 6)} == {f"{topic}-a", f"{topic}-b"}


# Groups


async def settle(*clients: AIOKafkaConsumer, all_of: int = 4) -> list[set[int]]:
    """Wait until the members share the partitions, each having some."""

    async def shares() -> list[set[int]]:
        return [{p.partition for p in c.assignment()} for c in clients]

    found: list[set[int]] = await until(
        shares,
        lambda s: all(s) and sum(map(len, s)) == all_of and set().union(*s) == set(range(all_of)),
        "the members' shares of the partitions",
    )
    return found


@capability("group: join and leave")
@in_loop
async def test_join_and_leave(any_endpoint: Endpoint, topic: str, group: str) -> None:
    await send(any_endpoint, topic, 1)
    async with consumer(any_endpoint, topic, group_id=group) as first:
        assert await settle(first) == [{0, 1, 2, 3}]
        async with consumer(any_endpoint, topic, group_id=group) as second:
            assert [len(s) for s in await settle(first, second)] == [2, 2]
        assert await settle(first) == [{0, 1, 2, 3}]


@capability("group: static member")
@in_loop
async def test_static_member(endpoint: Endpoint, topic: str, group: str) -> None:
    await create(endpoint, topic)
    static = {"group_id": group, "group_instance_id": "static-1"}
    async with consumer(endpoint, topic, group_id=group) as other:
        await settle(other)
        async with consumer(endpoint, topic, **static) as member:
            before = await settle(other, member)
        async with consumer(endpoint, topic, **static) as member:
            assert await settle(other, member) == before, "a static member that returns keeps its partitions"


@capability("group: many members under load")
@in_loop
async def test_many_members(endpoint: Endpoint, topic: str, group: str) -> None:
    await create(endpoint, topic, 12)
    seen: set[int] = set()

    async def consume(client: AIOKafkaConsumer) -> None:
        async for record in client:
            seen.add(int(record.value))

    async with producer(endpoint) as sender:
        members, tasks = [], []
        for number in range(4):
            members.append(AIOKafkaConsumer(topic, **settings(endpoint), group_id=group, auto_offset_reset="earliest",
                                            fetch_max_wait_ms=50, heartbeat_interval_ms=100))  # fmt: skip
            await members[-1].start()
            tasks.append(asyncio.create_task(consume(members[-1])))
            for i in range(50):
                await sender.send(topic, b"%d" % (number * 50 + i))
            await sender.flush()
        await members[0].stop()

        async def count() -> int:
            return len(seen)

        await until(count, lambda n: n == 200, "every value, over joins and a leave")
        for member in members[1:]:
            await member.stop()
        await asyncio.gather(*tasks)


@capability("group: crash of a member")
@in_loop
async def test_crash(restartable_broker: OwnBroker, topic: str, group: str) -> None:
    endpoint = Endpoint(restartable_broker.plain)
    await send(endpoint, topic, 1)
    program = (
        "import asyncio, sys; from aiokafka import AIOKafkaConsumer\n"
        "async def main():\n"
        " c = AIOKafkaConsumer(sys.argv[2], bootstrap_servers=sys.argv[1], group_id=sys.argv[3],"
        " session_timeout_ms=1500, heartbeat_interval_ms=100)\n"
        " await c.start()\n"
        " await asyncio.sleep(60)\n"
        "asyncio.run(main())\n"
    )
    command = [sys.executable, "-c", program, endpoint.bootstrap, topic, group]
    async with consumer(endpoint, topic, group_id=group) as survivor:
        await settle(survivor)
        with subprocess.Popen(command, stdout=subprocess.DEVNULL) as victim:

            async def partitions() -> int:
                return len(survivor.assignment())

            try:
                await until(partitions, lambda n: n == 2, "the other member's arrival")
            finally:
                victim.kill()
        assert await settle(survivor) == [{0, 1, 2, 3}]


@capability("offsets: commit, resume, lag")
@in_loop
async def test_commit(any_endpoint: Endpoint, topic: str, group: str) -> None:
    await send(any_endpoint, topic, 10, partition=0)
    here = TopicPartition(topic, 0)
    async with consumer(any_endpoint, topic, group_id=group, enable_auto_commit=False) as client:
        await read(client, 10)
        await client.commit({here: (4, "note")})
        assert await client.committed(here) == 4
    async with consumer(any_endpoint, topic, group_id=group, enable_auto_commit=False) as client:
        assert (await read(client, 6))[0].offset == 4
        assert (await client.end_offsets([here]))[here] - await client.committed(here) == 6


@capability("offsets: automatic commit")
@in_loop
async def test_automatic_commit(endpoint: Endpoint, topic: str, group: str) -> None:
    await send(endpoint, topic, 10, partition=0)
    async with consumer(endpoint, topic, group_id=group) as client:
        await read(client, 10)
    async with consumer(endpoint, group_id=group) as client:
        assert await client.committed(TopicPartition(topic, 0)) == 10


# Admin


@capability("admin: topics")
@in_loop
async def test_admin_topics(endpoint: Endpoint, topic: str) -> None:
    await create(endpoint, topic, 3)
    async with admin(endpoint) as client:
        assert topic in await client.list_topics()
        again = await client.create_topics([NewTopic(topic, 3, 1)])
        assert [error[1] for error in again.topic_errors] == [36]
        await client.delete_topics([topic])
        await until(client.list_topics, lambda found: topic not in found, "deletion")


@capability("admin: partitions")
@in_loop
async def test_admin_partitions(endpoint: Endpoint, topic: str) -> None:
    await create(endpoint, topic)
    async with admin(endpoint) as client:
        await client.create_partitions({topic: NewPartitions(6)})
        await until(lambda: client.describe_topics([topic]), lambda t: len(t[0]["partitions"]) == 6, "new partitions")


@capability("admin: configs")
@in_loop
async def test_admin_configs(endpoint: Endpoint, topic: str) -> None:
    await create(endpoint, topic)
    async with admin(endpoint) as client:
        await client.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, configs={"retention.ms": "1000"})])

        async def described() -> str:
            return str(await client.describe_configs([ConfigResource(ConfigResourceType.TOPIC, topic)]))

        await until(described, lambda text: "config_value='1000'" in text or "'1000'" in text, "the new retention.ms")


@capability("admin: groups and offsets")
@in_loop
async def test_admin_groups(endpoint: Endpoint, topic: str, group: str) -> None:
    await send(endpoint, topic, 5, partition=0)
    here = TopicPartition(topic, 0)
    async with admin(endpoint) as client, consumer(endpoint, topic, group_id=group) as member:
        await read(member, 5)
        await member.commit()
        assert (group, "consumer") in await client.list_consumer_groups()
        assert "Stable" in str(await client.describe_consumer_groups([group]))
        offsets = await client.list_consumer_group_offsets(group)
        assert offsets[here].offset == 5


@capability("admin: records")
@in_loop
async def test_admin_records(endpoint: Endpoint, topic: str) -> None:
    await send(endpoint, topic, 10, partition=0)
    here = TopicPartition(topic, 0)
    async with admin(endpoint) as client, consumer(endpoint) as reader:
        assert await client.delete_records({here: RecordsToDelete(6)}) == {here: 6}
        assert await reader.beginning_offsets([here]) == {here: 6}
        reader.assign([here])
        assert (await reader.getone()).offset == 6


@capability("admin: cluster")
@in_loop
async def test_admin_cluster(endpoint: Endpoint) -> None:
    async with admin(endpoint) as client:
        assert [b["node_id"] for b in (await client.describe_cluster())["brokers"]] == [1]
