"""Records of `__consumer_offsets`, held against the declared messages."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.group.record_codec import decode_offset, decode_record, encode_batches, encode_offset, encode_record
from broker.group.records import GroupRecord, OffsetAndMetadata, OffsetRecord, StoredGroup, StoredMember
from kwire import codec
from kwire.errors import DecodeError
from kwire.internal.group_offsets import OffsetCommitKey, OffsetCommitValue

INT32 = st.integers(-(2**31), 2**31 - 1)
INT64 = st.integers(-(2**63), 2**63 - 1)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=300)
OFFSETS = st.builds(
    OffsetAndMetadata,
    offset=INT64,
    leader_epoch=INT32,
    metadata=TEXT,
    commit_timestamp_ms=INT64,
    expire_timestamp_ms=st.just(-1),
    topic_id=st.binary(min_size=16, max_size=16) | st.just(bytes(16)),
)
MEMBERS = st.builds(
    StoredMember,
    member_id=TEXT,
    instance_id=st.none() | TEXT,
    client_id=TEXT,
    client_host=TEXT,
    rebalance_timeout_ms=INT32,
    session_timeout_ms=INT32,
    subscription=st.binary(max_size=50),
    assignment=st.binary(max_size=50),
)
GROUPS = st.builds(
    StoredGroup,
    protocol_type=TEXT,
    generation=INT32,
    protocol=st.none() | TEXT,
    leader=st.none() | TEXT,
    state_timestamp_ms=INT64,
    members=st.lists(MEMBERS, max_size=3).map(tuple),
)


@given(OFFSETS)
def test_an_offset_is_as_declared(value: OffsetAndMetadata) -> None:
    declared = OffsetCommitValue(
        offset=value.offset,
        leader_epoch=value.leader_epoch,
        metadata=value.metadata,
        commit_timestamp=value.commit_timestamp_ms,
        topic_id=value.topic_id,
    )
    packed = encode_offset(value)
    assert packed == b"\x00\x04" + codec.encode(declared, 4)
    assert decode_offset(packed) == value


@given(INT64, TEXT, st.integers(0, 2**62), st.integers(0, 2**62))
def test_an_offset_with_a_retention(offset: int, metadata: str, commit_ms: int, expire_ms: int) -> None:
    declared = OffsetCommitValue(
        offset=offset, metadata=metadata, commit_timestamp=commit_ms, expire_timestamp=expire_ms
    )
    value = OffsetAndMetadata(offset, -1, metadata, commit_ms, expire_ms)
    packed = encode_offset(value)
    assert packed == b"\x00\x01" + codec.encode(declared, 1)
    assert decode_offset(packed) == value


@pytest.mark.parametrize("version", range(5))
def test_every_version_is_read(version: int) -> None:
    declared = OffsetCommitValue(offset=7, metadata="m", commit_timestamp=9)
    if version >= 3:
        declared.leader_epoch = 4
    value = decode_offset(version.to_bytes(2, "big") + codec.encode(declared, version))
    assert (value.offset, value.metadata, value.commit_timestamp_ms) == (7, "m", 9)
    assert value.leader_epoch == (4 if version >= 3 else -1)


@given(TEXT, TEXT, INT32, st.none() | OFFSETS)
def test_offset_records(group: str, topic: str, partition: int, value: OffsetAndMetadata | None) -> None:
    record = OffsetRecord(group, topic, partition, value)
    key, packed = encode_record(record)
    declared = OffsetCommitKey(group=group, topic=topic, partition=partition)
    assert key == b"\x00\x01" + codec.encode(declared, 0)
    assert decode_record(key, packed) == record
    assert decode_record(b"\x00\x00" + key[2:], packed) == record


@given(TEXT, st.none() | GROUPS)
def test_group_records(group: str, value: StoredGroup | None) -> None:
    record = GroupRecord(group, value)
    assert decode_record(*encode_record(record)) == record


@given(st.binary(max_size=80), st.none() | st.binary(max_size=80), st.integers(0, 2), st.integers(0, 4))
def test_damaged_records_raise_decode_errors_only(key: bytes, value: bytes | None, kind: int, version: int) -> None:
    key = kind.to_bytes(2, "big") + key
    if value is not None:
        value = version.to_bytes(2, "big") + value
    with contextlib.suppress(DecodeError):
        decode_record(key, value)


def test_other_kinds_are_passed_over() -> None:
    assert decode_record(b"\x00\x03\x00\x01g", b"") is None


def test_what_does_not_fit_is_not_packed() -> None:
    records = [OffsetRecord("g", "t", index, OffsetAndMetadata(0)) for index in range(100)]
    assert encode_batches(records, 0, 500, splittable=False) is None
    batches = encode_batches(records, 0, 500, splittable=True)
    assert batches is not None
    assert all(len(batch) <= 500 for batch in batches)
