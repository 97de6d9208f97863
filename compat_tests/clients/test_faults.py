"""Stock clients under fault rules: what they make of errors, losses, delays and throttling. Target kwire only."""

import time
from collections.abc import Iterator
from typing import Any

import pytest
from confluent_kafka import Consumer, Producer
from kafka import KafkaConsumer, KafkaProducer

from compat_tests.clients.support import until
from kwire.testing import Broker, Cluster

pytestmark = pytest.mark.capability("goes on under faults")

CONFLUENT = pytest.mark.client("confluent-kafka")
KAFKA_PYTHON = pytest.mark.client("kafka-python")


@pytest.fixture(autouse=True)
def client_log() -> None:
    """Faults make clients warn; that is what they are for."""


@pytest.fixture
def cluster(own_broker: Broker) -> Iterator[Cluster]:
    with own_broker.create_cluster(topics={"orders": 1}) as cluster:
        yield cluster


def _confluent(cluster: Cluster, **settings: Any) -> Producer:
    names = {name.replace("_", "."): value for name, value in settings.items()}
    quick = {"retry.backoff.ms": 10, "linger.ms": 0, "reconnect.backoff.ms": 10, "log_level": 0}
    return Producer({"bootstrap.servers": cluster.bootstrap_servers, **quick, **names})


def _kafka_python(cluster: Cluster, **settings: Any) -> KafkaProducer:
    return KafkaProducer(
        bootstrap_servers=cluster.bootstrap_servers, retry_backoff_ms=10, reconnect_backoff_ms=10, **settings
    )


def _send_all(producer: Producer, values: list[bytes], apart: bool = False) -> None:
    """Each is acknowledged without an error."""
    errors: list[Any] = []

    def delivered(error: Any, _message: Any) -> None:
        if error is not None:
            errors.append(error)

    for value in values:
        producer.produce("orders", value, on_delivery=delivered)
        if apart:
            assert producer.flush(20) == 0
    assert producer.flush(20) == 0
    assert errors == []


def _values(cluster: Cluster) -> list[bytes | None]:
    return [record.value for record in cluster.records("orders")]


@CONFLUENT
def test_confluent_kafka_asks_again_after_not_leader(cluster: Cluster) -> None:
    with cluster.faults.add(api="Produce", topic="orders", error="NOT_LEADER_OR_FOLLOWER", times=2) as rule:
        _send_all(_confluent(cluster), [b"0", b"1", b"2"])
        rule.assert_fired(2)
    assert _values(cluster) == [b"0", b"1", b"2"]


@KAFKA_PYTHON
def test_kafka_python_asks_again_after_not_leader(cluster: Cluster) -> None:
    with cluster.faults.add(api="Produce", topic="orders", error="NOT_LEADER_OR_FOLLOWER", times=2) as rule:
        producer = _kafka_python(cluster)
        sent = [producer.send("orders", b"%d" % number) for number in range(3)]
        assert [each.get(timeout=20).offset for each in sent] == [0, 1, 2]
        producer.close()
        rule.assert_fired(2)
    assert _values(cluster) == [b"0", b"1", b"2"]


@CONFLUENT
@pytest.mark.parametrize("action", ["drop_connection", "drop_reply"])
def test_confluent_kafka_makes_no_duplicates_with_idempotence(cluster: Cluster, action: str) -> None:
    """The first answers are lost after the append: what is sent again is known by its sequence."""
    values = [b"%d" % number for number in range(5)]
    producer = _confluent(cluster, enable_idempotence=True, request_timeout_ms=400, socket_timeout_ms=400)
    with cluster.faults.add(api="Produce", when="after", times=2, every=2, **{action: True}) as rule:
        _send_all(producer, values, apart=True)
        rule.assert_fired(2)
    assert _values(cluster) == values


