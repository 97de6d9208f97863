"""What is kept of record batches: counts, offsets and sizes, and the first records where that is asked for.

A Produce request's records are views of a buffer that is soon another's, a Fetch answer's are ranges of files: neither
may be kept.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar

from attrs import field, frozen

from kwire.errors import CorruptRecordsError
from kwire.messages.fetch import FetchResponse
from kwire.messages.produce import ProduceRequest
from kwire.records import HEADER_SIZE, BatchHeader, Record, read_records
from kwire.schema import Struct
from log.storage import Bytes, FileRange

S = TypeVar("S", bound=Struct)

# Batches looked at of one partition's records; of the rest only the size is told.
_MOST_BATCHES: Final = 16
# A sample needs the whole batch; of larger ones none is taken.
_SAMPLED_BYTES: Final = 64 * 1024
_SHOWN_BYTES: Final = 256
_UNPACKED_BYTES: Final = 1024 * 1024


@frozen
class Sample:
    """A record: key and value are the first bytes of them."""

    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None


@frozen
class RecordsSummary:
    """size: of all the bytes. batches: headers of the first ones; complete: whether they are all."""

    size: int
    batches: list[BatchHeader] = field(factory=list)
    complete: bool = True
    first: list[Sample] = field(factory=list)


def of_piece(records: Any, samples: int) -> RecordsSummary:
    """Of records in memory or in a file."""
    if isinstance(records, (memoryview, bytes, bytearray)):
        return _walk(len(records), lambda size, position: records[position : position + size], samples)
    if isinstance(records, FileRange):
        start, pread = records.position, records.file.pread
        return _walk(len(records), lambda size, position: pread(size, start + position), samples)
    return RecordsSummary(len(records), complete=False)


def _walk(size: int, read: Callable[[int, int], Bytes], samples: int) -> RecordsSummary:
    batches: list[BatchHeader] = []
    first: list[Sample] = []
    position = 0
    try:
        while position + HEADER_SIZE <= size and len(batches) < _MOST_BATCHES:
            header = BatchHeader.peek(read(HEADER_SIZE, position))
            batches.append(header)
            whole = header.size
            if len(first) < samples and whole <= _SAMPLED_BYTES and position + whole <= size:
                for record in read_records(bytes(read(whole, position)), limit=_UNPACKED_BYTES):
                    first.append(_sample(record))
                    if len(first) >= samples:
                        break
            position += whole
    except (CorruptRecordsError, OSError):
        # What is no batch of magic 2 ends the look: the broker's own judgement is in the answer.
        pass
    return RecordsSummary(size, batches, position == size, first)


def _sample(record: Record) -> Sample:
    key, value = record.key, record.value
    return Sample(
        record.offset,
        record.timestamp,
        None if key is None else key[:_SHOWN_BYTES],
        None if value is None else value[:_SHOWN_BYTES],
    )


def without_records(message: Any, samples: int) -> tuple[Any, int]:
    """The message with summaries in place of records, and how many bytes of records it had. The message stays."""
    if type(message) is ProduceRequest:
        return _with_summaries(message, "topic_data", "partition_data", samples)
    if type(message) is FetchResponse:
        return _with_summaries(message, "responses", "partitions", samples)
    return message, 0


def _with_summaries(message: Any, topics: str, partitions: str, samples: int) -> tuple[Any, int]:
    """topics, partitions: the names of these arrays in the message and in a topic."""
    size = 0
    changed_topics = []
    for topic in getattr(message, topics):
        changed = []
        for data in getattr(topic, partitions):
            kept: Any = None
            if data.records is not None:
                size += len(data.records)
                kept = of_piece(data.records, samples)
            changed.append(_replaced(data, "records", kept))
        changed_topics.append(_replaced(topic, partitions, changed))
    return _replaced(message, topics, changed_topics), size


def _replaced(message: S, name: str, value: Any) -> S:
    """A copy with another value in one field: `attrs.evolve` takes a hundred times as long for these classes."""
    cls = type(message)
    copy = cls.__new__(cls)
    for each in cls.struct_fields:
        setattr(copy, each.name, getattr(message, each.name))
    copy.unknown_tagged_fields = None
    setattr(copy, name, value)
    return copy
