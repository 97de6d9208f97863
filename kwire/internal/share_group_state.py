"""Records of `__share_group_state` (KIP-932)."""

from kwire.schema import Struct, array, int8, int16, int32, int64, record, string, uuid


@record("coordinator-key", 0, versions="0")
class ShareSnapshotKey(Struct):
    group_id: str = string("0")
    topic_id: bytes = uuid("0")
    partition: int = int32("0")


class StateBatch(Struct):
    first_offset: int = int64()
    last_offset: int = int64()
    delivery_state: int = int8()
    delivery_count: int = int16()


@record("coordinator-value", 0, versions="0", flexible="0+")
class ShareSnapshotValue(Struct):
    snapshot_epoch: int = int32()
    state_epoch: int = int32()
    leader_epoch: int = int32()
    start_offset: int = int64()
    delivery_complete_count: int = int32(default=-1, tag=0)
    create_timestamp: int = int64()
    write_timestamp: int = int64()
    state_batches: list[StateBatch] = array(StateBatch)


@record("coordinator-key", 1, versions="0")
class ShareUpdateKey(Struct):
    group_id: str = string("0")
    topic_id: bytes = uuid("0")
    partition: int = int32("0")


@record("coordinator-value", 1, versions="0", flexible="0+")
class ShareUpdateValue(Struct):
    snapshot_epoch: int = int32()
    leader_epoch: int = int32()
    start_offset: int = int64()
    delivery_complete_count: int = int32(default=-1, tag=0)
    state_batches: list[StateBatch] = array(StateBatch)
