"""ShareGroupHeartbeat (API 76). Versions 1, flexible from 0; 0 as in Kafka 3.9."""

from kwire.api_keys import ApiKey
from kwire.schema import Struct, array, int16, int32, message, nested, string, uuid


@message(ApiKey.SHARE_GROUP_HEARTBEAT, versions="1", flexible="0+", removed="0")
class ShareGroupHeartbeatRequest(Struct):
    group_id: str = string()
    member_id: str = string()
    member_epoch: int = int32()
    rack_id: str | None = string(nullable="0+", default=None)
    subscribed_topic_names: list[str] | None = array(string, nullable="0+", default=None)


class TopicPartitions(Struct):
    topic_id: bytes = uuid()
    partitions: list[int] = array(int32)


class Assignment(Struct):
    topic_partitions: list[TopicPartitions] = array(TopicPartitions)


@message(ApiKey.SHARE_GROUP_HEARTBEAT, versions="1", flexible="0+", removed="0")
class ShareGroupHeartbeatResponse(Struct):
    throttle_time_ms: int = int32()
    error_code: int = int16()
    error_message: str | None = string(nullable="0+", default=None)
    member_id: str | None = string(nullable="0+", default=None)
    member_epoch: int = int32()
    heartbeat_interval_ms: int = int32()
    assignment: Assignment | None = nested(Assignment, nullable="0+", default=None)
