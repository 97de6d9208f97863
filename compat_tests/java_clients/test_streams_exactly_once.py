"""Kafka Streams with exactly_once_v2: a thread that dies halfway leaves nothing twice and nothing out."""

from pathlib import Path

import pytest

from compat_tests.java_clients.clients import Java

pytestmark = pytest.mark.client("Streams")


@pytest.mark.long_on_kafka
@pytest.mark.capability("word count, exactly once")
def test_a_failure_halfway_counts_nothing_twice(java_unchecked: Java, tmp_path: Path) -> None:
    java = java_unchecked
    lines, words = java.create_topic("lines"), java.create_topic("words")
    producer = java.producer()
    producer.send_values(lines, *("tick" for _ in range(20)), partition=0)
    running = java.start_streams(
        lines,
        words,
        fail_on="explode",
        application_id=java.fresh_name("wordcount"),
        state_dir=str(tmp_path / "state"),
        commit_interval_ms="100",
        statestore_cache_max_bytes="0",
        processing_guarantee="exactly_once_v2",
        replication_factor="1",
        # The thread that dies does not leave the group: its session has to run out.
        **{"consumer.auto.offset.reset": "earliest", "session.timeout.ms": "6000", "heartbeat.interval.ms": "300"},
    )
    reader = java.consumer(isolation_level="read_committed")
    reader.assign((words, 0))
    assert [record["value"] for record in reader.poll(20)] == [str(count) for count in range(1, 21)]
    producer.send_values(lines, "tick tick tick explode tick", "tick", partition=0)
    seen: dict[str, list[int]] = {}
    for record in reader.poll(6, timeout_ms=30000):
        seen.setdefault(record["key"], []).append(int(record["value"]))
    assert seen == {"tick": [21, 22, 23, 24, 25], "explode": [1]}
    assert java.close_streams(running)
    # What the thread that died had sent is in the topic, aborted: only who reads everything sees it.
    everything = java.consumer()
    everything.assign((words, 0))
    assert len(everything.poll(26)) == 26
