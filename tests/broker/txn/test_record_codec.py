"""Records packed by hand against the declared ones; the order of partitions against a table built as Java builds it."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress

import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from broker.group.ids import java_hash
from broker.txn.java_order import in_order, join
from broker.txn.record_codec import (
    decode_pairs,
    decode_record,
    decode_value,
    encode_batches,
    encode_key,
    encode_value,
)
from broker.txn.states import STATE_NAMES, TransactionState
from broker.txn.transaction import TopicPartition, Transaction, TransactionRecord
from kwire import codec
from kwire.errors import DecodeError
from kwire.internal.transaction_state import PartitionsSchema, TransactionLogKey, TransactionLogValue

INT64 = st.integers(-(2**63), 2**63 - 1)
INT16 = st.integers(-(2**15), 2**15 - 1)
NAMES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)
PARTITIONS = st.lists(st.tuples(NAMES, st.integers(0, 2**31 - 1)), max_size=20, unique=True)


@st.composite
def transactions(draw: st.DrawFn) -> Transaction:
    state = draw(st.sampled_from(TransactionState))
    return Transaction(
        producer_id=draw(INT64),
        producer_epoch=draw(INT16),
        timeout_ms=draw(st.integers(-(2**31), 2**31 - 1)),
        state=state,
        partitions=() if state is TransactionState.EMPTY else join((), draw(PARTITIONS)),
        start_ms=draw(INT64),
        last_update_ms=draw(INT64),
        previous_producer_id=draw(INT64),
        next_producer_id=draw(INT64),
        client_version=draw(INT16),
    )


@settings(max_examples=50)
@given(transactions(), st.integers(0, 1))
def test_as_declared(value: Transaction, version: int) -> None:
    topics: dict[str, list[int]] = {}
    for topic, index in value.partitions:
        topics.setdefault(topic, []).append(index)
    declared = TransactionLogValue(
        producer_id=value.producer_id,
        producer_epoch=value.producer_epoch,
        transaction_timeout_ms=value.timeout_ms,
        transaction_status=value.state,
        transaction_partitions=None if value.state is TransactionState.EMPTY else [],
        transaction_last_update_timestamp_ms=value.last_update_ms,
        transaction_start_timestamp_ms=value.start_ms,
    )
    if version >= 1:
        declared.previous_producer_id = value.previous_producer_id
        declared.next_producer_id = value.next_producer_id
        declared.client_transaction_version = value.client_version
    packed = encode_value(value, version)
    found = codec.decode(TransactionLogValue, version, packed, 2)
    if found.transaction_partitions is not None:
        assert {each.topic: each.partition_ids for each in found.transaction_partitions} == topics
        declared.transaction_partitions = [
            PartitionsSchema(topic=each.topic, partition_ids=topics[each.topic])
            for each in found.transaction_partitions
        ]
    assert packed == version.to_bytes(2, "big") + codec.encode(declared, version)


def sorted_partitions(value: Transaction) -> Transaction:
    """Grouped by topic in the record, those of one bucket may change places."""
    return evolve(value, partitions=tuple(sorted(value.partitions)))


def sorted_records(records: Iterable[TransactionRecord]) -> list[TransactionRecord]:
    return [each if each.value is None else evolve(each, value=sorted_partitions(each.value)) for each in records]


@settings(max_examples=50)
@given(transactions())
def test_there_and_back(value: Transaction) -> None:
    assert sorted_partitions(decode_value(encode_value(value, 1))) == sorted_partitions(value)


@given(NAMES)
def test_keys(name: str) -> None:
    assert encode_key(name) == b"\0\0" + codec.encode(TransactionLogKey(transactional_id=name), 0)
    assert decode_record(encode_key(name), None) == TransactionRecord(name, None)


@settings(max_examples=30)
@given(st.lists(st.tuples(NAMES, st.none() | transactions()), min_size=1, max_size=8), st.integers(0, 2000))
def test_batches(records: list[tuple[str, Transaction | None]], room: int) -> None:
    wanted = [TransactionRecord(name, value) for name, value in records]
    whole = encode_batches(wanted, 1, 5, 10**9, False)
    assert whole is not None
    (batch,) = whole
    found = [decode_record(key or b"", value) for key, value in decode_pairs(memoryview(batch))]
    assert sorted_records(found) == sorted_records(wanted)
    max_bytes = 200 + room
    assert (encode_batches(wanted, 1, 5, max_bytes, False) is None) == (len(batch) > max_bytes)
    parts = encode_batches(wanted, 1, 5, max_bytes, True)
    if parts is not None:
        assert all(len(each) <= max_bytes for each in parts)
        pairs = [pair for each in parts for pair in decode_pairs(memoryview(each))]
        assert sorted_records(decode_record(key or b"", value) for key, value in pairs) == sorted_records(wanted)


@given(st.binary(max_size=80))
def test_values_that_are_read_are_read_as_declared(data: bytes) -> None:
    try:
        value = decode_value(b"\0\1" + data)
    except DecodeError:
        return
    declared = codec.decode(TransactionLogValue, 1, b"\0\1" + data, 2)
    assert (value.producer_id, value.last_update_ms) == (
        declared.producer_id,
        declared.transaction_last_update_timestamp_ms,
    )
    assert (value.next_producer_id, value.client_version) == (
        declared.next_producer_id,
        declared.client_transaction_version,
    )


def test_unknown_tagged_fields() -> None:
    value = Transaction(1, 2, 3, TransactionState.ONGOING, (("t", 0),), 4, 5, 6)
    data = encode_value(value, 1)
    # One more tag on the topic, one more on the whole.
    topic_tags = data.index(b"\x02t\x02\0\0\0\0\0") + 7
    data = data[:topic_tags] + b"\1\7\2ab" + data[topic_tags + 1 :]
    head, tail = data[:-11], data[-11:]
    assert tail[0] == 1
    assert decode_value(head + b"\2" + tail[1:] + b"\x09\3abc") == value


@given(st.binary(max_size=60), st.none() | st.binary(max_size=60))
def test_garbage(key: bytes, value: bytes | None) -> None:
    with suppress(DecodeError):
        decode_record(key, value)


@pytest.mark.parametrize("state", [-1, 8, 127])
def test_states_nobody_knows(state: int) -> None:
    data = TransactionLogValue(transaction_status=state, transaction_partitions=[])
    with pytest.raises(DecodeError):
        decode_value(b"\0\1" + codec.encode(data, 1))


def test_a_list_of_partitions_is_missing() -> None:
    data = TransactionLogValue(transaction_status=1, transaction_partitions=None)
    with pytest.raises(DecodeError):
        decode_value(b"\0\1" + codec.encode(data, 1))


def test_names_of_states() -> None:
    assert " ".join(STATE_NAMES.values()) == (
        "Empty Ongoing PrepareCommit PrepareAbort CompleteCommit CompleteAbort Dead PrepareEpochFence"
    )


class JavaTable:
    """java.util.HashSet of TopicPartition, without trees: chains in buckets that are split when the table doubles."""

    def __init__(self, buckets: int = 16) -> None:
        self.buckets: list[list[TopicPartition]] = [[] for _ in range(buckets)]

    def __iter__(self) -> list[TopicPartition]:  # type: ignore[override]
        return [each for bucket in self.buckets for each in bucket]

    def add(self, item: TopicPartition) -> None:
        bucket = self.buckets[self.index(item)]
        if item in bucket:
            return
        bucket.append(item)
        if sum(map(len, self.buckets)) > len(self.buckets) * 3 // 4:
            old = self.buckets
            self.buckets = [[] for _ in range(2 * len(old))]
            for chain in old:
                for each in chain:
                    self.buckets[self.index(each)].append(each)

    def index(self, item: TopicPartition) -> int:
        value = (31 * (31 + item[1]) + java_hash(item[0])) & 0xFFFFFFFF
        return (value ^ value >> 16) & (len(self.buckets) - 1)


@given(st.lists(PARTITIONS, max_size=5))
def test_the_order_of_partitions(requests: list[list[TopicPartition]]) -> None:
    present: tuple[TopicPartition, ...] = ()
    theirs: list[TopicPartition] = []
    for request in requests:
        added = JavaTable()
        for each in request:
            added.add(each)
        buckets = 16
        while buckets * 3 < max(len(theirs), 12) * 4:
            buckets *= 2
        table = JavaTable(buckets)
        for each in [*theirs, *added.__iter__()]:
            table.add(each)
        theirs = table.__iter__()
        present = join(present, request)
        assert list(present) == theirs


def test_one_partition_needs_no_order() -> None:
    assert in_order([("t", 5)], 16) == [("t", 5)]
