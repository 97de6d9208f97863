"""confluent-kafka (librdkafka)."""

import logging
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from confluent_kafka import (
    OFFSET_BEGINNING,
    OFFSET_END,
    Consumer,
    ConsumerGroupTopicPartitions,
    IsolationLevel,
    KafkaException,
    Producer,
    TopicPartition,
)
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewPartitions,
    NewTopic,
    OffsetSpec,
    ResourceType,
)

from compat_tests.clients.support import Endpoint, until
from compat_tests.clients.warnings_log import WarningsLog
from compat_tests.differences import expected
from compat_tests.targets import Broker, OwnBroker

capability = pytest.mark.capability
LOGGER = logging.getLogger("librdkafka")


def settings(endpoint: Endpoint, **more: Any) -> dict[str, Any]:
    """librdkafka's settings; ``linger_ms=5`` is ``linger.ms``."""
    common: dict[str, Any] = {"bootstrap.servers": endpoint.bootstrap}
    if endpoint.ca is not None:
        common |= {"security.protocol": "SSL", "ssl.ca.location": str(endpoint.ca)}
    return common | {key.replace("_", "."): value for key, value in more.items()}


def producer(endpoint: Endpoint, **more: Any) -> Producer:
    return Producer(settings(endpoint, **more), logger=LOGGER)


@contextmanager
def consumer(endpoint: Endpoint, *topics: str, **more: Any) -> Iterator[Consumer]:
    defaults = {
        "group_id": "unused",
        "auto_offset_reset": "earliest",
        "fetch_wait_max_ms": 100,
        "heartbeat_interval_ms": 100,
        "session_timeout_ms": 10000,
        "topic_metadata_refresh_fast_interval_ms": 20,
    }
    client = Consumer(settings(endpoint, **defaults | more), logger=LOGGER)
    try:
        if topics:
            client.subscribe(list(topics))
        yield client
    finally:
        client.close()


@pytest.fixture
def admin(endpoint: Endpoint) -> AdminClient:
    return AdminClient(settings(endpoint), logger=LOGGER)


def create(client: AdminClient, topic: str, partitions: int = 4, **more: Any) -> None:
    client.create_topics([NewTopic(topic, partitions, 1, **more)])[topic].result(10)
    until(
        lambda: client.list_topics(topic, timeout=5).topics[topic],
        lambda t: t.error is None and len(t.partitions) == partitions,
        "the new topic",
    )


@pytest.fixture
def four(admin: AdminClient, topic: str) -> str:
    """A topic of four partitions."""
    create(admin, topic)
    return topic


def send(endpoint: Endpoint, topic: str, count: int, partition: int | None = None, **more: Any) -> list[Any]:
    """Send the values b"0", b"1", ... and return the delivered messages."""
    delivered: list[Any] = []
    client = producer(endpoint, **more)
    where = {} if partition is None else {"partition": partition}
    for i in range(count):
        client.produce(topic, b"%d" % i, on_delivery=lambda error, m: delivered.append((error, m)), **where)
    assert client.flush(10) == 0
    assert [error for error, _ in delivered if error] == []
    return [message for _, message in delivered]


def read(client: Consumer, count: int) -> list[Any]:
    """Poll until there are ``count`` messages."""
    messages: list[Any] = []

    def poll() -> list[Any]:
        messages.extend(m for m in client.consume(count, timeout=0.2) if m.error() is None)
        return messages

    return until(poll, lambda found: len(found) >= count, f"{count} messages")


# Produce


@capability("produce: acks")
@pytest.mark.parametrize("acks", [0, 1, "all"])
def test_acks(any_endpoint: Endpoint, topic: str, acks: int | str) -> None:
    send(any_endpoint, topic, 1, partition=0)  # with acks 0 nobody waits for the new topic
    send(any_endpoint, topic, 20, 0, acks=acks)
    with consumer(any_endpoint, topic) as client:
        assert sorted(int(m.value()) for m in read(client, 21)) == [0, *range(20)]


