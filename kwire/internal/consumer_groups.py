"""Records of consumer groups (KIP-848) in `__consumer_offsets`."""

from kwire.schema import Struct, array, binary, int8, int32, int64, nested, record, string, uuid


@record("coordinator-key", 3, versions="0")
class ConsumerGroupMetadataKey(Struct):
    group_id: str = string("0")


@record("coordinator-value", 3, versions="0", flexible="0+")
class ConsumerGroupMetadataValue(Struct):
    epoch: int = int32()
    metadata_hash: int = int64(tag=0)


@record("coordinator-key", 4, versions="0")
class ConsumerGroupPartitionMetadataKey(Struct):
    group_id: str = string("0")


class PartitionMetadata(Struct):
    partition: int = int32()
    racks: list[str] = array(string)


class TopicMetadata(Struct):
    topic_id: bytes = uuid()
    topic_name: str = string()
    num_partitions: int = int32()
    partition_metadata: list[PartitionMetadata] = array(PartitionMetadata)


@record("coordinator-value", 4, versions="0", flexible="0+")
class ConsumerGroupPartitionMetadataValue(Struct):
    topics: list[TopicMetadata] = array(TopicMetadata)


@record("coordinator-key", 5, versions="0")
class ConsumerGroupMemberMetadataKey(Struct):
    group_id: str = string("0")
    member_id: str = string("0")


class ClassicProtocol(Struct):
    name: str = string()
    metadata: bytes = binary()


class ClassicMemberMetadata(Struct):
    session_timeout_ms: int = int32()
    supported_protocols: list[ClassicProtocol] = array(ClassicProtocol)


@record("coordinator-value", 5, versions="0", flexible="0+")
class ConsumerGroupMemberMetadataValue(Struct):
    instance_id: str | None = string(nullable="0+")
    rack_id: str | None = string(nullable="0+")
    client_id: str = string()
    client_host: str = string()
    subscribed_topic_names: list[str] = array(string)
    subscribed_topic_regex: str | None = string(nullable="0+")
    rebalance_timeout_ms: int = int32(default=-1)
    server_assignor: str | None = string(nullable="0+")
    classic_member_metadata: ClassicMemberMetadata | None = nested(ClassicMemberMetadata, nullable="0+", tag=0)


@record("coordinator-key", 6, versions="0")
class ConsumerGroupTargetAssignmentMetadataKey(Struct):
    group_id: str = string("0")


@record("coordinator-value", 6, versions="0", flexible="0+")
class ConsumerGroupTargetAssignmentMetadataValue(Struct):
    assignment_epoch: int = int32()
    assignment_timestamp: int = int64(ignorable=True, tag=0)


@record("coordinator-key", 7, versions="0")
class ConsumerGroupTargetAssignmentMemberKey(Struct):
    group_id: str = string("0")
    member_id: str = string("0")


class TopicPartition(Struct):
    topic_id: bytes = uuid()
    partitions: list[int] = array(int32)


@record("coordinator-value", 7, versions="0", flexible="0+")
class ConsumerGroupTargetAssignmentMemberValue(Struct):
    topic_partitions: list[TopicPartition] = array(TopicPartition)


@record("coordinator-key", 8, versions="0")
class ConsumerGroupCurrentMemberAssignmentKey(Struct):
    group_id: str = string("0")
    member_id: str = string("0")


class TopicPartitions(Struct):
    topic_id: bytes = uuid()
    partitions: list[int] = array(int32)
    assignment_epochs: list[int] | None = array(int32, nullable="0+", tag=0)


@record("coordinator-value", 8, versions="0", flexible="0+")
class ConsumerGroupCurrentMemberAssignmentValue(Struct):
    member_epoch: int = int32()
    previous_member_epoch: int = int32()
    state: int = int8()
    assigned_partitions: list[TopicPartitions] = array(TopicPartitions)
    partitions_pending_revocation: list[TopicPartitions] = array(TopicPartitions)


@record("coordinator-key", 16, versions="0")
class ConsumerGroupRegularExpressionKey(Struct):
    group_id: str = string("0")
    regular_expression: str = string("0")


@record("coordinator-value", 16, versions="0", flexible="0+")
class ConsumerGroupRegularExpressionValue(Struct):
    topics: list[str] = array(string)
    version: int = int64()
    timestamp: int = int64()
