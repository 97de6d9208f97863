"""What the records of internal topics, of the metadata log and of control batches say."""

from __future__ import annotations

from typing import Any, Final

from broker.inspect.files import METADATA_TOPIC
from broker.inspect.values import Plain, plain_struct
from kwire import codec
from kwire.errors import KwireError
from kwire.internal import (
    CONSUMER_OFFSETS,
    SHARE_GROUP_STATE,
    TRANSACTION_STATE,
    decode_assignment,
    decode_key,
    decode_metadata_record,
    decode_subscription,
    decode_value,
)
from kwire.internal.control_records import (
    KRaftVersionRecord,
    LeaderChangeMessage,
    SnapshotFooterRecord,
    SnapshotHeaderRecord,
    VotersRecord,
)
from kwire.internal.group_offsets import GroupMetadataValue
from kwire.records import ControlType, decode_control_type
from kwire.records.control import decode_marker_value
from kwire.records.record import Record
from kwire.schema import Struct, info_of

COORDINATOR_TOPICS: Final = (CONSUMER_OFFSETS, TRANSACTION_STATE, SHARE_GROUP_STATE)
_CONTROL_MESSAGES: Final[dict[ControlType, type[Struct]]] = {
    ControlType.LEADER_CHANGE: LeaderChangeMessage,
    ControlType.SNAPSHOT_HEADER: SnapshotHeaderRecord,
    ControlType.SNAPSHOT_FOOTER: SnapshotFooterRecord,
    ControlType.KRAFT_VERSION: KRaftVersionRecord,
    ControlType.KRAFT_VOTERS: VotersRecord,
}
_TRANSACTION_STATES: Final = (
    "Empty",
    "Ongoing",
    "PrepareCommit",
    "PrepareAbort",
    "CompleteCommit",
    "CompleteAbort",
    "Dead",
    "PrepareEpochFence",
)
_CONSUMER_PROTOCOL: Final = "consumer"


def decode_record(topic: str | None, record: Record) -> Plain | None:
    """kind, version and fields of a record of such a topic; None for any other topic.

    A record that cannot be read is ``{"kind": "?", "error": why}``.
    """
    try:
        if topic == METADATA_TOPIC:
            if record.value is None:
                return {"kind": "?", "error": "a metadata record without a value"}
            struct, version = decode_metadata_record(record.value)
            return {"kind": type(struct).__name__, "version": version, "fields": plain_struct(struct)}
        if topic in COORDINATOR_TOPICS:
            return _coordinator_record(topic, record)
    except (KwireError, ValueError) as error:
        return {"kind": "?", "error": str(error)}
    return None


def _coordinator_record(topic: str, record: Record) -> Plain:
    if record.key is None:
        return {"kind": "?", "error": "a record of an internal topic without a key"}
    key = decode_key(record.key, topic)
    kind = type(key).__name__.removesuffix("Key")
    found: Plain = {"kind": kind, "key": plain_struct(key)}
    if record.value is None:
        found["value"] = None  # a tombstone
        return found
    value = decode_value(key, record.value)
    found["version"] = int.from_bytes(record.value[:2], "big", signed=True)
    found["value"] = fields = plain_struct(value)
    if isinstance(value, GroupMetadataValue) and value.protocol_type == _CONSUMER_PROTOCOL:
        for plain, member in zip(fields["members"], value.members, strict=True):
            plain["subscription"] = _or_bytes(decode_subscription, member.subscription, plain["subscription"])
            plain["assignment"] = _or_bytes(decode_assignment, member.assignment, plain["assignment"])
    if kind == "TransactionLog":
        status = fields["transaction_status"]
        if 0 <= status < len(_TRANSACTION_STATES):
            fields["transaction_status"] = _TRANSACTION_STATES[status]
    return found


def _or_bytes(decode: Any, data: bytes, otherwise: Any) -> Any:
    """What a consumer said in its own protocol, where it is that protocol."""
    try:
        return plain_struct(decode(data)) if data else otherwise
    except KwireError:
        return otherwise


def decode_control(record: Record) -> Plain:
    """kind, version and fields of a record of a control batch."""
    try:
        control_type = decode_control_type(record.key)
        if control_type is None:
            return {"kind": "?", "error": "a control record of a type that is not known"}
        if control_type in (ControlType.ABORT, ControlType.COMMIT):
            epoch = decode_marker_value(record.value)
            return {"kind": control_type.name, "fields": {"coordinator_epoch": epoch}}
        cls = _CONTROL_MESSAGES[control_type]
        value = record.value or b""
        # Each of these begins with the version it is written in.
        version = max(0, min(int.from_bytes(value[:2], "big", signed=True), info_of(cls).versions[1]))
        struct = codec.decode(cls, version, value)
        return {"kind": control_type.name, "version": version, "fields": plain_struct(struct)}
    except (KwireError, ValueError) as error:
        return {"kind": "?", "error": str(error)}
