"""What leaders ask of the controller (AlterPartition), and elections that a person orders.

(`ReplicationControlManager.alterPartition`, KIP-497, KIP-704)
"""

from __future__ import annotations

from collections.abc import Sequence

from attrs import define

from broker.controller.decisions.brokers import surroundings
from broker.controller.decisions.decision import Decision
from broker.controller.image import NO_LEADER, RECOVERED, RECOVERING, ClusterImage, TopicImage
from broker.controller.partition_change import Election, Target, partition_change
from broker.controller.records import PartitionChangeRecord
from kwire.error_codes import ErrorCode
from kwire.errors import ApiError


@define(slots=True, frozen=True)
class IsrChange:
    """A partition's replicas in sync as its leader sees them. A leader elected uncleanly has recovered with it."""

    topic: TopicImage
    index: int
    isr: tuple[int, ...]


def change_isrs(image: ClusterImage, changes: Sequence[IsrChange]) -> Decision[None]:
    """Partitions without a leader, and replicas whose brokers are not active, are passed over.

    Leaders report a set, which comes out by id (measured on 4.3.1).
    """
    decision: Decision[None] = Decision(None)
    for change in changes:
        partition = change.topic.partitions[change.index]
        if partition.leader == NO_LEADER:
            continue
        target = Target.like(partition)
        target.isr = tuple(
            replica
            for replica in sorted(change.isr)
            if replica in partition.isr or (replica in partition.replicas and image.is_active(replica))
        )
        around = surroundings(image, change.topic, partition)
        record = partition_change(change.topic.topic_id, change.index, partition, target, around)
        if partition.leader_recovery_state == RECOVERING:
            if record is None:
                record = PartitionChangeRecord(partition_id=change.index, topic_id=change.topic.topic_id)
            if record.leader_recovery_state < 0:
                record.leader_recovery_state = RECOVERED
        if record is not None:
            decision.records.append(record)
    return decision


def elect_leader(image: ClusterImage, topic: TopicImage, index: int, node_id: int, *, unclean: bool) -> Decision[None]:
    """Make one replica the leader, whichever is preferred; the leader again: its epoch is raised.

    unclean: it need not be in sync, and is the only one in sync afterwards. Raises ApiError: INVALID_REQUEST when it
    is no replica, ELIGIBLE_LEADERS_NOT_AVAILABLE when it cannot lead.
    """
    partition = topic.partitions[index]
    name = f"{topic.name}-{index}"
    if node_id not in partition.replicas:
        raise ApiError(
            ErrorCode.INVALID_REQUEST, f"node {node_id} has no replica of {name}: its replicas are {partition.replicas}"
        )
    around = surroundings(image, topic, partition)
    if not around.can_lead(node_id):
        raise ApiError(ErrorCode.ELIGIBLE_LEADERS_NOT_AVAILABLE, f"node {node_id} does not run, it cannot lead {name}")
    record = PartitionChangeRecord(partition_id=index, topic_id=topic.topic_id, leader=node_id)
    if node_id not in partition.isr:
        if not unclean and node_id not in partition.elr:
            raise ApiError(
                ErrorCode.ELIGIBLE_LEADERS_NOT_AVAILABLE,
                f"node {node_id} is not in sync with {name} (in sync: {list(partition.isr)}): only an unclean election"
                " can make it the leader, which loses what it does not have",
            )
        record.isr = [node_id]
        record.leader_recovery_state = RECOVERED
        if partition.elr:
            record.eligible_leader_replicas = []
        if partition.last_known_elr:
            record.last_known_elr = []
    return Decision(None, [record])


def elect_where_allowed(image: ClusterImage, topics: Sequence[TopicImage]) -> Decision[None]:
    """Unclean elections in partitions without a leader, where the topic's settings allow them."""
    decision: Decision[None] = Decision(None)
    for topic in topics:
        if not image.unclean_election_enabled(topic.name):
            continue
        for index, partition in enumerate(topic.partitions):
            if partition.leader == NO_LEADER:
                around = surroundings(image, topic, partition)
                record = partition_change(
                    topic.topic_id, index, partition, Target.like(partition), around, Election.UNCLEAN
                )
                if record is not None:
                    decision.records.append(record)
    return decision
