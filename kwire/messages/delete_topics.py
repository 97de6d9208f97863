"""DeleteTopics (API 20). Versions 1-6, flexible from 4; 0 as in Kafka 3.9.

Request v6 adds name, topic_id, topics; drops topic_names.
Response v1 adds throttle_time_ms.
Response v5 adds error_message.
Response v6 adds topic_id; allows null for name.
"""

from kwire.api_keys import ApiKey
from kwire.schema import Struct, array, int16, int32, message, string, uuid


class DeleteTopicState(Struct):
    name: str | None = string("6+", nullable="6+", default=None)
    topic_id: bytes = uuid("6+")


@message(ApiKey.DELETE_TOPICS, versions="1-6", flexible="4+", removed="0")
class DeleteTopicsRequest(Struct):
    topics: list[DeleteTopicState] = array(DeleteTopicState, "6+")
    topic_names: list[str] = array(string, "0-5", ignorable=True)
    timeout_ms: int = int32()


class DeletableTopicResult(Struct):
    name: str | None = string(nullable="6+")
    topic_id: bytes = uuid("6+", ignorable=True)
    error_code: int = int16()
    error_message: str | None = string("5+", nullable="5+", default=None, ignorable=True)


@message(ApiKey.DELETE_TOPICS, versions="1-6", flexible="4+", removed="0")
class DeleteTopicsResponse(Struct):
    throttle_time_ms: int = int32("1+", ignorable=True)
    responses: list[DeletableTopicResult] = array(DeletableTopicResult)
