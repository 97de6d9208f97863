"""A broker's life: registered fenced, unfenced, shut down with care, fenced, unregistered.

When a broker stops or starts to count, the partitions it holds follow in the same batch. (`ClusterControlManager`,
`ReplicationControlManager.generateLeaderAndIsrUpdates`, KIP-631, KIP-966)
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping

from attrs import define

from broker.controller.decisions.decision import Decision
from broker.controller.decisions.topics import default_directory
from broker.controller.image import (
    NO_LEADER,
    BrokerImage,
    ClusterImage,
    Endpoint,
    PartitionImage,
    TopicImage,
)
from broker.controller.partition_change import (
    Election,
    Surroundings,
    Target,
    copied,
    partition_change,
    without,
)
from broker.controller.records import (
    BrokerEndpoint,
    BrokerFeature,
    BrokerRegistrationChangeRecord,
    PartitionChangeRecord,
    ProducerIdsRecord,
    Record,
    RegisterBrokerRecord,
    UnregisterBrokerRecord,
)
from kwire.error_codes import ErrorCode
from kwire.errors import ApiError

PRODUCER_ID_BLOCK = 1000


@define(slots=True, frozen=True)
class Registration:
    """What a broker says of itself when it starts.

    directories: ids of its log directories. previous_epoch: the broker epoch it noted when it last stopped cleanly, or
    -1; any other than the one it is registered with means that it may have lost the end of its logs.
    """

    broker_id: int
    incarnation_id: bytes
    endpoints: tuple[Endpoint, ...]
    features: Mapping[str, tuple[int, int]]
    directories: tuple[bytes, ...]
    rack: str | None = None
    previous_epoch: int = -1


def register(image: ClusterImage, registration: Registration, next_offset: int) -> Decision[int]:
    """Register a broker, fenced; the answer is its epoch, the offset at which this batch begins.

    Raises ApiError(DUPLICATE_BROKER_REGISTRATION) when it is registered and was not fenced since.
    """
    broker_id = registration.broker_id
    before = image.brokers.get(broker_id)
    records: list[Record] = []
    if before is not None:
        if not before.fenced:
            raise ApiError(ErrorCode.DUPLICATE_BROKER_REGISTRATION, f"Broker {broker_id} is registered and not fenced.")
        if before.epoch != registration.previous_epoch:
            records += _follow(image, broker_id, _held_by(broker_id), unclean=(broker_id,))
    records.append(_record(registration, next_offset, fenced=True))
    return Decision(next_offset, records)


def move(image: ClusterImage, registration: Registration, next_offset: int) -> Decision[int]:
    """The broker goes on where it was, elsewhere: its endpoints change, and nothing that it leads or holds.

    Of a copy of a cluster whose brokers all go on from the same instant; the answer is its epoch, as in `register`.
    """
    _registered(image, registration.broker_id)
    return Decision(next_offset, [_record(registration, next_offset, fenced=False)])


def _record(registration: Registration, epoch: int, *, fenced: bool) -> RegisterBrokerRecord:
    return RegisterBrokerRecord(
        broker_id=registration.broker_id,
        incarnation_id=registration.incarnation_id,
        broker_epoch=epoch,
        end_points=[
            BrokerEndpoint(name=e.name, host=e.host, port=e.port, security_protocol=e.security_protocol)
            for e in registration.endpoints
        ],
        features=[
            BrokerFeature(name=name, min_supported_version=low, max_supported_version=high)
            for name, (low, high) in sorted(registration.features.items())
        ],
        rack=registration.rack,
        fenced=fenced,
        log_dirs=sorted(registration.directories),
    )


def unfence(image: ClusterImage, broker_id: int) -> Decision[None]:
    """The broker has caught up: it may lead, and leads what waited for it."""
    broker = _registered(image, broker_id)
    records: list[Record] = []
    if broker.fenced or broker.in_controlled_shutdown:
        change = BrokerRegistrationChangeRecord(broker_id=broker_id, broker_epoch=broker.epoch, fenced=-1)
        if broker.in_controlled_shutdown:
            change.in_controlled_shutdown = -1
        records.append(change)
        records += _follow(image, broker_id, _leaderless, added=broker_id)
    return Decision(None, records)


def no_directories_cordoned(image: ClusterImage, broker_id: int) -> Decision[None]:
    """Kafka 4.3 notes after each registration which directories take no new replicas: none here."""
    broker = _registered(image, broker_id)
    change = BrokerRegistrationChangeRecord(broker_id=broker_id, broker_epoch=broker.epoch, cordoned_log_dirs=[])
    return Decision(None, [change])


def begin_controlled_shutdown(image: ClusterImage, broker_id: int) -> Decision[None]:
    """The broker wants to stop: others lead what it led, where there are others."""
    broker = _registered(image, broker_id)
    if broker.in_controlled_shutdown or broker.fenced:
        return Decision(None)
    change = BrokerRegistrationChangeRecord(broker_id=broker_id, broker_epoch=broker.epoch, in_controlled_shutdown=1)
    return Decision(None, [change, *_follow(image, broker_id, _held_by(broker_id), removed=broker_id)])


def fence(image: ClusterImage, broker_id: int) -> Decision[None]:
    """The broker is gone."""
    broker = _registered(image, broker_id)
    if broker.fenced:
        return Decision(None)
    changes = _follow(image, broker_id, _held_by(broker_id), removed=broker_id)
    change = BrokerRegistrationChangeRecord(broker_id=broker_id, broker_epoch=broker.epoch, fenced=1)
    return Decision(None, [*changes, change])


def unregister(image: ClusterImage, broker_id: int) -> Decision[None]:
    """Forget the broker. Raises ApiError(BROKER_ID_NOT_REGISTERED)."""
    broker = _registered(image, broker_id)
    changes = _follow(image, broker_id, _held_by(broker_id), removed=broker_id)
    return Decision(None, [*changes, UnregisterBrokerRecord(broker_id=broker_id, broker_epoch=broker.epoch)])


def allocate_producer_ids(image: ClusterImage, broker_id: int) -> Decision[range]:
    """A block of producer ids nobody else will get. (KIP-730)"""
    broker = _registered(image, broker_id)
    first = image.next_producer_id
    if first > 2**63 - 1 - PRODUCER_ID_BLOCK:
        raise ApiError(ErrorCode.UNKNOWN_SERVER_ERROR, "Exhausted all producerIds")
    after = first + PRODUCER_ID_BLOCK
    record = ProducerIdsRecord(broker_id=broker_id, broker_epoch=broker.epoch, next_producer_id=after)
    return Decision(range(first, after), [record])


def _registered(image: ClusterImage, broker_id: int) -> BrokerImage:
    broker = image.brokers.get(broker_id)
    if broker is None:
        raise ApiError(ErrorCode.BROKER_ID_NOT_REGISTERED, f"Broker ID {broker_id} is not currently registered")
    return broker


def _held_by(broker_id: int) -> Callable[[PartitionImage], bool]:
    """Partitions whose ISR or eligible leaders name the broker."""
    return lambda partition: broker_id in partition.isr or broker_id in partition.elr


def _leaderless(partition: PartitionImage) -> bool:
    return partition.leader == NO_LEADER


def surroundings(
    image: ClusterImage,
    topic: TopicImage,
    partition: PartitionImage,
    *,
    removed: int | None = None,
    added: int | None = None,
    unclean: Collection[int] = (),
) -> Surroundings:
    """What `partition_change` needs, as if `removed` were gone and `added` active."""

    def can_lead(broker_id: int) -> bool:
        if broker_id == removed or broker_id in unclean:
            return False
        broker = image.brokers.get(broker_id)
        if broker is None or not (broker_id == added or broker.is_active):
            return False
        directory = partition.directory_of(broker_id)
        return directory is None or _is_online(directory, broker.directories)

    return Surroundings(
        can_lead=can_lead,
        min_isr=image.min_isr(topic.name, len(partition.replicas)),
        elr_enabled=image.elr_enabled,
        default_directory=lambda broker_id: default_directory(image.brokers.get(broker_id)),
        unclean_shutdown=frozenset(unclean),
    )


def _is_online(directory: bytes, registered: tuple[bytes, ...]) -> bool:
    """The first hundred ids mean something else than a directory; "lost" is the one that is not online."""
    if directory[:15] == bytes(15) and directory[15] < 100:
        return directory[15] != 2
    return not registered or directory in registered


def _follow(
    image: ClusterImage,
    broker_id: int,
    concerns: Callable[[PartitionImage], bool],
    *,
    removed: int | None = None,
    added: int | None = None,
    unclean: Collection[int] = (),
) -> Iterator[PartitionChangeRecord]:
    """The changes of the partitions concerned, when the broker goes, comes, or may have lost something."""
    gone = {broker_id} if removed is not None or unclean else set()
    # Most partitions of a cluster are alike: what is decided for one is decided for all of its kind.
    decided: dict[object, PartitionChangeRecord | None] = {}
    for topic in image.topics():
        election = Election.UNCLEAN if image.unclean_election_enabled(topic.name) else Election.ONLINE
        min_isr = image.min_isr(topic.name, 2**15)
        for index, partition in enumerate(topic.partitions):
            if not concerns(partition):
                continue
            kind = (election, min_isr, *partition.without_epochs())
            if kind in decided:
                like = decided[kind]
                record = None if like is None else copied(like, topic.topic_id, index)
            else:
                around = surroundings(image, topic, partition, removed=removed, added=added, unclean=unclean)
                target = Target.like(partition)
                target.isr = without(partition.isr, gone)
                record = partition_change(topic.topic_id, index, partition, target, around, election)
                decided[kind] = record
            if record is not None:
                yield record
