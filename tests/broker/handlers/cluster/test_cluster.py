"""DescribeCluster, DescribeQuorum, UpdateFeatures, as measured on Kafka."""

from __future__ import annotations

from typing import Any

import pytest

from broker.handlers.cluster.describe_cluster import describe_cluster
from broker.handlers.cluster.describe_quorum import describe_quorum
from broker.handlers.cluster.unregister_broker import unregister_broker
from broker.handlers.cluster.update_features import update_features
from kwire.messages.describe_cluster import DescribeClusterRequest
from kwire.messages.describe_quorum import DescribeQuorumRequest, RequestPartitionData, RequestTopicData
from kwire.messages.unregister_broker import UnregisterBrokerRequest
from kwire.messages.update_features import FeatureUpdateKey, UpdateFeaturesRequest
from tests.broker.controller.controller_world import CLUSTER_ID, NOW_MS
from tests.broker.handlers.admin_world import AdminWorld


@pytest.mark.parametrize("version", [0, 1, 2])
def test_the_cluster(version: int) -> None:
    response = AdminWorld().call(
        describe_cluster, DescribeClusterRequest(include_cluster_authorized_operations=True), version
    )
    assert (response.error_code, response.error_message, response.endpoint_type) == (0, None, 1)
    assert (response.cluster_id, response.controller_id) == (CLUSTER_ID, 1)
    assert [(b.broker_id, b.host, b.port, b.rack, b.is_fenced) for b in response.brokers] == [
        (1, "127.0.0.1", 9092, None, False)
    ]
    assert response.cluster_authorized_operations == 8096
    response = AdminWorld().call(describe_cluster, DescribeClusterRequest(), version)
    assert response.cluster_authorized_operations == -(2**31)


@pytest.mark.parametrize(
    ("kind", "code", "message"),
    [
        (2, 114, "The request was sent to an endpoint of type BROKER, but we wanted an endpoint of type CONTROLLER"),
        (9, 115, "Unsupported endpoint type 9"),
    ],
)
def test_other_endpoints(kind: int, code: int, message: str) -> None:
    response = AdminWorld().call(describe_cluster, DescribeClusterRequest(endpoint_type=kind), 2)
    assert (response.error_code, response.error_message) == (code, message)
    assert (response.cluster_id, response.controller_id, response.brokers) == ("", -1, [])


def test_fenced_brokers() -> None:
    world = AdminWorld(nodes=2)
    world.controller.fence_broker(2)
    for shown, expected in ((False, [(1, False)]), (True, [(1, False), (2, True)])):
        response = world.call(describe_cluster, DescribeClusterRequest(include_fenced_brokers=shown), 2)
        assert [(b.broker_id, b.is_fenced) for b in response.brokers] == expected


def quorum(version: int, *topics: tuple[str, list[int]]) -> Any:
    request = DescribeQuorumRequest(
        topics=[
            RequestTopicData(topic_name=name, partitions=[RequestPartitionData(partition_index=i) for i in indexes])
            for name, indexes in topics
        ]
    )
    return AdminWorld().call(describe_quorum, request, version)


@pytest.mark.parametrize("version", [0, 1, 2])
def test_the_quorum(version: int) -> None:
    response = quorum(version, ("__cluster_metadata", [0]))
    assert (response.error_code, response.error_message) == (0, "")
    ((partition,),) = [topic.partitions for topic in response.topics]
    assert (partition.error_code, partition.leader_id, partition.leader_epoch) == (0, 1, 1)
    (voter,) = partition.current_voters
    assert voter.replica_id == 1
    assert voter.log_end_offset == partition.high_watermark > 0
    assert voter.last_fetch_timestamp == voter.last_caught_up_timestamp == (NOW_MS if version >= 1 else -1)
    assert [(n.node_id, [(e.name, e.port) for e in n.listeners]) for n in response.nodes] == (
        [(1, [("CONTROLLER", 9093)])] if version >= 2 else []
    )


