"""Electing leaders and moving replicas. (`ReplicationControlManager`, KIP-460, KIP-455)"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from attrs import define

from broker.controller.decisions.brokers import surroundings
from broker.controller.decisions.decision import MAX_RECORDS_PER_OPERATION, Decision, too_many_records
from broker.controller.decisions.topics import check_assignment, invalid_assignment
from broker.controller.image import NO_LEADER, ClusterImage, PartitionImage, TopicImage
from broker.controller.partition_change import Election, Target, partition_change, without
from broker.controller.records import PartitionChangeRecord
from kwire.error_codes import ErrorCode
from kwire.errors import ApiError

PREFERRED: Final = 0
UNCLEAN: Final = 1


@define(slots=True, frozen=True)
class PartitionResult:
    """What became of one partition."""

    topic: str
    index: int
    error: ApiError | None = None


def elect_leaders(
    image: ClusterImage, election_type: int, partitions: Sequence[tuple[str, Sequence[int]]] | None
) -> Decision[list[tuple[str, list[PartitionResult]]]]:
    """partitions None: all; then those that need no election are left out of the answer.

    Raises ApiError(INVALID_REQUEST) for an election type other than 0 (preferred) and 1 (unclean).
    """
    if election_type not in (PREFERRED, UNCLEAN):
        raise ApiError(ErrorCode.INVALID_REQUEST, f"Unknown election type {election_type}")
    decision: Decision[list[tuple[str, list[PartitionResult]]]] = Decision([])
    asked: Sequence[tuple[str, Sequence[int]]] = (
        [(topic.name, range(len(topic.partitions))) for topic in image.topics()] if partitions is None else partitions
    )
    for name, indexes in asked:
        results = []
        for index in indexes:
            try:
                decision.records.append(_elect(image, name, index, election_type))
            except ApiError as error:
                if partitions is None and error.code is ErrorCode.ELECTION_NOT_NEEDED:
                    continue
                results.append(PartitionResult(name, index, error))
            else:
                results.append(PartitionResult(name, index))
        decision.answer.append((name, results))
    if len(decision.records) > MAX_RECORDS_PER_OPERATION:
        raise too_many_records()
    return decision


def _elect(image: ClusterImage, name: str, index: int, election_type: int) -> PartitionChangeRecord:
    topic = image.topic_by_name(name)
    if topic is None:
        raise ApiError(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, f"No such topic as {name}")
    partition = _partition(topic, index)
    if partition is None:
        raise ApiError(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, f"No such partition as {name}-{index}")
    fine = partition.has_preferred_leader if election_type == PREFERRED else partition.leader != NO_LEADER
    if fine:
        raise ApiError(ErrorCode.ELECTION_NOT_NEEDED, "Leader election not needed for topic partition.")
    election = Election.PREFERRED if election_type == PREFERRED else Election.UNCLEAN
    around = surroundings(image, topic, partition)
    record = partition_change(topic.topic_id, index, partition, Target.like(partition), around, election)
    if record is None:
        if election_type == PREFERRED:
            raise ApiError(ErrorCode.PREFERRED_LEADER_NOT_AVAILABLE, "The preferred leader was not available.")
        raise ApiError(ErrorCode.ELIGIBLE_LEADERS_NOT_AVAILABLE, "Eligible topic partition leaders are not available.")
    return record


def _partition(topic: TopicImage, index: int) -> PartitionImage | None:
    return topic.partitions[index] if 0 <= index < len(topic.partitions) else None


@define(slots=True, frozen=True)
class Reassignment:
    """Where a partition's replicas shall be, leader first; None: stop the reassignment that is going on."""

    topic: str
    index: int
    replicas: tuple[int, ...] | None


def alter_reassignments(
    image: ClusterImage, wanted: Sequence[Reassignment], *, allow_factor_change: bool = True
) -> Decision[list[PartitionResult]]:
    """One answer per entry, in order."""
    decision: Decision[list[PartitionResult]] = Decision([])
    for each in wanted:
        try:
            record = _reassign(image, each, allow_factor_change)
        except ApiError as error:
            decision.answer.append(PartitionResult(each.topic, each.index, error))
        else:
            decision.answer.append(PartitionResult(each.topic, each.index))
            if record is not None:
                decision.records.append(record)
    if len(decision.records) > MAX_RECORDS_PER_OPERATION:
        raise too_many_records()
    return decision


