"""`kwire export --kafka`: Apache Kafka 4.3.1 opens what a virtual cluster of three nodes was, and serves it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer

from compat_tests.directory.node import Node
from compat_tests.raw.wire import Wire
from compat_tests.targets import TargetUnavailableError, find_java, kafka_jars
from kwire.testing import Broker, Cluster

pytestmark = [pytest.mark.client("Kafka on the same directory"), pytest.mark.capability("opens a virtual cluster")]

PARTITIONS = 6


@pytest.fixture(autouse=True)
def _only_here(target_name: str) -> None:
    if target_name != "kwire":
        pytest.skip("both brokers take part in any case: with target kwire")
    try:
        find_java()
        kafka_jars()
    except TargetUnavailableError as error:
        pytest.skip(str(error))


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    with (
        Broker.start() as broker,
        broker.create_cluster(
            nodes=3,
            racks=["a", "b", "c"],
            topics={
                "orders": {"partitions": PARTITIONS, "replication_factor": 3, "configs": {"min.insync.replicas": 2}},
                "compacted": {"partitions": 2, "replication_factor": 2, "configs": {"cleanup.policy": "compact"}},
                "txn": {"partitions": 1, "replication_factor": 3},
                "empty": {"partitions": 3, "replication_factor": 1},
            },
            groups={"billing": {"orders": {number: number for number in range(PARTITIONS)}}},
        ) as cluster,
    ):
        yield cluster


def test_kafka_opens_and_serves_a_virtual_cluster_of_three_nodes(cluster: Cluster, tmp_path: Path) -> None:
    for partition in range(PARTITIONS):
        cluster.produce("orders", *[f"{partition}:{number}" for number in range(50)], partition=partition)
    cluster.produce("compacted", "one", "two", key="k", partition=0)
    _transactions(cluster)
    before = cluster.records("orders")
    node = Node(tmp_path)
    written = cluster.snapshots.export(tmp_path / "data0", format="kafka")
    assert written.files > 0
    cluster.produce("orders", "after the export", partition=0)
    wire = node.start("kafka")
    try:
        described = {topic.name: topic for topic in wire.ask("Metadata", 12, topics=None).topics}
        assert {name for name in described if not name.startswith("__")} == {"orders", "compacted", "txn", "empty"}
        for topic in described.values():
            for each in topic.partitions:
                assert (each.leader_id, each.replica_nodes, each.isr_nodes) == (1, [1], [1]), (topic.name, each)
        assert {each.broker_id for each in wire.ask("DescribeCluster", 0).brokers} == {1}
        for partition in range(PARTITIONS):
            wanted = [each.value for each in before if each.partition == partition]
            assert _values(wire, "orders", partition) == wanted
        assert _values(wire, "compacted", 0) == [b"one", b"two"]
        assert _committed(wire, "billing") == {partition: partition for partition in range(PARTITIONS)}
        fetched = wire.fetch("txn", 0, isolation_level=1)
        assert fetched.last_stable_offset == wire.start_and_end("txn")[1]
        assert [each.first_offset for each in fetched.aborted_transactions] == [2]
        state = wire.ask("DescribeTransactions", 0, transactional_ids=["t"]).transaction_states[0]
        assert (state.error_code, state.transaction_state) == (0, "CompleteAbort")
        answer = wire.produce("orders", _batch(b"by kafka"), partition=2)
        assert (answer.error_code, answer.base_offset) == (0, 50)
        assert not node.complaints(), "\n".join(node.complaints())
        wire.close()
        node.stop()
    finally:
        node.kill()


def _transactions(cluster: Cluster) -> None:
    """One that is committed (offsets 0 and its marker), then one that is aborted."""
    producer = Producer({"bootstrap.servers": cluster.bootstrap_servers, "transactional.id": "t"})
    producer.init_transactions(20)
    for value, end in ((b"kept", producer.commit_transaction), (b"dropped", producer.abort_transaction)):
        producer.begin_transaction()
        producer.produce("txn", value)
        producer.flush(20)
        end(20)


def _batch(value: bytes) -> bytes:
    from kwire.records import RecordBatchBuilder

    builder = RecordBatchBuilder()
    builder.append(None, value, timestamp=1_700_000_000_000)
    return bytes(builder.build())


def _values(wire: Wire, topic: str, partition: int) -> list[Any]:
    from kwire.records import iter_batches, read_records

    values: list[Any] = []
    offset, end = wire.start_and_end(topic, partition)
    while offset < end:
        data = bytes(wire.fetch(topic, offset, partition=partition).records)
        for header in iter_batches(data, partial_tail=True):
            values += [each.value for each in read_records(data, header.position)]
            offset = header.last_offset + 1
    return values


def _committed(wire: Wire, group: str) -> dict[int, int]:
    answer = wire.ask("OffsetFetch", 7, group_id=group, topics=None, require_stable=False)
    return {each.partition_index: each.committed_offset for topic in answer.topics for each in topic.partitions}
