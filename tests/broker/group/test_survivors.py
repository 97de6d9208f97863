"""Loading by survivors gives what replaying every record gives."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.group.durable import DurableState
from broker.group.record_codec import decode_records, encode_record
from broker.group.records import GroupRecord, OffsetAndMetadata, OffsetRecord, StoredGroup
from broker.group.survivors import Survivors
from kwire.errors import KwireError
from kwire.records import HEADER_SIZE, Codec, RecordBatchBuilder
from kwire.records.control import ControlType, encode_control_key, encode_marker_value

GROUPS = ("a", "b", "gr\u00fcn")
TOPIC_ID = bytes(range(16))

plain_values = st.builds(
    OffsetAndMetadata,
    offset=st.integers(0, 1000),
    metadata=st.sampled_from(("", "m", "\u00fc" * 40)),
    commit_timestamp_ms=st.just(7),
    expire_timestamp_ms=st.sampled_from((-1, 9)),
)
values = st.one_of(plain_values, st.builds(OffsetAndMetadata, offset=st.integers(0, 1000), topic_id=st.just(TOPIC_ID)))
offsets = st.builds(
    OffsetRecord, st.sampled_from(GROUPS), st.sampled_from(("t", "u")), st.integers(0, 1), st.one_of(values, st.none())
)
groups = st.builds(
    GroupRecord,
    st.sampled_from(GROUPS),
    st.one_of(st.none(), st.builds(StoredGroup, st.just("consumer"), st.integers(0, 9))),
)
plain = st.tuples(st.just("plain"), st.lists(st.one_of(offsets, offsets, groups), min_size=1, max_size=3))
transactional = st.tuples(
    st.just("in"),
    st.integers(1, 3),
    st.lists(offsets.filter(lambda record: record.value is not None), min_size=1, max_size=3),
)
ends = st.tuples(st.just("end"), st.integers(1, 3), st.booleans())
histories = st.lists(st.one_of(plain, plain, transactional, ends), max_size=40)


def batch_of(event: tuple) -> bytes:  # type: ignore[type-arg]
    if event[0] == "plain":
        builder = RecordBatchBuilder(codec=Codec.NONE)
        for record in event[1]:
            builder.append(*encode_record(record), timestamp=1)
    elif event[0] == "in":
        builder = RecordBatchBuilder(producer_id=event[1], producer_epoch=0, base_sequence=0, transactional=True)
        for record in event[2]:
            builder.append(*encode_record(record), timestamp=1)
    else:
        builder = RecordBatchBuilder(producer_id=event[1], producer_epoch=0, transactional=True, control=True)
        kind = ControlType.COMMIT if event[2] else ControlType.ABORT
        builder.append(encode_control_key(kind), encode_marker_value(0), timestamp=1)
    return bytes(builder.build())


def never(offset: int, error: KwireError) -> None:
    raise AssertionError(f"offset {offset}: {error}")


def by_survivors(chunks: list[bytes]) -> DurableState:
    state, survivors = DurableState(), Survivors()
    for chunk in chunks:
        survivors.read(memoryview(chunk), never)
    assert list(survivors.replay(state)) == []
    return state


@given(histories, st.integers(1, 5))
def test_as_if_all_were_replayed(history: list[tuple], a_chunk: int) -> None:  # type: ignore[type-arg]
    batches = [batch_of(event) for event in history]
    expected = DurableState()
    for record in decode_records(memoryview(b"".join(batches))):
        expected.replay(record)
    chunks = [b"".join(batches[at : at + a_chunk]) for at in range(0, len(batches), a_chunk)]
    assert by_survivors(chunks) == expected


@pytest.mark.parametrize("body", [b"", b"\0", b"\0" * 23, b"\x30\0\0\0\x7e\0" + b"\0" * 18, b"\x80" * 24])
def test_a_damaged_batch_at_the_end(body: bytes) -> None:
    sound = batch_of(("plain", [OffsetRecord("g", "t", 0, OffsetAndMetadata(5))]))
    damaged = bytearray(sound[:HEADER_SIZE] + body)
    damaged[8:12] = (len(damaged) - 12).to_bytes(4, "big")
    survivors, state, told = Survivors(), DurableState(), []
    survivors.read(memoryview(sound + damaged), lambda offset, error: told.append(offset))
    assert list(survivors.replay(state)) == []
    assert told == [0]
    assert state.offsets["g"]["t"][0].offset == 5


@given(histories.filter(bool), st.data())
def test_any_damage_within_a_batch(history: list[tuple], data: st.DataObject) -> None:  # type: ignore[type-arg]
    """Nothing but a line in the log comes of it."""
    batches = [bytearray(batch_of(event)) for event in history]
    batch = data.draw(st.sampled_from(batches))
    for _ in range(data.draw(st.integers(1, 3))):
        batch[data.draw(st.integers(HEADER_SIZE, len(batch) - 1))] = data.draw(st.integers(0, 255))
    survivors = Survivors()
    for each in batches:
        survivors.read(memoryview(each), lambda offset, error: None)
    list(survivors.replay(DurableState()))


def test_slices() -> None:
    """Many survivors are replayed some at a time, so that other partitions are served meanwhile."""
    survivors, state = Survivors(), DurableState()
    for index in range(1200):
        survivors.read(
            memoryview(batch_of(("plain", [OffsetRecord("g", "t", index, OffsetAndMetadata(index))]))), never
        )
    assert len(list(survivors.replay(state))) == 2
    assert len(state.offsets["g"]["t"]) == 1200
