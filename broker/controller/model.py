"""What the cluster's image is made of: partitions, topics, brokers, and what a batch changed."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from attrs import define, field

from broker.controller.names import is_internal
from broker.controller.ports import ConfigResource
from broker.controller.records import Record

NO_LEADER: Final = -1
NO_LEADER_CHANGE: Final = -2
RECOVERED: Final = 0
RECOVERING: Final = 1
NO_CONFIGS: Final[Mapping[str, str]] = MappingProxyType({})


@define(slots=True)
class PartitionImage:
    """One partition. `directories` are 16-byte ids, one per replica in the order of `replicas`.

    leader -1: none. leader_recovery_state 1: elected uncleanly and not recovered yet. elr, last_known_elr: KIP-966.
    """

    replicas: tuple[int, ...]
    isr: tuple[int, ...]
    leader: int
    leader_epoch: int
    partition_epoch: int
    directories: tuple[bytes, ...]
    removing_replicas: tuple[int, ...] = ()
    adding_replicas: tuple[int, ...] = ()
    elr: tuple[int, ...] = ()
    last_known_elr: tuple[int, ...] = ()
    leader_recovery_state: int = RECOVERED

    @property
    def is_reassigning(self) -> bool:
        return bool(self.removing_replicas or self.adding_replicas)

    @property
    def has_preferred_leader(self) -> bool:
        return self.leader == (self.replicas[0] if self.replicas else NO_LEADER)

    def without_epochs(self) -> tuple[Any, ...]:
        """Everything but the epochs: what decisions about a partition depend on."""
        return (
            self.replicas,
            self.isr,
            self.leader,
            self.directories,
            self.removing_replicas,
            self.adding_replicas,
            self.elr,
            self.last_known_elr,
            self.leader_recovery_state,
        )

    def directory_of(self, broker_id: int) -> bytes | None:
        """Where that replica lives, or None when the broker holds none."""
        for replica, directory in zip(self.replicas, self.directories, strict=True):
            if replica == broker_id:
                return directory
        return None


@define(slots=True)
class TopicImage:
    """One topic. `partitions` by index, without gaps. `configs`: what was set on the topic itself.

    revision: of the image, when anything here last changed; a cache of answers compares it.
    """

    name: str
    topic_id: bytes
    partitions: list[PartitionImage]
    configs: Mapping[str, str] = NO_CONFIGS
    revision: int = 0

    @property
    def is_internal(self) -> bool:
        return is_internal(self.name)


@define(slots=True, frozen=True)
class Endpoint:
    """Where a node can be reached. security_protocol: 0 PLAINTEXT, 1 SSL, 2 SASL_PLAINTEXT, 3 SASL_SSL."""

    name: str
    host: str
    port: int
    security_protocol: int = 0


@define(slots=True, frozen=True)
class BrokerImage:
    """One registered broker. epoch: the offset of the batch that registered it."""

    broker_id: int
    epoch: int
    incarnation_id: bytes
    endpoints: tuple[Endpoint, ...]
    features: Mapping[str, tuple[int, int]]
    rack: str | None = None
    fenced: bool = True
    in_controlled_shutdown: bool = False
    directories: tuple[bytes, ...] = ()
    cordoned_directories: tuple[bytes, ...] = ()

    @property
    def is_active(self) -> bool:
        """Able to lead and to take new replicas."""
        return not self.fenced and not self.in_controlled_shutdown


@define(slots=True, frozen=True)
class ControllerImage:
    """One registered controller node."""

    controller_id: int
    incarnation_id: bytes
    endpoints: tuple[Endpoint, ...]
    features: Mapping[str, tuple[int, int]]


@define(slots=True, frozen=True)
class ImageContents:
    """An image at one offset, to be written down while the image itself goes on.

    topics: (name, id, partitions). next_producer_id: None when no block was ever given out. kept: quotas, ACLs, SCRAM
    credentials and delegation tokens, in this order.
    """

    features: Mapping[str, int]
    brokers: tuple[BrokerImage, ...]
    controllers: tuple[ControllerImage, ...]
    topics: list[tuple[str, bytes, tuple[PartitionImage, ...]]]
    configs: list[tuple[ConfigResource, Mapping[str, str]]]
    next_producer_id: int | None
    kept: list[Record]


@define(slots=True)
class ImageChange:
    """What one batch of records changed, for those who follow the image.

    A deleted topic is given as it last was. `partitions`: (topic as it is now, indexes that are new or changed).
    """

    created_topics: list[TopicImage] = field(factory=list)
    deleted_topics: list[TopicImage] = field(factory=list)
    partitions: dict[bytes, tuple[TopicImage, set[int]]] = field(factory=dict)
    configs: set[ConfigResource] = field(factory=set)
    features: bool = False
    brokers: bool = False

    def touched(self, topic: TopicImage, index: int) -> None:
        entry = self.partitions.get(topic.topic_id)
        if entry is None:
            self.partitions[topic.topic_id] = (topic, {index})
        else:
            entry[1].add(index)
