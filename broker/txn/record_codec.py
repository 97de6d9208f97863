"""Records of `__transaction_state`: values <-> bytes, and batches of them.  (Kafka: TransactionLog)

Key version 0; value version 0, or 1 (with tagged fields) once transaction.version is 1 or more. Packed by hand, as they
are written several times a transaction; the tests hold them against the declared `TransactionLogValue`.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache

from broker.group.ids import java_map_order
from broker.group.record_batches import fit_batches, pack_batch, unpack_pairs
from broker.txn.java_order import join
from broker.txn.states import TransactionState
from broker.txn.transaction import NO_PRODUCER_ID, TopicPartition, Transaction, TransactionRecord
from kwire import codec
from kwire.errors import DecodeError, KwireError
from kwire.internal.transaction_state import TransactionLogValue
from kwire.primitives import read_unsigned_varint, unsigned_varint
from kwire.records import HEADER_SIZE, iter_batches, read_records

KEY_VERSION = 0
_KEY_HEAD = struct.Struct(">hh")
_HEAD = struct.Struct(">hqhib")
_TIMES = struct.Struct(">qq")
_INT16 = struct.Struct(">h")
_INT32 = struct.Struct(">i")
_INT64 = struct.Struct(">q")
_TAGGED_INT64 = struct.Struct(">bbq")
_TAGGED_INT16 = struct.Struct(">bbh")
_NO_TAGS = b"\x00"


# Encoding


def encode_batches(
    records: Sequence[TransactionRecord], value_version: int, now_ms: int, max_bytes: int, splittable: bool
) -> list[bytearray] | None:
    """The records as batches of at most `max_bytes`, one unless `splittable`. None when they do not fit."""
    pairs = [
        (
            encode_key(record.transactional_id),
            None if record.value is None else encode_value(record.value, value_version),
        )
        for record in records
    ]
    return fit_batches(pairs, max_bytes, splittable, lambda part: pack_batch(part, now_ms))


@lru_cache(maxsize=1024)
def encode_key(transactional_id: str) -> bytes:
    name = transactional_id.encode()
    return _KEY_HEAD.pack(KEY_VERSION, len(name)) + name


def encode_value(value: Transaction, version: int) -> bytes:
    """With the version before it. Version 0 has no place for the other producer ids and the client's generation."""
    parts = [
        _HEAD.pack(version, value.producer_id, value.producer_epoch, value.timeout_ms, value.state),
        _encode_partitions(value, version),
        _TIMES.pack(value.last_update_ms, value.start_ms),
    ]
    if version >= 1:
        tags = []
        if value.previous_producer_id != NO_PRODUCER_ID:
            tags.append(_TAGGED_INT64.pack(0, 8, value.previous_producer_id))
        if value.next_producer_id != NO_PRODUCER_ID:
            tags.append(_TAGGED_INT64.pack(1, 8, value.next_producer_id))
        if value.client_version != 0:
            tags.append(_TAGGED_INT16.pack(2, 2, value.client_version))
        parts.append(bytes((len(tags),)))
        parts += tags
    return b"".join(parts)


def _encode_partitions(value: Transaction, version: int) -> bytes:
    if value.state is TransactionState.EMPTY:
        return b"\x00" if version >= 1 else _INT32.pack(-1)
    if not value.partitions:
        return b"\x01" if version >= 1 else _INT32.pack(0)
    return _encode_topics(value.partitions, version)


@lru_cache(maxsize=256)
def _encode_topics(partitions: tuple[TopicPartition, ...], version: int) -> bytes:
    topics: dict[str, list[int]] = {}
    for topic, index in partitions:
        topics.setdefault(topic, []).append(index)
    parts = [unsigned_varint(len(topics) + 1) if version >= 1 else _INT32.pack(len(topics))]
    for topic in java_map_order(topics):
        name, indexes = topic.encode(), topics[topic]
        if version >= 1:
            parts += (unsigned_varint(len(name) + 1), name, unsigned_varint(len(indexes) + 1))
        else:
            parts += (_INT16.pack(len(name)), name, _INT32.pack(len(indexes)))
        parts.append(struct.pack(f">{len(indexes)}i", *indexes))
        if version >= 1:
            parts.append(_NO_TAGS)
    return b"".join(parts)


# Decoding


def decode_pairs(
    chunk: memoryview, damaged: Callable[[int, KwireError], None] | None = None
) -> Iterator[tuple[bytes | None, bytes | None]]:
    """Key and value of each record in whole batches, control batches passed over.

    What cannot be read of a batch is told to `damaged`, with its base offset, and passed over; without `damaged`:
    CorruptRecordsError, DecompressionError.
    """
    for header in iter_batches(chunk):
        if header.is_control:
            continue
        try:
            if header.is_compressed:
                for record in read_records(chunk, header.position):
                    yield record.key, record.value
            else:
                yield from unpack_pairs(bytes(chunk[header.position + HEADER_SIZE : header.end]), header.record_count)
        except KwireError as error:
            if damaged is None:
                raise
            damaged(header.base_offset, error)


