"""Control batches: what their keys say, and the markers that end a transaction.

A control record's key is int16 version, int16 type. The value of ABORT and COMMIT is int16 version, int32 coordinator
epoch; the other types hold a message of the Raft schemas.  (KIP-98, KIP-595; Kafka: ControlRecordType)
"""

from enum import IntEnum
from struct import Struct

from kwire.errors import CorruptRecordsError
from kwire.records.batch import (
    ATTRIBUTES_POSITION,
    CONTROL_FLAG,
    CRC_POSITION,
    HEADER,
    HEADER_SIZE,
    LOG_APPEND_TIME_FLAG,
    LOG_OVERHEAD,
    NO_LEADER_EPOCH,
    NO_SEQUENCE,
    TRANSACTIONAL_FLAG,
    BatchHeader,
    Buffer,
)
from kwire.records.crc import crc32c

_KEY = Struct(">hh")
_MARKER = Struct(">hi")
# length, attributes, timestamp and offset delta, key length; key; value length; value; no headers
_MARKER_RECORD = Struct(">5shhBhiB")
_RECORD_START = b"\x20\x00\x00\x00\x08"
_VALUE_LENGTH = 12
_MARKER_ATTRIBUTES = TRANSACTIONAL_FLAG | CONTROL_FLAG
MARKER_BATCH_SIZE = HEADER_SIZE + _MARKER_RECORD.size
"""Bytes of an end transaction marker."""


class ControlType(IntEnum):
    ABORT = 0
    COMMIT = 1
    LEADER_CHANGE = 2
    SNAPSHOT_HEADER = 3
    SNAPSHOT_FOOTER = 4
    KRAFT_VERSION = 5
    KRAFT_VOTERS = 6


def encode_control_key(control_type: ControlType) -> bytes:
    return _KEY.pack(0, control_type)


def decode_control_type(key: bytes | None) -> ControlType | None:
    """None for a type this version does not know. CorruptRecordsError: no key, a short one, a negative version."""
    if key is None or len(key) < 4:
        raise CorruptRecordsError("Invalid control record key: at least 4 bytes are needed")
    version, number = _KEY.unpack_from(key)
    if version < 0:
        raise CorruptRecordsError(f"Invalid version found for control record: {version}")
    try:
        return ControlType(number)
    except ValueError:
        return None


def encode_marker_value(coordinator_epoch: int) -> bytes:
    return _MARKER.pack(0, coordinator_epoch)


def decode_marker_value(value: bytes | None) -> int:
    """The coordinator epoch. CorruptRecordsError: too short, or a negative version."""
    if value is None or len(value) < 6:
        raise CorruptRecordsError("Invalid value of an end transaction marker: 6 bytes are needed")
    version, epoch = _MARKER.unpack_from(value)
    if version < 0:
        raise CorruptRecordsError(f"Invalid version found for an end transaction marker: {version}")
    return int(epoch)


def end_transaction_marker(
    control_type: ControlType,
    *,
    producer_id: int,
    producer_epoch: int,
    coordinator_epoch: int,
    timestamp: int,
    base_offset: int = 0,
    partition_leader_epoch: int = NO_LEADER_EPOCH,
) -> bytearray:
    """The batch of one ABORT or COMMIT marker: transactional, control, no sequence."""
    if control_type not in (ControlType.ABORT, ControlType.COMMIT):
        raise ValueError(f"{control_type.name} ends no transaction")
    data = bytearray(MARKER_BATCH_SIZE)
    HEADER.pack_into(
        data,
        0,
        base_offset,
        MARKER_BATCH_SIZE - LOG_OVERHEAD,
        partition_leader_epoch,
        2,
        0,
        TRANSACTIONAL_FLAG | CONTROL_FLAG,
        0,
        timestamp,
        timestamp,
        producer_id,
        producer_epoch,
        NO_SEQUENCE,
        1,
    )
    _MARKER_RECORD.pack_into(data, HEADER_SIZE, _RECORD_START, 0, control_type, _VALUE_LENGTH, 0, coordinator_epoch, 0)
    with memoryview(data) as view:
        crc = crc32c(view[ATTRIBUTES_POSITION:])
    data[CRC_POSITION:ATTRIBUTES_POSITION] = crc.to_bytes(4, "big")
    return data


def read_plain_marker(header: BatchHeader, data: Buffer) -> tuple[ControlType, int] | None:
    """Type and coordinator epoch of a marker that looks as `end_transaction_marker` makes it; None: look closer."""
    if header.size != MARKER_BATCH_SIZE or header.attributes & ~LOG_APPEND_TIME_FLAG != _MARKER_ATTRIBUTES:
        return None
    start, key_version, kind, value_length, value_version, epoch, headers = _MARKER_RECORD.unpack_from(
        data, header.position + HEADER_SIZE
    )
    if start != _RECORD_START or value_length != _VALUE_LENGTH or key_version or value_version or headers:
        return None
    if header.record_count != 1 or kind not in (ControlType.ABORT, ControlType.COMMIT):
        return None
    return ControlType(kind), epoch
