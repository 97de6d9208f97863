"""The cluster as the metadata log says: topics, partitions, configs, brokers, features.

Changed by `ClusterImage.replay(record)` only, live and at start alike. A `PartitionImage` and a `BrokerImage` never
change: a record puts a new one in their place. A `TopicImage` lives as long as the topic; its `revision` tells changes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

from attrs import evolve

from broker.controller import records as r
from broker.controller.model import (
    NO_CONFIGS,
    NO_LEADER,
    NO_LEADER_CHANGE,
    RECOVERED,
    RECOVERING,
    BrokerImage,
    ControllerImage,
    Endpoint,
    ImageChange,
    ImageContents,
    PartitionImage,
    TopicImage,
)
from broker.controller.names import collision_key, has_collision_characters
from broker.controller.ports import RESOURCE_BROKER, RESOURCE_TOPIC, ConfigResource
from kwire.errors import KwireError

__all__ = [
    "NO_CONFIGS",
    "NO_LEADER",
    "NO_LEADER_CHANGE",
    "RECOVERED",
    "RECOVERING",
    "BrokerImage",
    "ClusterImage",
    "ControllerImage",
    "Endpoint",
    "ImageChange",
    "ImageError",
    "PartitionImage",
    "TopicImage",
]


# First part of the keys of what is kept, in the order a snapshot has it.
_QUOTA: Final = 0
_ACL: Final = 1
_SCRAM: Final = 2
_TOKEN: Final = 3


class ImageError(KwireError):
    """A record that cannot follow those before it: the log is damaged, or a decision is wrong."""


class ClusterImage:
    """See the module. `revision` grows by one with each replayed record.

    static_configs: what the settings say of keys that decisions look at, for where nothing was set at run time.
    """

    def __init__(self, cluster_id: str, static_configs: Mapping[str, str] = NO_CONFIGS) -> None:
        self.cluster_id = cluster_id
        self._static_configs = static_configs
        self.revision = 0
        self.brokers_revision = 0
        self.topics_revision = 0
        self.brokers: dict[int, BrokerImage] = {}
        self.controllers: dict[int, ControllerImage] = {}
        self.features: dict[str, int] = {}
        self.next_producer_id = 0
        self.producer_ids_allocated = False
        # What others computed from the image, e.g. encoded answers: emptied when the image changes.
        self.derived: dict[Any, Any] = {}
        self.reassigning: dict[bytes, set[int]] = {}
        self._kept: dict[tuple[Any, ...], r.Record] = {}
        self._topics_by_name: dict[str, TopicImage] = {}
        self._topics_by_id: dict[bytes, TopicImage] = {}
        self._sorted_topics: list[TopicImage] | None = None
        self._collisions: dict[str, set[str]] = {}
        self._configs: dict[ConfigResource, dict[str, str]] = {}
        self._tuples: dict[tuple[Any, ...], tuple[Any, ...]] = {}
        self._change: ImageChange | None = None

    # Reading

    def topic_by_name(self, name: str) -> TopicImage | None:
        return self._topics_by_name.get(name)

    def topic_by_id(self, topic_id: bytes) -> TopicImage | None:
        return self._topics_by_id.get(topic_id)

    def topics(self) -> Sequence[TopicImage]:
        """All topics by name. Do not change the list."""
        topics = self._sorted_topics
        if topics is None:
            topics = self._sorted_topics = [self._topics_by_name[name] for name in sorted(self._topics_by_name)]
        return topics

    def partition(self, topic_name: str, index: int) -> PartitionImage | None:
        topic = self._topics_by_name.get(topic_name)
        if topic is None or not 0 <= index < len(topic.partitions):
            return None
        return topic.partitions[index]

    def configs(self, resource_type: int, name: str) -> Mapping[str, str]:
        """What was set on that resource; empty when nothing was."""
        return self._configs.get(ConfigResource(resource_type, name), NO_CONFIGS)

    def config_resources(self, resource_type: int | None = None) -> list[ConfigResource]:
        """Every resource that has something set, sorted; of one type only when given."""
        return sorted(each for each in self._configs if resource_type in (None, each.type))

    @property
    def other_records(self) -> list[r.Record]:
        """ACLs, quotas, SCRAM credentials and delegation tokens that are there, in the order they came up."""
        return list(self._kept.values())

    def colliding_topic(self, name: str) -> str | None:
        """A topic whose name is the same but for '.' and '_'."""
        if not has_collision_characters(name):
            return None
        others = self._collisions.get(collision_key(name))
        return min(others) if others else None

    def is_active(self, broker_id: int) -> bool:
        broker = self.brokers.get(broker_id)
        return broker is not None and broker.is_active

    @property
    def elr_enabled(self) -> bool:
        return self.features.get("eligible.leader.replicas.version", 0) >= 1

    def config_value(self, topic_name: str, key: str) -> str | None:
        """A topic's own value, else the one set for all brokers under the same key, else the settings'."""
        value = self.configs(RESOURCE_TOPIC, topic_name).get(key)
        if value is None:
            value = self.configs(RESOURCE_BROKER, "").get(key)
        return value if value is not None else self._static_configs.get(key)

    def min_isr(self, topic_name: str, replication_factor: int) -> int:
        """What elections take for min.insync.replicas: never more than the number of replicas."""
        text = self.config_value(topic_name, "min.insync.replicas")
        try:
            wanted = int(text) if text is not None else 1
        except ValueError:
            wanted = 1
        return min(wanted, replication_factor)

    def unclean_election_enabled(self, topic_name: str) -> bool:
        return (self.config_value(topic_name, "unclean.leader.election.enable") or "").lower() == "true"

    def contents(self) -> ImageContents:
        """All there is, as of now: what is replayed later does not change it. Costs a copy of references."""
        return ImageContents(
            features=dict(self.features),
            brokers=tuple(self.brokers.values()),
            controllers=tuple(self.controllers.values()),
            topics=[(topic.name, topic.topic_id, tuple(topic.partitions)) for topic in self._topics_by_name.values()],
            configs=list(self._configs.items()),
            next_producer_id=self.next_producer_id if self.producer_ids_allocated else None,
            kept=[record for _, record in sorted(self._kept.items(), key=lambda item: item[0][0])],
        )

    # Changing

    def replay(self, record: r.Record) -> None:
        """Apply one record. Raises ImageError when it does not fit what was there before."""
        try:
            apply = _APPLY[type(record)]
        except KeyError:
            raise ImageError(f"a metadata record of unknown type {type(record).__name__}") from None
        self.revision += 1
        if self.derived:
            self.derived.clear()
        apply(self, record)

    def collect(self) -> ImageChange:
        """Start noting what the next records change; the note is filled as they are replayed, until `collected`."""
        self._change = change = ImageChange()
        return change

    def collected(self) -> None:
        self._change = None

    def _shared(self, values: Iterable[Any]) -> tuple[Any, ...]:
        # Ten thousand partitions on one node have the same replicas: keep one tuple.
        key = tuple(values)
        return self._tuples.setdefault(key, key)

    def _new(self, value: list[Any] | None, current: tuple[Any, ...]) -> tuple[Any, ...]:
        return current if value is None else self._shared(value)

    def _topic_record(self, record: r.TopicRecord) -> None:
        name, topic_id = record.name, record.topic_id
        if name in self._topics_by_name:
            raise ImageError(f"topic {name} is created a second time")
        topic = TopicImage(name, topic_id, [], self._configs.get(ConfigResource(RESOURCE_TOPIC, name), NO_CONFIGS))
        topic.revision = self.topics_revision = self.revision
        self._topics_by_name[name] = topic
        self._topics_by_id[topic_id] = topic
        self._sorted_topics = None
        if has_collision_characters(name):
            self._collisions.setdefault(collision_key(name), set()).add(name)
        if self._change is not None:
            self._change.created_topics.append(topic)

    def _remove_topic_record(self, record: r.RemoveTopicRecord) -> None:
        topic = self._topics_by_id.pop(record.topic_id, None)
        if topic is None:
            raise ImageError(f"a topic id that does not exist is removed: {record.topic_id.hex()}")
        name = topic.name
        del self._topics_by_name[name]
        self._sorted_topics = None
        self.topics_revision = self.revision
        self.reassigning.pop(topic.topic_id, None)
        self._configs.pop(ConfigResource(RESOURCE_TOPIC, name), None)
        colliding = self._collisions.get(collision_key(name))
        if colliding is not None:
            colliding.discard(name)
            if not colliding:
                del self._collisions[collision_key(name)]
        if self._change is not None:
            self._change.deleted_topics.append(topic)
            self._change.partitions.pop(topic.topic_id, None)

    def _topic_of(self, topic_id: bytes) -> TopicImage:
        topic = self._topics_by_id.get(topic_id)
        if topic is None:
            raise ImageError(f"a partition of a topic id that does not exist: {topic_id.hex()}")
        return topic

    def _put_partition(self, topic: TopicImage, index: int, partition: PartitionImage) -> None:
        partitions = topic.partitions
        if index == len(partitions):
            partitions.append(partition)
        elif 0 <= index < len(partitions):
            partitions[index] = partition
        else:
            raise ImageError(f"partition {index} of topic {topic.name} comes before partition {len(partitions)}")
        topic.revision = self.topics_revision = self.revision
        if partition.removing_replicas or partition.adding_replicas:
            self.reassigning.setdefault(topic.topic_id, set()).add(index)
        elif self.reassigning:
            left = self.reassigning.get(topic.topic_id)
            if left is not None:
                left.discard(index)
                if not left:
                    del self.reassigning[topic.topic_id]
        if self._change is not None:
            self._change.touched(topic, index)

    def _partition_record(self, record: r.PartitionRecord) -> None:
        shared = self._shared
        replicas = shared(record.replicas)
        partition = PartitionImage(
            replicas=replicas,
            isr=shared(record.isr or ()),
            leader=record.leader,
            leader_epoch=record.leader_epoch,
            partition_epoch=record.partition_epoch,
            directories=shared(record.directories or (bytes(16),) * len(replicas)),
            removing_replicas=shared(record.removing_replicas or ()),
            adding_replicas=shared(record.adding_replicas or ()),
            elr=shared(record.eligible_leader_replicas or ()),
            last_known_elr=shared(record.last_known_elr or ()),
            leader_recovery_state=record.leader_recovery_state,
        )
        self._put_partition(self._topic_of(record.topic_id), record.partition_id, partition)

    def _partition_change_record(self, record: r.PartitionChangeRecord) -> None:
        topic = self._topic_of(record.topic_id)
        index = record.partition_id
        if not 0 <= index < len(topic.partitions):
            raise ImageError(f"partition {index} of topic {topic.name} is changed and does not exist")
        old = topic.partitions[index]
        shared, new = self._shared, self._new
        replicas = new(record.replicas, old.replicas)
        if record.directories is not None:
            directories = shared(record.directories)
        elif record.replicas is None:
            directories = old.directories
        else:
            known = dict(zip(old.replicas, old.directories, strict=True))
            directories = shared(known.get(replica, bytes(16)) for replica in replicas)
        leader, leader_epoch = old.leader, old.leader_epoch
        if record.leader != NO_LEADER_CHANGE:
            # Naming the same leader again is how an epoch is raised without an election.
            leader, leader_epoch = record.leader, old.leader_epoch + 1
        recovery = record.leader_recovery_state
        partition = PartitionImage(
            replicas=replicas,
            isr=new(record.isr, old.isr),
            leader=leader,
            leader_epoch=leader_epoch,
            partition_epoch=old.partition_epoch + 1,
            directories=directories,
            removing_replicas=new(record.removing_replicas, old.removing_replicas),
            adding_replicas=new(record.adding_replicas, old.adding_replicas),
            elr=new(record.eligible_leader_replicas, old.elr),
            last_known_elr=new(record.last_known_elr, old.last_known_elr),
            leader_recovery_state=old.leader_recovery_state if recovery < 0 else recovery,
        )
        self._put_partition(topic, index, partition)

    def _config_record(self, record: r.ConfigRecord) -> None:
        resource = ConfigResource(record.resource_type, record.resource_name)
        configs = dict(self._configs.get(resource, NO_CONFIGS))
        if record.value is None:
            configs.pop(record.name, None)
        else:
            configs[record.name] = record.value
        if configs:
            self._configs[resource] = configs
        else:
            self._configs.pop(resource, None)
        if resource.type == RESOURCE_TOPIC:
            topic = self._topics_by_name.get(resource.name)
            if topic is not None:
                topic.configs = configs or NO_CONFIGS
        if self._change is not None:
            self._change.configs.add(resource)

    def _clear_elr_record(self, record: r.ClearElrRecord) -> None:
        if record.topic_name:
            topic = self._topics_by_name.get(record.topic_name)
            if topic is None:
                raise ImageError(f"ELRs are cleared of topic {record.topic_name}, which does not exist")
            topics: Iterable[TopicImage] = (topic,)
        else:
            topics = self._topics_by_name.values()
        for topic in topics:
            for index, partition in enumerate(topic.partitions):
                if partition.elr or partition.last_known_elr:
                    cleared = evolve(
                        partition, elr=(), last_known_elr=(), partition_epoch=partition.partition_epoch + 1
                    )
                    self._put_partition(topic, index, cleared)

    def _feature_level_record(self, record: r.FeatureLevelRecord) -> None:
        if record.feature_level == 0 and record.name != "metadata.version":
            self.features.pop(record.name, None)
        else:
            self.features[record.name] = record.feature_level
        if self._change is not None:
            self._change.features = True

    def _put_broker(self, broker: BrokerImage) -> None:
        self.brokers[broker.broker_id] = broker
        self._brokers_changed()

    def _brokers_changed(self) -> None:
        self.brokers_revision = self.revision
        if self._change is not None:
            self._change.brokers = True

    def _register_broker_record(self, record: r.RegisterBrokerRecord) -> None:
        self._put_broker(
            BrokerImage(
                broker_id=record.broker_id,
                epoch=record.broker_epoch,
                incarnation_id=record.incarnation_id,
                endpoints=tuple(Endpoint(e.name, e.host, e.port, e.security_protocol) for e in record.end_points),
                features={f.name: (f.min_supported_version, f.max_supported_version) for f in record.features},
                rack=record.rack,
                fenced=record.fenced,
                in_controlled_shutdown=record.in_controlled_shutdown,
                directories=tuple(record.log_dirs),
                cordoned_directories=tuple(record.cordoned_log_dirs or ()),
            )
        )

    def _broker_of(self, broker_id: int, epoch: int) -> BrokerImage:
        broker = self.brokers.get(broker_id)
        if broker is None or broker.epoch != epoch:
            raise ImageError(f"broker {broker_id} with epoch {epoch} is changed and is not registered")
        return broker

    def _broker_registration_change_record(self, record: r.BrokerRegistrationChangeRecord) -> None:
        broker = self._broker_of(record.broker_id, record.broker_epoch)
        if record.fenced:
            broker = evolve(broker, fenced=record.fenced > 0)
        if record.in_controlled_shutdown:
            broker = evolve(broker, in_controlled_shutdown=record.in_controlled_shutdown > 0)
        if record.log_dirs:
            broker = evolve(broker, directories=tuple(record.log_dirs))
        if record.cordoned_log_dirs is not None:
            broker = evolve(broker, cordoned_directories=tuple(record.cordoned_log_dirs))
        self._put_broker(broker)

    def _fence_broker_record(self, record: r.FenceBrokerRecord) -> None:
        self._put_broker(evolve(self._broker_of(record.id, record.epoch), fenced=True))

    def _unfence_broker_record(self, record: r.UnfenceBrokerRecord) -> None:
        self._put_broker(evolve(self._broker_of(record.id, record.epoch), fenced=False))

    def _unregister_broker_record(self, record: r.UnregisterBrokerRecord) -> None:
        self._broker_of(record.broker_id, record.broker_epoch)
        del self.brokers[record.broker_id]
        self._brokers_changed()

    def _register_controller_record(self, record: r.RegisterControllerRecord) -> None:
        self.controllers[record.controller_id] = ControllerImage(
            controller_id=record.controller_id,
            incarnation_id=record.incarnation_id,
            endpoints=tuple(Endpoint(e.name, e.host, e.port, e.security_protocol) for e in record.end_points),
            features={f.name: (f.min_supported_version, f.max_supported_version) for f in record.features},
        )

    def _producer_ids_record(self, record: r.ProducerIdsRecord) -> None:
        self.next_producer_id = record.next_producer_id
        self.producer_ids_allocated = True

    # Not acted upon yet (ACLs, quotas, SCRAM, tokens), but not lost either: the latest of each, none once removed.

    def _access_control_entry_record(self, record: r.AccessControlEntryRecord) -> None:
        self._kept[_ACL, record.id] = record

    def _remove_access_control_entry_record(self, record: r.RemoveAccessControlEntryRecord) -> None:
        self._kept.pop((_ACL, record.id), None)

    def _client_quota_record(self, record: r.ClientQuotaRecord) -> None:
        entity = tuple((part.entity_type, part.entity_name) for part in record.entity)
        key = (_QUOTA, frozenset(entity), record.key)
        if record.remove:
            self._kept.pop(key, None)
        else:
            self._kept[key] = record

    def _user_scram_credential_record(self, record: r.UserScramCredentialRecord) -> None:
        self._kept[_SCRAM, record.name, record.mechanism] = record

    def _remove_user_scram_credential_record(self, record: r.RemoveUserScramCredentialRecord) -> None:
        self._kept.pop((_SCRAM, record.name, record.mechanism), None)

    def _delegation_token_record(self, record: r.DelegationTokenRecord) -> None:
        self._kept[_TOKEN, record.token_id] = record

    def _remove_delegation_token_record(self, record: r.RemoveDelegationTokenRecord) -> None:
        self._kept.pop((_TOKEN, record.token_id), None)

    def _nothing(self, record: r.Record) -> None:
        pass


_APPLY: Final[Mapping[type, Callable[[ClusterImage, Any], None]]] = MappingProxyType(
    {
        r.TopicRecord: ClusterImage._topic_record,
        r.RemoveTopicRecord: ClusterImage._remove_topic_record,
        r.PartitionRecord: ClusterImage._partition_record,
        r.PartitionChangeRecord: ClusterImage._partition_change_record,
        r.ConfigRecord: ClusterImage._config_record,
        r.ClearElrRecord: ClusterImage._clear_elr_record,
        r.FeatureLevelRecord: ClusterImage._feature_level_record,
        r.RegisterBrokerRecord: ClusterImage._register_broker_record,
        r.BrokerRegistrationChangeRecord: ClusterImage._broker_registration_change_record,
        r.FenceBrokerRecord: ClusterImage._fence_broker_record,
        r.UnfenceBrokerRecord: ClusterImage._unfence_broker_record,
        r.UnregisterBrokerRecord: ClusterImage._unregister_broker_record,
        r.RegisterControllerRecord: ClusterImage._register_controller_record,
        r.ProducerIdsRecord: ClusterImage._producer_ids_record,
        r.NoOpRecord: ClusterImage._nothing,
        r.AccessControlEntryRecord: ClusterImage._access_control_entry_record,
        r.RemoveAccessControlEntryRecord: ClusterImage._remove_access_control_entry_record,
        r.ClientQuotaRecord: ClusterImage._client_quota_record,
        r.UserScramCredentialRecord: ClusterImage._user_scram_credential_record,
        r.RemoveUserScramCredentialRecord: ClusterImage._remove_user_scram_credential_record,
        r.DelegationTokenRecord: ClusterImage._delegation_token_record,
        r.RemoveDelegationTokenRecord: ClusterImage._remove_delegation_token_record,
        r.ZkMigrationStateRecord: ClusterImage._nothing,
    }
)
