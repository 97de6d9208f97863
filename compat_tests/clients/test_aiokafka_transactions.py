"""Transactions of aiokafka."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError, ProducerFenced

from compat_tests.clients.support import Endpoint
from compat_tests.clients.test_aiokafka import consumer, in_loop, read, settings
from compat_tests.clients.transactions import (
    committed,
    committed_offset,
    fill,
    make_topics,
    wait_for_end,
    wait_for_state,
)

capability = pytest.mark.capability
pytestmark = [pytest.mark.client("aiokafka"), pytest.mark.usefixtures("transaction_coordinators")]


@asynccontextmanager
async def transactional(endpoint: Endpoint, name: str, **more: Any) -> AsyncIterator[AIOKafkaProducer]:
    client = AIOKafkaProducer(**settings(endpoint), transactional_id=name, retry_backoff_ms=20, **more)
    await client.start()
    try:
        yield client
    finally:
        await client.stop()


@asynccontextmanager
async def reader(endpoint: Endpoint, topic: str, level: str) -> AsyncIterator[AIOKafkaConsumer]:
    async with consumer(endpoint, isolation_level=level) as client:
        client.assign([TopicPartition(topic, 0)])
        yield client


@pytest.fixture
def name(fresh_name: Callable[[str], str]) -> str:
    """A transactional id."""
    return fresh_name("txn")


@pytest.fixture
def one(endpoint: Endpoint, topic: str) -> str:
    """A topic of one partition."""
    make_topics(endpoint, topic)
    return topic


async def send(client: AIOKafkaProducer, topic: str, *values: bytes) -> None:
    for value in values:
        await client.send_and_wait(topic, value, partition=0)


@capability("transactions")
@in_loop
async def test_commit_and_abort(any_endpoint: Endpoint, endpoint: Endpoint, one: str, name: str) -> None:
    async with transactional(any_endpoint, name) as client:
        for value, commit in ((b"a", True), (b"lost", False), (b"b", True)):
            await client.begin_transaction()
            await send(client, one, value)
            if commit:
                await client.commit_transaction()
            else:
                await client.abort_transaction()
    async with reader(any_endpoint, one, "read_committed") as these:
        assert [r.value for r in await read(these, 2)] == [b"a", b"b"]
    async with reader(any_endpoint, one, "read_uncommitted") as all_:
        assert [r.value for r in await read(all_, 3)] == [b"a", b"lost", b"b"]
    wait_for_end(endpoint, one, 6)


@capability("transactions")
@in_loop
async def test_open_transaction_is_not_read(endpoint: Endpoint, one: str, name: str) -> None:
    async with transactional(endpoint, name) as client, reader(endpoint, one, "read_committed") as these:
        async with client.transaction():
            await send(client, one, b"open")
            assert await these.getmany(timeout_ms=200) == {}
            assert await these.end_offsets([TopicPartition(one, 0)]) == {TopicPartition(one, 0): 0}
        assert [r.value for r in await read(these, 1)] == [b"open"]


@capability("transactions")
@in_loop
async def test_many_transactions(endpoint: Endpoint, one: str, name: str) -> None:
    async with transactional(endpoint, name) as client:
        for number in range(40):
            await client.begin_transaction()
            for _ in range(3):
                await client.send(one, b"%d" % number, partition=0)
            if number % 4 == 3:
                await client.abort_transaction()
            else:
                await client.commit_transaction()
    expected = [b"%d" % number for number in range(40) if number % 4 != 3 for _ in range(3)]
    async with reader(endpoint, one, "read_committed") as these:
        assert [r.value for r in await read(these, len(expected))] == expected


@capability("transactions: exactly once")
@in_loop
async def test_consume_transform_produce_with_a_crash(
    endpoint: Endpoint, fresh_name: Callable[[str], str], name: str, group: str
) -> None:
    """The first worker stops in the middle of a transaction; the second has the same transactional id."""
    source, target = fresh_name("source"), fresh_name("target")
    make_topics(endpoint, source, target)
    fill(endpoint, source, 30)
    here = TopicPartition(source, 0)

    async def work(batches: int, *, crash: bool) -> None:
        producer = AIOKafkaProducer(**settings(endpoint), transactional_id=name, retry_backoff_ms=20)
        await producer.start()
        async with consumer(
            endpoint, source, group_id=group, isolation_level="read_committed", enable_auto_commit=False
        ) as client:
            for number in range(batches):
                records: list[Any] = []
                while not records:
                    records = (await client.getmany(here, timeout_ms=500, max_records=5)).get(here, [])
                await producer.begin_transaction()
                for record in records:
                    await producer.send(target, record.value + b"!", partition=0)
                await producer.send_offsets_to_transaction({here: records[-1].offset + 1}, group)
                if crash and number == batches - 1:
                    await producer.flush()
                    crashed.append(producer)
                    return
                await producer.commit_transaction()
                if records[-1].offset == 29:
                    break
        await producer.stop()

    crashed: list[AIOKafkaProducer] = []
    await work(3, crash=True)
    await work(30, crash=False)
    assert committed(endpoint, target) == [b"%d!" % number for number in range(30)]
    assert committed_offset(endpoint, group, source) == 30
    for producer in crashed:
        await producer.stop()


@capability("transactions: offsets")
@in_loop
async def test_offsets_of_an_aborted_transaction(endpoint: Endpoint, one: str, name: str, group: str) -> None:
    async with transactional(endpoint, name) as client:
        await client.begin_transaction()
        await client.send_offsets_to_transaction({TopicPartition(one, 0): 3}, group)
        await client.abort_transaction()
        assert committed_offset(endpoint, group, one) == -1
        async with client.transaction():
            await client.send_offsets_to_transaction({TopicPartition(one, 0): 3}, group)
        assert committed_offset(endpoint, group, one) == 3


@capability("transactions: fencing")
@in_loop
async def test_zombie_is_fenced(endpoint: Endpoint, one: str, name: str) -> None:
    async with transactional(endpoint, name) as heir_or_zombie:
        zombie = heir_or_zombie
        await zombie.begin_transaction()
        await send(zombie, one, b"lost")
        async with transactional(endpoint, name) as heir:
            await heir.begin_transaction()
            await send(heir, one, b"kept")
            with pytest.raises(ProducerFenced):
                await zombie.commit_transaction()
            await heir.commit_transaction()
    assert committed(endpoint, one) == [b"kept"]


@capability("transactions: timeout")
@in_loop
async def test_transaction_past_its_time_is_aborted(endpoint: Endpoint, one: str, name: str) -> None:
    async with transactional(endpoint, name, transaction_timeout_ms=200) as client:
        await client.begin_transaction()
        await send(client, one, b"lost")
        wait_for_state(endpoint, name, "CompleteAbort")
        with pytest.raises(KafkaError):
            await client.commit_transaction()
    async with transactional(endpoint, name) as heir, heir.transaction():
        await send(heir, one, b"kept")
    assert committed(endpoint, one) == [b"kept"]
