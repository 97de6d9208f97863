"""Produce (API 0). Versions 3-13, flexible from 9; 0-2 as in Kafka 3.9.

Request v3 adds transactional_id.
Request v13 adds topic_id; drops name.
Response v1 adds throttle_time_ms.
Response v2 adds log_append_time_ms.
Response v5 adds log_start_offset.
Response v8 adds batch_index, batch_index_error_message, record_errors, error_message.
Response v10 adds leader_id, leader_epoch, current_leader, node_id, host, port, rack, node_endpoints.
Response v13 adds topic_id; drops name.
"""

from kwire.api_keys import ApiKey
from kwire.primitives import Records
from kwire.schema import Struct, array, int16, int32, int64, message, nested, record_data, string, uuid


class PartitionProduceData(Struct):
    index: int = int32()
    records: Records | None = record_data(nullable="0+")


class TopicProduceData(Struct):
    name: str = string("0-12", ignorable=True)
    topic_id: bytes = uuid("13+", ignorable=True)
    partition_data: list[PartitionProduceData] = array(PartitionProduceData)


@message(ApiKey.PRODUCE, versions="3-13", flexible="9+", removed="0-2")
class ProduceRequest(Struct):
    transactional_id: str | None = string("3+", nullable="3+", default=None)
    acks: int = int16()
    timeout_ms: int = int32()
    topic_data: list[TopicProduceData] = array(TopicProduceData)


class BatchIndexAndErrorMessage(Struct):
    batch_index: int = int32("8+")
    batch_index_error_message: str | None = string("8+", nullable="8+", default=None)


class LeaderIdAndEpoch(Struct):
    leader_id: int = int32("10+", default=-1)
    leader_epoch: int = int32("10+", default=-1)


class PartitionProduceResponse(Struct):
    index: int = int32()
    error_code: int = int16()
    base_offset: int = int64()
    log_append_time_ms: int = int64("2+", default=-1, ignorable=True)
    log_start_offset: int = int64("5+", default=-1, ignorable=True)
    record_errors: list[BatchIndexAndErrorMessage] = array(BatchIndexAndErrorMessage, "8+", ignorable=True)
    error_message: str | None = string("8+", nullable="8+", default=None, ignorable=True)
    current_leader: LeaderIdAndEpoch = nested(LeaderIdAndEpoch, "10+", tag=0)


class TopicProduceResponse(Struct):
    name: str = string("0-12", ignorable=True)
    topic_id: bytes = uuid("13+", ignorable=True)
    partition_responses: list[PartitionProduceResponse] = array(PartitionProduceResponse)


class NodeEndpoint(Struct):
    node_id: int = int32("10+")
    host: str = string("10+")
    port: int = int32("10+")
    rack: str | None = string("10+", nullable="10+", default=None)


@message(ApiKey.PRODUCE, versions="3-13", flexible="9+", removed="0-2")
class ProduceResponse(Struct):
    responses: list[TopicProduceResponse] = array(TopicProduceResponse)
    throttle_time_ms: int = int32("1+", ignorable=True)
    node_endpoints: list[NodeEndpoint] = array(NodeEndpoint, "10+", tag=0)
