"""Record batches of magic 2: the header, iteration over a run of batches, and the in-place patches a broker makes.

    position  0 baseOffset int64, 8 batchLength int32, 12 partitionLeaderEpoch int32, 16 magic int8, 17 crc uint32,
             21 attributes int16, 23 lastOffsetDelta int32, 27 baseTimestamp int64, 35 maxTimestamp int64,
             43 producerId int64, 51 producerEpoch int16, 53 baseSequence int32, 57 recordCount int32, 61 records

batchLength counts what follows it; the CRC-32C covers everything from the attributes on. So base offset and leader
epoch may be rewritten freely, maxTimestamp and attributes only with a new CRC.  (KIP-98; Kafka: DefaultRecordBatch)
"""

from collections.abc import Iterator
from enum import IntEnum
from struct import Struct

from attrs import define

from kwire.errors import CorruptRecordsError
from kwire.records.compression import Codec
from kwire.records.crc import crc32c

HEADER = Struct(">qiibIhiqqqhii")
HEADER_SIZE = 61
LOG_OVERHEAD = 12
"""Bytes of base offset and length, which batchLength does not count."""
MAGIC_POSITION = 16
CRC_POSITION = 17
ATTRIBUTES_POSITION = 21
MAX_TIMESTAMP_POSITION = 35
MIN_BATCH_LENGTH = HEADER_SIZE - LOG_OVERHEAD

CODEC_MASK = 0x07
LOG_APPEND_TIME_FLAG = 0x08
TRANSACTIONAL_FLAG = 0x10
CONTROL_FLAG = 0x20
DELETE_HORIZON_FLAG = 0x40

NO_PRODUCER_ID = -1
NO_PRODUCER_EPOCH = -1
NO_SEQUENCE = -1
NO_TIMESTAMP = -1
NO_LEADER_EPOCH = -1

OFFSET_LENGTH_EPOCH = Struct(">qii")
"""What a broker writes anew, with the length between."""
_INT64 = Struct(">q")
_INT32 = Struct(">i")
_LENGTH_AND_EPOCH_MAGIC = Struct(">iib")
_CRC_ATTRIBUTES = Struct(">Ih")

Buffer = bytes | bytearray | memoryview


class TimestampType(IntEnum):
    CREATE_TIME = 0
    LOG_APPEND_TIME = 1


def increment_sequence(sequence: int, increment: int) -> int:
    """`sequence + increment`, after 2147483647 going on at 0."""
    return (sequence + increment) & 0x7FFFFFFF


def decrement_sequence(sequence: int, decrement: int) -> int:
    return (sequence - decrement) & 0x7FFFFFFF


@define(slots=True)
class BatchHeader:
    """The 61 bytes before the records, and where they stand (`position`) in the data they were read from.

    After `position` the fields stand in the wire's order. Values are as written: nothing is checked but what `peek`
    says.
    """

    position: int
    base_offset: int
    batch_length: int
    partition_leader_epoch: int
    magic: int
    crc: int
    attributes: int
    last_offset_delta: int
    base_timestamp: int
    max_timestamp: int
    producer_id: int
    producer_epoch: int
    base_sequence: int
    record_count: int

    @classmethod
    def peek(cls, data: Buffer, position: int = 0) -> "BatchHeader":
        """The header at `position`; the records need not be there yet.

        CorruptRecordsError: fewer than 61 bytes left, another magic, or a length shorter than a header.
        """
        if len(data) - position < HEADER_SIZE or position < 0:
            raise CorruptRecordsError(f"{len(data) - position} bytes left, a batch header has {HEADER_SIZE}")
        header = cls(position, *HEADER.unpack_from(data, position))
        if header.magic != 2:
            raise CorruptRecordsError(f"Invalid magic found in record: {header.magic}")
        if header.batch_length < MIN_BATCH_LENGTH:
            raise CorruptRecordsError(
                f"Record batch is corrupt (the size {header.size} is smaller than the minimum allowed overhead "
                f"{HEADER_SIZE})"
            )
        return header

    def encode(self) -> bytes:
        """The 61 bytes, with `crc` as it is in this object."""
        return HEADER.pack(
            self.base_offset,
            self.batch_length,
            self.partition_leader_epoch,
            self.magic,
            self.crc,
            self.attributes,
            self.last_offset_delta,
            self.base_timestamp,
            self.max_timestamp,
            self.producer_id,
            self.producer_epoch,
            self.base_sequence,
            self.record_count,
        )

    @property
    def size(self) -> int:
        """Bytes of the whole batch."""
        return LOG_OVERHEAD + self.batch_length

    @property
    def end(self) -> int:
        """Position of the first byte after the batch."""
        return self.position + LOG_OVERHEAD + self.batch_length

    @property
    def last_offset(self) -> int:
        return self.base_offset + self.last_offset_delta

    @property
    def next_offset(self) -> int:
        return self.base_offset + self.last_offset_delta + 1

    @property
    def last_sequence(self) -> int:
        """Sequence of the last record, -1 without one; wraps from 2147483647 to 0."""
        if self.base_sequence == NO_SEQUENCE:
            return NO_SEQUENCE
        return increment_sequence(self.base_sequence, self.last_offset_delta)

    @property
    def codec_id(self) -> int:
        """0 to 7; 5 to 7 are no codec."""
        return self.attributes & CODEC_MASK

    @property
    def codec(self) -> Codec:
        """CorruptRecordsError for the numbers 5 to 7."""
        codec_id = self.attributes & CODEC_MASK
        if codec_id > Codec.ZSTD:
            raise CorruptRecordsError(f"Unknown compression type id: {codec_id}")
        return Codec(codec_id)

    @property
    def is_compressed(self) -> bool:
        return self.attributes & CODEC_MASK != 0

    @property
    def timestamp_type(self) -> TimestampType:
        return TimestampType.LOG_APPEND_TIME if self.attributes & LOG_APPEND_TIME_FLAG else TimestampType.CREATE_TIME

    @property
    def is_transactional(self) -> bool:
        return self.attributes & TRANSACTIONAL_FLAG != 0

    @property
    def is_control(self) -> bool:
        return self.attributes & CONTROL_FLAG != 0

    @property
    def has_producer_id(self) -> bool:
        return self.producer_id > NO_PRODUCER_ID

    @property
    def delete_horizon_ms(self) -> int | None:
        """When set, base_timestamp holds it instead of a timestamp.  (KIP-534)"""
        return self.base_timestamp if self.attributes & DELETE_HORIZON_FLAG else None


