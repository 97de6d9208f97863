"""ElectLeaders and partition reassignments, as measured on Kafka and, with several nodes, as its rules say."""

from __future__ import annotations

import pytest

from broker.controller.controller import NewTopic
from broker.handlers.topics.alter_partition_reassignments import alter_partition_reassignments
from broker.handlers.topics.elect_leaders import elect_leaders
from broker.handlers.topics.list_partition_reassignments import list_partition_reassignments
from kwire.messages.alter_partition_reassignments import (
    AlterPartitionReassignmentsRequest,
    ReassignablePartition,
    ReassignableTopic,
)
from kwire.messages.elect_leaders import ElectLeadersRequest, TopicPartitions
from kwire.messages.list_partition_reassignments import (
    ListPartitionReassignmentsRequest,
    ListPartitionReassignmentsTopics,
)
from tests.broker.controller.controller_world import run
from tests.broker.handlers.admin_world import AdminWorld

NOT_NEEDED = "Leader election not needed for topic partition."
MANUAL = "The manual partition assignment includes "


def world_with(nodes: int = 1, factor: int = 1) -> AdminWorld:
    world = AdminWorld(nodes=nodes)
    run(world.controller.create_topics([NewTopic("c", 4, factor)]))
    return world


def elect(
    world: AdminWorld,
    kind: int,
    wanted: list[tuple[str, list[int]]] | None,
    version: int = 2,
    timeout_ms: int = 1000,
) -> tuple[int, list[tuple[str, list[tuple[int, int, str | None]]]]]:
    request = ElectLeadersRequest(
        election_type=kind,
        topic_partitions=None if wanted is None else [TopicPartitions(topic=t, partitions=p) for t, p in wanted],
        timeout_ms=timeout_ms,
    )
    response = world.call(elect_leaders, request, version)
    return response.error_code, [
        (each.topic, [(p.partition_id, p.error_code, p.error_message) for p in each.partition_result])
        for each in response.replica_election_results
    ]


@pytest.mark.parametrize("kind", [0, 1])
def test_no_election_is_needed(kind: int) -> None:
    world = world_with()
    assert elect(world, kind, [("c", [0, 0])]) == (0, [("c", [(0, 84, NOT_NEEDED), (0, 84, NOT_NEEDED)])])
    assert elect(world, kind, None) == (0, [("c", [])])
    assert elect(world, kind, []) == (0, [])


def test_version_0_means_preferred() -> None:
    assert elect(world_with(), 0, [("c", [0])], version=0) == (0, [("c", [(0, 84, NOT_NEEDED)])])


def test_unknown_partitions() -> None:
    assert elect(world_with(), 0, [("nope", [0]), ("c", [9])]) == (
        0,
        [("nope", [(0, 3, "No such topic as nope")]), ("c", [(9, 3, "No such partition as c-9")])],
    )


def test_unknown_election_type() -> None:
    world = world_with()
    assert elect(world, 7, [("c", [0])]) == (42, [("c", [(0, 42, "Unknown election type 7")])])
    assert elect(world, 7, None) == (42, [])


def test_election_without_time() -> None:
    world = world_with()
    assert elect(world, 0, [("c", [0])], timeout_ms=0) == (7, [("c", [(0, 7, None)])])
    assert elect(world, 0, None, timeout_ms=0) == (7, [])
    assert elect(world, 0, [("c", [0])], version=0, timeout_ms=0) == (0, [("c", [(0, 7, None)])])


def test_a_preferred_leader_comes_back() -> None:
    world = world_with(3, 3)
    controller = world.controller
    topic = controller.image.topic_by_name("c")
    assert topic is not None
    first = topic.partitions[0].replicas[0]
    controller.fence_broker(first)
    assert topic.partitions[0].leader != first
    code, results = elect(world, 0, [("c", [0])])
    assert code == 0
    assert results[0][1][0][:2] == (0, 80)
    controller.unfence_broker(first)
    # Not in sync: another replica leads until the follower has caught up, which is not ours to say.
    assert elect(world, 0, [("c", [0])])[1][0][1][0][1] == 80


def test_an_unclean_election() -> None:
    world = world_with(2, 2)
    controller = world.controller
    topic = controller.image.topic_by_name("c")
    assert topic is not None
    controller.fence_broker(1)
    controller.fence_broker(2)
    assert all((p.leader, p.isr) == (-1, ()) for p in topic.partitions)
    assert all(p.elr == (2,) and p.last_known_elr == (2,) for p in topic.partitions)
    controller.unfence_broker(1)
    assert all(p.leader == -1 for p in topic.partitions)
    assert elect(world, 1, [("c", [0])]) == (0, [("c", [(0, 0, None)])])
    partition = topic.partitions[0]
    assert (partition.leader, partition.isr, partition.leader_recovery_state) == (1, (1,), 1)


