"""Transactions of Java clients: producers, read_committed consumers, what the Admin client and its tool see and do."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from compat_tests.java_clients.clients import Java, Producer, eventually
from compat_tests.java_clients.jvm import JavaError
from compat_tests.raw.transactions import transaction_version
from compat_tests.raw.wire import Wire

pytestmark = [pytest.mark.client("Java clients"), pytest.mark.long_on_kafka]

COMMITTED = {"isolation_level": "read_committed"}
QUICK = {"linger_ms": "0", "retry_backoff_ms": "20"}


def transactional(java: Java, name: str | None = None, **config: str) -> Producer:
    """An initialised producer with a transactional id."""
    producer = java.producer(transactional_id=name or java.fresh_name("txn"), **QUICK | config)
    producer.init_transactions()
    return producer


def read_all(java: Java, topic: str, *, committed: bool = True) -> list[str | None]:
    """Everything up to the end that the isolation level gives."""
    consumer = java.consumer(**(COMMITTED if committed else {}))
    consumer.assign((topic, 0))
    end = consumer.do("end_offsets", partitions=[(topic, 0)])[f"{topic}:0"]
    values: list[str | None] = []
    while consumer.do("position", partition=(topic, 0)) < end:
        values += [record["value"] for record in consumer.do("poll", count=1, timeout_ms=300)]
    consumer.close()
    return values


@pytest.mark.capability("transactions")
def test_commit_and_abort(java: Java) -> None:
    topic = java.create_topic()
    producer = transactional(java)
    producer.begin(topic, "a", "b")
    producer.commit()
    producer.begin(topic, "lost")
    producer.abort()
    producer.begin(topic, "c")
    producer.commit()
    eventually(lambda: read_all(java, topic), ["a", "b", "c"])
    eventually(lambda: read_all(java, topic, committed=False), ["a", "b", "lost", "c"])


@pytest.mark.capability("transactions")
def test_open_transaction_is_not_read(java: Java) -> None:
    topic = java.create_topic()
    producer = transactional(java)
    java.producer().send_values(topic, "plain", partition=0)
    producer.begin(topic, "open")
    java.producer().send_values(topic, "behind", partition=0)
    eventually(lambda: read_all(java, topic), ["plain"])
    eventually(lambda: read_all(java, topic, committed=False), ["plain", "open", "behind"])
    consumer = java.consumer(**COMMITTED)
    consumer.assign((topic, 0))
    waiting = consumer.start("poll", count=3, timeout_ms=15000)
    producer.commit()
    assert [record["value"] for record in waiting.result(20)] == ["plain", "open", "behind"]


@pytest.mark.capability("transactions")
def test_many_transactions(java: Java) -> None:
    topic = java.create_topic()
    committed = transactional(java).do("transactions", topic=topic, count=60, records=5, abort_every=3)
    assert committed == 200
    eventually(lambda: read_all(java, topic), [str(number) for number in range(200)])


@pytest.mark.capability("transactions")
def test_several_partitions_and_topics_at_once(java: Java) -> None:
    first, second = java.create_topic(partitions=3), java.create_topic()
    producer = transactional(java)
    producer.do("begin")
    producer.send(
        *({"topic": first, "partition": p, "value": f"p{p}"} for p in range(3)), {"topic": second, "value": "s"}
    )
    consumer = java.consumer(**COMMITTED)
    consumer.assign((first, 0), (first, 1), (first, 2), (second, 0))
    assert consumer.values(1, timeout_ms=300) == []
    producer.commit()
    assert sorted(consumer.values(4), key=str) == ["p0", "p1", "p2", "s"]


@pytest.mark.capability("transactions")
def test_empty_transactions(java: Java) -> None:
    topic = java.create_topic()
    producer = transactional(java)
    for end in (producer.commit, producer.abort, producer.abort, producer.commit):
        producer.do("begin")
        end()
    producer.begin(topic, "v")
    producer.commit()
    eventually(lambda: read_all(java, topic), ["v"])


@pytest.fixture
def classic(java: Java) -> Iterator[None]:
    """transaction.version 1 while the test runs: clients then add partitions first and keep their epoch."""

    def update(level: int, kind: int) -> None:
        host, port = java.bootstrap.rsplit(":", 1)
        feature = {"feature": "transaction.version", "max_version_level": level, "upgrade_type": kind}
        with Wire((host, int(port))) as wire:
            answer = wire.ask("UpdateFeatures", 2, timeout_ms=5000, feature_updates=[feature])
            assert answer.error_code == 0, answer
            eventually(lambda: transaction_version(wire), level)

    update(1, 2)
    yield
    update(2, 1)


@pytest.mark.capability("transactions")
def test_classic_generation(java: Java, classic: None) -> None:
    topic, name = java.create_topic(), java.fresh_name("txn")
    producer = transactional(java, name)
    assert producer.do("transactions", topic=topic, count=6, records=2, abort_every=3) == 8
    eventually(lambda: read_all(java, topic), [str(number) for number in range(8)])
    assert java.admin("describe_transactions", ids=[name])[name]["epoch"] == 0


@pytest.mark.capability("transactions: offsets")
def test_offsets_with_group_metadata(java: Java) -> None:
    source, target, group = java.create_topic(), java.create_topic(), java.fresh_name("group")
    java.producer().send_values(source, "a", "b", "c", partition=0)
    consumer = java.consumer(group, heartbeat_interval_ms="300", **COMMITTED)
    consumer.subscribe(source)
    values = consumer.values(3)
    producer = transactional(java)
    member = consumer.do("group_metadata")
    producer.begin(target, *(f"{value}!" for value in values))
    producer.do("send_offsets", offsets=[(source, 0, 2)], member=member)
    producer.abort()
    assert consumer.do("committed", partitions=[(source, 0)]) == {f"{source}:0": None}
    producer.begin(target, *(f"{value}!" for value in values))
    producer.do("send_offsets", offsets=[(source, 0, 3, "note")], member=member)
    producer.commit()
    committed = consumer.do("committed", partitions=[(source, 0)])[f"{source}:0"]
    assert (committed["offset"], committed["metadata"]) == (3, "note")
    eventually(lambda: read_all(java, target), ["a!", "b!", "c!"])


@pytest.mark.capability("transactions: offsets")
def test_offsets_of_a_member_that_was_replaced(java: Java) -> None:
    """A zombie whose partitions went to another: its transaction cannot be committed."""
    source, target, group = java.create_topic(), java.create_topic(), java.fresh_name("group")
    java.producer().send_values(source, "a", partition=0)
    consumer = java.consumer(group, heartbeat_interval_ms="300")
    consumer.subscribe(source)
    consumer.values(1)
    member = consumer.do("group_metadata")
    producer = transactional(java)
    producer.begin(target, "a!")
    stale = {**member, "generation": member["generation"] - 1}
    with pytest.raises(JavaError) as caught:
        producer.do("send_offsets", offsets=[(source, 0, 1)], member=stale)
    assert caught.value.kind == "CommitFailedException"
    producer.abort()
    producer.begin(target, "a!")
    producer.do("send_offsets", offsets=[(source, 0, 1)], member=member)
    producer.commit()
    eventually(lambda: read_all(java, target), ["a!"])


@pytest.mark.capability("transactions: exactly once")
def test_consume_transform_produce_with_a_crash(java: Java) -> None:
    """The first worker is left in the middle of a transaction; the second has the same transactional id."""
    source, target, group = java.create_topic(), java.create_topic(), java.fresh_name("group")
    java.producer().send_many(source, "", 50).result(20)
    worker = java.fresh_name("worker")

    def work(batches: int, *, crash: bool) -> None:
        producer = transactional(java, worker)
        consumer = java.consumer(group, max_poll_records="5", heartbeat_interval_ms="300", **COMMITTED)
        consumer.subscribe(source)
        for number in range(batches):
            records = consumer.poll(5)
            producer.begin(target, *(f"{record['value']}!" for record in records))
            last = records[-1]["offset"] + 1
            producer.do("send_offsets", offsets=[(source, 0, last)], member=consumer.do("group_metadata"))
            if not crash or number < batches - 1:
                producer.commit()
        consumer.close()

    work(4, crash=True)
    work(7, crash=False)
    eventually(lambda: read_all(java, target), [f"{number}!" for number in range(50)])
    eventually(lambda: java.admin("group_offsets", group=group)[f"{source}:0"]["offset"], 50)


@pytest.mark.capability("transactions: fencing")
def test_zombie_is_fenced(java: Java) -> None:
    topic, name = java.create_topic(), java.fresh_name("txn")
    zombie = transactional(java, name)
    zombie.begin(topic, "lost")
    heir = transactional(java, name)
    heir.begin(topic, "kept")
    answer = zombie.send_values(topic, "late", partition=0)[0]
    assert answer["error"]["class"] in ("InvalidProducerEpochException", "ProducerFencedException")
    with pytest.raises(JavaError) as caught:
        zombie.commit()
    assert caught.value.kind in ("ProducerFencedException", "InvalidProducerEpochException", "KafkaException")
    heir.commit()
    eventually(lambda: read_all(java, topic), ["kept"])


@pytest.mark.capability("transactions: fencing")
def test_producers_fenced_by_the_admin_client(java: Java) -> None:
    topic, name = java.create_topic(), java.fresh_name("txn")
    producer = transactional(java, name)
    producer.begin(topic, "lost")
    assert java.admin("fence_producers", ids=[name]) == {name: None}
    eventually(lambda: java.admin("describe_transactions", ids=[name])[name]["state"], "Empty")
    with pytest.raises(JavaError) as caught:
        producer.commit()
    assert caught.value.kind == "ProducerFencedException"
    eventually(lambda: read_all(java, topic), [])


@pytest.mark.capability("transactions: timeout")
def test_transaction_past_its_time_is_aborted(java: Java) -> None:
    topic, name = java.create_topic(), java.fresh_name("txn")
    producer = transactional(java, name, transaction_timeout_ms="100")
    producer.begin(topic, "lost")
    eventually(lambda: java.admin("describe_transactions", ids=[name])[name]["state"], "CompleteAbort")
    with pytest.raises(JavaError) as caught:
        producer.commit()
    assert caught.value.kind == "InvalidTxnStateException"
    heir = transactional(java, name)
    heir.begin(topic, "kept")
    heir.commit()
    eventually(lambda: read_all(java, topic), ["kept"])


@pytest.mark.capability("transactions: timeout")
def test_timeout_above_the_brokers(java: Java) -> None:
    with pytest.raises(JavaError) as caught:
        transactional(java, transaction_timeout_ms="900001")
    assert "transaction.max.timeout.ms" in str(caught.value), caught.value


@pytest.mark.capability("transactions: errors")
def test_transaction_goes_on_after_a_refused_record(java: Java) -> None:
    """What the broker refuses makes the transaction one that can only be aborted."""
    topic = java.create_topic(max_message_bytes="1000")
    producer = transactional(java)
    producer.begin(topic, "lost")
    answer = producer.send({"topic": topic, "partition": 0, "value": "x" * 5000})[0]
    assert answer["error"]["class"] == "RecordTooLargeException"
    with pytest.raises(JavaError):
        producer.commit()
    producer.abort()
    producer.begin(topic, "kept")
    producer.commit()
    eventually(lambda: read_all(java, topic), ["kept"])


@pytest.mark.capability("transactions: isolation level")
def test_offsets_by_isolation_level(java: Java) -> None:
    topic = java.create_topic()
    producer = transactional(java)
    producer.begin(topic, "a", "b")
    for config, end in (({}, 2), (COMMITTED, 0)):
        consumer = java.consumer(**config)
        consumer.assign((topic, 0))
        assert consumer.do("end_offsets", partitions=[(topic, 0)]) == {f"{topic}:0": end}
        consumer.do("seek_to_end", partitions=[(topic, 0)])
        assert consumer.do("position", partition=(topic, 0)) == end
    producer.commit()
    consumer = java.consumer(**COMMITTED)
    eventually(lambda: consumer.do("end_offsets", partitions=[(topic, 0)]), {f"{topic}:0": 3})


# The Admin client


@pytest.mark.capability("admin: transactions")
def test_describe_transactions(java: Java) -> None:
    topic, name, missing = java.create_topic(partitions=2), java.fresh_name("txn"), java.fresh_name("txn")
    producer = transactional(java, name, transaction_timeout_ms="12345")
    producer.do("begin")
    producer.send(*({"topic": topic, "partition": p, "value": "v"} for p in (0, 1)))
    described = java.admin("describe_transactions", ids=[name, missing])
    assert described[missing]["error"]["class"] == "TransactionalIdNotFoundException"
    entry = described[name]
    assert (entry["coordinator"], entry["state"], entry["epoch"]) == (1, "Ongoing", 0)
    assert (entry["timeout_ms"], entry["started"]) == (12345, True)
    assert entry["partitions"] == [[topic, 0], [topic, 1]]
    producer.commit()
    eventually(lambda: java.admin("describe_transactions", ids=[name])[name]["state"], "CompleteCommit")
    after = java.admin("describe_transactions", ids=[name])[name]
    assert (after["producer_id"], after["epoch"], after["partitions"]) == (entry["producer_id"], 1, [])


@pytest.mark.capability("admin: transactions")
def test_list_transactions_with_filters(java: Java) -> None:
    topic, name = java.create_topic(), java.fresh_name("listed")
    open_one, idle = transactional(java, f"{name}-open"), transactional(java, f"{name}-idle")
    open_one.begin(topic, "v")
    both = {f"{name}-open": "Ongoing", f"{name}-idle": "Empty"}

    def listed(**filters: Any) -> Any:
        found = java.admin("list_transactions", **filters)
        return {key: state for key, state in found.items() if key.startswith(name)}

    producer_id = java.admin("describe_transactions", ids=[f"{name}-idle"])[f"{name}-idle"]["producer_id"]
    assert listed() == both
    assert listed(states=["Ongoing"]) == {f"{name}-open": "Ongoing"}
    assert listed(states=["Ongoing", "Empty"]) == both
    assert listed(producer_ids=[producer_id]) == {f"{name}-idle": "Empty"}
    assert listed(pattern=f"{name}-o.*") == {f"{name}-open": "Ongoing"}
    assert f"{name}-open" not in listed(duration_ms=600000)
    with pytest.raises(JavaError) as caught:
        listed(pattern="(")
    assert caught.value.kind == "InvalidRegularExpression"
    open_one.abort()
    idle.close()


@pytest.fixture
def opened(java: Java) -> Callable[[Producer, str], dict[str, Any]]:
    """Opens a transaction and gives what the partition knows of its producer."""

    def run(producer: Producer, topic: str) -> dict[str, Any]:
        producer.begin(topic, "hanging")
        (known,) = java.admin("describe_producers", partitions=[(topic, 0)])[f"{topic}:0"]
        return dict(known)

    return run


@pytest.mark.capability("admin: transactions")
def test_describe_producers(java: Java, opened: Callable[[Producer, str], dict[str, Any]]) -> None:
    topic = java.create_topic()
    producer = transactional(java)
    known = opened(producer, topic)
    assert (known["epoch"], known["sequence"], known["transaction_start"]) == (0, 0, 0)
    producer.commit()

    def after() -> tuple[Any, ...]:
        (known,) = java.admin("describe_producers", partitions=[(topic, 0)])[f"{topic}:0"]
        return known["epoch"], known["transaction_start"], known["coordinator_epoch"]

    eventually(after, (1, None, 0))


@pytest.mark.capability("admin: transactions")
def test_abort_transaction(java: Java, opened: Callable[[Producer, str], dict[str, Any]]) -> None:
    """As an operator does with one that hangs: its markers are written without its coordinator."""
    topic = java.create_topic()
    known = opened(transactional(java), topic)
    java.producer().send_values(topic, "behind", partition=0)
    eventually(lambda: read_all(java, topic), [])
    java.admin(
        "abort_transaction", partition=(topic, 0), producer_id=known["id"], epoch=known["epoch"], coordinator_epoch=0
    )
    eventually(lambda: read_all(java, topic), ["behind"])
    producers = java.admin("describe_producers", partitions=[(topic, 0)])[f"{topic}:0"]
    assert [p["transaction_start"] for p in producers] == [None, None]


@pytest.mark.capability("tools")
def test_transactions_tool(java: Java, opened: Callable[[Producer, str], dict[str, Any]]) -> None:
    topic, name = java.create_topic(), java.fresh_name("txn")
    producer = transactional(java, name)
    known = opened(producer, topic)

    def tool(*arguments: str) -> list[list[str]]:
        result = java.tool("TransactionsCommand", "--bootstrap-server", java.bootstrap, *arguments)
        return [line.split("\t") for line in result.out.splitlines()[1:]]

    def fields(*arguments: str) -> list[list[str]]:
        return [[cell.strip() for cell in line if cell.strip()] for line in tool(*arguments)]

    (listed,) = [line for line in fields("list") if line[0] == name]
    assert listed[2:] == [str(known["id"]), "Ongoing"]
    (described,) = fields("describe", "--transactional-id", name)
    assert described[1:5] == [name, str(known["id"]), "0", "Ongoing"]
    (partition,) = fields("describe-producers", "--topic", topic, "--partition", "0")
    assert partition[:2] == [str(known["id"]), "0"]
    assert fields("find-hanging", "--broker-id", "1", "--max-transaction-timeout", "15") == []
    tool("abort", "--topic", topic, "--partition", "0", "--start-offset", "0")
    assert java.admin("describe_producers", partitions=[(topic, 0)])[f"{topic}:0"][0]["transaction_start"] is None


@pytest.mark.capability("over TLS")
def test_transactions_over_tls(java_tls: Java) -> None:
    topic = java_tls.create_topic()
    assert transactional(java_tls).do("transactions", topic=topic, count=4, records=5, abort_every=2) == 10
    eventually(lambda: read_all(java_tls, topic), [str(number) for number in range(10)])
