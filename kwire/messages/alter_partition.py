"""AlterPartition (API 56). Versions 2-3, flexible from 0; 0-1 as in Kafka 3.9.

Request v1 adds leader_recovery_state.
Request v2 adds topic_id; drops topic_name.
Request v3 adds broker_id, broker_epoch, new_isr_with_epochs; drops new_isr.
Response v1 adds leader_recovery_state.
Response v2 adds topic_id; drops topic_name.
"""

from kwire.api_keys import ApiKey
from kwire.schema import Struct, array, int8, int16, int32, int64, message, string, uuid


class BrokerState(Struct):
    broker_id: int = int32("3+")
    broker_epoch: int = int64("3+", default=-1)


class RequestPartitionData(Struct):
    partition_index: int = int32()
    leader_epoch: int = int32()
    new_isr: list[int] = array(int32, "0-2")
    new_isr_with_epochs: list[BrokerState] = array(BrokerState, "3+")
    leader_recovery_state: int = int8("1+")
    partition_epoch: int = int32()


class RequestTopicData(Struct):
    topic_name: str = string("0-1", ignorable=True)  # as in 3.9
    topic_id: bytes = uuid("2+", ignorable=True)
    partitions: list[RequestPartitionData] = array(RequestPartitionData)


@message(ApiKey.ALTER_PARTITION, versions="2-3", flexible="0+", removed="0-1")
class AlterPartitionRequest(Struct):
    broker_id: int = int32()
    broker_epoch: int = int64(default=-1)
    topics: list[RequestTopicData] = array(RequestTopicData)


class ResponsePartitionData(Struct):
    partition_index: int = int32()
    error_code: int = int16()
    leader_id: int = int32()
    leader_epoch: int = int32()
    isr: list[int] = array(int32)
    leader_recovery_state: int = int8("1+", ignorable=True)
    partition_epoch: int = int32()


class ResponseTopicData(Struct):
    topic_name: str = string("0-1", ignorable=True)  # as in 3.9
    topic_id: bytes = uuid("2+", ignorable=True)
    partitions: list[ResponsePartitionData] = array(ResponsePartitionData)


@message(ApiKey.ALTER_PARTITION, versions="2-3", flexible="0+", removed="0-1")
class AlterPartitionResponse(Struct):
    throttle_time_ms: int = int32()
    error_code: int = int16()
    topics: list[ResponseTopicData] = array(ResponseTopicData)
