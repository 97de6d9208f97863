"""What is known of one producer id, and the `.snapshot` file  (Kafka: ProducerStateEntry, ProducerSnapshot)."""

from collections.abc import Iterable
from struct import Struct

from attrs import define, field

from kwire.errors import CorruptRecordsError
from kwire.records.batch import NO_PRODUCER_EPOCH, NO_SEQUENCE, NO_TIMESTAMP, decrement_sequence
from kwire.records.crc import crc32c

SNAPSHOT_VERSION = 1
_SNAPSHOT_HEAD = Struct(">hIi")
_SNAPSHOT_ENTRY = Struct(">qhiqiqiq")
_CRC_START = 6


@define(slots=True, frozen=True)
class BatchMetadata:
    """One of a producer's last batches. `timestamp` is the batch's max timestamp."""

    last_sequence: int
    last_offset: int
    offset_delta: int
    timestamp: int

    @property
    def first_sequence(self) -> int:
        return decrement_sequence(self.last_sequence, self.offset_delta)

    @property
    def first_offset(self) -> int:
        return self.last_offset - self.offset_delta


@define(slots=True)
class ProducerEntry:
    """What is known of one producer id; `batches` are the last ones of its epoch, oldest first.

    `last_timestamp` is that of its last batch or marker, `coordinator_epoch` that of its last marker (-1: none yet),
    `transaction_first_offset` where its open transaction began (None: none is open).
    """

    producer_id: int
    epoch: int = NO_PRODUCER_EPOCH
    coordinator_epoch: int = -1
    last_timestamp: int = NO_TIMESTAMP
    transaction_first_offset: int | None = None
    batches: list[BatchMetadata] = field(factory=list)

    @property
    def last_sequence(self) -> int:
        return self.batches[-1].last_sequence if self.batches else NO_SEQUENCE

    @property
    def last_data_offset(self) -> int:
        return self.batches[-1].last_offset if self.batches else -1


def encode_snapshot(entries: Iterable[ProducerEntry]) -> bytes:
    """A `.snapshot` file of version 1.

        int16 version, uint32 CRC-32C of what follows it, int32 count; per producer int64 id, int16 epoch,
        int32 last sequence, int64 last offset, int32 offset delta, int64 timestamp, int32 coordinator epoch,
        int64 first offset of the open transaction (-1: none)

    Of a producer's batches only the last is kept.  (Kafka: ProducerSnapshot)
    """
    out = bytearray(_SNAPSHOT_HEAD.size)
    count = 0
    for entry in entries:
        count += 1
        last = entry.batches[-1] if entry.batches else None
        out += _SNAPSHOT_ENTRY.pack(
            entry.producer_id,
            entry.epoch,
            NO_SEQUENCE if last is None else last.last_sequence,
            -1 if last is None else last.last_offset,
            0 if last is None else last.offset_delta,
            entry.last_timestamp,
            entry.coordinator_epoch,
            -1 if entry.transaction_first_offset is None else entry.transaction_first_offset,
        )
    _SNAPSHOT_HEAD.pack_into(out, 0, SNAPSHOT_VERSION, 0, count)
    crc = crc32c(memoryview(out)[_CRC_START:])
    _SNAPSHOT_HEAD.pack_into(out, 0, SNAPSHOT_VERSION, crc, count)
    return bytes(out)


def decode_snapshot(data: bytes) -> list[ProducerEntry]:
    """The producers of a `.snapshot` file. CorruptRecordsError: cut short, an unknown version, a CRC that differs."""
    if len(data) < _SNAPSHOT_HEAD.size:
        raise CorruptRecordsError(f"a producer snapshot of {len(data)} bytes is cut short")
    version, crc, count = _SNAPSHOT_HEAD.unpack_from(data)
    if version != SNAPSHOT_VERSION:
        raise CorruptRecordsError(f"Snapshot contained an unknown file version {version}")
    if not 0 <= count * _SNAPSHOT_ENTRY.size <= len(data) - _SNAPSHOT_HEAD.size:
        raise CorruptRecordsError(f"a producer snapshot of {len(data)} bytes cannot hold {count} producers")
    computed = crc32c(memoryview(data)[_CRC_START:])
    if crc != computed:
        raise CorruptRecordsError(
            f"Snapshot is corrupt (CRC is no longer valid). Stored crc: {crc}. Computed crc: {computed}"
        )
    entries = []
    end = _SNAPSHOT_HEAD.size + count * _SNAPSHOT_ENTRY.size
    for values in _SNAPSHOT_ENTRY.iter_unpack(memoryview(data)[_SNAPSHOT_HEAD.size : end]):
        producer_id, epoch, sequence, offset, delta, timestamp, coordinator_epoch, first_offset = values
        entries.append(
            ProducerEntry(
                producer_id,
                epoch,
                coordinator_epoch,
                timestamp,
                first_offset if first_offset >= 0 else None,
                [BatchMetadata(sequence, offset, delta, timestamp)] if offset >= 0 else [],
            )
        )
    return entries
