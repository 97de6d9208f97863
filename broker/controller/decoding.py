"""Reading many metadata records quickly: a start replays all there are.

Nearly all records of a large cluster say the same of different partitions. Their bytes differ in the partition's index
and the topic's id only, which stand at fixed places, so the rest is decoded once per kind.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final

from broker.controller.partition_change import copied
from broker.controller.records import PartitionChangeRecord, PartitionRecord, Record
from kwire.errors import CorruptRecordsError
from kwire.internal import decode_metadata_record
from kwire.records import BatchHeader, read_records
from kwire.records.batch import HEADER_SIZE
from kwire.records.varint import read_varint

# Frame version 1, record type, version 2; then int32 index and the uuid.
_PARTITION: Final = bytes((1, 3, 2))
_PARTITION_CHANGE: Final = bytes((1, 5, 2))
_WHICH: Final = struct.Struct(">i16s")
_REST: Final = 3 + _WHICH.size
_MOST_KINDS: Final = 4096
_NULL: Final = 1  # zigzag of -1


class RecordDecoder:
    """From the value of a record to the record. Records of the same kind share their lists: do not change them."""

    __slots__ = ("_kinds",)

    def __init__(self) -> None:
        self._kinds: dict[bytes, Record] = {}

    def __call__(self, value: bytes) -> Record:
        """Raises DecodeError, UnsupportedVersionError."""
        head = value[:3]
        if (head != _PARTITION_CHANGE and head != _PARTITION) or len(value) < _REST:
            return decode_metadata_record(value)[0]
        kind = head + value[_REST:]
        known = self._kinds.get(kind)
        if known is None:
            if len(self._kinds) >= _MOST_KINDS:
                self._kinds.clear()
            record = self._kinds[kind] = decode_metadata_record(value)[0]
            return record
        index, topic_id = _WHICH.unpack_from(value, 3)
        if type(known) is PartitionChangeRecord:
            return copied(known, topic_id, index)
        assert type(known) is PartitionRecord
        return PartitionRecord(
            partition_id=index,
            topic_id=topic_id,
            replicas=known.replicas,
            isr=known.isr,
            removing_replicas=known.removing_replicas,
            adding_replicas=known.adding_replicas,
            leader=known.leader,
            leader_recovery_state=known.leader_recovery_state,
            leader_epoch=known.leader_epoch,
            partition_epoch=known.partition_epoch,
            directories=known.directories,
            eligible_leader_replicas=known.eligible_leader_replicas,
            last_known_elr=known.last_known_elr,
        )


def batch_values(data: memoryview, header: BatchHeader) -> Iterator[tuple[int, bytes]]:
    """(offset, value) of each record of the batch at `header.position`; its CRC is not looked at.

    Raises CorruptRecordsError.
    """
    if header.is_compressed:
        for record in read_records(data, header.position):
            yield record.offset, record.value or b""
        return
    view = data[header.position + HEADER_SIZE : header.end]
    position, base, size = 0, header.base_offset, len(view)
    try:
        for _ in range(header.record_count):
            length, position = read_varint(view, position)
            end = position + length
            if not position <= end <= size:
                raise ValueError(f"a record of {length} bytes, {size - position} are left")
            position += 1  # attributes
            while view[position] & 0x80:
                position += 1
            offset_delta, position = read_varint(view, position + 1)
            if view[position] != _NULL:
                key_length, position = read_varint(view, position)
                position += key_length
            else:
                position += 1
            value_length, position = read_varint(view, position)
            after = position + value_length
            if not 0 <= value_length <= length or after > end:
                raise ValueError(f"a value of {value_length} bytes in a record of {length}")
            yield base + offset_delta, bytes(view[position:after])
            position = end
    except (IndexError, ValueError) as error:
        raise CorruptRecordsError(f"Found invalid record structure: {error}") from None
