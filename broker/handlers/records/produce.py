"""Produce: append record batches.  (Kafka: KafkaApis.handleProduceRequest, ReplicaManager.appendRecords)

Per partition: find it, append what the producer sent and, where the commit rule is not met at once (fsync), wait.
Several answers wait together; nothing is waited for in the usual case.
"""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, Final, cast

from broker.context import RequestContext
from broker.deferred import Deferred
from broker.dispatch import Refusal
from broker.partitions import Partition, Partitions
from kwire.error_codes import ErrorCode
from kwire.errors import ApiError
from kwire.messages.produce import (
    BatchIndexAndErrorMessage,
    PartitionProduceResponse,
    ProduceRequest,
    ProduceResponse,
    TopicProduceResponse,
)
from log.append_errors import RecordsRejectedError

# Only Kafka's own tool that repairs internal topics may write them.
_INTERNAL_WRITER: Final = "__admin_client"
_BY_TOPIC_ID: Final = 13
_TRANSACTIONAL_BIT: Final = 0x10
_ATTRIBUTES_LOW_BYTE: Final = 22


def produce(
    request: ProduceRequest, ctx: RequestContext, partitions: Partitions
) -> ProduceResponse | Refusal | Coroutine[Any, Any, ProduceResponse] | None:
    """Append each partition's batch; acks 0 gets no answer, and an error there closes the connection."""
    acks = request.acks
    if not -1 <= acks <= 1:
        return _refuse_all(request, ErrorCode.INVALID_REQUIRED_ACKS)
    by_id = ctx.api_version >= _BY_TOPIC_ID
    topics: dict[str | bytes, TopicProduceResponse] = {}
    waiting: list[tuple[Partition, int, PartitionProduceResponse]] | None = None
    failed = False
    for topic in request.topic_data:
        key = topic.topic_id if by_id else topic.name
        response = topics.get(key)
        if response is None:
            response = topics[key] = TopicProduceResponse(name=topic.name, topic_id=topic.topic_id)
        for data in topic.partition_data:
            answer = PartitionProduceResponse(index=data.index, base_offset=-1)
            partition = None
            try:
                if by_id:
                    partition = partitions.get_by_id(topic.topic_id, data.index)
                    if partition is None:
                        raise ApiError(
                            ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
                            if partitions.knows_topic_id(topic.topic_id)
                            else ErrorCode.UNKNOWN_TOPIC_ID
                        )
                else:
                    partition = partitions.get(topic.name, data.index)
                    if partition is None:
                        raise ApiError(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION)
                if partition.is_internal and ctx.client_id != _INTERNAL_WRITER:
                    raise ApiError(ErrorCode.INVALID_TOPIC_EXCEPTION)
                records = cast("memoryview | None", data.records)  # as decoded
                last_offset = _append(request, partition, records, answer)
            except ApiError as error:
                failed = True
                answer = refused(data.index, partition, error)
            else:
                if last_offset >= partition.high_watermark:
                    if waiting is None:
                        waiting = []
                    waiting.append((partition, last_offset, answer))
            _add(response, answer)
    if acks == 0:
        return Refusal("a produce request with acks=0 failed") if failed else None
    result = ProduceResponse(responses=list(topics.values()))
    if waiting is not None:
        return _when_committed(result, waiting)
    return result


def _append(
    request: ProduceRequest, partition: Partition, records: memoryview | bytes | None, answer: PartitionProduceResponse
) -> int:
    """Append to one partition and fill in its answer. Returns the last offset; raises ApiError when refused."""
    if records is None or len(records) == 0:
        raise ApiError(ErrorCode.INVALID_RECORD, "a partition of a produce request holds no records")
    if request.transactional_id is None and _is_transactional(records):
        raise ApiError(ErrorCode.TRANSACTIONAL_ID_AUTHORIZATION_FAILED)
    info = partition.append(records)
    answer.base_offset = info.first_offset
    answer.log_append_time_ms = info.log_append_time_ms
    answer.log_start_offset = info.log_start_offset
    return info.last_offset


def refused(index: int, partition: Partition | None, error: ApiError) -> PartitionProduceResponse:
    """The answer for a partition whose batch was not taken, and which records were at fault (KIP-467)."""
    answer = PartitionProduceResponse(index=index, error_code=error.code, base_offset=-1, error_message=error.message)
    if isinstance(error, RecordsRejectedError):
        if error.carries_log_start_offset and partition is not None:
            answer.log_start_offset = partition.log_start_offset
        answer.record_errors = [
            BatchIndexAndErrorMessage(batch_index=at, batch_index_error_message=message)
            for at, message in error.record_errors
        ]
    return answer


def _is_transactional(records: memoryview | bytes) -> bool:
    return len(records) > _ATTRIBUTES_LOW_BYTE and bool(records[_ATTRIBUTES_LOW_BYTE] & _TRANSACTIONAL_BIT)


def _add(response: TopicProduceResponse, answer: PartitionProduceResponse) -> None:
    """One answer per partition, the last one given, as Kafka's map of them keeps it."""
    answers = response.partition_responses
    if answers:
        for position, other in enumerate(answers):
            if other.index == answer.index:
                answers[position] = answer
                return
    answers.append(answer)


async def _when_committed(
    result: ProduceResponse, waiting: list[tuple[Partition, int, PartitionProduceResponse]]
) -> ProduceResponse:
    """Answer once every batch is as durable as its topic asks for."""
    committed: list[Deferred[None]] = [partition.committed(last + 1) for partition, last, _ in waiting]
    for done, (_, _, answer) in zip(committed, waiting, strict=True):
        try:
            await done
        except ApiError as error:
            answer.error_code = error.code
            answer.base_offset = -1
            answer.log_append_time_ms = -1
    return result


def _refuse_all(request: ProduceRequest, code: ErrorCode) -> ProduceResponse:
    return ProduceResponse(
        responses=[
            TopicProduceResponse(
                name=topic.name,
                topic_id=topic.topic_id,
                partition_responses=[
                    PartitionProduceResponse(index=data.index, error_code=code, base_offset=-1)
                    for data in topic.partition_data
                ],
            )
            for topic in request.topic_data
        ]
    )
