"""Metadata: which topics are listed, automatic creation, names, ids, authorized operations."""

import uuid

import pytest

from compat_tests.raw.wire import NO_TOPIC_ID, Wire, eventually

NOT_ASKED = -(2**31)
ALL_VERSIONS = range(14)


@pytest.mark.parametrize("version", ALL_VERSIONS)
def test_every_version_describes_broker_and_topic(wire: Wire, topic: str, version: int) -> None:
    topic_id = wire.create(topic, partitions=2)
    answer = wire.ask("Metadata", version, topics=[{"name": topic}])
    host, port = wire.socket.getpeername()
    assert [(b.node_id, b.host, b.port, b.rack) for b in answer.brokers] == [(1, host, port, None)]
    if version >= 1:
        assert answer.controller_id == 1
    if version >= 2:
        assert isinstance(answer.cluster_id, str)
        assert len(answer.cluster_id) == 22
    (found,) = answer.topics
    assert (found.error_code, found.name, found.is_internal) == (0, topic, False)
    if version >= 10:
        assert bytes(found.topic_id) == topic_id
    partitions = sorted(found.partitions, key=lambda p: p.partition_index)
    described = [
        (p.error_code, p.partition_index, p.leader_id, p.replica_nodes, p.isr_nodes, p.offline_replicas)
        for p in partitions
    ]
    assert described == [(0, 0, 1, [1], [1], []), (0, 1, 1, [1], [1], [])]
    if version >= 7:
        assert [p.leader_epoch for p in partitions] == [0, 0]


def test_topics_null_lists_all(wire: Wire, topic: str) -> None:
    wire.create(topic)
    for version in (1, 9, 13):
        assert topic in {t.name for t in wire.ask("Metadata", version, topics=None).topics}, f"v{version}"


def test_no_topics_is_all_in_v0_and_none_from_v1(wire: Wire, topic: str) -> None:
    wire.create(topic)
    assert topic in {t.name for t in wire.ask("Metadata", 0, topics=[]).topics}
    for version in (1, 9, 13):
        assert wire.ask("Metadata", version, topics=[]).topics == [], f"v{version}"


@pytest.mark.parametrize("version", [4, 9, 12, 13])
def test_unknown_topic_without_auto_creation(wire: Wire, topic: str, version: int) -> None:
    for _ in range(2):
        found = wire.metadata(topic, version)
        assert (found.error_code, found.name, found.is_internal, found.partitions) == (3, topic, False, [])
        assert bytes(found.topic_id) == NO_TOPIC_ID


@pytest.mark.parametrize("version", [0, 1, 4, 9, 12])
def test_unknown_topic_is_created_automatically_with_num_partitions(wire: Wire, topic: str, version: int) -> None:
    first = wire.metadata(topic, version, create=True)
    assert (first.error_code, first.partitions) == (3, []), "the first answer comes before the topic"
    found = eventually(lambda: wire.metadata(topic), lambda t: t.error_code == 0, "automatic creation")
    assert sorted(p.partition_index for p in found.partitions) == [0, 1, 2, 3]
    assert bytes(found.topic_id) != NO_TOPIC_ID


@pytest.mark.parametrize("create", [True, False])
@pytest.mark.parametrize("name", ["", "..", ".", "bad name", "ä", "x" * 250])
def test_invalid_name(wire: Wire, name: str, create: bool) -> None:
    found = wire.metadata(name, create=create)
    assert (found.error_code, found.name, found.partitions) == (17, name, [])


def test_name_of_249_characters_is_created(wire: Wire, topic: str) -> None:
    name = topic.ljust(249, "x")
    assert wire.metadata(name, create=True).error_code == 3
    eventually(lambda: wire.metadata(name), lambda t: t.error_code == 0, "creation of a name of 249 characters")


