"""Message sets into batches and back, by what LogValidator and RecordsUtil say."""

from __future__ import annotations

import contextlib
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.personality.down_conversion import BYTES_AT_ONCE, RECORDS_AT_ONCE, Budget, down_converted
from broker.personality.fetch import convert
from broker.personality.up_conversion import converted
from kwire.error_codes import ErrorCode
from kwire.errors import ApiError
from kwire.messages.fetch import FetchableTopicResponse, FetchResponse, PartitionData
from kwire.records import RecordBatchBuilder, read_records
from kwire.records.batch import BatchHeader, TimestampType
from kwire.records.compression import Codec
from kwire.records.legacy import iter_messages, read_message_set, write_message_set
from kwire.records.record import Record
from log.append_errors import RecordsRejectedError
from log.append_validation import validate_append
from log.config import LogConfig
from log.storage import FileRange

OLD_CODECS = [Codec.NONE, Codec.GZIP, Codec.SNAPPY, Codec.LZ4]
blobs = st.none() | st.binary(max_size=40)
timestamps = st.just(-1) | st.integers(min_value=0, max_value=2**40)
entries = st.lists(st.tuples(timestamps, blobs, blobs), min_size=1, max_size=12)


def message_set(found: list[tuple[int, bytes | None, bytes | None]], magic: int, codec: Codec, base: int = 0) -> bytes:
    records = [Record(base + at, time, key, value) for at, (time, key, value) in enumerate(found)]
    return write_message_set(records, magic=magic, codec=codec)


@given(entries, st.sampled_from([0, 1]), st.sampled_from(OLD_CODECS), st.integers(0, 2**40))
def test_what_was_sent_is_in_the_batch(
    found: list[tuple[int, bytes | None, bytes | None]], magic: int, codec: Codec, base: int
) -> None:
    batch = converted(memoryview(message_set(found, magic, codec, base)), 1 << 20)
    assert batch is not None
    header = BatchHeader.peek(batch)
    assert (header.base_offset, header.record_count, header.codec) == (0, len(found), codec)
    times = [time if magic else -1 for time, _, _ in found]
    assert [(each.offset, each.timestamp, each.key, each.value) for each in read_records(batch)] == [
        (at, time, key, value) for at, (time, (_, key, value)) in enumerate(zip(times, found, strict=True))
    ]
    # And the append has nothing to say against it.
    validated = validate_append(memoryview(batch), 7, 0, LogConfig(), 2**40, partition="t-0")
    assert (validated.first_offset, validated.record_count) == (7, len(found))


@given(st.binary(max_size=200), st.integers(0, 200))
def test_any_bytes_are_converted_or_refused(noise: bytes, at: int) -> None:
    good = message_set([(5, b"k", b"v"), (6, None, b"w")], 1, Codec.GZIP)
    for data in (noise, good[:at] + noise + good[at:], good[:at] + noise):
        view = memoryview(data)
        if len(view) > 16 and view[16] == 2:
            continue
        with contextlib.suppress(RecordsRejectedError):
            converted(view, 1 << 20)


def stored(base: int, *values: bytes, codec: Codec = Codec.NONE, control: bool = False, append_time: int = -1) -> bytes:
    kind = TimestampType.LOG_APPEND_TIME if append_time >= 0 else TimestampType.CREATE_TIME
    builder = RecordBatchBuilder(
        base_offset=base, codec=codec, control=control, timestamp_type=kind, log_append_time=append_time
    )
    for at, value in enumerate(values):
        builder.append(b"k", value, timestamp=base + at, headers=[("h", b"x")])
    return bytes(builder.build())


def read(data: bytes) -> list[tuple[int, int, bytes | None]]:
    return [(record.offset, record.timestamp, record.value) for record in read_message_set(data)]


@given(entries, st.sampled_from([0, 1]), st.sampled_from(OLD_CODECS), st.integers(0, 2**40))
def test_down_converted_and_read(
    found: list[tuple[int, bytes | None, bytes | None]], magic: int, codec: Codec, base: int
) -> None:
    builder = RecordBatchBuilder(base_offset=base, codec=codec)
    for time, key, value in found:
        builder.append(key, value, timestamp=time, headers=[("h", b"x")])
    data = down_converted(bytes(builder.build()), magic, base, Budget())
    assert {message.magic for message in iter_messages(data)} == {magic}
    assert [(each.offset, each.timestamp, each.key, each.value) for each in read_message_set(data)] == [
        (base + at, time if magic else -1, key, value) for at, (time, key, value) in enumerate(found)
    ]


@pytest.mark.parametrize("magic", [0, 1])
def test_control_batches_are_left_out_and_the_cut_end_too(magic: int) -> None:
    data = stored(0, b"a") + stored(1, b"marker", control=True) + stored(2, b"b", b"c") + stored(4, b"d")[:-1]
    told = read(down_converted(data, magic, 0, Budget()))
    assert told == [(at, at if magic else -1, value) for at, value in ((0, b"a"), (2, b"b"), (3, b"c"))]
    assert down_converted(stored(1, b"marker", control=True), magic, 1, Budget()) == b""


