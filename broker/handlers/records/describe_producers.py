"""DescribeProducers: who wrote to a partition of late.  (KIP-664; Kafka: ReplicaManager.activeProducerState)"""

from __future__ import annotations

from broker.context import RequestContext
from broker.controller.names import name_problem
from broker.partitions import Partitions
from kwire.error_codes import ErrorCode
from kwire.errors import ApiError
from kwire.messages.describe_producers import (
    DescribeProducersRequest,
    DescribeProducersResponse,
    PartitionResponse,
    ProducerState,
    TopicResponse,
)


def describe_producers(
    request: DescribeProducersRequest, ctx: RequestContext, partitions: Partitions
) -> DescribeProducersResponse:
    """One answer per partition, with the producers the log remembers."""
    topics = []
    for topic in request.topics:
        refusal = _refusal(partitions, topic.name)
        if refusal is not None:
            refused = [
                PartitionResponse(partition_index=index, error_code=refusal.code, error_message=refusal.message)
                for index in topic.partition_indexes
            ]
            topics.append(TopicResponse(name=topic.name, partitions=refused))
            continue
        answers = []
        for index in topic.partition_indexes:
            try:
                answers.append(
                    PartitionResponse(partition_index=index, active_producers=_active(partitions, topic.name, index))
                )
            except ApiError as error:
                answers.append(
                    PartitionResponse(partition_index=index, error_code=error.code, error_message=error.message)
                )
        topics.append(TopicResponse(name=topic.name, partitions=answers))
    return DescribeProducersResponse(topics=topics)


def _refusal(partitions: Partitions, topic: str) -> ApiError | None:
    """Why none of a topic's partitions is answered for."""
    problem = name_problem(topic)
    if problem is not None:
        return ApiError(ErrorCode.INVALID_TOPIC_EXCEPTION, problem)
    try:
        known = partitions.get(topic, 0) is not None
    except ApiError:
        known = True
    if not known:
        return ApiError(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, "This server does not host this topic-partition.")
    return None


def _active(partitions: Partitions, topic: str, index: int) -> list[ProducerState]:
    try:
        partition = partitions.get(topic, index)
    except ApiError:
        # A replica that follows answers too.
        partition = None if partitions.followers is None else partitions.followers.get(topic, b"", index)
        if partition is None:
            raise
    if partition is None:
        raise ApiError(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION)
    return [
        ProducerState(
            producer_id=entry.producer_id,
            producer_epoch=entry.epoch,
            last_sequence=entry.last_sequence,
            last_timestamp=entry.last_timestamp,
            coordinator_epoch=entry.coordinator_epoch,
            current_txn_start_offset=entry.transaction_first_offset
            if entry.transaction_first_offset is not None
            else -1,
        )
        for entry in partition.log.active_producers()
    ]
