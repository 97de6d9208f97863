"""End transaction markers, packed and read without the general machinery, held against it."""

from __future__ import annotations

import struct

from hypothesis import given
from hypothesis import strategies as st

from kwire.errors import CorruptRecordsError
from kwire.records import (
    BatchHeader,
    ControlType,
    RecordBatchBuilder,
    decode_control_type,
    end_transaction_marker,
    read_records,
    verify_crc,
)
from kwire.records.control import decode_marker_value, encode_control_key, read_plain_marker

KINDS = st.sampled_from([ControlType.ABORT, ControlType.COMMIT])
INT16 = st.integers(-1, 2**15 - 1)
INT32 = st.integers(-1, 2**31 - 1)
INT64 = st.integers(0, 2**63 - 1)


@given(KINDS, INT64, INT16, INT32, st.integers(-1, 2**62), INT64, INT32)
def test_as_the_builder_does_it(
    kind: ControlType, producer_id: int, epoch: int, coordinator: int, timestamp: int, base: int, leader_epoch: int
) -> None:
    builder = RecordBatchBuilder(
        base_offset=base,
        producer_id=producer_id,
        producer_epoch=epoch,
        transactional=True,
        control=True,
        partition_leader_epoch=leader_epoch,
    )
    builder.append(encode_control_key(kind), struct.pack(">hi", 0, coordinator), timestamp=timestamp)
    marker = end_transaction_marker(
        kind,
        producer_id=producer_id,
        producer_epoch=epoch,
        coordinator_epoch=coordinator,
        timestamp=timestamp,
        base_offset=base,
        partition_leader_epoch=leader_epoch,
    )
    assert marker == builder.build()
    header = BatchHeader.peek(marker)
    assert verify_crc(marker, header)
    assert read_plain_marker(header, marker) == (kind, coordinator)


@given(KINDS, INT32, st.data())
def test_read_as_any_control_batch_is(kind: ControlType, coordinator: int, data: st.DataObject) -> None:
    """Whatever byte is changed: what is read the short way is what the reader of records finds."""
    marker = end_transaction_marker(
        kind, producer_id=1, producer_epoch=0, coordinator_epoch=coordinator, timestamp=1000
    )
    at = data.draw(st.integers(21, len(marker) - 1))
    marker[at] = data.draw(st.integers(0, 255))
    try:
        header = BatchHeader.peek(marker)
        found = read_plain_marker(header, marker)
    except CorruptRecordsError:
        return
    if found is not None:
        (record,) = read_records(marker)
        assert (decode_control_type(record.key), decode_marker_value(record.value)) == found
        assert record.timestamp == header.max_timestamp or at < 43, "a header that lies about its largest timestamp"
