"""Produce v0 to v2: message sets of magic 0 and 1 become batches, which today's handler appends.

(Kafka 3.9: KafkaApis.handleProduceRequest, LogValidator)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from broker.dispatch import Refusal
from broker.handlers.records.produce_append import refused
from broker.personality.later import then
from broker.personality.up_conversion import converted, is_whole, magic_of
from kwire.errors import ApiError
from kwire.messages.produce import (
    PartitionProduceData,
    PartitionProduceResponse,
    ProduceRequest,
    ProduceResponse,
    TopicProduceData,
    TopicProduceResponse,
)

if TYPE_CHECKING:
    from broker.context import RequestContext
    from broker.dispatch import Handler
    from broker.partitions import Partitions
    from broker.personality.personality import Personality
    from broker.services import Services

_OLD_MAGICS = (-1, 0, 1)


def around(call: Handler, services: Services, personality: Personality) -> Handler:
    partitions = services.partitions

    def produce(request: ProduceRequest, ctx: RequestContext) -> Any:
        settled = _convert_all(request, partitions)
        if not settled:
            return call(request, ctx)
        failed = any(answer.error_code for _, answer in settled)
        if not request.topic_data:
            if request.acks == 0:
                return Refusal("a produce request with acks=0 failed") if failed else None
            return _merged(ProduceResponse(), settled)
        outcome = call(request, ctx)
        if request.acks == 0:
            return Refusal("a produce request with acks=0 failed") if failed and outcome is None else outcome
        return then(outcome, lambda response: _merged(response, settled))

    return produce


Settled = list[tuple[str, PartitionProduceResponse]]


def _convert_all(request: ProduceRequest, partitions: Partitions) -> Settled:
    """Convert in place; what needs no append is taken out of the request, with its answer."""
    settled: Settled = []
    if not -1 <= request.acks <= 1:
        return settled  # refused as a whole
    kept_topics = []
    for topic in request.topic_data:
        kept = []
        for data in topic.partition_data:
            answer = _convert(topic, data, partitions)
            if answer is None:
                kept.append(data)
            else:
                settled.append((topic.name, answer))
        topic.partition_data = kept
        if kept:
            kept_topics.append(topic)
    request.topic_data = kept_topics
    return settled


def _convert(
    topic: TopicProduceData, data: PartitionProduceData, partitions: Partitions
) -> PartitionProduceResponse | None:
    records = cast("memoryview | None", data.records)  # as decoded
    if records is None:
        return None
    try:
        partition = partitions.get(topic.name, data.index)
        if partition is None:
            return None  # refused for that
        if magic_of(records) in _OLD_MAGICS:
            batch = converted(records, partition.log.config.max_message_bytes)
        elif is_whole(records):
            return None  # today's
        else:
            batch = None
    except ApiError as error:
        return refused(data.index, None, error)
    if batch is None:
        # Nothing to append is no fault in these versions.
        return PartitionProduceResponse(index=data.index, base_offset=-1)
    data.records = memoryview(batch)
    return None


def _merged(response: Any, settled: Settled) -> Any:
    """The answers that needed no append, beside the others of their topics."""
    if not isinstance(response, ProduceResponse):
        return response
    topics = {topic.name: topic for topic in response.responses}
    for name, answer in settled:
        topic = topics.get(name)
        if topic is None:
            topic = topics[name] = TopicProduceResponse(name=name)
            response.responses.append(topic)
        topic.partition_responses.append(answer)
    return response
