"""Batches of coordinator records, packed and unpacked without the general machinery of `kwire.records`.

Such a batch is as plain as can be: not compressed by us, one timestamp, no headers. That makes a commit of
a hundred offsets, and a start with millions of them, several times cheaper. The tests hold it against
`RecordBatchBuilder` and `read_records`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeAlias

from kwire.errors import CorruptRecordsError
from kwire.records.batch import (
    ATTRIBUTES_POSITION,
    HEADER,
    HEADER_SIZE,
    LOG_OVERHEAD,
    NO_PRODUCER_EPOCH,
    NO_PRODUCER_ID,
    NO_SEQUENCE,
    TRANSACTIONAL_FLAG,
)
from kwire.records.crc import crc32c
from kwire.records.varint import encode_varint, read_varint

_CRC_POSITION = 17
_SMALL = 512
_VARINTS = tuple(encode_varint(number) for number in range(_SMALL))
_NULL = encode_varint(-1)
# attributes 0, timestamp delta 0
_RECORD_HEAD = b"\x00\x00"
_NO_HEADERS = b"\x00"
# Bytes around a record besides its key and value, at most.
_RECORD_OVERHEAD = 30

Pairs: TypeAlias = Sequence[tuple[bytes, bytes | None]]


def fit_batches(
    pairs: Pairs, max_bytes: int, splittable: bool, pack: Callable[[Pairs], bytearray]
) -> list[bytearray] | None:
    """The pairs as batches of at most `max_bytes`: one if it fits, several if `splittable`. None: they do not fit."""
    batch = pack(pairs)
    if len(batch) <= max_bytes:
        return [batch]
    if not splittable:
        return None
    batches = []
    begin = size = 0
    for end, (key, value) in enumerate(pairs):
        record_bytes = _RECORD_OVERHEAD + len(key) + (len(value) if value is not None else 0)
        if size + record_bytes > max_bytes - HEADER_SIZE and end > begin:
            batches.append(pack(pairs[begin:end]))
            begin, size = end, 0
        size += record_bytes
    batches.append(pack(pairs[begin:]))
    return batches if all(len(batch) <= max_bytes for batch in batches) else None


def pack_batch(
    pairs: Pairs,
    timestamp_ms: int,
    *,
    producer_id: int = NO_PRODUCER_ID,
    producer_epoch: int = NO_PRODUCER_EPOCH,
    base_sequence: int = NO_SEQUENCE,
) -> bytearray:
    """One batch of at least one record, all with this timestamp; base offset 0. With a producer: transactional."""
    parts: list[bytes] = [bytes(HEADER_SIZE)]
    add = parts.append
    for delta, (key, value) in enumerate(pairs):
        offset_delta = _VARINTS[delta] if delta < _SMALL else encode_varint(delta)
        key_size = len(key)
        key_length = _VARINTS[key_size] if key_size < _SMALL else encode_varint(key_size)
        size = 3 + len(offset_delta) + len(key_length) + key_size
        if value is None:
            size += 1
            value_length, content = _NULL, b""
        else:
            content = value
            value_size = len(value)
            value_length = _VARINTS[value_size] if value_size < _SMALL else encode_varint(value_size)
            size += len(value_length) + value_size
        add(_VARINTS[size] if size < _SMALL else encode_varint(size))
        add(_RECORD_HEAD)
        add(offset_delta)
        add(key_length)
        add(key)
        add(value_length)
        add(content)
        add(_NO_HEADERS)
    data = bytearray().join(parts)
    count = len(pairs)
    HEADER.pack_into(
        data,
        0,
        0,
        len(data) - LOG_OVERHEAD,
        -1,
        2,
        0,
        0 if producer_id == NO_PRODUCER_ID else TRANSACTIONAL_FLAG,
        count - 1,
        timestamp_ms,
        timestamp_ms,
        producer_id,
        producer_epoch,
        base_sequence,
        count,
    )
    with memoryview(data) as view:
        crc = crc32c(view[ATTRIBUTES_POSITION:])
    data[_CRC_POSITION:ATTRIBUTES_POSITION] = crc.to_bytes(4, "big")
    return data


def unpack_pairs(data: bytes, count: int) -> Iterator[tuple[bytes | None, bytes | None]]:
    """Key and value of each record in the uncompressed body of a batch, `data`. CorruptRecordsError: damaged."""
    position = 0
    try:
        for _ in range(count):
            size = data[position]
            if size < 0x80:
                size >>= 1
                position += 1
            else:
                size, position = read_varint(data, position)
            end = position + size
            position += 1
            while data[position] >= 0x80:  # timestamp delta
                position += 1
            position += 1
            while data[position] >= 0x80:  # offset delta
                position += 1
            key, position = _read_bytes(data, position + 1)
            value, position = _read_bytes(data, position)
            if position >= end or end > len(data):
                raise CorruptRecordsError(f"a record of {size} bytes does not hold its key and value")
            yield key, value
            position = end
    except (IndexError, ValueError) as error:
        raise CorruptRecordsError(f"Found invalid record structure: {error}") from None
    if position != len(data):
        raise CorruptRecordsError("Incorrect declared batch size, records still remaining")


def _read_bytes(data: bytes, position: int) -> tuple[bytes | None, int]:
    size = data[position]
    if size < 0x80:
        if size & 1:
            return None, position + 1
        size >>= 1
        position += 1
    else:
        size, position = read_varint(data, position)
        if size < 0:
            return None, position
    end = position + size
    return data[position:end], end
