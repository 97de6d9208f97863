"""Metadata: every line measured on Kafka, and what is kept between requests."""

from __future__ import annotations

import pytest

from broker.controller.controller import NewTopic
from broker.controller.decisions.topics import CreatedTopic
from broker.handlers.cluster.metadata import metadata
from kwire.messages.metadata import MetadataRequest, MetadataRequestTopic, MetadataResponse
from tests.broker.controller.controller_world import CLUSTER_ID, run
from tests.broker.handlers.admin_world import AdminWorld

VERSIONS = range(14)
UNKNOWN_ID = b"?" * 16


def ask(world: AdminWorld, version: int, *names: str | bytes | None, **flags: bool) -> MetadataResponse:
    """Topics by name, or by id where bytes are given; a single None asks for all."""
    topics = [
        MetadataRequestTopic(topic_id=each, name=None) if isinstance(each, bytes) else MetadataRequestTopic(name=each)
        for each in names
    ]
    flags.setdefault("allow_auto_topic_creation", version < 4)
    request = MetadataRequest(topics=None if names == (None,) else topics, **flags)
    return world.call(metadata, request, version)  # type: ignore[no-any-return]


def create(world: AdminWorld, name: str, partitions: int = 1, factor: int = 1) -> CreatedTopic:
    created: CreatedTopic = run(world.controller.create_topics([NewTopic(name, partitions, factor)]))[0]
    assert created.error is None
    return created


def codes(response: MetadataResponse) -> dict[str | None, int]:
    return {topic.name: topic.error_code for topic in response.topics}


@pytest.mark.parametrize("version", VERSIONS)
def test_a_topic_in_every_version(version: int) -> None:
    world = AdminWorld()
    created = create(world, "a", 2)
    response = ask(world, version, "a")
    (broker,) = response.brokers
    assert (broker.node_id, broker.host, broker.port, broker.rack) == (1, "127.0.0.1", 9092, None)
    assert response.controller_id == (1 if version >= 1 else -1)
    assert response.cluster_id == (CLUSTER_ID if version >= 2 else None)
    (topic,) = response.topics
    assert (topic.error_code, topic.name, topic.is_internal) == (0, "a", False)
    assert topic.topic_id == (created.topic_id if version >= 10 else bytes(16))
    assert topic.topic_authorized_operations == -(2**31)
    assert [p.partition_index for p in topic.partitions] == [0, 1]
    for partition in topic.partitions:
        assert (partition.error_code, partition.leader_id) == (0, 1)
        assert partition.leader_epoch == (0 if version >= 7 else -1)
        assert (partition.replica_nodes, partition.isr_nodes, partition.offline_replicas) == ([1], [1], [])
    assert response.cluster_authorized_operations == -(2**31)


def test_null_means_all_and_so_does_an_empty_list_in_version_0() -> None:
    world = AdminWorld()
    create(world, "b")
    create(world, "a")
    assert codes(ask(world, 12, None)) == {"a": 0, "b": 0}
    assert codes(ask(world, 0)) == {"a": 0, "b": 0}
    assert codes(ask(world, 1)) == {}


def test_unknown_topics_without_auto_creation() -> None:
    world = AdminWorld(auto_create_topics=False)
    response = ask(world, 12, "nope", "", "..", "bad name", "x" * 250, allow_auto_topic_creation=True)
    assert codes(response) == {"nope": 3, "": 17, "..": 17, "bad name": 17, "x" * 250: 17}
    assert all(topic.topic_id == bytes(16) and topic.partitions == [] for topic in response.topics)
    assert ask(world, 12, "nope", allow_auto_topic_creation=True).topics[0].error_code == 3


def test_auto_creation_answers_3_first_and_0_then() -> None:
    world = AdminWorld()
    assert codes(ask(world, 12, "new", allow_auto_topic_creation=True)) == {"new": 3}
    response = ask(world, 12, "new", allow_auto_topic_creation=True)
    assert codes(response) == {"new": 0}
    assert len(response.topics[0].partitions) == 4
    assert codes(ask(world, 12, "x" * 249, allow_auto_topic_creation=True)) == {"x" * 249: 3}
    assert codes(ask(world, 12, "x" * 249)) == {"x" * 249: 0}


def test_auto_creation_only_when_the_client_allows_it() -> None:
    world = AdminWorld()
    for _ in range(2):
        assert codes(ask(world, 12, "new")) == {"new": 3}


def test_topics_of_a_request_are_created_together_or_not_at_all() -> None:
    world = AdminWorld()
    names = [f"t{number}" for number in range(2501)]
    assert set(codes(ask(world, 12, *names, allow_auto_topic_creation=True)).values()) == {3}
    assert list(world.controller.image.topics()) == []  # 10,004 partitions are too many
    ask(world, 12, *names[:100], "bad name", allow_auto_topic_creation=True)
    assert len(world.controller.image.topics()) == 100
    assert len(world.log.batches[-1][1]) == 500


def test_a_colliding_name_stays_unknown() -> None:
    world = AdminWorld()
    create(world, "co.l")
    for _ in range(2):
        assert codes(ask(world, 12, "co_l", allow_auto_topic_creation=True)) == {"co_l": 3}


