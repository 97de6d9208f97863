"""Moving a partition's leadership to a node of one's choice: no request of Kafka's asks for it, the test plane does."""

from __future__ import annotations

from broker.controller.decisions.brokers import surroundings
from broker.controller.decisions.decision import Decision
from broker.controller.image import ClusterImage
from broker.controller.records import PartitionChangeRecord
from kwire.error_codes import ErrorCode
from kwire.errors import ApiError


def move_leader(image: ClusterImage, name: str, index: int, to: int | None) -> Decision[int]:
    """Let `to` lead a partition; the answer is who leads it then. The leader epoch rises, also where the leader stays.

    to: a node that runs; where it has no replica, it takes the leader's replica over, in sync. None: the next replica
    that is in sync and may lead, or the leader anew where there is no other.

    ApiError UNKNOWN_TOPIC_OR_PARTITION; BROKER_ID_NOT_REGISTERED, for a node there is none of; NOT_LEADER_OR_FOLLOWER,
    for one that does not run; ELIGIBLE_LEADERS_NOT_AVAILABLE, for a replica not in sync, or when nobody may lead.
    """
    topic = image.topic_by_name(name)
    if topic is None or not 0 <= index < len(topic.partitions):
        raise ApiError(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, f"There is no partition {name}-{index}.")
    partition = topic.partitions[index]
    around = surroundings(image, topic, partition)
    if to is None:
        candidates = [each for each in partition.isr if each != partition.leader and around.can_lead(each)]
        to = candidates[0] if candidates else partition.leader
        if not around.can_lead(to):
            raise ApiError(ErrorCode.ELIGIBLE_LEADERS_NOT_AVAILABLE, f"Nobody in sync may lead {name}-{index} now.")
    elif image.brokers.get(to) is None:
        raise ApiError(ErrorCode.BROKER_ID_NOT_REGISTERED, f"There is no node {to}; there are {sorted(image.brokers)}.")
    elif not around.can_lead(to):
        raise ApiError(ErrorCode.NOT_LEADER_OR_FOLLOWER, f"Node {to} does not run, it cannot lead.")
    record = PartitionChangeRecord(partition_id=index, topic_id=topic.topic_id, leader=to)
    if to not in partition.replicas:
        leaves = partition.leader if partition.leader in partition.replicas else partition.replicas[0]
        record.replicas = [to if each == leaves else each for each in partition.replicas]
        record.isr = [to if each == leaves else each for each in partition.isr]
        if to not in record.isr:
            record.isr.insert(0, to)
        record.directories = [
            around.default_directory(to) if replica == leaves else directory
            for replica, directory in zip(partition.replicas, partition.directories, strict=True)
        ]
    elif to not in partition.isr:
        raise ApiError(
            ErrorCode.ELIGIBLE_LEADERS_NOT_AVAILABLE,
            f"Node {to} is not in sync for {name}-{index} (in sync: {list(partition.isr)}).",
        )
    return Decision(to, [record])