@CONFLUENT
def test_without_idempotence_a_lost_answer_makes_a_duplicate(cluster: Cluster) -> None:
    """So that the test above tests something."""
    producer = _confluent(cluster, enable_idempotence=False)
    with cluster.faults.add(api="Produce", when="after", times=1, drop_connection=True) as rule:
        _send_all(producer, [b"twice"])
        rule.assert_fired(1)
    assert _values(cluster) == [b"twice", b"twice"]


@KAFKA_PYTHON
def test_kafka_python_makes_no_duplicates_with_idempotence(cluster: Cluster) -> None:
    producer = _kafka_python(cluster, enable_idempotence=True)
    with cluster.faults.add(api="Produce", when="after", times=2, every=2, drop_connection=True) as rule:
        for number in range(5):
            producer.send("orders", b"%d" % number).get(timeout=20)
        rule.assert_fired(2)
    producer.close()
    assert _values(cluster) == [b"%d" % number for number in range(5)]


@CONFLUENT
def test_a_transaction_is_committed_once(cluster: Cluster) -> None:
    """Its coordinator is not there at first, and answers get lost, that of the commit too."""
    producer = _confluent(cluster, transactional_id="t", socket_timeout_ms=2000)
    rules = [
        cluster.faults.add(api="InitProducerId", transactional_id="t", error="COORDINATOR_LOAD_IN_PROGRESS", times=1),
        cluster.faults.add(api="AddPartitionsToTxn", error="CONCURRENT_TRANSACTIONS", times=1),
        cluster.faults.add(api="Produce", transactional_id="t", drop_connection=True, when="after", times=1),
        cluster.faults.add(api="EndTxn", drop_connection=True, when="after", times=1),
    ]
    producer.init_transactions(20)
    producer.begin_transaction()
    _send_all(producer, [b"0", b"1"])
    producer.commit_transaction(20)
    for rule in rules:
        rule.assert_fired(1)
    assert _values(cluster) == [b"0", b"1"]


@CONFLUENT
def test_confluent_kafkas_consumer_goes_on(cluster: Cluster) -> None:
    """Errors of a fetch, lost connections, a coordinator that is not there yet, a damaged answer: all is read, once."""
    values = [b"%d" % number for number in range(20)]
    cluster.produce("orders", *values)
    rules = [
        cluster.faults.add(api="FindCoordinator", error="COORDINATOR_NOT_AVAILABLE", times=1),
        cluster.faults.add(api="OffsetFetch", group="billing", error="COORDINATOR_LOAD_IN_PROGRESS", times=1),
        cluster.faults.add(api="Fetch", topic="orders", error="NOT_LEADER_OR_FOLLOWER", times=1),
        cluster.faults.add(api="Fetch", drop_connection=True, times=1, skip=1),
    ]
    consumer = Consumer(
        {
            "bootstrap.servers": cluster.bootstrap_servers,
            "group.id": "billing",
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
            "reconnect.backoff.ms": 10,
            "retry.backoff.ms": 10,
            "fetch.error.backoff.ms": 10,
            "log_level": 0,
        }
    )
    found: list[bytes] = []
    try:
        consumer.subscribe(["orders"])

        def read() -> list[bytes]:
            message = consumer.poll(0.1)
            if message is not None and message.error() is None:
                found.append(message.value())
            return found

        until(read, lambda got: len(got) >= len(values), "all records")
        with cluster.faults.add(api="OffsetCommit", error="COORDINATOR_LOAD_IN_PROGRESS", times=1) as commit:
            consumer.commit(asynchronous=False)
            commit.assert_fired(1)
    finally:
        consumer.close()
    assert found == values
    for rule in rules:
        rule.assert_fired()


