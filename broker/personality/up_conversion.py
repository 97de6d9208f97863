"""A message set of magic 0 or 1, as a producer sends it, made into one batch of magic 2.

What is checked, and which fault is told first, is Kafka 3.9's (LogValidator, UnifiedLog.analyzeAndValidateRecords,
LegacyRecord): a whole message set is one batch; a wrapper stands alone; its codec is kept. What holds for batches of
any magic (timestamps, keys of compacted topics, the topic's codec, sizes once converted) is left to the append.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from kwire.error_codes import ErrorCode
from kwire.errors import CorruptRecordsError
from kwire.records.batch import CODEC_MASK, LOG_OVERHEAD
from kwire.records.builder import RecordBatchBuilder
from kwire.records.compression import Codec, decompress
from kwire.records.legacy import Message, UnreadableMessageError, iter_messages
from log.append_errors import RecordsRejectedError
from log.append_validation import PACKED_ANEW_LIMIT, WALKED_WHOLE

_MAGIC: Final = 16
_MOST_MAGIC: Final = 2
_OFFSET_BYTES: Final = 8
_LEAST_LENGTH: Final = 14


def magic_of(records: memoryview) -> int:
    """Of the first message or batch; -1 for what is too short to have one."""
    return records[_MAGIC] if len(records) > _MAGIC else -1


def converted(records: memoryview, max_message_bytes: int) -> bytearray | None:
    """The batch, at offset 0; None where there is no whole message.

    RecordsRejectedError: CORRUPT_MESSAGE (sizes, magics, checksums), INVALID_RECORD (what stands together that must
    not, wrappers in wrappers), MESSAGE_TOO_LARGE (a message as it was sent; more of them than are converted).
    UNKNOWN_SERVER_ERROR: data that does not unpack, negative timestamps, where Kafka fails unprepared.
    """
    messages = _checked(records, max_message_bytes)
    if not messages:
        return None
    first = messages[0]
    codec = next((codec for message in messages if (codec := _codec_of(message)) is not Codec.NONE), Codec.NONE)
    if codec is not Codec.NONE and len(messages) > 1:
        raise RecordsRejectedError(ErrorCode.INVALID_RECORD, "Compressed outer record has more than one batch")
    builder = RecordBatchBuilder(codec=codec, timestamp_type=first.timestamp_type)
    found = iter(messages) if codec is Codec.NONE else _inner(first, codec)
    try:
        for message in found:
            if builder.record_count >= PACKED_ANEW_LIMIT:
                raise _too_many()
            if message.timestamp > builder.log_append_time:
                builder.log_append_time = message.timestamp
            builder.append(
                None if message.key is None else bytes(message.key),
                None if message.value is None else bytes(message.value),
                timestamp=message.timestamp,
            )
    except ValueError as error:
        raise RecordsRejectedError(ErrorCode.UNKNOWN_SERVER_ERROR, str(error)) from None
    if not builder.record_count:
        raise RecordsRejectedError(
            ErrorCode.INVALID_RECORD, "Found invalid compressed record set with no inner records"
        )
    return builder.build()


def is_whole(records: memoryview) -> bool:
    """Whether at least one message or batch is. RecordsRejectedError: CORRUPT_MESSAGE as `converted`."""
    return _whole(records) > 0


def _checked(records: memoryview, max_message_bytes: int) -> list[Message]:
    """The messages and wrappers. What is cut short at the end is left out."""
    end = _whole(records)
    found: list[Message] = []
    try:
        for message in iter_messages(records, 0, end):
            if message.size > max_message_bytes:
                raise RecordsRejectedError(
                    ErrorCode.MESSAGE_TOO_LARGE,
                    f"The record batch size is {message.size} bytes, which exceeds the maximum configured value of "
                    f"{max_message_bytes}.",
                )
            if len(found) >= PACKED_ANEW_LIMIT:
                raise _too_many()
            found.append(message)
    except CorruptRecordsError as error:
        raise _refusal(error) from None
    return found


def _whole(records: memoryview) -> int:
    """Where the last whole message ends. RecordsRejectedError: sizes and magics that cannot be, or differ."""
    position = 0
    size = len(records)
    first_magic = records[_MAGIC] if size > _MAGIC else 0
    while size - position >= LOG_OVERHEAD:
        length = int.from_bytes(records[position + _OFFSET_BYTES : position + LOG_OVERHEAD], "big", signed=True)
        if length < _LEAST_LENGTH:
            raise RecordsRejectedError(
                ErrorCode.CORRUPT_MESSAGE, f"Record size {length} is less than the minimum record overhead (14)"
            )
        if position + _MAGIC >= size:
            break
        magic = records[position + _MAGIC]
        if magic > _MOST_MAGIC:
            raise RecordsRejectedError(ErrorCode.CORRUPT_MESSAGE, f"Invalid magic found in record: {magic}")
        if position + LOG_OVERHEAD + length > size:
            break
        if magic != first_magic:
            raise RecordsRejectedError(
                ErrorCode.INVALID_RECORD,
                f"Batch magic {magic} is not the same as the first batch's magic byte {first_magic}",
            )
        position += LOG_OVERHEAD + length
    return position


def _codec_of(message: Message) -> Codec:
    """RecordsRejectedError: zstd, which old formats have not; UNKNOWN_SERVER_ERROR for a number that is no codec."""
    number = message.attributes & CODEC_MASK
    if number == Codec.ZSTD:
        raise RecordsRejectedError(
            ErrorCode.INVALID_RECORD, f"Invalid compression type zstd of a message of magic {message.magic}"
        )
    if number > Codec.ZSTD:
        raise RecordsRejectedError(ErrorCode.UNKNOWN_SERVER_ERROR, f"Unknown compression type id: {number}")
    return Codec(number)


def _refusal(error: CorruptRecordsError) -> RecordsRejectedError:
    unreadable = isinstance(error, UnreadableMessageError)
    return RecordsRejectedError(ErrorCode.UNKNOWN_SERVER_ERROR if unreadable else ErrorCode.CORRUPT_MESSAGE, str(error))


def _too_many() -> RecordsRejectedError:
    return RecordsRejectedError(
        ErrorCode.MESSAGE_TOO_LARGE, f"more than {PACKED_ANEW_LIMIT} messages of an old format at once"
    )


def _inner(wrapper: Message, codec: Codec) -> Iterator[Message]:
    if wrapper.value is None:
        raise RecordsRejectedError(
            ErrorCode.INVALID_RECORD,
            f"Found invalid compressed record set with null value (magic = {wrapper.magic})",
        )
    try:
        unpacked = decompress(codec, wrapper.value, limit=WALKED_WHOLE, magic=wrapper.magic)
    except CorruptRecordsError as error:
        raise RecordsRejectedError(ErrorCode.UNKNOWN_SERVER_ERROR, str(error)) from None
    last_offset = 0
    try:
        for message in iter_messages(unpacked, partial_tail=True):
            if message.attributes & CODEC_MASK:
                raise RecordsRejectedError(
                    ErrorCode.INVALID_RECORD,
                    "Compressed outer record should not have an inner record with a compression attribute set",
                )
            if message.magic != wrapper.magic:
                raise RecordsRejectedError(
                    ErrorCode.INVALID_RECORD, f"a message's magic does not match outer magic {wrapper.magic}"
                )
            last_offset = message.offset
            yield message
    except CorruptRecordsError as error:
        raise _refusal(error) from None
    # 0 is what some old librdkafka wrote.
    if wrapper.magic == 1 and 0 != wrapper.offset < last_offset:
        raise RecordsRejectedError(
            ErrorCode.INVALID_RECORD,
            f"Found invalid wrapper offset in compressed v1 message set, wrapper offset '{wrapper.offset}' is less "
            f"than the last inner message offset '{last_offset}' and it is not zero.",
        )
