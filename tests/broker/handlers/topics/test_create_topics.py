"""CreateTopics: every refusal measured on Kafka, with its words."""

from __future__ import annotations

from typing import Any

import pytest

from broker.handlers.topics.create_topics import create_topics
from kwire.messages.create_topics import (
    CreatableReplicaAssignment,
    CreatableTopic,
    CreatableTopicConfig,
    CreatableTopicResult,
    CreateTopicsRequest,
)
from tests.broker.handlers.admin_world import AdminWorld


def new(
    name: str,
    partitions: int = 1,
    factor: int = 1,
    configs: dict[str, str | None] | None = None,
    assignments: list[tuple[int, list[int]]] | None = None,
) -> CreatableTopic:
    return CreatableTopic(
        name=name,
        num_partitions=partitions,
        replication_factor=factor,
        assignments=[CreatableReplicaAssignment(partition_index=i, broker_ids=b) for i, b in assignments or []],
        configs=[CreatableTopicConfig(name=k, value=v) for k, v in (configs or {}).items()],
    )


def ask(world: AdminWorld, *topics: CreatableTopic, version: int = 7, **flags: Any) -> list[CreatableTopicResult]:
    request = CreateTopicsRequest(topics=list(topics), **flags)
    return world.call(create_topics, request, version).topics  # type: ignore[no-any-return]


NAME = "Topic name is invalid: "
MANUAL = "The manual partition assignment includes "

