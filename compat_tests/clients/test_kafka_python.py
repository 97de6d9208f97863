"""kafka-python."""

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
from kafka import (
    ConsumerRebalanceListener,
    KafkaAdminClient,
    KafkaConsumer,
    KafkaProducer,
    OffsetAndMetadata,
    TopicPartition,
)
from kafka.admin import ConfigResource, ConfigResourceType, NewPartitions, NewTopic
from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor
from kafka.errors import TopicAlreadyExistsError, UnknownTopicOrPartitionError
from kafka.partitioner import Partitioner

from compat_tests.clients.support import Endpoint, until
from compat_tests.targets import OwnBroker

capability = pytest.mark.capability
FAST_GROUP = {"heartbeat_interval_ms": 100, "session_timeout_ms": 10000, "retry_backoff_ms": 20}


def settings(endpoint: Endpoint) -> dict[str, Any]:
    common: dict[str, Any] = {"bootstrap_servers": endpoint.bootstrap}
    if endpoint.ca is not None:
        common |= {"security_protocol": "SSL", "ssl_cafile": str(endpoint.ca)}
    return common


def producer(endpoint: Endpoint, **more: Any) -> Any:
    return closing(KafkaProducer(**settings(endpoint), **more))


def consumer(endpoint: Endpoint, *topics: str, **more: Any) -> Any:
    defaults = {"auto_offset_reset": "earliest", "fetch_max_wait_ms": 100} | FAST_GROUP
    client = KafkaConsumer(**settings(endpoint), **defaults | more)
    if topics:
        # Known before the group is joined: kafka-python may else assign nothing and not notice.
        for topic in topics:
            until(lambda topic=topic: client.partitions_for_topic(topic), bool, f"metadata of {topic}")
        client.subscribe(topics)
    return closing(client)


@pytest.fixture
def admin(endpoint: Endpoint) -> Iterator[KafkaAdminClient]:
    with closing(KafkaAdminClient(**settings(endpoint))) as client:
        yield client


@pytest.fixture
def four(admin: KafkaAdminClient, topic: str) -> str:
    """A topic of four partitions."""
    admin.create_topics([NewTopic(topic, 4, 1)], wait_for_metadata=True)
    return topic


def send(endpoint: Endpoint, topic: str, count: int, partition: int | None = None, **more: Any) -> list[Any]:
    """Send the values b"0", b"1", ... and return their metadata."""
    with producer(endpoint, **more) as client:
        futures = [client.send(topic, b"%d" % i, partition=partition) for i in range(count)]
        return [f.get(10) for f in futures]


def read(client: KafkaConsumer, count: int) -> list[Any]:
    """Poll until there are ``count`` records."""
    records: list[Any] = []

    def poll() -> list[Any]:
        for batch in client.poll(timeout_ms=500).values():
            records.extend(batch)
        return records

    return until(poll, lambda found: len(found) >= count, f"{count} records")


# Produce


@capability("produce: acks")
@pytest.mark.parametrize("acks", [0, 1, "all"])
def test_acks(any_endpoint: Endpoint, topic: str, acks: int | str) -> None:
    send(any_endpoint, topic, 1, partition=0)  # with acks 0 nobody waits for the new topic
    metadata = send(any_endpoint, topic, 20, 0, acks=acks, enable_idempotence=False, linger_ms=5)
    if acks != 0:
        assert all(m.offset >= 0 for m in metadata)
    with consumer(any_endpoint, topic) as client:
        assert sorted(int(r.value) for r in read(client, 21)) == [0, *range(20)]


@capability("produce: codecs")
@pytest.mark.parametrize("codec", [None, "gzip", "snappy", "lz4", "zstd"])
def test_codecs(endpoint: Endpoint, topic: str, codec: str | None) -> None:
    value = b"compressible " * 100
    with producer(endpoint, compression_type=codec, linger_ms=20) as client:
        for i in range(50):
            client.send(topic, value, key=b"%d" % i, headers=[("n", b"%d" % i)])
    with consumer(endpoint, topic) as client:
        records = read(client, 50)
    assert {r.value for r in records} == {value}
    assert sorted(int(r.key) for r in records) == list(range(50))
    assert all(r.headers == [("n", r.key)] for r in records)


class ToTheLast(Partitioner):  # type: ignore[misc]
    def partition(self, topic: str, *_: Any) -> int:
        return max(_[-1].partitions_for_topic(topic))


