"""What the parts of a cluster are told, taken from the broker's settings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from broker.config.broker_config import BrokerConfig
from broker.config.values import ConfigValue
from broker.controller.image import Endpoint
from broker.controller.settings import ControllerSettings, InternalTopic
from broker.group.config import GroupConfig
from broker.snapshot_generator import SnapshotSettings
from broker.txn.config import TransactionConfig
from broker.versions import BOOTSTRAP_FEATURES, SUPPORTED_FEATURES
from log.config import LogConfig

_CODECS: Final = {0: "producer", 1: "gzip", 2: "snappy", 3: "lz4", 4: "zstd"}
_LOG_SETTINGS: Final = frozenset(field.name for field in LogConfig.__attrs_attrs__)


_KAFKAS_FACTOR: Final = 3


def _internal_factor(config: BrokerConfig, name: str, nodes: int) -> int:
    """Untold, one replica with one node (docs/DIFFERENCES.md), with several Kafka's default, as far as there are nodes.

    The controller makes no more than there are nodes, whatever is asked for.
    """
    return min(_KAFKAS_FACTOR, nodes) if name not in config.effective else config.get_int(name)


def controller_settings(config: BrokerConfig, cluster_id: str, node_id: int, nodes: int = 1) -> ControllerSettings:
    """A node that is broker and controller, in a cluster of `nodes`."""
    return ControllerSettings(
        cluster_id=cluster_id,
        node_id=node_id,
        bootstrap_features=BOOTSTRAP_FEATURES,
        supported_features=SUPPORTED_FEATURES,
        num_partitions=config.get_int("num.partitions"),
        replication_factor=config.get_int("default.replication.factor"),
        auto_create_topics=config.get_bool("auto.create.topics.enable"),
        delete_topics=config.get_bool("delete.topic.enable"),
        max_describe_partitions=config.get_int("max.request.partition.size.limit"),
        internal_topics={
            "__consumer_offsets": InternalTopic(
                config.get_int("offsets.topic.num.partitions"),
                _internal_factor(config, "offsets.topic.replication.factor", nodes),
                {
                    "compression.type": _CODECS.get(config.get_int("offsets.topic.compression.codec"), "producer"),
                    "cleanup.policy": "compact",
                    "segment.bytes": str(config.get_int("offsets.topic.segment.bytes")),
                },
            ),
            "__transaction_state": InternalTopic(
                config.get_int("transaction.state.log.num.partitions"),
                _internal_factor(config, "transaction.state.log.replication.factor", nodes),
                {
                    "compression.type": "uncompressed",
                    "cleanup.policy": "compact",
                    "min.insync.replicas": str(config.get_int("transaction.state.log.min.isr")),
                    "segment.bytes": str(config.get_int("transaction.state.log.segment.bytes")),
                    "unclean.leader.election.enable": "false",
                },
            ),
            "__share_group_state": InternalTopic(
                config.get_int("share.coordinator.state.topic.num.partitions"),
                _internal_factor(config, "share.coordinator.state.topic.replication.factor", nodes),
                {
                    "compression.type": "producer",
                    "cleanup.policy": "delete",
                    "min.insync.replicas": str(config.get_int("share.coordinator.state.topic.min.isr")),
                    "retention.ms": "-1",
                    "segment.bytes": str(config.get_int("share.coordinator.state.topic.segment.bytes")),
                },
            ),
        },
        controller_endpoints=(Endpoint("CONTROLLER", "localhost", 0),),
        min_insync_replicas=config.get_int("min.insync.replicas"),
        unclean_leader_election=config.get_bool("unclean.leader.election.enable"),
        lenient_factor=config.get_bool("kwire.replication.factor.lenient"),
    )


def group_config(config: BrokerConfig) -> GroupConfig:
    """The group coordinator's settings."""
    names = (
        "group.min.session.timeout.ms",
        "group.max.session.timeout.ms",
        "group.initial.rebalance.delay.ms",
        "group.max.size",
        "offset.metadata.max.bytes",
        "offsets.retention.minutes",
        "offsets.retention.check.interval.ms",
        "offsets.commit.timeout.ms",
        "offsets.topic.compression.codec",
    )
    return GroupConfig(**{name.replace(".", "_"): config.get_int(name) for name in names})


def transaction_config(config: BrokerConfig) -> TransactionConfig:
    """The transaction coordinator's settings."""
    names = (
        "transaction.max.timeout.ms",
        "transactional.id.expiration.ms",
        "transaction.abort.timed.out.transaction.cleanup.interval.ms",
        "transaction.remove.expired.transaction.cleanup.interval.ms",
        "request.timeout.ms",
        "offsets.topic.num.partitions",
    )
    return TransactionConfig(
        **{name.replace(".", "_"): config.get_int(name) for name in names},
        transaction_two_phase_commit_enable=config.get_bool("transaction.two.phase.commit.enable"),
    )


def log_config(values: Mapping[str, ConfigValue]) -> LogConfig:
    """A log's settings from all of its topic's typed values."""
    found: dict[str, Any] = {}
    for name, value in values.items():
        attribute = name.replace(".", "_")
        if attribute in _LOG_SETTINGS and value is not None:
            found[attribute] = tuple(value) if isinstance(value, list) else value
    internal = values.get("internal.segment.bytes")
    if isinstance(internal, int):
        found["segment_bytes"] = internal
    return LogConfig(**found)


def metadata_log_config(config: BrokerConfig) -> LogConfig:
    """The metadata log's. Nothing of it is deleted but what is below a snapshot."""
    segment_bytes = config.get("internal.metadata.log.segment.bytes")
    return LogConfig(
        cleanup_policy=(),
        segment_bytes=segment_bytes if isinstance(segment_bytes, int) else config.get_int("metadata.log.segment.bytes"),
        segment_ms=config.get_int("metadata.log.segment.ms"),
        max_message_bytes=2**31 - 1,
        file_delete_delay_ms=config.get_int("internal.metadata.delete.delay.millis"),
        flush_messages=1,  # nothing of it counts before its fsync, and recovery believes the disk alone
    )


def snapshot_settings(config: BrokerConfig) -> SnapshotSettings:
    """When snapshots of the metadata are made, and how long they are kept."""
    return SnapshotSettings(
        max_bytes=config.get_int("metadata.log.max.record.bytes.between.snapshots"),
        interval_ms=config.get_int("metadata.log.max.snapshot.interval.ms"),
        retention_bytes=config.get_int("metadata.max.retention.bytes"),
        retention_ms=config.get_int("metadata.max.retention.ms"),
    )