@capability("produce: codecs")
@pytest.mark.parametrize("codec", ["none", "gzip", "snappy", "lz4", "zstd"])
def test_codecs(endpoint: Endpoint, four: str, codec: str) -> None:
    value = b"compressible " * 100
    client = producer(endpoint, compression_type=codec, linger_ms=20)
    for i in range(50):
        client.produce(four, value, key=b"%d" % i, headers=[("n", b"%d" % i)])
    assert client.flush(10) == 0
    with consumer(endpoint, four) as reader:
        messages = read(reader, 50)
    assert {m.value() for m in messages} == {value}
    assert sorted(int(m.key()) for m in messages) == list(range(50))
    assert all(m.headers() == [("n", m.key())] for m in messages)


@capability("produce: partitioners")
@pytest.mark.parametrize(
    "partitioner", ["random", "consistent", "consistent_random", "murmur2", "murmur2_random", "fnv1a"]
)
def test_partitioners(endpoint: Endpoint, four: str, partitioner: str) -> None:
    client = producer(endpoint, partitioner=partitioner)
    partitions = []
    for _ in range(5):
        client.produce(four, b"v", key=b"same", on_delivery=lambda _, m: partitions.append(m.partition()))
        assert client.flush(10) == 0
    if partitioner != "random":
        assert len(set(partitions)) == 1
    for p in range(4):
        assert {m.partition() for m in send(endpoint, four, 2, partition=p)} == {p}


@capability("produce: keys, nulls, headers, timestamps")
def test_record_parts(endpoint: Endpoint, four: str) -> None:
    now = int(time.time() * 1000)
    client = producer(endpoint)
    client.produce(four, None, key=b"k", partition=0, timestamp=now - 5000)
    client.produce(four, b"v", partition=0, headers=[("a", b"1"), ("b", None), ("a", b"")])
    assert client.flush(10) == 0
    with consumer(endpoint, four) as reader:
        first, second = read(reader, 2)
    assert (first.key(), first.value(), first.timestamp()[1]) == (b"k", None, now - 5000)
    assert (second.key(), second.value()) == (None, b"v")
    assert second.headers() == [("a", b"1"), ("b", None), ("a", b"")]


@capability("produce: idempotent")
def test_idempotent(any_endpoint: Endpoint, topic: str) -> None:
    messages = send(any_endpoint, topic, 2000, partition=0, enable_idempotence=True, linger_ms=0)
    assert [m.offset() for m in messages] == list(range(2000))


@capability("produce: too large")
def test_too_large(endpoint: Endpoint, four: str) -> None:
    errors: list[Any] = []
    client = producer(endpoint, message_max_bytes=5_000_000)
    client.produce(four, bytes(2_000_000), on_delivery=lambda error, _: errors.append(error))
    client.flush(10)
    assert [e.name() for e in errors] == ["MSG_SIZE_TOO_LARGE"]


# Consume


@capability("consume: from any position")
def test_positions(any_endpoint: Endpoint, topic: str) -> None:
    send(any_endpoint, topic, 100, partition=0)
    with consumer(any_endpoint) as client:
        for offset, first in ((50, 50), (0, 0), (99, 99), (OFFSET_BEGINNING, 0)):
            client.assign([TopicPartition(topic, 0, offset)])
            assert read(client, 1)[0].offset() == first
        client.seek(TopicPartition(topic, 0, 7))
        assert read(client, 1)[0].offset() == 7
        assert client.get_watermark_offsets(TopicPartition(topic, 0), timeout=5) == (0, 100)


@capability("consume: from latest")
def test_from_latest(endpoint: Endpoint, four: str) -> None:
    send(endpoint, four, 10, partition=0)
    with consumer(endpoint) as client:
        client.assign([TopicPartition(four, 0, OFFSET_END)])

        def produce_and_poll() -> list[Any]:
            send(endpoint, four, 1, partition=0)
            return [m.offset() for m in client.consume(1, timeout=0.1)]

        # The end is looked up in the background: what is sent before that is not seen.
        assert until(produce_and_poll, bool, "a message after the end")[0] >= 10


@capability("consume: out of range resets")
def test_out_of_range(endpoint: Endpoint, four: str) -> None:
    send(endpoint, four, 10, partition=0)
    with consumer(endpoint) as client:
        client.assign([TopicPartition(four, 0, 1000)])
        assert read(client, 10)[0].offset() == 0


