"""Reads the partitions of one fetch within its limits.  (Kafka: ReplicaManager.readFromLog, Partition.fetchRecords)"""

from __future__ import annotations

import logging
from typing import Final

from attrs import define

from broker.fetch.target import FetchTarget
from broker.partitions import Partition, Partitions
from kwire.error_codes import ErrorCode
from kwire.errors import ApiError
from kwire.messages.fetch import AbortedTransaction, EpochEndOffset, LeaderIdAndEpoch, PartitionData

logger = logging.getLogger("kwire.fetch")

READ_UNCOMMITTED: Final = 0
READ_COMMITTED: Final = 1
_ZSTD_FROM_VERSION: Final = 10
_FOLLOWERS_FROM: Final = 11
_HINTS_FROM: Final = 16
_LED_ELSEWHERE: Final = (ErrorCode.NOT_LEADER_OR_FOLLOWER, ErrorCode.FENCED_LEADER_EPOCH)


@define(slots=True, eq=False)
class FetchLimits:
    """What holds for a whole fetch request.

    max_bytes: of all partitions together; the first batch is given whatever its size (KIP-74).
    """

    api_version: int
    min_bytes: int
    max_bytes: int
    isolation_level: int
    replica_id: int


@define(slots=True, eq=False)
class PartitionRead:
    """What one partition gave: its part of the answer, and how many bytes of records."""

    target: FetchTarget
    partition: Partition | None
    data: PartitionData
    size: int = 0


