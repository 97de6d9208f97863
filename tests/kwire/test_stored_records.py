"""Coordinator records and metadata records in their frames."""

from __future__ import annotations

import pytest

from kwire.errors import DecodeError, EncodeError, UnsupportedVersionError
from kwire.internal import (
    SHARE_GROUP_STATE,
    TRANSACTION_STATE,
    UnknownRecordTypeError,
    decode_assignment,
    decode_key,
    decode_metadata_record,
    decode_subscription,
    decode_value,
    encode_consumer_protocol,
    encode_key,
    encode_metadata_record,
    encode_value,
    value_class,
)
from kwire.internal.consumer_protocol import ConsumerProtocolAssignment, ConsumerProtocolSubscription
from kwire.internal.group_offsets import (
    GroupMetadataKey,
    GroupMetadataValue,
    LegacyOffsetCommitKey,
    OffsetCommitKey,
    OffsetCommitValue,
)
from kwire.internal.metadata_records import PartitionRecord, TopicRecord
from kwire.internal.share_group_state import ShareUpdateKey
from kwire.internal.transaction_state import TransactionLogKey, TransactionLogValue
from kwire.schema import info_of
from tests.kwire.samples import message_classes


def test_offset_commit() -> None:
    key = OffsetCommitKey(group="g", topic="t", partition=1)
    assert encode_key(key) == bytes.fromhex("0001 0001 67 0001 74 00000001")
    value = OffsetCommitValue(offset=4, metadata="m", commit_timestamp=5)
    raw = encode_value(value, 3)
    assert raw == bytes.fromhex("0003 0000000000000004 ffffffff 0001 6d 0000000000000005")
    assert decode_key(encode_key(key)) == key
    assert decode_value(key, memoryview(raw)) == value


def test_every_key_has_its_value_and_topic() -> None:
    for cls in message_classes().values():
        if info_of(cls).kind == "coordinator-key":
            topic = {"transaction_state": TRANSACTION_STATE, "share_group_state": SHARE_GROUP_STATE}.get(
                cls.__module__.rpartition(".")[2], "__consumer_offsets"
            )
            assert decode_key(encode_key(cls()), topic) == cls()
            value = value_class(cls)
            assert info_of(value).kind == "coordinator-value"
            assert info_of(value).number == info_of(cls).number
            version = info_of(value).versions[1]
            assert decode_value(cls(), encode_value(value(), version)) == value()


def test_the_same_number_in_other_topics() -> None:
    assert isinstance(decode_key(encode_key(LegacyOffsetCommitKey())), LegacyOffsetCommitKey)
    assert isinstance(decode_key(encode_key(TransactionLogKey()), TRANSACTION_STATE), TransactionLogKey)
    assert isinstance(decode_key(encode_key(ShareUpdateKey()), SHARE_GROUP_STATE), ShareUpdateKey)


def test_transaction_log_value_tags() -> None:
    value = TransactionLogValue(producer_id=1, next_producer_epoch=7)
    assert decode_value(TransactionLogKey(), encode_value(value, 1)) == value
    with pytest.raises(UnsupportedVersionError, match="next_producer_epoch"):
        encode_value(value, 0)


def test_consumer_protocol() -> None:
    subscription = ConsumerProtocolSubscription(topics=["b", "a"], user_data=None, rack_id="r")
    raw = encode_consumer_protocol(subscription, 3)
    assert decode_subscription(raw) == subscription
    assert decode_subscription(b"\x00\x09" + raw[2:] + b"what version 9 adds") == subscription
    assert encode_consumer_protocol(ConsumerProtocolSubscription(topics=["a"], user_data=None), 0) == bytes.fromhex(
        "0000 00000001 0001 61 ffffffff"
    )
    assert decode_assignment(encode_consumer_protocol(ConsumerProtocolAssignment(), 1)) == ConsumerProtocolAssignment()
    for damaged in (b"", b"\0", b"\xff\xff", raw[:-1]):
        with pytest.raises(DecodeError):
            decode_subscription(damaged)


def test_unknown_and_damaged() -> None:
    with pytest.raises(UnknownRecordTypeError, match="999") as caught:
        decode_key(bytes.fromhex("03e7 0000"))
    assert caught.value.number == 999
    with pytest.raises(DecodeError):
        decode_key(b"\0")
    with pytest.raises(DecodeError):
        decode_key(encode_key(GroupMetadataKey(group="group"))[:-1])
    with pytest.raises(UnsupportedVersionError):
        decode_value(GroupMetadataKey(), bytes.fromhex("7fff 0000"))
    with pytest.raises(EncodeError):
        encode_key(GroupMetadataValue())


def test_metadata_record() -> None:
    record = TopicRecord(name="foo", topic_id=bytes(range(16)))
    raw = encode_metadata_record(record, 0)
    assert raw == bytes.fromhex("01 02 00 04 666f6f") + bytes(range(16)) + b"\0"
    assert decode_metadata_record(raw) == (record, 0)
    partition = PartitionRecord(partition_id=3, replicas=[1], isr=[1], directories=[bytes(16)])
    assert decode_metadata_record(encode_metadata_record(partition, 2)) == (partition, 2)


def test_metadata_records_unknown_and_damaged() -> None:
    with pytest.raises(UnknownRecordTypeError):
        decode_metadata_record(bytes.fromhex("01 7f 00"))
    with pytest.raises(DecodeError, match="frame version 2"):
        decode_metadata_record(bytes.fromhex("02 02 00"))
    for raw in ("", "01", "01 82", "01 02 00 04 66"):
        with pytest.raises(DecodeError):
            decode_metadata_record(bytes.fromhex(raw))
    with pytest.raises(UnsupportedVersionError):
        decode_metadata_record(bytes.fromhex("01 02 09 00"))
    with pytest.raises(EncodeError):
        encode_metadata_record(GroupMetadataKey(), 0)
