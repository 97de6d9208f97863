"""What an append checks before anything is written  (Kafka: ProduceRequest.validateRecords, UnifiedLog, LogValidator).

    validate_produce(api_version, records)                  the handler's check: one batch of magic 2
    validated = validate_append(records, next_offset, leader_epoch, config, now_ms, origin, partition="topic-0")
    validated.data                                          the bytes to write: one batch, offsets and epoch in place
    validated.header                                        its header, as written

`records` is one partition's records of a request. Where the batch may stay as it came (its codec is the topic's, or
compression.type is "producer") `data` is that same memory, patched in place (copied first if it is read-only);
otherwise a batch packed anew. Producer state (sequences, epochs, duplicates) is not looked at here:
`log.producer_state` comes after, on `validated.header`.

The order of the checks is Kafka's, so that of two faults the same one is answered:
 1. sizes, magic; base offset 0 from clients; max.message.bytes; CRC;
 2. a single batch; offset range against count; no control batch from clients; a sequence where there is a producer id;
 3. every record (log.record_walk); then the refusals that were collected, as one;
 4. max.message.bytes again if the batch was packed anew.

RecordsRejectedError says code, reason and record errors. What Kafka answers with UNKNOWN_SERVER_ERROR (unknown codec,
data that does not unpack, offsets that do not follow in a compressed batch) is answered so here too.
"""

from collections.abc import Iterator
from enum import Enum

from attrs import define

from kwire.error_codes import ErrorCode
from kwire.errors import CorruptRecordsError
from kwire.records.batch import (
    ATTRIBUTES_POSITION,
    CODEC_MASK,
    CONTROL_FLAG,
    HEADER,
    HEADER_SIZE,
    LOG_APPEND_TIME_FLAG,
    LOG_OVERHEAD,
    NO_PRODUCER_EPOCH,
    NO_PRODUCER_ID,
    NO_TIMESTAMP,
    OFFSET_LENGTH_EPOCH,
    BatchHeader,
    TimestampType,
    patch_max_timestamp,
    verify_crc,
)
from kwire.records.builder import RecordBatchBuilder
from kwire.records.compression import Codec, DecompressionLimitError, decompress, decompress_chunks
from kwire.records.crc import crc32c
from kwire.records.record import iter_record_bytes
from log.append_errors import RecordsRejectedError
from log.config import LogConfig
from log.record_runs import walk_regular
from log.record_walk import ForwardBytes, Framing, Walk, WalkRules, invalid_record, too_much, walk_records

_MIN_RECORD_SIZE = 14
"""Smallest size field of any magic: the overhead of magic 0."""
_MAGIC_2_FIELDS = 27
"""A batch must reach past lastOffsetDelta to be looked at, else Kafka fails on it."""
WALKED_WHOLE = 16 * 1024 * 1024
"""Bytes a compressed batch is unpacked to at once; what becomes more is unpacked and walked piece by piece."""
UNPACKED_LIMIT = 256 * 1024 * 1024
"""Bytes that a batch may unpack to, in pieces or at once."""
PACKED_ANEW_LIMIT = 1 << 17
"""Records and headers of one batch that are packed anew: a second or two, in which nobody else is served."""
_TOO_MANY_ANEW = "the batch has more records and headers than are packed anew"
_MIN_RECORD_BYTES = 7
_MIN_INT64 = -(1 << 63)
_MAX_INT64 = (1 << 63) - 1
_CODECS = {"uncompressed": 0, "gzip": 1, "snappy": 2, "lz4": 3, "zstd": 4}


class AppendOrigin(Enum):
    """Who appends, which says how much is checked."""

    CLIENT = "client"
    COORDINATOR = "coordinator"
    RAFT_LEADER = "raft leader"
    REPLICATION = "replication"


@define(slots=True)
class ValidatedAppend:
    """One batch, ready to write.

    `max_timestamp` and `offset_of_max_timestamp` are what the time index is told: the largest timestamp, and the last
    offset of the batch that has it, -1 and -1 without one.  (Kafka: shallowOffsetOfMaxTimestamp)
    """

    data: memoryview | bytearray
    header: BatchHeader
    first_offset: int
    last_offset: int
    record_count: int
    max_timestamp: int
    offset_of_max_timestamp: int
    log_append_time_ms: int
    """-1 unless the topic's timestamps are append times."""
    packed_anew: bool


