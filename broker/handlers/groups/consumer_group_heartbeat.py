"""ConsumerGroupHeartbeat where the new consumer groups are off (KIP-848)

With `group.version` 0 a Kafka broker advertises the API and answers UNSUPPORTED_VERSION, on which consumers that were
set to the new protocol give up at once; librdkafka asks for ever where the API is not advertised at all.
(Kafka: KafkaApis.handleConsumerGroupHeartbeat)
"""

from __future__ import annotations

from broker.context import RequestContext
from kwire.error_codes import ErrorCode
from kwire.messages.consumer_group_heartbeat import ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse


def consumer_group_heartbeat(
    _request: ConsumerGroupHeartbeatRequest, _ctx: RequestContext
) -> ConsumerGroupHeartbeatResponse:
    """UNSUPPORTED_VERSION, whatever is asked."""
    return ConsumerGroupHeartbeatResponse(error_code=ErrorCode.UNSUPPORTED_VERSION)
