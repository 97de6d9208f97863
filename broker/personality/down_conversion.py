"""Batches as message sets of magic 0 or 1, for consumers that know nothing newer.

As Kafka's RecordsUtil.downConvert: control batches are left out, headers and producers too, the codec is kept; of a
batch that is not compressed only records from the offset asked for on. Unlike Kafka, which pads the answer to the size
it had in format 2 with a message cut short, the answer ends with the last message.
"""

from __future__ import annotations

from itertools import islice
from typing import Final

from attrs import define

from kwire.error_codes import ErrorCode
from kwire.errors import ApiError
from kwire.records.batch import NO_TIMESTAMP, BatchHeader, TimestampType, iter_batches
from kwire.records.compression import Codec
from kwire.records.legacy import write_message_set
from kwire.records.record import read_records

# Work for one request: a tenth of a second or so. What is left is asked for again.
RECORDS_AT_ONCE: Final = 20_000
BYTES_AT_ONCE: Final = 8 * 1024 * 1024
_UNPACKED_LIMIT: Final = 256 * 1024 * 1024


@define(slots=True)
class Budget:
    """What one request may still convert; a first batch is converted whatever its size."""

    records: int = RECORDS_AT_ONCE
    size_bytes: int = BYTES_AT_ONCE
    untouched: bool = True

    def allows(self, header: BatchHeader) -> bool:
        return self.untouched or (self.records >= header.record_count and self.size_bytes >= header.size)

    def spend(self, records: int, size_bytes: int) -> None:
        self.untouched = False
        self.records -= records
        self.size_bytes -= size_bytes


def down_converted(data: bytes, magic: int, fetch_offset: int, budget: Budget) -> bytes:
    """As much of `data` (batches, the last may be cut short) as the budget allows, as one message set after the other.

    ApiError(UNSUPPORTED_COMPRESSION_TYPE): the first batch is a zstd one, which old consumers cannot have. One further
    on ends the answer, and the consumer learns of it when it asks from there.
    """
    parts: list[bytes] = []
    for header in iter_batches(data, partial_tail=True):
        if header.is_control:
            continue
        if header.codec is Codec.ZSTD:
            if parts:
                break
            raise ApiError(ErrorCode.UNSUPPORTED_COMPRESSION_TYPE)
        if not budget.allows(header):
            break
        converted = _convert(data, header, magic, fetch_offset)
        budget.spend(header.record_count, max(header.size, len(converted)))
        if converted:
            parts.append(converted)
    return b"".join(parts)


def _convert(data: bytes, header: BatchHeader, magic: int, fetch_offset: int) -> bytes:
    records = read_records(data, header.position, limit=_UNPACKED_LIMIT)
    compressed = header.codec is not Codec.NONE
    kept = [record for record in islice(records, header.record_count) if compressed or record.offset >= fetch_offset]
    append_time = header.timestamp_type is TimestampType.LOG_APPEND_TIME
    return write_message_set(
        kept,
        magic=magic,
        codec=header.codec,
        timestamp_type=header.timestamp_type,
        log_append_time=header.max_timestamp if append_time else NO_TIMESTAMP,
    )
