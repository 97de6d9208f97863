"""UpdateMetadata (API 6). Removed in Kafka 4.0; versions 0-8 are those of 3.9, flexible from 6.

Request v1 adds port, host, security_protocol, endpoints; drops v0_host, v0_port.
Request v2 adds rack.
Request v3 adds listener.
Request v4 adds offline_replicas.
Request v5 adds topic_name, partition_states, broker_epoch, topic_states; drops topic_name,
   ungrouped_partition_states.
Request v7 adds topic_id.
Request v8 adds is_kraft_controller, type.
"""

from kwire.api_keys import ApiKey
from kwire.schema import Struct, array, boolean, int8, int16, int32, int64, message, string, uuid


class UpdateMetadataPartitionState(Struct):
    topic_name: str = string("0-4", ignorable=True)
    partition_index: int = int32("0-8")
    controller_epoch: int = int32("0-8")
    leader: int = int32("0-8")
    leader_epoch: int = int32("0-8")
    isr: list[int] = array(int32, "0-8")
    zk_version: int = int32("0-8")
    replicas: list[int] = array(int32, "0-8")
    offline_replicas: list[int] = array(int32, "4-8", ignorable=True)


class UpdateMetadataTopicState(Struct):
    topic_name: str = string("5-8")
    topic_id: bytes = uuid("7-8", ignorable=True)
    partition_states: list[UpdateMetadataPartitionState] = array(UpdateMetadataPartitionState, "5-8")


class UpdateMetadataEndpoint(Struct):
    port: int = int32("1-8")
    host: str = string("1-8")
    listener: str = string("3-8", ignorable=True)
    security_protocol: int = int16("1-8")


class UpdateMetadataBroker(Struct):
    id: int = int32("0-8")
    v0_host: str = string("0", ignorable=True)
    v0_port: int = int32("0", ignorable=True)
    endpoints: list[UpdateMetadataEndpoint] = array(UpdateMetadataEndpoint, "1-8", ignorable=True)
    rack: str | None = string("2-8", nullable="0-8", ignorable=True)


@message(ApiKey.UPDATE_METADATA, versions="none", flexible="6+", removed="0-8")
class UpdateMetadataRequest(Struct):
    controller_id: int = int32("0-8")
    is_kraft_controller: bool = boolean("8")
    type: int = int8("8", tag=0)
    controller_epoch: int = int32("0-8")
    broker_epoch: int = int64("5-8", default=-1, ignorable=True)
    ungrouped_partition_states: list[UpdateMetadataPartitionState] = array(UpdateMetadataPartitionState, "0-4")
    topic_states: list[UpdateMetadataTopicState] = array(UpdateMetadataTopicState, "5-8")
    live_brokers: list[UpdateMetadataBroker] = array(UpdateMetadataBroker, "0-8")


@message(ApiKey.UPDATE_METADATA, versions="none", flexible="6+", removed="0-8")
class UpdateMetadataResponse(Struct):
    error_code: int = int16("0-8")
