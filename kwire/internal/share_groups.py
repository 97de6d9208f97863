"""Records of share groups (KIP-932) in `__consumer_offsets`."""

from kwire.schema import Struct, array, int8, int32, int64, record, string, uuid


@record("coordinator-key", 10, versions="0")
class ShareGroupMemberMetadataKey(Struct):
    group_id: str = string("0")
    member_id: str = string("0")


@record("coordinator-value", 10, versions="0", flexible="0+")
class ShareGroupMemberMetadataValue(Struct):
    rack_id: str | None = string(nullable="0+")
    client_id: str = string()
    client_host: str = string()
    subscribed_topic_names: list[str] = array(string)


@record("coordinator-key", 11, versions="0")
class ShareGroupMetadataKey(Struct):
    group_id: str = string("0")


@record("coordinator-value", 11, versions="0", flexible="0+")
class ShareGroupMetadataValue(Struct):
    epoch: int = int32()
    metadata_hash: int = int64()


@record("coordinator-key", 12, versions="0")
class ShareGroupTargetAssignmentMetadataKey(Struct):
    group_id: str = string("0")


@record("coordinator-value", 12, versions="0", flexible="0+")
class ShareGroupTargetAssignmentMetadataValue(Struct):
    assignment_epoch: int = int32()
    assignment_timestamp: int = int64(ignorable=True, tag=0)


@record("coordinator-key", 13, versions="0")
class ShareGroupTargetAssignmentMemberKey(Struct):
    group_id: str = string("0")
    member_id: str = string("0")


class TopicPartition(Struct):
    topic_id: bytes = uuid()
    partitions: list[int] = array(int32)


@record("coordinator-value", 13, versions="0", flexible="0+")
class ShareGroupTargetAssignmentMemberValue(Struct):
    topic_partitions: list[TopicPartition] = array(TopicPartition)


@record("coordinator-key", 14, versions="0")
class ShareGroupCurrentMemberAssignmentKey(Struct):
    group_id: str = string("0")
    member_id: str = string("0")


class TopicPartitions(Struct):
    topic_id: bytes = uuid()
    partitions: list[int] = array(int32)


@record("coordinator-value", 14, versions="0", flexible="0+")
class ShareGroupCurrentMemberAssignmentValue(Struct):
    member_epoch: int = int32()
    previous_member_epoch: int = int32()
    state: int = int8()
    assigned_partitions: list[TopicPartitions] = array(TopicPartitions)


@record("coordinator-key", 15, versions="0")
class ShareGroupStatePartitionMetadataKey(Struct):
    group_id: str = string("0")


class TopicPartitionsInfo(Struct):
    topic_id: bytes = uuid()
    topic_name: str = string()
    partitions: list[int] = array(int32)


class TopicInfo(Struct):
    topic_id: bytes = uuid()
    topic_name: str = string()


@record("coordinator-value", 15, versions="0", flexible="0+")
class ShareGroupStatePartitionMetadataValue(Struct):
    initializing_topics: list[TopicPartitionsInfo] = array(TopicPartitionsInfo)
    initialized_topics: list[TopicPartitionsInfo] = array(TopicPartitionsInfo)
    deleting_topics: list[TopicInfo] = array(TopicInfo)
