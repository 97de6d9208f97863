"""Transactions of kafka-python."""

from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, OffsetAndMetadata, TopicPartition
from kafka.admin import AbortTransactionSpec
from kafka.errors import KafkaError, ProducerFencedError

from compat_tests.clients.support import Endpoint, until
from compat_tests.clients.test_kafka_python import consumer, read, settings
from compat_tests.clients.transactions import (
    committed,
    committed_offset,
    fill,
    make_topics,
    wait_for_end,
    wait_for_state,
)

capability = pytest.mark.capability
pytestmark = [pytest.mark.client("kafka-python"), pytest.mark.usefixtures("transaction_coordinators")]


def transactional(endpoint: Endpoint, name: str, **more: Any) -> KafkaProducer:
    """An initialised producer."""
    config = {"transactional_id": name, "retry_backoff_ms": 20, "max_block_ms": 20000} | more
    client = KafkaProducer(**settings(endpoint), **config)
    client.init_transactions()
    return client


def reader(endpoint: Endpoint, topic: str, level: str) -> Any:
    client = KafkaConsumer(
        **settings(endpoint), isolation_level=level, auto_offset_reset="earliest", fetch_max_wait_ms=100
    )
    client.assign([TopicPartition(topic, 0)])
    return closing(client)


@pytest.fixture
def name(fresh_name: Callable[[str], str]) -> str:
    """A transactional id."""
    return fresh_name("txn")


@pytest.fixture
def one(endpoint: Endpoint, topic: str) -> str:
    """A topic of one partition."""
    make_topics(endpoint, topic)
    return topic


def send(client: KafkaProducer, topic: str, *values: bytes) -> None:
    for future in [client.send(topic, value, partition=0) for value in values]:
        future.get(20)


@capability("transactions")
def test_commit_and_abort(any_endpoint: Endpoint, endpoint: Endpoint, one: str, name: str) -> None:
    with closing(transactional(any_endpoint, name)) as client:
        for value, commit in ((b"a", True), (b"lost", False), (b"b", True)):
            client.begin_transaction()
            send(client, one, value)
            if commit:
                client.commit_transaction()
            else:
                client.abort_transaction()
    with reader(any_endpoint, one, "read_committed") as these:
        assert [r.value for r in read(these, 2)] == [b"a", b"b"]
    with reader(any_endpoint, one, "read_uncommitted") as all_:
        assert [r.value for r in read(all_, 3)] == [b"a", b"lost", b"b"]
    wait_for_end(endpoint, one, 6)


@capability("transactions")
def test_open_transaction_is_not_read(endpoint: Endpoint, one: str, name: str) -> None:
    with closing(transactional(endpoint, name)) as client, reader(endpoint, one, "read_committed") as these:
        client.begin_transaction()
        send(client, one, b"open")
        assert these.poll(timeout_ms=200) == {}
        assert these.end_offsets([TopicPartition(one, 0)]) == {TopicPartition(one, 0): 0}
        client.commit_transaction()
        assert [r.value for r in read(these, 1)] == [b"open"]


@capability("transactions")
def test_many_transactions(endpoint: Endpoint, one: str, name: str) -> None:
    with closing(transactional(endpoint, name)) as client:
        for number in range(40):
            client.begin_transaction()
            for _ in range(3):
                client.send(one, b"%d" % number, partition=0)
            if number % 4 == 3:
                client.flush()
                client.abort_transaction()
            else:
                client.commit_transaction()
    expected = [b"%d" % number for number in range(40) if number % 4 != 3 for _ in range(3)]
    with reader(endpoint, one, "read_committed") as these:
        assert [r.value for r in read(these, len(expected))] == expected


