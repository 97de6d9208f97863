"""Records of classic groups and of committed offsets in `__consumer_offsets`."""

from kwire.schema import Struct, array, binary, int32, int64, record, string, uuid


@record("coordinator-key", 0, versions="0")
class LegacyOffsetCommitKey(Struct):
    group: str = string("0")
    topic: str = string("0")
    partition: int = int32("0")


@record("coordinator-value", 0, versions="0")
class LegacyOffsetCommitValue(Struct):
    offset: int = int64("0")
    metadata: str = string("0")
    commit_timestamp: int = int64("0")


@record("coordinator-key", 1, versions="0")
class OffsetCommitKey(Struct):
    group: str = string("0")
    topic: str = string("0")
    partition: int = int32("0")


@record("coordinator-value", 1, versions="0-4", flexible="4+")
class OffsetCommitValue(Struct):
    offset: int = int64()
    leader_epoch: int = int32("3+", default=-1, ignorable=True)
    metadata: str = string()
    commit_timestamp: int = int64()
    expire_timestamp: int = int64("1", default=-1, ignorable=True)
    topic_id: bytes = uuid("4+", ignorable=True, tag=0)


@record("coordinator-key", 2, versions="0")
class GroupMetadataKey(Struct):
    group: str = string("0")


class MemberMetadata(Struct):
    member_id: str = string()
    group_instance_id: str | None = string("3+", nullable="3+", default=None, ignorable=True)
    client_id: str = string()
    client_host: str = string()
    rebalance_timeout: int = int32("1+", default=-1, ignorable=True)
    session_timeout: int = int32()
    subscription: bytes = binary()
    assignment: bytes = binary()


@record("coordinator-value", 2, versions="0-4", flexible="4+")
class GroupMetadataValue(Struct):
    protocol_type: str = string()
    generation: int = int32()
    protocol: str | None = string(nullable="0+")
    leader: str | None = string(nullable="0+")
    current_state_timestamp: int = int64("2+", default=-1, ignorable=True)
    members: list[MemberMetadata] = array(MemberMetadata)
