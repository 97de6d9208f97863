"""Segments as the cleaner reads and writes them: large buffers in, large buffers out."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from kwire.records.batch import CRC_POSITION, HEADER, HEADER_SIZE, LOG_OVERHEAD, MIN_BATCH_LENGTH
from kwire.records.crc import crc32c
from log.compaction.job import CleaningError
from log.filenames import CLEANED, LOG, OFFSET_INDEX, TIME_INDEX, TRANSACTION_INDEX, offset_name
from log.segment import MAX_RELATIVE_OFFSET, Segment
from log.storage import OpenFile, Storage, remove_if_exists
from log.time_index import ENTRY_SIZE as TIME_ENTRY_SIZE
from log.transaction_index import AbortedTransaction

Header = tuple[int, int, int, int, int, int, int, int, int, int, int, int, int]
"""base_offset, length, leader_epoch, magic, crc, attributes, last_offset_delta, base_timestamp, max_timestamp,
producer_id, producer_epoch, base_sequence, record_count."""
_MAX_POSITION = 0x7FFFFFFF
_SYNC_BYTES = 32 * 1024 * 1024
"""Written between syncs: a gigabyte at once would hold up the syncs of others."""
_CRC_START = CRC_POSITION + 4


def read_chunks(
    file: OpenFile, name: str, position: int, end: int, buffer_bytes: int, moved: Callable[[int], None]
) -> Iterator[tuple[bytes, list[tuple[int, Header]]]]:
    """Whole batches of ``file`` from ``position`` to ``end``, about ``buffer_bytes`` at a time, each with where it
    begins in the bytes given. A batch that is larger is given alone. CRCs are compared.

    CleaningError: something that is no batch of magic 2, is cut short, or has another CRC.
    """
    wanted = buffer_bytes
    while position < end:
        size = min(wanted, end - position)
        moved(size)
        chunk = file.pread(size, position)
        if len(chunk) < size:
            raise CleaningError(f"{name} ends at {position + len(chunk)}, expected {end}")
        batches = _batches(chunk, name, position)
        if not batches:
            wanted = LOG_OVERHEAD + HEADER.unpack_from(chunk)[1] if size >= HEADER_SIZE else HEADER_SIZE
            if wanted > end - position:
                raise CleaningError(
                    f"{name} may be corrupt: {end - position} bytes are left at {position}, of {wanted}"
                )
            continue
        wanted = buffer_bytes
        yield chunk, batches
        at, header = batches[-1]
        position += at + LOG_OVERHEAD + header[1]


def _batches(chunk: bytes, name: str, position: int) -> list[tuple[int, Header]]:
    found = []
    at = 0
    size = len(chunk)
    view = memoryview(chunk)
    while size - at >= HEADER_SIZE:
        header: Header = HEADER.unpack_from(chunk, at)
        length = header[1]
        if header[3] != 2:
            raise CleaningError(f"{name}: a batch of magic {header[3]} at {position + at}, only 2 can be compacted")
        if length < MIN_BATCH_LENGTH:
            raise CleaningError(f"{name}: invalid batch size {length} at {position + at}")
        end = at + LOG_OVERHEAD + length
        if end > size:
            break
        if crc32c(view[at + _CRC_START : end]) != header[4]:
            raise CleaningError(f"{name}: the batch at {position + at} (offset {header[0]}) is corrupt: another CRC")
        found.append((at, header))
        at = end
    return found


class CleanedSegment:
    """A replacement segment in the making: ``BASE.log.cleaned`` and its indexes."""

    def __init__(
        self,
        storage: Storage,
        directory: str,
        base_offset: int,
        *,
        max_index_bytes: int,
        index_interval_bytes: int,
        buffer_bytes: int,
        moved: Callable[[int], None],
    ) -> None:
        self._storage = storage
        self._directory = directory
        self.base_offset = base_offset
        self._index_interval = index_interval_bytes
        self._entries_left = max_index_bytes // TIME_ENTRY_SIZE - 1
        self._buffer_bytes = buffer_bytes
        self._moved = moved
        self._buffer = bytearray()
        self._written = 0
        self._unsynced = 0
        self._segment = Segment(
            storage,
            directory,
            base_offset,
            size=0,
            max_index_size=max_index_bytes,
            has_transaction_index=False,
            created_ms=0,
            create=True,
            suffix=CLEANED,
        )

    def begin(self) -> None:
        """Create the files, in the place of those of a cleaning that was killed. OSError."""
        self.remove()
        self._segment.file.opened()
        self._segment.begin_rebuild()

    @property
    def size(self) -> int:
        return self._segment.size

    @property
    def largest_timestamp(self) -> int:
        return self._segment.max_timestamp

    @property
    def has_transaction_index(self) -> bool:
        return self._segment.transaction_index.exists

    def append(self, data: bytes | bytearray | memoryview, last_offset: int, max_timestamp: int) -> None:
        """One batch. CleaningError: it lies beyond what an index can hold. OSError."""
        segment = self._segment
        size = len(data)
        position = segment.size
        if position + size > _MAX_POSITION or last_offset - self.base_offset > MAX_RELATIVE_OFFSET:
            raise CleaningError(f"offset {last_offset} does not fit in the segment at {self.base_offset}")
        self._buffer += data
        segment.size = position + size
        segment.note_batch(position, size, last_offset, max_timestamp, self._index_interval)
        if segment.offset_index.last_offset == last_offset:
            self._entries_left -= 1
            if self._entries_left <= 0:
                self._index_interval = _MAX_POSITION  # indexes are full: sparser from here on
        if len(self._buffer) >= self._buffer_bytes:
            self._write()

    def add_aborted(self, transaction: AbortedTransaction) -> None:
        self._segment.transaction_index.append(transaction)

    def finish(self, modified_ms: int) -> None:
        """Write what waits, finish the indexes, make all of it durable. OSError."""
        if self._buffer:
            self._write()
        segment = self._segment
        segment.close_for_appends()
        for file in segment.files():
            file.opened().sync()
        for file in segment.files()[:3]:
            file.release()
            self._storage.set_modified_ms(file.path, modified_ms)
        segment.transaction_index.file.release()
        self._storage.sync_dir(self._directory)

    def _write(self) -> None:
        size = len(self._buffer)
        self._moved(size)
        self._segment.file.opened().pwrite(self._buffer, self._written)
        self._written += size
        self._unsynced += size
        self._buffer.clear()
        if self._unsynced >= _SYNC_BYTES:
            self._segment.file.opened().sync()
            self._unsynced = 0

    def remove(self) -> None:
        """Unlink the files."""
        for suffix in (LOG, OFFSET_INDEX, TIME_INDEX, TRANSACTION_INDEX):
            remove_if_exists(self._storage, f"{self._directory}/{offset_name(self.base_offset, suffix)}{CLEANED}")
