"""Stock clients on a cluster of three nodes that are stopped and started one after the other. Target kwire only.

Nothing is lost or doubled with idempotent producers, groups go on when their coordinator stops.
"""

import asyncio
import time
from collections.abc import Iterator
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from confluent_kafka import Consumer, Producer
from kafka import KafkaConsumer, KafkaProducer

from compat_tests.clients.support import until
from kwire.testing import Broker, Cluster

pytestmark = pytest.mark.capability("goes on while nodes stop")

RECORDS_A_STOP = 20
NODES = (1, 2, 3)


@pytest.fixture(autouse=True)
def client_log() -> None:
    """Stopped nodes make clients warn; that is what they are for."""


@pytest.fixture
def cluster(own_broker: Broker) -> Iterator[Cluster]:
    configs = {"group.initial.rebalance.delay.ms": "0", "offsets.topic.num.partitions": "6"}
    with own_broker.create_cluster(nodes=3, configs=configs) as cluster:
        cluster.create_topic("orders", 3, replication_factor=3)
        yield cluster


def _coordinator_of(cluster: Cluster, group: str) -> int:
    """The node that leads the group's partition of __consumer_offsets."""
    hashed = 0
    for letter in group:
        hashed = (31 * hashed + ord(letter)) & 0xFFFFFFFF
    leader = cluster.nodes.partition("__consumer_offsets", (hashed & 0x7FFFFFFF) % 6).leader
    assert leader is not None
    return leader


@pytest.mark.client("confluent-kafka")
def test_confluent_kafka(cluster: Cluster) -> None:
    quick = {"retry.backoff.ms": 10, "reconnect.backoff.ms": 10, "reconnect.backoff.max.ms": 50, "log_level": 0}
    common: dict[str, Any] = {"bootstrap.servers": cluster.bootstrap_servers, **quick}
    producer = Producer({**common, "enable.idempotence": True, "linger.ms": 1})
    consumer = Consumer(
        {
            **common,
            "group.id": "g",
            "auto.offset.reset": "earliest",
            "fetch.wait.max.ms": 50,
            "session.timeout.ms": 6000,
        }
    )
    consumer.subscribe(["orders"])
    errors: list[Any] = []
    sent: list[bytes] = []
    read: list[bytes] = []

    def delivered(error: Any, _message: Any) -> None:
        if error is not None:
            errors.append(error)

    def send() -> None:
        for _ in range(RECORDS_A_STOP):
            value = b"%d" % len(sent)
            sent.append(value)
            producer.produce("orders", value, on_delivery=delivered)
            producer.poll(0)

    def poll() -> bool:
        message = consumer.poll(0.05)
        if message is not None and message.error() is None:
            read.append(message.value())
        return len(read) >= len(sent)

    send()
    producer.flush(15)
    until(poll, bool, "reading what was sent", 15)
    for node in NODES:
        with cluster.nodes[node].stopped(kill=node == 2):
            send()
            assert producer.flush(15) == 0
            until(poll, bool, "reading what was sent", 15)
            consumer.commit(asynchronous=False)
        send()
    assert producer.flush(15) == 0
    until(poll, bool, "reading what was sent", 15)
    with cluster.nodes[_coordinator_of(cluster, "g")].stopped():
        send()
        assert producer.flush(15) == 0
        until(poll, bool, "reading what was sent", 15)
        consumer.commit(asynchronous=False)
    consumer.close()
    assert not errors
    assert sorted(read, key=int) == sent
    assert sorted((each.value for each in cluster.records("orders")), key=int) == sent


@pytest.mark.client("kafka-python")
def test_kafka_python(cluster: Cluster) -> None:
    common: dict[str, Any] = {
        "bootstrap_servers": cluster.bootstrap_servers.split(","),
        "retry_backoff_ms": 10,
        "reconnect_backoff_ms": 10,
        "reconnect_backoff_max_ms": 50,
        "metadata_max_age_ms": 500,
    }
    producer = KafkaProducer(**common, acks="all", retries=100, enable_idempotence=True)
    consumer = KafkaConsumer(
        "orders", **common, group_id="g", auto_offset_reset="earliest", fetch_max_wait_ms=50, enable_auto_commit=False
    )
    sent: list[bytes] = []
    read: list[bytes] = []

    def send() -> None:
        futures = []
        for _ in range(RECORDS_A_STOP):
            value = b"%d" % len(sent)
            sent.append(value)
            futures.append(producer.send("orders", value))
        for future in futures:
            future.get(timeout=20)

    def poll() -> bool:
        for records in consumer.poll(timeout_ms=50).values():
            read.extend(record.value for record in records)
        return len(read) >= len(sent)

    send()
    until(poll, bool, "reading what was sent", 15)
    for node in NODES:
        with cluster.nodes[node].stopped(kill=node == 2):
            send()
            until(poll, bool, "reading what was sent", 15)
        send()
    until(poll, bool, "reading what was sent", 15)
    with cluster.nodes[_coordinator_of(cluster, "g")].stopped():
        send()
        until(poll, bool, "reading what was sent", 15)
        consumer.commit()
    producer.close(timeout=5)
    consumer.close(autocommit=False)
    assert sorted(read, key=int) == sent
    assert sorted((each.value for each in cluster.records("orders")), key=int) == sent