REFUSALS = {
    "exists": (new("here"), 36, "Topic 'here' already exists."),
    "no partitions": (new("t", 0), 37, "Number of partitions was set to an invalid non-positive value."),
    "partitions -2": (new("t", -2), 37, "Number of partitions was set to an invalid non-positive value."),
    "factor 0": (
        new("t", 1, 0),
        38,
        "Replication factor must be larger than 0, or -1 to use the default value.",
    ),
    "factor too high": (
        new("t", 1, 3),
        38,
        "Unable to replicate the partition 3 time(s): The target replication factor of 3 cannot be reached because "
        "only 1 broker(s) are registered or some brokers have all their log directories cordoned.",
    ),
    "empty name": (new(""), 17, NAME + "the empty string is not allowed"),
    "dot": (new("."), 17, NAME + "'.' is not allowed"),
    "two dots": (new(".."), 17, NAME + "'..' is not allowed"),
    "blank": (
        new("bad name"),
        17,
        NAME + "'bad name' contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'",
    ),
    "long": (
        new("x" * 250),
        17,
        NAME + f"the length of '{'x' * 250}' is longer than the max allowed length 249",
    ),
    "collision": (new("co_l"), 17, "Topic 'co_l' collides with existing topic: co.l"),
    "unknown config": (new("t", configs={"foo": "bar"}), 40, "Unknown topic config name: foo"),
    "bad config": (
        new("t", configs={"retention.ms": "abc"}),
        40,
        "Invalid value abc for configuration retention.ms: Not a number of type LONG",
    ),
    "config before numbers": (new("t", 0, 0, configs={"foo": "x"}), 40, "Unknown topic config name: foo"),
    "null config": (
        new("t", configs={"retention.ms": None, "flush.ms": None}),
        40,
        "Null value not supported for topic configs: retention.ms,flush.ms",
    ),
    "gap": (
        new("t", -1, -1, assignments=[(0, [1]), (2, [1])]),
        39,
        "partitions should be a consecutive 0-based integer sequence",
    ),
    "unknown broker": (
        new("t", -1, -1, assignments=[(0, [9])]),
        39,
        MANUAL + "broker 9, but no such broker is registered.",
    ),
    "no replicas": (new("t", -1, -1, assignments=[(0, [])]), 39, MANUAL + "an empty replica list."),
    "replica twice": (
        new("t", -1, -1, assignments=[(0, [1, 1])]),
        39,
        MANUAL + "the broker 1 more than once.",
    ),
    "partition twice": (
        new("t", -1, -1, assignments=[(0, [1]), (0, [1])]),
        39,
        "Found multiple manual partition assignments for partition 0",
    ),
    "manual and factor": (
        new("t", -1, 1, assignments=[(0, [1])]),
        42,
        "A manual partition assignment was specified, but replication factor was not set to -1.",
    ),
    "manual and number": (
        new("t", 1, -1, assignments=[(0, [1])]),
        42,
        "A manual partition assignment was specified, but numPartitions was not set to -1.",
    ),
    "metadata log": (
        new("__cluster_metadata"),
        42,
        "Creation of internal topic __cluster_metadata is prohibited.",
    ),
    "too many records": (new("t", 10_000), 44, "Unable to perform excessively large batch operation."),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_refusals(case: str) -> None:
    world = AdminWorld()
    ask(world, new("here"), new("co.l"))
    end = world.log.end_offset
    topic, code, message = REFUSALS[case]
    (result,) = ask(world, topic)
    assert (result.name, result.error_code, result.error_message) == (topic.name, code, message)
    assert (result.topic_id, result.num_partitions, result.replication_factor) == (bytes(16), -1, -1)
    assert result.configs == []
    assert world.log.end_offset == end


@pytest.mark.parametrize("version", range(2, 8))
def test_defaults_in_every_version(version: int) -> None:
    world = AdminWorld()
    (result,) = ask(world, new("t", -1, -1, {"retention.ms": "5"}), version=version)
    assert (result.error_code, result.error_message) == (0, None)
    topic = world.controller.image.topic_by_name("t")
    assert topic is not None
    assert len(topic.partitions) == 4
    assert result.topic_id == (topic.topic_id if version >= 7 else bytes(16))
    if version >= 5:
        assert (result.num_partitions, result.replication_factor) == (4, 1)
        configs = {c.name: (c.value, c.config_source) for c in result.configs or ()}
        assert configs["retention.ms"] == ("5", 1)
        assert configs["cleanup.policy"] == ("delete", 5)


def test_manual_assignment() -> None:
    world = AdminWorld(nodes=3)
    (result,) = ask(world, new("t", -1, -1, assignments=[(1, [3, 1]), (0, [2, 3])]))
    assert (result.error_code, result.num_partitions, result.replication_factor) == (0, 2, 2)
    topic = world.controller.image.topic_by_name("t")
    assert topic is not None
    assert [(p.replicas, p.leader) for p in topic.partitions] == [((2, 3), 2), ((3, 1), 3)]


def test_inconsistent_manual_assignment() -> None:
    world = AdminWorld(nodes=3)
    (result,) = ask(world, new("t", -1, -1, assignments=[(0, [1]), (1, [1, 2])]))
    assert result.error_code == 39
    assert result.error_message == MANUAL.removesuffix("includes ") + (
        "includes a partition with 2 replica(s), but this is not consistent with previous partitions, which have 1 "
        "replica(s)."
    )


def test_validate_only_gives_an_id_and_makes_nothing() -> None:
    world = AdminWorld()
    (result,) = ask(world, new("t"), validate_only=True)
    assert result.error_code == 0
    assert result.topic_id != bytes(16)
    assert world.controller.image.topic_by_name("t") is None


def test_a_name_twice_is_refused_once_and_after_the_others() -> None:
    world = AdminWorld()
    results = ask(world, new("q"), new("q"), new("r"))
    assert [(r.name, r.error_code, r.error_message) for r in results] == [
        ("r", 0, None),
        ("q", 42, "Duplicate topic name."),
    ]


def test_names_that_collide_within_a_request_are_both_created() -> None:
    world = AdminWorld()
    assert [r.error_code for r in ask(world, new("co.l"), new("co_l"))] == [0, 0]


@pytest.mark.parametrize("timeout_ms", [0, -1])
def test_no_time_no_topic(timeout_ms: int) -> None:
    world = AdminWorld()
    results = ask(world, new("d"), new("d"), new("e"), timeout_ms=timeout_ms)
    assert [(r.name, r.error_code, r.error_message) for r in results] == [
        ("d", 7, None),
        ("d", 7, None),
        ("e", 7, None),
    ]
    assert world.controller.image.topic_by_name("e") is None


def test_bounds_of_a_request() -> None:
    world = AdminWorld()
    assert [r.error_code for r in ask(world, new("t", 9999), validate_only=True)] == [0]
    results = ask(world, new("q", 9000), new("r", 1000), validate_only=True)
    assert {(r.error_code, r.error_message) for r in results} == {
        (44, "Unable to perform excessively large batch operation.")
    }
    results = ask(world, new("q", 9999), new("r", -1, -1), validate_only=True)
    assert {(r.error_code, r.error_message) for r in results} == {
        (44, "Excessively large number of partitions per request.")
    }
