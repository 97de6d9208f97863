"""Records of `__consumer_offsets`: values <-> bytes, and batches of them.

Committed offsets are the bulk of that topic, at start as when it is written, so they are packed by hand; the tests hold
them against the declared `OffsetCommitKey` and `OffsetCommitValue`. A group's record goes through the codec.

Versions written are Kafka 4.3's: keys 1 and 2; OffsetCommitValue 4, or 1 when the client set a retention (which newer
versions cannot hold); GroupMetadataValue 3.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from typing import TypeAlias

from broker.group.record_batches import fit_batches, pack_batch, unpack_pairs
from broker.group.records import (
    NO_TOPIC_ID,
    CoordinatorRecord,
    GroupRecord,
    OffsetAndMetadata,
    OffsetRecord,
    StoredGroup,
    StoredMember,
    TransactionalOffsetRecord,
    TransactionEnd,
)
from kwire import codec
from kwire.errors import DecodeError, KwireError
from kwire.internal.group_offsets import GroupMetadataKey, GroupMetadataValue, MemberMetadata
from kwire.records import (
    HEADER_SIZE,
    BatchHeader,
    Codec,
    ControlType,
    RecordBatchBuilder,
    decode_control_type,
    end_transaction_marker,
    iter_batches,
    read_records,
)
from kwire.records.batch import NO_PRODUCER_EPOCH, NO_PRODUCER_ID
from kwire.records.control import decode_marker_value

GROUP_KEY_VERSION = 2
GROUP_VALUE_VERSION = 3
OFFSET_KEY_VERSIONS = (0, 1)
_OFFSET_KEY_PREFIX = b"\x00\x01"
_GROUP_KEY_PREFIX = b"\x00\x02"
_GROUP_VALUE_PREFIX = b"\x00\x03"
_INT16 = struct.Struct(">h")
_INT32 = struct.Struct(">i")
_INT64 = struct.Struct(">q")
_VALUE_4_HEAD = struct.Struct(">hqi")
_VALUE_1_HEAD = struct.Struct(">hqh")
_VALUE_1_TAIL = struct.Struct(">qq")
_NO_TAGS = b"\x00"
_TOPIC_ID_TAG = b"\x01\x00\x10"

Damaged: TypeAlias = Callable[[int, KwireError], None]


# Encoding


def encode_batches(
    records: Sequence[CoordinatorRecord],
    now_ms: int,
    max_bytes: int,
    splittable: bool,
    compression: Codec = Codec.NONE,
    producer: tuple[int, int] | None = None,
) -> list[bytearray] | None:
    """The records as batches of at most `max_bytes`, one unless `splittable`. None when they do not fit.

    `producer`: id and epoch of the transaction that the records (of one batch) belong to.
    """
    if len(records) == 1 and isinstance(records[0], TransactionEnd):
        return [encode_end(records[0], now_ms)]
    pairs = [encode_record(record) for record in records]
    return fit_batches(pairs, max_bytes, splittable, lambda part: _batch(part, now_ms, compression, producer))


def _batch(
    pairs: Sequence[tuple[bytes, bytes | None]],
    now_ms: int,
    compression: Codec,
    producer: tuple[int, int] | None = None,
) -> bytearray:
    # Kafka's runtime begins every batch at sequence 0, whether it has a producer or not.
    producer_id, producer_epoch = producer or (NO_PRODUCER_ID, NO_PRODUCER_EPOCH)
    if compression is Codec.NONE:
        return pack_batch(pairs, now_ms, producer_id=producer_id, producer_epoch=producer_epoch, base_sequence=0)
    builder = RecordBatchBuilder(
        codec=compression,
        producer_id=producer_id,
        producer_epoch=producer_epoch,
        base_sequence=0,
        transactional=producer is not None,
    )
    for key, value in pairs:
        builder.append(key, value, timestamp=now_ms)
    return builder.build()


def encode_end(record: TransactionEnd, now_ms: int) -> bytearray:
    """The marker's batch."""
    return end_transaction_marker(
        ControlType.COMMIT if record.committed else ControlType.ABORT,
        producer_id=record.producer_id,
        producer_epoch=record.producer_epoch,
        coordinator_epoch=record.coordinator_epoch,
        timestamp=now_ms,
    )


