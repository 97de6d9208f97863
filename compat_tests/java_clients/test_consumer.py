"""KafkaConsumer without groups: positions, times, wakeups, pauses, isolation."""

from typing import Any

import pytest

from compat_tests.java_clients.clients import Java
from compat_tests.java_clients.jvm import JavaError

pytestmark = pytest.mark.client("Java clients")


@pytest.fixture
def filled(java: Java) -> str:
    """A topic with values 0..99 in partition 0, ten a batch, timestamps 1_000_000 + 10 * value."""
    # Of 1970: retention must not come in between.
    topic = java.create_topic(partitions=2, retention_ms="-1")
    producer = java.producer(linger_ms="100")
    for start in range(0, 100, 10):
        producer.send(
            *(
                {"topic": topic, "partition": 0, "value": str(i), "timestamp": 1_000_000 + 10 * i}
                for i in range(start, start + 10)
            )
        )
    return topic


@pytest.mark.capability("consume: from any position")
def test_seek(java: Java, filled: str) -> None:
    consumer = java.consumer()
    consumer.assign((filled, 0))
    consumer.do("seek", partition=(filled, 0), offset=95)
    assert consumer.values(5) == ["95", "96", "97", "98", "99"]
    assert consumer.do("position", partition=(filled, 0)) == 100
    assert consumer.do("lag", partition=(filled, 0)) == 0
    consumer.do("seek_to_beginning", partitions=[(filled, 0)])
    assert consumer.values(100) == [str(i) for i in range(100)]
    consumer.do("seek_to_end", partitions=[(filled, 0)])
    assert consumer.do("position", partition=(filled, 0)) == 100
    assert consumer.values(1, timeout_ms=300) == []


@pytest.mark.capability("consume: from any position")
@pytest.mark.parametrize("offset", [3, 15, 27])
def test_seek_into_a_batch(java: Java, filled: str, offset: int) -> None:
    consumer = java.consumer(max_poll_records="1")
    consumer.assign((filled, 0))
    consumer.do("seek", partition=(filled, 0), offset=offset)
    assert consumer.values(1) == [str(offset)]


@pytest.mark.capability("consume: from any position")
def test_out_of_range_resets(java: Java, filled: str) -> None:
    for reset, expected in (("earliest", "0"), ("none", None)):
        consumer = java.consumer(auto_offset_reset=reset)
        consumer.assign((filled, 0))
        consumer.do("seek", partition=(filled, 0), offset=5000)
        if expected is None:
            with pytest.raises(JavaError) as caught:
                consumer.values(1)
            assert caught.value.kind == "OffsetOutOfRangeException"
        else:
            assert consumer.values(1)[0] == expected


@pytest.mark.capability("consume: by time")
def test_offsets_for_times(java: Java, filled: str) -> None:
    consumer = java.consumer()

    def ask(time: int) -> Any:
        return consumer.do("offsets_for_times", times=[(filled, 0, time)])

    assert ask(1_000_000) == {f"{filled}:0": [0, 1_000_000]}
    assert ask(1_000_445) == {f"{filled}:0": [45, 1_000_450]}
    assert ask(1_000_990) == {f"{filled}:0": [99, 1_000_990]}
    assert ask(1_000_991) == {f"{filled}:0": None}
    assert consumer.do("offsets_for_times", times=[(filled, 1, 0)]) == {f"{filled}:1": None}
    partitions = [(filled, 0), (filled, 1)]
    assert consumer.do("beginning_offsets", partitions=partitions) == {f"{filled}:0": 0, f"{filled}:1": 0}
    assert consumer.do("end_offsets", partitions=partitions) == {f"{filled}:0": 100, f"{filled}:1": 0}


@pytest.mark.capability("consume: by time")
def test_start_a_duration_ago(java: Java) -> None:
    topic = java.create_topic()
    java.producer().send_values(topic, "a", "b")
    consumer = java.consumer(auto_offset_reset="by_duration:PT1H")
    consumer.assign((topic, 0))
    assert consumer.values(2) == ["a", "b"]


