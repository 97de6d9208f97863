"""Requests other than Produce and Fetch in versions that Kafka 4 no longer has: what 3.9 answers."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from broker.personality.personality import Personality
from compat_tests.differences import NOT_YET_ADVERTISED, expected
from compat_tests.old_clients.message_sets import fetch, message_set, produce, records_of
from compat_tests.raw.connection import ClosedByBrokerError
from compat_tests.raw.wire import Wire
from compat_tests.targets import OwnBroker

DATA = Path(__file__).parent.parent / "data"
PERSONALITIES = "Personalities of older releases (`--as-version`)"
BAD_NAME = "a b"


@pytest.fixture
def topic(past: Wire, fresh_name: Callable[[str], str]) -> str:
    name = fresh_name("past")
    past.create(name)
    return name


def create(wire: Wire, version: int, name: str, *, partitions: int = 1, replicas: int = 1, **fields: Any) -> Any:
    more = {} if version == 0 else {"validate_only": fields.pop("validate_only", False)}
    configs = [{"name": key, "value": value} for key, value in fields.items()]
    wanted = {"name": name, "num_partitions": partitions, "replication_factor": replicas, "configs": configs}
    return wire.ask("CreateTopics", version, topics=[wanted], timeout_ms=5000, **more).topics[0]


@pytest.mark.parametrize("version", [0, 1])
def test_create_and_delete_topics(past: Wire, fresh_name: Callable[[str], str], version: int) -> None:
    name = fresh_name("created")
    assert create(past, version, name, partitions=2).error_code == 0
    past.wait_for_topic(name, 2)
    assert create(past, version, name).error_code == 36
    assert create(past, version, BAD_NAME).error_code == 17
    assert create(past, version, fresh_name("defaults"), partitions=-1, replicas=-1).error_code == 0
    deleted = past.ask("DeleteTopics", 0, topic_names=[name, "past-nowhere"], timeout_ms=5000).responses
    assert {answer.name: answer.error_code for answer in deleted} == {name: 0, "past-nowhere": 3}


def test_only_validated(past: Wire, fresh_name: Callable[[str], str]) -> None:
    name = fresh_name("validated")
    assert create(past, 1, name, validate_only=True).error_code == 0
    assert past.metadata(name, 1).error_code in (3, 5)


def offsets(wire: Wire, topic: str, timestamp: int, most: int) -> tuple[int, list[int]]:
    """ListOffsets v0: the error code, and what there is."""
    wanted = {"partition_index": 0, "timestamp": timestamp, "max_num_offsets": most}
    answer = wire.ask("ListOffsets", 0, replica_id=-1, topics=[{"name": topic, "partitions": [wanted]}])
    partition = answer.topics[0].partitions[0]
    return partition.error_code, partition.old_style_offsets


def test_list_offsets_gives_first_offsets_of_segments(past: Wire, topic: str) -> None:
    produce(past, topic, message_set(b"a", b"b", magic=0), 0)
    produce(past, topic, message_set(b"c", magic=0), 0)

    assert [offsets(past, topic, -1, most) for most in (0, 1, 5)] == [(0, []), (0, [3]), (0, [3, 0])]
    assert offsets(past, topic, -2, 5) == (0, [0])
    assert offsets(past, topic, 0, 5) == (0, [])
    assert offsets(past, topic, 2**60, 5) == (0, [3, 0])
    assert offsets(past, topic, -3, 5) == (35, [])
    assert offsets(past, "past-nowhere", -1, 5) == (3, [])


def test_list_offsets_of_an_empty_partition(past: Wire, topic: str) -> None:
    assert [offsets(past, topic, timestamp, 5) for timestamp in (-1, -2, 0)] == [(0, [0]), (0, [0]), (0, [])]


def test_list_offsets_of_several_segments(past: Wire, fresh_name: Callable[[str], str]) -> None:
    name = fresh_name("segments")
    past.create(name, configs={"segment.bytes": "200"})
    for value in (b"a", b"b", b"c", b"d"):
        produce(past, name, message_set(value * 60, magic=1), 2)
    assert [offsets(past, name, -1, most)[1] for most in (1, 3, 9)] == [[4], [4, 3, 2], [4, 3, 2, 1, 0]]
    assert [offsets(past, name, timestamp, 9)[1] for timestamp in (-2, 0, 2**60)] == [[0], [], [4, 3, 2, 1, 0]]
    assert past.delete_records(name, 2).error_code == 0
    assert offsets(past, name, -2, 9) == (0, [2])
    assert offsets(past, name, -1, 2) == (0, [4, 3])


def commit(wire: Wire, version: int, group: str, topic: str, offset: int) -> int:
    extra: dict[str, Any] = {} if version == 0 else {"generation_id_or_member_epoch": -1, "member_id": ""}
    partition: dict[str, Any] = {"partition_index": 0, "committed_offset": offset, "committed_metadata": "m"}
    if version == 1:
        partition["commit_timestamp"] = -1
    answer = wire.ask(
        "OffsetCommit", version, group_id=group, topics=[{"name": topic, "partitions": [partition]}], **extra
    )
    return int(answer.topics[0].partitions[0].error_code)


def committed(wire: Wire, version: int, group: str, topic: str, index: int = 0) -> tuple[int, int]:
    answer = wire.ask("OffsetFetch", version, group_id=group, topics=[{"name": topic, "partition_indexes": [index]}])
    partition = answer.topics[0].partitions[0]
    return partition.error_code, partition.committed_offset


def test_offsets_of_version_1(past: Wire, topic: str, group: str) -> None:
    assert commit(past, 1, group, topic, 8) == 0
    assert commit(past, 1, group, "past-nowhere", 8) == 3
    assert committed(past, 1, group, topic) == (0, 8)
    assert committed(past, 1, group, topic, 5) == (0, -1)


def test_offsets_of_version_0(past: Wire, past_broker: OwnBroker, topic: str, group: str) -> None:
    """They were kept in ZooKeeper, which a Kafka with KRaft does not have."""
    told = expected("OffsetCommit v0, OffsetFetch v0", past_broker.kind, PERSONALITIES)
    if past_broker.kind == "kwire":
        assert "__consumer_offsets" in told
        assert commit(past, 0, group, topic, 9) == 0
        assert [committed(past, version, group, topic) for version in (0, 1)] == [(0, 9), (0, 9)]
        assert committed(past, 0, group, topic, 5) == (3, -1)
    else:
        assert "35" in told
        assert commit(past, 0, group, topic, 9) == 35
        assert committed(past, 0, group, topic) == (35, -1)


@pytest.mark.parametrize("version", [0, 1])
def test_offset_for_leader_epoch(past: Wire, topic: str, version: int) -> None:
    produce(past, topic, message_set(b"a", b"b", magic=0), 0)
    wanted = [{"partition": index, "leader_epoch": 0} for index in (0, 9)]
    answer = past.ask("OffsetForLeaderEpoch", version, topics=[{"topic": topic, "partitions": wanted}])
    told = {each.partition: (each.error_code, each.end_offset) for each in answer.topics[0].partitions}
    assert told == {0: (0, 2), 9: (3, -1)}


def test_describe_configs_says_what_is_a_default(past: Wire, past_broker: OwnBroker, fresh_name: Any) -> None:
    name = fresh_name("configured")
    past.create(name, configs={"retention.ms": "77"})
    keys = ["retention.ms", "cleanup.policy"]
    wanted = {"resource_type": 2, "resource_name": name, "configuration_keys": keys}
    configs = past.ask("DescribeConfigs", 0, resources=[wanted]).results[0].configs
    told = {each.name: each.is_default for each in configs}
    said = expected("DescribeConfigs v0: is_default", past_broker.kind, PERSONALITIES)
    assert told == {"retention.ms": False, "cleanup.policy": "as it is" in said}


def test_down_conversion_can_be_forbidden(past: Wire, fresh_name: Callable[[str], str]) -> None:
    name = fresh_name("as-it-is")
    past.create(name, configs={"message.downconversion.enable": "false"})
    assert produce(past, name, message_set(b"a", magic=0), 0) == (0, 0)
    refused = fetch(past, name, 0, 3)
    assert (refused.error_code, refused.records) == (35, None)
    assert past.fetch(name, 0, version=4).error_code == 0


def test_topic_settings_that_4_removed(past: Wire, fresh_name: Callable[[str], str]) -> None:
    name = fresh_name("formatted")
    configs = {"message.format.version": "0.10.2", "message.timestamp.difference.max.ms": "1000"}
    past.create(name, configs=configs)
    for key, value in (("message.format.version", "nonsense"), ("message.downconversion.enable", "maybe")):
        assert create(past, 1, fresh_name("refused"), **{key: value}).error_code == 40
    assert produce(past, name, message_set(b"a", magic=1), 2) == (32, -1)
    assert produce(past, name, message_set(b"a", magic=0), 0) == (0, 0)
    assert records_of(fetch(past, name, 0, 0)) == [(0, -1, b"k", b"a")]


@pytest.mark.parametrize("version", [0, 1, 2, 3])
def test_metadata_makes_topics(past: Wire, fresh_name: Callable[[str], str], version: int) -> None:
    name = fresh_name("automatic")
    first = past.ask("Metadata", version, topics=[{"name": name}]).topics[0]
    assert (first.error_code, first.partitions) == (3, [])
    past.wait_for_topic(name, 4)
    assert past.ask("Metadata", version, topics=[{"name": BAD_NAME}]).topics[0].error_code == 17
    every = past.ask("Metadata", version, topics=[] if version == 0 else None).topics
    assert name in {each.name for each in every}


def test_refused_where_security_is_off(past: Wire) -> None:
    filters = {"resource_type_filter": 2, "resource_name_filter": "x", "principal_filter": "User:a"}
    rule = {"host_filter": "*", "operation": 3, "permission_type": 3}
    assert past.ask("DescribeAcls", 0, **filters, **rule).error_code == 54
    assert past.ask("DeleteAcls", 0, filters=[filters | rule]).filter_results[0].error_code == 54
    assert past.ask("CreateDelegationToken", 0, renewers=[], max_lifetime_ms=-1).error_code == 64
    assert past.ask("DescribeDelegationToken", 0, owners=[]).error_code == 64


def test_configs_and_log_dirs_of_version_0(past: Wire, topic: str) -> None:
    change = {"resource_type": 2, "resource_name": topic, "configs": [{"name": "retention.ms", "value": "99"}]}
    assert past.ask("AlterConfigs", 0, resources=[change], validate_only=False).responses[0].error_code == 0
    results = past.ask("DescribeLogDirs", 0, topics=[{"topic": topic, "partitions": [0]}]).results
    assert [(each.error_code, len(each.topics)) for each in results] == [(0, 1)]
    moved = past.ask(
        "AlterReplicaLogDirs", 0, dirs=[{"path": "/nowhere", "topics": [{"name": topic, "partitions": [0]}]}]
    )
    assert moved.results[0].partitions[0].error_code == 57


def test_what_is_advertised(past: Wire, past_broker: OwnBroker) -> None:
    """Kafka advertises what the table says; kwire what it serves of it."""
    personality = Personality.of("3.9")
    assert personality is not None
    table = {key: (span.first, span.last) for key, span in personality.ranges.items()}
    answer = past.ask("ApiVersions", 4, client_software_name="x", client_software_version="1")
    told = {each.api_key: (each.min_version, each.max_version) for each in answer.api_keys}
    features = {each.name: (each.min_version, each.max_version) for each in answer.supported_features}
    assert features == personality.supported_features()
    assert {each.name: each.max_version_level for each in answer.finalized_features} == {"metadata.version": 21}
    if past_broker.kind == "kwire":
        assert told == {key: table[key] for key in told}
        advertised = json.loads((DATA / "api_versions.json").read_text())["advertised"]
        missing = {key for name, (key, *_) in advertised.items() if name in NOT_YET_ADVERTISED}
        assert set(table) - set(told) == (set(table) & missing) | {71, 72}
    else:
        # Telemetry is advertised where a receiver of metrics is set.
        assert told == {key: span for key, span in table.items() if key not in (71, 72)}


def test_versions_nobody_knows(past: Wire) -> None:
    past.send_frame(bytes.fromhex("00120063000000070000") + b"\0")
    assert past.read_frame().hex() == "00000007002300000001001200000004"
    past.send_frame(bytes.fromhex("00010063000000080000") + b"\0")
    with pytest.raises(ClosedByBrokerError):
        past.read_frame()
