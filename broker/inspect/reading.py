"""A file opened for reading only, and the batches in it, whatever state they are in.

with ReadFile(path) as file:
    for found in walk(file):              # Batch | Damage, in the order they lie, in bounded memory
        ...
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from types import TracebackType
from typing import Final

from attrs import define

from kwire.errors import CorruptRecordsError
from kwire.records import HEADER_SIZE, LOG_OVERHEAD, BatchHeader
from kwire.records.batch import ATTRIBUTES_POSITION, HEADER, MIN_BATCH_LENGTH
from kwire.records.crc import crc32c
from kwire.records.legacy import Message, iter_messages

CHUNK: Final = 1 << 20
LARGEST_BATCH: Final = 128 << 20
"""A larger batch is not read: Kafka's default limit is 1 MiB, and a damaged length can say anything up to 2 GiB."""
_MAGIC: Final = 16
_INDEX_CHUNK: Final = 24 * 4096
"""A multiple of the sizes of the indexes' entries."""


class ReadFile:
    """Positioned reads. `size` is that of when it was opened: what is appended later is not looked at."""

    __slots__ = ("_fd", "path", "size")

    def __init__(self, path: str, size: int | None = None) -> None:
        """Raises OSError. `size`: look at no more than so many bytes."""
        self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self.path = path
        found = os.fstat(self._fd).st_size
        self.size = found if size is None else min(size, found)

    def read(self, size: int, position: int) -> bytes:
        """Up to `size` bytes; fewer only at the end."""
        data = os.pread(self._fd, size, position)
        while 0 < len(data) < size:
            more = os.pread(self._fd, size - len(data), position + len(data))
            if not more:
                break
            data += more
        return data

    def read_all(self, limit: int = 64 << 20) -> bytes:
        return self.read(min(self.size, limit), 0)

    def close(self) -> None:
        os.close(self._fd)

    def __enter__(self) -> ReadFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def read_index(file: ReadFile) -> bytes:
    """An index without the zeros that a preallocated one ends with (10 MiB of them in a segment in use)."""
    data = bytearray()
    for position in range(0, file.size, _INDEX_CHUNK):
        chunk = file.read(_INDEX_CHUNK, position)
        data += chunk
        if not any(chunk):
            tail = max(position, file.size - _INDEX_CHUNK)
            if not any(file.read(_INDEX_CHUNK, tail)):
                break
    return bytes(data)


@define(slots=True)
class Batch:
    """A whole batch of magic 2. `header.position` counts in `data`, which begins with it; `position` in the file."""

    position: int
    header: BatchHeader
    data: memoryview
    crc: int
    """As computed; that of the header is as stored."""

    @property
    def crc_ok(self) -> bool:
        return self.crc == self.header.crc


@define(slots=True)
class OldMessage:
    """A message or wrapper of magic 0 or 1, whose CRC is right."""

    position: int
    message: Message
    data: memoryview


@define(slots=True)
class Damage:
    """`size` bytes at `position` are no batch. `cut_short`: they run to the file's end and may begin one."""

    position: int
    size: int
    reason: str
    cut_short: bool = False


def walk(file: ReadFile, position: int = 0, end: int | None = None) -> Iterator[Batch | OldMessage | Damage]:
    """What lies in a `.log` file or a metadata snapshot, from `position` (of a batch) to `end`.

    A batch whose CRC is wrong is given as it is, when a batch or the end follows it; else it counts as damage, and the
    walk goes on at the next bytes that are a sound batch.
    """
    end = file.size if end is None else min(end, file.size)
    buffer = memoryview(b"")
    start = position
    while position < end:
        at = position - start
        if at + HEADER_SIZE <= len(buffer):
            # Nearly all batches: whole in the buffer and sound.
            values = HEADER.unpack_from(buffer, at)
            after = at + LOG_OVERHEAD + values[1]
            if values[3] == 2 and at + HEADER_SIZE <= after <= len(buffer):
                data = buffer[at:after]
                if crc32c(data[ATTRIBUTES_POSITION:]) == values[4]:
                    yield Batch(position, BatchHeader(0, *values), data, values[4])
                    position += LOG_OVERHEAD + values[1]
                    continue
        if len(buffer) - at < HEADER_SIZE and start + len(buffer) < end:
            buffer = memoryview(file.read(min(CHUNK, end - position), position))
            start, at = position, 0
        if len(buffer) - at < min(HEADER_SIZE, end - position):
            yield Damage(position, end - position, "the file became shorter meanwhile", cut_short=True)
            return
        problem = _problem(buffer, at, end - position)
        if problem is None:
            size = LOG_OVERHEAD + int.from_bytes(buffer[at + 8 : at + 12], "big", signed=True)
            if at + size > len(buffer):
                buffer = memoryview(file.read(max(min(CHUNK, end - position), size), position))
                start, at = position, 0
            data = buffer[at : at + size]
            if len(data) < size:
                yield Damage(position, end - position, "the file became shorter meanwhile", cut_short=True)
                return
            found = _batch(data, position)
            if not isinstance(found, Batch) or found.crc_ok or _plausible(file, position + size, end):
                yield found
                position += size
                continue
            problem = Damage(position, size, _crc_text(found))
        following = next_batch(file, position + 1, end)
        problem.position = position
        problem.size = (end if following is None else following) - position
        problem.cut_short = problem.cut_short and following is None
        yield problem
        position += problem.size


