"""Records of streams groups (KIP-1071) in `__consumer_offsets`."""

from kwire.schema import Struct, array, int8, int16, int32, int64, nested, record, string, uint16


@record("coordinator-key", 17, versions="0")
class StreamsGroupMetadataKey(Struct):
    group_id: str = string("0")


class LastAssignmentConfig(Struct):
    key: str = string()
    value: str = string()


@record("coordinator-value", 17, versions="0", flexible="0+")
class StreamsGroupMetadataValue(Struct):
    epoch: int = int32()
    metadata_hash: int = int64()
    validated_topology_epoch: int = int32(default=-1, tag=0)
    last_assignment_configs: list[LastAssignmentConfig] | None = array(LastAssignmentConfig, nullable="0+", tag=1)


@record("coordinator-key", 19, versions="0")
class StreamsGroupMemberMetadataKey(Struct):
    group_id: str = string("0")
    member_id: str = string("0")


class Endpoint(Struct):
    host: str = string()
    port: int = uint16()


class KeyValue(Struct):
    key: str = string()
    value: str = string()


@record("coordinator-value", 19, versions="0", flexible="0+")
class StreamsGroupMemberMetadataValue(Struct):
    instance_id: str | None = string(nullable="0+")
    rack_id: str | None = string(nullable="0+")
    client_id: str = string()
    client_host: str = string()
    rebalance_timeout_ms: int = int32(default=-1)
    topology_epoch: int = int32()
    process_id: str = string()
    user_endpoint: Endpoint | None = nested(Endpoint, nullable="0+", default=None)
    client_tags: list[KeyValue] = array(KeyValue)


@record("coordinator-key", 20, versions="0")
class StreamsGroupTargetAssignmentMetadataKey(Struct):
    group_id: str = string("0")


@record("coordinator-value", 20, versions="0", flexible="0+")
class StreamsGroupTargetAssignmentMetadataValue(Struct):
    assignment_epoch: int = int32()
    assignment_timestamp: int = int64(ignorable=True, tag=0)


@record("coordinator-key", 21, versions="0")
class StreamsGroupTargetAssignmentMemberKey(Struct):
    group_id: str = string("0")
    member_id: str = string("0")


class StreamsGroupTargetAssignmentMemberTaskIds(Struct):
    subtopology_id: str = string()
    partitions: list[int] = array(int32)


@record("coordinator-value", 21, versions="0", flexible="0+")
class StreamsGroupTargetAssignmentMemberValue(Struct):
    active_tasks: list[StreamsGroupTargetAssignmentMemberTaskIds] = array(StreamsGroupTargetAssignmentMemberTaskIds)
    standby_tasks: list[StreamsGroupTargetAssignmentMemberTaskIds] = array(StreamsGroupTargetAssignmentMemberTaskIds)
    warmup_tasks: list[StreamsGroupTargetAssignmentMemberTaskIds] = array(StreamsGroupTargetAssignmentMemberTaskIds)


@record("coordinator-key", 22, versions="0")
class StreamsGroupCurrentMemberAssignmentKey(Struct):
    group_id: str = string("0")
    member_id: str = string("0")


class StreamsGroupCurrentMemberAssignmentTaskIds(Struct):
    subtopology_id: str = string()
    partitions: list[int] = array(int32)
    assignment_epochs: list[int] | None = array(int32, nullable="0+", tag=0)


@record("coordinator-value", 22, versions="0", flexible="0+")
class StreamsGroupCurrentMemberAssignmentValue(Struct):
    member_epoch: int = int32()
    previous_member_epoch: int = int32()
    state: int = int8()
    active_tasks: list[StreamsGroupCurrentMemberAssignmentTaskIds] = array(StreamsGroupCurrentMemberAssignmentTaskIds)
    standby_tasks: list[StreamsGroupCurrentMemberAssignmentTaskIds] = array(StreamsGroupCurrentMemberAssignmentTaskIds)
    warmup_tasks: list[StreamsGroupCurrentMemberAssignmentTaskIds] = array(StreamsGroupCurrentMemberAssignmentTaskIds)
    active_tasks_pending_revocation: list[StreamsGroupCurrentMemberAssignmentTaskIds] = array(
        StreamsGroupCurrentMemberAssignmentTaskIds
    )
    standby_tasks_pending_revocation: list[StreamsGroupCurrentMemberAssignmentTaskIds] = array(
        StreamsGroupCurrentMemberAssignmentTaskIds
    )
    warmup_tasks_pending_revocation: list[StreamsGroupCurrentMemberAssignmentTaskIds] = array(
        StreamsGroupCurrentMemberAssignmentTaskIds
    )


@record("coordinator-key", 23, versions="0")
class StreamsGroupTopologyKey(Struct):
    group_id: str = string("0")


class TopicConfig(Struct):
    key: str = string()
    value: str = string()


class TopicInfo(Struct):
    name: str = string()
    partitions: int = int32()
    replication_factor: int = int16()
    topic_configs: list[TopicConfig] = array(TopicConfig)


class CopartitionGroup(Struct):
    source_topics: list[int] = array(int16)
    source_topic_regex: list[int] = array(int16)
    repartition_source_topics: list[int] = array(int16)


class Subtopology(Struct):
    subtopology_id: str = string()
    source_topics: list[str] = array(string)
    source_topic_regex: list[str] = array(string)
    state_changelog_topics: list[TopicInfo] = array(TopicInfo)
    repartition_sink_topics: list[str] = array(string)
    repartition_source_topics: list[TopicInfo] = array(TopicInfo)
    copartition_groups: list[CopartitionGroup] = array(CopartitionGroup)


@record("coordinator-value", 23, versions="0", flexible="0+")
class StreamsGroupTopologyValue(Struct):
    epoch: int = int32()
    subtopologies: list[Subtopology] = array(Subtopology)