def validate_produce(api_version: int, records: memoryview | None) -> None:
    """What a Produce request of version 3 and later may hold for a partition: exactly one batch, of magic 2.

    RecordsRejectedError (with a message for the answer): INVALID_RECORD, CORRUPT_MESSAGE for sizes and magics that
    cannot be, UNSUPPORTED_COMPRESSION_TYPE for zstd below version 7.
    """
    try:
        prefix = f"Produce requests with version {api_version} "
        sizes = _batch_sizes(records) if records is not None else iter(())
        size = next(sizes, 0)
        if size == 0 or records is None:
            raise invalid_record(prefix + "must have at least one record batch per partition")
        if records[16] != 2:
            raise invalid_record(prefix + "are only allowed to contain record batches with magic version 2")
        if api_version < 7 and size > 22 and records[22] & 0x07 == Codec.ZSTD:
            raise RecordsRejectedError(
                ErrorCode.UNSUPPORTED_COMPRESSION_TYPE, prefix + "are not allowed to use ZStandard compression"
            )
        if next(sizes, None) is not None:
            raise invalid_record(prefix + "are only allowed to contain exactly one record batch per partition")
    except RecordsRejectedError as error:
        error.message = error.reason
        raise


def validate_append(
    records: memoryview,
    next_offset: int,
    leader_epoch: int,
    config: LogConfig,
    now_ms: int,
    origin: AppendOrigin = AppendOrigin.CLIENT,
    *,
    partition: str,
) -> ValidatedAppend:
    """Check one partition's records and make of them the batch to write at `next_offset`.

    `partition` is "topic-index", for messages. RecordsRejectedError: refused, nothing was changed that matters.
    """
    header = _sound_header(records, config) if origin is AppendOrigin.CLIENT else None
    if header is None:
        header = _checked_header(records, config, partition, leader_epoch, origin)
        if origin is AppendOrigin.CLIENT:
            _check_client_batch(header, partition)
    source = header.attributes & CODEC_MASK
    topic_codec = config.compression_type
    target = source if topic_codec == "producer" else _CODECS[topic_codec]
    if target == source or (source == 0 and header.is_control):
        return _keep(records, header, config, partition, next_offset, leader_epoch, now_ms, source, target)
    return _pack_anew(
        records, header, config, partition, next_offset, leader_epoch, now_ms, source, Codec(target), origin
    )


def _sound_header(records: memoryview, config: LogConfig) -> BatchHeader | None:
    """The header of a client's batch that has nothing wrong with it; None where the long way must say what."""
    size = len(records)
    if size < HEADER_SIZE or size > config.max_message_bytes:
        return None
    header = BatchHeader(0, *HEADER.unpack_from(records))
    if (
        header.base_offset == 0
        and header.batch_length == size - LOG_OVERHEAD
        and header.magic == 2
        and header.last_offset_delta + 1 == header.record_count > 0
        and not header.attributes & CONTROL_FLAG
        and header.attributes & CODEC_MASK <= Codec.ZSTD
        and (header.producer_id == NO_PRODUCER_ID or header.base_sequence >= 0)
        and crc32c(records[ATTRIBUTES_POSITION:]) == header.crc
    ):
        return header
    return None


def _batch_sizes(records: memoryview) -> Iterator[int]:
    """Sizes of the whole batches at the start of `records`; what follows them is cut off (Kafka: trimInvalidBytes).

    RecordsRejectedError when it comes to a size or magic that cannot be.
    """
    position = 0
    left = len(records)
    while left >= LOG_OVERHEAD:
        length = int.from_bytes(records[position + 8 : position + 12], "big", signed=True)
        if length < _MIN_RECORD_SIZE:
            raise RecordsRejectedError(
                ErrorCode.CORRUPT_MESSAGE,
                f"Record size {length} is less than the minimum record overhead ({_MIN_RECORD_SIZE})",
            )
        if left <= 16:
            return
        magic = records[position + 16]
        if magic > 2:
            raise RecordsRejectedError(
                ErrorCode.CORRUPT_MESSAGE, f"Invalid magic found in record: {magic - 256 if magic > 127 else magic}"
            )
        size = LOG_OVERHEAD + length
        if size > left:
            return
        yield size
        position += size
        left -= size