@capability("transactions: exactly once")
def test_consume_transform_produce_with_a_crash(
    endpoint: Endpoint, fresh_name: Callable[[str], str], name: str, group: str
) -> None:
    """The first worker is left in the middle of a transaction; the second has the same transactional id."""
    source, target = fresh_name("source"), fresh_name("target")
    make_topics(endpoint, source, target)
    fill(endpoint, source, 30)
    here = TopicPartition(source, 0)

    def work(batches: int, *, crash: bool) -> KafkaProducer:
        producer = transactional(endpoint, name)
        with consumer(
            endpoint,
            source,
            group_id=group,
            isolation_level="read_committed",
            enable_auto_commit=False,
            max_poll_records=5,
        ) as client:
            for number in range(batches):
                records = until(lambda: client.poll(timeout_ms=500).get(here, []), bool, "records of the source")
                producer.begin_transaction()
                for record in records:
                    producer.send(target, record.value + b"!", partition=0)
                position = {here: OffsetAndMetadata(records[-1].offset + 1, "", -1)}
                producer.send_offsets_to_transaction(position, client.group_metadata())
                producer.flush()
                if crash and number == batches - 1:
                    break
                producer.commit_transaction()
                if records[-1].offset == 29:
                    break
        return producer

    crashed = work(3, crash=True)
    work(30, crash=False).close(5)
    assert committed(endpoint, target) == [b"%d!" % number for number in range(30)]
    assert committed_offset(endpoint, group, source) == 30
    crashed.close(0)


@capability("transactions: offsets")
def test_offsets_of_an_aborted_transaction(endpoint: Endpoint, one: str, name: str, group: str) -> None:
    position = {TopicPartition(one, 0): OffsetAndMetadata(3, "", -1)}
    with closing(transactional(endpoint, name)) as client:
        for end, offset in ((client.abort_transaction, -1), (client.commit_transaction, 3)):
            client.begin_transaction()
            client.send_offsets_to_transaction(position, group)
            end()
            assert committed_offset(endpoint, group, one) == offset


@capability("transactions: fencing")
def test_zombie_is_fenced(endpoint: Endpoint, one: str, name: str) -> None:
    zombie = transactional(endpoint, name)
    zombie.begin_transaction()
    send(zombie, one, b"lost")
    with closing(transactional(endpoint, name)) as heir:
        heir.begin_transaction()
        send(heir, one, b"kept")
        with pytest.raises(ProducerFencedError):
            zombie.commit_transaction()
        heir.commit_transaction()
    assert committed(endpoint, one) == [b"kept"]
    zombie.close(0)


@capability("transactions: timeout")
def test_transaction_past_its_time_is_aborted(endpoint: Endpoint, one: str, name: str) -> None:
    client = transactional(endpoint, name, transaction_timeout_ms=200)
    client.begin_transaction()
    send(client, one, b"lost")
    wait_for_state(endpoint, name, "CompleteAbort")
    with pytest.raises(KafkaError):
        client.commit_transaction()
    client.close(0)
    with closing(transactional(endpoint, name)) as heir:
        heir.begin_transaction()
        send(heir, one, b"kept")
        heir.commit_transaction()
    assert committed(endpoint, one) == [b"kept"]


@capability("admin: transactions")
def test_admin_of_transactions(endpoint: Endpoint, one: str, name: str) -> None:
    here = TopicPartition(one, 0)
    with closing(transactional(endpoint, name)) as client, closing(KafkaAdminClient(**settings(endpoint))) as admin:
        client.begin_transaction()
        send(client, one, b"v")
        found = [t for each in admin.list_transactions(transactional_id_pattern=f"{name}.*").values() for t in each]
        assert [t.transactional_id for t in found] == [name]
        described = admin.describe_transactions([name])[name]
        assert (described.state, described.topic_partitions) == ("Ongoing", {here})
        assert admin.find_hanging_transactions() == []
        (producer,) = admin.describe_producers([here])[here].active_producers
        assert (producer.producer_id, producer.current_transaction_start_offset) == (described.producer_id, 0)
        admin.abort_transaction(AbortTransactionSpec(here, producer.producer_id, producer.producer_epoch))
        (producer,) = admin.describe_producers([here])[here].active_producers
        assert producer.current_transaction_start_offset == -1
        client.commit_transaction()
    assert committed(endpoint, one) == []
