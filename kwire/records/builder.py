"""Building a record batch of magic 2  (Kafka: MemoryRecordsBuilder)."""

from collections.abc import Sequence

from kwire.records.batch import (
    ATTRIBUTES_POSITION,
    CONTROL_FLAG,
    DELETE_HORIZON_FLAG,
    HEADER,
    HEADER_SIZE,
    LOG_APPEND_TIME_FLAG,
    LOG_OVERHEAD,
    NO_LEADER_EPOCH,
    NO_PRODUCER_EPOCH,
    NO_PRODUCER_ID,
    NO_SEQUENCE,
    NO_TIMESTAMP,
    TRANSACTIONAL_FLAG,
    TimestampType,
)
from kwire.records.compression import Codec, compress
from kwire.records.crc import crc32c
from kwire.records.varint import encode_varint, wrap_int64

Headers = Sequence[tuple[str, bytes | None]]
_EMPTY = b"\x00"
_NULL = b"\x01"
_CRC_POSITION = 17


class RecordBatchBuilder:
    """Collects records and gives the bytes of one batch.

        builder = RecordBatchBuilder(base_offset=7, codec=Codec.LZ4)
        builder.append(b"key", b"value", timestamp=now_ms)
        data = builder.build()

    base_timestamp is the first record's; max_timestamp the largest, or `log_append_time` for LOG_APPEND_TIME.
    ValueError for what the format cannot hold: a negative timestamp other than -1, offsets that do not rise or lie more
    than an int32 beyond the base offset, no records at all.
    """

    __slots__ = (
        "_base_timestamp",
        "_body",
        "_count",
        "_last_offset",
        "_level",
        "_max_timestamp",
        "_offset_of_max_timestamp",
        "base_offset",
        "base_sequence",
        "codec",
        "control",
        "delete_horizon_ms",
        "log_append_time",
        "partition_leader_epoch",
        "producer_epoch",
        "producer_id",
        "timestamp_type",
        "transactional",
    )

    def __init__(
        self,
        *,
        base_offset: int = 0,
        codec: Codec = Codec.NONE,
        level: int | None = None,
        timestamp_type: TimestampType = TimestampType.CREATE_TIME,
        log_append_time: int = NO_TIMESTAMP,
        producer_id: int = NO_PRODUCER_ID,
        producer_epoch: int = NO_PRODUCER_EPOCH,
        base_sequence: int = NO_SEQUENCE,
        transactional: bool = False,
        control: bool = False,
        partition_leader_epoch: int = NO_LEADER_EPOCH,
        delete_horizon_ms: int | None = None,
    ) -> None:
        self.base_offset = base_offset
        self.codec = codec
        self._level = level
        self.timestamp_type = timestamp_type
        self.log_append_time = log_append_time
        self.producer_id = producer_id
        self.producer_epoch = producer_epoch
        self.base_sequence = base_sequence
        self.transactional = transactional
        self.control = control
        self.partition_leader_epoch = partition_leader_epoch
        self.delete_horizon_ms = delete_horizon_ms
        self._body = bytearray()
        self._count = 0
        self._last_offset = base_offset - 1
        self._base_timestamp: int | None = delete_horizon_ms
        self._max_timestamp = NO_TIMESTAMP
        self._offset_of_max_timestamp = -1

    @property
    def record_count(self) -> int:
        return self._count

    @property
    def last_offset(self) -> int:
        """Offset of the last record appended; base_offset - 1 before the first."""
        return self._last_offset

    @property
    def max_timestamp(self) -> int:
        """What the header will say."""
        if self.timestamp_type is TimestampType.LOG_APPEND_TIME:
            return self.log_append_time
        return self._max_timestamp

    @property
    def offset_of_max_timestamp(self) -> int:
        """Offset of the first record with the largest timestamp, -1 if none has one."""
        return self._offset_of_max_timestamp

    def append(
        self,
        key: bytes | None,
        value: bytes | None,
        *,
        timestamp: int = NO_TIMESTAMP,
        headers: Headers = (),
        offset: int | None = None,
    ) -> None:
        """Add a record, by default at the next offset."""
        if offset is None:
            offset = self._last_offset + 1
        elif offset <= self._last_offset:
            raise ValueError(f"offset {offset} does not follow {self._last_offset}")
        delta = offset - self.base_offset
        if not 0 <= delta <= 0x7FFFFFFF:
            raise ValueError(f"offset {offset} is too far from the base offset {self.base_offset}")
        if timestamp < 0 and timestamp != NO_TIMESTAMP:
            raise ValueError(f"invalid negative timestamp {timestamp}")
        if self._base_timestamp is None:
            self._base_timestamp = timestamp
        # From -1 to the largest timestamp is one more than 64 bits hold; readers' sums wrap back.
        parts = [b"\x00", encode_varint(wrap_int64(timestamp - self._base_timestamp)), encode_varint(delta)]
        if key is None:
            parts.append(_NULL)
        else:
            parts += (encode_varint(len(key)), key)
        if value is None:
            parts.append(_NULL)
        else:
            parts += (encode_varint(len(value)), value)
        if headers:
            parts.append(encode_varint(len(headers)))
            for name, content in headers:
                raw = name.encode()
                parts += (encode_varint(len(raw)), raw)
                if content is None:
                    parts.append(_NULL)
                else:
                    parts += (encode_varint(len(content)), content)
        else:
            parts.append(_EMPTY)
        record = b"".join(parts)
        self._body += encode_varint(len(record))
        self._body += record
        self._count += 1
        self._last_offset = offset
        if timestamp > self._max_timestamp:
            self._max_timestamp = timestamp
            self._offset_of_max_timestamp = offset

    def build(self) -> bytearray:
        """The batch. May be called again after more records."""
        if not self._count or self._base_timestamp is None:
            raise ValueError("a batch needs a record")
        attributes = int(self.codec)
        if self.timestamp_type is TimestampType.LOG_APPEND_TIME:
            attributes |= LOG_APPEND_TIME_FLAG
        if self.transactional:
            attributes |= TRANSACTIONAL_FLAG
        if self.control:
            attributes |= CONTROL_FLAG
        if self.delete_horizon_ms is not None:
            attributes |= DELETE_HORIZON_FLAG
        body = self._body if self.codec is Codec.NONE else compress(self.codec, self._body, self._level)
        data = bytearray(HEADER_SIZE)
        data += body
        HEADER.pack_into(
            data,
            0,
            self.base_offset,
            len(data) - LOG_OVERHEAD,
            self.partition_leader_epoch,
            2,
            0,
            attributes,
            self._last_offset - self.base_offset,
            self._base_timestamp,
            self.max_timestamp,
            self.producer_id,
            self.producer_epoch,
            self.base_sequence,
            self._count,
        )
        with memoryview(data) as view:
            crc = crc32c(view[ATTRIBUTES_POSITION:])
        data[_CRC_POSITION:ATTRIBUTES_POSITION] = crc.to_bytes(4, "big")
        return data
