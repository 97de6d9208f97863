"""One segment of a log: its batches, and its three indexes  (Kafka: LogSegment).

Offsets, positions and sizes here are trusted: what is appended was validated, what is read was recovered. Errors are
the ``OSError`` of the storage.
"""

from __future__ import annotations

from collections.abc import Iterator
from struct import Struct
from typing import NamedTuple

from kwire.records import HEADER_SIZE, LOG_OVERHEAD, BatchHeader, read_records
from log.config import LogConfig
from log.filenames import LOG, OFFSET_INDEX, TIME_INDEX, TRANSACTION_INDEX, offset_name
from log.offset_index import OffsetIndex
from log.storage import Bytes, LogFile, Storage
from log.time_index import NO_TIMESTAMP, TimeIndex
from log.transaction_index import TransactionIndex

MAX_RELATIVE_OFFSET = 0x7FFFFFFF
_SCAN_CHUNK = 4096
# base offset, length, and after 11 bytes (epoch, magic, crc, attributes) the last offset's delta
_SPAN = Struct(">qi11xi")
_SPAN_SIZE = _SPAN.size


class BatchSpan(NamedTuple):
    """Where a batch lies: offsets inclusive, position and size in bytes."""

    base_offset: int
    last_offset: int
    position: int
    size: int


class TimestampOffset(NamedTuple):
    """A record found by time; ``leader_epoch`` is -1 when unknown."""

    timestamp: int
    offset: int
    leader_epoch: int


