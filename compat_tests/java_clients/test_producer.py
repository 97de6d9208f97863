"""KafkaProducer: acks, codecs, partitioners, idempotence, errors."""

import time

import pytest

from compat_tests.java_clients.clients import Java
from compat_tests.java_clients.jvm import JavaError

pytestmark = pytest.mark.client("Java clients")


@pytest.mark.capability("produce: acks")
@pytest.mark.parametrize("acks", ["0", "1", "all"])
def test_acks(java: Java, acks: str) -> None:
    topic = java.create_topic()
    producer = java.producer(acks=acks, enable_idempotence="true" if acks == "all" else "false")
    answers = producer.send_values(topic, "a", "b", "c")
    assert all("error" not in answer for answer in answers), answers
    if acks != "0":
        assert [answer["offset"] for answer in answers] == [0, 1, 2]
    consumer = java.consumer()
    consumer.assign((topic, 0))
    assert consumer.values(3) == ["a", "b", "c"]


@pytest.mark.capability("produce: codecs")
@pytest.mark.parametrize("codec", ["none", "gzip", "snappy", "lz4", "zstd"])
def test_codecs(java: Java, codec: str) -> None:
    topic = java.create_topic()
    producer = java.producer(compression_type=codec, linger_ms="50", batch_size="100000")
    sent = producer.send_many(topic, "value-", 2000, size=60).result(30)
    assert sent == {"acknowledged": 2000, "error": None}
    consumer = java.consumer()
    consumer.assign((topic, 0))
    assert [value.strip() for value in consumer.values(2000) if value] == [f"value-{i}" for i in range(2000)]


@pytest.mark.capability("produce: codecs")
@pytest.mark.parametrize("codec", ["uncompressed", "gzip", "lz4", "zstd", "snappy"])
def test_codec_of_the_topic(java: Java, codec: str) -> None:
    topic = java.create_topic(compression_type=codec)
    producer = java.producer(compression_type="none" if codec != "uncompressed" else "gzip", linger_ms="20")
    assert producer.send_many(topic, "v", 500, size=100).result(30)["acknowledged"] == 500
    consumer = java.consumer()
    consumer.assign((topic, 0))
    assert len(consumer.values(500)) == 500


@pytest.mark.capability("produce: keys, nulls, headers, timestamps")
def test_everything_of_a_record_comes_back(java: Java) -> None:
    topic = java.create_topic(partitions=2)
    producer = java.producer()
    headers = [["trace", "abc"], ["empty", ""], ["none", None], ["trace", "twice"]]
    sent = {"topic": topic, "partition": 1, "key": "k", "value": "v", "timestamp": 1_700_000_000_123}
    nothing = {"topic": topic, "partition": 1, "key": None, "value": None}
    answers = producer.send({**sent, "headers": headers}, nothing)
    assert answers[0] == {"partition": 1, "offset": 0, "timestamp": 1_700_000_000_123}
    consumer = java.consumer()
    consumer.assign((topic, 1))
    first, second = consumer.poll(2)
    assert (first["key"], first["value"], first["headers"]) == ("k", "v", headers)
    assert (first["timestamp"], first["timestamp_type"], first["leader_epoch"]) == (1_700_000_000_123, "CreateTime", 0)
    assert (second["key"], second["value"], second["headers"]) == (None, None, [])


@pytest.mark.capability("produce: keys, nulls, headers, timestamps")
def test_log_append_time(java: Java) -> None:
    topic = java.create_topic(message_timestamp_type="LogAppendTime")
    before = time.time() * 1000
    answer = java.producer().send({"topic": topic, "value": "v", "timestamp": 1000})[0]
    assert before - 1000 <= answer["timestamp"] <= time.time() * 1000 + 1000
    consumer = java.consumer()
    consumer.assign((topic, 0))
    record = consumer.poll(1)[0]
    assert (record["timestamp_type"], record["timestamp"]) == ("LogAppendTime", answer["timestamp"])


@pytest.mark.capability("produce: partitioners")
def test_keys_choose_the_partition(java: Java) -> None:
    topic = java.create_topic(partitions=4)
    producer = java.producer()
    assert producer.partitions(topic) == 4
    records = [{"topic": topic, "key": f"key-{i}", "value": "v"} for i in range(40)]
    first = [answer["partition"] for answer in producer.send(*records)]
    assert first == [answer["partition"] for answer in producer.send(*records)]
    assert set(first) == {0, 1, 2, 3}