@capability("produce: partitioners")
def test_partitioners(endpoint: Endpoint, four: str) -> None:
    with producer(endpoint) as client:
        by_key = [client.send(four, b"v", key=b"same").get(10).partition for _ in range(5)]
        by_hand = [client.send(four, b"v", partition=p).get(10).partition for p in range(4)]
    assert len(set(by_key)) == 1
    assert by_hand == [0, 1, 2, 3]
    assert {m.partition for m in send(endpoint, four, 5, partitioner=ToTheLast())} == {3}


@capability("produce: keys, nulls, headers, timestamps")
def test_record_parts(endpoint: Endpoint, four: str) -> None:
    now = int(time.time() * 1000)
    with producer(endpoint) as client:
        client.send(four, None, key=b"k", partition=0, timestamp_ms=now - 5000)
        client.send(four, b"v", key=None, partition=0, headers=[("a", b"1"), ("b", b"\0"), ("a", b"")])
    with consumer(endpoint, four) as client:
        first, second = read(client, 2)
    assert (first.key, first.value, first.timestamp) == (b"k", None, now - 5000)
    assert (second.key, second.value) == (None, b"v")
    assert second.headers == [("a", b"1"), ("b", b"\0"), ("a", b"")]


@capability("produce: idempotent")
def test_idempotent(any_endpoint: Endpoint, four: str) -> None:
    metadata = send(any_endpoint, four, 500, partition=1, enable_idempotence=True, linger_ms=1)
    assert [m.offset for m in metadata] == list(range(500))


@capability("produce: too large")
def test_too_large(endpoint: Endpoint, four: str) -> None:
    with producer(endpoint, max_request_size=5_000_000) as client, pytest.raises(Exception, match=r"(?i)large"):
        client.send(four, bytes(2_000_000)).get(10)


# Consume


@capability("consume: from any position")
def test_positions(any_endpoint: Endpoint, topic: str) -> None:
    send(any_endpoint, topic, 100, partition=0)
    here = TopicPartition(topic, 0)
    with consumer(any_endpoint) as client:
        client.assign([here])
        for offset in (50, 0, 99, 7):
            client.seek(here, offset)
            assert read(client, 1)[0].offset == offset
        client.seek_to_beginning(here)
        assert client.position(here) == 0
        client.seek_to_end(here)
        assert client.position(here) == 100
        assert client.beginning_offsets([here]) == {here: 0}
        assert client.end_offsets([here]) == {here: 100}


@capability("consume: from latest")
def test_from_latest(endpoint: Endpoint, four: str) -> None:
    send(endpoint, four, 10, partition=0)
    with consumer(endpoint, auto_offset_reset="latest") as client:
        client.assign([TopicPartition(four, 0)])
        client.poll(timeout_ms=50)
        assert client.position(TopicPartition(four, 0)) == 10
        send(endpoint, four, 1, partition=0)
        assert read(client, 1)[0].offset == 10


@capability("consume: out of range resets")
def test_out_of_range(endpoint: Endpoint, four: str) -> None:
    send(endpoint, four, 10, partition=0)
    here = TopicPartition(four, 0)
    with consumer(endpoint, auto_offset_reset="earliest") as client:
        client.assign([here])
        client.seek(here, 1000)
        assert read(client, 10)[0].offset == 0


@capability("consume: by time")
def test_by_time(endpoint: Endpoint, four: str) -> None:
    base = int(time.time() * 1000) - 100_000
    with producer(endpoint) as client:
        for i in range(10):
            client.send(four, b"v", partition=0, timestamp_ms=base + i * 1000)
    here = TopicPartition(four, 0)
    with consumer(endpoint) as client:
        found = client.offsets_for_times({here: base + 4500})[here]
        assert (found.offset, found.timestamp) == (5, base + 5000)
        assert client.offsets_for_times({here: base + 10_000})[here] is None


@capability("consume: pause and resume")
def test_pause(endpoint: Endpoint, four: str) -> None:
    here, there = (TopicPartition(four, p) for p in (0, 1))
    with consumer(endpoint) as client:
        client.assign([here, there])
        client.pause(here)
        for partition in (0, 1):
            send(endpoint, four, 5, partition=partition)
        assert {r.partition for r in read(client, 5)} == {1}
        assert client.poll(timeout_ms=50) == {}
        client.resume(here)
        assert {r.partition for r in read(client, 5)} == {0}


@capability("consume: large records")
def test_large_records(any_endpoint: Endpoint, topic: str) -> None:
    with producer(any_endpoint) as client:
        for i in range(5):
            client.send(topic, bytes([i]) * 900_000, partition=0)
    with consumer(any_endpoint, topic, max_partition_fetch_bytes=1000) as client:
        assert [(r.value[0], len(r.value)) for r in read(client, 5)] == [(i, 900_000) for i in range(5)]


