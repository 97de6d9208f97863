"""The names of kafka_exporter: topics, offsets, groups and their lag  (github.com/danielqsj/kafka_exporter)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from broker.metrics.families import AT_ONCE
from broker.nodes.node import RUNNING

if TYPE_CHECKING:
    from broker.cluster import Cluster
    from broker.group.classic_group import ClassicGroup
    from broker.group.state import ShardState
    from broker.metrics.families import Families, Labels
    from broker.metrics.state import ClusterState


def brokers(found: Families, state: ClusterState) -> None:
    cluster, labels = state.cluster, state.labels
    running = [node for node in cluster.nodes.values() if node.state == RUNNING]
    found.gauge("kafka_brokers", "Brokers of the cluster that run", labels, len(running))
    for node in running:
        for endpoint in node.addresses[:1]:
            host, port = endpoint.advertised or (endpoint.bound_host, endpoint.bound_port)
            address = f"{host or endpoint.bound_host}:{port or endpoint.bound_port}"
            told = {**labels, "id": str(node.node_id), "address": address}
            found.gauge("kafka_broker_info", "A broker and its first listener's address", told, 1)


def topics(found: Families, state: ClusterState) -> Iterator[None]:
    counts: dict[str, int] = {}
    for number, each in enumerate(state.partitions, 1):
        if number % AT_ONCE == 0:
            yield
        counts[each.topic] = counts.get(each.topic, 0) + 1
        described = each.described
        labels = {**state.labels, "topic": each.topic, "partition": str(each.index)}
        if each.end is not None:
            found.gauge("kafka_topic_partition_current_offset", "High watermark of a partition", labels, each.end)
        if each.start is not None:
            found.gauge("kafka_topic_partition_oldest_offset", "Log start offset of a partition", labels, each.start)
        found.gauge("kafka_topic_partition_leader", "Id of a partition's leader, -1: none", labels, described.leader)
        found.gauge(
            "kafka_topic_partition_leader_is_preferred",
            "1 if a partition's first replica leads it",
            labels,
            described.has_preferred_leader,
        )
        found.gauge("kafka_topic_partition_replicas", "Replicas of a partition", labels, len(described.replicas))
        found.gauge(
            "kafka_topic_partition_in_sync_replica", "Replicas of a partition in sync", labels, len(described.isr)
        )
        found.gauge(
            "kafka_topic_partition_under_replicated_partition",
            "1 if not all replicas of a partition are in sync",
            labels,
            len(described.isr) < len(described.replicas),
        )
    for topic, count in counts.items():
        found.gauge("kafka_topic_partitions", "Partitions of a topic", {**state.labels, "topic": topic}, count)


def groups(found: Families, state: ClusterState) -> Iterator[None]:
    spans = state.spans()
    for number, (shard_state, group) in enumerate(_groups(state.cluster), 1):
        if number % AT_ONCE == 0:
            yield
        labels = {**state.labels, "consumergroup": group.group_id}
        found.gauge("kafka_consumergroup_members", "Members of a group", labels, len(group.members))
        for topic, partitions in shard_state.durable.offsets.get(group.group_id, {}).items():
            told = {**labels, "topic": topic}
            lags: list[int] = []
            for index, value in partitions.items():
                end = spans.get((topic, index), (None, None))[1]
                _offset(found, {**told, "partition": str(index)}, value.offset, end)
                if end is not None:
                    lags.append(max(end - value.offset, 0))
            found.gauge(
                "kafka_consumergroup_current_offset_sum",
                "Committed offsets of a group in a topic, together",
                told,
                sum(value.offset for value in partitions.values()),
            )
            if lags:
                found.gauge("kafka_consumergroup_lag_sum", "Lag of a group in a topic", told, sum(lags))


def _offset(found: Families, labels: Labels, committed: int, end: int | None) -> None:
    found.gauge("kafka_consumergroup_current_offset", "Committed offset of a group in a partition", labels, committed)
    if end is not None:
        lag = max(end - committed, 0)
        found.gauge("kafka_consumergroup_lag", "Records a group is behind in a partition", labels, lag)


def _groups(cluster: Cluster) -> list[tuple[ShardState, ClassicGroup]]:
    return [
        (shard.state, group)
        for node in cluster.nodes.values()
        if node.state == RUNNING
        for shard in node.groups.active_shards()
        for group in shard.state.groups.values()
    ]
