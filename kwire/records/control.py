"""Control batches: what their keys say, and the markers that end a transaction.

A control record's key is int16 version, int16 type. The value of ABORT and COMMIT is int16 version, int32 coordinator
epoch; the other types hold a message of the Raft schemas.  (KIP-98, KIP-595; Kafka: ControlRecordType)
"""

from enum import IntEnum
from struct import Struct

from kwire.errors import CorruptRecordsError
from kwire.records.batch import NO_LEADER_EPOCH, NO_SEQUENCE
from kwire.records.builder import RecordBatchBuilder

_KEY = Struct(">hh")
_MARKER = Struct(">hi")


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
    builder = RecordBatchBuilder(
        base_offset=base_offset,
        producer_id=producer_id,
        producer_epoch=producer_epoch,
        base_sequence=NO_SEQUENCE,
        transactional=True,
        control=True,
        partition_leader_epoch=partition_leader_epoch,
    )
    builder.append(encode_control_key(control_type), encode_marker_value(coordinator_epoch), timestamp=timestamp)
    return builder.build()
