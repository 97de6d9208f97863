"""Transactions of confluent-kafka (librdkafka)."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition

from compat_tests.clients.support import Endpoint, until
from compat_tests.clients.test_confluent_kafka import consumer, settings
from compat_tests.clients.transactions import (
    committed,
    committed_offset,
    fill,
    make_topics,
    wait_for_end,
    wait_for_state,
)
from compat_tests.clients.warnings_log import WarningsLog

capability = pytest.mark.capability
pytestmark = [pytest.mark.client("confluent-kafka"), pytest.mark.usefixtures("transaction_coordinators")]
LOGGER = logging.getLogger("librdkafka")
WAIT_S = 20


def transactional(endpoint: Endpoint, name: str, **more: Any) -> Producer:
    """An initialised producer."""
    config = {"transactional_id": name, "linger_ms": 0, "retry_backoff_ms": 20} | more
    client = Producer(settings(endpoint, **config), logger=LOGGER)
    client.init_transactions(WAIT_S)
    return client


@pytest.fixture
def name(fresh_name: Callable[[str], str]) -> str:
    """A transactional id."""
    return fresh_name("txn")


@pytest.fixture
def one(endpoint: Endpoint, topic: str) -> str:
    """A topic of one partition."""
    make_topics(endpoint, topic)
    return topic


def send(client: Producer, topic: str, *values: str) -> None:
    for value in values:
        client.produce(topic, value, partition=0)
    assert client.flush(WAIT_S) == 0


def values(client: Consumer, count: int) -> list[bytes]:
    found: list[bytes] = []

    def poll() -> list[bytes]:
        for message in client.consume(100, timeout=0.1):
            assert message.error() is None, message.error()
            found.append(message.value())
        return found

    return until(poll, lambda f: len(f) >= count, f"{count} records")


@contextmanager
def reader(endpoint: Endpoint, topic: str, level: str) -> Iterator[Consumer]:
    with consumer(endpoint, isolation_level=level) as client:
        client.assign([TopicPartition(topic, 0, 0)])
        yield client


@capability("transactions")
def test_commit_and_abort(any_endpoint: Endpoint, endpoint: Endpoint, one: str, name: str) -> None:
    client = transactional(any_endpoint, name)
    for value, commit in (("a", True), ("lost", False), ("b", True)):
        client.begin_transaction()
        send(client, one, value)
        if commit:
            client.commit_transaction(WAIT_S)
        else:
            client.abort_transaction(WAIT_S)
    with reader(any_endpoint, one, "read_committed") as these, reader(any_endpoint, one, "read_uncommitted") as all_:
        assert values(these, 2) == [b"a", b"b"]
        assert values(all_, 3) == [b"a", b"lost", b"b"]
    wait_for_end(endpoint, one, 6)


@capability("transactions")
def test_open_transaction_is_not_read(endpoint: Endpoint, one: str, name: str) -> None:
    client = transactional(endpoint, name)
    client.begin_transaction()
    send(client, one, "open")
    with (
        reader(endpoint, one, "read_committed") as these,
        reader(endpoint, one, "read_uncommitted") as all_,
    ):
        assert values(all_, 1) == [b"open"]
        assert these.consume(1, timeout=0.2) == []
        assert these.get_watermark_offsets(TopicPartition(one, 0), WAIT_S) == (0, 0)
        client.commit_transaction(WAIT_S)
        assert values(these, 1) == [b"open"]


@capability("transactions")
def test_many_transactions(endpoint: Endpoint, one: str, name: str) -> None:
    client = transactional(endpoint, name)
    for number in range(40):
        client.begin_transaction()
        for _ in range(3):
            client.produce(one, str(number), partition=0)
        if number % 4 == 3:
            client.abort_transaction(WAIT_S)
        else:
            client.commit_transaction(WAIT_S)
    expected = [str(number).encode() for number in range(40) if number % 4 != 3 for _ in range(3)]
    with reader(endpoint, one, "read_committed") as these:
        assert values(these, len(expected)) == expected


@capability("transactions: exactly once")
def test_consume_transform_produce_with_a_crash(
    endpoint: Endpoint, fresh_name: Callable[[str], str], name: str, group: str
) -> None:
    """The first worker is left in the middle of a transaction; the second has the same transactional id."""
    source, target = fresh_name("source"), fresh_name("target")
    make_topics(endpoint, source, target)
    fill(endpoint, source, 30)

    def work(batches: int, *, crash: bool) -> None:
        producer = transactional(endpoint, name)
        with consumer(
            endpoint, source, group_id=group, isolation_level="read_committed", enable_auto_commit=False
        ) as client:
            for number in range(batches):
                messages = until(
                    lambda: [m for m in client.consume(5, timeout=1) if not m.error()], bool, "records of the source"
                )
                producer.begin_transaction()
                for message in messages:
                    producer.produce(target, message.value() + b"!", partition=0)
                position = [TopicPartition(source, 0, messages[-1].offset() + 1)]
                producer.send_offsets_to_transaction(position, client.consumer_group_metadata(), WAIT_S)
                producer.flush(WAIT_S)
                if not crash or number < batches - 1:
                    producer.commit_transaction(WAIT_S)
                if messages[-1].offset() == 29:
                    return
        if crash:
            crashed.append(producer)

    crashed: list[Producer] = []
    work(3, crash=True)
    work(30, crash=False)
    assert committed(endpoint, target) == [b"%d!" % number for number in range(30)]
    assert committed_offset(endpoint, group, source) == 30


@capability("transactions: offsets")
def test_offsets_of_an_aborted_transaction(endpoint: Endpoint, one: str, name: str, group: str) -> None:
    fill(endpoint, one, 3)
    producer = transactional(endpoint, name)
    with consumer(endpoint, one, group_id=group, enable_auto_commit=False) as client:
        values(client, 3)
        position = [TopicPartition(one, 0, 3)]
        for end, offset in ((producer.abort_transaction, -1001), (producer.commit_transaction, 3)):
            producer.begin_transaction()
            producer.send_offsets_to_transaction(position, client.consumer_group_metadata(), WAIT_S)
            end(WAIT_S)
            (here,) = client.committed([TopicPartition(one, 0)], WAIT_S)
            assert here.offset == offset


@capability("transactions: fencing")
def test_zombie_is_fenced(endpoint: Endpoint, one: str, name: str, client_log: WarningsLog) -> None:
    zombie = transactional(endpoint, name)
    zombie.begin_transaction()
    send(zombie, one, "lost")
    heir = transactional(endpoint, name)
    heir.begin_transaction()
    send(heir, one, "kept")
    with pytest.raises(KafkaException) as caught:
        zombie.commit_transaction(WAIT_S)
    assert caught.value.args[0].name() == "_FENCED"
    assert caught.value.args[0].fatal()
    heir.commit_transaction(WAIT_S)
    assert committed(endpoint, one) == [b"kept"]


@capability("transactions: timeout")
def test_transaction_past_its_time_is_aborted(endpoint: Endpoint, one: str, name: str) -> None:
    client = transactional(endpoint, name, transaction_timeout_ms=1000, message_timeout_ms=900)
    client.begin_transaction()
    send(client, one, "lost")
    wait_for_state(endpoint, name, "CompleteAbort")
    with pytest.raises(KafkaException) as caught:
        client.commit_transaction(WAIT_S)
    assert caught.value.args[0].name() in ("_FENCED", "INVALID_TXN_STATE", "INVALID_PRODUCER_EPOCH")
    heir = transactional(endpoint, name)
    heir.begin_transaction()
    send(heir, one, "kept")
    heir.commit_transaction(WAIT_S)
    assert committed(endpoint, one) == [b"kept"]


@capability("transactions: timeout")
def test_timeout_above_the_brokers(endpoint: Endpoint, name: str) -> None:
    with pytest.raises(KafkaException) as caught:
        transactional(endpoint, name, transaction_timeout_ms=900001)
    assert caught.value.args[0].name() == "INVALID_TRANSACTION_TIMEOUT"
