"""Metadata with ZooKeeper: a topic that the request made has no leader yet, and the client asks again.

(Kafka 3.2: DefaultAutoTopicCreationManager.createTopicsInZk; with KRaft it is unknown still.)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from broker.personality.later import then
from kwire.error_codes import ErrorCode
from kwire.messages.metadata import MetadataRequest, MetadataResponse

if TYPE_CHECKING:
    from broker.context import RequestContext
    from broker.dispatch import Handler
    from broker.personality.personality import Personality
    from broker.services import Services


def around(call: Handler, services: Services, personality: Personality) -> Handler:
    if not personality.creates_topics_at_once:
        return call
    controller = services.controller

    def metadata(request: MetadataRequest, ctx: RequestContext) -> Any:
        return then(call(request, ctx), told)

    def told(response: MetadataResponse | bytes) -> MetadataResponse | bytes:
        if not isinstance(response, MetadataResponse):
            return response
        for topic in response.topics:
            if topic.error_code != ErrorCode.UNKNOWN_TOPIC_OR_PARTITION or topic.name is None:
                continue
            # Looked for after the handler made what may be made.
            if controller.image.topic_by_name(topic.name) is not None:
                topic.error_code = ErrorCode.LEADER_NOT_AVAILABLE
        return response

    return metadata
