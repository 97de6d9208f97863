"""How stored records are framed: an int16 before keys and values of internal topics, three varints in the metadata log.

A coordinator record's key begins with the record type, its value with the value's version (`CoordinatorRecordSerde`).
A metadata record is frame version 1, record type, version, body (class `AbstractApiMessageSerde`).
"""

from __future__ import annotations

import struct
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Final, cast

from kwire import codec
from kwire.errors import DecodeError, EncodeError
from kwire.primitives import Buffer, read_unsigned_varint, unsigned_varint
from kwire.schema import Struct, info_of

if TYPE_CHECKING:
    from kwire.internal.consumer_protocol import ConsumerProtocolAssignment, ConsumerProtocolSubscription

CONSUMER_OFFSETS: Final = "__consumer_offsets"
TRANSACTION_STATE: Final = "__transaction_state"
SHARE_GROUP_STATE: Final = "__share_group_state"

_INT16: Final = struct.Struct(">h")
_METADATA_FRAME_VERSION: Final = 1

# Topic: modules of `kwire.internal` that hold its records.
_TOPICS: Final = {
    CONSUMER_OFFSETS: ("group_offsets", "consumer_groups", "share_groups", "streams_groups"),
    TRANSACTION_STATE: ("transaction_state",),
    SHARE_GROUP_STATE: ("share_group_state",),
}


class UnknownRecordTypeError(DecodeError):
    """A record of a type this version does not know. Kafka's coordinators log such a record and pass over it."""

    def __init__(self, number: int) -> None:
        super().__init__(f"unknown record type {number}")
        self.number = number


def encode_key(key: Struct) -> bytes:
    """int16 record type, then the key. Raises EncodeError."""
    info = info_of(type(key))
    if info.kind != "coordinator-key" or info.number is None:
        raise EncodeError(f"{type(key).__name__} is no key of an internal topic")
    return _INT16.pack(info.number) + codec.encode(key, 0)


def encode_value(value: Struct, version: int) -> bytes:
    """int16 version, then the value at that version. Raises EncodeError, UnsupportedVersionError."""
    return _INT16.pack(version) + codec.encode(value, version)


def decode_key(data: Buffer, topic: str = CONSUMER_OFFSETS) -> Struct:
    """The key of a record of `topic`. Raises UnknownRecordTypeError, DecodeError."""
    number = _leading_int16(data)
    cls = _key_classes(topic).get(number)
    if cls is None:
        raise UnknownRecordTypeError(number)
    return codec.decode(cls, 0, data, 2)


def decode_value(key: Struct, data: Buffer) -> Struct:
    """The value that goes with `key`. Raises DecodeError, UnsupportedVersionError for a newer version."""
    return codec.decode(value_class(type(key)), _leading_int16(data), data, 2)


@cache
def value_class(key_class: type[Struct]) -> type[Struct]:
    """`OffsetCommitValue` for `OffsetCommitKey`, and so on."""
    name = key_class.__name__.removesuffix("Key") + "Value"
    return cast(type[Struct], getattr(import_module(key_class.__module__), name))


@cache
def _key_classes(topic: str) -> dict[int, type[Struct]]:
    return {
        number: cls
        for module in _TOPICS[topic]
        for number, cls in _numbered(f"kwire.internal.{module}", "coordinator-key").items()
    }


def encode_consumer_protocol(message: ConsumerProtocolSubscription | ConsumerProtocolAssignment, version: int) -> bytes:
    """int16 version, then the message. Raises EncodeError, UnsupportedVersionError."""
    return _INT16.pack(version) + codec.encode(message, version)


def decode_subscription(data: Buffer) -> ConsumerProtocolSubscription:
    """What a consumer says of itself in JoinGroup. A version above ours is read as our last. Raises DecodeError."""
    from kwire.internal.consumer_protocol import ConsumerProtocolSubscription

    return codec.decode(ConsumerProtocolSubscription, _protocol_version(data), data, 2)


def decode_assignment(data: Buffer) -> ConsumerProtocolAssignment:
    """What the leader gave a consumer in SyncGroup. A version above ours is read as our last. Raises DecodeError."""
    from kwire.internal.consumer_protocol import ConsumerProtocolAssignment

    return codec.decode(ConsumerProtocolAssignment, _protocol_version(data), data, 2)


def _protocol_version(data: Buffer) -> int:
    """Later versions only add fields at the end (class `ConsumerProtocol`)."""
    version = _leading_int16(data)
    if version < 0:
        raise DecodeError(f"consumer protocol: version {version}")
    return min(version, 3)


def encode_metadata_record(record: Struct, version: int) -> bytes:
    """The value of a record of the metadata log. Raises EncodeError, UnsupportedVersionError."""
    info = info_of(type(record))
    if info.kind != "metadata" or info.number is None:
        raise EncodeError(f"{type(record).__name__} is no record of the metadata log")
    head = bytes((_METADATA_FRAME_VERSION,)) + unsigned_varint(info.number) + unsigned_varint(version)
    return head + codec.encode(record, version)


def decode_metadata_record(data: Buffer) -> tuple[Struct, int]:
    """The record and its version. Raises UnknownRecordTypeError, DecodeError, UnsupportedVersionError."""
    try:
        frame, pos = read_unsigned_varint(data, 0)
        number, pos = read_unsigned_varint(data, pos)
        version, pos = read_unsigned_varint(data, pos)
    except IndexError:
        raise DecodeError(f"metadata record: cut off after {len(data)} bytes") from None
    if frame != _METADATA_FRAME_VERSION:
        raise DecodeError(f"metadata record: frame version {frame} is not {_METADATA_FRAME_VERSION}")
    cls = _metadata_classes().get(number)
    if cls is None:
        raise UnknownRecordTypeError(number)
    return codec.decode(cls, version, data, pos), version


@cache
def _metadata_classes() -> dict[int, type[Struct]]:
    return _numbered("kwire.internal.metadata_records", "metadata")


def _numbered(module: str, kind: str) -> dict[int, type[Struct]]:
    """The message classes of a module that are of `kind`, by number."""
    found = {}
    for cls in vars(import_module(module)).values():
        if isinstance(cls, type) and issubclass(cls, Struct) and cls.message_info is not None:
            info = cls.message_info
            if info.kind == kind and info.number is not None:
                found[info.number] = cls
    return found


def _leading_int16(data: Buffer) -> int:
    if len(data) < 2:
        raise DecodeError(f"record: {len(data)} bytes, its type or version alone are 2")
    number: int = _INT16.unpack_from(data)[0]
    return number
