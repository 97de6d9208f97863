"""A batch with fewer records, with a delete horizon, or with none  (Kafka: MemoryRecords.buildRetainedRecordsInto,
DefaultRecordBatch.writeEmptyHeader).

Base offset, last offset, producer fields, leader epoch, codec and timestamp type stay. The base timestamp is the
delete horizon where there is one, else the first record's timestamp, as a producer would have written it.
"""

from __future__ import annotations

from collections.abc import Sequence

from kwire.records.batch import (
    CODEC_MASK,
    CONTROL_FLAG,
    CRC_POSITION,
    DELETE_HORIZON_FLAG,
    HEADER,
    HEADER_SIZE,
    LOG_APPEND_TIME_FLAG,
    LOG_OVERHEAD,
    NO_TIMESTAMP,
    TRANSACTIONAL_FLAG,
)
from kwire.records.compression import Codec, compress
from kwire.records.crc import crc32c
from kwire.records.varint import encode_varint, wrap_int64
from log.compaction.batch_files import Header
from log.compaction.record_scan import Records, read_timestamps

_KEPT_FLAGS = CODEC_MASK | LOG_APPEND_TIME_FLAG | TRANSACTIONAL_FLAG | CONTROL_FLAG


def rewrite_batch(
    header: Header, records: Records, kept: Sequence[int], delete_horizon_ms: int | None
) -> tuple[bytearray, int]:
    """The batch with the records at the indices ``kept`` (at least one) only, and its largest timestamp."""
    _, _, _, _, _, attributes, _, base_timestamp, max_timestamp, _, _, _, _ = header
    append_time = attributes & LOG_APPEND_TIME_FLAG
    read = read_timestamps(records, kept, base_timestamp)
    timestamps = [max_timestamp] * len(kept) if append_time else read.timestamps
    new_base = timestamps[0] if delete_horizon_ms is None else delete_horizon_ms
    starts = records.starts
    data = memoryview(records.data)
    parts: list[bytes | memoryview] = []
    if new_base == base_timestamp and not append_time:
        first = before = kept[0]
        for index in kept[1:]:
            if index != before + 1:
                parts.append(data[starts[first] : starts[before + 1]])
                first = index
            before = index
        parts.append(data[starts[first] : starts[before + 1]])
    else:
        for index, timestamp, tail in zip(kept, timestamps, read.tails, strict=True):
            delta = encode_varint(wrap_int64(timestamp - new_base))
            end = starts[index + 1]
            parts += (encode_varint(1 + len(delta) + end - tail), b"\x00", delta, data[tail:end])
    body = b"".join(parts)
    codec = Codec(attributes & CODEC_MASK)
    if codec is not Codec.NONE:
        body = compress(codec, body)
    attributes &= _KEPT_FLAGS
    if delete_horizon_ms is not None:
        attributes |= DELETE_HORIZON_FLAG
    largest = max_timestamp if append_time else max(NO_TIMESTAMP, max(timestamps))
    return _assemble(header, attributes, new_base, largest, len(kept), body), largest


def empty_batch(header: Header) -> bytearray:
    """The batch without any record: a header that keeps offsets and the producer's sequence."""
    attributes = header[5] & (LOG_APPEND_TIME_FLAG | TRANSACTIONAL_FLAG | CONTROL_FLAG)
    return _assemble(header, attributes, NO_TIMESTAMP, header[8], 0, b"")


def _assemble(
    header: Header, attributes: int, base_timestamp: int, max_timestamp: int, count: int, body: bytes
) -> bytearray:
    base_offset, _, epoch, magic, _, _, delta, _, _, producer_id, producer_epoch, sequence, _ = header
    data = bytearray(HEADER_SIZE)
    data += body
    HEADER.pack_into(
        data,
        0,
        base_offset,
        len(data) - LOG_OVERHEAD,
        epoch,
        magic,
        0,
        attributes,
        delta,
        base_timestamp,
        max_timestamp,
        producer_id,
        producer_epoch,
        sequence,
        count,
    )
    with memoryview(data) as view:
        crc = crc32c(view[CRC_POSITION + 4 :])
    data[CRC_POSITION : CRC_POSITION + 4] = crc.to_bytes(4, "big")
    return data
