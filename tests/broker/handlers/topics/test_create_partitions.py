"""CreatePartitions, as measured on Kafka."""

from __future__ import annotations

import pytest

from broker.controller.controller import NewTopic
from broker.handlers.topics.create_partitions import create_partitions
from kwire.messages.create_partitions import (
    CreatePartitionsAssignment,
    CreatePartitionsRequest,
    CreatePartitionsTopic,
)
from tests.broker.controller.controller_world import run
from tests.broker.handlers.admin_world import AdminWorld

Wanted = tuple[str, int, list[list[int]] | None]
MANUAL = "The manual partition assignment includes "


def ask(
    world: AdminWorld, *topics: Wanted, version: int = 3, validate_only: bool = False, timeout_ms: int = 1000
) -> list[tuple[str, int, str | None]]:
    request = CreatePartitionsRequest(
        topics=[
            CreatePartitionsTopic(
                name=name,
                count=count,
                assignments=None if replicas is None else [CreatePartitionsAssignment(broker_ids=b) for b in replicas],
            )
            for name, count, replicas in topics
        ],
        timeout_ms=timeout_ms,
        validate_only=validate_only,
    )
    results = world.call(create_partitions, request, version).results
    return [(r.name, r.error_code, r.error_message) for r in results]


@pytest.fixture
def world() -> AdminWorld:
    made = AdminWorld()
    run(made.controller.create_topics([NewTopic("c", 4, 1)]))
    return made


def count(world: AdminWorld) -> int:
    topic = world.controller.image.topic_by_name("c")
    assert topic is not None
    return len(topic.partitions)


@pytest.mark.parametrize(
    ("wanted", "code", "message"),
    [
        (("c", 4, None), 37, "Topic already has 4 partition(s)."),
        (("c", 4, []), 37, "Topic already has 4 partition(s)."),
        (("c", 3, None), 37, "The topic c currently has 4 partition(s); 3 would not be an increase."),
        (("c", 0, None), 37, "The topic c currently has 4 partition(s); 0 would not be an increase."),
        (("c", -1, None), 37, "The topic c currently has 4 partition(s); -1 would not be an increase."),
        (("nope", 4, None), 3, None),
        (("bad name", 4, None), 3, None),
        (
            ("c", 6, [[1]]),
            39,
            "Attempted to add 2 additional partition(s), but only 1 assignment(s) were specified.",
        ),
        (("c", 5, [[9]]), 39, MANUAL + "broker 9, but no such broker is registered."),
        (("c", 5, [[1, 1]]), 39, MANUAL + "the broker 1 more than once."),
        (("c", 5, [[]]), 39, MANUAL + "an empty replica list."),
        (("c", 20_000, None), -1, None),
    ],
)
def test_refusals(world: AdminWorld, wanted: Wanted, code: int, message: str | None) -> None:
    end = world.log.end_offset
    assert ask(world, wanted) == [(wanted[0], code, message)]
    assert world.log.end_offset == end


@pytest.mark.parametrize("version", range(4))
def test_more_partitions(world: AdminWorld, version: int) -> None:
    assert ask(world, ("c", 6, None), version=version) == [("c", 0, None)]
    assert count(world) == 6


def test_by_hand(world: AdminWorld) -> None:
    assert ask(world, ("c", 5, [[1]])) == [("c", 0, None)]
    assert count(world) == 5


def test_validate_only(world: AdminWorld) -> None:
    assert ask(world, ("c", 10_004, None), validate_only=True) == [("c", 0, None)]
    assert count(world) == 4


def test_twice(world: AdminWorld) -> None:
    assert ask(world, ("c", 5, None), ("nope", 6, None), ("c", 6, None)) == [
        ("c", 42, "Duplicate topic name."),
        ("nope", 3, None),
    ]
    assert count(world) == 4


def test_no_time(world: AdminWorld) -> None:
    assert ask(world, ("c", 5, None), timeout_ms=0) == [("c", 7, None)]
    assert count(world) == 4