class FetchReader:
    """Reads a list of targets, keeping count of the bytes. One per attempt."""

    __slots__ = ("_left", "_limits", "_partitions", "leaders", "must_answer", "reads", "size")

    def __init__(self, partitions: Partitions, limits: FetchLimits) -> None:
        self._partitions = partitions
        self._limits = limits
        self._left = limits.max_bytes
        self.size = 0
        self.must_answer = False  # an error or a diverging epoch does not wait for more bytes
        self.reads: list[PartitionRead] = []
        self.leaders: tuple[int, ...] = ()
        """Of partitions that are led elsewhere: whom the client should ask."""

    def read_all(self, targets: list[FetchTarget]) -> None:
        for target in targets:
            self.reads.append(self._read(target))

    @property
    def enough(self) -> bool:
        return self.must_answer or self.size >= self._limits.min_bytes

    def _read(self, target: FetchTarget) -> PartitionRead:
        limits = self._limits
        committed = limits.isolation_level == READ_COMMITTED
        data = PartitionData(
            partition_index=target.index,
            high_watermark=-1,
            records=b"",
            aborted_transactions=[] if committed else None,
        )
        partition: Partition | None = None
        try:
            partition = self._find(target)
            size = self._read_partition(target, partition, data)
        except ApiError as error:
            if error.code is ErrorCode.NOT_LEADER_OR_FOLLOWER and partition is None:
                follower = self._read_follower(target, data)
                if follower is not None:
                    return follower
            self._fail(data, error.code)
            if error.code in _LED_ELSEWHERE and limits.api_version >= _HINTS_FROM:
                self._hint(target, data)
            return PartitionRead(target, partition, data)
        except Exception:
            logger.exception("cannot read %s-%d at offset %d", target.topic, target.index, target.offset)
            self._fail(data, ErrorCode.UNKNOWN_SERVER_ERROR)
            return PartitionRead(target, partition, data)
        self._left = max(0, self._left - size)
        self.size += size
        return PartitionRead(target, partition, data, size)

    def _fail(self, data: PartitionData, code: ErrorCode) -> None:
        data.error_code = code
        data.high_watermark = -1
        data.last_stable_offset = -1
        data.log_start_offset = -1
        data.records = b""
        # Kafka answers a partition it does not find with the schema's default, other errors like an empty read.
        unknown = code in (ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, ErrorCode.UNKNOWN_TOPIC_ID)
        data.aborted_transactions = [] if unknown else None
        self.must_answer = True

    def _hint(self, target: FetchTarget, data: PartitionData) -> None:
        hints = self._partitions.hints
        if hints is not None:
            leader, epoch = hints.leader(target.topic, target.topic_id, target.index)
            data.current_leader = LeaderIdAndEpoch(leader_id=leader, leader_epoch=epoch)
            self.leaders += (leader,)

    def _read_follower(self, target: FetchTarget, data: PartitionData) -> PartitionRead | None:
        """Consumers may read where a replica follows, up to what it knows to be committed.  (KIP-392)

        None: there is no replica here, or the client is too old to say that it may.
        """
        followers, limits = self._partitions.followers, self._limits
        if followers is None or limits.api_version < _FOLLOWERS_FROM or limits.replica_id >= 0:
            return None
        follower = followers.get(target.topic, target.topic_id, target.index)
        if follower is None:
            return None
        size = 0
        try:
            follower.check_leader_epoch(target.current_leader_epoch)
            end = follower.end_offset
            if target.offset > end:
                raise ApiError(ErrorCode.OFFSET_OUT_OF_RANGE)
            size = self._read_partition(target, follower, data, end)
        except ApiError as error:
            self._fail(data, error.code)
            if error.code in _LED_ELSEWHERE and limits.api_version >= _HINTS_FROM:
                self._hint(target, data)
        self._left = max(0, self._left - size)
        self.size += size
        return PartitionRead(target, follower, data, size)

    def _find(self, target: FetchTarget) -> Partition:
        limits = self._limits
        if limits.api_version >= 13:
            partition = self._partitions.get_by_id(target.topic_id, target.index)
            if partition is None:
                known = self._partitions.knows_topic_id(target.topic_id)
                raise ApiError(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION if known else ErrorCode.UNKNOWN_TOPIC_ID)
        else:
            partition = self._partitions.get(target.topic, target.index)
            if partition is None:
                raise ApiError(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION)
        if limits.replica_id >= 0:
            raise ApiError(ErrorCode.NOT_LEADER_OR_FOLLOWER)
        partition.check_leader_epoch(target.current_leader_epoch)
        return partition

    def _read_partition(
        self, target: FetchTarget, partition: Partition, data: PartitionData, end: int | None = None
    ) -> int:
        """end: where a follower's replica ends."""
        limits = self._limits
        partition_log = partition.log
        if limits.api_version < _ZSTD_FROM_VERSION and partition_log.config.compression_type == "zstd":
            raise ApiError(ErrorCode.UNSUPPORTED_COMPRESSION_TYPE)
        high_watermark = partition_log.high_watermark
        last_stable_offset = partition_log.last_stable_offset
        if end is not None:
            high_watermark, last_stable_offset = min(high_watermark, end), min(last_stable_offset, end)
        if target.last_fetched_epoch >= 0 and self._diverges(target, partition, data):
            data.high_watermark = high_watermark
            data.last_stable_offset = last_stable_offset
            data.log_start_offset = partition_log.log_start_offset
            self.must_answer = True
            return 0
        committed = limits.isolation_level == READ_COMMITTED
        up_to = last_stable_offset if committed else high_watermark
        result = partition_log.read(
            target.offset, min(target.max_bytes, self._left), up_to=up_to, min_one=self.size == 0
        )
        data.high_watermark = high_watermark
        data.last_stable_offset = last_stable_offset
        data.log_start_offset = partition_log.log_start_offset
        file_range = result.file_range
        if file_range is None:
            return 0
        data.records = file_range
        if committed:
            data.aborted_transactions = [
                AbortedTransaction(producer_id=aborted.producer_id, first_offset=aborted.first_offset)
                for aborted in partition_log.aborted_in(target.offset, result)
            ]
        return len(file_range)

    def _diverges(self, target: FetchTarget, partition: Partition, data: PartitionData) -> bool:
        """KIP-595: the consumer's last record is of an epoch that ended before its offset here."""
        epoch, end_offset = partition.log.end_offset_for_epoch(target.last_fetched_epoch)
        if epoch < 0 or end_offset < 0:
            raise ApiError(ErrorCode.OFFSET_OUT_OF_RANGE)
        if epoch < target.last_fetched_epoch or end_offset < target.offset:
            data.diverging_epoch = EpochEndOffset(epoch=epoch, end_offset=end_offset)
            return True
        return False