def test_records_below_the_offset_asked_for() -> None:
    plain, packed = stored(0, b"a", b"b"), stored(0, b"a", b"b", codec=Codec.GZIP)
    assert [offset for offset, _, _ in read(down_converted(plain, 1, 1, Budget()))] == [1]
    assert [offset for offset, _, _ in read(down_converted(packed, 1, 1, Budget()))] == [0, 1]
    assert down_converted(plain, 1, 2, Budget()) == b""  # what was there has been compacted away


def test_append_times() -> None:
    data = down_converted(stored(0, b"a", b"b", codec=Codec.GZIP, append_time=99), 1, 0, Budget())
    assert read(data) == [(0, 99, b"a"), (1, 99, b"b")]
    assert down_converted(stored(0, b"a", append_time=99), 0, 0, Budget())[16:18] == b"\x00\x00"


def test_zstd_ends_the_answer_or_is_refused() -> None:
    data = stored(0, b"a") + stored(1, b"b", codec=Codec.ZSTD) + stored(2, b"c")
    assert read(down_converted(data, 1, 0, Budget())) == [(0, 0, b"a")]
    with pytest.raises(ApiError) as refused:
        down_converted(stored(1, b"b", codec=Codec.ZSTD), 1, 1, Budget())
    assert refused.value.code is ErrorCode.UNSUPPORTED_COMPRESSION_TYPE


def test_work_is_bounded_and_goes_on_with_the_next_request() -> None:
    data = b"".join(stored(3 * number, b"a", b"b", b"c") for number in range(10))
    budget = Budget(records=7)
    assert [offset for offset, _, _ in read(down_converted(data, 1, 0, budget))] == [*range(6)]
    assert down_converted(data, 1, 0, budget) == b""  # the next partition waits for its turn
    assert len(read(down_converted(data, 1, 0, Budget(records=1)))) == 3  # a first batch is given whatever its size
    assert len(read(down_converted(data, 1, 0, Budget(size_bytes=1)))) == 3


class Held:
    """An open file that is only read."""

    fd = -1

    def __init__(self, data: bytes) -> None:
        self.data = data

    def pread(self, size: int, position: int) -> bytes:
        return self.data[position : position + size]


def answer_of(data: bytes, partitions: int) -> FetchResponse:
    held: Any = Held(data)
    found = [
        PartitionData(partition_index=index, high_watermark=9, records=cast(Any, FileRange(held, 0, len(data))))
        for index in range(partitions)
    ]
    return FetchResponse(responses=[FetchableTopicResponse(topic="t", partitions=found)])


def test_partitions_take_turns_to_be_first_where_work_is_bounded() -> None:
    batch = b"".join(stored(base, *[b"v"] * 2_000, codec=Codec.GZIP) for base in range(0, 2 * RECORDS_AT_ONCE, 2_000))
    wanted = {("t", index): (0, 1 << 20) for index in range(3)}
    for turn in range(3):
        answer = convert(answer_of(batch, 3), 3, wanted, turn, lambda topic: True)
        given_to = [each.partition_index for each in answer.responses[0].partitions if each.records]
        assert given_to == [turn]


@pytest.mark.parametrize("version", [0, 3])
def test_a_topic_that_may_not_be_converted(version: int) -> None:
    answer = convert(answer_of(stored(0, b"a"), 1), version, {("t", 0): (0, 1 << 20)}, 0, lambda topic: False)
    (partition,) = answer.responses[0].partitions
    assert (partition.error_code, partition.high_watermark, partition.records) == (35, -1, None)


def test_bytes_that_cannot_be_converted_are_an_error_of_their_partition() -> None:
    broken = bytearray(stored(0, b"a", b"b", codec=Codec.GZIP))
    broken[-8:] = bytes(8)
    answer = convert(answer_of(bytes(broken), 1), 2, {("t", 0): (0, 1 << 20)}, 0, lambda topic: True)
    (partition,) = answer.responses[0].partitions
    assert (partition.error_code, partition.records) == (-1, b"")


def test_no_more_is_read_than_may_be_converted() -> None:
    large = b"".join(stored(base, b"v" * 1_000_000) for base in range(30))
    wanted = {("t", index): (0, 1 << 25) for index in range(3)}
    answer = convert(answer_of(large, 3), 3, wanted, 0, lambda topic: True)
    sizes = [len(cast(bytes, each.records)) for each in answer.responses[0].partitions]
    assert BYTES_AT_ONCE // 2 < sizes[0] <= BYTES_AT_ONCE
    assert sizes[1:] == [0, 0]
    huge = stored(0, b"v" * (BYTES_AT_ONCE + 5)) + stored(1, b"w")
    (partition,) = (
        convert(answer_of(huge, 1), 3, {("t", 0): (0, 1 << 25)}, 0, lambda topic: True).responses[0].partitions
    )
    assert [offset for offset, _, _ in read(cast(bytes, partition.records))] == [0]