def encode_record(record: CoordinatorRecord) -> tuple[bytes, bytes | None]:
    """Key and value; the value of a tombstone is None."""
    if type(record) is OffsetRecord or type(record) is TransactionalOffsetRecord:
        key = _offset_key_prefix(record.group_id, record.topic) + _INT32.pack(record.partition)
        return key, None if record.value is None else encode_offset(record.value)
    assert isinstance(record, GroupRecord)
    key = _GROUP_KEY_PREFIX + codec.encode(GroupMetadataKey(group=record.group_id), 0)
    return key, None if record.value is None else encode_group(record.value)


@lru_cache(maxsize=1024)
def _offset_key_prefix(group_id: str, topic: str) -> bytes:
    group, name = group_id.encode(), topic.encode()
    return b"".join((_OFFSET_KEY_PREFIX, _INT16.pack(len(group)), group, _INT16.pack(len(name)), name))


def encode_offset(value: OffsetAndMetadata) -> bytes:
    metadata = value.metadata.encode()
    if value.expire_timestamp_ms != -1:
        return b"".join(
            (
                _VALUE_1_HEAD.pack(1, value.offset, len(metadata)),
                metadata,
                _VALUE_1_TAIL.pack(value.commit_timestamp_ms, value.expire_timestamp_ms),
            )
        )
    return b"".join(
        (
            _VALUE_4_HEAD.pack(4, value.offset, value.leader_epoch),
            _unsigned_varint(len(metadata) + 1),
            metadata,
            _INT64.pack(value.commit_timestamp_ms),
            _NO_TAGS if value.topic_id == NO_TOPIC_ID else _TOPIC_ID_TAG + value.topic_id,
        )
    )


def _unsigned_varint(value: int) -> bytes:
    if value < 0x80:
        return bytes((value,))
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def encode_group(group: StoredGroup) -> bytes:
    value = GroupMetadataValue(
        protocol_type=group.protocol_type,
        generation=group.generation,
        protocol=group.protocol,
        leader=group.leader,
        current_state_timestamp=group.state_timestamp_ms,
        members=[
            MemberMetadata(
                member_id=member.member_id,
                group_instance_id=member.instance_id,
                client_id=member.client_id,
                client_host=member.client_host,
                rebalance_timeout=member.rebalance_timeout_ms,
                session_timeout=member.session_timeout_ms,
                subscription=member.subscription,
                assignment=member.assignment,
            )
            for member in group.members
        ],
    )
    return _GROUP_VALUE_PREFIX + codec.encode(value, GROUP_VALUE_VERSION)


# Decoding


def decode_records(chunk: memoryview, damaged: Damaged | None = None) -> Iterator[CoordinatorRecord]:
    """The records in whole batches; those of other kinds of groups are passed over.

    `damaged(offset, error)` is told of what cannot be read, a record or (its base offset) the rest of a batch, which is
    then passed over, too; without it DecodeError and CorruptRecordsError are raised.
    """
    for header in iter_batches(chunk):
        try:
            if header.is_control:
                end = decode_end(chunk, header)
                if end is not None:
                    yield end
                continue
            if header.is_compressed:
                pairs: Iterable[tuple[bytes | None, bytes | None]] = (
                    (record.key, record.value) for record in read_records(chunk, header.position)
                )
            else:
                pairs = unpack_pairs(bytes(chunk[header.position + HEADER_SIZE : header.end]), header.record_count)
            producer_id = header.producer_id
            at = -1
            for key, value in pairs:
                at += 1
                if key is None:
                    continue
                try:
                    decoded = decode_record(key, value)
                except KwireError as error:
                    if damaged is None:
                        raise
                    damaged(header.base_offset + at, error)
                    continue
                if decoded is None:
                    continue
                if producer_id != NO_PRODUCER_ID and type(decoded) is OffsetRecord and decoded.value is not None:
                    yield TransactionalOffsetRecord(
                        decoded.group_id, decoded.topic, decoded.partition, decoded.value, producer_id
                    )
                else:
                    yield decoded
        except KwireError as error:
            if damaged is None:
                raise
            damaged(header.base_offset, error)


def decode_end(chunk: memoryview, header: BatchHeader) -> TransactionEnd | None:
    """The marker in a control batch; None for one that is none, or whose records were cleaned away."""
    for record in read_records(chunk, header.position):
        control_type = decode_control_type(record.key)
        if control_type in (ControlType.COMMIT, ControlType.ABORT):
            return TransactionEnd(
                header.producer_id,
                header.producer_epoch,
                control_type is ControlType.COMMIT,
                decode_marker_value(record.value),
            )
    return None


def decode_all(chunks: Iterable[memoryview]) -> Iterator[CoordinatorRecord]:
    for chunk in chunks:
        yield from decode_records(chunk)