def reassign(
    world: AdminWorld,
    *wanted: tuple[str, int, list[int] | None],
    version: int = 1,
    allow: bool = True,
    timeout_ms: int = 1000,
) -> tuple[int, bool, list[tuple[str, int, int, str | None]]]:
    request = AlterPartitionReassignmentsRequest(
        timeout_ms=timeout_ms,
        allow_replication_factor_change=allow,
        topics=[
            ReassignableTopic(name=t, partitions=[ReassignablePartition(partition_index=p, replicas=r)])
            for t, p, r in wanted
        ],
    )
    response = world.call(alter_partition_reassignments, request, version)
    return (
        response.error_code,
        response.allow_replication_factor_change,
        [
            (topic.name, p.partition_index, p.error_code, p.error_message)
            for topic in response.responses
            for p in topic.partitions
        ],
    )


@pytest.mark.parametrize("version", [0, 1])
def test_where_it_is_already(version: int) -> None:
    world = world_with()
    end = world.log.end_offset
    assert reassign(world, ("c", 0, [1]), version=version) == (0, True, [("c", 0, 0, None)])
    assert world.log.end_offset == end


@pytest.mark.parametrize(
    ("wanted", "code", "message"),
    [
        (("c", 0, [9]), 39, MANUAL + "broker 9, but no such broker is registered."),
        (("c", 0, []), 39, MANUAL + "an empty replica list."),
        (("c", 0, [1, 1]), 39, MANUAL + "the broker 1 more than once."),
        (("c", 0, None), 85, None),
        (("c", 9, [1]), 3, "Unable to find partition c:9."),
        (("nope", 0, [1]), 3, "Unable to find a topic named nope."),
    ],
)
def test_refused_reassignments(wanted: tuple[str, int, list[int] | None], code: int, message: str | None) -> None:
    assert reassign(world_with(), wanted) == (0, True, [(wanted[0], wanted[1], code, message)])


def test_reassignment_without_time() -> None:
    assert reassign(world_with(), ("c", 0, [1]), timeout_ms=0, allow=False) == (7, True, [("c", 0, 7, None)])


def listed(world: AdminWorld, names: list[str] | None = None) -> list[tuple[str, int, list[int], list[int], list[int]]]:
    topics = (
        None
        if names is None
        else [ListPartitionReassignmentsTopics(name=n, partition_indexes=[0, 1, 99]) for n in names]
    )
    response = world.call(list_partition_reassignments, ListPartitionReassignmentsRequest(topics=topics), 0)
    assert (response.error_code, response.error_message) == (0, None)
    return [
        (t.name, p.partition_index, p.replicas, p.adding_replicas, p.removing_replicas)
        for t in response.topics
        for p in t.partitions
    ]


def test_a_reassignment_begins_and_is_cancelled() -> None:
    world = world_with(3, 1)
    topic = world.controller.image.topic_by_name("c")
    assert topic is not None
    before = topic.partitions[0]
    (old,) = before.replicas
    fresh = old % 3 + 1
    assert listed(world) == []
    assert reassign(world, ("c", 0, [fresh])) == (0, True, [("c", 0, 0, None)])
    expected = [("c", 0, [fresh, old], [fresh], [old])]
    assert listed(world) == expected
    assert listed(world, ["c", "nope"]) == expected
    assert listed(world, []) == []
    assert topic.partitions[0].leader == old
    assert reassign(world, ("c", 0, None)) == (0, True, [("c", 0, 0, None)])
    assert listed(world) == []
    after = topic.partitions[0]
    assert (after.replicas, after.isr, after.leader) == (before.replicas, before.isr, old)


def test_another_order_needs_no_reassignment() -> None:
    world = world_with(2, 2)
    topic = world.controller.image.topic_by_name("c")
    assert topic is not None
    first, second = topic.partitions[0].replicas
    assert reassign(world, ("c", 0, [second, first]))[2] == [("c", 0, 0, None)]
    assert topic.partitions[0].replicas == (second, first)
    assert listed(world) == []
    # The leader stays until a preferred election.
    assert topic.partitions[0].leader == first
    assert elect(world, 0, [("c", [0])]) == (0, [("c", [(0, 0, None)])])
    assert topic.partitions[0].leader == second


def test_a_changed_factor_is_refused_when_it_must_not_change() -> None:
    world = world_with(2, 2)
    message = "The replication factor is changed from 2 to 1"
    assert reassign(world, ("c", 0, [1]), allow=False) == (0, False, [("c", 0, 38, message)])
    assert reassign(world, ("c", 0, [1]))[2] == [("c", 0, 0, None)]
