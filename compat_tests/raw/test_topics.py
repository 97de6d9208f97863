"""CreateTopics, DeleteTopics, CreatePartitions, DescribeTopicPartitions."""

import uuid
from typing import Any

import pytest

from compat_tests.raw.wire import NO_TOPIC_ID, Wire, eventually

UNKNOWN_BROKER = 77


def create(wire: Wire, *topics: dict[str, Any], version: int = 7, **more: Any) -> list[Any]:
    wanted = [{"num_partitions": 1, "replication_factor": 1} | topic for topic in topics]
    return list(wire.ask("CreateTopics", version, **{"topics": wanted, "timeout_ms": 10000} | more).topics)


def create_error(wire: Wire, version: int = 7, **topic: Any) -> int:
    (answer,) = create(wire, topic, version=version)
    return int(answer.error_code)


def assigned(*replicas: list[int], first: int = 0) -> dict[str, Any]:
    assignments = [{"partition_index": first + i, "broker_ids": r} for i, r in enumerate(replicas)]
    return {"num_partitions": -1, "replication_factor": -1, "assignments": assignments}


@pytest.mark.parametrize("version", range(2, 8))
def test_create_in_every_version(wire: Wire, topic: str, version: int) -> None:
    (answer,) = create(wire, {"name": topic, "num_partitions": 3}, version=version)
    assert (answer.name, answer.error_code, answer.error_message) == (topic, 0, None)
    if version >= 5:
        assert (answer.num_partitions, answer.replication_factor) == (3, 1)
        assert len(answer.configs) == 33
        assert answer.topic_config_error_code == 0
    if version >= 7:
        assert bytes(answer.topic_id) != NO_TOPIC_ID
    wire.wait_for_topic(topic, 3)


def test_create_existing(wire: Wire, topic: str) -> None:
    wire.create(topic)
    (answer,) = create(wire, {"name": topic})
    assert answer.error_code == 36
    assert answer.error_message == f"Topic '{topic}' already exists."
    assert bytes(answer.topic_id) == NO_TOPIC_ID


@pytest.mark.parametrize("version", [2, 4, 7])
def test_create_with_defaults(wire: Wire, topic: str, version: int) -> None:
    assert create_error(wire, version, name=topic, num_partitions=-1, replication_factor=-1) == 0
    found = eventually(lambda: wire.metadata(topic), lambda t: t.error_code == 0, "creation")
    assert len(found.partitions) == 4, "num.partitions"


@pytest.mark.parametrize("partitions", [0, -2])
def test_create_with_bad_partitions(wire: Wire, topic: str, partitions: int) -> None:
    assert create_error(wire, name=topic, num_partitions=partitions) == 37


@pytest.mark.parametrize("factor", [0, -2, 3])
def test_create_with_bad_replication_factor(wire: Wire, topic: str, factor: int) -> None:
    assert create_error(wire, name=topic, replication_factor=factor) == 38


@pytest.mark.parametrize("name", ["", ".", "..", "bad name", "a/b", "x" * 250])
def test_create_with_bad_name(wire: Wire, name: str) -> None:
    assert create_error(wire, name=name) == 17


def test_create_with_colliding_name(wire: Wire, topic: str) -> None:
    wire.create(f"{topic}.x")
    assert create_error(wire, name=f"{topic}_x") == 17


@pytest.mark.parametrize(
    ("key", "value"),
    [("no.such.config", "1"), ("retention.ms", "soon"), ("cleanup.policy", "none"), ("retention.ms", None)],
)
def test_create_with_bad_config(wire: Wire, topic: str, key: str, value: str | None) -> None:
    assert create_error(wire, name=topic, configs=[{"name": key, "value": value}]) == 40
    assert wire.metadata(topic).error_code == 3


def test_create_with_empty_cleanup_policy(wire: Wire, topic: str) -> None:
    assert create_error(wire, name=topic, configs=[{"name": "cleanup.policy", "value": ""}]) == 0


def test_create_answers_the_configs(wire: Wire, topic: str) -> None:
    (answer,) = create(wire, {"name": topic, "configs": [{"name": "retention.ms", "value": "1234"}]})
    configs = {c.name: c for c in answer.configs}
    assert list(configs) == sorted(configs)
    assert (configs["retention.ms"].value, configs["retention.ms"].config_source) == ("1234", 1)
    assert (configs["segment.bytes"].value, configs["segment.bytes"].config_source) == ("1073741824", 5)
    assert not any(c.read_only or c.is_sensitive for c in answer.configs)


def test_create_validate_only(wire: Wire, topic: str) -> None:
    (answer,) = create(wire, {"name": topic}, validate_only=True)
    assert answer.error_code == 0
    assert bytes(answer.topic_id) != NO_TOPIC_ID
    assert wire.metadata(topic).error_code == 3, "nothing is made"


