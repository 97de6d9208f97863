"""OffsetForLeaderEpoch (API 23). Versions 2-4, flexible from 4; 0-1 as in Kafka 3.9.

Request v2 adds current_leader_epoch.
Request v3 adds replica_id.
Response v1 adds leader_epoch.
Response v2 adds throttle_time_ms.
"""

from kwire.api_keys import ApiKey
from kwire.schema import Struct, array, int16, int32, int64, message, string


class OffsetForLeaderPartition(Struct):
    partition: int = int32()
    current_leader_epoch: int = int32("2+", default=-1, ignorable=True)
    leader_epoch: int = int32()


class OffsetForLeaderTopic(Struct):
    topic: str = string()
    partitions: list[OffsetForLeaderPartition] = array(OffsetForLeaderPartition)


@message(ApiKey.OFFSET_FOR_LEADER_EPOCH, versions="2-4", flexible="4+", removed="0-1")
class OffsetForLeaderEpochRequest(Struct):
    replica_id: int = int32("3+", default=-2, ignorable=True)
    topics: list[OffsetForLeaderTopic] = array(OffsetForLeaderTopic)


class EpochEndOffset(Struct):
    error_code: int = int16()
    partition: int = int32()
    leader_epoch: int = int32("1+", default=-1, ignorable=True)
    end_offset: int = int64(default=-1)


class OffsetForLeaderTopicResult(Struct):
    topic: str = string()
    partitions: list[EpochEndOffset] = array(EpochEndOffset)


@message(ApiKey.OFFSET_FOR_LEADER_EPOCH, versions="2-4", flexible="4+", removed="0-1")
class OffsetForLeaderEpochResponse(Struct):
    throttle_time_ms: int = int32("2+", ignorable=True)
    topics: list[OffsetForLeaderTopicResult] = array(OffsetForLeaderTopicResult)