def test_name_that_collides_is_never_created(wire: Wire, topic: str) -> None:
    wire.create(f"{topic}.x_y")
    colliding = f"{topic}_x.y"
    for _ in range(3):
        assert wire.metadata(colliding, create=True).error_code == 3
    wire.ask("Metadata", 12, topics=None)
    assert wire.metadata(colliding).error_code == 3


def test_unknown_topic_id(wire: Wire) -> None:
    topic_id = uuid.uuid4().bytes
    answer = wire.ask("Metadata", 12, topics=[{"topic_id": topic_id, "name": None}], allow_auto_topic_creation=True)
    assert [(t.error_code, t.name, bytes(t.topic_id)) for t in answer.topics] == [(100, None, topic_id)]


def test_topic_id_finds_the_topic(wire: Wire, topic: str) -> None:
    topic_id = wire.create(topic)
    answer = wire.ask("Metadata", 12, topics=[{"topic_id": topic_id, "name": None}])
    assert [(t.error_code, t.name, bytes(t.topic_id)) for t in answer.topics] == [(0, topic, topic_id)]


def test_topic_id_zero_and_name_null_is_an_unknown_server_error(wire: Wire) -> None:
    answer = wire.ask("Metadata", 12, topics=[{"topic_id": NO_TOPIC_ID, "name": None}])
    assert [(t.error_code, t.name) for t in answer.topics] == [(-1, "")]


def test_topic_id_in_v10_is_invalid_request(wire: Wire, topic: str) -> None:
    topic_id = wire.create(topic)
    answer = wire.ask("Metadata", 10, topics=[{"topic_id": topic_id, "name": topic}])
    assert [t.error_code for t in answer.topics] == [42]


def test_topic_id_of_a_deleted_topic_is_unknown(wire: Wire, topic: str) -> None:
    topic_id = wire.create(topic)
    assert wire.ask("DeleteTopics", 5, topic_names=[topic], timeout_ms=5000).responses[0].error_code == 0
    eventually(
        lambda: wire.ask("Metadata", 12, topics=[{"topic_id": topic_id, "name": None}]).topics[0],
        lambda t: t.error_code == 100,
        "the id of a deleted topic",
    )


def test_the_same_name_twice_gives_one_entry(wire: Wire, topic: str) -> None:
    wire.create(topic)
    answer = wire.ask("Metadata", 12, topics=[{"name": topic}, {"name": topic}])
    assert [(t.error_code, t.name) for t in answer.topics] == [(0, topic)]


def test_consumer_offsets_is_created_internal_with_50_partitions(wire: Wire) -> None:
    found = wire.metadata("__consumer_offsets", create=True)
    assert found.error_code in (0, 3)
    found = eventually(lambda: wire.metadata("__consumer_offsets"), lambda t: t.error_code == 0, "__consumer_offsets")
    assert found.is_internal
    assert len(found.partitions) == 50


@pytest.mark.parametrize("version", [8, 9, 10])
def test_cluster_authorized_operations(wire: Wire, version: int) -> None:
    assert wire.ask("Metadata", version, topics=[]).cluster_authorized_operations == NOT_ASKED
    asked = wire.ask("Metadata", version, topics=[], include_cluster_authorized_operations=True)
    assert asked.cluster_authorized_operations == 8096


@pytest.mark.parametrize("version", [8, 9, 12, 13])
def test_topic_authorized_operations(wire: Wire, topic: str, version: int) -> None:
    wire.create(topic)
    for asked, expected in ((False, NOT_ASKED), (True, 3576)):
        answer = wire.ask("Metadata", version, topics=[{"name": topic}], include_topic_authorized_operations=asked)
        assert answer.topics[0].topic_authorized_operations == expected


def test_unknown_and_known_topics_together(wire: Wire, topic: str) -> None:
    wire.create(topic)
    names = [topic, f"{topic}-missing", "bad name"]
    answer = wire.ask("Metadata", 12, topics=[{"name": n} for n in names], allow_auto_topic_creation=False)
    assert {t.name: t.error_code for t in answer.topics} == dict(zip(names, (0, 3, 17), strict=True))
