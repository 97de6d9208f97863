"""OffsetForLeaderEpoch: where an epoch ended.  (KIP-320; Kafka: ReplicaManager.lastOffsetForLeaderEpoch)"""

from __future__ import annotations

from broker.context import RequestContext
from broker.partitions import Partitions
from kwire.error_codes import ErrorCode
from kwire.errors import ApiError
from kwire.messages.offset_for_leader_epoch import (
    EpochEndOffset,
    OffsetForLeaderEpochRequest,
    OffsetForLeaderEpochResponse,
    OffsetForLeaderPartition,
    OffsetForLeaderTopicResult,
)


def offset_for_leader_epoch(
    request: OffsetForLeaderEpochRequest, ctx: RequestContext, partitions: Partitions
) -> OffsetForLeaderEpochResponse:
    """One answer per partition: epoch and end offset, -1 and -1 for an epoch this log does not know."""
    topics = []
    for topic in request.topics:
        answers = []
        for wanted in topic.partitions:
            try:
                epoch, end_offset = _end_of(partitions, topic.topic, wanted)
            except ApiError as error:
                answers.append(EpochEndOffset(partition=wanted.partition, error_code=error.code))
            else:
                answers.append(EpochEndOffset(partition=wanted.partition, leader_epoch=epoch, end_offset=end_offset))
        topics.append(OffsetForLeaderTopicResult(topic=topic.topic, partitions=answers))
    return OffsetForLeaderEpochResponse(topics=topics)


def _end_of(partitions: Partitions, topic: str, wanted: OffsetForLeaderPartition) -> tuple[int, int]:
    partition = partitions.get(topic, wanted.partition)
    if partition is None:
        raise ApiError(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION)
    partition.check_leader_epoch(wanted.current_leader_epoch)
    if wanted.leader_epoch == partition.leader_epoch:
        return (partition.leader_epoch, partition.log.log_end_offset)
    return partition.log.end_offset_for_epoch(wanted.leader_epoch)
