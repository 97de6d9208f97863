"""Message sets of magic 0 and 1, which came before record batches: reading, writing, conversion from and to magic 2.

    position  0 offset int64, 8 size int32, 12 crc uint32 (CRC-32 of what follows it), 16 magic int8, 17 attributes
    int8,
             18 timestamp int64 (magic 1 only), then key and value, each an int32 length (-1: null) and bytes

A compressed message is a wrapper: its value holds a message set. In magic 0 the inner offsets are absolute; in magic
1 they count from 0, and the wrapper's offset is the last one's. A wrapper of magic 1 with append time gives its
timestamp to all of its messages. Wrappers do not nest, and hold no zstd.  (KIP-31, KIP-32; Kafka: LegacyRecord,
AbstractLegacyRecordBatch)
"""

from collections.abc import Iterable, Iterator
from struct import Struct

from attrs import define

from kwire.errors import CorruptRecordsError
from kwire.records.batch import LOG_OVERHEAD, NO_TIMESTAMP, BatchHeader, Buffer, TimestampType
from kwire.records.builder import RecordBatchBuilder
from kwire.records.compression import DEFAULT_LIMIT, Codec, compress, decompress
from kwire.records.crc import crc32
from kwire.records.record import Record, read_records

_HEAD = Struct(">qiIbb")
_INT32 = Struct(">i")
_INT64 = Struct(">q")
_CODEC_MASK = 0x07
_APPEND_TIME_FLAG = 0x08
_MIN_SIZES = (14, 22)
_BODY = 18


class UnreadableMessageError(CorruptRecordsError):
    """A message whose size and checksum are right, and whose fields are not."""


@define(slots=True)
class Message:
    """One message or wrapper as it stands in the data, at `position`. `timestamp` is -1 in magic 0."""

    position: int
    offset: int
    size: int
    """Bytes of the whole message, offset and size field included."""
    crc: int
    magic: int
    attributes: int
    timestamp: int
    key: memoryview | None
    value: memoryview | None

    @property
    def codec(self) -> Codec:
        """CorruptRecordsError for a number that is no codec, or one that wrappers cannot have."""
        codec_id = self.attributes & _CODEC_MASK
        if codec_id > Codec.LZ4:
            raise CorruptRecordsError(f"Unknown compression type id of a message set: {codec_id}")
        return Codec(codec_id)

    @property
    def timestamp_type(self) -> TimestampType:
        if self.magic and self.attributes & _APPEND_TIME_FLAG:
            return TimestampType.LOG_APPEND_TIME
        return TimestampType.CREATE_TIME


def iter_messages(
    data: Buffer, position: int = 0, end: int | None = None, *, partial_tail: bool = False
) -> Iterator[Message]:
    """The messages and wrappers that fill `data[position:end]`; their CRCs are checked.

    With `partial_tail` a last one that is cut short ends the iteration quietly.

    CorruptRecordsError: sizes that cannot be, another magic, a CRC that differs.
    """
    view = memoryview(data)[: len(data) if end is None else end]
    end = len(view)
    while position < end:
        left = end - position
        if left < LOG_OVERHEAD:
            if partial_tail:
                return
            raise CorruptRecordsError(f"{left} bytes left at {position}, too few for a message")
        (length,) = _INT32.unpack_from(view, position + 8)
        if length < _MIN_SIZES[0]:
            raise CorruptRecordsError(f"Record size {length} is less than the minimum record overhead (14)")
        if length + LOG_OVERHEAD > left:
            if partial_tail:
                return
            raise CorruptRecordsError(f"the message at {position} has {length} bytes, {left - LOG_OVERHEAD} are left")
        yield _read_message(view, position, length)
        position += length + LOG_OVERHEAD


def _read_message(view: memoryview, position: int, length: int) -> Message:
    offset, _, crc, magic, attributes = _HEAD.unpack_from(view, position)
    if magic not in (0, 1):
        raise CorruptRecordsError(f"Invalid magic found in record: {magic}")
    if length < _MIN_SIZES[magic]:
        raise CorruptRecordsError(f"Record size {length} is less than the minimum of magic {magic}")
    end = position + LOG_OVERHEAD + length
    if crc32(view[position + 16 : end]) != crc:
        raise CorruptRecordsError(f"Record is corrupt (stored crc = {crc})")
    at = position + _BODY
    timestamp = NO_TIMESTAMP
    if magic == 1:
        (timestamp,) = _INT64.unpack_from(view, at)
        at += 8
    key, at = _read_field(view, at, end)
    value, _ = _read_field(view, at, end)  # bytes behind it are ignored, as in Kafka
    return Message(position, offset, LOG_OVERHEAD + length, crc, magic, attributes, timestamp, key, value)


def _read_field(view: memoryview, at: int, end: int) -> tuple[memoryview | None, int]:
    if at + 4 > end:
        raise UnreadableMessageError("a message is cut short")
    (length,) = _INT32.unpack_from(view, at)
    at += 4
    if length < 0:
        return None, at
    if length > end - at:
        raise UnreadableMessageError(f"a field of {length} bytes, {end - at} are left")
    return view[at : at + length], at + length


def read_message_set(
    data: Buffer, position: int = 0, end: int | None = None, *, partial_tail: bool = False, limit: int = DEFAULT_LIMIT
) -> Iterator[Record]:
    """The records of a message set, those of its wrappers included, at their absolute offsets.

    `limit` caps what one wrapper may unpack to. CorruptRecordsError: as `iter_messages`, and wrappers that hold no or
    wrapped messages, no value, or offsets that do not fit.
    """
    for message in iter_messages(data, position, end, partial_tail=partial_tail):
        if message.codec is Codec.NONE:
            yield _record(message, message.offset, message.timestamp)
        else:
            yield from _read_wrapper(message, limit)


