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

from enum import Enum

from attrs import define

from kwire.error_codes import ErrorCode
from kwire.errors import CorruptRecordsError
from kwire.records.batch import (
    HEADER,
    HEADER_SIZE,
    LOG_OVERHEAD,
    BatchHeader,
    TimestampType,
    patch_base_offset_and_epoch,
    patch_max_timestamp,
    verify_crc,
)
from kwire.records.builder import RecordBatchBuilder
from kwire.records.compression import Codec, decompress
from kwire.records.record import iter_record_bytes
from log.append_errors import RecordsRejectedError
from log.config import LogConfig
from log.record_runs import walk_regular
from log.record_walk import Framing, Walk, WalkRules, invalid_record, walk_records

_MIN_RECORD_SIZE = 14
"""Smallest size field of any magic: the overhead of magic 0."""
_MAGIC_2_FIELDS = 27
"""A batch must reach past lastOffsetDelta to be looked at, else Kafka fails on it."""
UNPACKED_LIMIT = 1 << 30


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
        sizes = _batch_sizes(records) if records is not None else []
        prefix = f"Produce requests with version {api_version} "
        if not sizes or records is None:
            raise invalid_record(prefix + "must have at least one record batch per partition")
        if records[16] != 2:
            raise invalid_record(prefix + "are only allowed to contain record batches with magic version 2")
        if api_version < 7 and sizes[0] > 22 and records[22] & 0x07 == Codec.ZSTD:
            raise RecordsRejectedError(
                ErrorCode.UNSUPPORTED_COMPRESSION_TYPE, prefix + "are not allowed to use ZStandard compression"
            )
        if len(sizes) > 1:
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
    header = _checked_header(records, config, partition, leader_epoch, origin)
    if origin is AppendOrigin.CLIENT:
        _check_client_batch(header, partition)
    source = Codec(header.attributes & 0x07)
    target = _target_codec(config, source)
    if target is source or (source is Codec.NONE and header.is_control):
        return _keep(records, header, config, partition, next_offset, leader_epoch, now_ms, source, target)
    return _pack_anew(records, header, config, partition, next_offset, leader_epoch, now_ms, source, target, origin)


def _batch_sizes(records: memoryview) -> list[int]:
    """Sizes of the whole batches at the start of `records`; what follows them is cut off (Kafka: trimInvalidBytes)."""
    sizes = []
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
            break
        magic = records[position + 16]
        if magic > 2:
            raise RecordsRejectedError(
                ErrorCode.CORRUPT_MESSAGE, f"Invalid magic found in record: {magic - 256 if magic > 127 else magic}"
            )
        size = LOG_OVERHEAD + length
        if size > left:
            break
        sizes.append(size)
        position += size
        left -= size
    return sizes


def _checked_header(
    records: memoryview, config: LogConfig, partition: str, leader_epoch: int, origin: AppendOrigin
) -> BatchHeader:
    """The header of the one batch, whose own sizes and checksum hold  (Kafka: UnifiedLog.analyzeAndValidateRecords)."""
    sizes = _batch_sizes(records)
    if not sizes:
        raise invalid_record("Record batch has no batches at all")
    position = 0
    first: BatchHeader | None = None
    for size in sizes:
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
        position += size
    if first is None or len(sizes) > 1:
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


def _target_codec(config: LogConfig, source: Codec) -> Codec:
    name = config.compression_type
    if name == "producer":
        return source
    return Codec.NONE if name == "uncompressed" else Codec[name.upper()]


def _rules(header: BatchHeader, config: LogConfig, partition: str, now_ms: int) -> WalkRules:
    return WalkRules(
        partition=partition,
        base_offset=header.base_offset,
        base_timestamp=header.base_timestamp,
        append_time=header.max_timestamp if header.timestamp_type is TimestampType.LOG_APPEND_TIME else None,
        require_keys=config.compact,
        create_time=not config.log_append_time,
        now_ms=now_ms,
        before_max_ms=config.message_timestamp_before_max_ms,
        after_max_ms=config.message_timestamp_after_max_ms,
    )


def _unpacked(records: memoryview, header: BatchHeader, codec: Codec) -> memoryview | bytes | bytearray:
    body = records[HEADER_SIZE : header.size]
    if codec is Codec.NONE or header.record_count == 0:
        return body
    try:
        return decompress(codec, body, limit=UNPACKED_LIMIT)
    except CorruptRecordsError as error:
        raise RecordsRejectedError(ErrorCode.UNKNOWN_SERVER_ERROR, str(error)) from None


