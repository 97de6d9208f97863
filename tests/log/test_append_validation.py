"""Kafka 4.3.1's answers to produced records: code, message, record errors, and what is written."""

from __future__ import annotations

import random
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kwire.error_codes import ErrorCode
from kwire.records import (
    HEADER_SIZE,
    BatchHeader,
    Codec,
    RecordBatchBuilder,
    TimestampType,
    compress,
    end_transaction_marker,
    iter_batches,
    read_records,
    verify_crc,
)
from kwire.records.control import ControlType
from kwire.records.crc import crc32c
from kwire.records.varint import encode_varint
from log import append_validation, record_walk
from log.append_errors import RecordsRejectedError
from log.append_validation import AppendOrigin, ValidatedAppend, validate_append, validate_produce
from log.config import LogConfig

NOW = 1_700_000_000_000
HOUR = 3_600_000
CODECS = [codec for codec in Codec if codec is not Codec.NONE]


def batch(
    count: int = 3, *, codec: Codec = Codec.NONE, key: bytes | None = b"k", timestamp: int = NOW, **fields: object
) -> bytearray:
    builder = RecordBatchBuilder(codec=codec, **fields)  # type: ignore[arg-type]
    for index in range(count):
        builder.append(key, b"value %d" % index, timestamp=timestamp + index if timestamp >= 0 else timestamp)
    return builder.build()


def changed(data: bytearray, *, body: bytes | None = None, crc: bool = True, **fields: int) -> bytearray:
    """The batch with other header fields (and body), and by default a CRC that fits."""
    header = BatchHeader.peek(data)
    rest = bytes(data[HEADER_SIZE:]) if body is None else body
    header.batch_length = HEADER_SIZE - 12 + len(rest)
    for name, value in fields.items():
        setattr(header, name, value)
    out = bytearray(header.encode()) + rest
    if crc:
        out[17:21] = crc32c(out[21:]).to_bytes(4, "big")
    return out


def record(
    offset_delta: int,
    timestamp_delta: int = 0,
    *,
    key: bytes | None = b"k",
    value: bytes | None = b"v",
    length: int | None = None,
) -> bytes:
    parts = b"\x00" + encode_varint(timestamp_delta) + encode_varint(offset_delta)
    for field in (key, value):
        parts += b"\x01" if field is None else encode_varint(len(field)) + field
    parts += b"\x00"
    return encode_varint(len(parts) if length is None else length) + parts


def append(
    data: bytes | bytearray,
    *,
    config: LogConfig | None = None,
    offset: int = 100,
    origin: AppendOrigin = AppendOrigin.CLIENT,
    now_ms: int = NOW,
) -> ValidatedAppend:
    return validate_append(memoryview(data), offset, 7, config or LogConfig(), now_ms, origin, partition="topic-0")


def refused(data: bytes | bytearray, code: ErrorCode, **arguments: object) -> RecordsRejectedError:
    with pytest.raises(RecordsRejectedError) as caught:
        append(data, **arguments)  # type: ignore[arg-type]
    assert caught.value.code is code, str(caught.value)
    return caught.value


def check_written(valid: ValidatedAppend) -> list:
    """What is written is a sound batch whose header is the one returned; its records."""
    (header,) = iter_batches(valid.data)
    assert header == valid.header
    assert verify_crc(valid.data, header)
    assert header.partition_leader_epoch == 7
    assert (header.base_offset, header.last_offset) == (valid.first_offset, valid.last_offset)
    return list(read_records(valid.data))


