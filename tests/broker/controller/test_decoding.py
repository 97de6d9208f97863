"""The quick reader gives what the codec gives."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.controller import records as r
from broker.controller.decoding import RecordDecoder, batch_values
from kwire.errors import CorruptRecordsError
from kwire.internal import decode_metadata_record, encode_metadata_record
from kwire.records import BatchHeader, Codec, RecordBatchBuilder

NODES = st.lists(st.integers(0, 3), max_size=3)
UUIDS = st.binary(min_size=16, max_size=16)

CHANGES = st.builds(
    r.PartitionChangeRecord,
    partition_id=st.integers(0, 2**31 - 1),
    topic_id=UUIDS,
    isr=st.none() | NODES,
    leader=st.integers(-2, 3),
    replicas=st.none() | NODES,
    removing_replicas=st.none() | NODES,
    adding_replicas=st.none() | NODES,
    leader_recovery_state=st.integers(-1, 1),
    directories=st.none() | st.lists(UUIDS, max_size=2),
    eligible_leader_replicas=st.none() | NODES,
    last_known_elr=st.none() | NODES,
)
PARTITIONS = st.builds(
    r.PartitionRecord,
    partition_id=st.integers(0, 2**31 - 1),
    topic_id=UUIDS,
    replicas=NODES,
    isr=NODES,
    leader=st.integers(-1, 3),
    leader_recovery_state=st.integers(0, 1),
    leader_epoch=st.integers(0, 300),
    partition_epoch=st.integers(0, 300),
    directories=st.lists(UUIDS, max_size=2),
    eligible_leader_replicas=st.none() | NODES,
    last_known_elr=st.none() | NODES,
)
OTHERS = st.builds(r.TopicRecord, name=st.text(max_size=5), topic_id=UUIDS)


@given(st.lists(st.one_of(CHANGES, PARTITIONS, OTHERS), max_size=20), st.integers(0, 2))
def test_records(records: list[r.Record], repeat: int) -> None:
    decode = RecordDecoder()
    for _ in range(repeat + 1):
        for record in records:
            version = r.version_of(record)
            value = encode_metadata_record(record, version)
            assert decode(value) == decode_metadata_record(value)[0] == record


@given(
    st.lists(
        st.tuples(
            st.none() | st.binary(max_size=3),
            st.binary(max_size=200),
            st.integers(0, 2**40),
            st.lists(st.tuples(st.text(max_size=3), st.none() | st.binary(max_size=3)), max_size=2),
        ),
        min_size=1,
        max_size=80,
    ),
    st.sampled_from([Codec.NONE, Codec.GZIP]),
)
def test_batches(
    given_records: list[tuple[bytes | None, bytes, int, list[tuple[str, bytes | None]]]], codec: Codec
) -> None:
    builder = RecordBatchBuilder(base_offset=70, codec=codec)
    for key, value, timestamp, headers in given_records:
        builder.append(key, value, timestamp=timestamp, headers=headers)
    data = memoryview(builder.build())
    expected = [(offset, value) for offset, (_, value, _, _) in enumerate(given_records, 70)]
    assert list(batch_values(data, BatchHeader.peek(data))) == expected


@given(st.binary(min_size=1, max_size=40), st.integers(1, 5))
def test_damaged_batches_are_told(garbage: bytes, count: int) -> None:
    builder = RecordBatchBuilder()
    for _ in range(count):
        builder.append(None, b"x" * 10, timestamp=1)
    data = builder.build()
    data[61 : 61 + len(garbage)] = garbage[: len(data) - 61]
    view = memoryview(data)
    with suppress(CorruptRecordsError):
        list(batch_values(view, BatchHeader.peek(view)))


def test_a_cut_batch_is_told() -> None:
    builder = RecordBatchBuilder()
    builder.append(None, b"x" * 10, timestamp=1)
    data = memoryview(builder.build())
    with pytest.raises(CorruptRecordsError):
        list(batch_values(data[:-4], BatchHeader.peek(data)))