@capability("consume: by time")
def test_by_time(endpoint: Endpoint, four: str) -> None:
    base = int(time.time() * 1000) - 100_000
    client = producer(endpoint)
    for i in range(10):
        client.produce(four, b"v", partition=0, timestamp=base + i * 1000)
    assert client.flush(10) == 0
    with consumer(endpoint) as reader:
        (found,) = reader.offsets_for_times([TopicPartition(four, 0, base + 4500)], timeout=5)
        assert found.offset == 5
        (past,) = reader.offsets_for_times([TopicPartition(four, 0, base + 10_000)], timeout=5)
        assert past.offset == OFFSET_END


@capability("consume: pause and resume")
def test_pause(endpoint: Endpoint, four: str) -> None:
    here, there = (TopicPartition(four, p, OFFSET_BEGINNING) for p in (0, 1))
    with consumer(endpoint) as client:
        client.assign([here, there])
        client.pause([here])
        for partition in (0, 1):
            send(endpoint, four, 5, partition=partition)
        assert {m.partition() for m in read(client, 5)} == {1}
        assert client.consume(1, timeout=0.1) == []
        client.resume([here])
        assert {m.partition() for m in read(client, 5)} == {0}


@capability("consume: large records")
def test_large_records(any_endpoint: Endpoint, topic: str) -> None:
    client = producer(any_endpoint)
    for i in range(5):
        client.produce(topic, bytes([i]) * 900_000, partition=0)
    assert client.flush(10) == 0
    with consumer(any_endpoint, topic, max_partition_fetch_bytes=1000) as reader:
        assert [(m.value()[0], len(m.value())) for m in read(reader, 5)] == [(i, 900_000) for i in range(5)]


@capability("consume: pattern subscription")
def test_pattern(endpoint: Endpoint, admin: AdminClient, topic: str, group: str) -> None:
    for suffix in "ab":
        create(admin, f"{topic}-{suffix}")
        send(endpoint, f"{topic}-{suffix}", 3)
    with consumer(endpoint, f"^{topic}-.*", group_id=group) as client:
        assert {m.topic() for m in read(client, 6)} == {f"{topic}-a", f"{topic}-b"}


# Groups


def share(client: Consumer) -> set[int]:
    client.poll(0.02)
    return {p.partition for p in client.assignment()}


def settle(*clients: Consumer, all_of: int = 4) -> list[set[int]]:
    """Poll all until they share the partitions, each having some."""
    return until(
        lambda: [share(c) for c in clients],
        lambda s: all(s) and sum(map(len, s)) == all_of and set().union(*s) == set(range(all_of)),
        "the members' shares of the partitions",
    )


@capability("group: join and leave")
@pytest.mark.parametrize("strategy", ["range", "roundrobin"])
def test_join_and_leave(any_endpoint: Endpoint, topic: str, group: str, strategy: str) -> None:
    send(any_endpoint, topic, 1)
    options = {"group_id": group, "partition_assignment_strategy": strategy}
    with consumer(any_endpoint, topic, **options) as first:
        assert settle(first) == [{0, 1, 2, 3}]
        with consumer(any_endpoint, topic, **options) as second:
            assert [len(s) for s in settle(first, second)] == [2, 2]
        assert settle(first) == [{0, 1, 2, 3}]


@capability("group: static member")
def test_static_member(endpoint: Endpoint, four: str, group: str) -> None:
    with consumer(endpoint, four, group_id=group) as other:
        settle(other)
        static = {"group_id": group, "group_instance_id": "static-1"}
        with consumer(endpoint, four, **static) as member:
            before = settle(other, member)
        with consumer(endpoint, four, **static) as member:
            assert settle(other, member) == before, "a static member that returns keeps its partitions"


@capability("group: cooperative rebalance")
def test_cooperative(endpoint: Endpoint, four: str, group: str) -> None:
    revoked: list[set[int]] = []
    options = {"group_id": group, "partition_assignment_strategy": "cooperative-sticky"}
    with consumer(endpoint, **options) as first, consumer(endpoint, **options) as second:
        first.subscribe([four], on_revoke=lambda _, ps: revoked.append({p.partition for p in ps}))
        settle(first)
        second.subscribe([four])
        _, given = settle(first, second)
        assert revoked == [given], "only what moves is revoked"