@capability("consume: pattern subscription")
def test_pattern(endpoint: Endpoint, topic: str, group: str) -> None:
    for suffix in "ab":
        send(endpoint, f"{topic}-{suffix}", 3)
    with consumer(endpoint, group_id=group) as client:
        client.subscribe(pattern=f"^{topic}-.*")
        assert {r.topic for r in read(client, 6)} == {f"{topic}-a", f"{topic}-b"}


# Groups


class Member:
    """A consumer of a group in a thread of its own.

    A poll lasts half a second: kafka-python 3.0.12 loses its way when a poll's time is over while it rejoins, and then
    neither takes its assignment nor sends heartbeats.
    """

    def __init__(self, endpoint: Endpoint, topic: str, listener: Any = None, **more: Any) -> None:
        self._going = True
        self._consumer = consumer(endpoint, **more).thing
        until(lambda: self._consumer.partitions_for_topic(topic), bool, f"metadata of {topic}")
        self._consumer.subscribe([topic], listener=listener)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while self._going:
            self._consumer.poll(timeout_ms=500)
        self._consumer.close()

    def share(self) -> set[int]:
        return {p.partition for p in self._consumer.assignment()}

    def __enter__(self) -> "Member":
        return self

    def __exit__(self, *_: object) -> None:
        self._going = False
        self._thread.join(20)


def settle(*members: Member, all_of: int = 4) -> list[set[int]]:
    """Wait until the members share the partitions, each having some."""
    return until(
        lambda: [m.share() for m in members],
        lambda s: all(s) and sum(map(len, s)) == all_of and set().union(*s) == set(range(all_of)),
        "the members' shares of the partitions",
    )


@capability("group: join and leave")
def test_join_and_leave(any_endpoint: Endpoint, topic: str, group: str) -> None:
    send(any_endpoint, topic, 1)
    with Member(any_endpoint, topic, group_id=group) as first:
        assert settle(first) == [{0, 1, 2, 3}]
        with Member(any_endpoint, topic, group_id=group) as second:
            assert [len(s) for s in settle(first, second)] == [2, 2]
        assert settle(first) == [{0, 1, 2, 3}]


@capability("group: static member")
def test_static_member(endpoint: Endpoint, four: str, group: str) -> None:
    with Member(endpoint, four, group_id=group) as other:
        settle(other)
        static = {"group_id": group, "group_instance_id": "static-1"}
        with Member(endpoint, four, **static) as member:
            before = settle(other, member)
        with Member(endpoint, four, **static) as member:
            assert settle(other, member) == before, "a static member that returns keeps its partitions"


class Revocations(ConsumerRebalanceListener):  # type: ignore[misc]
    def __init__(self) -> None:
        self.revoked: list[set[int]] = []

    def on_partitions_revoked(self, revoked: Any) -> None:
        self.revoked.append({p.partition for p in revoked})

    def on_partitions_assigned(self, assigned: Any) -> None:
        pass


@capability("group: cooperative rebalance")
def test_cooperative(endpoint: Endpoint, four: str, group: str) -> None:
    options = {"group_id": group, "partition_assignment_strategy": (CooperativeStickyAssignor,)}
    listener = Revocations()
    with Member(endpoint, four, listener, **options) as first:
        settle(first)
        with Member(endpoint, four, **options) as second:
            kept, given = settle(first, second)
            assert [r for r in listener.revoked if r] == [given], "only what moves is revoked"
            assert len(kept) == 2


@capability("group: crash of a member")
def test_crash(restartable_broker: OwnBroker, topic: str, group: str) -> None:
    endpoint = Endpoint(restartable_broker.plain)
    send(endpoint, topic, 1)
    program = (
        "import sys; from kafka import KafkaConsumer\n"
        "c = KafkaConsumer(sys.argv[2], bootstrap_servers=sys.argv[1], group_id=sys.argv[3],"
        " session_timeout_ms=1500, heartbeat_interval_ms=100)\n"
        "while True:\n c.poll(timeout_ms=500)\n"
    )
    command = [sys.executable, "-c", program, endpoint.bootstrap, topic, group]
    with Member(endpoint, topic, group_id=group) as survivor:
        settle(survivor)
        with subprocess.Popen(command) as victim:
            try:
                until(survivor.share, lambda s: len(s) == 2, "the other member's arrival")
            finally:
                victim.kill()
        assert settle(survivor) == [{0, 1, 2, 3}]