def decode_record(key: bytes, value: bytes | None) -> CoordinatorRecord | None:
    """The record, None when it is of a kind this coordinator does not know. DecodeError: damaged."""
    if len(key) < 2:
        raise DecodeError(f"a coordinator record's key of {len(key)} bytes")
    version = key[0] << 8 | key[1]
    try:
        if version in OFFSET_KEY_VERSIONS:
            group_end = 4 + _INT16.unpack_from(key, 2)[0]
            topic_end = group_end + 2 + _INT16.unpack_from(key, group_end)[0]
            if group_end < 4 or topic_end < group_end + 2:
                raise DecodeError("a name of negative length in an OffsetCommit key")
            partition: int = _INT32.unpack_from(key, topic_end)[0]
            group_id = str(key[4:group_end], "utf-8")
            topic = str(key[group_end + 2 : topic_end], "utf-8")
            return OffsetRecord(group_id, topic, partition, None if value is None else decode_offset(value))
    except (struct.error, UnicodeDecodeError) as error:
        raise DecodeError(f"not an OffsetCommit record: {error}") from None
    if version == GROUP_KEY_VERSION:
        group_key = codec.decode(GroupMetadataKey, 0, key, 2)
        return GroupRecord(group_key.group, None if value is None else decode_group(value))
    return None


def decode_offset(value: bytes) -> OffsetAndMetadata:
    """An OffsetCommitValue of any version, 0 to 4."""
    if value[:2] == b"\x00\x04":
        _, offset, epoch = _VALUE_4_HEAD.unpack_from(value)
        size = value[14] if len(value) > 14 else 0
        position = 15
        if size >= 0x80:
            size, position = _read_unsigned_varint(value, 14)
        end = position + size - 1
        if size < 1:
            raise DecodeError("no metadata in an OffsetCommit value")
        metadata = str(value[position:end], "utf-8")
        commit_ms = _INT64.unpack_from(value, end)[0]
        return OffsetAndMetadata(offset, epoch, metadata, commit_ms, -1, _topic_id(value, end + 8))
    version, offset = _INT16.unpack_from(value)[0], _INT64.unpack_from(value, 2)[0]
    if not 0 <= version <= 4:
        raise DecodeError(f"OffsetCommitValue of version {version}")
    position = 10
    epoch = -1
    if version == 3:
        epoch = _INT32.unpack_from(value, position)[0]
        position += 4
    size = _INT16.unpack_from(value, position)[0]
    end = position + 2 + size
    if size < 0:
        raise DecodeError("no metadata in an OffsetCommit value")
    metadata = str(value[position + 2 : end], "utf-8")
    commit_ms = _INT64.unpack_from(value, end)[0]
    expire_ms = _INT64.unpack_from(value, end + 8)[0] if version == 1 else -1
    return OffsetAndMetadata(offset, epoch, metadata, commit_ms, expire_ms)


def _topic_id(value: bytes, position: int) -> bytes:
    """The topic id among the tagged fields at `position`; zero when there is none."""
    if value[position : position + 3] == _TOPIC_ID_TAG:
        return value[position + 3 : position + 19]
    count, position = _read_unsigned_varint(value, position)
    for _ in range(count):
        tag, position = _read_unsigned_varint(value, position)
        size, position = _read_unsigned_varint(value, position)
        if tag == 0 and size == 16:
            return value[position : position + 16]
        position += size
    return NO_TOPIC_ID


def _read_unsigned_varint(data: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if position >= len(data) or shift > 28:
            raise DecodeError("an unsigned varint that does not end")
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7


def decode_group(value: bytes) -> StoredGroup:
    """A GroupMetadataValue of any version, 0 to 4."""
    if len(value) < 2:
        raise DecodeError(f"a GroupMetadataValue of {len(value)} bytes")
    version = int.from_bytes(value[:2], "big", signed=True)
    if not 0 <= version <= 4:
        raise DecodeError(f"GroupMetadataValue of version {version}")
    group = codec.decode(GroupMetadataValue, version, value, 2)
    return StoredGroup(
        protocol_type=group.protocol_type,
        generation=group.generation,
        protocol=group.protocol,
        leader=group.leader,
        state_timestamp_ms=group.current_state_timestamp,
        members=tuple(
            StoredMember(
                member_id=member.member_id,
                instance_id=member.group_instance_id,
                client_id=member.client_id,
                client_host=member.client_host,
                rebalance_timeout_ms=member.rebalance_timeout,
                session_timeout_ms=member.session_timeout,
                subscription=member.subscription,
                assignment=member.assignment,
            )
            for member in group.members
        ),
    )
