"""Metadata (API 3). Versions 0-13, flexible from 9.

Request v1 allows null for topics.
Request v4 adds allow_auto_topic_creation.
Request v8 adds include_cluster_authorized_operations, include_topic_authorized_operations.
Request v10 adds topic_id; allows null for name.
Request v11 drops include_cluster_authorized_operations.
Response v1 adds rack, is_internal, controller_id.
Response v2 adds cluster_id.
Response v3 adds throttle_time_ms.
Response v5 adds offline_replicas.
Response v7 adds leader_epoch.
Response v8 adds topic_authorized_operations, cluster_authorized_operations.
Response v10 adds topic_id.
Response v11 drops cluster_authorized_operations.
Response v12 allows null for name.
Response v13 adds error_code.
"""

from kwire.api_keys import ApiKey
from kwire.schema import Struct, array, boolean, int16, int32, message, string, uuid


class MetadataRequestTopic(Struct):
    topic_id: bytes = uuid("10+", ignorable=True)
    name: str | None = string(nullable="10+")


@message(ApiKey.METADATA, versions="0-13", flexible="9+")
class MetadataRequest(Struct):
    topics: list[MetadataRequestTopic] | None = array(MetadataRequestTopic, nullable="1+")
    allow_auto_topic_creation: bool = boolean("4+", default=True)
    include_cluster_authorized_operations: bool = boolean("8-10")
    include_topic_authorized_operations: bool = boolean("8+")


class MetadataResponseBroker(Struct):
    node_id: int = int32()
    host: str = string()
    port: int = int32()
    rack: str | None = string("1+", nullable="1+", default=None, ignorable=True)


class MetadataResponsePartition(Struct):
    error_code: int = int16()
    partition_index: int = int32()
    leader_id: int = int32()
    leader_epoch: int = int32("7+", default=-1, ignorable=True)
    replica_nodes: list[int] = array(int32)
    isr_nodes: list[int] = array(int32)
    offline_replicas: list[int] = array(int32, "5+", ignorable=True)


class MetadataResponseTopic(Struct):
    error_code: int = int16()
    name: str | None = string(nullable="12+")
    topic_id: bytes = uuid("10+", ignorable=True)
    is_internal: bool = boolean("1+", ignorable=True)
    partitions: list[MetadataResponsePartition] = array(MetadataResponsePartition)
    topic_authorized_operations: int = int32("8+", default=-2147483648)


@message(ApiKey.METADATA, versions="0-13", flexible="9+")
class MetadataResponse(Struct):
    throttle_time_ms: int = int32("3+", ignorable=True)
    brokers: list[MetadataResponseBroker] = array(MetadataResponseBroker)
    cluster_id: str | None = string("2+", nullable="2+", default=None, ignorable=True)
    controller_id: int = int32("1+", default=-1, ignorable=True)
    topics: list[MetadataResponseTopic] = array(MetadataResponseTopic)
    cluster_authorized_operations: int = int32("8-10", default=-2147483648)
    error_code: int = int16("13+", ignorable=True)
