"""DescribeCluster, log directories, elections, reassignments, quotas, SCRAM, features, quorum, and what is off."""

import uuid
from typing import Any

import pytest

from compat_tests.raw.batches import batch
from compat_tests.raw.wire import Wire

NOT_ASKED = -(2**31)


@pytest.fixture
def existing(wire: Wire, topic: str) -> str:
    wire.create(topic, partitions=2)
    return topic


# Off: authorizer, delegation tokens, telemetry


ANY_ACL = {"resource_type_filter": 1, "resource_name_filter": None, "pattern_type_filter": 1,
           "principal_filter": None, "host_filter": None, "operation": 1, "permission_type": 1}  # fmt: skip


@pytest.mark.parametrize("version", [1, 2, 3])
def test_acls_without_authorizer(wire: Wire, version: int) -> None:
    assert wire.ask("DescribeAcls", version, **ANY_ACL).error_code == 54
    creation = {"resource_type": 2, "resource_name": "t", "resource_pattern_type": 3, "principal": "User:a",
                "host": "*", "operation": 3, "permission_type": 3}  # fmt: skip
    assert [r.error_code for r in wire.ask("CreateAcls", version, creations=[creation]).results] == [54]
    assert [r.error_code for r in wire.ask("DeleteAcls", version, filters=[ANY_ACL]).filter_results] == [54]


def test_delegation_tokens_on_a_plain_listener(wire: Wire) -> None:
    answers = [
        wire.ask("CreateDelegationToken", 3, renewers=[], max_lifetime_ms=-1),
        wire.ask("DescribeDelegationToken", 3, owners=None),
        wire.ask("RenewDelegationToken", 2, hmac=b"x", renew_period_ms=1),
        wire.ask("ExpireDelegationToken", 2, hmac=b"x", expiry_time_period_ms=1),
    ]
    assert [a.error_code for a in answers] == [64, 64, 64, 64]


def test_telemetry_without_a_receiver(wire: Wire) -> None:
    first = wire.ask("GetTelemetrySubscriptions", 0, client_instance_id=bytes(16))
    assert first.error_code == 0
    assert bytes(first.client_instance_id) != bytes(16)
    assert (first.requested_metrics, first.push_interval_ms) == ([], 300000)
    again = wire.ask("GetTelemetrySubscriptions", 0, client_instance_id=first.client_instance_id)
    assert again.error_code == 89
    push = {"client_instance_id": first.client_instance_id, "subscription_id": first.subscription_id + 1}
    assert wire.ask("PushTelemetry", 0, **push).error_code == 117
    assert wire.ask("PushTelemetry", 0, client_instance_id=bytes(16)).error_code == 42


# DescribeCluster, quorum, features


@pytest.mark.parametrize("version", [0, 1, 2])
def test_describe_cluster(wire: Wire, version: int) -> None:
    answer = wire.ask("DescribeCluster", version)
    host, port = wire.socket.getpeername()
    assert (answer.error_code, answer.error_message, answer.controller_id) == (0, None, 1)
    assert answer.cluster_id == wire.ask("Metadata", 9, topics=[]).cluster_id
    assert [(b.broker_id, b.host, b.port, b.rack) for b in answer.brokers] == [(1, host, port, None)]
    assert answer.cluster_authorized_operations == NOT_ASKED
    asked = wire.ask("DescribeCluster", version, include_cluster_authorized_operations=True)
    assert asked.cluster_authorized_operations == 8096


@pytest.mark.parametrize(("endpoint_type", "error"), [(2, 114), (9, 115)])
def test_describe_cluster_of_other_endpoints(wire: Wire, endpoint_type: int, error: int) -> None:
    answer = wire.ask("DescribeCluster", 1, endpoint_type=endpoint_type)
    assert (answer.error_code, answer.cluster_id, answer.brokers) == (error, "", [])


def quorum(wire: Wire, topic: str, version: int = 2) -> Any:
    answer = wire.ask("DescribeQuorum", version, topics=[{"topic_name": topic, "partitions": [{"partition_index": 0}]}])
    assert answer.error_code == 0
    return answer


@pytest.mark.parametrize("version", [0, 1, 2])
def test_describe_quorum(wire: Wire, version: int) -> None:
    answer = quorum(wire, "__cluster_metadata", version)
    (found,) = answer.topics[0].partitions
    assert (found.error_code, found.leader_id) == (0, 1)
    assert found.leader_epoch >= 1
    assert found.high_watermark > 0
    assert [v.replica_id for v in found.current_voters] == [1]
    assert found.observers == []
    if version >= 2:
        assert [n.node_id for n in answer.nodes] == [1]


def test_describe_quorum_of_another_topic(wire: Wire, existing: str) -> None:
    assert quorum(wire, existing).topics[0].partitions[0].error_code == 3


