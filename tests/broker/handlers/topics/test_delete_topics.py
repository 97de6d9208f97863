"""DeleteTopics, as measured on Kafka."""

from __future__ import annotations

from typing import Any

import pytest

from broker.controller.controller import NewTopic
from broker.handlers.topics.delete_topics import delete_topics
from kwire.messages.delete_topics import DeleteTopicsRequest, DeleteTopicState
from tests.broker.controller.controller_world import run
from tests.broker.handlers.admin_world import AdminWorld

UNKNOWN = b"?" * 16
NOT_HOSTED = "This server does not host this topic-partition."

Answer = tuple[str | None, bytes, int, str | None]


def ask(world: AdminWorld, *topics: tuple[str | None, bytes], timeout_ms: int = 1000) -> list[Answer]:
    request = DeleteTopicsRequest(
        topics=[DeleteTopicState(name=name, topic_id=topic_id) for name, topic_id in topics], timeout_ms=timeout_ms
    )
    responses = world.call(delete_topics, request, 6).responses
    return [(r.name, r.topic_id, r.error_code, r.error_message) for r in responses]


def create(world: AdminWorld, name: str) -> bytes:
    topic_id: bytes = run(world.controller.create_topics([NewTopic(name, 1, 1)]))[0].topic_id
    return topic_id


def by_name(name: str) -> tuple[str, bytes]:
    return name, bytes(16)


def by_id(topic_id: bytes) -> tuple[None, bytes]:
    return None, topic_id


@pytest.mark.parametrize("version", range(1, 7))
def test_by_name_in_every_version(version: int) -> None:
    world = AdminWorld()
    topic_id = create(world, "a")
    given: dict[str, Any] = (
        {"topics": [DeleteTopicState(name="a"), DeleteTopicState(name="nope")]}
        if version >= 6
        else {"topic_names": ["a", "nope"]}
    )
    responses = world.call(delete_topics, DeleteTopicsRequest(timeout_ms=1, **given), version).responses
    result = {r.name: r for r in responses}
    assert (result["a"].error_code, result["a"].error_message) == (0, None)
    assert result["a"].topic_id == (topic_id if version >= 6 else bytes(16))
    assert result["nope"].error_code == 3
    assert result["nope"].error_message == (NOT_HOSTED if version >= 5 else None)
    assert world.controller.image.topic_by_name("a") is None


def test_by_id() -> None:
    world = AdminWorld()
    topic_id = create(world, "a")
    assert ask(world, by_id(topic_id)) == [("a", topic_id, 0, None)]
    assert world.controller.image.topic_by_id(topic_id) is None


@pytest.mark.parametrize("name", ["nope", "bad name", "__cluster_metadata"])
def test_unknown_names(name: str) -> None:
    assert ask(AdminWorld(), by_name(name)) == [(name, bytes(16), 3, NOT_HOSTED)]


def test_unknown_id() -> None:
    assert ask(AdminWorld(), by_id(UNKNOWN)) == [(None, UNKNOWN, 100, "This server does not host this topic ID.")]


def test_neither_or_both() -> None:
    world = AdminWorld()
    assert ask(world, (None, bytes(16))) == [(None, bytes(16), 42, "Neither topic name nor id were specified.")]
    assert ask(world, ("a", UNKNOWN)) == [("a", UNKNOWN, 42, "You may not specify both topic name and topic id.")]


def test_twice() -> None:
    world = AdminWorld()
    topic_id = create(world, "a")
    assert ask(world, by_name("a"), by_name("a")) == [("a", bytes(16), 42, "Duplicate topic name.")]
    assert ask(world, by_id(topic_id), by_id(topic_id)) == [(None, topic_id, 42, "Duplicate topic id.")]
    message = "The provided topic name maps to an ID that was already supplied."
    assert ask(world, by_name("a"), by_id(topic_id)) == [("a", topic_id, 42, message)]
    assert world.controller.image.topic_by_name("a") is not None


def test_no_time() -> None:
    world = AdminWorld()
    create(world, "a")
    assert ask(world, by_name("a"), by_name("b"), by_name("b"), timeout_ms=0) == [
        ("a", bytes(16), 7, None),
        ("b", bytes(16), 7, None),
        ("b", bytes(16), 7, None),
    ]
    assert world.controller.image.topic_by_name("a") is not None
    # Nothing to do takes no time.
    assert [answer[2] for answer in ask(world, (None, bytes(16)), timeout_ms=0)] == [42]


def test_a_topic_made_again_has_another_id_and_no_configs() -> None:
    world = AdminWorld()
    first = run(world.controller.create_topics([NewTopic("a", 1, 1, configs=[("retention.ms", "5")])]))[0]
    ask(world, by_name("a"))
    second = create(world, "a")
    assert first.topic_id != second
    assert world.controller.image.configs(2, "a") == {}
