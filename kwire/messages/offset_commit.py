"""OffsetCommit (API 8). Versions 2-10, flexible from 8; 0-1 as in Kafka 3.9.

Request v1 adds commit_timestamp, generation_id_or_member_epoch, member_id.
Request v2 adds retention_time_ms; drops commit_timestamp.
Request v5 drops retention_time_ms.
Request v6 adds committed_leader_epoch.
Request v7 adds group_instance_id.
Request v10 adds topic_id; drops name.
Response v3 adds throttle_time_ms.
Response v10 adds topic_id; drops name.
"""

from kwire.api_keys import ApiKey
from kwire.schema import Struct, array, int16, int32, int64, message, string, uuid


class OffsetCommitRequestPartition(Struct):
    partition_index: int = int32()
    committed_offset: int = int64()
    committed_leader_epoch: int = int32("6+", default=-1, ignorable=True)
    commit_timestamp: int = int64("1", default=-1)  # as in 3.9
    committed_metadata: str | None = string(nullable="0+")


class OffsetCommitRequestTopic(Struct):
    name: str = string("0-9", ignorable=True)
    topic_id: bytes = uuid("10+", ignorable=True)
    partitions: list[OffsetCommitRequestPartition] = array(OffsetCommitRequestPartition)


@message(ApiKey.OFFSET_COMMIT, versions="2-10", flexible="8+", removed="0-1")
class OffsetCommitRequest(Struct):
    group_id: str = string()
    generation_id_or_member_epoch: int = int32("1+", default=-1, ignorable=True)
    member_id: str = string("1+", ignorable=True)
    group_instance_id: str | None = string("7+", nullable="7+", default=None)
    retention_time_ms: int = int64("2-4", default=-1, ignorable=True)
    topics: list[OffsetCommitRequestTopic] = array(OffsetCommitRequestTopic)


class OffsetCommitResponsePartition(Struct):
    partition_index: int = int32()
    error_code: int = int16()


class OffsetCommitResponseTopic(Struct):
    name: str = string("0-9", ignorable=True)
    topic_id: bytes = uuid("10+", ignorable=True)
    partitions: list[OffsetCommitResponsePartition] = array(OffsetCommitResponsePartition)


@message(ApiKey.OFFSET_COMMIT, versions="2-10", flexible="8+", removed="0-1")
class OffsetCommitResponse(Struct):
    throttle_time_ms: int = int32("3+", ignorable=True)
    topics: list[OffsetCommitResponseTopic] = array(OffsetCommitResponseTopic)