def _reassign(image: ClusterImage, wanted: Reassignment, allow_factor_change: bool) -> PartitionChangeRecord | None:
    topic = image.topic_by_name(wanted.topic)
    if topic is None:
        raise ApiError(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, f"Unable to find a topic named {wanted.topic}.")
    partition = _partition(topic, wanted.index)
    if partition is None:
        raise ApiError(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, f"Unable to find partition {wanted.topic}:{wanted.index}.")
    target = Target.like(partition)
    election = Election.ONLINE
    if wanted.replicas is None:
        if not partition.is_reassigning:
            raise ApiError(ErrorCode.NO_REASSIGNMENT_IN_PROGRESS)
        unclean_allowed = image.unclean_election_enabled(topic.name)
        _revert(wanted, partition, target, unclean_allowed)
        if unclean_allowed:
            election = Election.UNCLEAN
    else:
        check_assignment(image, wanted.replicas, None)
        factor = len(without(partition.replicas, partition.removing_replicas))
        if not allow_factor_change and len(wanted.replicas) != factor:
            raise ApiError(
                ErrorCode.INVALID_REPLICATION_FACTOR,
                f"The replication factor is changed from {factor} to {len(wanted.replicas)}",
            )
        removing = tuple(sorted(set(partition.replicas) - set(wanted.replicas)))
        adding = tuple(sorted(set(wanted.replicas) - set(partition.replicas)))
        target.replicas = (*wanted.replicas, *removing)
        if removing:
            target.removing = removing
        if adding:
            target.adding = adding
    around = surroundings(image, topic, partition)
    return partition_change(topic.topic_id, wanted.index, partition, target, around, election)


def _revert(wanted: Reassignment, partition: PartitionImage, target: Target, unclean_allowed: bool) -> None:
    """Back to the replicas from before; without any of them in sync that costs records."""
    target.replicas = without(partition.replicas, partition.adding_replicas)
    target.isr = without(partition.isr, partition.adding_replicas)
    target.removing = target.adding = ()
    if target.isr:
        return
    if not target.replicas:
        raise invalid_assignment("Invalid replica assignment: addingReplicas contains all replicas.")
    if not unclean_allowed:
        raise invalid_assignment(
            f"Unable to revert partition assignment for {wanted.topic}:{wanted.index} because it would require an "
            "unclean leader election."
        )
    target.isr = (target.replicas[0],)


@define(slots=True, frozen=True)
class OngoingReassignment:
    """A partition whose replicas are being moved."""

    topic: str
    index: int
    replicas: tuple[int, ...]
    adding: tuple[int, ...]
    removing: tuple[int, ...]


def list_reassignments(
    image: ClusterImage, topics: Sequence[tuple[str, Sequence[int]]] | None
) -> list[OngoingReassignment]:
    """Those going on among the partitions named (None: all). What is unknown is passed over."""
    if topics is None:
        found = [(image.topic_by_id(topic_id), indexes) for topic_id, indexes in image.reassigning.items()]
        asked = sorted((topic.name, sorted(indexes)) for topic, indexes in found if topic is not None)
    else:
        asked = [(name, list(indexes)) for name, indexes in topics]
    ongoing = []
    for name, indexes in asked:
        for index in indexes:
            partition = image.partition(name, index)
            if partition is not None and partition.is_reassigning:
                ongoing.append(
                    OngoingReassignment(
                        name, index, partition.replicas, partition.adding_replicas, partition.removing_replicas
                    )
                )
    return ongoing


def assign_directory(
    image: ClusterImage, topic_name: str, index: int, broker_id: int, directory_id: bytes
) -> Decision[None]:
    """A broker keeps its replica in another of its directories. (KIP-858)

    Raises ApiError(UNKNOWN_TOPIC_OR_PARTITION) when the broker holds no such replica.
    """
    topic = image.topic_by_name(topic_name)
    partition = image.partition(topic_name, index)
    if topic is None or partition is None or broker_id not in partition.replicas:
        raise ApiError(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION)
    if partition.directory_of(broker_id) == directory_id:
        return Decision(None)
    directories = [
        directory_id if replica == broker_id else directory
        for replica, directory in zip(partition.replicas, partition.directories, strict=True)
    ]
    change = PartitionChangeRecord(partition_id=index, topic_id=topic.topic_id, directories=directories)
    return Decision(None, [change])