def test_internal_topics_are_created_as_they_should_be() -> None:
    world = AdminWorld()
    first = ask(world, 5, "__consumer_offsets", allow_auto_topic_creation=True)
    assert [(t.error_code, t.is_internal) for t in first.topics] == [(3, True)]
    (topic,) = ask(world, 5, "__consumer_offsets").topics
    assert (topic.error_code, topic.is_internal, len(topic.partitions)) == (0, True, 50)


def test_the_metadata_log_is_no_topic() -> None:
    world = AdminWorld()
    for _ in range(2):
        assert codes(ask(world, 12, "__cluster_metadata", allow_auto_topic_creation=True)) == {"__cluster_metadata": 3}


def test_by_topic_id() -> None:
    world = AdminWorld()
    created = create(world, "a")
    (topic,) = ask(world, 12, created.topic_id).topics
    assert (topic.name, topic.error_code) == ("a", 0)
    (topic,) = ask(world, 12, UNKNOWN_ID).topics
    assert (topic.name, topic.topic_id, topic.error_code) == (None, UNKNOWN_ID, 100)
    run(world.controller.delete_topics([created.topic_id]))
    (topic,) = ask(world, 12, created.topic_id).topics
    assert (topic.name, topic.topic_id, topic.error_code) == (None, created.topic_id, 100)


def test_names_count_for_nothing_beside_ids() -> None:
    world = AdminWorld()
    create(world, "a")
    assert codes(ask(world, 12, UNKNOWN_ID, "a")) == {None: 100}


def test_an_unknown_id_has_no_operations() -> None:
    world = AdminWorld()
    (topic,) = ask(world, 12, UNKNOWN_ID, include_topic_authorized_operations=True).topics
    assert topic.topic_authorized_operations == -(2**31)


@pytest.mark.parametrize("version", [12, 13])
def test_neither_name_nor_id(version: int) -> None:
    world = AdminWorld()
    create(world, "a")
    request = MetadataRequest(topics=[MetadataRequestTopic(name="a"), MetadataRequestTopic(name=None)])
    response = world.call(metadata, request, version)
    assert [(t.error_code, t.name) for t in response.topics] == [(-1, "a"), (-1, "")]
    assert (response.brokers, response.cluster_id, response.controller_id) == ([], None, -1)
    assert response.error_code == (-1 if version >= 13 else 0)


@pytest.mark.parametrize("version", [10, 11])
def test_ids_and_null_names_before_they_had_a_meaning(version: int) -> None:
    world = AdminWorld()
    request = MetadataRequest(
        topics=[MetadataRequestTopic(name="a", topic_id=UNKNOWN_ID), MetadataRequestTopic(name=None)]
    )
    response = world.call(metadata, request, version)
    assert [(t.error_code, t.name, t.topic_id) for t in response.topics] == [
        (42, "a", UNKNOWN_ID),
        (42, "", bytes(16)),
    ]


def test_a_name_twice_is_answered_once() -> None:
    world = AdminWorld()
    create(world, "a")
    assert [t.name for t in ask(world, 12, "a", "b", "a", "b").topics] == ["a", "b"]


def test_authorized_operations() -> None:
    world = AdminWorld()
    create(world, "a")
    flags = {"include_topic_authorized_operations": True, "include_cluster_authorized_operations": True}
    response = ask(world, 8, "a", "nope", **flags)
    assert response.cluster_authorized_operations == 8096
    assert [t.topic_authorized_operations for t in response.topics] == [3576, 3576]


def test_an_answer_is_kept_until_something_changes() -> None:
    world = AdminWorld()
    create(world, "a")
    first = ask(world, 12, None)
    assert world.controller.image.derived
    assert ask(world, 12, None) == first
    create(world, "b")
    assert codes(ask(world, 12, None)) == {"a": 0, "b": 0}
    world.controller.fence_broker(1)
    response = ask(world, 12, None)
    assert response.brokers == []
    assert response.controller_id == -1
    assert {p.error_code for t in response.topics for p in t.partitions} == {5}


def test_a_dead_replica() -> None:
    world = AdminWorld(nodes=3)
    create(world, "a", 3, 3)
    world.controller.fence_broker(2)
    for version, code, replicas in ((1, 0, {1, 2, 3}), (0, 9, {1, 3})):
        (topic,) = ask(world, version, "a").topics
        assert {p.error_code for p in topic.partitions} == {code}
        assert all(set(p.replica_nodes) == replicas for p in topic.partitions)
        assert all(set(p.isr_nodes) == {1, 3} for p in topic.partitions)
        assert 2 not in {p.leader_id for p in topic.partitions}
    (topic,) = ask(world, 5, "a").topics
    assert all(p.offline_replicas == [2] for p in topic.partitions)


def test_a_leader_without_the_clients_listener() -> None:
    world = AdminWorld()
    create(world, "a")
    world.addresses = type(world.addresses)()
    for version, code in ((5, 5), (6, 72)):
        world.controller.image.derived.clear()
        (topic,) = ask(world, version, "a").topics
        assert [(p.error_code, p.leader_id) for p in topic.partitions] == [(code, -1)]
