"""Records of a topic's partitions, decoded as a consumer would see them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from attrs import define

from kwire.records import BatchHeader, ControlType, Record, decode_control_type, iter_batches, read_records

if TYPE_CHECKING:
    from broker.partitions import Partition
    from log.transaction_index import AbortedTransaction

_READ_BYTES: Final = 1024 * 1024


@define
class Budget:
    """What an answer may still hold. The first record is given whatever its size."""

    records: int
    size: int

    @property
    def spent(self) -> bool:
        return self.records <= 0 or self.size <= 0

    def take(self, record: Record) -> None:
        self.records -= 1
        self.size -= len(record.key or b"") + len(record.value or b"") + 64
        self.size -= sum(len(name) + len(value or b"") for name, value in record.headers)


def read_partition(partition: Partition, offset: int, budget: Budget, *, committed: bool) -> tuple[list[Record], int]:
    """Records from `offset` on within the budget, and the offset to go on from.

    committed: up to the last stable offset, without records of aborted transactions. Raises ApiError
    (OFFSET_OUT_OF_RANGE, KAFKA_STORAGE_ERROR) and CorruptRecordsError.
    """
    found: list[Record] = []
    while not budget.spent:
        log = partition.log
        result = log.read(offset, _READ_BYTES, up_to=log.last_stable_offset if committed else log.high_watermark)
        if result.file_range is None:
            break
        aborted = log.aborted_in(offset, result) if committed else []
        before = offset
        data = result.file_range.read()
        for record, after in _visible(data, offset, aborted):
            if record is not None:
                if budget.spent:
                    return found, offset
                budget.take(record)
                found.append(record)
            offset = after
        if offset == before:
            break
    return found, offset


def _visible(data: bytes, offset: int, aborted: list[AbortedTransaction]) -> Iterator[tuple[Record | None, int]]:
    """Records at or above `offset`, each with the offset after it; None for what only moves the position.

    What to leave out is found as Kafka's consumer does: a transaction is aborted from its first offset to its marker.
    """
    to_come = sorted(aborted, key=lambda each: each.first_offset)
    open_now: set[int] = set()
    for header in iter_batches(data, partial_tail=True):
        while to_come and to_come[0].first_offset <= header.last_offset:
            open_now.add(to_come.pop(0).producer_id)
        if header.is_control:
            if _is_abort(data, header):
                open_now.discard(header.producer_id)
        elif not (header.is_transactional and header.producer_id in open_now):
            for record in read_records(data, header.position):
                if record.offset >= offset:
                    yield record, record.offset + 1
        # Past what compaction took from the batch's end, too.
        yield None, max(offset, header.next_offset)


def _is_abort(data: bytes, header: BatchHeader) -> bool:
    first = next(read_records(data, header.position), None)
    return first is not None and first.key is not None and decode_control_type(first.key) is ControlType.ABORT