def update_feature(wire: Wire, name: str, level: int, upgrade_type: int = 1) -> Any:
    updates = [{"feature": name, "max_version_level": level, "upgrade_type": upgrade_type}]
    return wire.ask("UpdateFeatures", 2, feature_updates=updates, timeout_ms=5000)


@pytest.mark.parametrize(
    ("name", "level", "upgrade_type"),
    [("metadata.version", 99, 1), ("no.such.feature", 1, 1), ("metadata.version", 7, 1)],
    ids=["too high", "unknown", "downgrade"],
)
def test_update_features_refused(wire: Wire, name: str, level: int, upgrade_type: int) -> None:
    answer = update_feature(wire, name, level, upgrade_type)
    assert (answer.error_code, answer.results) == (95, [])


def test_update_features_to_the_same_level(wire: Wire) -> None:
    answer = update_feature(wire, "metadata.version", 30)
    assert (answer.error_code, answer.results) == (0, [])


def test_unregister_unknown_broker(wire: Wire) -> None:
    assert wire.ask("UnregisterBroker", 0, broker_id=77).error_code == 102


@pytest.mark.needs("AddRaftVoter")
def test_add_raft_voter_with_another_cluster_id(wire: Wire) -> None:
    voter = {"voter_id": 5, "voter_directory_id": uuid.uuid4().bytes}
    answer = wire.ask("AddRaftVoter", 0, cluster_id="other", timeout_ms=1000, listeners=[], **voter)
    assert answer.error_code == 104


# Log directories


@pytest.mark.parametrize("version", range(1, 6))
def test_describe_log_dirs(wire: Wire, existing: str, version: int) -> None:
    wire.produce(existing)
    topics = [{"topic": existing, "partitions": [0, 9]}, {"topic": f"{existing}-missing", "partitions": [0]}]
    answer = wire.ask("DescribeLogDirs", version, topics=topics)
    if version >= 3:
        assert answer.error_code == 0
    (directory,) = answer.results
    assert directory.error_code == 0
    assert directory.log_dir.startswith("/")
    (found,) = directory.topics
    assert [(found.name, p.partition_index, p.offset_lag, p.is_future_key) for p in found.partitions] == [
        (existing, 0, 0, False)
    ]
    assert found.partitions[0].partition_size == len(batch(b"v"))
    if version >= 4:
        assert 0 < directory.usable_bytes <= directory.total_bytes


def test_describe_log_dirs_of_all(wire: Wire, existing: str) -> None:
    (directory,) = wire.ask("DescribeLogDirs", 4, topics=None).results
    found = {t.name: len(t.partitions) for t in directory.topics}
    assert found[existing] == 2


def alter_dir(wire: Wire, path: str, topic: str, partition: int = 0) -> int:
    dirs = [{"path": path, "topics": [{"name": topic, "partitions": [partition]}]}]
    (result,) = wire.ask("AlterReplicaLogDirs", 2, dirs=dirs).results
    return int(result.partitions[0].error_code)


def test_alter_replica_log_dirs(wire: Wire, existing: str) -> None:
    (directory,) = wire.ask("DescribeLogDirs", 4, topics=[]).results
    assert alter_dir(wire, "/no/such/dir", existing) == 57
    assert alter_dir(wire, directory.log_dir, existing) == 0, "where it is already"
    assert alter_dir(wire, directory.log_dir, existing, 9) == 3


# Elections and reassignments


def elect(wire: Wire, kind: int, topics: dict[str, list[int]] | None) -> Any:
    wanted = None if topics is None else [{"topic": t, "partitions": p} for t, p in topics.items()]
    return wire.ask("ElectLeaders", 2, election_type=kind, topic_partitions=wanted, timeout_ms=5000)


@pytest.mark.parametrize("kind", [0, 1], ids=["preferred", "unclean"])
def test_elect_when_all_is_fine(wire: Wire, existing: str, kind: int) -> None:
    answer = elect(wire, kind, {existing: [0, 9], f"{existing}-missing": [0]})
    assert answer.error_code == 0
    found = {
        (r.topic, p.partition_id): p.error_code for r in answer.replica_election_results for p in r.partition_result
    }
    assert found == {(existing, 0): 84, (existing, 9): 3, (f"{existing}-missing", 0): 3}


def test_elect_of_an_unknown_kind(wire: Wire, existing: str) -> None:
    assert elect(wire, 7, {existing: [0]}).error_code == 42


def test_elect_all(wire: Wire, existing: str) -> None:
    answer = elect(wire, 0, None)
    assert answer.error_code == 0
    found = {r.topic: r.partition_result for r in answer.replica_election_results}
    assert found[existing] == [], "every topic, with no partition that needed it"


def reassign(wire: Wire, topic: str, replicas: list[int] | None, partition: int = 0) -> int:
    topics = [{"name": topic, "partitions": [{"partition_index": partition, "replicas": replicas}]}]
    answer = wire.ask("AlterPartitionReassignments", 1, topics=topics, timeout_ms=5000)
    assert answer.error_code == 0
    return int(answer.responses[0].partitions[0].error_code)