def _read_wrapper(wrapper: Message, limit: int) -> Iterator[Record]:
    if wrapper.value is None:
        raise CorruptRecordsError(f"Found invalid compressed record set with null value (magic = {wrapper.magic})")
    inner = decompress(wrapper.codec, wrapper.value, limit=limit, magic=wrapper.magic)
    last: Message | None = None
    for last in iter_messages(inner):  # noqa: B007  walked twice, so that they need not all be kept
        pass
    if last is None:
        raise CorruptRecordsError("Found invalid compressed record set with no inner records")
    base = 0
    if wrapper.magic == 1 and wrapper.offset != 0:  # some librdkafka versions leave it at 0
        base = wrapper.offset - last.offset
        if base < 0:
            raise CorruptRecordsError(
                f"the offset {wrapper.offset} of a compressed message set is less than its last message's {last.offset}"
            )
    append_time = wrapper.timestamp_type is TimestampType.LOG_APPEND_TIME
    for message in iter_messages(inner):
        if message.codec is not Codec.NONE:
            raise CorruptRecordsError("Inner messages must not be compressed")
        timestamp = wrapper.timestamp if append_time and message.magic == 1 else message.timestamp
        yield _record(message, base + message.offset, timestamp)


def _record(message: Message, offset: int, timestamp: int) -> Record:
    key = None if message.key is None else bytes(message.key)
    value = None if message.value is None else bytes(message.value)
    return Record(offset, timestamp, key, value)


def write_message_set(
    records: Iterable[Record],
    *,
    magic: int,
    codec: Codec = Codec.NONE,
    timestamp_type: TimestampType = TimestampType.CREATE_TIME,
    log_append_time: int = NO_TIMESTAMP,
) -> bytes:
    """A message set of `records`, by rising offset; a single wrapper when there is a codec. Headers are left out.

    ValueError: zstd, another magic, a negative timestamp other than -1 in magic 1.
    """
    if magic not in (0, 1) or codec is Codec.ZSTD:
        raise ValueError(f"no message set of magic {magic} with {codec.name}")
    append_time = timestamp_type is TimestampType.LOG_APPEND_TIME
    found = list(records)
    if not found:
        return b""
    flag = _APPEND_TIME_FLAG if magic == 1 and append_time else 0
    base = found[0].offset if magic == 1 and codec is not Codec.NONE else 0
    inner = b"".join(
        _write_message(
            record.offset - base,
            magic,
            flag,
            log_append_time if append_time else record.timestamp,
            record.key,
            record.value,
        )
        for record in found
    )
    if codec is Codec.NONE:
        return inner
    timestamp = log_append_time if append_time else max(record.timestamp for record in found)
    packed = compress(codec, inner, magic=magic)
    return _write_message(found[-1].offset, magic, flag | codec, timestamp, None, packed)


def _write_message(
    offset: int, magic: int, attributes: int, timestamp: int, key: bytes | None, value: bytes | None
) -> bytes:
    if magic == 1 and timestamp < 0 and timestamp != NO_TIMESTAMP:
        raise ValueError(f"invalid negative timestamp {timestamp}")
    parts = [bytes((magic, attributes))]
    if magic == 1:
        parts.append(_INT64.pack(timestamp))
    for field in (key, value):
        if field is None:
            parts.append(b"\xff\xff\xff\xff")
        else:
            parts += (_INT32.pack(len(field)), field)
    body = b"".join(parts)
    return b"".join((_INT64.pack(offset), _INT32.pack(len(body) + 4), crc32(body).to_bytes(4, "big"), body))


def to_batch(
    data: Buffer, *, codec: Codec | None = None, partition_leader_epoch: int = -1, limit: int = DEFAULT_LIMIT
) -> bytearray:
    """The message set as one batch of magic 2 with the same offsets, packed as its first message was unless told.

    CorruptRecordsError: as `read_message_set`; ValueError: no messages, or offsets that do not rise.
    """
    first = next(iter_messages(data), None)
    if first is None:
        raise ValueError("a batch needs a record")
    builder: RecordBatchBuilder | None = None
    for record in read_message_set(data, limit=limit):
        if builder is None:
            builder = RecordBatchBuilder(
                base_offset=record.offset,
                codec=first.codec if codec is None else codec,
                timestamp_type=first.timestamp_type,
                log_append_time=record.timestamp,
                partition_leader_epoch=partition_leader_epoch,
            )
        builder.append(record.key, record.value, timestamp=record.timestamp, offset=record.offset)
    assert builder is not None
    return builder.build()


def from_batch(data: Buffer, position: int = 0, *, magic: int, limit: int = DEFAULT_LIMIT) -> bytes:
    """The batch at `position` as a message set: without headers and producer fields, nothing at all of a control batch.

    CorruptRecordsError: as `read_records`; ValueError: a zstd batch, which old readers cannot have.
    (Kafka: RecordsUtil.convertRecordBatch)
    """
    header = BatchHeader.peek(data, position)
    if header.is_control:
        return b""
    append_time = header.timestamp_type is TimestampType.LOG_APPEND_TIME
    return write_message_set(
        read_records(data, position, limit=limit),
        magic=magic,
        codec=header.codec,
        timestamp_type=header.timestamp_type,
        log_append_time=header.max_timestamp if append_time else NO_TIMESTAMP,
    )
