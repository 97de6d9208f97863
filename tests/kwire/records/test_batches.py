"""Batches built, read, cut, damaged and patched."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from kwire.errors import CorruptRecordsError
from kwire.records import (
    HEADER_SIZE,
    BatchHeader,
    Codec,
    ControlType,
    Record,
    RecordBatchBuilder,
    TimestampType,
    decode_control_type,
    end_transaction_marker,
    iter_batches,
    patch_base_offset_and_epoch,
    patch_max_timestamp,
    read_records,
    verify_crc,
)
from kwire.records.batch import decrement_sequence, increment_sequence
from kwire.records.control import decode_marker_value, encode_control_key
from kwire.records.legacy import from_batch, read_message_set, to_batch, write_message_set
from kwire.records.varint import encode_varint, read_varint, read_varlong, size_of_varint

NOW = 1_700_000_000_000

fields = st.one_of(st.none(), st.binary(max_size=100))
record_headers = st.lists(st.tuples(st.text(max_size=5), fields), max_size=3).map(tuple)


@st.composite
def record_lists(draw: st.DrawFn, *, base: int = 0, headers: bool = True) -> list[Record]:
    offset = base
    found = []
    for _ in range(draw(st.integers(1, 12))):
        timestamp = draw(st.one_of(st.just(-1), st.integers(0, 2**63 - 1), st.integers(NOW, NOW + 100)))
        found.append(Record(offset, timestamp, draw(fields), draw(fields), draw(record_headers) if headers else ()))
        offset += draw(st.sampled_from([1, 1, 1, 2, 70, 100_000]))
    return found


def build(records: list[Record], **arguments: object) -> bytearray:
    builder = RecordBatchBuilder(base_offset=records[0].offset, **arguments)  # type: ignore[arg-type]
    for one in records:
        builder.append(one.key, one.value, timestamp=one.timestamp, headers=one.headers, offset=one.offset)
    assert builder.record_count == len(records)
    return builder.build()


@given(record_lists(base=5), st.sampled_from(list(Codec)))
@example([Record(5, -1, None, None, ()), Record(6, 2**63 - 1, None, None, ())], Codec.NONE)
def test_what_is_built_is_read(records: list[Record], codec: Codec) -> None:
    data = build(records, codec=codec)
    (header,) = iter_batches(data)
    assert verify_crc(data, header)
    assert header.size == header.end == len(data)
    assert (header.base_offset, header.last_offset, header.next_offset) == (
        5,
        records[-1].offset,
        records[-1].offset + 1,
    )
    assert header.max_timestamp == max(one.timestamp for one in records)
    assert header.base_timestamp == records[0].timestamp
    assert header.encode() == bytes(data[:HEADER_SIZE])
    assert list(read_records(data)) == records
    assert list(read_records(memoryview(bytes(data)))) == records


@given(
    record_lists(headers=False),
    st.sampled_from([Codec.NONE, Codec.GZIP, Codec.SNAPPY, Codec.LZ4]),
    st.sampled_from([0, 1]),
)
def test_message_sets(records: list[Record], codec: Codec, magic: int) -> None:
    data = write_message_set(records, magic=magic, codec=codec)
    expected = [Record(one.offset, one.timestamp if magic else -1, one.key, one.value) for one in records]
    assert list(read_message_set(data)) == expected
    batch = to_batch(data)
    assert list(read_records(batch)) == expected
    assert list(read_message_set(from_batch(batch, magic=magic))) == expected


def samples() -> list[bytes]:
    records = [Record(index, NOW + index, b"key", b"v" * 20, (("h", b"x"),)) for index in range(3)]
    return [bytes(build(records, codec=codec)) for codec in Codec]


@pytest.mark.parametrize("data", samples(), ids=[codec.name for codec in Codec])
def test_cut_at_every_byte(data: bytes) -> None:
    for size in range(len(data)):
        cut = data[:size]
        assert list(iter_batches(cut, partial_tail=True)) == []
        if size:
            with pytest.raises(CorruptRecordsError):
                list(iter_batches(cut))
        with pytest.raises(CorruptRecordsError):
            list(read_records(cut))
        # A header that agrees with the cut
        if size >= HEADER_SIZE:
            header = BatchHeader.peek(cut)
            header.batch_length = size - 12
            with pytest.raises(CorruptRecordsError):
                list(read_records(header.encode() + cut[HEADER_SIZE:]))


@pytest.mark.parametrize("data", samples(), ids=[codec.name for codec in Codec])
def test_every_bit_flipped(data: bytes) -> None:
    """The CRC sees it, or it is outside; reading gives records or a CorruptRecordsError."""
    for at in range(len(data)):
        for bit in range(8):
            changed = bytearray(data)
            changed[at] ^= 1 << bit
            try:
                headers = list(iter_batches(changed))
                list(read_records(changed))
            except CorruptRecordsError:
                headers = []
            if at >= 17:
                assert not headers or not verify_crc(changed, headers[0])


@pytest.mark.parametrize("magic", [0, 1])
@pytest.mark.parametrize("codec", [Codec.NONE, Codec.GZIP, Codec.SNAPPY, Codec.LZ4])
def test_message_sets_cut_and_flipped(magic: int, codec: Codec) -> None:
    records = [Record(index, NOW, b"key", b"v" * 20) for index in range(3)]
    data = write_message_set(records, magic=magic, codec=codec)
    whole = list(read_message_set(data))
    size = len(data) // 3 if codec is Codec.NONE else len(data)
    for cut in range(1, len(data)):
        if cut % size:
            with pytest.raises(CorruptRecordsError):
                list(read_message_set(data[:cut]))
        assert list(read_message_set(data[:cut], partial_tail=True)) == whole[: cut // size]
    for at in range(8, size):
        changed = bytearray(data)
        changed[at] ^= 1
        with pytest.raises(CorruptRecordsError):
            list(read_message_set(changed))


@given(st.binary(max_size=200))
def test_noise(data: bytes) -> None:
    for reader in (iter_batches, read_records, read_message_set):
        with suppress(CorruptRecordsError):
            assert not list(reader(data))


@given(st.binary(max_size=120), st.integers(0, 40), st.sampled_from(list(Codec)))
def test_noise_behind_a_header(body: bytes, count: int, codec: Codec) -> None:
    header = BatchHeader(
        0, 0, HEADER_SIZE - 12 + len(body), -1, 2, 0, int(codec), count - 1, NOW, NOW, -1, -1, -1, count
    )
    try:
        records = list(read_records(header.encode() + body))
    except CorruptRecordsError:
        return
    assert len(records) == count


class TestHeaders:
    def test_several_batches(self) -> None:
        first, second = (
            build([Record(0, NOW, b"a", b"b")]),
            build([Record(1, NOW, None, None), Record(2, NOW, None, b"")]),
        )
        data = bytes(first + second)
        headers = list(iter_batches(data))
        assert [(one.position, one.base_offset, one.last_offset) for one in headers] == [(0, 0, 0), (len(first), 1, 2)]
        assert all(verify_crc(data, one) for one in headers)
        assert [one.offset for one in read_records(data, headers[1].position)] == [1, 2]
        assert len(list(iter_batches(data, len(first)))) == 1
        assert len(list(iter_batches(data, 0, len(first)))) == 1

    def test_sequences_wrap(self) -> None:
        top = 2**31 - 1
        assert increment_sequence(top, 1) == 0
        assert increment_sequence(top - 1, 5) == 3
        assert decrement_sequence(0, 1) == top
        assert decrement_sequence(3, 5) == top - 1
        header = BatchHeader.peek(
            build(
                [Record(index, NOW, None, None) for index in range(4)],
                producer_id=1,
                producer_epoch=0,
                base_sequence=top - 1,
            )
        )
        assert header.last_sequence == 1
        assert BatchHeader.peek(build([Record(0, NOW, None, None)])).last_sequence == -1

    def test_attributes(self) -> None:
        data = build(
            [Record(0, NOW, None, None)],
            codec=Codec.ZSTD,
            transactional=True,
            control=True,
            timestamp_type=TimestampType.LOG_APPEND_TIME,
            log_append_time=NOW + 1,
            delete_horizon_ms=NOW - 100,
        )
        header = BatchHeader.peek(data)
        assert header.codec is Codec.ZSTD
        assert header.is_transactional
        assert header.is_control
        assert header.is_compressed
        assert header.timestamp_type is TimestampType.LOG_APPEND_TIME
        assert header.delete_horizon_ms == NOW - 100
        assert not header.has_producer_id
        assert [one.timestamp for one in read_records(data)] == [NOW + 1]
        header.attributes = 6
        with pytest.raises(CorruptRecordsError):
            assert header.codec

    def test_peek_refuses(self) -> None:
        data = build([Record(0, NOW, None, None)])
        for change in ((16, b"\x01"), (16, b"\x03"), (8, b"\x00\x00\x00\x30"), (8, b"\xff\xff\xff\xff")):
            changed = bytearray(data)
            changed[change[0] : change[0] + len(change[1])] = change[1]
            with pytest.raises(CorruptRecordsError):
                BatchHeader.peek(changed)
            with pytest.raises(CorruptRecordsError):
                list(iter_batches(changed))

    def test_offset_and_epoch_are_not_under_the_crc(self) -> None:
        data = build([Record(0, NOW, None, b"x")])
        patch_base_offset_and_epoch(data, 0, 2**40, 12)
        header = BatchHeader.peek(data)
        assert (header.base_offset, header.partition_leader_epoch) == (2**40, 12)
        assert verify_crc(data, header)

    def test_max_timestamp_in_the_second_batch(self) -> None:
        one = build([Record(0, NOW, None, b"x")])
        data = one + one
        header = BatchHeader.peek(data, len(one))
        assert not patch_max_timestamp(data, header, TimestampType.CREATE_TIME, NOW)
        assert patch_max_timestamp(data, header, TimestampType.LOG_APPEND_TIME, NOW + 5)
        assert data[: len(one)] == one
        assert BatchHeader.peek(data, len(one)) == header
        assert verify_crc(data, header)
        assert [record.timestamp for record in read_records(data, len(one))] == [NOW + 5]

    @pytest.mark.parametrize(
        "arguments", [{"timestamp": -2}, {"timestamp": NOW, "offset": 4}, {"timestamp": NOW, "offset": 2**31 + 5}]
    )
    def test_the_builder_refuses(self, arguments: dict[str, int]) -> None:
        builder = RecordBatchBuilder(base_offset=5)
        with pytest.raises(ValueError, match=r"offset|timestamp"):
            builder.append(None, None, **arguments)
        with pytest.raises(ValueError, match="needs a record"):
            builder.build()


class TestControl:
    def test_marker(self) -> None:
        data = end_transaction_marker(
            ControlType.ABORT, producer_id=5, producer_epoch=2, coordinator_epoch=9, timestamp=NOW
        )
        header = BatchHeader.peek(data)
        assert (header.is_control, header.is_transactional, header.base_sequence, header.attributes) == (
            True,
            True,
            -1,
            0x30,
        )
        (record,) = read_records(data)
        assert decode_control_type(record.key) is ControlType.ABORT
        assert decode_marker_value(record.value) == 9
        with pytest.raises(ValueError, match="ends no transaction"):
            end_transaction_marker(
                ControlType.LEADER_CHANGE, producer_id=5, producer_epoch=2, coordinator_epoch=9, timestamp=NOW
            )

    def test_keys(self) -> None:
        assert [decode_control_type(encode_control_key(one)) for one in ControlType] == list(ControlType)
        assert decode_control_type(b"\x00\x00\x00\x63") is None
        for key in (None, b"", b"\x00\x00\x00", b"\xff\xff\x00\x00"):
            with pytest.raises(CorruptRecordsError):
                decode_control_type(key)
        for value in (None, b"\x00" * 5, b"\xff\xff\x00\x00\x00\x00"):
            with pytest.raises(CorruptRecordsError):
                decode_marker_value(value)


@given(st.integers(-(2**63), 2**63 - 1))
def test_varints(value: int) -> None:
    data = encode_varint(value)
    assert len(data) == size_of_varint(value)
    assert read_varlong(data, 0) == (value, len(data))
    if -(2**31) <= value < 2**31:
        assert read_varint(data, 0) == (value, len(data))
    for size in range(len(data)):
        with pytest.raises(IndexError):
            read_varlong(data[:size], 0)


def test_odd_varints() -> None:
    assert read_varint(b"\x82\x80\x80\x80\x00", 0) == (1, 5)
    assert read_varint(b"\xff\xff\xff\xff\x7f", 0) == (-(2**31), 5)
    assert read_varlong(b"\xff" * 9 + b"\x7f", 0) == (-(2**63), 10)
    with pytest.raises(ValueError, match="longer than 5"):
        read_varint(b"\x80" * 5 + b"\x00", 0)
    with pytest.raises(ValueError, match="longer than 10"):
        read_varlong(b"\x80" * 10 + b"\x00", 0)
