"""Which records of a batch are kept  (Kafka: Cleaner.cleanInto, shouldRetainRecord; MemoryRecords.filterTo).

Of each key the last record is kept; a tombstone until the delete horizon of its batch, which is set when it is first
met: now plus ``delete.retention.ms``. Records without a key go. Records behind what the offset map covers stay.

Of an aborted transaction nothing is kept, a marker until nothing else of its transaction is left and then until a
delete horizon set likewise. A producer's last batch, and the batch at the end of what is cleaned, keep their header.
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import ge

from kwire.errors import CorruptRecordsError
from kwire.records.batch import (
    CODEC_MASK,
    CONTROL_FLAG,
    DELETE_HORIZON_FLAG,
    HEADER_SIZE,
    LOG_OVERHEAD,
    TRANSACTIONAL_FLAG,
    Buffer,
)
from kwire.records.compression import Codec, decompress
from kwire.records.control import decode_control_type
from log.append_validation import UNPACKED_LIMIT
from log.compaction.batch_files import CleanedSegment, Header
from log.compaction.job import CleaningError, CleaningJob, CleaningStats
from log.compaction.offset_map import OffsetMap
from log.compaction.record_scan import Records, scan_record, scan_records
from log.compaction.rewriting import empty_batch, rewrite_batch
from log.compaction.transactions import CleanedTransactions


def read_records(chunk: bytes, at: int, header: Header) -> Records:
    """The records of the batch at ``at``. CleaningError: they are damaged."""
    codec_id = header[5] & CODEC_MASK
    start = at + HEADER_SIZE
    end = at + LOG_OVERHEAD + header[1]
    try:
        if codec_id == 0:
            return scan_records(chunk, start, end, header[12])
        if codec_id > Codec.ZSTD:
            raise CorruptRecordsError(f"Unknown compression type id: {codec_id}")
        if header[12] == 0:
            return scan_records(b"", 0, 0, 0)
        body: Buffer = decompress(Codec(codec_id), memoryview(chunk)[start:end], limit=UNPACKED_LIMIT)
        if not isinstance(body, bytes):
            body = bytes(body)
        return scan_records(body, 0, len(body), header[12])
    except CorruptRecordsError as error:
        raise CleaningError(f"the batch at offset {header[0]}: {error}") from error


def read_record(chunk: bytes, at: int, header: Header) -> tuple[bytes | None, int, bool]:
    """Of the batch at ``at``, which holds one record that is not packed: its key, its offset's delta, whether it has a
    value. CleaningError."""
    try:
        return scan_record(chunk, at + HEADER_SIZE, at + LOG_OVERHEAD + header[1])
    except CorruptRecordsError as error:
        raise CleaningError(f"the batch at offset {header[0]}: {error}") from error


def note_control_batch(transactions: CleanedTransactions, chunk: bytes, at: int, header: Header) -> bool:
    """Tell of a control batch; whether it can be discarded."""
    last_offset = header[0] + header[6]
    if header[12] <= 0:
        return transactions.on_empty_control(last_offset)
    key = read_records(chunk, at, header).keys[0]
    try:
        control_type = decode_control_type(key)
    except CorruptRecordsError as error:
        raise CleaningError(f"the control batch at offset {header[0]}: {error}") from error
    return transactions.on_control(header[9], control_type, last_offset)


class BatchCleaner:
    """Copies batches to the segment in the making, whole, in part or not at all."""

    def __init__(
        self, job: CleaningJob, offset_map: OffsetMap, transactions: CleanedTransactions, stats: CleaningStats
    ) -> None:
        self._map = offset_map
        self._transactions = transactions
        self._stats = stats
        self._now_ms = job.now_ms
        self._horizon_ms = job.now_ms + job.delete_retention_ms
        self._upper_bound = job.first_uncleanable_offset
        self._last_records = {one.producer_id: (one.last_data_offset, one.producer_epoch) for one in job.last_records}

    def clean(self, chunk: bytes, at: int, header: Header, target: CleanedSegment) -> None:
        """The batch at ``at``."""
        base_offset, length, _, _, _, attributes, delta, base_timestamp, max_timestamp, producer_id, _, _, count = (
            header
        )
        last_offset = base_offset + delta
        stats = self._stats
        horizon = base_timestamp if attributes & DELETE_HORIZON_FLAG else None
        control = attributes & CONTROL_FLAG
        needs_horizon = False
        if control:
            needs_horizon = note_control_batch(self._transactions, chunk, at, header)
            discard = needs_horizon and horizon is not None and horizon <= self._now_ms
        else:
            discard = self._transactions.on_batch(producer_id, attributes & TRANSACTIONAL_FLAG != 0, last_offset)
        stats.bytes_read += LOG_OVERHEAD + length
        keep_header = last_offset + 1 == self._upper_bound or (producer_id >= 0 and self._is_last_of_producer(header))
        if discard and not keep_header:
            return

        stats.records_read += count
        kept: Sequence[int] = ()
        records: Records | None = None
        if discard:
            pass
        elif control:
            kept = range(count)
        elif count == 1 and not attributes & CODEC_MASK:
            key, delta, has_value = read_record(chunk, at, header)
            if self._keeps(key, base_offset + delta, has_value, horizon):
                kept = range(1)
                needs_horizon = not has_value
        else:
            records = read_records(chunk, at, header)
            kept = self._select(records, base_offset, horizon)
            needs_horizon = horizon is None and _any_in(records.without_value, kept)
        if not kept:
            if keep_header:
                self._append(target, empty_batch(header), last_offset, max_timestamp)
            return
        stats.records_written += len(kept)
        if len(kept) == count and (horizon is not None or not needs_horizon):
            whole = memoryview(chunk)[at : at + LOG_OVERHEAD + length]
            self._append(target, whole, last_offset, max_timestamp)
            return
        if horizon is None and needs_horizon:
            horizon = self._horizon_ms
        if records is None:
            records = read_records(chunk, at, header)
        rewritten, largest = rewrite_batch(header, records, kept, horizon)
        self._append(target, rewritten, last_offset, largest)

    def _append(self, target: CleanedSegment, data: bytearray | memoryview, last_offset: int, largest: int) -> None:
        self._stats.bytes_written += len(data)
        target.append(data, last_offset, largest)

    def _is_last_of_producer(self, header: Header) -> bool:
        """A producer's state is rebuilt from its last batch; of one with markers only, from its last marker."""
        last = self._last_records.get(header[9])
        if last is None:
            return False
        if last[0] >= 0:
            return header[0] + header[6] == last[0]
        return bool(header[5] & CONTROL_FLAG) and header[10] == last[1]

    def _keeps(self, key: bytes | None, offset: int, has_value: bool, horizon: int | None) -> bool:
        """Whether this record is kept."""
        if offset > self._map.latest_offset:
            return True
        if key is None:
            self._stats.invalid_records += 1
            return False
        if not has_value and horizon is not None and self._now_ms >= horizon:
            return False
        return offset >= self._map.latest_of(key)

    def _select(self, records: Records, base_offset: int, horizon: int | None) -> Sequence[int]:
        """The indices of the records that are kept: ``_keeps`` for all of them."""
        offset_map = self._map
        deltas = records.offset_deltas
        count = len(deltas)
        if not count:
            return ()
        latest_offset = offset_map.latest_offset
        first_beyond = count
        if base_offset + deltas[-1] > latest_offset:
            first_beyond = next(index for index, delta in enumerate(deltas) if base_offset + delta > latest_offset)
        expired = horizon is not None and self._now_ms >= horizon and records.without_value
        self._stats.invalid_records += sum(index < first_beyond for index in records.without_key)
        offsets = [base_offset + delta for delta in deltas]
        keep = list(map(ge, offsets, offset_map.latest(records.keys)))
        for index in records.without_key:
            keep[index] = False
        if expired:
            for index in records.without_value:
                keep[index] = False
        keep[first_beyond:] = [True] * (count - first_beyond)
        kept = keep.count(True)
        if kept == count:
            return range(count)
        return [index for index, keeps in enumerate(keep) if keeps] if kept else ()


def _any_in(some: list[int], others: Sequence[int]) -> bool:
    return bool(some) and not set(some).isdisjoint(others)