def _checked_header(
    records: memoryview, config: LogConfig, partition: str, leader_epoch: int, origin: AppendOrigin
) -> BatchHeader:
    """The header of the one batch, whose own sizes and checksum hold  (Kafka: UnifiedLog.analyzeAndValidateRecords)."""
    position = 0
    first: BatchHeader | None = None
    batches = 0
    for size in _batch_sizes(records):
        if records[position + 16] != 2:
            raise invalid_record("only record batches with magic version 2 are written")
        if size < _MAGIC_2_FIELDS:
            raise RecordsRejectedError(ErrorCode.UNKNOWN_SERVER_ERROR, f"a batch of {size} bytes has no header")
        header = _padded_header(records, position, size)
        if origin is AppendOrigin.RAFT_LEADER and header.partition_leader_epoch != leader_epoch:
            raise invalid_record(
                f"Append from Raft leader did not set the batch epoch correctly, expected {leader_epoch} but the batch "
                f"has {header.partition_leader_epoch}"
            )
        if origin is AppendOrigin.CLIENT and header.base_offset != 0:
            raise invalid_record(
                f"The baseOffset of the record batch in the append to {partition} should be 0, but it is "
                f"{header.base_offset}"
            )
        if size > config.max_message_bytes and origin is not AppendOrigin.RAFT_LEADER:
            raise RecordsRejectedError(
                ErrorCode.MESSAGE_TOO_LARGE,
                f"The record batch size in the append to {partition} is {size} bytes which exceeds the "
                f"maximum configured value of {config.max_message_bytes}).",
            )
        if size < HEADER_SIZE or not verify_crc(records, header):
            raise RecordsRejectedError(
                ErrorCode.CORRUPT_MESSAGE,
                f"Record is corrupt (stored crc = {header.crc}) in topic partition {partition}.",
            )
        if header.attributes & 0x07 > Codec.ZSTD:
            raise RecordsRejectedError(
                ErrorCode.UNKNOWN_SERVER_ERROR, f"Unknown compression type id: {header.attributes & 0x07}"
            )
        first = first or header
        batches += 1
        position += size
    if first is None:
        raise invalid_record("Record batch has no batches at all")
    if batches > 1:
        raise invalid_record("Compressed outer record has more than one batch")
    return first


def _padded_header(records: memoryview, position: int, size: int) -> BatchHeader:
    if size < HEADER_SIZE:
        start = bytes(records[position : position + size]).ljust(HEADER_SIZE, b"\x00")
        return BatchHeader(position, *HEADER.unpack(start))
    return BatchHeader(position, *HEADER.unpack_from(records, position))


def _check_client_batch(header: BatchHeader, partition: str) -> None:
    """What a client's batch must be, beyond what any batch must  (Kafka: LogValidator.validateBatch)."""
    count = header.record_count
    in_range = header.last_offset_delta + 1
    if in_range <= 0:
        raise invalid_record(
            f"Batch has an invalid offset range: [{header.base_offset}, {header.last_offset}] in topic partition "
            f"{partition}"
        )
    if count <= 0:
        raise invalid_record(f"Invalid reported count for record batch: {count} in topic partition {partition}")
    if in_range != count:
        raise invalid_record(
            f"Inconsistent batch offset range [{header.base_offset}, {header.last_offset}] and count of records "
            f"{count} in topic partition {partition}"
        )
    if header.is_control:
        raise invalid_record(f"Clients are not allowed to write control records in topic partition {partition}")
    if header.has_producer_id and header.base_sequence < 0:
        raise invalid_record(
            f"Invalid sequence number {header.base_sequence} in record batch with producerId {header.producer_id} in "
            f"topic partition {partition}"
        )


def _unpacked(records: memoryview, header: BatchHeader, codec: int, limit: int) -> memoryview | bytes | bytearray:
    body = records[HEADER_SIZE : header.batch_length + LOG_OVERHEAD]
    if codec == 0 or header.record_count == 0:
        return body
    try:
        return decompress(Codec(codec), body, limit=limit)
    except DecompressionLimitError:
        raise
    except CorruptRecordsError as error:
        raise RecordsRejectedError(ErrorCode.UNKNOWN_SERVER_ERROR, str(error)) from None


