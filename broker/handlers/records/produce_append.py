"""Appending what a Produce request holds, and the answer.  (Kafka: KafkaApis.handleProduceRequest,
ReplicaManager.appendRecords)

Per partition: find it, append what the producer sent and, where the commit rule is not met at once (fsync), wait.
Several answers wait together; nothing is waited for in the usual case.
"""

from __future__ import annotations

import struct
from collections.abc import Coroutine, Iterable
from typing import Any, Final, TypeAlias, cast

from broker.context import RequestContext
from broker.deferred import Deferred
from broker.dispatch import Refusal
from broker.partitions import Partition, Partitions
from broker.transaction_verification import Verdicts
from kwire.error_codes import ErrorCode
from kwire.errors import ApiError
from kwire.messages.produce import (
    BatchIndexAndErrorMessage,
    LeaderIdAndEpoch,
    NodeEndpoint,
    PartitionProduceResponse,
    ProduceRequest,
    ProduceResponse,
    TopicProduceData,
    TopicProduceResponse,
)
from log.append_errors import RecordsRejectedError
from log.append_validation import AppendOrigin, validate_produce

BY_TOPIC_ID: Final = 13
_ALL: Final = -1
_HINTS_FROM: Final = 10
# Told with where it was appended: it may be committed yet.
_APPENDED: Final = (ErrorCode.REQUEST_TIMED_OUT, ErrorCode.NOT_ENOUGH_REPLICAS_AFTER_APPEND)
# Only Kafka's own tool that repairs internal topics may write them.
_INTERNAL_WRITER: Final = "__admin_client"
_TRANSACTIONAL_BIT: Final = 0x10
_MAGIC: Final = 16
_ATTRIBUTES_LOW_BYTE: Final = 22
_BATCH_HEADER_BYTES: Final = 61
_BATCH_LENGTH: Final = struct.Struct(">i")
_ZSTD_FROM: Final = 7
_ZSTD: Final = 4

ProduceOutcome: TypeAlias = ProduceResponse | Refusal | Coroutine[Any, Any, ProduceResponse] | None
"""None: acks 0 and all is well. A coroutine: what was appended is not committed yet."""


def append_all(
    request: ProduceRequest, ctx: RequestContext, partitions: Partitions, verdicts: Verdicts | None
) -> ProduceOutcome:
    """Append what the request holds. `verdicts`: of the partitions that get a transactional batch, None without any."""
    acks = request.acks
    if not -1 <= acks <= 1:
        return refuse_all(request, ErrorCode.INVALID_REQUIRED_ACKS)
    by_id = ctx.api_version >= BY_TOPIC_ID
    topics: dict[str | bytes, TopicProduceResponse] = {}
    waiting: list[tuple[Partition, int, PartitionProduceResponse]] | None = None
    failed = False
    misled: list[tuple[TopicProduceData, PartitionProduceResponse]] | None = None
    repeated = _repeated(request, by_id)
    for topic in request.topic_data:
        key = topic.topic_id if by_id else topic.name
        response = topics.get(key)
        if response is None:
            response = topics[key] = TopicProduceResponse(name=topic.name, topic_id=topic.topic_id)
        for data in topic.partition_data:
            if repeated and id(data) in repeated:
                continue
            answer = PartitionProduceResponse(index=data.index, base_offset=-1)
            partition = None
            try:
                partition = find(partitions, topic, data.index, by_id=by_id)
                records = cast("memoryview | None", data.records)  # as decoded
                if records is None or not is_one_batch(records, ctx.api_version):
                    validate_produce(ctx.api_version, records)
                    assert records is not None
                guard = None
                if verdicts is not None:
                    verdict = verdicts.get((partition.topic, partition.index))
                    if isinstance(verdict, ApiError):
                        raise verdict
                    guard = verdict
                if partition.is_internal and ctx.client_id != _INTERNAL_WRITER:
                    raise ApiError(ErrorCode.INVALID_TOPIC_EXCEPTION)
                if partition.under_min_isr and acks == _ALL:
                    raise ApiError(ErrorCode.NOT_ENOUGH_REPLICAS)
                info = partition.append(records, AppendOrigin.CLIENT, guard)
            except ApiError as error:
                failed = True
                answer = refused(data.index, partition, error)
                if error.code is ErrorCode.NOT_LEADER_OR_FOLLOWER:
                    misled = misled or []
                    misled.append((topic, answer))
            else:
                answer.base_offset = info.first_offset
                answer.log_append_time_ms = info.log_append_time_ms
                answer.log_start_offset = info.log_start_offset
                if info.last_offset >= partition.high_watermark and not (partition.held and acks != _ALL):
                    if waiting is None:
                        waiting = []
                    waiting.append((partition, info.last_offset, answer))
            response.partition_responses.append(answer)
    if acks == 0:
        return Refusal("a produce request with acks=0 failed") if failed else None
    result = ProduceResponse(responses=list(topics.values()))
    if misled is not None:
        _add_hints(result, misled, ctx, partitions)
    if waiting is not None:
        return _when_committed(result, waiting, request.timeout_ms, ctx, partitions)
    return result