@pytest.mark.parametrize(
    ("what", "topic_fields"),
    [
        ("gap", {"assignments": [{"partition_index": i, "broker_ids": [1]} for i in (0, 2)]}),
        ("unknown broker", assigned([UNKNOWN_BROKER])),
        ("no replica", assigned([])),
        ("repeated replica", assigned([1, 1])),
    ],
)
def test_create_with_bad_assignment(wire: Wire, topic: str, what: str, topic_fields: dict[str, Any]) -> None:
    fields = {"num_partitions": -1, "replication_factor": -1} | topic_fields
    assert create_error(wire, name=topic, **fields) == 39, what


def test_create_with_assignment_and_factor(wire: Wire, topic: str) -> None:
    assert create_error(wire, name=topic, **assigned([1]) | {"replication_factor": 1}) == 42


def test_create_with_assignment(wire: Wire, topic: str) -> None:
    assert create_error(wire, name=topic, **assigned([1], [1])) == 0
    wire.wait_for_topic(topic, 2)


def test_create_twice_in_a_request(wire: Wire, topic: str) -> None:
    answers = create(wire, {"name": topic}, {"name": topic})
    assert [(a.name, a.error_code) for a in answers] == [(topic, 42)]
    assert wire.metadata(topic).error_code == 3


@pytest.mark.parametrize("timeout_ms", [0, -1])
def test_create_without_time(wire: Wire, topic: str, timeout_ms: int) -> None:
    (answer,) = create(wire, {"name": topic}, timeout_ms=timeout_ms)
    assert answer.error_code == 7
    assert wire.metadata(topic).error_code == 3


def test_create_cluster_metadata(wire: Wire) -> None:
    assert create_error(wire, name="__cluster_metadata") == 42


def test_create_10000_partitions(wire: Wire, topic: str) -> None:
    assert create_error(wire, name=topic, num_partitions=10000) == 44


def test_create_up_to_9999_partitions_in_a_request(wire: Wire, topic: str) -> None:
    (answer,) = create(wire, {"name": topic, "num_partitions": 9999}, validate_only=True)
    assert answer.error_code == 0
    several = [{"name": f"{topic}-{i}", "num_partitions": 5000} for i in range(2)]
    assert [a.error_code for a in create(wire, *several, validate_only=True)] == [44, 44]


def test_create_good_and_bad_together(wire: Wire, topic: str) -> None:
    answers = create(wire, {"name": topic}, {"name": "bad name"}, {"name": f"{topic}-2", "num_partitions": 0})
    assert {a.name: a.error_code for a in answers} == {topic: 0, "bad name": 17, f"{topic}-2": 37}


# DeleteTopics


@pytest.mark.parametrize("version", range(1, 6))
def test_delete_by_name_in_every_version(wire: Wire, topic: str, version: int) -> None:
    wire.create(topic)
    answer = wire.ask("DeleteTopics", version, topic_names=[topic], timeout_ms=5000)
    assert [(t.name, t.error_code) for t in answer.responses] == [(topic, 0)]
    eventually(lambda: wire.metadata(topic), lambda t: t.error_code == 3, "deletion")


def delete(wire: Wire, *topics: dict[str, Any]) -> list[tuple[str | None, int]]:
    wanted = [{"name": None, "topic_id": NO_TOPIC_ID} | t for t in topics]
    answer = wire.ask("DeleteTopics", 6, topics=wanted, timeout_ms=5000)
    return [(t.name, t.error_code) for t in answer.responses]


def test_delete_by_name_or_id(wire: Wire, topic: str) -> None:
    topic_id, other = wire.create(topic), f"{topic}-b"
    wire.create(other)
    assert sorted(delete(wire, {"topic_id": topic_id}, {"name": other})) == [(topic, 0), (other, 0)]


@pytest.mark.parametrize("name", ["no-such-topic", "bad name"])
def test_delete_unknown_name(wire: Wire, name: str) -> None:
    assert delete(wire, {"name": name}) == [(name, 3)]


def test_delete_unknown_id(wire: Wire) -> None:
    assert delete(wire, {"topic_id": uuid.uuid4().bytes}) == [(None, 100)]


def test_delete_with_neither_or_both_of_name_and_id(wire: Wire, topic: str) -> None:
    topic_id = wire.create(topic)
    assert delete(wire, {}) == [(None, 42)]
    assert delete(wire, {"name": topic, "topic_id": topic_id}) == [(topic, 42)]
    assert wire.metadata(topic).error_code == 0


def test_delete_twice_in_a_request(wire: Wire, topic: str) -> None:
    wire.create(topic)
    assert delete(wire, {"name": topic}, {"name": topic}) == [(topic, 42)]
    assert wire.metadata(topic).error_code == 0


def test_topic_that_is_made_again_is_empty_and_has_another_id(wire: Wire, topic: str) -> None:
    first = wire.create(topic)
    wire.produce(topic)
    delete(wire, {"name": topic})
    eventually(lambda: wire.metadata(topic), lambda t: t.error_code == 3, "deletion")
    assert wire.create(topic) != first
    assert wire.start_and_end(topic) == (0, 0)