@capability("group: many members under load")
def test_many_members(endpoint: Endpoint, admin: AdminClient, topic: str, group: str) -> None:
    create(admin, topic, 12)
    sender = producer(endpoint)
    seen: set[int] = set()
    members = [Consumer(settings(endpoint, group_id=group, auto_offset_reset="earliest", heartbeat_interval_ms=100,
                                 session_timeout_ms=10000), logger=LOGGER) for _ in range(4)]  # fmt: skip
    try:
        for number, member in enumerate(members):
            member.subscribe([topic])
            for i in range(50):
                sender.produce(topic, b"%d" % (number * 50 + i))
            sender.flush(10)
            for other in members[: number + 1]:
                seen.update(int(m.value()) for m in other.consume(100, timeout=0.05))
        members.pop(0).close()

        def poll() -> set[int]:
            for member in members:
                seen.update(int(m.value()) for m in member.consume(100, timeout=0.05))
            return seen

        until(poll, lambda s: s == set(range(200)), "every value, over joins and a leave")
    finally:
        for member in members:
            member.close()


@capability("group: crash of a member")
def test_crash(restartable_broker: OwnBroker, topic: str, group: str) -> None:
    endpoint = Endpoint(restartable_broker.plain)
    send(endpoint, topic, 1)
    program = (
        "import sys; from confluent_kafka import Consumer\n"
        "c = Consumer({'bootstrap.servers': sys.argv[1], 'group.id': sys.argv[3],"
        " 'session.timeout.ms': 1500, 'heartbeat.interval.ms': 100})\n"
        "c.subscribe([sys.argv[2]])\n"
        "while True:\n c.poll(0.05)\n"
    )
    command = [sys.executable, "-c", program, endpoint.bootstrap, topic, group]
    with consumer(endpoint, topic, group_id=group) as survivor:
        settle(survivor)
        with subprocess.Popen(command, stdout=subprocess.DEVNULL) as victim:
            try:
                until(lambda: share(survivor), lambda s: len(s) == 2, "the other member's arrival")
            finally:
                victim.kill()
        assert settle(survivor) == [{0, 1, 2, 3}]


@capability("offsets: commit, resume, lag")
def test_commit(any_endpoint: Endpoint, topic: str, group: str) -> None:
    send(any_endpoint, topic, 10, partition=0)
    options = {"group_id": group, "enable_auto_commit": False}
    with consumer(any_endpoint, topic, **options) as client:
        read(client, 10)
        client.commit(offsets=[TopicPartition(topic, 0, 4, "note")], asynchronous=False)
        (committed,) = client.committed([TopicPartition(topic, 0)], timeout=5)
        assert (committed.offset, committed.metadata) == (4, "note")
    with consumer(any_endpoint, topic, **options) as client:
        assert read(client, 6)[0].offset() == 4
        _, high = client.get_watermark_offsets(TopicPartition(topic, 0), timeout=5)
        assert high - client.committed([TopicPartition(topic, 0)], timeout=5)[0].offset == 6


@capability("offsets: automatic commit")
def test_automatic_commit(endpoint: Endpoint, four: str, group: str) -> None:
    send(endpoint, four, 10, partition=0)
    with consumer(endpoint, four, group_id=group) as client:
        read(client, 10)
    with consumer(endpoint, group_id=group) as client:
        assert client.committed([TopicPartition(four, 0)], timeout=5)[0].offset == 10


# Admin


@capability("admin: topics")
def test_admin_topics(admin: AdminClient, topic: str) -> None:
    create(admin, topic, 3, config={"retention.ms": "1234567"})
    with pytest.raises(KafkaException, match="already exists"):
        admin.create_topics([NewTopic(topic, 3, 1)])[topic].result(10)
    admin.delete_topics([topic])[topic].result(10)
    until(lambda: admin.list_topics(timeout=5).topics, lambda found: topic not in found, "deletion")
    with pytest.raises(KafkaException, match="UNKNOWN_TOPIC_OR_PART"):
        admin.delete_topics([topic])[topic].result(10)


@capability("admin: partitions")
def test_admin_partitions(admin: AdminClient, four: str) -> None:
    admin.create_partitions([NewPartitions(four, 6)])[four].result(10)
    until(lambda: admin.list_topics(four, timeout=5).topics[four].partitions, lambda p: len(p) == 6, "new partitions")