def _add_hints(
    result: ProduceResponse,
    misled: Iterable[tuple[TopicProduceData | Partition, PartitionProduceResponse]],
    ctx: RequestContext,
    partitions: Partitions,
) -> None:
    """Tell who leads the partitions that are led elsewhere, and where those nodes are.  (KIP-951)"""
    hints = partitions.hints
    if ctx.api_version < _HINTS_FROM or hints is None:
        return
    for where, answer in misled:
        name = where.topic if isinstance(where, Partition) else where.name
        leader, epoch = hints.leader(name, where.topic_id, answer.index)
        answer.current_leader = LeaderIdAndEpoch(leader_id=leader, leader_epoch=epoch)
    leaders = [answer.current_leader.leader_id for _, answer in misled]
    result.node_endpoints = [
        NodeEndpoint(node_id=node_id, host=host, port=port, rack=rack)
        for node_id, host, port, rack in hints.endpoints(leaders, ctx)
    ]


def find(partitions: Partitions, topic: TopicProduceData, index: int, *, by_id: bool) -> Partition:
    """The partition a request names. ApiError: there is none."""
    if by_id:
        partition = partitions.get_by_id(topic.topic_id, index)
        if partition is None:
            known = partitions.knows_topic_id(topic.topic_id)
            raise ApiError(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION if known else ErrorCode.UNKNOWN_TOPIC_ID)
    else:
        partition = partitions.get(topic.name, index)
        if partition is None:
            raise ApiError(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION)
    return partition


def refused(index: int, partition: Partition | None, error: ApiError) -> PartitionProduceResponse:
    """The answer for a partition whose batch was not taken, and which records were at fault (KIP-467)."""
    answer = PartitionProduceResponse(index=index, error_code=error.code, base_offset=-1, error_message=error.message)
    if error.code is ErrorCode.NOT_ENOUGH_REPLICAS and partition is not None and partition.under_min_isr:
        answer.log_start_offset = partition.log_start_offset
    if isinstance(error, RecordsRejectedError):
        if error.carries_log_start_offset and partition is not None:
            answer.log_start_offset = partition.log_start_offset
        answer.record_errors = [
            BatchIndexAndErrorMessage(batch_index=at, batch_index_error_message=message)
            for at, message in error.record_errors
        ]
    return answer


def is_one_batch(records: memoryview, api_version: int) -> bool:
    """A quick look: one whole batch of magic 2, in a codec the version may carry. Else validate_produce says why."""
    size = len(records)
    return (
        size >= _BATCH_HEADER_BYTES
        and _BATCH_LENGTH.unpack_from(records, 8)[0] + 12 == size
        and records[16] == 2
        and (api_version >= _ZSTD_FROM or records[_ATTRIBUTES_LOW_BYTE] & 0x07 != _ZSTD)
    )


def is_transactional(records: memoryview) -> bool:
    """By the first batch's attributes; what is too short for them is none."""
    return (
        len(records) > _ATTRIBUTES_LOW_BYTE
        and bool(records[_ATTRIBUTES_LOW_BYTE] & _TRANSACTIONAL_BIT)
        and records[_MAGIC] == 2
    )


def _repeated(request: ProduceRequest, by_id: bool) -> set[int] | None:
    """Which entries (by identity) name a partition that comes again: Kafka's map of them keeps the last only."""
    topics = request.topic_data
    if len(topics) == 1 and len(topics[0].partition_data) == 1:
        return None
    last: dict[tuple[str | bytes, int], int] = {}
    repeated: set[int] = set()
    for topic in topics:
        key = topic.topic_id if by_id else topic.name
        for data in topic.partition_data:
            before = last.get((key, data.index))
            if before is not None:
                repeated.add(before)
            last[(key, data.index)] = id(data)
    return repeated


async def _when_committed(
    result: ProduceResponse,
    waiting: list[tuple[Partition, int, PartitionProduceResponse]],
    timeout_ms: int,
    ctx: RequestContext,
    partitions: Partitions,
) -> ProduceResponse:
    """Answer once every batch is as durable as its topic asks for, and on the replicas in sync."""
    committed: list[Deferred[None]] = [partition.committed(last + 1, timeout_ms) for partition, last, _ in waiting]
    misled: list[tuple[Partition, PartitionProduceResponse]] = []
    for done, (partition, _, answer) in zip(committed, waiting, strict=True):
        try:
            await done
        except ApiError as error:
            answer.error_code = error.code
            if error.code in _APPENDED:
                continue
            answer.base_offset = -1
            answer.log_append_time_ms = -1
            if error.code is ErrorCode.NOT_LEADER_OR_FOLLOWER:
                misled.append((partition, answer))
    if misled:
        _add_hints(result, misled, ctx, partitions)
    return result


def refuse_all(request: ProduceRequest, code: ErrorCode, message: str | None = None) -> ProduceResponse:
    """Each partition named gets the same code."""
    return ProduceResponse(
        responses=[
            TopicProduceResponse(
                name=topic.name,
                topic_id=topic.topic_id,
                partition_responses=[
                    PartitionProduceResponse(index=data.index, error_code=code, base_offset=-1, error_message=message)
                    for data in topic.partition_data
                ],
            )
            for topic in request.topic_data
        ]
    )
