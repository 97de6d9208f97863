"""DescribeTopicPartitions: limits and cursors as measured on Kafka."""

from __future__ import annotations

import pytest

from broker.controller.controller import NewTopic
from broker.handlers.topics.describe_topic_partitions import describe_topic_partitions
from kwire.messages.describe_topic_partitions import (
    Cursor,
    DescribeTopicPartitionsRequest,
    DescribeTopicPartitionsResponse,
    TopicRequest,
)
from tests.broker.controller.controller_world import run
from tests.broker.handlers.admin_world import AdminWorld

Shown = list[tuple[str | None, int, list[int]]]
Place = tuple[str, int] | None


@pytest.fixture(scope="module")
def world() -> AdminWorld:
    made = AdminWorld()
    topics = [NewTopic("c", 4, 1), NewTopic("d", 1, 1), NewTopic("x1", 4, 1)]
    run(made.controller.create_topics(topics))
    return made


def ask(
    world: AdminWorld, names: list[str], limit: int = 2000, cursor: Place = None
) -> DescribeTopicPartitionsResponse:
    request = DescribeTopicPartitionsRequest(
        topics=[TopicRequest(name=name) for name in names],
        response_partition_limit=limit,
        cursor=Cursor(topic_name=cursor[0], partition_index=cursor[1]) if cursor else None,
    )
    return world.call(describe_topic_partitions, request, 0)  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("names", "limit", "cursor", "shown", "after"),
    [
        (["x1"], 2000, None, [("x1", 0, [0, 1, 2, 3])], None),
        (["x1", "x1"], 2000, None, [("x1", 0, [0, 1, 2, 3])], None),
        (["x1", "c"], 2, None, [("c", 0, [0, 1])], ("c", 2)),
        (["c", "x1"], 4, None, [("c", 0, [0, 1, 2, 3])], ("x1", 0)),
        (["c", "x1"], 0, None, [("c", 0, [0])], ("c", 1)),
        (["c", "x1"], 2, ("c", 2), [("c", 0, [2, 3])], ("x1", 0)),
        (["c", "x1"], 5, ("c", 7), [("c", 0, []), ("x1", 0, [0, 1, 2, 3])], None),
        ([], 5, None, [("c", 0, [0, 1, 2, 3]), ("d", 0, [0])], ("x1", 0)),
        ([], 9, ("cc", 3), [("d", 0, [0]), ("x1", 0, [0, 1, 2, 3])], None),
        (["zzz", "nope", "a b", "d"], 9, None, [("a b", 17, []), ("d", 0, [0]), ("nope", 3, []), ("zzz", 3, [])], None),
        (["nope", "c"], 4, None, [("c", 0, [0, 1, 2, 3])], ("nope", 0)),
        # A cursor outside what is asked for, or nonsense.
        (["c", "x1"], 2, ("zz", 2), [("c", 42, []), ("x1", 42, [])], None),
        (["c", "x1"], 2, ("cc", 0), [("c", 42, []), ("x1", 42, [])], None),
        (["c", "x1"], 2, ("c", -1), [("c", 42, []), ("x1", 42, [])], None),
        ([], 2, ("c", -1), [], None),
    ],
)  # fmt: skip
def test_pages(world: AdminWorld, names: list[str], limit: int, cursor: Place, shown: Shown, after: Place) -> None:
    response = ask(world, names, limit, cursor)
    assert [(t.name, t.error_code, [p.partition_index for p in t.partitions]) for t in response.topics] == shown
    following = response.next_cursor
    assert (following and (following.topic_name, following.partition_index)) == after
    for topic in response.topics:
        assert topic.topic_authorized_operations == (-(2**31) if topic.error_code == 42 else 3576)


def test_a_partition(world: AdminWorld) -> None:
    (topic,) = ask(world, ["d"]).topics
    (partition,) = topic.partitions
    assert (partition.leader_id, partition.leader_epoch, partition.replica_nodes, partition.isr_nodes) == (
        1,
        0,
        [1],
        [1],
    )
    assert (partition.eligible_leader_replicas, partition.last_known_elr, partition.offline_replicas) == ([], [], [])


def test_eligible_leaders_are_shown() -> None:
    world = AdminWorld(nodes=2)
    run(world.controller.create_topics([NewTopic("a", 1, 2, configs=[("min.insync.replicas", "2")])]))
    world.controller.fence_broker(1)
    (topic,) = ask(world, ["a"]).topics
    (partition,) = topic.partitions
    assert (partition.leader_id, partition.isr_nodes, partition.eligible_leader_replicas) == (2, [2], [1])
    assert partition.offline_replicas == [1]