@capability("admin: configs")
def test_admin_configs(admin: AdminClient, four: str) -> None:
    changes = [ConfigEntry("retention.ms", "1000", incremental_operation=AlterConfigOpType.SET)]
    resource = ConfigResource(ResourceType.TOPIC, four, incremental_configs=changes)
    for future in admin.incremental_alter_configs([resource]).values():
        future.result(10)

    def described() -> Any:
        (future,) = admin.describe_configs([ConfigResource(ResourceType.TOPIC, four)]).values()
        return future.result(10)["retention.ms"]

    entry = until(described, lambda e: e.value == "1000", "the new retention.ms")
    assert not entry.is_default
    broker = ConfigResource(ResourceType.BROKER, "1")
    configs = admin.describe_configs([broker])[broker].result(10)
    assert configs["num.partitions"].value == "4"


@capability("admin: groups and offsets")
def test_admin_groups(admin: AdminClient, endpoint: Endpoint, four: str, group: str) -> None:
    send(endpoint, four, 5, partition=0)
    here = TopicPartition(four, 0)
    with consumer(endpoint, four, group_id=group) as client:
        read(client, 5)
        client.commit(asynchronous=False)
        listed = admin.list_consumer_groups().result(10).valid
        assert group in {g.group_id for g in listed}
        described = admin.describe_consumer_groups([group])[group].result(10)
        assert described.state.name == "STABLE"
        assert len(described.members) == 1

    def committed() -> int:
        future = admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(group, [here])])[group]
        return int(future.result(10).topic_partitions[0].offset)

    assert committed() == 5
    change = ConsumerGroupTopicPartitions(group, [TopicPartition(four, 0, 2)])
    admin.alter_consumer_group_offsets([change])[group].result(10)
    assert committed() == 2
    admin.delete_consumer_groups([group])[group].result(10)
    assert group not in {g.group_id for g in admin.list_consumer_groups().result(10).valid}


@capability("admin: records")
def test_admin_records(admin: AdminClient, endpoint: Endpoint, four: str) -> None:
    send(endpoint, four, 10, partition=0)
    (future,) = admin.delete_records([TopicPartition(four, 0, 6)]).values()
    assert future.result(10).low_watermark == 6
    with consumer(endpoint) as client:
        client.assign([TopicPartition(four, 0, OFFSET_BEGINNING)])
        assert read(client, 4)[0].offset() == 6


@capability("admin: list offsets")
def test_admin_offsets(admin: AdminClient, endpoint: Endpoint, four: str) -> None:
    send(endpoint, four, 10, partition=0)
    here = TopicPartition(four, 0)
    for spec, offset in ((OffsetSpec.earliest(), 0), (OffsetSpec.latest(), 10), (OffsetSpec.for_timestamp(0), 0)):
        (future,) = admin.list_offsets({here: spec}, isolation_level=IsolationLevel.READ_UNCOMMITTED).values()
        assert future.result(10).offset == offset


@capability("admin: cluster")
def test_admin_cluster(admin: AdminClient, four: str) -> None:
    cluster = admin.describe_cluster().result(10)
    assert [n.id for n in cluster.nodes] == [1]
    assert cluster.cluster_id
    assert admin.list_topics(timeout=5).cluster_id == cluster.cluster_id


# What kwire does not have yet ends at once, by name


@capability("group: new protocol (KIP-848)")
def test_new_protocol(
    endpoint: Endpoint,
    broker: Broker,
    four: str,
    group: str,
    client_log: WarningsLog,
    record_property: Callable[[str, object], None],
) -> None:
    there = expected("ConsumerGroupHeartbeat", broker.kind) == "new consumer groups"
    client = Consumer(
        settings(endpoint, group_id=group, group_protocol="consumer", auto_offset_reset="earliest"), logger=LOGGER
    )
    client.subscribe([four])
    try:
        if there:
            until(lambda: share(client), lambda s: len(s) == 4, "all partitions")
        else:
            failed = until(lambda: client.poll(0.1), lambda m: m is not None and m.error(), "an error", patience_s=5)
            assert failed.error().name() == "_FATAL"
            assert "API version not supported" in failed.error().str()
            client_log.expect("ConsumerGroupHeartbeat fatal error")
            record_property("matrix", "refused by name")
    finally:
        client.close()
