"""The plain batches of coordinator records, held against the general builder and reader."""

from __future__ import annotations

import contextlib

from hypothesis import given
from hypothesis import strategies as st

from broker.group.record_batches import pack_batch, unpack_pairs
from kwire.errors import CorruptRecordsError
from kwire.records import HEADER_SIZE, BatchHeader, RecordBatchBuilder, read_records, verify_crc

SIZED = st.binary(max_size=40) | st.integers(60, 700).map(bytes) | st.integers(8000, 20_000).map(bytes)
PAIRS = st.lists(st.tuples(SIZED, st.none() | SIZED), min_size=1, max_size=8)


@given(PAIRS, st.integers(0, 2**60))
def test_as_the_builder_does_it(pairs: list[tuple[bytes, bytes | None]], timestamp_ms: int) -> None:
    builder = RecordBatchBuilder()
    for key, value in pairs:
        builder.append(key, value, timestamp=timestamp_ms)
    batch = pack_batch(pairs, timestamp_ms)
    assert batch == builder.build()
    assert verify_crc(batch, BatchHeader.peek(batch))


def test_many_records() -> None:
    pairs: list[tuple[bytes, bytes | None]] = [(b"k%d" % number, None) for number in range(20_000)]
    batch = pack_batch(pairs, 0)
    assert [(each.key, each.value) for each in read_records(batch)] == pairs
    assert list(unpack_pairs(bytes(batch[HEADER_SIZE:]), len(pairs))) == pairs


@given(
    st.lists(
        st.tuples(st.none() | SIZED, st.none() | SIZED, st.integers(0, 2**50), st.booleans()), min_size=1, max_size=5
    )
)
def test_any_batch_is_read(records: list[tuple[bytes | None, bytes | None, int, bool]]) -> None:
    builder = RecordBatchBuilder()
    for key, value, timestamp_ms, with_headers in records:
        builder.append(key, value, timestamp=timestamp_ms, headers=[("h", b"x")] if with_headers else ())
    batch = bytes(builder.build())
    assert list(unpack_pairs(batch[HEADER_SIZE:], len(records))) == [(key, value) for key, value, _, _ in records]


@given(PAIRS, st.data())
def test_damage_is_told(pairs: list[tuple[bytes, bytes | None]], data: st.DataObject) -> None:
    body = bytearray(pack_batch(pairs, 0)[HEADER_SIZE:])
    position = data.draw(st.integers(0, len(body) - 1))
    body[position] ^= data.draw(st.integers(1, 255))
    cut = data.draw(st.integers(0, len(body)))
    for damaged in (bytes(body), bytes(body[:cut])):
        with contextlib.suppress(CorruptRecordsError):
            list(unpack_pairs(damaged, len(pairs)))