def _walk(body: memoryview | bytes | bytearray, header: BatchHeader, rules: WalkRules, framing: Framing) -> Walk:
    if header.record_count < 0:
        raise invalid_record(f"Found invalid record count {header.record_count} in magic v2 batch")
    walk = walk_regular(body, header.record_count, rules)
    if walk is None:
        walk = walk_records(body, header.record_count, rules, framing)
    if walk.errors:
        _refuse(walk)
    return walk


def _refuse(walk: Walk) -> None:
    """The collected errors as one refusal  (Kafka: LogValidator.processRecordErrors)."""
    if walk.invalid_timestamps:
        raise RecordsRejectedError(
            ErrorCode.INVALID_TIMESTAMP,
            "One or more records have been rejected due to invalid timestamp",
            walk.errors,
        )
    shown = ", ".join(f"RecordError(batchIndex={index}, message='{message}')" for index, message in walk.errors[:3])
    raise RecordsRejectedError(
        ErrorCode.INVALID_RECORD,
        f"One or more records have been rejected due to {len(walk.errors)} record errors in total, and only showing "
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
    source: Codec,
    target: Codec,
) -> ValidatedAppend:
    """The batch as it came, with offsets, epoch and max timestamp put right in place."""
    body = _unpacked(records, header, source)
    compressed_path = source is not Codec.NONE or target is not Codec.NONE
    framing = Framing.PLAIN if source is Codec.NONE else Framing.SKIMMED
    walk = _walk(body, header, _rules(header, config, partition, now_ms), framing)
    if compressed_path and not walk.offsets_follow:
        # Kafka then means to pack the batch anew, from records whose keys and values it has skipped, and fails.
        raise RecordsRejectedError(
            ErrorCode.UNKNOWN_SERVER_ERROR, "the offsets of a compressed batch do not follow one another"
        )
    data = records[: header.size]
    if data.readonly:
        data = memoryview(bytearray(data))
    last_offset = next_offset + header.record_count - 1
    base_offset = last_offset - header.last_offset_delta
    log_append_time = config.log_append_time
    max_timestamp = now_ms if log_append_time else walk.max_timestamp
    patch_base_offset_and_epoch(data, 0, base_offset, leader_epoch)
    header.base_offset = base_offset
    header.partition_leader_epoch = leader_epoch
    patch_max_timestamp(
        data,
        header,
        TimestampType.LOG_APPEND_TIME if log_append_time else TimestampType.CREATE_TIME,
        max_timestamp,
    )
    has_timestamp = compressed_path or max_timestamp != -1
    return ValidatedAppend(
        data=data,
        header=header,
        first_offset=next_offset,
        last_offset=last_offset,
        record_count=header.record_count,
        max_timestamp=max_timestamp,
        offset_of_max_timestamp=last_offset if has_timestamp else -1,
        log_append_time_ms=now_ms if log_append_time else -1,
        packed_anew=False,
    )


def _pack_anew(
    records: memoryview,
    header: BatchHeader,
    config: LogConfig,
    partition: str,
    next_offset: int,
    leader_epoch: int,
    now_ms: int,
    source: Codec,
    target: Codec,
    origin: AppendOrigin,
) -> ValidatedAppend:
    """A new batch of the same records in the topic's codec, at consecutive offsets."""
    body = memoryview(_unpacked(records, header, source))
    framing = Framing.PLAIN if source is Codec.NONE else Framing.FULL
    _walk(body, header, _rules(header, config, partition, now_ms), framing)
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
        for record in iter_record_bytes(body, header):
            builder.append(record.key, record.value, timestamp=record.timestamp, headers=record.headers)
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
        offset_of_max_timestamp=builder.last_offset if builder.max_timestamp != -1 else -1,
        log_append_time_ms=now_ms if log_append_time else -1,
        packed_anew=True,
    )


def _level(config: LogConfig, codec: Codec) -> int | None:
    if codec is Codec.GZIP:
        return config.compression_gzip_level
    if codec is Codec.LZ4:
        return config.compression_lz4_level
    if codec is Codec.ZSTD:
        return config.compression_zstd_level
    return None