def decode_record(key: bytes, value: bytes | None) -> TransactionRecord:
    """Raises DecodeError: damaged, or of a version nobody here knows."""
    return TransactionRecord(decode_key(key), None if value is None else decode_value(value))


def decode_key(key: bytes) -> str:
    """The transactional id. Raises DecodeError."""
    version = _version(key, "key")
    if version != KEY_VERSION:
        raise DecodeError(f"a transaction record's key of version {version}")
    size = int.from_bytes(key[2:4], "big", signed=True)
    if len(key) < 4 or size < 0 or 4 + size > len(key):
        raise DecodeError("a transactional id ends after its key")
    try:
        return str(key[4 : 4 + size], "utf-8")
    except UnicodeDecodeError as error:
        raise DecodeError(f"not a transactional id: {error}") from None


def decode_value(data: bytes) -> Transaction:
    """A value of version 0 or 1. Raises DecodeError."""
    version = _version(data, "value")
    if version == 1:
        try:
            return _decode_value_1(data)
        except (struct.error, IndexError, UnicodeDecodeError) as error:
            raise DecodeError(f"not a transaction record's value: {error}") from None
    if version != 0:
        raise DecodeError(f"a transaction record's value of version {version}")
    value = codec.decode(TransactionLogValue, version, data, 2)
    listed = value.transaction_partitions
    return Transaction(
        producer_id=value.producer_id,
        producer_epoch=value.producer_epoch,
        timeout_ms=value.transaction_timeout_ms,
        state=(state := _state(value.transaction_status)),
        partitions=_partitions(
            state, None if listed is None else [(each.topic, index) for each in listed for index in each.partition_ids]
        ),
        start_ms=value.transaction_start_timestamp_ms,
        last_update_ms=value.transaction_last_update_timestamp_ms,
    )


def _decode_value_1(data: bytes) -> Transaction:
    """By hand, as there may be a million at start."""
    _, producer_id, producer_epoch, timeout_ms, status = _HEAD.unpack_from(data)
    count, position = read_unsigned_varint(data, _HEAD.size)
    listed: list[TopicPartition] = []
    for _ in range(count - 1):
        size, position = read_unsigned_varint(data, position)
        end = position + size - 1
        if size < 1 or end > len(data):
            raise DecodeError("a topic's name ends after the record")
        topic = str(data[position:end], "utf-8")
        number, position = read_unsigned_varint(data, end)
        end = position + 4 * (number - 1)
        if number < 1 or end > len(data):
            raise DecodeError("a list of partitions ends after the record")
        listed += [(topic, index) for index in struct.unpack_from(f">{number - 1}i", data, position)]
        position = _skip_tags(data, end)
    last_update_ms, start_ms = _TIMES.unpack_from(data, position)
    state = _state(status)
    value = Transaction(
        producer_id=producer_id,
        producer_epoch=producer_epoch,
        timeout_ms=timeout_ms,
        state=state,
        partitions=_partitions(state, listed if count else None),
        start_ms=start_ms,
        last_update_ms=last_update_ms,
    )
    tags, position = read_unsigned_varint(data, position + _TIMES.size)
    for _ in range(tags):
        tag, position = read_unsigned_varint(data, position)
        size, position = read_unsigned_varint(data, position)
        if position + size > len(data):
            raise DecodeError("a tagged field ends after the record")
        if tag == 0:
            (value.previous_producer_id,) = _INT64.unpack_from(data, position)
        elif tag == 1:
            (value.next_producer_id,) = _INT64.unpack_from(data, position)
        elif tag == 2:
            (value.client_version,) = _INT16.unpack_from(data, position)
        position += size
    return value


def _skip_tags(data: bytes, position: int) -> int:
    tags, position = read_unsigned_varint(data, position)
    for _ in range(tags):
        _, position = read_unsigned_varint(data, position)
        size, position = read_unsigned_varint(data, position)
        position += size
    return position


def _state(status: int) -> TransactionState:
    try:
        return TransactionState(status)
    except ValueError:
        raise DecodeError(f"transaction status {status}") from None


def _partitions(state: TransactionState, listed: list[TopicPartition] | None) -> tuple[TopicPartition, ...]:
    if state is TransactionState.EMPTY:
        return ()
    if listed is None:
        raise DecodeError(f"no list of partitions in a transaction in state {state.name}")
    return join((), listed) if listed else ()


def _version(data: bytes, what: str) -> int:
    if len(data) < 2:
        raise DecodeError(f"a transaction record's {what} of {len(data)} bytes")
    return int.from_bytes(data[:2], "big", signed=True)