@pytest.mark.parametrize(
    "topics",
    [
        [("c", [0, 1])],
        [("__cluster_metadata", [0, 1])],
        [("__cluster_metadata", [0]), ("c", [0])],
    ],
)
def test_anything_else_has_no_quorum(topics: list[tuple[str, list[int]]]) -> None:
    response = quorum(2, *topics)
    assert response.error_code == 0
    assert {p.error_code for topic in response.topics for p in topic.partitions} == {3}
    assert [[p.partition_index for p in topic.partitions] for topic in response.topics] == [i for _, i in topics]
    assert response.nodes == []


def test_no_quorum_asked_for() -> None:
    assert quorum(2).topics == []


FAILED = "The update failed for all features since the following feature had an error: "


def features(
    world: AdminWorld, *updates: tuple[str, int, int], version: int = 2, **flags: bool
) -> tuple[int, str | None]:
    request = UpdateFeaturesRequest(
        feature_updates=[
            FeatureUpdateKey(feature=name, max_version_level=level, upgrade_type=how) for name, level, how in updates
        ],
        **flags,
    )
    response = world.call(update_features, request, version)
    return response.error_code, response.error_message


@pytest.mark.parametrize(
    ("update", "message"),
    [
        (
            ("group.version", 9, 1),
            "Invalid update version 9 for feature group.version. Local controller 1 only supports versions 0-1",
        ),
        (
            ("foo", 1, 1),
            "Invalid update version 1 for feature foo. Local controller 1 does not support this feature.",
        ),
        (
            ("group.version", 0, 1),
            "Invalid update version 0 for feature group.version. Can't downgrade the version of this feature without "
            "setting the upgrade type to either safe or unsafe downgrade.",
        ),
        (
            ("group.version", 0, 7),
            "Invalid update version 0 for feature group.version. The controller does not support the given upgrade "
            "type.",
        ),
        (
            ("group.version", -1, 1),
            "Invalid update version -1 for feature group.version. A feature version cannot be less than 0.",
        ),
        (
            ("metadata.version", 31, 1),
            "Invalid update version 31 for feature metadata.version. Local controller 1 only supports versions 7-30",
        ),
        (
            ("metadata.version", 29, 2),
            "Unsupported metadata.version downgrade from 30 to 29. Refusing to perform the requested downgrade "
            "because it might delete metadata information.",
        ),
        (
            ("metadata.version", 10, 3),
            "Unsupported metadata.version downgrade from 30 to 10. Unsafe metadata downgrade is not supported in this "
            "version.",
        ),
    ],
)
def test_refused_features(update: tuple[str, int, int], message: str) -> None:
    world = AdminWorld()
    end = world.log.end_offset
    assert features(world, update) == (95, FAILED + message)
    assert features(world, ("group.version", 1, 1), update) == (95, FAILED + message)
    assert world.log.end_offset == end


def test_features_go_down_and_up() -> None:
    world = AdminWorld()
    image = world.controller.image
    assert features(world, ("group.version", 1, 1)) == (0, None)
    assert features(world, ("group.version", 0, 2), validate_only=True) == (0, None)
    assert image.features["group.version"] == 1
    assert features(world, ("group.version", 0, 2)) == (0, None)
    assert "group.version" not in image.features
    assert features(world, ("group.version", 1, 1)) == (0, None)
    assert image.features["group.version"] == 1


@pytest.mark.parametrize("version", [0, 1])
def test_results_in_older_versions(version: int) -> None:
    request = UpdateFeaturesRequest(feature_updates=[FeatureUpdateKey(feature="group.version", max_version_level=1)])
    response = AdminWorld().call(update_features, request, version)
    assert [(r.feature, r.error_code, r.error_message) for r in response.results] == [("group.version", 0, "NONE")]


def unregister(world: AdminWorld, broker_id: int) -> tuple[int, str | None]:
    response = world.call(unregister_broker, UnregisterBrokerRequest(broker_id=broker_id), 0)
    return response.error_code, response.error_message


def test_unregistering() -> None:
    world = AdminWorld(nodes=2)
    assert unregister(world, 77) == (102, "Broker ID 77 is not currently registered")
    assert unregister(world, 2) == (42, "Broker ID 2 is running. Stop it first.")
    world.controller.fence_broker(2)
    assert unregister(world, 2) == (0, None)
    assert list(world.controller.image.brokers) == [1]
