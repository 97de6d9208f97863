"""The names that the JMX exporter's usual rules make of a broker's MBeans (`kafka.server:type=ReplicaManager,name=
PartitionCount` becomes `kafka_server_replicamanager_partitioncount`). Samples of a node carry a label `node` where the
cluster has several; of a one-node cluster they look as a broker's own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from broker.group.states import GroupState
from broker.metrics.families import AT_ONCE

if TYPE_CHECKING:
    from broker.metrics.families import Families
    from broker.metrics.state import ClusterState, PartitionState

_RUNNING_STATE: Final = 3
_CONTROLLER: Final = "kafka_controller_kafkacontroller"
_REPLICAS: Final = "kafka_server_replicamanager"
_GROUPS: Final = "kafka_coordinator_group_groupmetadatamanager"
_GROUP_STATES: Final = (
    (GroupState.PREPARING_REBALANCE, "numgroupspreparingrebalance"),
    (GroupState.COMPLETING_REBALANCE, "numgroupscompletingrebalance"),
    (GroupState.STABLE, "numgroupsstable"),
    (GroupState.EMPTY, "numgroupsempty"),
    (GroupState.DEAD, "numgroupsdead"),
)


def controller(found: Families, state: ClusterState) -> None:
    image = state.cluster.controller.image
    partitions = state.partitions
    internal = "kafka_server_metadataloader"
    active = sum(broker.is_active for broker in image.brokers.values())
    for name, text, value in (
        ("activecontrollercount", "1 for the active controller", 1),
        ("activebrokercount", "Brokers that are registered and not fenced", active),
        ("fencedbrokercount", "Brokers that are registered and fenced", len(image.brokers) - active),
        ("globaltopiccount", "Topics of the cluster", len({each.topic for each in partitions})),
        ("globalpartitioncount", "Partitions of the cluster", len(partitions)),
        ("offlinepartitionscount", "Partitions without a leader", sum(each.leader is None for each in partitions)),
        (
            "preferredreplicaimbalancecount",
            "Partitions not led by their first replica",
            sum(not each.described.has_preferred_leader for each in partitions),
        ),
        ("lastappliedrecordoffset", "Offset of the last metadata record", state.cluster.controller.log_end_offset - 1),
        ("metadataerrorcount", "Errors while metadata was applied", 0),
    ):
        found.gauge(f"{_CONTROLLER}_{name}", text, state.labels, value)
    found.gauge(
        f"{internal}_currentmetadataversion",
        "Level of metadata.version",
        state.labels,
        image.features.get("metadata.version", 0),
    )


def replicas(found: Families, state: ClusterState) -> None:
    for node, labels in state.nodes():
        led = [each for each in state.partitions if each.leader is node]
        counts = {
            "leadercount": (len(led), "Partitions led by the broker"),
            "partitioncount": (
                sum(node.node_id in each.described.replicas for each in state.partitions),
                "Partitions with a replica on the broker",
            ),
            "underreplicatedpartitions": (
                sum(each.under_replicated for each in led),
                "Partitions led here with replicas out of sync",
            ),
            "underminisrpartitioncount": (
                sum(len(each.described.isr) < each.min_isr for each in led),
                "Partitions led here with fewer replicas in sync than min.insync.replicas",
            ),
            "atminisrpartitioncount": (
                sum(len(each.described.isr) == each.min_isr for each in led),
                "Partitions led here with as many replicas in sync as min.insync.replicas",
            ),
            "offlinereplicacount": (
                sum(each.log is not None and each.log.offline for each in led),
                "Replicas whose log is offline",
            ),
            "reassigningpartitions": (
                sum(each.described.is_reassigning for each in led),
                "Partitions led here that are being reassigned",
            ),
        }
        for name, (value, text) in counts.items():
            found.gauge(f"{_REPLICAS}_{name}", text, labels, value)
        found.gauge("kafka_server_kafkaserver_brokerstate", "3: running", labels, _RUNNING_STATE)
        found.gauge(
            "kafka_server_delayedoperationpurgatory_purgatorysize",
            "Requests that wait",
            {**labels, "delayedOperation": "Fetch"},
            len(node.partitions.parked),
        )
        found.gauge(
            "kafka_server_fetchsessioncache_numincrementalfetchsessions",
            "Incremental fetch sessions",
            labels,
            len(node.services.fetch_sessions),
        )


def partitions(found: Families, state: ClusterState) -> Iterator[None]:
    for number, each in enumerate(state.partitions, 1):
        if number % AT_ONCE == 0:
            yield
        labels = {**state.labels, "topic": each.topic, "partition": str(each.index)}
        _replication(found, each, labels)
        log = each.log
        if log is None or log.offline:
            continue
        found.gauge("kafka_log_log_size", "Bytes of a partition's segments", labels, log.segments.size_bytes)
        found.gauge("kafka_log_log_numlogsegments", "Segments of a partition", labels, len(log.segments))
        found.gauge("kafka_log_log_logendoffset", "Log end offset of a partition", labels, log.log_end_offset)
        found.gauge("kafka_log_log_logstartoffset", "Log start offset of a partition", labels, log.log_start_offset)
        found.gauge(
            "kafka_cluster_partition_laststableoffsetlag",
            "Records between last stable offset and high watermark",
            labels,
            max(log.high_watermark - log.last_stable_offset, 0),
        )


def _replication(found: Families, each: PartitionState, labels: dict[str, str]) -> None:
    isr = len(each.described.isr)
    for name, text, value in (
        ("underreplicated", "1 if not all replicas are in sync", int(each.under_replicated)),
        ("insyncreplicascount", "Replicas in sync", isr),
        ("replicascount", "Replicas", len(each.described.replicas)),
        ("underminisr", "1 if fewer replicas are in sync than min.insync.replicas", int(isr < each.min_isr)),
        ("atminisr", "1 if as many replicas are in sync as min.insync.replicas", int(isr == each.min_isr)),
    ):
        found.gauge(f"kafka_cluster_partition_{name}", text, labels, value)


def groups(found: Families, state: ClusterState) -> None:
    for node, labels in state.nodes():
        states: Counter[GroupState] = Counter()
        offsets = 0
        for shard in node.groups.active_shards():
            states.update(group.state for group in shard.state.groups.values())
            offsets += sum(
                len(indexes) for topics in shard.state.durable.offsets.values() for indexes in topics.values()
            )
        found.gauge(f"{_GROUPS}_numgroups", "Groups the broker coordinates", labels, states.total())
        for group_state, name in _GROUP_STATES:
            found.gauge(f"{_GROUPS}_{name}", f"Groups in state {group_state.value}", labels, states[group_state])
        found.gauge(f"{_GROUPS}_numoffsets", "Committed offsets the broker keeps", labels, offsets)


def logs(found: Families, state: ClusterState) -> None:
    cluster, labels = state.cluster, state.labels
    manager = cluster.manager
    online = {directory.path for directory in manager.online_directories}
    found.gauge(
        "kafka_log_logmanager_offlinelogdirectorycount",
        "Log directories that have failed",
        labels,
        len(manager.directories) - len(online),
    )
    for directory in manager.directories:
        found.gauge(
            "kafka_log_logmanager_logdirectoryoffline",
            "1 if a log directory has failed",
            {**labels, "logDirectory": directory.path},
            directory.path not in online,
        )
    stats = cluster.cleaner.stats
    for name, text, value in (
        ("logcleanermanager_max_dirty_percent", "Of the dirtiest log, in percent", stats.max_dirty_percent),
        ("logcleanermanager_uncleanable_partitions_count", "Logs the cleaner leaves out", len(stats.uncleanable)),
        (
            "logcleanermanager_time_since_last_run_ms",
            "Since the cleaner looked for something to do",
            cluster.clock.now_ms() - stats.last_run_ms if stats.last_run_ms >= 0 else 0,
        ),
        ("logcleaner_cleaner_recopy_percent", "Of the last cleaning: bytes kept, in percent", stats.recopy_percent),
        (
            "logcleaner_max_buffer_utilization_percent",
            "Of the last cleaning's offset map",
            stats.max_buffer_utilization_percent,
        ),
        ("logcleaner_max_clean_time_secs", "The last cleaning took so long", stats.max_clean_time_secs),
        (
            "logcleaner_max_compaction_delay_secs",
            "The most overdue log has waited so long beyond max.compaction.lag.ms",
            stats.max_compaction_delay_ms // 1000,
        ),
    ):
        found.gauge(f"kafka_log_{name}", text, labels, value)