def iter_batches(
    data: Buffer, position: int = 0, end: int | None = None, *, partial_tail: bool = False
) -> Iterator[BatchHeader]:
    """The headers of the batches that fill `data[position:end]`, one after the other.

    A batch is yielded only when all its bytes are there; CRCs are not looked at. With `partial_tail` a last batch
    that is cut short ends the iteration quietly (a fetch answer may end so), else it raises.

    CorruptRecordsError: a length shorter than a header or past the end, a magic other than 2.
    """
    if end is None:
        end = len(data)
    while position < end:
        left = end - position
        if left < MAGIC_POSITION + 1:
            if partial_tail:
                return
            raise CorruptRecordsError(f"{left} bytes left at {position}, too few for a batch header")
        length, _, magic = _LENGTH_AND_EPOCH_MAGIC.unpack_from(data, position + 8)
        if magic != 2:
            raise CorruptRecordsError(f"Invalid magic found in record: {magic}")
        size = LOG_OVERHEAD + length
        if size < HEADER_SIZE:
            raise CorruptRecordsError(
                f"Record batch is corrupt (the size {size} is smaller than the minimum allowed overhead {HEADER_SIZE})"
            )
        if size > left:
            if partial_tail:
                return
            raise CorruptRecordsError(f"the batch at {position} has {size} bytes, {left} are left")
        yield BatchHeader(position, *HEADER.unpack_from(data, position))
        position += size


def whole_batches(data: Buffer) -> tuple[int, int]:
    """Where the last whole batch of `data` ends, and its last offset; as `iter_batches`, for who wants no headers.

    CorruptRecordsError: as there; also when there is no whole batch.
    """
    position, last, end = 0, -1, len(data)
    unpack = _LENGTH_AND_EPOCH_MAGIC.unpack_from
    while end - position > MAGIC_POSITION:
        length, _, magic = unpack(data, position + 8)
        if magic != 2 or length < HEADER_SIZE - LOG_OVERHEAD:
            raise CorruptRecordsError(f"no record batch at {position}: magic {magic}, length {length}")
        if length + LOG_OVERHEAD > end - position:
            break
        last = position
        position += LOG_OVERHEAD + length
    if last < 0:
        raise CorruptRecordsError("not one whole record batch")
    return position, BatchHeader.peek(data, last).last_offset


def verify_crc(data: Buffer, header: BatchHeader) -> bool:
    """Whether the batch at `header.position` (wholly in `data`) has the CRC its header names. No copy is made."""
    end = header.end
    if end > len(data):
        return False
    return crc32c(memoryview(data)[header.position + ATTRIBUTES_POSITION : end]) == header.crc


def patch_base_offset_and_epoch(
    data: bytearray | memoryview, position: int, base_offset: int, leader_epoch: int
) -> None:
    """Write base offset and partition leader epoch, neither of which is under the CRC, in place."""
    _INT64.pack_into(data, position, base_offset)
    _INT32.pack_into(data, position + 12, leader_epoch)


def patch_max_timestamp(
    data: bytearray | memoryview, header: BatchHeader, timestamp_type: TimestampType, max_timestamp: int
) -> bool:
    """Set type and max timestamp of the batch at `header.position` in place, with a new CRC; `header` follows.

    Nothing is touched when both are so already. Otherwise the attributes are written anew from the bits that have a
    meaning, so unknown ones go (Kafka: DefaultRecordBatch.setMaxTimestamp). Returns whether anything was written.
    """
    if header.timestamp_type is timestamp_type and header.max_timestamp == max_timestamp:
        return False
    attributes = header.attributes & (CODEC_MASK | TRANSACTIONAL_FLAG | CONTROL_FLAG | DELETE_HORIZON_FLAG)
    if timestamp_type is TimestampType.LOG_APPEND_TIME:
        attributes |= LOG_APPEND_TIME_FLAG
    position = header.position
    _INT64.pack_into(data, position + MAX_TIMESTAMP_POSITION, max_timestamp)
    data[position + ATTRIBUTES_POSITION] = 0
    data[position + ATTRIBUTES_POSITION + 1] = attributes
    crc = crc32c(memoryview(data)[position + ATTRIBUTES_POSITION : header.end])
    _CRC_ATTRIBUTES.pack_into(data, position + CRC_POSITION, crc, attributes)
    header.attributes = attributes
    header.max_timestamp = max_timestamp
    header.crc = crc
    return True
