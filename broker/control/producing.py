"""Records that come over HTTP, appended at their partitions' leaders as those of a Produce request are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from attrs import frozen

from broker.contents.partitioning import partition_for_key
from broker.control.topics import led_partition
from broker.deferred import gather
from broker.http.endpoint import Call, ControlError
from kwire.error_codes import ErrorCode
from kwire.errors import ApiError
from kwire.records import RecordBatchBuilder

if TYPE_CHECKING:
    from broker.cluster import Cluster
    from broker.controller.model import TopicImage
    from broker.partitions import Partition
    from log.config import LogConfig

# Above what a record's lengths and deltas, and a batch's header, can take.
_RECORD_OVERHEAD: Final = 64
_HEADER_OVERHEAD: Final = 10
_BATCH_OVERHEAD: Final = 61


@frozen
class NewRecord:
    """partition None: by the key, and round the partitions without one. timestamp_ms None: the cluster's time."""

    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...]
    partition: int | None
    timestamp_ms: int | None

    @property
    def most_bytes(self) -> int:
        """How much of a batch it may take."""
        size = _RECORD_OVERHEAD + len(self.key or b"") + len(self.value or b"")
        return size + sum(len(name) * 4 + len(value or b"") + _HEADER_OVERHEAD for name, value in self.headers)


@frozen
class Placed:
    """Where a record is."""

    partition: int
    offset: int
    timestamp_ms: int


@frozen
class _Batch:
    partition: Partition
    indexes: list[int]
    timestamps: list[int]
    data: bytes


async def produce(
    call: Call, cluster: Cluster, topic: TopicImage, records: Sequence[NewRecord], timeout_ms: int
) -> list[Placed]:
    """Append all, wait until they are committed (acks=all); their places in the order given.

    What can be refused is refused before anything is appended: ControlError, ApiError. Records of one partition follow
    each other in the order given. timeout_ms: of the machine's time, to wait for what is held back (replicas that
    follow no more); ControlError 503 then, and the records stay.
    """
    if topic.is_internal:
        raise ApiError(ErrorCode.INVALID_TOPIC_EXCEPTION, f"{topic.name} is the broker's own, nobody else writes it")
    batches = _batches(cluster, topic, records)
    placed: dict[int, Placed] = {}
    waiting = []
    for batch in batches:
        info = batch.partition.append(memoryview(batch.data))
        for position, index in enumerate(batch.indexes):
            timestamp_ms = batch.timestamps[position]
            if info.log_append_time_ms >= 0:
                timestamp_ms = info.log_append_time_ms
            placed[index] = Placed(batch.partition.index, info.first_offset + position, timestamp_ms)
        waiting.append(batch.partition.committed(info.last_offset + 1))
    committed = gather(waiting)
    if not await call.wait_at_most(committed, timeout_ms):
        call.check_cluster()
        raise ControlError(
            503,
            ErrorCode.REQUEST_TIMED_OUT.name.lower(),
            f"the records are appended, but were not committed within {timeout_ms} ms: in-sync replicas have not"
            " followed",
        )
    committed.result()
    return [placed[index] for index in range(len(records))]


def _batches(cluster: Cluster, topic: TopicImage, records: Sequence[NewRecord]) -> list[_Batch]:
    by_partition: dict[int, list[int]] = {}
    count = len(topic.partitions)
    # Who comes again without keys goes on where it was, as far as can be told without a memory of its own.
    turn = _records_so_far(cluster, topic)
    for index, record in enumerate(records):
        partition = record.partition
        if partition is None:
            if record.key is not None:
                partition = partition_for_key(record.key, count)
            else:
                partition = turn % count
                turn += 1
        by_partition.setdefault(partition, []).append(index)
    leaders = {index: led_partition(cluster, topic, index) for index in by_partition}
    for index, leader in leaders.items():
        if leader.under_min_isr:
            raise ApiError(
                ErrorCode.NOT_ENOUGH_REPLICAS, f"partition {index} has fewer in-sync replicas than min.insync.replicas"
            )
    now_ms = cluster.clock.now_ms()
    batches: list[_Batch] = []
    for partition_index, indexes in by_partition.items():
        leader = leaders[partition_index]
        config = leader.log.config
        builder = RecordBatchBuilder()
        taken: list[int] = []
        size = _BATCH_OVERHEAD
        for index in indexes:
            record = records[index]
            if record.most_bytes + _BATCH_OVERHEAD > config.max_message_bytes:
                raise ControlError(
                    400,
                    "message_too_large",
                    f"records[{index}] may take {record.most_bytes} bytes; max.message.bytes of the topic is "
                    f"{config.max_message_bytes}",
                )
            _check_timestamp(index, record, config, now_ms)
            if config.compact and record.key is None:
                raise ControlError(
                    400, "invalid_record", f"records[{index}] has no key, and the topic is compacted: give it one"
                )
            if size + record.most_bytes > config.max_message_bytes:
                batches.append(_built(leader, taken, builder, records, now_ms))
                builder, taken, size = RecordBatchBuilder(), [], _BATCH_OVERHEAD
            timestamp_ms = now_ms if record.timestamp_ms is None else record.timestamp_ms
            builder.append(record.key, record.value, timestamp=timestamp_ms, headers=record.headers)
            taken.append(index)
            size += record.most_bytes
        batches.append(_built(leader, taken, builder, records, now_ms))
    return batches


def _check_timestamp(index: int, record: NewRecord, config: LogConfig, now_ms: int) -> None:
    if record.timestamp_ms is None or config.log_append_time:
        return
    lowest = max(0, now_ms - config.message_timestamp_before_max_ms)
    highest = now_ms + config.message_timestamp_after_max_ms
    if not lowest <= record.timestamp_ms <= highest:
        raise ControlError(
            400,
            ErrorCode.INVALID_TIMESTAMP.name.lower(),
            f"records[{index}] has timestamp_ms {record.timestamp_ms}; the topic takes {lowest} to {highest}"
            " (message.timestamp.before.max.ms, .after.max.ms)",
        )


def _built(
    leader: Partition, taken: list[int], builder: RecordBatchBuilder, records: Sequence[NewRecord], now_ms: int
) -> _Batch:
    timestamps = [now_ms if (timestamp_ms := records[index].timestamp_ms) is None else timestamp_ms for index in taken]
    return _Batch(leader, taken, timestamps, bytes(builder.build()))


def _records_so_far(cluster: Cluster, topic: TopicImage) -> int:
    count = 0
    for index, described in enumerate(topic.partitions):
        node = cluster.nodes.get(described.leader)
        partition = None if node is None else node.partitions.get(topic.name, index)
        if partition is not None and partition.opened is not None:
            count += partition.opened.log_end_offset
    return count
