"""DescribeLogDirs (API 35). Versions 1-5, flexible from 2; 0 as in Kafka 3.9.

Response v3 adds error_code.
Response v4 adds total_bytes, usable_bytes.
Response v5 adds is_cordoned.
"""

from kwire.api_keys import ApiKey
from kwire.schema import Struct, array, boolean, int16, int32, int64, message, string


class DescribableLogDirTopic(Struct):
    topic: str = string()
    partitions: list[int] = array(int32)


@message(ApiKey.DESCRIBE_LOG_DIRS, versions="1-5", flexible="2+", removed="0")
class DescribeLogDirsRequest(Struct):
    topics: list[DescribableLogDirTopic] | None = array(DescribableLogDirTopic, nullable="0+")


class DescribeLogDirsPartition(Struct):
    partition_index: int = int32()
    partition_size: int = int64()
    offset_lag: int = int64()
    is_future_key: bool = boolean()


class DescribeLogDirsTopic(Struct):
    name: str = string()
    partitions: list[DescribeLogDirsPartition] = array(DescribeLogDirsPartition)


class DescribeLogDirsResult(Struct):
    error_code: int = int16()
    log_dir: str = string()
    topics: list[DescribeLogDirsTopic] = array(DescribeLogDirsTopic)
    total_bytes: int = int64("4+", default=-1, ignorable=True)
    usable_bytes: int = int64("4+", default=-1, ignorable=True)
    is_cordoned: bool = boolean("5+", ignorable=True)


@message(ApiKey.DESCRIBE_LOG_DIRS, versions="1-5", flexible="2+", removed="0")
class DescribeLogDirsResponse(Struct):
    throttle_time_ms: int = int32()
    error_code: int = int16("3+", ignorable=True)
    results: list[DescribeLogDirsResult] = array(DescribeLogDirsResult)