@pytest.mark.client("aiokafka")
def test_aiokafka(cluster: Cluster) -> None:
    asyncio.run(_aiokafka(cluster))


async def _aiokafka(cluster: Cluster) -> None:
    common: dict[str, Any] = {
        "bootstrap_servers": cluster.bootstrap_servers.split(","),
        "retry_backoff_ms": 20,
        "metadata_max_age_ms": 500,
    }
    sent: list[bytes] = []
    read: list[bytes] = []
    producer = AIOKafkaProducer(**common, enable_idempotence=True)
    consumer = AIOKafkaConsumer(
        "orders", **common, group_id="g", auto_offset_reset="earliest", fetch_max_wait_ms=50, enable_auto_commit=False
    )

    async def send() -> None:
        waiting = []
        for _ in range(RECORDS_A_STOP):
            value = b"%d" % len(sent)
            sent.append(value)
            waiting.append(await producer.send("orders", value))
        await asyncio.wait_for(asyncio.gather(*waiting), 20)

    async def poll() -> None:
        deadline = time.monotonic() + 20
        while len(read) < len(sent):
            assert time.monotonic() < deadline, f"{len(read)} of {len(sent)} records after 20 s"
            for records in (await consumer.getmany(timeout_ms=50)).values():
                read.extend(record.value for record in records)

    await producer.start()
    await consumer.start()
    try:
        await send()
        await poll()
        for node in NODES:
            with cluster.nodes[node].stopped(kill=node == 2):
                await send()
                await poll()
            await send()
        await poll()
        with cluster.nodes[_coordinator_of(cluster, "g")].stopped():
            await send()
            await poll()
            await consumer.commit()
    finally:
        await producer.stop()
        await consumer.stop()
    assert sorted(read, key=int) == sent
    assert sorted((each.value for each in cluster.records("orders")), key=int) == sent


@pytest.mark.client("aiokafka")
def test_transactions_over_several_nodes(cluster: Cluster) -> None:
    """Each spans partitions of all nodes and a group's offsets; nodes stop before and in the middle of them.

    (librdkafka goes on waiting for a group's coordinator that it knew before the node left the metadata.)
    """
    cluster.create_topic("in", 1, replication_factor=3)
    cluster.produce("in", *(str(number) for number in range(12)))
    asyncio.run(_transactions(cluster))
    for partition in range(3):
        found = cluster.records("orders", partition=partition, isolation="read_committed")
        assert [int(each.value) for each in found] == list(range(12))


async def _transactions(cluster: Cluster) -> None:
    common: dict[str, Any] = {
        "bootstrap_servers": cluster.bootstrap_servers.split(","),
        "retry_backoff_ms": 20,
        "metadata_max_age_ms": 200,
    }
    producer = AIOKafkaProducer(**common, transactional_id="tx", transaction_timeout_ms=30_000)
    await producer.start()
    stopped: list[int] = []
    position = TopicPartition("in", 0)
    try:
        for number in range(12):
            node = cluster.nodes[NODES[number % 3]]
            if number % 2 == 0:
                node.stop(kill=number % 4 == 0)
                stopped.append(node.id)
            for attempt in range(2):
                await producer.begin_transaction()
                for partition in range(3):
                    await asyncio.wait_for(producer.send_and_wait("orders", b"%d" % number, partition=partition), 20)
                if number % 2 == 1 and not stopped:
                    node.stop()
                    stopped.append(node.id)
                await asyncio.wait_for(producer.send_offsets_to_transaction({position: number + 1}, "g"), 20)
                if attempt == 0 and number % 5 == 4:
                    await asyncio.wait_for(producer.abort_transaction(), 20)
                    continue
                await asyncio.wait_for(producer.commit_transaction(), 20)
                break
            while stopped:
                cluster.nodes[stopped.pop()].start()
    finally:
        await producer.stop()
    consumer = AIOKafkaConsumer(**common, group_id="g", enable_auto_commit=False)
    await consumer.start()
    try:
        assert await consumer.committed(position) == 12
    finally:
        await consumer.stop()
