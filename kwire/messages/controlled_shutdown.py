"""ControlledShutdown (API 7). Removed in Kafka 4.0; versions 0-3 are those of 3.9, flexible from 3.

Request v2 adds broker_epoch.
"""

from kwire.api_keys import ApiKey
from kwire.schema import Struct, array, int16, int32, int64, message, string


@message(ApiKey.CONTROLLED_SHUTDOWN, versions="none", flexible="3+", removed="0-3")
class ControlledShutdownRequest(Struct):
    broker_id: int = int32("0-3")
    broker_epoch: int = int64("2-3", default=-1, ignorable=True)


class RemainingPartition(Struct):
    topic_name: str = string("0-3")
    partition_index: int = int32("0-3")


@message(ApiKey.CONTROLLED_SHUTDOWN, versions="none", flexible="3+", removed="0-3")
class ControlledShutdownResponse(Struct):
    error_code: int = int16("0-3")
    remaining_partitions: list[RemainingPartition] = array(RemainingPartition, "0-3")
