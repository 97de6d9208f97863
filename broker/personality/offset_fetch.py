"""OffsetFetch v0: a partition without an offset is an unknown one.  (Kafka 3.9: KafkaApis.fetchOffsetsFromZk)"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from broker.personality.later import then
from kwire.error_codes import ErrorCode
from kwire.messages.offset_fetch import OffsetFetchRequest, OffsetFetchResponse

if TYPE_CHECKING:
    from broker.context import RequestContext
    from broker.dispatch import Handler
    from broker.personality.personality import Personality
    from broker.services import Services


def around(call: Handler, services: Services, personality: Personality) -> Handler:
    def offset_fetch(request: OffsetFetchRequest, ctx: RequestContext) -> Any:
        return then(call(request, ctx), told)

    def told(response: OffsetFetchResponse) -> OffsetFetchResponse:
        for topic in response.topics:
            for partition in topic.partitions:
                if partition.committed_offset < 0 and partition.error_code == ErrorCode.NONE:
                    partition.error_code = ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
        return response

    return offset_fetch
