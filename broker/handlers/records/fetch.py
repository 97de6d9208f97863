"""Fetch: byte ranges of segments, at once or when there are enough.  (Kafka: KafkaApis.handleFetchRequest)"""

from __future__ import annotations

from typing import Final

from broker.clock import Clock
from broker.context import RequestContext
from broker.deferred import Deferred
from broker.fetch.parked import ParkedFetch
from broker.fetch.racks import RackAwareReader
from broker.fetch.read import READ_COMMITTED, READ_UNCOMMITTED, FetchLimits, FetchReader, PartitionRead
from broker.fetch.sessions import FetchPlan, FetchSessions, Kind, move_to_end, remember
from broker.partitions import Partitions
from kwire.error_codes import ErrorCode
from kwire.messages.fetch import FetchableTopicResponse, FetchRequest, FetchResponse, NodeEndpoint, PartitionData

_RACKS_FROM: Final = 11
_BY_TOPIC_ID: Final = 13
# KIP-903: the replica's id moved into a tagged field.
_REPLICA_STATE_FROM: Final = 15


def fetch(
    request: FetchRequest, ctx: RequestContext, partitions: Partitions, sessions: FetchSessions, clock: Clock
) -> FetchResponse | Deferred[FetchResponse]:
    """Answer with what there is, or park until min_bytes, max_wait_ms or an error."""
    version = ctx.api_version
    plan = sessions.plan(request, version)
    if plan.kind is Kind.REFUSED:
        return FetchResponse(error_code=plan.error)
    if request.isolation_level not in (READ_UNCOMMITTED, READ_COMMITTED):
        return _failed(request)
    max_bytes = min(request.max_bytes, partitions.fetch_max_bytes)
    limits = FetchLimits(
        version,
        min(request.min_bytes, max_bytes),
        max_bytes,
        request.isolation_level,
        request.replica_state.replica_id if version >= _REPLICA_STATE_FROM else request.replica_id,
    )
    followers = partitions.followers
    if followers is not None and followers.rack_aware and request.rack_id and version >= _RACKS_FROM:
        reader: FetchReader = RackAwareReader(partitions, limits, followers, request.rack_id)
    else:
        reader = FetchReader(partitions, limits)
    reader.read_all(plan.targets)
    if reader.enough or request.max_wait_ms <= 0 or not plan.targets:
        return _answer(reader, plan, sessions, ctx, partitions)
    parked = ParkedFetch(partitions, clock, limits, reader, request.max_wait_ms)
    answer: Deferred[FetchResponse] = Deferred()
    connection = ctx.connection
    connection.abandon = parked.abandon

    def finish(done: Deferred[FetchReader]) -> None:
        connection.abandon = None
        answer.resolve(_answer(done.result(), plan, sessions, ctx, partitions))

    parked.done.add_callback(finish)
    return answer


def _answer(
    reader: FetchReader, plan: FetchPlan, sessions: FetchSessions, ctx: RequestContext, partitions: Partitions
) -> FetchResponse:
    by_id = ctx.api_version >= _BY_TOPIC_ID
    session_id = 0
    told = reader.reads
    session = plan.session
    if session is not None:
        session_id = session.id
        told = []
        for read in reader.reads:
            if remember(read.target, read.data, read.size > 0):
                told.append(read)
                if read.size:
                    move_to_end(session, read.target)
    elif plan.kind is Kind.FULL:
        for read in told:
            remember(read.target, read.data, read.size > 0)
        session_id = sessions.create(plan.targets, by_id)
    response = FetchResponse(session_id=session_id, responses=_by_topic(told, by_id))
    if reader.leaders and partitions.hints is not None:
        response.node_endpoints = [
            NodeEndpoint(node_id=node_id, host=host, port=port, rack=rack)
            for node_id, host, port, rack in partitions.hints.endpoints(reader.leaders, ctx)
        ]
    return response


def _failed(request: FetchRequest) -> FetchResponse:
    """What Kafka answers when its handler fails: the error for the whole and for each partition asked for."""
    code = ErrorCode.UNKNOWN_SERVER_ERROR
    topics = [
        FetchableTopicResponse(
            topic=topic.topic,
            topic_id=topic.topic_id,
            partitions=[
                PartitionData(partition_index=wanted.partition, error_code=code, high_watermark=-1, records=b"")
                for wanted in topic.partitions
            ],
        )
        for topic in request.topics
    ]
    return FetchResponse(error_code=code, responses=topics)


def _by_topic(reads: list[PartitionRead], by_id: bool) -> list[FetchableTopicResponse]:
    """Partitions of a topic that stand side by side share an entry, as in Kafka's answers."""
    topics: list[FetchableTopicResponse] = []
    last: FetchableTopicResponse | None = None
    for read in reads:
        target = read.target
        if last is None or (last.topic_id != target.topic_id if by_id else last.topic != target.topic):
            last = FetchableTopicResponse(topic=target.topic, topic_id=target.topic_id)
            topics.append(last)
        last.partitions.append(read.data)
        size = read.size
        if size and read.partition is not None:
            read.partition.bytes_out += size
    return topics
