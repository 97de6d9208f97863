"""AlterReplicaLogDirs: move replicas between this broker's directories.  (KIP-113)"""

from __future__ import annotations

from broker.context import RequestContext
from broker.log_dirs import LogDirs
from kwire.error_codes import ErrorCode
from kwire.errors import ApiError
from kwire.messages.alter_replica_log_dirs import (
    AlterReplicaLogDirPartitionResult,
    AlterReplicaLogDirsRequest,
    AlterReplicaLogDirsResponse,
    AlterReplicaLogDirTopicResult,
)


def alter_replica_log_dirs(
    request: AlterReplicaLogDirsRequest, ctx: RequestContext, log_dirs: LogDirs
) -> AlterReplicaLogDirsResponse:
    """One answer per partition, at once; the move itself goes on behind it."""
    topics: dict[str, AlterReplicaLogDirTopicResult] = {}
    for directory in request.dirs:
        for topic in directory.topics:
            result = topics.setdefault(topic.name, AlterReplicaLogDirTopicResult(topic_name=topic.name))
            for index in topic.partitions:
                code = ErrorCode.NONE
                try:
                    log_dirs.move(topic.name, index, directory.path)
                except ApiError as error:
                    code = error.code
                result.partitions.append(AlterReplicaLogDirPartitionResult(partition_index=index, error_code=code))
    return AlterReplicaLogDirsResponse(results=list(topics.values()))
