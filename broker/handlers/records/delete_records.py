"""DeleteRecords: move the log's start.  (KIP-107; Kafka: ReplicaManager.deleteRecords)"""

from __future__ import annotations

from broker.context import RequestContext
from broker.partitions import Partitions
from kwire.error_codes import ErrorCode
from kwire.errors import ApiError
from kwire.messages.delete_records import (
    DeleteRecordsPartition,
    DeleteRecordsPartitionResult,
    DeleteRecordsRequest,
    DeleteRecordsResponse,
    DeleteRecordsTopicResult,
)


def delete_records(request: DeleteRecordsRequest, ctx: RequestContext, partitions: Partitions) -> DeleteRecordsResponse:
    """One answer per partition: its new start, or the reason it did not move."""
    topics = []
    for topic in request.topics:
        answers = []
        for wanted in topic.partitions:
            try:
                low_watermark = _delete(partitions, topic.name, wanted)
            except ApiError as error:
                answers.append(
                    DeleteRecordsPartitionResult(
                        partition_index=wanted.partition_index, low_watermark=-1, error_code=error.code
                    )
                )
            else:
                answers.append(
                    DeleteRecordsPartitionResult(partition_index=wanted.partition_index, low_watermark=low_watermark)
                )
        topics.append(DeleteRecordsTopicResult(name=topic.name, partitions=answers))
    return DeleteRecordsResponse(topics=topics)


def _delete(partitions: Partitions, topic: str, wanted: DeleteRecordsPartition) -> int:
    partition = partitions.get(topic, wanted.partition_index)
    if partition is None:
        raise ApiError(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION)
    if partition.is_internal:
        raise ApiError(ErrorCode.INVALID_TOPIC_EXCEPTION)
    partition_log = partition.log
    if not partition_log.config.delete:
        raise ApiError(ErrorCode.POLICY_VIOLATION)
    # -1 stands for everything that is committed.
    offset = partition_log.high_watermark if wanted.offset == -1 else wanted.offset
    if offset < 0 or offset > partition_log.high_watermark:
        raise ApiError(ErrorCode.OFFSET_OUT_OF_RANGE)
    partition_log.delete_records_before(offset)
    return partition_log.log_start_offset