@capability("offsets: commit, resume, lag")
def test_commit(any_endpoint: Endpoint, topic: str, group: str) -> None:
    send(any_endpoint, topic, 10, partition=0)
    here = TopicPartition(topic, 0)
    with consumer(any_endpoint, topic, group_id=group, enable_auto_commit=False) as client:
        read(client, 10)
        client.commit({here: OffsetAndMetadata(4, "note", -1)})
        assert client.committed(here, metadata=True).metadata == "note"
    with consumer(any_endpoint, topic, group_id=group, enable_auto_commit=False) as client:
        assert read(client, 6)[0].offset == 4
        lag = client.end_offsets([here])[here] - client.committed(here)
        assert lag == 6


@capability("offsets: automatic commit")
def test_automatic_commit(endpoint: Endpoint, four: str, group: str) -> None:
    send(endpoint, four, 10, partition=0)
    with consumer(endpoint, four, group_id=group) as client:
        read(client, 10)
    with consumer(endpoint, group_id=group) as client:
        assert client.committed(TopicPartition(four, 0)) == 10


# Admin


@capability("admin: topics")
def test_admin_topics(admin: KafkaAdminClient, topic: str) -> None:
    admin.create_topics([NewTopic(topic, 3, 1, topic_configs={"retention.ms": "1234567"})], wait_for_metadata=True)
    assert topic in admin.list_topics()
    (described,) = admin.describe_topics([topic])
    assert len(described["partitions"]) == 3
    with pytest.raises(TopicAlreadyExistsError):
        admin.create_topics([NewTopic(topic, 3, 1)])
    admin.delete_topics([topic])
    until(admin.list_topics, lambda found: topic not in found, "deletion")
    with pytest.raises(UnknownTopicOrPartitionError):
        admin.delete_topics([topic])


@capability("admin: partitions")
def test_admin_partitions(admin: KafkaAdminClient, four: str) -> None:
    admin.create_partitions({four: NewPartitions(6)})
    until(lambda: admin.describe_topics([four])[0]["partitions"], lambda found: len(found) == 6, "new partitions")
    assert admin.list_partition_reassignments() in ({}, [])


@capability("admin: configs")
def test_admin_configs(admin: KafkaAdminClient, four: str) -> None:
    resource = ConfigResource(ConfigResourceType.TOPIC, four, configs={"retention.ms": "1000"})
    admin.alter_configs([resource])

    def retention() -> str:
        wanted = ConfigResource(ConfigResourceType.TOPIC, four)
        return str(admin.describe_configs([wanted], config_filter="all"))

    until(retention, lambda text: "'1000'" in text, "the new retention.ms")


@capability("admin: groups and offsets")
def test_admin_groups(admin: KafkaAdminClient, endpoint: Endpoint, four: str, group: str) -> None:
    send(endpoint, four, 5, partition=0)
    here = TopicPartition(four, 0)
    with consumer(endpoint, four, group_id=group) as client:
        read(client, 5)
        client.commit()
        assert group in str(admin.list_groups())
        assert "Stable" in str(admin.describe_groups([group]))
    offsets = admin.list_group_offsets({group: [here]})
    assert "offset=5" in str(offsets)
    admin.alter_group_offsets(group, {here: OffsetAndMetadata(2, "", -1)})
    assert "offset=2" in str(admin.list_group_offsets({group: [here]}))
    admin.delete_groups([group])
    assert group not in str(admin.list_groups())


@capability("admin: records")
def test_admin_records(admin: KafkaAdminClient, endpoint: Endpoint, four: str) -> None:
    send(endpoint, four, 10, partition=0)
    here = TopicPartition(four, 0)
    admin.delete_records({here: 6})
    with consumer(endpoint) as client:
        assert client.beginning_offsets([here]) == {here: 6}
        client.assign([here])
        assert read(client, 4)[0].offset == 6


@capability("admin: cluster")
def test_admin_cluster(admin: KafkaAdminClient, four: str) -> None:
    assert len(admin.describe_cluster()["brokers"]) == 1
    assert four in str(admin.describe_log_dirs())
    assert admin.describe_metadata_quorum()
    assert admin.describe_features()


@capability("admin: leaders and reassignments")
def test_admin_elect(admin: KafkaAdminClient, four: str) -> None:
    admin.elect_leaders(0, raise_errors=False)
    admin.alter_partition_reassignments({TopicPartition(four, 0): [1]})
