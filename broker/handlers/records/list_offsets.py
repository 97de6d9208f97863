"""ListOffsets: special timestamps, and look-up by time.  (Kafka: UnifiedLog.fetchOffsetByTimestamp)"""

from __future__ import annotations

from typing import Final

from broker.context import RequestContext
from broker.partitions import Partition, Partitions
from kwire.error_codes import ErrorCode
from kwire.errors import ApiError
from kwire.messages.list_offsets import (
    ListOffsetsPartition,
    ListOffsetsPartitionResponse,
    ListOffsetsRequest,
    ListOffsetsResponse,
    ListOffsetsTopicResponse,
)

LATEST: Final = -1
EARLIEST: Final = -2
MAX_TIMESTAMP: Final = -3
EARLIEST_LOCAL: Final = -4
LATEST_TIERED: Final = -5
EARLIEST_PENDING_UPLOAD: Final = -6
_SINCE_VERSION: Final = {MAX_TIMESTAMP: 7, EARLIEST_LOCAL: 8, LATEST_TIERED: 9, EARLIEST_PENDING_UPLOAD: 11}
_READ_UNCOMMITTED: Final = 0
_READ_COMMITTED: Final = 1
_EPOCH_FROM: Final = 4
_OFFSET_NOT_AVAILABLE_FROM: Final = 5


def list_offsets(request: ListOffsetsRequest, ctx: RequestContext, partitions: Partitions) -> ListOffsetsResponse:
    """One answer per partition; a partition named twice gets INVALID_REQUEST once. No such isolation level:
    UNKNOWN_SERVER_ERROR for all."""
    if request.isolation_level not in (_READ_UNCOMMITTED, _READ_COMMITTED):
        return ListOffsetsResponse(
            topics=[
                ListOffsetsTopicResponse(
                    name=topic.name,
                    partitions=[_refused(wanted, ErrorCode.UNKNOWN_SERVER_ERROR) for wanted in topic.partitions],
                )
                for topic in request.topics
            ]
        )
    seen: set[tuple[str, int]] = set()
    twice: set[tuple[str, int]] = set()
    for topic in request.topics:
        for wanted in topic.partitions:
            key = (topic.name, wanted.partition_index)
            (twice if key in seen else seen).add(key)
    topics: list[ListOffsetsTopicResponse] = []
    answered_twice: set[tuple[str, int]] = set()
    for topic in request.topics:
        answers: list[ListOffsetsPartitionResponse] = []
        for wanted in topic.partitions:
            key = (topic.name, wanted.partition_index)
            if key in twice:
                if key in answered_twice:
                    continue
                answered_twice.add(key)
                answers.append(_refused(wanted, ErrorCode.INVALID_REQUEST))
                continue
            try:
                answers.append(_look_up(request, ctx, partitions, topic.name, wanted))
            except ApiError as error:
                answers.append(_refused(wanted, error.code))
        topics.append(ListOffsetsTopicResponse(name=topic.name, partitions=answers))
    return ListOffsetsResponse(topics=topics)


def _refused(wanted: ListOffsetsPartition, code: ErrorCode) -> ListOffsetsPartitionResponse:
    return ListOffsetsPartitionResponse(partition_index=wanted.partition_index, error_code=code)


def _look_up(
    request: ListOffsetsRequest, ctx: RequestContext, partitions: Partitions, topic: str, wanted: ListOffsetsPartition
) -> ListOffsetsPartitionResponse:
    timestamp = wanted.timestamp
    if timestamp < 0:
        since = 0 if timestamp in (LATEST, EARLIEST) else _SINCE_VERSION.get(timestamp)
        if since is None or ctx.api_version < since:
            raise ApiError(ErrorCode.UNSUPPORTED_VERSION)
    partition = partitions.get(topic, wanted.partition_index)
    if partition is None:
        raise ApiError(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION)
    partition.check_leader_epoch(wanted.current_leader_epoch)
    found = _offset_for(partition, timestamp, request.isolation_level, ctx.api_version)
    return ListOffsetsPartitionResponse(
        partition_index=wanted.partition_index,
        timestamp=found[0],
        offset=found[1],
        leader_epoch=found[2] if ctx.api_version >= _EPOCH_FROM else -1,
    )


def _check_high_watermark(partition: Partition, api_version: int) -> None:
    """A new leader does not know what was committed before its replicas are where its epoch begins. (KIP-207)"""
    entries = partition.log.epochs.entries
    if (
        entries
        and entries[-1].epoch == partition.leader_epoch
        and (partition.log.high_watermark < entries[-1].start_offset)
    ):
        unavailable = api_version >= _OFFSET_NOT_AVAILABLE_FROM
        raise ApiError(ErrorCode.OFFSET_NOT_AVAILABLE if unavailable else ErrorCode.LEADER_NOT_AVAILABLE)


def _offset_for(partition: Partition, timestamp: int, isolation_level: int, api_version: int) -> tuple[int, int, int]:
    """(timestamp, offset, leader epoch); -1 for what there is not."""
    partition_log = partition.log
    if timestamp == LATEST:
        if partition.held:
            _check_high_watermark(partition, api_version)
        end = partition_log.last_stable_offset if isolation_level == _READ_COMMITTED else partition_log.high_watermark
        return (-1, end, partition.leader_epoch)
    if timestamp in (EARLIEST, EARLIEST_LOCAL):
        return (-1, partition_log.log_start_offset, partition_log.earliest_epoch(partition.leader_epoch))
    if timestamp in (LATEST_TIERED, EARLIEST_PENDING_UPLOAD):
        return (-1, -1, -1)
    if timestamp == MAX_TIMESTAMP:
        found = partition_log.find_max_timestamp()
    else:
        found = partition_log.find_by_timestamp(timestamp)
    if found is None:
        return (-1, -1, -1)
    # What cannot be read yet is not found, by whichever timestamp.  (Kafka: Partition.fetchOffsetForTimestamp)
    end = partition_log.last_stable_offset if isolation_level == _READ_COMMITTED else partition_log.high_watermark
    if found.offset >= end:
        return (-1, -1, -1)
    return (found.timestamp, found.offset, found.leader_epoch)
