"""What is stored in `__consumer_offsets` for classic groups, as values. Treat all of them as immutable."""

from __future__ import annotations

from typing import TypeAlias

from attrs import define

NO_TOPIC_ID = bytes(16)


@define(slots=True)
class OffsetAndMetadata:
    """A committed offset.

    leader_epoch: -1 when the client gave none. expire_timestamp_ms: -1 but for commits of clients that set a retention
    (OffsetCommit v2-4). topic_id: 16 bytes, zero when the client committed by name.
    """

    offset: int
    leader_epoch: int = -1
    metadata: str = ""
    commit_timestamp_ms: int = -1
    expire_timestamp_ms: int = -1
    topic_id: bytes = NO_TOPIC_ID


@define(slots=True)
class StoredMember:
    """A member as stored: `subscription` is its metadata for the chosen protocol."""

    member_id: str
    instance_id: str | None
    client_id: str
    client_host: str
    rebalance_timeout_ms: int
    session_timeout_ms: int
    subscription: bytes
    assignment: bytes


@define(slots=True)
class StoredGroup:
    """A group as stored. There is no state: no members means Empty, else Stable.

    protocol_type: "" for a group that only commits offsets. state_timestamp_ms: -1 when unknown.
    """

    protocol_type: str = ""
    generation: int = 0
    protocol: str | None = None
    leader: str | None = None
    state_timestamp_ms: int = -1
    members: tuple[StoredMember, ...] = ()


@define(slots=True)
class OffsetRecord:
    """One partition's committed offset, or its tombstone."""

    group_id: str
    topic: str
    partition: int
    value: OffsetAndMetadata | None


@define(slots=True)
class TransactionalOffsetRecord:
    """One partition's offset, in force once the producer's transaction is committed. In the log its batch says so."""

    group_id: str
    topic: str
    partition: int
    value: OffsetAndMetadata
    producer_id: int


@define(slots=True)
class GroupRecord:
    """One group, or its tombstone."""

    group_id: str
    value: StoredGroup | None


@define(slots=True)
class TransactionEnd:
    """A marker: the producer's offsets come into force, or are dropped."""

    producer_id: int
    producer_epoch: int
    committed: bool
    coordinator_epoch: int


CoordinatorRecord: TypeAlias = OffsetRecord | GroupRecord | TransactionalOffsetRecord | TransactionEnd