@pytest.mark.capability("consume: pause and resume")
def test_pause(java: Java) -> None:
    topic = java.create_topic(partitions=2)
    producer = java.producer()
    producer.send_values(topic, "a0", "a1", partition=0)
    producer.send_values(topic, "b0", "b1", partition=1)
    consumer = java.consumer()
    consumer.assign((topic, 0), (topic, 1))
    consumer.do("pause", partitions=[(topic, 0)])
    assert consumer.values(4, timeout_ms=700) == ["b0", "b1"]
    consumer.do("resume", partitions=[(topic, 0)])
    assert consumer.values(2) == ["a0", "a1"]


@pytest.mark.capability("consume: wake-up")
def test_wakeup_ends_a_long_poll(java: Java) -> None:
    topic = java.create_topic()
    consumer = java.consumer(fetch_max_wait_ms="1000")
    consumer.assign((topic, 0))
    polling = consumer.start("poll", count=1, timeout_ms=30000)
    consumer.wakeup()
    with pytest.raises(JavaError) as caught:
        polling.result(10)
    assert caught.value.kind == "WakeupException"
    java.producer().send_values(topic, "after")
    assert consumer.values(1) == ["after"]


@pytest.mark.capability("consume: long poll")
def test_a_waiting_fetch_gets_what_arrives(java: Java) -> None:
    topic = java.create_topic()
    consumer = java.consumer(fetch_max_wait_ms="2000")
    consumer.assign((topic, 0))
    polling = consumer.start("poll", count=3, timeout_ms=20000)
    producer = java.producer(linger_ms="0")
    for value in ("x", "y", "z"):
        producer.send_values(topic, value)
    assert [record["value"] for record in polling.result(15)] == ["x", "y", "z"]


@pytest.mark.capability("consume: fetch sizes")
def test_small_fetches_of_large_records(java: Java) -> None:
    topic = java.create_topic(partitions=3)
    producer = java.producer(linger_ms="0")
    for partition in range(3):
        producer.send_values(topic, *("v" * 20_000 for _ in range(5)), partition=partition)
    consumer = java.consumer(max_partition_fetch_bytes="1000", fetch_max_bytes="3000")
    consumer.assign(*((topic, partition) for partition in range(3)))
    assert len(consumer.values(15)) == 15


@pytest.mark.capability("consume: isolation")
def test_read_committed_sees_plain_records(java: Java) -> None:
    topic = java.create_topic()
    java.producer().send_values(topic, "a", "b")
    consumer = java.consumer(isolation_level="read_committed")
    consumer.assign((topic, 0))
    assert consumer.values(2) == ["a", "b"]


@pytest.mark.capability("consume: checks")
def test_crc_is_checked_by_the_consumer(java: Java) -> None:
    topic = java.create_topic()
    java.producer(compression_type="gzip").send_many(topic, "v", 100, size=100).result(20)
    consumer = java.consumer(check_crcs="true")
    consumer.assign((topic, 0))
    assert len(consumer.values(100)) == 100


@pytest.mark.capability("topics: listing")
def test_list_topics(java: Java) -> None:
    topic = java.create_topic()
    assert topic in java.consumer().do("topics")


@pytest.mark.capability("topics: listing")
def test_unknown_topic_without_automatic_creation(java: Java) -> None:
    consumer = java.consumer(allow_auto_create_topics="false", default_api_timeout_ms="1500")
    with pytest.raises(JavaError) as caught:
        consumer.do("end_offsets", partitions=[(java.fresh_name("unknown"), 0)])
    assert caught.value.kind == "TimeoutException"


@pytest.mark.capability("records: deletion")
def test_consumer_moves_past_deleted_records(java: Java, filled: str) -> None:
    consumer = java.consumer()
    consumer.assign((filled, 0))
    assert java.admin("delete_records", before=[(filled, 0, 42)]) == {f"{filled}:0": 42}
    assert consumer.values(1)[0] == "42"
    assert consumer.do("beginning_offsets", partitions=[(filled, 0)]) == {f"{filled}:0": 42}