class TestAccepted:
    @pytest.mark.parametrize("codec", list(Codec))
    def test_in_place(self, codec: Codec) -> None:
        data = batch(codec=codec)
        before = bytes(data)
        valid = append(data)
        assert valid.data.obj is data  # type: ignore[union-attr]
        assert (valid.first_offset, valid.last_offset, valid.record_count) == (100, 102, 3)
        assert (valid.max_timestamp, valid.offset_of_max_timestamp) == (NOW + 2, 102)
        assert valid.log_append_time_ms == -1
        assert not valid.packed_anew
        assert before[21:] == bytes(data[21:])
        assert [(one.offset, one.value) for one in check_written(valid)] == [
            (100 + i, b"value %d" % i) for i in range(3)
        ]

    def test_read_only_memory_is_copied(self) -> None:
        data = bytes(batch())
        valid = append(data)
        check_written(valid)
        assert BatchHeader.peek(data).base_offset == 0

    @pytest.mark.parametrize("codec", list(Codec))
    @pytest.mark.parametrize("lie", [-1, 0, NOW - 5, NOW + 10 * HOUR])
    def test_max_timestamp_that_lies_is_put_right(self, codec: Codec, lie: int) -> None:
        valid = append(changed(batch(codec=codec), max_timestamp=lie))
        check_written(valid)
        assert valid.header.max_timestamp == valid.max_timestamp == NOW + 2

    def test_unknown_attribute_bit_goes_with_a_new_crc_only(self) -> None:
        data = changed(batch(), attributes=0x80)
        assert append(data).header.attributes == 0x80
        data = changed(batch(), attributes=0x80, max_timestamp=1)
        assert append(data).header.attributes == 0
        check_written(append(changed(batch(), attributes=0x80, max_timestamp=1)))

    def test_append_time_bit_on_a_create_time_topic(self) -> None:
        data = changed(batch(), attributes=0x08)
        valid = append(data)
        assert valid.header.timestamp_type is TimestampType.CREATE_TIME
        assert valid.max_timestamp == NOW + 2
        check_written(valid)

    @pytest.mark.parametrize("timestamp", [-1, -2])
    def test_negative_timestamps(self, timestamp: int) -> None:
        valid = append(changed(batch(), base_timestamp=timestamp, body=record(0) + record(1) + record(2)))
        assert (valid.max_timestamp, valid.offset_of_max_timestamp) == (-1, -1)
        assert valid.header.max_timestamp == -1
        check_written(valid)

    def test_leader_epoch_and_plain_offset_deltas_are_not_looked_at(self) -> None:
        data = changed(batch(2), partition_leader_epoch=99, body=record(0) + record(5))
        valid = append(data)
        assert (valid.first_offset, valid.last_offset) == (100, 101)
        assert valid.header.partition_leader_epoch == 7

    def test_tombstone_on_a_compacted_topic(self) -> None:
        data = changed(batch(1), body=record(0, value=None))
        append(data, config=LogConfig(cleanup_policy=("compact",)))

    def test_header_ten_hours_ahead_with_records_now(self) -> None:
        valid = append(changed(batch(), max_timestamp=NOW + 10 * HOUR))
        assert valid.max_timestamp == NOW + 2

    def test_record_attributes_are_not_looked_at(self) -> None:
        body = bytearray(record(0))
        body[1] = 0xFF
        append(changed(batch(1), body=bytes(body)))

    def test_largest_message(self) -> None:
        builder = RecordBatchBuilder()
        builder.append(None, b"x" * (1_048_588 - HEADER_SIZE - 11), timestamp=NOW)
        data = builder.build()
        assert len(data) == 1_048_588
        append(data)
        assert refused(
            changed(data, base_offset=0, body=record(0, value=b"x" * 1_048_516)), ErrorCode.MESSAGE_TOO_LARGE
        )

    def test_trailing_part_of_a_batch_is_cut_off(self) -> None:
        data = batch()
        for extra in (
            b"\x00",
            bytes(11),
            bytes(8) + b"\x00\x00\x00\x40",
            bytes(8) + b"\x00\x00\x00\x40" + bytes(4) + b"\x02",
        ):
            valid = append(data + extra)
            assert len(valid.data) == len(data)
            check_written(valid)

    @pytest.mark.parametrize("codec", CODECS)
    def test_length_in_a_kept_compressed_batch_is_not_compared(self, codec: Codec) -> None:
        """Kafka skims these records, without looking at their length fields; but it looks at the end."""
        body = compress(codec, record(0, length=3) + record(1, length=90))
        valid = append(changed(batch(2, codec=codec), body=body))
        assert valid.last_offset == 101

    @pytest.mark.parametrize("codec", CODECS)
    def test_a_small_batch_that_unpacks_to_very_much(self, codec: Codec, monkeypatch: pytest.MonkeyPatch) -> None:
        """Walked piece by piece, in little memory; zstd at once."""
        monkeypatch.setattr(append_validation, "WALKED_WHOLE", 1_000_000)
        size = 8_000_000
        body = compress(codec, record(0) + record(1, 5, key=None, value=bytes(size)) + record(2))
        data = changed(batch(3, codec=codec), body=body)
        config = LogConfig(max_message_bytes=len(data) + 100)
        tracemalloc.start()
        try:
            valid = append(data, config=config)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert valid.max_timestamp == NOW + 5
        assert peak < 5_000_000 or codec is Codec.ZSTD
        check_written(valid)
        short = compress(codec, record(0) + record(1, key=None, value=bytes(size)) + record(2)[:-1])
        refused(changed(data, base_offset=0, body=short), ErrorCode.INVALID_RECORD, config=config)
        longer = compress(codec, record(0) + record(1, key=None, value=bytes(size)) + record(2) + b"\x00")
        refused(changed(data, base_offset=0, body=longer), ErrorCode.INVALID_RECORD, config=config)
        cut = changed(data, base_offset=0, body=body[: len(body) // 2])
        refused(cut, ErrorCode.UNKNOWN_SERVER_ERROR, config=config)


class TestBombs:
    """Little to send, much to look at: refused with the code on which a Java producer splits its batch."""

    @pytest.mark.parametrize("codec", CODECS)
    def test_more_records_than_are_looked_at_one_by_one(self, codec: Codec, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(record_walk, "STEPS_LIMIT", 1000)
        body = compress(codec, record(0) * 2000)  # each says that it is the first
        refused(changed(batch(2000, codec=codec), body=body), ErrorCode.MESSAGE_TOO_LARGE)
        lies = changed(
            batch(codec=codec), body=compress(codec, record(0) * 3), record_count=2000, last_offset_delta=1999
        )
        refused(lies, ErrorCode.INVALID_RECORD)

    @pytest.mark.parametrize("codec", list(Codec))
    @pytest.mark.parametrize("whole", [True, False])
    def test_more_headers(self, codec: Codec, whole: bool, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(record_walk, "STEPS_LIMIT", 5000)
        monkeypatch.setattr(append_validation, "WALKED_WHOLE", 1 << 20 if whole else 1000)
        headers = encode_varint(5001) + b"\x00\x01" * 5001
        one = b"\x00\x00\x00\x01\x01" + headers
        body = compress(codec, encode_varint(len(one)) + one)
        refused(changed(batch(1, codec=codec), body=body), ErrorCode.MESSAGE_TOO_LARGE)
        few = record(0)[:-1] + encode_varint(5001) + b"\x00\x01"
        body = compress(codec, bytes((len(few) - 1 << 1,)) + few[1:])
        refused(changed(batch(1, codec=codec), body=body), ErrorCode.INVALID_RECORD)

    @pytest.mark.parametrize("codec", CODECS)
    def test_more_bytes(self, codec: Codec, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(append_validation, "WALKED_WHOLE", 100_000)
        monkeypatch.setattr(append_validation, "UNPACKED_LIMIT", 1_000_000)
        body = compress(codec, record(0, value=bytes(1_500_000)))
        refused(changed(batch(1, codec=codec), body=body), ErrorCode.MESSAGE_TOO_LARGE)

    @pytest.mark.parametrize("codec", list(Codec))
    @pytest.mark.parametrize(("count", "headers"), [(1001, 0), (20, 50)])
    def test_more_to_pack_anew(self, codec: Codec, count: int, headers: int, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(append_validation, "PACKED_ANEW_LIMIT", 1000)
        builder = RecordBatchBuilder(codec=codec)
        for _ in range(count):
            builder.append(None, b"v", timestamp=NOW, headers=[("h", None)] * headers)
        other = LogConfig(compression_type="gzip" if codec is Codec.ZSTD else "zstd")
        refused(builder.build(), ErrorCode.MESSAGE_TOO_LARGE, config=other)

    def test_more_errors_than_are_told(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(record_walk, "ERRORS_TOLD", 10)
        error = refused(batch(50, key=None), ErrorCode.INVALID_RECORD, config=LogConfig(cleanup_policy=("compact",)))
        assert [index for index, _ in error.record_errors] == [*range(10)]
        assert "50 record errors in total" in error.reason


class TestRefused:
    def test_crc(self) -> None:
        data = batch()
        data[-1] ^= 1
        error = refused(data, ErrorCode.CORRUPT_MESSAGE)
        assert error.message is None
        assert not error.carries_log_start_offset
        refused(changed(batch(), crc=False, max_timestamp=5), ErrorCode.CORRUPT_MESSAGE)

    @pytest.mark.parametrize(
        "fields",
        [
            {"record_count": 4},
            {"record_count": 0},
            {"record_count": -1},
            {"last_offset_delta": 5},
            {"last_offset_delta": -1},
            {"base_offset": 1},
            {"attributes": 0x20},
        ],
    )
    def test_header(self, fields: dict[str, int]) -> None:
        error = refused(changed(batch(), **fields), ErrorCode.INVALID_RECORD)
        assert error.carries_log_start_offset
        assert error.record_errors == []
        assert error.message is None

    def test_producer_id_without_sequence(self) -> None:
        refused(batch(producer_id=5, producer_epoch=0), ErrorCode.INVALID_RECORD)
        append(batch(producer_id=5, producer_epoch=0, base_sequence=0))

    def test_unknown_codec(self) -> None:
        for codec in (5, 6, 7):
            refused(changed(batch(), attributes=codec), ErrorCode.UNKNOWN_SERVER_ERROR)

    @pytest.mark.parametrize("codec", CODECS)
    def test_bytes_the_codec_cannot_read(self, codec: Codec) -> None:
        refused(changed(batch(), attributes=int(codec)), ErrorCode.UNKNOWN_SERVER_ERROR)
        good = batch(codec=codec)
        refused(changed(good, body=bytes(good[HEADER_SIZE:-5])), ErrorCode.UNKNOWN_SERVER_ERROR)

    @pytest.mark.parametrize("codec", list(Codec))
    def test_record_ahead_of_time(self, codec: Codec) -> None:
        body = record(0) + record(1, 10 * HOUR) + record(2) + record(3, 11 * HOUR)
        data = changed(batch(4, codec=codec), body=compress(codec, body), max_timestamp=NOW)
        error = refused(data, ErrorCode.INVALID_TIMESTAMP)
        assert error.message == "One or more records have been rejected due to invalid timestamp"
        assert [index for index, _ in error.record_errors] == [1, 3]
        assert error.record_errors[0][1] == (
            f"Timestamp {NOW + 10 * HOUR} of message with offset 1 is out of range. The timestamp should be within "
            f"[{NOW - (2**63 - 1)}, {NOW + HOUR}]"
        )
        assert error.carries_log_start_offset

    def test_bounds_of_timestamps(self) -> None:
        config = LogConfig(message_timestamp_before_max_ms=1000, message_timestamp_after_max_ms=10)
        for timestamp, fine in (
            (NOW - 1000, True),
            (NOW - 1001, False),
            (NOW + 10, True),
            (NOW + 11, False),
            (-1, True),
            (-2, False),
        ):
            data = changed(batch(1), base_timestamp=timestamp, body=record(0))
            if fine:
                append(data, config=config)
            else:
                refused(data, ErrorCode.INVALID_TIMESTAMP, config=config)

    @pytest.mark.parametrize("codec", list(Codec))
    def test_null_key_on_a_compacted_topic(self, codec: Codec) -> None:
        data = changed(batch(3, codec=codec), body=compress(codec, record(0) + record(1, key=None) + record(2)))
        error = refused(data, ErrorCode.INVALID_RECORD, config=LogConfig(cleanup_policy=("compact", "delete")))
        text = "Compacted topic cannot accept message without key in topic partition topic-0"
        assert error.record_errors == [(1, text)]
        assert error.message == (
            "One or more records have been rejected due to 1 record errors in total, and only showing the first three "
            f"errors at most: [RecordError(batchIndex=1, message='{text}')]"
        )
        append(data)

    def test_timestamp_outweighs_key(self) -> None:
        body = record(0, key=None) + record(1, 10 * HOUR)
        error = refused(
            changed(batch(2), body=body), ErrorCode.INVALID_TIMESTAMP, config=LogConfig(cleanup_policy=("compact",))
        )
        assert [index for index, _ in error.record_errors] == [0, 1]

    @pytest.mark.parametrize("codec", CODECS)
    def test_offsets_that_do_not_follow_in_a_compressed_batch(self, codec: Codec) -> None:
        body = compress(codec, record(0) + record(5))
        refused(changed(batch(2, codec=codec), body=body), ErrorCode.UNKNOWN_SERVER_ERROR)
        valid = append(changed(batch(2, codec=codec), body=body), config=LogConfig(compression_type="uncompressed"))
        assert [one.offset for one in check_written(valid)] == [100, 101]

    @pytest.mark.parametrize("codec", CODECS)
    def test_more_records_than_the_count(self, codec: Codec) -> None:
        body = record(0) + record(1) + record(2)
        refused(changed(batch(2, codec=codec), body=compress(codec, body)), ErrorCode.INVALID_RECORD)
        refused(changed(batch(2), body=body), ErrorCode.INVALID_RECORD)
        refused(changed(batch(3, codec=codec), body=compress(codec, body[:-1])), ErrorCode.INVALID_RECORD)

    def test_a_length_that_lies(self) -> None:
        for length in (0, 3, 7, 9, 127, -1, -2, 2**31 - 1):
            refused(changed(batch(1), body=record(0, length=length)), ErrorCode.INVALID_RECORD)
        refused(changed(batch(1), body=b"\xff\xff\xff\xff\xff" + record(0)[1:]), ErrorCode.UNKNOWN_SERVER_ERROR)

    def test_append_time_bit_on_an_append_time_topic(self) -> None:
        data = changed(batch(2), attributes=0x08)
        error = refused(data, ErrorCode.INVALID_TIMESTAMP, config=LogConfig(message_timestamp_type="LogAppendTime"))
        assert error.record_errors[0] == (
            0,
            f"Invalid timestamp type in message DefaultRecord(offset=0, timestamp={NOW + 1}, key=1 bytes, "
            "value=7 bytes). Producer should not set timestamp type to LogAppendTime.",
        )

    def test_header_of_fewer_bytes(self) -> None:
        for size, code in (
            (26, ErrorCode.UNKNOWN_SERVER_ERROR),
            (27, ErrorCode.CORRUPT_MESSAGE),
            (60, ErrorCode.CORRUPT_MESSAGE),
        ):
            data = bytearray(batch()[:size])
            data[8:12] = (size - 12).to_bytes(4, "big")
            refused(data, code)

    def test_two_batches(self) -> None:
        refused(batch() + batch(), ErrorCode.INVALID_RECORD)
        refused(b"", ErrorCode.INVALID_RECORD)
        refused(batch()[:-1], ErrorCode.INVALID_RECORD)


class TestTopicSettings:
    @pytest.mark.parametrize("codec", list(Codec))
    def test_append_time(self, codec: Codec) -> None:
        config = LogConfig(message_timestamp_type="LogAppendTime")
        data = changed(batch(codec=codec), base_timestamp=NOW + 90 * HOUR)
        valid = append(data, config=config, now_ms=NOW + 50)
        assert valid.log_append_time_ms == valid.max_timestamp == valid.header.max_timestamp == NOW + 50
        assert valid.offset_of_max_timestamp == 102
        assert valid.header.timestamp_type is TimestampType.LOG_APPEND_TIME
        assert {one.timestamp for one in check_written(valid)} == {NOW + 50}

    @pytest.mark.parametrize("source", list(Codec))
    @pytest.mark.parametrize("target", ["uncompressed", "gzip", "snappy", "lz4", "zstd"])
    def test_codec_of_the_topic(self, source: Codec, target: str) -> None:
        data = batch(50, codec=source, producer_id=9, producer_epoch=2, base_sequence=4)
        wanted = Codec.NONE if target == "uncompressed" else Codec[target.upper()]
        valid = append(data, config=LogConfig(compression_type=target))
        assert valid.header.codec is wanted
        assert valid.packed_anew == (wanted is not source)
        assert (valid.header.producer_id, valid.header.producer_epoch, valid.header.base_sequence) == (9, 2, 4)
        assert [(one.offset, one.timestamp, one.value) for one in check_written(valid)] == [
            (100 + i, NOW + i, b"value %d" % i) for i in range(50)
        ]
        assert (valid.max_timestamp, valid.offset_of_max_timestamp) == (NOW + 49, 149)

    def test_size_after_packing_anew(self) -> None:
        data = batch(200, codec=Codec.GZIP)
        config = LogConfig(compression_type="uncompressed", max_message_bytes=len(data) + 100)
        refused(data, ErrorCode.MESSAGE_TOO_LARGE, config=config)

    def test_negative_timestamp_cannot_be_packed_anew(self) -> None:
        data = changed(batch(1), base_timestamp=-2, body=record(0))
        refused(data, ErrorCode.UNKNOWN_SERVER_ERROR, config=LogConfig(compression_type="gzip"))


class TestOrigins:
    def test_coordinator_marker(self) -> None:
        data = end_transaction_marker(
            ControlType.COMMIT, producer_id=1, producer_epoch=0, coordinator_epoch=3, timestamp=NOW
        )
        refused(data, ErrorCode.INVALID_RECORD)
        valid = append(data, origin=AppendOrigin.COORDINATOR, config=LogConfig(compression_type="lz4"))
        assert valid.header.is_control
        assert valid.header.codec is Codec.NONE
        check_written(valid)

    def test_raft_leader(self) -> None:
        config = LogConfig(max_message_bytes=10)
        refused(batch(), ErrorCode.INVALID_RECORD, origin=AppendOrigin.RAFT_LEADER, config=config)
        valid = append(batch(partition_leader_epoch=7, base_offset=100), origin=AppendOrigin.RAFT_LEADER, config=config)
        check_written(valid)


class TestProduceRequests:
    @pytest.mark.parametrize(
        ("records", "version", "code", "message"),
        [
            (b"", 9, 87, "Produce requests with version 9 must have at least one record batch per partition"),
            (None, 9, 87, "Produce requests with version 9 must have at least one record batch per partition"),
            (
                bytes(batch()[:-1]),
                9,
                87,
                "Produce requests with version 9 must have at least one record batch per partition",
            ),
            (
                bytes(batch() + batch()),
                3,
                87,
                "Produce requests with version 3 are only allowed to contain exactly one record batch per partition",
            ),
            (bytes(12), 9, 2, "Record size 0 is less than the minimum record overhead (14)"),
            (bytes(changed(batch(), magic=3)), 9, 2, "Invalid magic found in record: 3"),
            (bytes(changed(batch(), magic=-1)), 9, 2, "Invalid magic found in record: -1"),
            (
                bytes(changed(batch(), magic=1)),
                9,
                87,
                "Produce requests with version 9 are only allowed to contain record batches with magic version 2",
            ),
            (
                bytes(batch(codec=Codec.ZSTD)),
                6,
                76,
                "Produce requests with version 6 are not allowed to use ZStandard compression",
            ),
        ],
    )
    def test_refused(self, records: bytes | None, version: int, code: int, message: str) -> None:
        with pytest.raises(RecordsRejectedError) as caught:
            validate_produce(version, None if records is None else memoryview(records))
        assert (caught.value.code, caught.value.message) == (code, message)

    def test_fine(self) -> None:
        validate_produce(7, memoryview(batch(codec=Codec.ZSTD)))
        validate_produce(3, memoryview(batch()))


@given(st.data())
def test_any_damage_is_refused_or_harmless(data: st.DataObject) -> None:
    """Bytes changed anywhere, with a CRC that fits: an answer from the list, or a batch that reads."""
    random.seed(0)
    codec = data.draw(st.sampled_from(list(Codec)))
    good = batch(data.draw(st.sampled_from([1, 3, 40])), codec=codec, key=data.draw(st.sampled_from([None, b"k"])))
    for _ in range(data.draw(st.integers(1, 4))):
        good[data.draw(st.integers(12, len(good) - 1))] = data.draw(st.integers(0, 255))
    if len(good) >= HEADER_SIZE:
        good[17:21] = crc32c(good[21:]).to_bytes(4, "big")
    config = LogConfig(compression_type=data.draw(st.sampled_from(["producer", "gzip", "uncompressed"])))
    try:
        valid = append(good, config=config)
    except RecordsRejectedError as error:
        assert error.code in (87, 2, 32, 10, -1)  # noqa: PT017
    else:
        (header,) = iter_batches(valid.data)
        assert verify_crc(valid.data, header)


@given(st.data())
def test_any_cut_is_refused(data: st.DataObject) -> None:
    good = batch(5, codec=data.draw(st.sampled_from(list(Codec))))
    with pytest.raises(RecordsRejectedError):
        append(good[: data.draw(st.integers(0, len(good) - 1))])
