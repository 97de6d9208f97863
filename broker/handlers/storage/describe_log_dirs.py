"""DescribeLogDirs: sizes of replicas, room on the disks.  (KIP-113, KIP-827; Kafka: ReplicaManager.describeLogDirs)"""

from __future__ import annotations

from broker.context import RequestContext
from broker.log_dirs import LogDirs
from kwire.error_codes import ErrorCode
from kwire.messages.describe_log_dirs import (
    DescribeLogDirsPartition,
    DescribeLogDirsRequest,
    DescribeLogDirsResponse,
    DescribeLogDirsResult,
    DescribeLogDirsTopic,
)


def describe_log_dirs(
    request: DescribeLogDirsRequest, ctx: RequestContext, log_dirs: LogDirs
) -> DescribeLogDirsResponse:
    """One result per directory; topics null asks for every replica, unknown ones are left out."""
    wanted = None
    if request.topics is not None:
        wanted = {(topic.topic, index) for topic in request.topics for index in topic.partitions}
    by_path: dict[str, dict[str, DescribeLogDirsTopic]] = {}
    for directory, replica in log_dirs.replicas(wanted):
        topics = by_path.setdefault(directory.path, {})
        topic = topics.setdefault(replica.topic, DescribeLogDirsTopic(name=replica.topic))
        topic.partitions.append(
            DescribeLogDirsPartition(
                partition_index=replica.partition, partition_size=replica.size_bytes, offset_lag=0, is_future_key=False
            )
        )
    results = []
    for directory in log_dirs.directories():
        code = log_dirs.error_of(directory)
        space = log_dirs.space(directory)
        results.append(
            DescribeLogDirsResult(
                error_code=code,
                log_dir=directory.path,
                topics=list(by_path.get(directory.path, {}).values()) if code is ErrorCode.NONE else [],
                total_bytes=space.total_bytes,
                usable_bytes=space.usable_bytes,
            )
        )
    return DescribeLogDirsResponse(results=results)