def _largest_timestamp(
    body: memoryview | bytes | bytearray | ForwardBytes,
    header: BatchHeader,
    config: LogConfig,
    partition: str,
    now_ms: int,
    framing: Framing,
    *,
    offsets_must_follow: bool,
) -> int:
    """Walk the records; RecordsRejectedError if there is anything to say against them."""
    create_time = not config.log_append_time
    has_append_time = header.attributes & LOG_APPEND_TIME_FLAG != 0
    if not has_append_time and header.base_offset == 0 and not isinstance(body, ForwardBytes):
        lowest, highest = _MIN_INT64, _MAX_INT64
        if create_time:
            lowest = max(lowest, now_ms - config.message_timestamp_before_max_ms)
            highest = min(highest, now_ms + config.message_timestamp_after_max_ms)
        largest = walk_regular(body, header.record_count, header.base_timestamp, lowest, highest, config.compact)
        if largest is not None:
            return largest
    if header.record_count < 0:
        raise invalid_record(f"Found invalid record count {header.record_count} in magic v2 batch")
    rules = WalkRules(
        partition=partition,
        base_offset=header.base_offset,
        base_timestamp=header.base_timestamp,
        append_time=header.max_timestamp if has_append_time else None,
        require_keys=config.compact,
        create_time=create_time,
        now_ms=now_ms,
        before_max_ms=config.message_timestamp_before_max_ms,
        after_max_ms=config.message_timestamp_after_max_ms,
    )
    walk = walk_records(body, header.record_count, rules, framing)
    if walk.errors:
        raise _refusal(walk)
    if offsets_must_follow and not walk.offsets_follow:
        # Kafka then means to pack the batch anew, from records whose keys and values it has skipped, and fails.
        raise RecordsRejectedError(
            ErrorCode.UNKNOWN_SERVER_ERROR, "the offsets of a compressed batch do not follow one another"
        )
    return walk.max_timestamp


def _refusal(walk: Walk) -> RecordsRejectedError:
    """The collected errors as one refusal  (Kafka: LogValidator.processRecordErrors)."""
    if walk.invalid_timestamps:
        return RecordsRejectedError(
            ErrorCode.INVALID_TIMESTAMP,
            "One or more records have been rejected due to invalid timestamp",
            walk.errors,
        )
    shown = ", ".join(f"RecordError(batchIndex={index}, message='{message}')" for index, message in walk.errors[:3])
    return RecordsRejectedError(
        ErrorCode.INVALID_RECORD,
        f"One or more records have been rejected due to {walk.errors_found} record errors in total, and only showing "
        f"the first three errors at most: [{shown}]",
        walk.errors,
    )


def _keep(
    records: memoryview,
    header: BatchHeader,
    config: LogConfig,
    partition: str,
    next_offset: int,
    leader_epoch: int,
    now_ms: int,
    source: int,
    target: int,
) -> ValidatedAppend:
    """The batch as it came, with offsets, epoch and max timestamp put right in place."""
    compressed_path = source != 0 or target != 0
    framing = Framing.SKIMMED if source else Framing.PLAIN
    body: memoryview | bytes | bytearray | ForwardBytes
    try:
        body = _unpacked(records, header, source, WALKED_WHOLE)
    except DecompressionLimitError:
        packed = records[HEADER_SIZE : header.batch_length + LOG_OVERHEAD]
        body = ForwardBytes(decompress_chunks(Codec(source), packed, limit=UNPACKED_LIMIT), UNPACKED_LIMIT)
    try:
        largest = _largest_timestamp(
            body, header, config, partition, now_ms, framing, offsets_must_follow=compressed_path
        )
    except DecompressionLimitError as error:
        raise too_much(str(error)) from None
    except CorruptRecordsError as error:
        raise RecordsRejectedError(ErrorCode.UNKNOWN_SERVER_ERROR, str(error)) from None
    data = records
    if data.readonly or len(data) != header.batch_length + LOG_OVERHEAD:
        data = data[: header.batch_length + LOG_OVERHEAD]
        if data.readonly:
            data = memoryview(bytearray(data))
    last_offset = next_offset + header.record_count - 1
    header.base_offset = last_offset - header.last_offset_delta
    header.partition_leader_epoch = leader_epoch
    OFFSET_LENGTH_EPOCH.pack_into(data, 0, header.base_offset, header.batch_length, leader_epoch)
    log_append_time = config.log_append_time
    if log_append_time:
        largest = now_ms
        patch_max_timestamp(data, header, TimestampType.LOG_APPEND_TIME, largest)
    elif largest != header.max_timestamp or header.attributes & LOG_APPEND_TIME_FLAG:
        patch_max_timestamp(data, header, TimestampType.CREATE_TIME, largest)
    return ValidatedAppend(
        data,
        header,
        next_offset,
        last_offset,
        header.record_count,
        largest,
        last_offset if compressed_path or largest != NO_TIMESTAMP else -1,
        now_ms if log_append_time else -1,
        False,
    )