def _problem(buffer: memoryview, at: int, left: int) -> Damage | None:
    """Why no batch can begin here; its position and size are filled in by the caller."""
    if left < HEADER_SIZE and (left <= _MAGIC or buffer[at + _MAGIC] == 2):
        if not any(buffer[at : at + left]):
            return Damage(0, 0, f"{left} zero bytes at the end")
        return Damage(0, 0, f"{left} bytes are left, a batch's header has {HEADER_SIZE}", cut_short=True)
    length = int.from_bytes(buffer[at + 8 : at + 12], "big", signed=True)
    magic = buffer[at + _MAGIC]
    if not any(buffer[at : at + min(left, HEADER_SIZE)]):
        return Damage(0, 0, "zeros where a batch should begin")
    if magic > 2:
        return Damage(0, 0, f"magic {magic} is none that exists")
    if length < (MIN_BATCH_LENGTH if magic == 2 else 14):
        return Damage(0, 0, f"a batch length of {length} bytes, less than a header's")
    if LOG_OVERHEAD + length > left:
        reason = f"the batch has {LOG_OVERHEAD + length} bytes, {left} are left in the file"
        return Damage(0, 0, reason, cut_short=True)
    if length > LARGEST_BATCH:
        return Damage(0, 0, f"a batch of {length} bytes: larger than what is looked at ({LARGEST_BATCH})")
    return None


def _batch(data: memoryview, position: int) -> Batch | OldMessage | Damage:
    if data[_MAGIC] == 2:
        header = BatchHeader(0, *HEADER.unpack_from(data))
        return Batch(position, header, data, crc32c(data[ATTRIBUTES_POSITION:]))
    try:
        return OldMessage(position, next(iter_messages(data)), data)
    except CorruptRecordsError as error:
        return Damage(position, len(data), f"magic {data[_MAGIC]}: {error}")


def _crc_text(batch: Batch) -> str:
    return f"the batch's CRC is {batch.crc:#010x}, its header says {batch.header.crc:#010x}"


def _plausible(file: ReadFile, position: int, end: int) -> bool:
    """Whether `position` is the end or the begin of what looks like a batch."""
    if position == end:
        return True
    head = file.read(HEADER_SIZE, position)
    return len(head) > _MAGIC and head[_MAGIC] <= 2 and _problem(memoryview(head), 0, end - position) is None


def next_batch(file: ReadFile, position: int, end: int) -> int | None:
    """Position of the next sound batch of magic 2 at or behind `position`: header and CRC agree."""
    overlap = HEADER_SIZE - 1
    while position + HEADER_SIZE <= end:
        chunk = file.read(min(CHUNK + overlap, end - position), position)
        if len(chunk) < HEADER_SIZE:
            return None
        last = len(chunk) - HEADER_SIZE
        at = chunk.find(2, _MAGIC)
        while 0 <= at - _MAGIC <= last:
            begin = at - _MAGIC
            length = int.from_bytes(chunk[begin + 8 : begin + 12], "big", signed=True)
            if (
                MIN_BATCH_LENGTH <= length <= LARGEST_BATCH
                and chunk[begin] < 0x80
                and LOG_OVERHEAD + length <= end - position - begin
                and _sound(file, chunk, begin, position + begin, LOG_OVERHEAD + length)
            ):
                return position + begin
            at = chunk.find(2, at + 1)
        position += last + 1
    return None


def _sound(file: ReadFile, chunk: bytes, begin: int, position: int, size: int) -> bool:
    # The fields that have few honest values first: reading and summing up a batch is dear.
    attributes = int.from_bytes(chunk[begin + 21 : begin + 23], "big")
    if attributes >> 7 or attributes & 7 > 4:
        return False
    data = chunk[begin : begin + size] if begin + size <= len(chunk) else file.read(size, position)
    return len(data) == size and crc32c(memoryview(data)[ATTRIBUTES_POSITION:]) == int.from_bytes(data[17:21], "big")
