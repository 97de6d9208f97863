"""Creating and deleting topics, adding partitions. (`ReplicationControlManager`)"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from attrs import define, field

from broker.controller.decisions.configs import check_size, clear_elr_records
from broker.controller.decisions.decision import MAX_RECORDS_PER_OPERATION, Decision, too_many_records
from broker.controller.image import BrokerImage, ClusterImage
from broker.controller.names import name_problem
from broker.controller.placement import Below, place, usable_brokers
from broker.controller.ports import (
    RESOURCE_BROKER,
    RESOURCE_TOPIC,
    ConfigEntry,
    ConfigResource,
    ConfigRules,
    UuidSource,
)
from broker.controller.records import ConfigRecord, PartitionRecord, Record, RemoveTopicRecord, TopicRecord
from kwire import uuids
from kwire.error_codes import ErrorCode
from kwire.errors import ApiError

MAX_PARTITIONS_PER_REQUEST: Final = 10_000
"""`ReplicationControlManager.MAX_PARTITIONS_PER_BATCH`"""


@define(slots=True)
class NewTopic:
    """A topic to create.

    num_partitions, replication_factor: -1 for the broker's default. assignments: (partition, replicas, leader first);
    when given, both numbers must be -1. configs: (name, value) as asked for; a null value is refused.
    """

    name: str
    num_partitions: int = -1
    replication_factor: int = -1
    assignments: Sequence[tuple[int, Sequence[int]]] = ()
    configs: Sequence[tuple[str, str | None]] = ()


@define(slots=True)
class CreatedTopic:
    """What became of one `NewTopic`: either `error`, or the rest."""

    name: str
    error: ApiError | None = None
    topic_id: bytes = uuids.ZERO
    num_partitions: int = -1
    replication_factor: int = -1
    configs: Sequence[ConfigEntry] = field(factory=list)


@define(slots=True, frozen=True)
class TopicDefaults:
    """`num.partitions` and `default.replication.factor`, and the node whose configs a new topic's answer shows.

    lenient_factor: a replication factor above the number of brokers means all of them (kwire's own setting).
    """

    num_partitions: int
    replication_factor: int
    node_id: int
    lenient_factor: bool = False


@define(slots=True)
class TopicTools:
    """What creating needs besides the image."""

    defaults: TopicDefaults
    rules: ConfigRules
    new_uuid: UuidSource
    below: Below


def create_topics(image: ClusterImage, topics: Sequence[NewTopic], tools: TopicTools) -> Decision[list[CreatedTopic]]:
    """Each topic on its own; names must differ from each other.

    Raises ApiError(POLICY_VIOLATION) for the request as a whole when it asks for too much.
    """
    if sum(_partitions_asked_for(topic, tools.defaults) for topic in topics) > MAX_PARTITIONS_PER_REQUEST:
        raise ApiError(ErrorCode.POLICY_VIOLATION, "Excessively large number of partitions per request.")
    decision: Decision[list[CreatedTopic]] = Decision([])
    for topic in topics:
        try:
            created, records = _create_topic(image, topic, tools)
        except ApiError as error:
            decision.answer.append(CreatedTopic(topic.name, error))
            continue
        decision.answer.append(created)
        decision.records += records
        if len(decision.records) > MAX_RECORDS_PER_OPERATION:
            raise too_many_records()
    return decision


def _partitions_asked_for(topic: NewTopic, defaults: TopicDefaults) -> int:
    if topic.assignments:
        return len(topic.assignments)
    if topic.num_partitions == -1:
        return defaults.num_partitions
    return max(topic.num_partitions, 0)


def _create_topic(image: ClusterImage, topic: NewTopic, tools: TopicTools) -> tuple[CreatedTopic, list[Record]]:
    name = topic.name
    if image.topic_by_name(name) is not None:
        raise ApiError(ErrorCode.TOPIC_ALREADY_EXISTS, f"Topic '{name}' already exists.")
    problem = name_problem(name)
    if problem is not None:
        raise ApiError(ErrorCode.INVALID_TOPIC_EXCEPTION, problem)
    colliding = image.colliding_topic(name)
    if colliding is not None:
        raise ApiError(ErrorCode.INVALID_TOPIC_EXCEPTION, f"Topic '{name}' collides with existing topic: {colliding}")
    configs = _checked_configs(topic, tools.rules)
    if topic.assignments:
        assignments = _manual_assignments(image, topic)
    else:
        assignments = _placed(image, topic, tools)
    topic_id = tools.new_uuid()
    records: list[Record] = [TopicRecord(name=name, topic_id=topic_id)]
    records += (
        ConfigRecord(resource_type=RESOURCE_TOPIC, resource_name=name, name=key, value=value)
        for key, value in configs.items()
    )
    records += clear_elr_records(image, records)
    records += partition_records(image, topic_id, 0, assignments)
    created = CreatedTopic(
        name,
        topic_id=topic_id,
        num_partitions=len(assignments),
        replication_factor=len(assignments[0]),
        configs=tools.rules.topic_entries(
            configs,
            image.configs(RESOURCE_BROKER, str(tools.defaults.node_id)),
            image.configs(RESOURCE_BROKER, ""),
        ),
    )
    return created, records


def _checked_configs(topic: NewTopic, rules: ConfigRules) -> dict[str, str]:
    unset = [name for name, value in topic.configs if value is None]
    if unset:
        raise ApiError(ErrorCode.INVALID_CONFIG, f"Null value not supported for topic configs: {','.join(unset)}")
    configs = {name: value for name, value in topic.configs if value is not None}
    if configs:
        for value in configs.values():
            check_size(value)
        rules.validate(ConfigResource(RESOURCE_TOPIC, topic.name), configs, {})
    return configs


def _placed(image: ClusterImage, topic: NewTopic, tools: TopicTools) -> list[tuple[int, ...]]:
    if topic.replication_factor < -1 or topic.replication_factor == 0:
        raise ApiError(
            ErrorCode.INVALID_REPLICATION_FACTOR,
            "Replication factor must be larger than 0, or -1 to use the default value.",
        )
    if topic.num_partitions < -1 or topic.num_partitions == 0:
        raise ApiError(ErrorCode.INVALID_PARTITIONS, "Number of partitions was set to an invalid non-positive value.")
    defaults = tools.defaults
    partitions = defaults.num_partitions if topic.num_partitions == -1 else topic.num_partitions
    factor = defaults.replication_factor if topic.replication_factor == -1 else topic.replication_factor
    if defaults.lenient_factor:
        factor = min(factor, max(len(usable_brokers(image.brokers.values())), 1))
    try:
        return place(image.brokers.values(), partitions, factor, tools.below)
    except ApiError as error:
        raise ApiError(error.code, f"Unable to replicate the partition {factor} time(s): {error.message}") from None


def _manual_assignments(image: ClusterImage, topic: NewTopic) -> list[tuple[int, ...]]:
    if topic.replication_factor != -1:
        raise ApiError(
            ErrorCode.INVALID_REQUEST,
            "A manual partition assignment was specified, but replication factor was not set to -1.",
        )
    if topic.num_partitions != -1:
        raise ApiError(
            ErrorCode.INVALID_REQUEST,
            "A manual partition assignment was specified, but numPartitions was not set to -1.",
        )
    by_index: dict[int, tuple[int, ...]] = {}
    factor: int | None = None
    for index, replicas in topic.assignments:
        if index in by_index:
            raise invalid_assignment(f"Found multiple manual partition assignments for partition {index}")
        check_assignment(image, replicas, factor)
        factor = len(replicas)
        _check_any_active(image, index, replicas)
        by_index[index] = tuple(replicas)
    if sorted(by_index) != list(range(len(by_index))):
        raise invalid_assignment("partitions should be a consecutive 0-based integer sequence")
    return [by_index[index] for index in range(len(by_index))]


def invalid_assignment(message: str) -> ApiError:
    return ApiError(ErrorCode.INVALID_REPLICA_ASSIGNMENT, message)


def check_assignment(image: ClusterImage, replicas: Sequence[int], factor: int | None) -> None:
    """A replica list given by hand: known brokers, each once, as many as the partitions before it."""
    if not replicas:
        raise invalid_assignment("The manual partition assignment includes an empty replica list.")
    previous: int | None = None
    for broker_id in sorted(replicas):
        if broker_id not in image.brokers:
            raise invalid_assignment(
                f"The manual partition assignment includes broker {broker_id}, but no such broker is registered."
            )
        if broker_id == previous:
            raise invalid_assignment(f"The manual partition assignment includes the broker {broker_id} more than once.")
        previous = broker_id
    if factor is not None and len(replicas) != factor:
        raise invalid_assignment(
            f"The manual partition assignment includes a partition with {len(replicas)} replica(s), but this is not "
            f"consistent with previous partitions, which have {factor} replica(s)."
        )


def _check_any_active(image: ClusterImage, index: int, replicas: Sequence[int]) -> None:
    if not any(map(image.is_active, replicas)):
        raise invalid_assignment(
            f"All brokers specified in the manual partition assignment for partition {index} are fenced or in "
            "controlled shutdown."
        )


def partition_records(
    image: ClusterImage, topic_id: bytes, first_index: int, assignments: Sequence[Sequence[int]]
) -> list[PartitionRecord]:
    """The records of new partitions: in sync and led by those replicas whose brokers are active.

    Raises ApiError(INVALID_REPLICATION_FACTOR) when none is.
    """
    records = []
    isrs: dict[tuple[int, ...], list[int]] = {}
    for index, assignment in enumerate(assignments, first_index):
        replicas = tuple(assignment)
        isr = isrs.get(replicas)
        if isr is None:
            isr = isrs[replicas] = [replica for replica in replicas if image.is_active(replica)]
        if not isr:
            raise ApiError(
                ErrorCode.INVALID_REPLICATION_FACTOR,
                f"Unable to replicate the partition {len(replicas)} time(s): All brokers are currently fenced or in "
                "controlled shutdown.",
            )
        records.append(
            PartitionRecord(
                partition_id=index,
                topic_id=topic_id,
                replicas=list(replicas),
                isr=list(isr),
                leader=isr[0],
                leader_epoch=0,
                partition_epoch=0,
                directories=[default_directory(image.brokers.get(replica)) for replica in replicas],
            )
        )
    return records


def default_directory(broker: BrokerImage | None) -> bytes:
    """Where a new replica on that broker goes: its only directory, else the broker chooses. (KIP-858)"""
    if broker is None or not broker.directories:
        return uuids.MIGRATING_DIRECTORY
    if len(broker.directories) == 1:
        return broker.directories[0]
    return uuids.UNASSIGNED_DIRECTORY


def delete_topics(image: ClusterImage, topic_ids: Sequence[bytes]) -> Decision[dict[bytes, ApiError | None]]:
    """Each id once."""
    decision: Decision[dict[bytes, ApiError | None]] = Decision({})
    for topic_id in topic_ids:
        if image.topic_by_id(topic_id) is None:
            decision.answer[topic_id] = ApiError(ErrorCode.UNKNOWN_TOPIC_ID, "This server does not host this topic ID.")
        else:
            decision.answer[topic_id] = None
            decision.records.append(RemoveTopicRecord(topic_id=topic_id))
    if len(decision.records) > MAX_RECORDS_PER_OPERATION:
        raise too_many_records()
    return decision


@define(slots=True)
class MorePartitions:
    """A topic that shall have `count` partitions. assignments: the replicas of each new one; None: placed."""

    name: str
    count: int
    assignments: Sequence[Sequence[int]] | None = None


def create_partitions(
    image: ClusterImage, topics: Sequence[MorePartitions], below: Below
) -> Decision[list[ApiError | None]]:
    """One answer per topic, in order; names must differ from each other."""
    decision: Decision[list[ApiError | None]] = Decision([])
    for topic in topics:
        try:
            records = _create_partitions(image, topic, MAX_RECORDS_PER_OPERATION - len(decision.records), below)
        except ApiError as error:
            decision.answer.append(error)
        else:
            decision.answer.append(None)
            decision.records += records
    return decision


def _create_partitions(image: ClusterImage, topic: MorePartitions, most: int, below: Below) -> list[PartitionRecord]:
    found = image.topic_by_name(topic.name)
    if found is None:
        raise ApiError(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION)
    current = len(found.partitions)
    if topic.count == current:
        raise ApiError(ErrorCode.INVALID_PARTITIONS, f"Topic already has {current} partition(s).")
    if topic.count < current:
        raise ApiError(
            ErrorCode.INVALID_PARTITIONS,
            f"The topic {topic.name} currently has {current} partition(s); {topic.count} would not be an increase.",
        )
    more = topic.count - current
    if topic.assignments is not None and len(topic.assignments) != more:
        raise invalid_assignment(
            f"Attempted to add {more} additional partition(s), but only {len(topic.assignments)} assignment(s) were "
            "specified."
        )
    if more > most:
        # Kafka's list of records overflows here, and the client sees just that something failed.
        raise ApiError(ErrorCode.UNKNOWN_SERVER_ERROR)
    factor = len(found.partitions[0].replicas)
    if topic.assignments is None:
        assignments: Sequence[Sequence[int]] = place(image.brokers.values(), more, factor, below)
    else:
        for index, replicas in enumerate(topic.assignments, current):
            check_assignment(image, replicas, factor)
            _check_any_active(image, index, replicas)
        assignments = topic.assignments
    return partition_records(image, found.topic_id, current, assignments)
