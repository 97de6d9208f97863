"""A Kafka Streams word count (at least once): internal topics, changelog, restart, two instances."""

from pathlib import Path

import pytest

from compat_tests.java_clients.clients import Consumer, Java

pytestmark = pytest.mark.client("Streams")


def counts(consumer: Consumer, wanted: dict[str, int], timeout_ms: int = 20000) -> dict[str, int]:
    """The latest count of each word, once the wanted ones are seen or the time is over."""
    latest: dict[str, int] = {}
    for _ in range(timeout_ms // 500):
        for record in consumer.poll(1, timeout_ms=500):
            latest[record["key"]] = int(record["value"])
        if {word: latest.get(word) for word in wanted} == wanted:
            break
    return latest


@pytest.mark.capability("word count, at least once")
def test_word_count(java: Java, tmp_path: Path) -> None:
    lines, words = java.create_topic("lines", partitions=2), java.create_topic("words")
    application = java.fresh_name("wordcount")
    settings = {
        "application_id": application,
        "state_dir": str(tmp_path / "state"),
        "commit_interval_ms": "100",
        "statestore_cache_max_bytes": "0",
        "consumer.auto.offset.reset": "earliest",
        "replication_factor": "1",
    }
    producer = java.producer()
    producer.send_values(lines, "all streams lead to kafka", "hello kafka streams", partition=0)
    running = java.start_streams(lines, words, **settings)
    producer.send_values(lines, "join kafka summit", partition=1)
    reader = java.consumer()
    reader.assign((words, 0))
    first = {"kafka": 3, "streams": 2, "summit": 1, "hello": 1}
    assert counts(reader, first).items() >= first.items()
    topics = java.admin("list_topics")
    assert f"{application}-counts-changelog" in topics
    assert f"{application}-counts-repartition" in topics
    changelog = java.admin("describe_configs", resource=f"TOPIC:{application}-counts-changelog")
    assert changelog["cleanup.policy"]["value"] == "compact"
    assert java.close_streams(running)

    # The local state is gone; a new instance restores it from the changelog and goes on counting.
    running = java.start_streams(lines, words, **settings)
    producer.send_values(lines, "kafka again", partition=1)
    second = {"kafka": 4, "again": 1}
    assert counts(reader, second).items() >= second.items()
    assert java.close_streams(running)
    group = java.admin("describe_groups", groups=[application])[application]
    assert (group["state"], group["members"]) == ("Empty", [])


@pytest.mark.long
@pytest.mark.capability("word count, at least once")
def test_two_instances_share_the_work(java: Java, tmp_path: Path) -> None:
    lines, words = java.create_topic("lines", partitions=4), java.create_topic("words")
    settings = {
        "application_id": java.fresh_name("wordcount"),
        "commit_interval_ms": "100",
        "statestore_cache_max_bytes": "0",
        "consumer.auto.offset.reset": "earliest",
    }
    first = java.start_streams(lines, words, state_dir=str(tmp_path / "one"), **settings)
    second = java.start_streams(lines, words, state_dir=str(tmp_path / "two"), **settings)
    producer = java.producer()
    for partition in range(4):
        producer.send_values(lines, *("every word counts" for _ in range(25)), partition=partition)
    reader = java.consumer()
    reader.assign((words, 0))
    wanted = {"every": 100, "word": 100, "counts": 100}
    assert counts(reader, wanted).items() >= wanted.items()
    assert java.close_streams(first)
    producer.send_values(lines, "every", partition=0)
    assert counts(reader, {"every": 101}, timeout_ms=40000)["every"] == 101
    assert java.close_streams(second)
