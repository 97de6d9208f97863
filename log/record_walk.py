"""The walk over the records of one batch that an append makes  (Kafka: LogValidator, DefaultRecord).

Every record is looked at: that its fields fill exactly what it says, that it has a key where the topic is compacted,
that its timestamp is within the topic's bounds; and the largest timestamp is found. Kafka reads the records in three
ways that differ in what they notice, so `Framing` names them:

- PLAIN: an uncompressed batch. Each record's fields must fill its length.
- SKIMMED: a compressed batch kept as it is. A record's length is read and not compared with anything.
- FULL: a compressed batch that will be packed anew. As PLAIN, but a bad length varint is an invalid record too.

This module is the plain, exact loop. `log.record_runs` answers the same for batches of regular shape at a fraction of
the cost, and gives up (None) wherever this loop might find something to say.
"""

from collections.abc import Iterator
from enum import Enum
from typing import Final

from attrs import define, field

from kwire.error_codes import ErrorCode
from kwire.records.varint import read_varint, read_varlong, wrap_int64
from log.append_errors import RecordError, RecordsRejectedError

NO_TIMESTAMP: Final = -1
STEPS_LIMIT = 1 << 18
"""Records and headers of one batch that are looked at one by one: a second or two. A few KB can unpack to a hundred
times as many, and nobody else would be served meanwhile."""
ERRORS_TOLD = 10_000
"""Record errors of one batch that are told one by one; the others are counted. Each takes a hundred times the room of
the compressed record it is about."""
_ENDLESS: Final = 1 << 63
_TOO_MANY: Final = "the batch has more records and headers than are looked at one by one"


class Framing(Enum):
    PLAIN = "plain"
    SKIMMED = "skimmed"
    FULL = "full"


@define(slots=True, frozen=True)
class WalkRules:
    """What to hold the records against.

    `base_offset` and `base_timestamp` are the batch header's; `append_time` its max timestamp where the header says
    that its timestamps are append times, else None. `create_time` says that the topic's are the producer's: then
    they must lie within the two distances from now, or be -1.
    """

    partition: str
    base_offset: int
    base_timestamp: int
    append_time: int | None
    require_keys: bool
    create_time: bool
    now_ms: int
    before_max_ms: int
    after_max_ms: int


@define(slots=True)
class Walk:
    """What the walk found: the largest timestamp (-1 without any), whether each offset is base offset plus index."""

    max_timestamp: int = NO_TIMESTAMP
    offsets_follow: bool = True
    errors: list[RecordError] = field(factory=list)
    """The first of them, at most ERRORS_TOLD; `errors_found` counts all."""
    errors_found: int = 0
    invalid_timestamps: bool = False
    """Whether any of the errors is about a timestamp: it then names the refusal."""

    def add_error(self, index: int, message: str) -> None:
        self.errors_found += 1
        if self.errors_found <= ERRORS_TOLD:
            self.errors.append((index, message))


def invalid_record(reason: str) -> RecordsRejectedError:
    return RecordsRejectedError(ErrorCode.INVALID_RECORD, reason)


def too_much(reason: str) -> RecordsRejectedError:
    """Kafka would take the time. A Java producer that is told so splits its batch and sends it again."""
    return RecordsRejectedError(ErrorCode.MESSAGE_TOO_LARGE, reason)


class ForwardBytes:
    """Bytes that come in chunks, by position; what is behind the last chunk asked for is forgotten.

    So a batch that unpacks to very much is walked in little memory, as long as positions only rise. More than `limit`
    bytes are MESSAGE_TOO_LARGE.
    """

    __slots__ = ("_chunk", "_chunks", "_end", "_limit", "_start")

    def __init__(self, chunks: Iterator[bytes | bytearray | memoryview], limit: int) -> None:
        self._chunks = chunks
        self._limit = limit
        self._chunk: bytes | bytearray | memoryview = b""
        self._start = 0
        self._end = 0

    def __getitem__(self, position: int) -> int:
        while position >= self._end:
            chunk = next(self._chunks, None)
            if chunk is None:
                raise IndexError(position)
            self._chunk = chunk
            self._start = self._end
            self._grow(chunk)
        return self._chunk[position - self._start]

    def _grow(self, chunk: bytes | bytearray | memoryview) -> None:
        self._end += len(chunk)
        if self._end > self._limit:
            raise too_much(f"the batch unpacks to more than {self._limit} bytes")

    def total(self) -> int:
        """How many bytes there are in all."""
        for chunk in self._chunks:
            self._grow(chunk)
        return self._end


