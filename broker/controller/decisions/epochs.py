"""Leader epochs that must not seem to go back: for a cluster that is put back to what it was before."""

from __future__ import annotations

from broker.controller.decisions.decision import Decision
from broker.controller.image import NO_LEADER, ClusterImage
from broker.controller.records import PartitionChangeRecord, Record

_MOST_STEPS = 1000


def raise_leader_epochs(image: ClusterImage, seen: ClusterImage) -> Decision[None]:
    """Every leader is elected again until its epoch is above the one that clients may know from `seen`.

    Java's clients take metadata of the same topic id with a lower epoch for old and ignore it. (KIP-320)
    """
    records: list[Record] = []
    for topic in image.topics():
        before = seen.topic_by_id(topic.topic_id)
        if before is None:
            continue
        for index, (partition, known) in enumerate(zip(topic.partitions, before.partitions, strict=False)):
            steps = known.leader_epoch - partition.leader_epoch + 1
            if partition.leader != NO_LEADER and 1 < steps <= _MOST_STEPS:
                change = PartitionChangeRecord(partition_id=index, topic_id=topic.topic_id, leader=partition.leader)
                records += [change] * steps
    return Decision(None, records)