@KAFKA_PYTHON
def test_kafka_pythons_consumer_goes_on(cluster: Cluster) -> None:
    values = [b"%d" % number for number in range(20)]
    cluster.produce("orders", *values)
    rules = [
        cluster.faults.add(api="JoinGroup", error="COORDINATOR_LOAD_IN_PROGRESS", times=1),
        cluster.faults.add(api="Fetch", topic="orders", error="NOT_LEADER_OR_FOLLOWER", times=1),
        cluster.faults.add(api="Fetch", drop_connection=True, when="after", times=1, skip=1),
    ]
    consumer = KafkaConsumer(
        bootstrap_servers=cluster.bootstrap_servers,
        group_id="billing",
        auto_offset_reset="earliest",
        retry_backoff_ms=10,
        reconnect_backoff_ms=10,
    )
    # Who joins before it knows the topic's partitions joins twice, and kafka-python 3.0 now and then stops there.
    consumer.partitions_for_topic("orders")
    consumer.subscribe(["orders"])
    found: list[bytes] = []
    try:

        def read() -> list[bytes]:
            for records in consumer.poll(100).values():
                found.extend(record.value for record in records)
            return found

        until(read, lambda got: len(got) >= len(values), "all records")
    finally:
        consumer.close()
    assert found == values
    for rule in rules:
        rule.assert_fired()


@CONFLUENT
def test_confluent_kafka_waits_for_a_slow_broker(cluster: Cluster) -> None:
    with cluster.faults.add(api="Produce", delay_ms=300, times=2) as rule:
        began = time.monotonic()
        _send_all(_confluent(cluster, max_in_flight_requests_per_connection=1), [b"0", b"1"], apart=True)
        assert time.monotonic() - began >= 0.55
        rule.assert_fired(2)
    assert _values(cluster) == [b"0", b"1"]


@CONFLUENT
def test_confluent_kafka_gives_up_when_its_time_is_over(cluster: Cluster) -> None:
    """A stalled broker: the record fails at the client's delivery timeout."""
    with cluster.faults.add(api="Produce", stall=True) as rule:
        producer = _confluent(cluster, delivery_timeout_ms=700, request_timeout_ms=600)
        codes: list[str] = []
        producer.produce("orders", b"late", on_delivery=lambda error, _message: codes.append(error.name()))
        assert producer.flush(20) == 0
        assert codes == ["_MSG_TIMED_OUT"]
        rule.assert_fired()
    producer.purge()


@KAFKA_PYTHON
def test_kafka_python_is_throttled(cluster: Cluster) -> None:
    """Told in the answer, and its connection is not read meanwhile: the next request takes that long. (KIP-219)"""
    producer = _kafka_python(cluster)
    with cluster.faults.add(api="Produce", throttle_ms=400, times=1) as rule:
        producer.send("orders", b"0").get(timeout=20)
        began = time.monotonic()
        producer.send("orders", b"1").get(timeout=20)
        assert time.monotonic() - began >= 0.35
        rule.assert_fired(1)
    producer.close()


@CONFLUENT
def test_an_error_that_is_final_reaches_the_application(cluster: Cluster) -> None:
    with cluster.faults.add(api="Produce", topic="orders", error="TOPIC_AUTHORIZATION_FAILED") as rule:
        producer = _confluent(cluster)
        codes: list[str] = []
        producer.produce("orders", b"no", on_delivery=lambda error, _message: codes.append(error.name()))
        assert producer.flush(20) == 0
        assert codes == ["TOPIC_AUTHORIZATION_FAILED"]
        rule.assert_fired(1)


@KAFKA_PYTHON
def test_a_full_disk(cluster: Cluster) -> None:
    """A producer that asks again for long enough gets through once there is room."""
    producer = _kafka_python(cluster)
    with cluster.faults.add(topic="orders", disk_full=True, times=3) as rule:
        assert producer.send("orders", b"at last").get(timeout=20).offset == 0
        rule.assert_fired(3)
    producer.close()
    assert _values(cluster) == [b"at last"]


@CONFLUENT
def test_only_this_client(cluster: Cluster) -> None:
    with cluster.faults.add(client_id="unlucky", drop_connection=True) as rule:
        _send_all(_confluent(cluster, client_id="lucky"), [b"fine"])
        rule.assert_fired(0)
        with pytest.raises(AssertionError, match="of lucky"):
            rule.assert_fired(1)
