"""Reading keys, offsets and places of a batch's records, against the plain reader."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kwire.errors import CorruptRecordsError
from kwire.records import BatchHeader, Record, RecordBatchBuilder, read_records
from kwire.records.batch import HEADER_SIZE
from log.compaction.record_scan import Records, read_timestamps, scan_records

runs = st.lists(
    st.tuples(
        st.integers(1, 40),  # records of one shape
        st.one_of(st.none(), st.integers(0, 300)),  # size of the key
        st.one_of(st.none(), st.integers(0, 300)),  # size of the value
        st.sampled_from([0, 1, 50, 10_000]),  # what timestamps vary by
        st.sampled_from([1, 1, 3, 5000]),  # the offsets' step
        st.booleans(),  # a header
    ),
    min_size=1,
    max_size=8,
)


@given(runs, st.integers(0, 1 << 32))
def test_like_the_plain_reader(shapes: list[tuple[int, int | None, int | None, int, int, bool]], seed: int) -> None:
    rng = random.Random(seed)
    builder = RecordBatchBuilder(base_offset=70)
    offset = 70
    for count, key_size, value_size, spread, step, header in shapes:
        for _ in range(count):
            builder.append(
                None if key_size is None else rng.randbytes(key_size),
                None if value_size is None else rng.randbytes(value_size),
                timestamp=1_700_000_000_000 + rng.randint(-spread, spread),
                offset=offset,
                headers=[("h", b"content")] if header else [],
            )
            offset += rng.randint(1, step)
    data = bytes(7) + bytes(builder.build())
    expected = list(read_records(data, 7))
    header_read = BatchHeader.peek(data, 7)
    records = scan_records(data, 7 + HEADER_SIZE, len(data), header_read.record_count)
    assert records.keys == [record.key for record in expected]
    assert [70 + delta for delta in records.offset_deltas] == [record.offset for record in expected]
    assert records.without_key == [index for index, record in enumerate(expected) if record.key is None]
    assert records.without_value == [index for index, record in enumerate(expected) if record.value is None]
    assert len(records.starts) == len(expected) + 1
    read = read_timestamps(records, list(range(len(expected))), header_read.base_timestamp)
    assert read.timestamps == [record.timestamp for record in expected]


@given(st.integers(0, 2000), st.integers(0, 255), st.integers(0, 1 << 32))
def test_damage_stays_within_the_batch(position: int, byte: int, seed: int) -> None:
    rng = random.Random(seed)
    builder = RecordBatchBuilder()
    for _ in range(30):
        builder.append(b"k" * rng.choice([3, 3, 3, 200]), b"v" * 20, timestamp=5)
    data = builder.build()
    position = HEADER_SIZE + position % (len(data) - HEADER_SIZE)
    data[position] = byte
    data = bytes(data) + b"behind"
    try:
        records = scan_records(data, HEADER_SIZE, len(data) - 6, 30)
    except CorruptRecordsError:
        return
    assert records.starts[-1] == len(data) - 6
    assert len(records.keys) == len(records.offset_deltas) == 30


def test_records_that_do_not_fill_the_batch() -> None:
    builder = RecordBatchBuilder()
    builder.append(b"key", b"value", timestamp=5)
    data = bytes(builder.build())
    with pytest.raises(CorruptRecordsError):
        scan_records(data, HEADER_SIZE, len(data), 2)
    with pytest.raises(CorruptRecordsError):
        scan_records(data + b"rest", HEADER_SIZE, len(data) + 4, 1)


def scan_built(builder: RecordBatchBuilder) -> tuple[Records, list[Record]]:
    data = bytes(builder.build())
    return scan_records(data, HEADER_SIZE, len(data), builder.record_count), list(read_records(data))


def test_a_run_ends_where_values_begin_to_be_null() -> None:
    builder = RecordBatchBuilder()
    for number in range(40):
        builder.append(b"key", None if number // 10 % 2 else b"", timestamp=5)  # of the same size
    records, _ = scan_built(builder)
    assert records.without_value == [*range(10, 20), *range(30, 40)]


def test_a_run_ends_where_a_timestamp_is_wider() -> None:
    """The record at 20 has the size of those before, and by chance their steering bytes at the same places."""
    builder = RecordBatchBuilder()
    for number in range(40):
        wider = number == 20
        builder.append(b"k" * 19 + b"\x14", b"v" * (9 if wider else 10), timestamp=5 + 100 * wider)
    records, expected = scan_built(builder)
    assert records.starts[21] - records.starts[20] == records.starts[20] - records.starts[19]
    assert records.keys == [record.key for record in expected]
    assert records.offset_deltas == list(range(40))