def test_reassignments(wire: Wire, existing: str) -> None:
    for what, replicas, error in (
        ("the same", [1], 0),
        ("unknown broker", [77], 39),
        ("empty", [], 39),
        ("repeated", [1, 1], 39),
        ("cancel with none going on", None, 85),
    ):
        assert reassign(wire, existing, replicas) == error, what
    assert reassign(wire, existing, [1], partition=9) == 3
    assert reassign(wire, f"{existing}-missing", [1]) == 3


def test_list_reassignments(wire: Wire, existing: str) -> None:
    assert wire.ask("ListPartitionReassignments", 0, topics=None, timeout_ms=5000).topics == []
    wanted = [{"name": existing, "partition_indexes": [0]}]
    assert wire.ask("ListPartitionReassignments", 0, topics=wanted, timeout_ms=5000).topics == []


# Quotas and SCRAM


def describe_quotas(wire: Wire, *components: dict[str, Any], strict: bool = False) -> Any:
    return wire.ask("DescribeClientQuotas", 1, components=list(components), strict=strict)


def test_describe_quotas_of_none(wire: Wire, fresh_name: Any) -> None:
    answer = describe_quotas(wire, {"entity_type": "user", "match_type": 0, "match": fresh_name("user")})
    assert (answer.error_code, answer.entries) == (0, [])


def test_describe_quotas_of_an_unknown_entity_type(wire: Wire) -> None:
    answer = describe_quotas(wire, {"entity_type": "planet", "match_type": 0, "match": "x"})
    assert (answer.error_code, answer.entries) == (35, None)


def test_describe_scram_unknown_user(wire: Wire, fresh_name: Any) -> None:
    name = fresh_name("user")
    answer = wire.ask("DescribeUserScramCredentials", 0, users=[{"name": name}])
    assert answer.error_code == 0
    assert [(r.user, r.error_code, r.credential_infos) for r in answer.results] == [(name, 91, [])]


def test_describe_scram_user_twice(wire: Wire, fresh_name: Any) -> None:
    name = fresh_name("user")
    answer = wire.ask("DescribeUserScramCredentials", 0, users=[{"name": name}, {"name": name}])
    assert [(r.user, r.error_code) for r in answer.results] == [(name, 92)]


def test_describe_scram_of_all(wire: Wire) -> None:
    answer = wire.ask("DescribeUserScramCredentials", 0, users=None)
    assert (answer.error_code, answer.results) == (0, [])


# Changes of quotas and credentials: only what is refused, so that nothing is left behind


def alter_quota(wire: Wire, entity: list[dict[str, Any]], key: str, value: float) -> int:
    entry = {"entity": entity, "ops": [{"key": key, "value": value, "remove": False}]}
    (answer,) = wire.ask("AlterClientQuotas", 1, entries=[entry], validate_only=False).entries
    return int(answer.error_code)


@pytest.mark.needs("AlterClientQuotas")
def test_alter_quotas_refused(wire: Wire, fresh_name: Any) -> None:
    user = [{"entity_type": "user", "entity_name": fresh_name("user")}]
    for what, entity, key, value in (
        ("unknown key", user, "no.such", 1.0),
        ("unknown entity type", [{"entity_type": "planet", "entity_name": "x"}], "producer_byte_rate", 1.0),
        ("value 0", user, "producer_byte_rate", 0.0),
        ("value -1", user, "producer_byte_rate", -1.0),
        ("no entity", [], "producer_byte_rate", 1.0),
    ):
        assert alter_quota(wire, entity, key, value) == 42, what


@pytest.mark.needs("AlterUserScramCredentials")
def test_alter_scram_refused(wire: Wire, fresh_name: Any) -> None:
    good = {"mechanism": 1, "iterations": 4096, "salt": b"salt", "salted_password": b"password"}
    for what, name, changed, error in (
        ("too few iterations", fresh_name("user"), {"iterations": 4095}, 93),
        ("too many iterations", fresh_name("user"), {"iterations": 16385}, 93),
        ("empty user", "", {}, 93),
        ("unknown mechanism", fresh_name("user"), {"mechanism": 0}, 33),
    ):
        upsertion = good | {"name": name} | changed
        answer = wire.ask("AlterUserScramCredentials", 0, deletions=[], upsertions=[upsertion])
        assert [r.error_code for r in answer.results] == [error], what
    deletion = {"name": fresh_name("user"), "mechanism": 1}
    answer = wire.ask("AlterUserScramCredentials", 0, deletions=[deletion], upsertions=[])
    assert [r.error_code for r in answer.results] == [91], "deletion of an unknown user"
    twice = good | {"name": fresh_name("user")}
    answer = wire.ask("AlterUserScramCredentials", 0, deletions=[], upsertions=[twice, twice])
    assert [r.error_code for r in answer.results] == [92]