def walk_records(
    data: bytes | bytearray | memoryview | ForwardBytes, count: int, rules: WalkRules, framing: Framing
) -> Walk:
    """Walk `count` records that fill `data`, one after the other. `ForwardBytes` only with SKIMMED.

    Errors that concern a single record's key or timestamp are collected; the walk goes on behind them.

    RecordsRejectedError: INVALID_RECORD for records that do not add up; UNKNOWN_SERVER_ERROR for the one damage that
    Kafka answers so, a length varint of PLAIN that is too long; MESSAGE_TOO_LARGE beyond STEPS_LIMIT.
    """
    walk = Walk()
    size = _ENDLESS if isinstance(data, ForwardBytes) else len(data)
    position = 0
    base_timestamp = rules.base_timestamp
    append_time = rules.append_time
    skimmed = framing is Framing.SKIMMED
    most = STEPS_LIMIT
    for index in range(count):
        if index >= most:
            raise too_much(_TOO_MANY)
        try:
            length, start = read_varint(data, position)
        except IndexError:
            raise invalid_record("Incorrect declared batch size, premature EOF reached") from None
        except ValueError as error:
            if framing is Framing.PLAIN:
                raise RecordsRejectedError(ErrorCode.UNKNOWN_SERVER_ERROR, str(error)) from None
            raise invalid_record("Incorrect declared batch size, premature EOF reached") from None
        if not skimmed and (length < 0 or size - start < length):
            raise invalid_record(
                f"Invalid record size: expected {length} bytes in record payload, but instead the buffer has only "
                f"{size - start} remaining bytes."
            )
        try:
            delta, position = read_varlong(data, start + 1)
            offset_delta, position = read_varint(data, position)
            key_size, position = read_varint(data, position)
            if key_size > 0:
                position += key_size
            value_size, position = read_varint(data, position)
            if value_size > 0:
                position += value_size
            headers, position = read_varint(data, position)
            if headers:
                if headers < 0:
                    raise invalid_record(f"Found invalid number of record headers {headers}")
                if not skimmed and headers > size - position:
                    raise invalid_record(
                        f"Found invalid number of record headers. {headers} is larger than the "
                        "remaining size of the buffer"
                    )
                if headers * 2 > size - position:  # the least they take
                    raise invalid_record("Found invalid record structure")
                most -= headers
                if index >= most:
                    raise too_much(_TOO_MANY)
                position = _skip_headers(data, position, headers, size)
        except (IndexError, ValueError):
            raise invalid_record("Found invalid record structure") from None
        if skimmed:
            if position > size:
                raise invalid_record("Reached end of input stream before skipping all bytes.")
        elif position - start != length:
            raise invalid_record(
                f"Invalid record size: expected to read {length} bytes in record payload, but instead read "
                f"{position - start}"
            )

        timestamp = wrap_int64(base_timestamp + delta) if append_time is None else append_time
        offset = wrap_int64(rules.base_offset + offset_delta)
        if rules.require_keys and key_size < 0:
            walk.add_error(
                index, f"Compacted topic cannot accept message without key in topic partition {rules.partition}"
            )
        elif message := _timestamp_error(rules, timestamp, offset, key_size, value_size, skimmed):
            walk.add_error(index, message)
            walk.invalid_timestamps = True
        elif offset != index:
            walk.offsets_follow = False
        if timestamp > walk.max_timestamp:
            walk.max_timestamp = timestamp
    if isinstance(data, ForwardBytes):
        size = data.total()
    if position != size and count:
        raise invalid_record("Incorrect declared batch size, records still remaining in file")
    return walk


def _skip_headers(data: bytes | bytearray | memoryview | ForwardBytes, position: int, count: int, size: int) -> int:
    for _ in range(count):
        key_size, position = read_varint(data, position)
        if key_size < 0:
            raise invalid_record(f"Invalid negative header key size {key_size}")
        value_size, position = read_varint(data, position + key_size)
        if value_size > 0:
            position += value_size
        if position > size:
            raise invalid_record("Found invalid record structure")
    return position


def _timestamp_error(
    rules: WalkRules, timestamp: int, offset: int, key_size: int, value_size: int, skimmed: bool
) -> str | None:
    if rules.create_time and timestamp != NO_TIMESTAMP:
        difference = wrap_int64(rules.now_ms - timestamp)
        if difference > rules.before_max_ms or -difference > rules.after_max_ms:
            return (
                f"Timestamp {timestamp} of message with offset {offset} is out of range. The timestamp should be "
                f"within [{wrap_int64(rules.now_ms - rules.before_max_ms)}, "
                f"{wrap_int64(rules.now_ms + rules.after_max_ms)}]"
            )
    elif rules.append_time is not None:
        name = "PartialDefaultRecord"
        if not skimmed:
            name = "DefaultRecord"
            key_size, value_size = max(key_size, 0), max(value_size, 0)
        return (
            f"Invalid timestamp type in message {name}(offset={offset}, timestamp={timestamp}, "
            f"key={key_size} bytes, value={value_size} bytes). "
            "Producer should not set timestamp type to LogAppendTime."
        )
    return None
