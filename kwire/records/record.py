"""Records of a magic 2 batch, decoded one at a time  (Kafka: DefaultRecord)."""

from collections.abc import Iterator

from attrs import define

from kwire.errors import CorruptRecordsError
from kwire.records.batch import HEADER_SIZE, BatchHeader, Buffer, TimestampType
from kwire.records.compression import DEFAULT_LIMIT, Codec, decompress
from kwire.records.varint import read_varint, read_varlong, wrap_int64


@define(slots=True)
class Record:
    """One record. `timestamp` is the batch's append time when that is the batch's timestamp type."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...] = ()


def read_records(data: Buffer, position: int = 0, *, limit: int = DEFAULT_LIMIT) -> Iterator[Record]:
    """The records of the batch at `position`, decoded as the iteration proceeds (a compressed batch: unpacked at once).

    `limit` caps the unpacked bytes. The CRC is not looked at.

    CorruptRecordsError: anything that does not add up, as soon as it is reached.
    """
    header = BatchHeader.peek(data, position)
    end = header.end
    if end > len(data):
        raise CorruptRecordsError(f"the batch at {position} has {header.size} bytes, {len(data) - position} are left")
    view = memoryview(data)[position + HEADER_SIZE : end]
    codec = header.codec
    if codec is not Codec.NONE:
        view = memoryview(decompress(codec, view, limit=limit))
    return iter_record_bytes(view, header)


def iter_record_bytes(view: memoryview, header: BatchHeader) -> Iterator[Record]:
    """The records in `view`, which holds the unpacked records of the batch with this header."""
    count = header.record_count
    if count < 0:
        raise CorruptRecordsError(f"Found invalid record count {count} in magic v2 batch")
    base_offset = header.base_offset
    base_timestamp = header.base_timestamp
    append_time = header.max_timestamp if header.timestamp_type is TimestampType.LOG_APPEND_TIME else None
    size = len(view)
    position = 0
    try:
        for _ in range(count):
            length, position = read_varint(view, position)
            end = position + length
            if length < 0 or end > size:
                raise CorruptRecordsError(
                    f"Invalid record size: expected {length} bytes in record payload, {size - position} are left"
                )
            record, after = _read_record(view, position, base_offset, base_timestamp, append_time)
            if after != end:
                raise CorruptRecordsError(
                    f"Invalid record size: expected to read {length} bytes in record payload, read {after - position}"
                )
            position = after
            yield record
    except (IndexError, ValueError) as error:
        raise CorruptRecordsError(f"Found invalid record structure: {error}") from None
    if position != size and count:
        raise CorruptRecordsError("Incorrect declared batch size, records still remaining")


def _read_record(
    view: memoryview, position: int, base_offset: int, base_timestamp: int, append_time: int | None
) -> tuple[Record, int]:
    position += 1  # attributes, unused
    timestamp_delta, position = read_varlong(view, position)
    offset_delta, position = read_varint(view, position)
    key, position = _read_bytes(view, position)
    value, position = _read_bytes(view, position)
    header_count, position = read_varint(view, position)
    headers: tuple[tuple[str, bytes | None], ...] = ()
    if header_count:
        if not 0 <= header_count <= len(view) - position:
            raise CorruptRecordsError(f"Found invalid number of record headers {header_count}")
        found = []
        for _ in range(header_count):
            name, position = _read_bytes(view, position)
            if name is None:
                raise CorruptRecordsError("Invalid negative header key size")
            content, position = _read_bytes(view, position)
            found.append((name.decode("utf-8", "replace"), content))
        headers = tuple(found)
    timestamp = wrap_int64(base_timestamp + timestamp_delta) if append_time is None else append_time
    return Record(wrap_int64(base_offset + offset_delta), timestamp, key, value, headers), position


def _read_bytes(view: memoryview, position: int) -> tuple[bytes | None, int]:
    length, position = read_varint(view, position)
    if length < 0:
        return None, position
    end = position + length
    if end > len(view):
        raise CorruptRecordsError(f"a field of {length} bytes, {len(view) - position} are left")
    return bytes(view[position:end]), end