@pytest.mark.capability("produce: partitioners")
def test_round_robin_partitioner(java: Java) -> None:
    topic = java.create_topic(partitions=4)
    producer = java.producer(partitioner_class="org.apache.kafka.clients.producer.RoundRobinPartitioner")
    answers = producer.send_values(topic, *(f"v{i}" for i in range(16)))
    assert {answer["partition"] for answer in answers} == {0, 1, 2, 3}


@pytest.mark.capability("produce: idempotent")
def test_idempotent_with_five_in_flight(java: Java) -> None:
    topic = java.create_topic()
    producer = java.producer(enable_idempotence="true", batch_size="200", max_in_flight_requests_per_connection="5")
    assert producer.send_many(topic, "", 3000).result(30)["acknowledged"] == 3000
    consumer = java.consumer()
    consumer.assign((topic, 0))
    assert consumer.values(3000) == [str(i) for i in range(3000)]
    described = java.admin("describe_producers", partitions=[(topic, 0)])[f"{topic}:0"]
    assert [(each["epoch"], each["sequence"]) for each in described] == [(0, 2999)]


@pytest.mark.capability("produce: errors")
def test_too_large_for_the_topic(java: Java) -> None:
    topic = java.create_topic(max_message_bytes="1000")
    small, large = java.producer(linger_ms="0").send(
        {"topic": topic, "value": "x" * 100}, {"topic": topic, "value": "x" * 5000}
    )
    assert large["error"]["class"] == "RecordTooLargeException"
    assert small["offset"] == 0


@pytest.mark.capability("produce: errors")
def test_record_without_key_on_a_compacted_topic(java: Java) -> None:
    topic = java.create_topic(cleanup_policy="compact")
    answer = java.producer().send({"topic": topic, "value": "v"})[0]
    assert answer["error"]["class"] == "InvalidRecordException"
    assert java.producer().send({"topic": topic, "key": "k", "value": "v"})[0]["offset"] == 0


@pytest.mark.capability("produce: errors")
def test_timestamp_outside_the_allowed_range(java: Java) -> None:
    topic = java.create_topic(message_timestamp_before_max_ms="1000")
    answer = java.producer().send({"topic": topic, "value": "v", "timestamp": 1000})[0]
    assert answer["error"]["class"] == "InvalidTimestampException"


@pytest.mark.capability("topics: automatic creation")
def test_topic_is_created_by_the_first_record(java: Java) -> None:
    topic = java.fresh_name("automatic")
    answer = java.producer().send_values(topic, "first")[0]
    assert answer["offset"] == 0
    assert len(java.admin("describe_topics", topics=[topic])[topic]["partitions"]) == 4


@pytest.mark.capability("produce: errors")
def test_invalid_topic_name(java: Java) -> None:
    answer = java.producer(max_block_ms="3000").send_values("not a topic!", "v")
    assert answer[0]["error"]["class"] == "InvalidTopicException"


@pytest.mark.capability("produce: throughput settings")
def test_large_batches_to_many_partitions(java: Java) -> None:
    topic = java.create_topic(partitions=12)
    producer = java.producer(linger_ms="20", batch_size="262144", compression_type="lz4")
    assert producer.send_many(topic, "v", 20000, size=200, keyed=True).result(60)["acknowledged"] == 20000
    ends = java.admin("list_offsets", specs=[(topic, p, "latest") for p in range(12)])
    assert sum(each["offset"] for each in ends.values()) == 20000


@pytest.mark.capability("over TLS")
def test_produce_and_consume_over_tls(java_tls: Java) -> None:
    topic = java_tls.create_topic(partitions=2)
    assert java_tls.producer().send_many(topic, "v", 1000, size=1000).result(30)["acknowledged"] == 1000
    consumer = java_tls.consumer(java_tls.fresh_name("group"))
    consumer.subscribe(topic)
    assert len(consumer.values(1000)) == 1000
    consumer.do("commit")


@pytest.mark.capability("over TLS")
def test_unknown_authority_is_refused(java_tls: Java) -> None:
    topic = java_tls.create_topic()
    del java_tls.security["ssl.truststore.location"], java_tls.security["ssl.truststore.type"]
    with pytest.raises(JavaError):
        raise_first_error(java_tls, topic)


def raise_first_error(java: Java, topic: str) -> None:
    """A producer that cannot connect reports it for the record."""
    answer = java.producer(max_block_ms="5000").send_values(topic, "v")[0]
    if "error" in answer:
        raise JavaError(answer["error"])
