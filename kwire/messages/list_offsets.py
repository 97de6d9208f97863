"""ListOffsets (API 2). Versions 1-11, flexible from 6; 0 as in Kafka 3.9.

Request v1 drops max_num_offsets.
Request v2 adds isolation_level.
Request v4 adds current_leader_epoch.
Request v10 adds timeout_ms.
Response v1 adds timestamp, offset; drops old_style_offsets.
Response v2 adds throttle_time_ms.
Response v4 adds leader_epoch.
"""

from kwire.api_keys import ApiKey
from kwire.schema import Struct, array, int8, int16, int32, int64, message, string


class ListOffsetsPartition(Struct):
    partition_index: int = int32()
    current_leader_epoch: int = int32("4+", default=-1, ignorable=True)
    timestamp: int = int64()
    max_num_offsets: int = int32("0", default=1)  # as in 3.9


class ListOffsetsTopic(Struct):
    name: str = string()
    partitions: list[ListOffsetsPartition] = array(ListOffsetsPartition)


@message(ApiKey.LIST_OFFSETS, versions="1-11", flexible="6+", removed="0")
class ListOffsetsRequest(Struct):
    replica_id: int = int32()
    isolation_level: int = int8("2+")
    topics: list[ListOffsetsTopic] = array(ListOffsetsTopic)
    timeout_ms: int = int32("10+", ignorable=True)


class ListOffsetsPartitionResponse(Struct):
    partition_index: int = int32()
    error_code: int = int16()
    old_style_offsets: list[int] = array(int64, "0")  # as in 3.9
    timestamp: int = int64("1+", default=-1)
    offset: int = int64("1+", default=-1)
    leader_epoch: int = int32("4+", default=-1)


class ListOffsetsTopicResponse(Struct):
    name: str = string()
    partitions: list[ListOffsetsPartitionResponse] = array(ListOffsetsPartitionResponse)


@message(ApiKey.LIST_OFFSETS, versions="1-11", flexible="6+", removed="0")
class ListOffsetsResponse(Struct):
    throttle_time_ms: int = int32("2+", ignorable=True)
    topics: list[ListOffsetsTopicResponse] = array(ListOffsetsTopicResponse)