def _pack_anew(
    records: memoryview,
    header: BatchHeader,
    config: LogConfig,
    partition: str,
    next_offset: int,
    leader_epoch: int,
    now_ms: int,
    source: int,
    target: Codec,
    origin: AppendOrigin,
) -> ValidatedAppend:
    """A new batch of the same records in the topic's codec, at consecutive offsets."""
    try:
        body = memoryview(_unpacked(records, header, source, UNPACKED_LIMIT))
    except DecompressionLimitError as error:
        raise too_much(str(error)) from None
    if header.record_count > PACKED_ANEW_LIMIT and len(body) >= header.record_count * _MIN_RECORD_BYTES:
        raise too_much(_TOO_MANY_ANEW)
    framing = Framing.FULL if source else Framing.PLAIN
    _largest_timestamp(body, header, config, partition, now_ms, framing, offsets_must_follow=False)
    log_append_time = config.log_append_time
    builder = RecordBatchBuilder(
        base_offset=next_offset,
        codec=target,
        level=_level(config, target),
        timestamp_type=TimestampType.LOG_APPEND_TIME if log_append_time else TimestampType.CREATE_TIME,
        log_append_time=now_ms,
        producer_id=header.producer_id,
        producer_epoch=header.producer_epoch,
        base_sequence=header.base_sequence,
        transactional=header.is_transactional,
        partition_leader_epoch=leader_epoch,
    )
    try:
        left = PACKED_ANEW_LIMIT
        for record in iter_record_bytes(body, header):
            left -= 1 + len(record.headers)
            if left < 0:
                raise too_much(_TOO_MANY_ANEW)
            builder.append(record.key, record.value, timestamp=record.timestamp, headers=record.headers)
        _check_producer_fields(header)
        data = builder.build()
    except ValueError as error:
        raise RecordsRejectedError(ErrorCode.UNKNOWN_SERVER_ERROR, str(error)) from None
    if len(data) > config.max_message_bytes and origin is not AppendOrigin.RAFT_LEADER:
        raise RecordsRejectedError(
            ErrorCode.MESSAGE_TOO_LARGE,
            f"Message batch size is {len(data)} bytes in append to partition {partition} which exceeds the maximum "
            f"configured size of {config.max_message_bytes}.",
        )
    return ValidatedAppend(
        data=data,
        header=BatchHeader.peek(data),
        first_offset=next_offset,
        last_offset=builder.last_offset,
        record_count=builder.record_count,
        max_timestamp=builder.max_timestamp,
        offset_of_max_timestamp=builder.last_offset if builder.max_timestamp != NO_TIMESTAMP else -1,
        log_append_time_ms=now_ms if log_append_time else -1,
        packed_anew=True,
    )


def _check_producer_fields(header: BatchHeader) -> None:
    """ValueError for what Kafka's builder refuses to write  (MemoryRecordsBuilder.validateProducerState)."""
    if header.producer_id == NO_PRODUCER_ID:
        if header.is_transactional:
            raise ValueError("Cannot write transactional messages without a valid producer ID")
    elif header.producer_epoch == NO_PRODUCER_EPOCH:
        raise ValueError("Invalid negative producer epoch")
    elif header.base_sequence < 0:
        raise ValueError("Invalid negative sequence number used")


def _level(config: LogConfig, codec: Codec) -> int | None:
    if codec is Codec.GZIP:
        return config.compression_gzip_level
    if codec is Codec.LZ4:
        return config.compression_lz4_level
    if codec is Codec.ZSTD:
        return config.compression_zstd_level
    return None
