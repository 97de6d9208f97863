"""One cleaning of one log, from its files to the files that take their place  (Kafka: Cleaner.doClean).

    result = clean(storage, job, hooks)

Two walks. The first, over the dirty part, notes the last offset of each key until the map is full; the second copies
every segment below that, from the log's start on, without what is out of date. Only ``.cleaned`` files are written; a
cleaning that ends early leaves the log as it was, but for the groups already handed to ``hooks.group_done``.
"""

from __future__ import annotations

from contextlib import suppress

from kwire.records.batch import CODEC_MASK, CONTROL_FLAG, TRANSACTIONAL_FLAG
from log.compaction.batch_files import CleanedSegment, read_chunks
from log.compaction.grouping import group_segments
from log.compaction.job import (
    CleanedGroup,
    CleaningError,
    CleaningHooks,
    CleaningJob,
    CleaningResult,
    CleaningStats,
    SourceSegment,
)
from log.compaction.offset_map import CompactOffsetMap, DictOffsetMap, MapMemoryError, OffsetMap, capacity_of
from log.compaction.retention import BatchCleaner, note_control_batch, read_record, read_records
from log.compaction.transactions import CleanedTransactions
from log.filenames import LOG, OFFSET_INDEX, offset_name
from log.offset_index import OffsetIndex
from log.storage import LogFile, Storage


def clean(storage: Storage, job: CleaningJob, hooks: CleaningHooks | None = None) -> CleaningResult:
    """Clean ``[job.first_dirty_offset, job.first_uncleanable_offset)``, or as much of it as the map has room for.

    CleaningError: the log cannot be cleaned. CleaningCancelledError, or whatever else a hook raises. OSError.
    """
    return _Cleaning(storage, job, CleaningHooks() if hooks is None else hooks).run()


