"""From an image to the records that make it: what a snapshot of the metadata holds  (Kafka: MetadataImage.write).

The order is Kafka's: features (metadata.version first), brokers, controllers, each topic with its partitions, configs,
quotas, producer ids, ACLs, SCRAM credentials, delegation tokens.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from typing import Final

from broker.controller.decisions.features import METADATA_VERSION
from broker.controller.model import BrokerImage, ControllerImage, ImageContents, PartitionImage
from broker.controller.record_levels import LATEST_LEVEL, at_level
from broker.controller.records import (
    BrokerEndpoint,
    BrokerFeature,
    ClientQuotaRecord,
    ConfigRecord,
    ControllerEndpoint,
    ControllerFeature,
    FeatureLevelRecord,
    PartitionRecord,
    ProducerIdsRecord,
    Record,
    RegisterBrokerRecord,
    RegisterControllerRecord,
    TopicRecord,
    version_of,
)
from kwire import uuids
from kwire.internal import encode_metadata_record

# After the frame's three bytes a partition's record begins with int32 index and the topic's uuid.
_FRAME_BYTES: Final = 3
_WHICH: Final = struct.Struct(">i16s")
_REST: Final = _FRAME_BYTES + _WHICH.size
_MOST_KINDS: Final = 4096


def image_records(contents: ImageContents) -> Iterator[bytes]:
    """The values of the records, as they stand in the metadata log at the image's metadata.version."""
    level = contents.features.get(METADATA_VERSION, LATEST_LEVEL)

    def encoded(*records: Record) -> Iterator[bytes]:
        for record in at_level(records, level):
            yield encode_metadata_record(record, version_of(record, level))

    features = dict(contents.features)
    first = features.pop(METADATA_VERSION, None)
    if first is not None:
        yield from encoded(FeatureLevelRecord(name=METADATA_VERSION, feature_level=first))
    for name, finalized in features.items():
        yield from encoded(FeatureLevelRecord(name=name, feature_level=finalized))
    for broker in contents.brokers:
        yield from encoded(_broker_record(broker))
    for controller in contents.controllers:
        yield from encoded(_controller_record(controller))
    encode = _PartitionEncoder(encoded)
    for name, topic_id, partitions in contents.topics:
        yield from encoded(TopicRecord(name=name, topic_id=topic_id))
        for index, partition in enumerate(partitions):
            yield encode(partition, topic_id, index)
    for resource, configs in contents.configs:
        for key, value in configs.items():
            yield from encoded(
                ConfigRecord(resource_type=resource.type, resource_name=resource.name, name=key, value=value)
            )
    quotas = sum(type(record) is ClientQuotaRecord for record in contents.kept)
    yield from encoded(*contents.kept[:quotas])
    if contents.next_producer_id is not None:
        yield from encoded(ProducerIdsRecord(broker_id=-1, broker_epoch=-1, next_producer_id=contents.next_producer_id))
    yield from encoded(*contents.kept[quotas:])


class _PartitionEncoder:
    """Partitions by the ten thousand say the same but for index and topic: the rest is encoded once."""

    __slots__ = ("_encoded", "_kinds")

    def __init__(self, encoded: Callable[[Record], Iterator[bytes]]) -> None:
        self._encoded = encoded
        self._kinds: dict[tuple[object, ...], tuple[bytes, bytes]] = {}

    def __call__(self, partition: PartitionImage, topic_id: bytes, index: int) -> bytes:
        kind = (partition.leader_epoch, partition.partition_epoch, partition.without_epochs())
        known = self._kinds.get(kind)
        if known is None:
            if len(self._kinds) >= _MOST_KINDS:
                self._kinds.clear()
            (data,) = self._encoded(_partition_record(partition))
            known = self._kinds[kind] = (data[:_FRAME_BYTES], data[_REST:])
        return known[0] + _WHICH.pack(index, topic_id) + known[1]


def _partition_record(partition: PartitionImage) -> PartitionRecord:
    return PartitionRecord(
        partition_id=0,
        topic_id=uuids.ZERO,
        replicas=list(partition.replicas),
        isr=list(partition.isr),
        removing_replicas=list(partition.removing_replicas),
        adding_replicas=list(partition.adding_replicas),
        leader=partition.leader,
        leader_recovery_state=partition.leader_recovery_state,
        leader_epoch=partition.leader_epoch,
        partition_epoch=partition.partition_epoch,
        directories=list(partition.directories),
        eligible_leader_replicas=list(partition.elr) or None,
        last_known_elr=list(partition.last_known_elr) or None,
    )


def _broker_record(broker: BrokerImage) -> RegisterBrokerRecord:
    return RegisterBrokerRecord(
        broker_id=broker.broker_id,
        incarnation_id=broker.incarnation_id,
        broker_epoch=broker.epoch,
        end_points=[
            BrokerEndpoint(name=e.name, host=e.host, port=e.port, security_protocol=e.security_protocol)
            for e in broker.endpoints
        ],
        features=[
            BrokerFeature(name=name, min_supported_version=low, max_supported_version=high)
            for name, (low, high) in broker.features.items()
        ],
        rack=broker.rack,
        fenced=broker.fenced,
        in_controlled_shutdown=broker.in_controlled_shutdown,
        log_dirs=list(broker.directories),
        cordoned_log_dirs=list(broker.cordoned_directories),
    )


def _controller_record(controller: ControllerImage) -> RegisterControllerRecord:
    return RegisterControllerRecord(
        controller_id=controller.controller_id,
        incarnation_id=controller.incarnation_id,
        end_points=[
            ControllerEndpoint(name=e.name, host=e.host, port=e.port, security_protocol=e.security_protocol)
            for e in controller.endpoints
        ],
        features=[
            ControllerFeature(name=name, min_supported_version=low, max_supported_version=high)
            for name, (low, high) in controller.features.items()
        ],
    )