class Segment:
    """Batches from ``base_offset`` on. ``size`` is where the next batch goes; there may be rubbish behind it."""

    __slots__ = (
        "_bytes_since_index",
        "_first_timestamp",
        "_indexes_full",
        "_max_timestamp",
        "_max_timestamp_offset",
        "base_offset",
        "created_ms",
        "file",
        "jitter_ms",
        "offset_index",
        "size",
        "storage",
        "time_index",
        "transaction_index",
    )

    def __init__(
        self,
        storage: Storage,
        directory: str,
        base_offset: int,
        *,
        size: int,
        max_index_size: int,
        has_transaction_index: bool,
        created_ms: int,
        jitter_ms: int = 0,
        create: bool = False,
        suffix: str = "",
    ) -> None:
        self.storage = storage
        self.base_offset = base_offset
        self.size = size
        self.created_ms = created_ms
        self.jitter_ms = jitter_ms
        prefix = f"{directory}/{offset_name(base_offset, '')}"
        self.file = LogFile(storage, f"{prefix}{LOG}{suffix}", create=create)
        self.offset_index = OffsetIndex(
            LogFile(storage, f"{prefix}{OFFSET_INDEX}{suffix}", create=create), base_offset, max_index_size
        )
        self.time_index = TimeIndex(
            LogFile(storage, f"{prefix}{TIME_INDEX}{suffix}", create=create), base_offset, max_index_size
        )
        self.transaction_index = TransactionIndex(
            LogFile(storage, f"{prefix}{TRANSACTION_INDEX}{suffix}", create=not has_transaction_index),
            exists=has_transaction_index,
        )
        self._bytes_since_index = 0
        self._indexes_full: bool | None = None
        self._max_timestamp: int | None = None
        self._max_timestamp_offset = base_offset
        self._first_timestamp: int | None = None

    @classmethod
    def create(
        cls, storage: Storage, directory: str, base_offset: int, config: LogConfig, *, now_ms: int, jitter_ms: int
    ) -> Segment:
        """A new, empty segment with its files; leftovers of the same name are removed first."""
        for suffix in (LOG, OFFSET_INDEX, TIME_INDEX, TRANSACTION_INDEX):
            path = f"{directory}/{offset_name(base_offset, suffix)}"
            if storage.exists(path):
                storage.unlink(path)
        segment = cls(
            storage,
            directory,
            base_offset,
            size=0,
            max_index_size=config.segment_index_bytes,
            has_transaction_index=False,
            created_ms=now_ms,
            jitter_ms=jitter_ms,
            create=True,
        )
        segment.file.opened()
        for index in (segment.offset_index, segment.time_index):
            index.create()
            index.file.release()  # the next write to it is hundreds of entries away
        segment._max_timestamp = NO_TIMESTAMP
        return segment

    def files(self) -> list[LogFile]:
        """The files that exist."""
        found = [self.file, self.offset_index.file, self.time_index.file]
        if self.transaction_index.exists:
            found.append(self.transaction_index.file)
        return found

    # Appending

    def append(self, data: Bytes, size: int, last_offset: int, max_timestamp: int, index_interval: int) -> None:
        """Write one batch of ``size`` bytes and index it. On ``OSError`` nothing was appended (see ``undo_write``)."""
        position = self.size
        self.file.opened().pwrite(data, position)
        self.size = position + size
        self.note_batch(position, size, last_offset, max_timestamp, index_interval)

    def note_batch(self, position: int, size: int, last_offset: int, max_timestamp: int, index_interval: int) -> None:
        """Account for a batch that is in the file: largest timestamp, index entries."""
        known = self._max_timestamp
        if known is None:
            known = self._load_max_timestamp()
        if max_timestamp > known:
            known = self._max_timestamp = max_timestamp
            self._max_timestamp_offset = last_offset
        if position == 0:
            self._first_timestamp = max_timestamp
        if self._bytes_since_index > index_interval:
            self.offset_index.append(last_offset, position)
            self.time_index.maybe_append(known, self._max_timestamp_offset)
            self._indexes_full = None
            self._bytes_since_index = size
        else:
            self._bytes_since_index += size

    def undo_write(self) -> None:
        """Cut what a failed write may have left behind the end. Raises ``OSError`` when that fails too."""
        self.file.opened().truncate(self.size)

    def must_roll(self, config: LogConfig, size: int, last_offset: int, max_timestamp: int, now_ms: int) -> bool:
        """Whether a batch of ``size`` bytes ending at ``last_offset`` belongs into a new segment."""
        filled = self.size
        if filled > config.segment_bytes - size:
            return True
        if last_offset - self.base_offset > MAX_RELATIVE_OFFSET:
            return True
        if filled == 0:
            return False
        first = self._first_timestamp
        if first is None:
            first = self._load_first_timestamp()
        waited = max_timestamp - first if first >= 0 else now_ms - self.created_ms
        if waited > config.max_segment_ms - self.jitter_ms:
            return True
        full = self._indexes_full
        if full is None:
            full = self._indexes_full = self.offset_index.is_full or self.time_index.is_full
        return full

    def close_for_appends(self) -> None:
        """Finish the indexes: the largest timestamp gets its entry, both files are cut to size."""
        if self._max_timestamp is None:
            self._load_max_timestamp()
        self.time_index.maybe_append(self.max_timestamp, self._max_timestamp_offset)
        self.offset_index.trim()
        self.time_index.trim()

    # What is known of the content

    @property
    def max_timestamp(self) -> int:
        """The largest timestamp, -1 without one."""
        known = self._max_timestamp
        return self._load_max_timestamp() if known is None else known

    @property
    def max_timestamp_offset(self) -> int:
        """Last offset of the first batch that has the largest timestamp."""
        if self._max_timestamp is None:
            self._load_max_timestamp()
        return self._max_timestamp_offset

    def _load_max_timestamp(self) -> int:
        self._max_timestamp_offset = self.time_index.last_offset
        self._max_timestamp = self.time_index.last_timestamp
        return self._max_timestamp

    @property
    def first_timestamp(self) -> int:
        """Largest timestamp of the first batch, -1 when there is none: segments roll by it."""
        known = self._first_timestamp
        return self._load_first_timestamp() if known is None else known

    def _load_first_timestamp(self) -> int:
        if not self.size:
            return NO_TIMESTAMP
        for header in self.headers():
            self._first_timestamp = header.max_timestamp
            return header.max_timestamp
        return NO_TIMESTAMP

    def retention_timestamp(self) -> int:
        """What retention by time goes by: the largest timestamp, else the file's modification time."""
        largest = self.max_timestamp
        return largest if largest >= 0 else self.storage.modified_ms(self.file.path)

    def next_offset(self) -> int:
        """The offset after the last batch, from the last indexed batch on."""
        position = self.offset_index.lookup(self.base_offset + MAX_RELATIVE_OFFSET)
        offset = self.base_offset
        for span in self.spans(position):
            offset = span.last_offset + 1
        return offset

    # Reading

    def search(self, offset: int) -> BatchSpan | None:
        """The first batch that ends at or above ``offset``; None when the segment has none."""
        position = self.offset_index.lookup(offset)
        end = self.size
        opened = self.file.opened()
        while position + _SPAN_SIZE <= end:
            chunk = opened.pread(min(_SCAN_CHUNK, end - position), position)
            last = len(chunk) - _SPAN_SIZE
            if last < 0:
                return None
            at = 0
            while at <= last:
                base_offset, length, delta = _SPAN.unpack_from(chunk, at)
                size = LOG_OVERHEAD + length
                if size < HEADER_SIZE or position + size > end:
                    return None
                if base_offset + delta >= offset:
                    return BatchSpan(base_offset, base_offset + delta, position, size)
                position += size
                at += size
        return None

    def spans(self, position: int = 0, end: int | None = None) -> Iterator[BatchSpan]:
        """Batches from ``position`` (of a batch) on; stops before one that is not whole."""
        if end is None:
            end = self.size
        opened = self.file.opened()
        chunk = b""
        start = position
        wanted = _SCAN_CHUNK
        while position + _SPAN_SIZE <= end:
            at = position - start
            if at + _SPAN_SIZE > len(chunk):
                chunk = opened.pread(min(wanted, end - position), position)
                start = position
                at = 0
                if len(chunk) < _SPAN_SIZE:
                    return
            base_offset, length, delta = _SPAN.unpack_from(chunk, at)
            size = LOG_OVERHEAD + length
            if size < HEADER_SIZE or position + size > end:
                return
            yield BatchSpan(base_offset, base_offset + delta, position, size)
            position += size

    def headers(self, position: int = 0, end: int | None = None) -> Iterator[BatchHeader]:
        """Whole headers from ``position`` on; ``header.position`` is the file position. Stops before a broken one."""
        if end is None:
            end = self.size
        opened = self.file.opened()
        while position + HEADER_SIZE <= end:
            chunk = opened.pread(min(_SCAN_CHUNK, end - position), position)
            at = 0
            while at + HEADER_SIZE <= len(chunk):
                if chunk[at + 16] != 2:
                    return
                header = BatchHeader.peek(chunk, at)
                header.position = position
                if position + header.size > end:
                    return
                yield header
                position += header.size
                at += header.size
            if len(chunk) < HEADER_SIZE:
                return

    def batches(self, position: int = 0, end: int | None = None) -> Iterator[tuple[BatchHeader, memoryview]]:
        """Whole batches with their bytes (``header.position`` counts in the bytes given)."""
        opened = self.file.opened()
        for span in self.spans(position, end):
            data = opened.pread(span.size, span.position)
            yield BatchHeader.peek(data), memoryview(data)

    def find_by_timestamp(self, timestamp: int, start_offset: int) -> TimestampOffset | None:
        """The first record at or above ``start_offset`` with at least this timestamp."""
        offset = self.time_index.lookup(timestamp)
        position = self.offset_index.lookup(max(offset, start_offset))
        for header in self.headers(position):
            if header.max_timestamp < timestamp or header.last_offset < start_offset:
                continue
            data = self.file.opened().pread(header.size, header.position)
            for record in read_records(data):
                if record.timestamp >= timestamp and record.offset >= start_offset:
                    return TimestampOffset(record.timestamp, record.offset, header.partition_leader_epoch)
        return None

    def find_max_timestamp(self) -> TimestampOffset | None:
        """The first record that has the segment's largest timestamp."""
        wanted = self.max_timestamp
        position = self.offset_index.lookup(self.max_timestamp_offset)
        for header in self.headers(position):
            if header.max_timestamp == wanted:
                data = self.file.opened().pread(header.size, header.position)
                for record in read_records(data):
                    if record.timestamp == wanted:
                        return TimestampOffset(wanted, record.offset, header.partition_leader_epoch)
                return None
        return None

    # Changing

    def truncate_to(self, offset: int, now_ms: int) -> int:
        """Drop the batches from the one that holds ``offset`` on; returns the bytes cut."""
        span = self.search(offset)
        self.offset_index.truncate_to(offset)
        self.time_index.truncate_to(offset)
        self.transaction_index.truncate_to(offset)
        cut = 0
        if span is not None:
            cut = self.size - span.position
            self.file.opened().truncate(span.position)
            self.size = span.position
        self._bytes_since_index = 0
        self._indexes_full = None
        self._max_timestamp = None
        if self.size == 0:
            self.created_ms = now_ms
            self._first_timestamp = None
        self.restore_max_timestamp()
        return cut

    def restore_max_timestamp(self) -> None:
        """Find the largest timestamp anew: the last index entry, and the batches behind it."""
        self._max_timestamp = self.time_index.last_timestamp
        self._max_timestamp_offset = self.time_index.last_offset
        for header in self.headers(self.offset_index.lookup(self._max_timestamp_offset)):
            if header.max_timestamp > self._max_timestamp:
                self._max_timestamp = header.max_timestamp
                self._max_timestamp_offset = header.last_offset

    def begin_rebuild(self) -> None:
        """Empty the indexes before ``note_batch`` is called for every batch again."""
        for file in (self.offset_index.file, self.time_index.file):
            if not self.storage.exists(file.path):
                self.storage.open(file.path, create=True)
        self.offset_index.reset()
        self.time_index.reset()
        self.transaction_index.reset()
        self._bytes_since_index = 0
        self._indexes_full = None
        self._max_timestamp = NO_TIMESTAMP
        self._max_timestamp_offset = self.base_offset
        self._first_timestamp = None

    def add_suffix(self, suffix: str) -> list[str]:
        """Rename the files (``.deleted``); returns their new paths."""
        paths = []
        for file in self.files():
            file.rename(file.path + suffix)
            paths.append(file.path)
        return paths

    def move(self, directory: str) -> None:
        """The directory was renamed."""
        for file in (self.file, self.offset_index.file, self.time_index.file, self.transaction_index.file):
            file.path = f"{directory}/{file.path.rsplit('/', 1)[1]}"
