"""AlterReplicaLogDirs (API 34). Versions 1-2, flexible from 2; 0 as in Kafka 3.9."""

from kwire.api_keys import ApiKey
from kwire.schema import Struct, array, int16, int32, message, string


class AlterReplicaLogDirTopic(Struct):
    name: str = string()
    partitions: list[int] = array(int32)


class AlterReplicaLogDir(Struct):
    path: str = string()
    topics: list[AlterReplicaLogDirTopic] = array(AlterReplicaLogDirTopic)


@message(ApiKey.ALTER_REPLICA_LOG_DIRS, versions="1-2", flexible="2+", removed="0")
class AlterReplicaLogDirsRequest(Struct):
    dirs: list[AlterReplicaLogDir] = array(AlterReplicaLogDir)


class AlterReplicaLogDirPartitionResult(Struct):
    partition_index: int = int32()
    error_code: int = int16()


class AlterReplicaLogDirTopicResult(Struct):
    topic_name: str = string()
    partitions: list[AlterReplicaLogDirPartitionResult] = array(AlterReplicaLogDirPartitionResult)


@message(ApiKey.ALTER_REPLICA_LOG_DIRS, versions="1-2", flexible="2+", removed="0")
class AlterReplicaLogDirsResponse(Struct):
    throttle_time_ms: int = int32()
    results: list[AlterReplicaLogDirTopicResult] = array(AlterReplicaLogDirTopicResult)