class _Cleaning:
    def __init__(self, storage: Storage, job: CleaningJob, hooks: CleaningHooks) -> None:
        self._storage = storage
        self._job = job
        self._hooks = hooks
        self._stats = CleaningStats()

    def run(self) -> CleaningResult:
        job = self._job
        stats = self._stats
        if job.first_dirty_offset >= job.first_uncleanable_offset or not job.segments:
            return CleaningResult(job.first_dirty_offset, (), stats)
        offset_map = self._build_map()
        stats.map_entries = len(offset_map)
        stats.map_bytes_used = offset_map.bytes_used
        stats.map_utilization = len(offset_map) / capacity_of(job.map_bytes, job.map_load_factor)
        end_offset = offset_map.latest_offset + 1
        transactions = CleanedTransactions(job.aborted_transactions)
        cleaner = BatchCleaner(job, offset_map, transactions, stats)
        sources = [segment for segment in job.segments if segment.base_offset < end_offset]
        groups = []
        for group in group_segments(sources, job.segment_bytes, job.segment_index_bytes, job.first_uncleanable_offset):
            done = self._clean_group(group, cleaner, transactions)
            groups.append(done)
            self._hooks.group_done(done)
        return CleaningResult(end_offset, tuple(groups), stats)

    def _build_map(self) -> OffsetMap:
        job = self._job
        capacity = capacity_of(job.map_bytes, job.map_load_factor)
        if capacity < 1:
            raise CleaningError(
                "offset map is too small to fit in even a single message: log.cleaner.dedupe.buffer.size must be larger"
            )
        expected = job.first_uncleanable_offset - job.first_dirty_offset
        quick = DictOffsetMap(capacity, job.map_bytes, expected)
        try:
            self._fill(quick)
            return quick
        except MapMemoryError:
            del quick
        self._stats.map_bytes_read = self._stats.map_records_read = 0
        small = CompactOffsetMap(capacity, job.map_bytes, expected)
        self._fill(small)
        return small

    def _fill(self, offset_map: OffsetMap) -> None:
        """Walk through the dirty segments until their end or the map's."""
        job = self._job
        start = job.first_dirty_offset
        segments = job.segments
        transactions = CleanedTransactions(one for one in job.aborted_transactions if one.last_offset >= start)
        for number, segment in enumerate(segments):
            after = segments[number + 1].base_offset if number + 1 < len(segments) else job.first_uncleanable_offset
            if after <= start:
                continue
            if not self._fill_from(segment, offset_map, transactions):
                return
            offset_map.latest_offset = after - 1  # offsets may be missing at the end

    def _fill_from(self, segment: SourceSegment, offset_map: OffsetMap, transactions: CleanedTransactions) -> bool:
        job = self._job
        stats = self._stats
        hooks = self._hooks
        start = job.first_dirty_offset
        path = self._path(segment.base_offset, LOG)
        file = self._storage.open(path, create=False)
        position = 0 if start <= segment.base_offset else self._position_of(segment, start)
        for chunk, batches in read_chunks(file, path, position, segment.size_bytes, job.io_buffer_bytes, hooks.moved):
            for at, header in batches:
                base_offset, length, _, _, _, attributes, delta, _, _, producer_id, _, _, count = header
                last_offset = base_offset + delta
                stats.map_records_read += count
                stats.map_bytes_read += length + 12
                if attributes & CONTROL_FLAG:
                    note_control_batch(transactions, chunk, at, header)
                elif not transactions.on_batch(producer_id, attributes & TRANSACTIONAL_FLAG != 0, last_offset):
                    if count == 1 and not attributes & CODEC_MASK and base_offset >= start:
                        key, delta, _ = read_record(chunk, at, header)
                        if key is not None and not offset_map.put_one(key, base_offset + delta):
                            return False
                        offset_map.latest_offset = last_offset
                        continue
                    records = read_records(chunk, at, header)
                    keys = records.keys
                    offsets = [base_offset + delta for delta in records.offset_deltas]
                    if records.without_key or base_offset < start:
                        pairs = zip(keys, offsets, strict=True)
                        keyed = [(key, offset) for key, offset in pairs if key is not None and offset >= start]
                        keys = [key for key, _ in keyed]
                        offsets = [offset for _, offset in keyed]
                    if not offset_map.put(keys, offsets):  # type: ignore[arg-type]  # there is no None left
                        return False
                if last_offset >= start:
                    offset_map.latest_offset = last_offset
            hooks.progress(stats)
        return True

    def _clean_group(
        self, group: list[SourceSegment], cleaner: BatchCleaner, transactions: CleanedTransactions
    ) -> CleanedGroup:
        job = self._job
        hooks = self._hooks
        target = CleanedSegment(
            self._storage,
            job.directory,
            group[0].base_offset,
            max_index_bytes=job.segment_index_bytes,
            index_interval_bytes=job.index_interval_bytes,
            buffer_bytes=job.io_buffer_bytes,
            moved=hooks.moved,
        )
        transactions.keep_aborted = target.add_aborted
        try:
            target.begin()
            for segment in group:
                path = self._path(segment.base_offset, LOG)
                file = self._storage.open(path, create=False)
                for chunk, batches in read_chunks(file, path, 0, segment.size_bytes, job.io_buffer_bytes, hooks.moved):
                    for at, header in batches:
                        cleaner.clean(chunk, at, header, target)
                    hooks.progress(self._stats)
            modified_ms = group[-1].modified_ms
            target.finish(modified_ms)
        except BaseException:
            with suppress(OSError):
                target.remove()
            raise
        return CleanedGroup(
            target.base_offset,
            tuple(segment.base_offset for segment in group),
            target.size,
            target.largest_timestamp,
            target.has_transaction_index,
            modified_ms,
        )

    def _position_of(self, segment: SourceSegment, offset: int) -> int:
        """Position of a batch at or before the one that holds ``offset``, by the segment's index."""
        path = self._path(segment.base_offset, OFFSET_INDEX)
        index = OffsetIndex(LogFile(self._storage, path), segment.base_offset, self._job.segment_index_bytes)
        try:
            return index.lookup(offset)
        finally:
            index.file.release()

    def _path(self, base_offset: int, suffix: str) -> str:
        return f"{self._job.directory}/{offset_name(base_offset, suffix)}"
