"""AssignReplicasToDirs (API 73). Versions 0, flexible from 0."""

from kwire.api_keys import ApiKey
from kwire.schema import Struct, array, int16, int32, int64, message, uuid


class RequestPartitionData(Struct):
    partition_index: int = int32()


class RequestTopicData(Struct):
    topic_id: bytes = uuid()
    partitions: list[RequestPartitionData] = array(RequestPartitionData)


class RequestDirectoryData(Struct):
    id: bytes = uuid()
    topics: list[RequestTopicData] = array(RequestTopicData)


@message(ApiKey.ASSIGN_REPLICAS_TO_DIRS, versions="0", flexible="0+")
class AssignReplicasToDirsRequest(Struct):
    broker_id: int = int32()
    broker_epoch: int = int64(default=-1)
    directories: list[RequestDirectoryData] = array(RequestDirectoryData)


class ResponsePartitionData(Struct):
    partition_index: int = int32()
    error_code: int = int16()


class ResponseTopicData(Struct):
    topic_id: bytes = uuid()
    partitions: list[ResponsePartitionData] = array(ResponsePartitionData)


class ResponseDirectoryData(Struct):
    id: bytes = uuid()
    topics: list[ResponseTopicData] = array(ResponseTopicData)


@message(ApiKey.ASSIGN_REPLICAS_TO_DIRS, versions="0", flexible="0+")
class AssignReplicasToDirsResponse(Struct):
    throttle_time_ms: int = int32()
    error_code: int = int16()
    directories: list[ResponseDirectoryData] = array(ResponseDirectoryData)