# CreatePartitions


def grow(wire: Wire, topic: str, count: int, assignments: list[list[int]] | None = None, version: int = 3) -> int:
    wanted = None if assignments is None else [{"broker_ids": ids} for ids in assignments]
    topics = [{"name": topic, "count": count, "assignments": wanted}]
    (answer,) = wire.ask("CreatePartitions", version, topics=topics, timeout_ms=5000, validate_only=False).results
    return int(answer.error_code)


@pytest.mark.parametrize("version", range(4))
def test_more_partitions_in_every_version(wire: Wire, topic: str, version: int) -> None:
    wire.create(topic)
    wire.produce(topic)
    assert grow(wire, topic, 3, version=version) == 0
    wire.wait_for_topic(topic, 3)
    assert wire.start_and_end(topic) == (0, 1), "what is there stays"
    assert wire.produce(topic, partition=2).error_code == 0


@pytest.mark.parametrize("count", [2, 1, 0, -1])
def test_partitions_not_more(wire: Wire, topic: str, count: int) -> None:
    wire.create(topic, partitions=2)
    assert grow(wire, topic, count) == 37


def test_partitions_of_an_unknown_topic(wire: Wire, topic: str) -> None:
    assert grow(wire, topic, 2) == 3


def test_partitions_with_assignments(wire: Wire, topic: str) -> None:
    wire.create(topic)
    assert grow(wire, topic, 3, [[1]]) == 39, "one assignment for two new partitions"
    assert grow(wire, topic, 2, [[UNKNOWN_BROKER]]) == 39
    assert grow(wire, topic, 3, [[1], [1]]) == 0


def test_partitions_twice_in_a_request(wire: Wire, topic: str) -> None:
    wire.create(topic)
    topics = [{"name": topic, "count": n, "assignments": None} for n in (2, 3)]
    answer = wire.ask("CreatePartitions", 3, topics=topics, timeout_ms=5000, validate_only=False)
    assert [(r.name, r.error_code) for r in answer.results] == [(topic, 42)]


def test_partitions_validate_only(wire: Wire, topic: str) -> None:
    wire.create(topic)
    topics = [{"name": topic, "count": 3, "assignments": None}]
    answer = wire.ask("CreatePartitions", 3, topics=topics, timeout_ms=5000, validate_only=True)
    assert answer.results[0].error_code == 0
    assert len(wire.metadata(topic).partitions) == 1


# DescribeTopicPartitions


def describe(wire: Wire, *names: str, **more: Any) -> Any:
    return wire.ask("DescribeTopicPartitions", 0, topics=[{"name": n} for n in names], **more)


def test_describe_topic_partitions(wire: Wire, topic: str) -> None:
    topic_id = wire.create(topic, partitions=3)
    answer = describe(wire, topic)
    (found,) = answer.topics
    assert (found.error_code, found.name, bytes(found.topic_id), found.is_internal) == (0, topic, topic_id, False)
    assert found.topic_authorized_operations == 3576, "always filled in, unlike Metadata's"
    described = [(p.error_code, p.partition_index, p.leader_id, p.leader_epoch, p.replica_nodes, p.isr_nodes,
                  p.eligible_leader_replicas, p.last_known_elr, p.offline_replicas)
                 for p in found.partitions]  # fmt: skip
    assert described == [(0, i, 1, 0, [1], [1], [], [], []) for i in range(3)]
    assert answer.next_cursor is None


@pytest.mark.parametrize(("limit", "shown"), [(2, 2), (0, 1), (1, 1)])
def test_describe_topic_partitions_in_pages(wire: Wire, topic: str, limit: int, shown: int) -> None:
    wire.create(topic, partitions=3)
    answer = describe(wire, topic, response_partition_limit=limit)
    assert [p.partition_index for p in answer.topics[0].partitions] == list(range(shown))
    cursor = answer.next_cursor
    assert (cursor.topic_name, cursor.partition_index) == (topic, shown)
    rest = describe(wire, topic, cursor={"topic_name": topic, "partition_index": shown})
    assert [p.partition_index for p in rest.topics[0].partitions] == list(range(shown, 3))


def test_describe_topic_partitions_sorts_topics(wire: Wire, topic: str) -> None:
    names = [f"{topic}-{x}" for x in "cab"]
    for name in names:
        wire.create(name)
    assert [t.name for t in describe(wire, *names).topics] == sorted(names)


def test_describe_topic_partitions_unknown_and_invalid(wire: Wire, topic: str) -> None:
    answer = describe(wire, topic, "bad name")
    assert {t.name: t.error_code for t in answer.topics} == {topic: 3, "bad name": 17}


def test_describe_topic_partitions_bad_cursor(wire: Wire, topic: str) -> None:
    """A negative partition index is refused. The answer has no error field of its own: all topics carry it."""
    wire.create(topic)
    answer = describe(wire, topic, cursor={"topic_name": topic, "partition_index": -1})
    assert [t.error_code for t in answer.topics] == [42]
