"""Metadata (API 3): the brokers, and topics with their partitions and leaders; creates topics asked for by name.

v0: an empty list of topics means all, and replicas on dead brokers are left out with an error. From v6 a leader without
a listener of the client's kind is told from one that is dead. From v12 topics may be asked for by id. (KIP-516)
"""

from __future__ import annotations

from contextlib import suppress
from typing import Final

from attrs import define, field

from broker.addresses import AddressBook
from broker.context import RequestContext
from broker.controller.controller import Controller
from broker.controller.image import ClusterImage, TopicImage
from broker.controller.names import CLUSTER_METADATA_TOPIC, is_internal, name_problem
from broker.controller.views import LeaderView, PartitionViews
from kwire import codec, uuids
from kwire.error_codes import ErrorCode
from kwire.errors import ApiError
from kwire.messages.metadata import (
    MetadataRequest,
    MetadataRequestTopic,
    MetadataResponse,
    MetadataResponseBroker,
    MetadataResponsePartition,
    MetadataResponseTopic,
)

# Without an authorizer a client may do everything: bits of the ACL operations that apply.
ALL_CLUSTER_OPERATIONS: Final = 8096
ALL_TOPIC_OPERATIONS: Final = 3576
_MOST_KEPT_BYTES: Final = 8 * 1024 * 1024


def metadata(
    request: MetadataRequest, ctx: RequestContext, controller: Controller, addresses: AddressBook
) -> MetadataResponse | bytes:
    """Answered at once; an encoded answer is kept until the image changes."""
    version = ctx.api_version
    asked = request.topics
    if asked is not None and not asked and version == 0:
        asked = None
    connection = ctx.connection
    key = (
        version,
        connection.listener,
        connection.local_host,
        connection.local_port,
        request.include_topic_authorized_operations,
        request.include_cluster_authorized_operations,
        None if asked is None else tuple([(topic.name, topic.topic_id) for topic in asked]),
    )
    image = controller.image
    kept: _Kept = image.derived.get(metadata) or image.derived.setdefault(metadata, _Kept())
    known = kept.answers.get(key)
    if known is not None:
        return known
    if asked is not None:
        refusal = _refusal(asked, version)
        if refusal is not None:
            return _refused(asked, refusal)
    response = _answer(request, asked, ctx, controller, addresses)
    if any(topic.error_code for topic in response.topics):
        return response  # what is missing may be created by the next request
    encoded = codec.encode(response, version)
    kept.add(key, encoded)
    return encoded


@define(slots=True)
class _Kept:
    """Encoded answers, by what they depend on besides the image."""

    answers: dict[object, bytes] = field(factory=dict)
    size: int = 0

    def add(self, key: object, answer: bytes) -> None:
        if self.size + len(answer) > _MOST_KEPT_BYTES:
            self.answers.clear()
            self.size = 0
        self.answers[key] = answer
        self.size += len(answer)


def _refusal(asked: list[MetadataRequestTopic], version: int) -> ErrorCode | None:
    """Topics by id, or without a name, in versions that have no meaning for them."""
    if version < 10:
        return None
    if version < 12:
        bad = any(topic.name is None or topic.topic_id != uuids.ZERO for topic in asked)
        return ErrorCode.INVALID_REQUEST if bad else None
    if any(topic.topic_id != uuids.ZERO for topic in asked):
        return None
    # Kafka's handler fails on a topic that has neither.
    return ErrorCode.UNKNOWN_SERVER_ERROR if any(topic.name is None for topic in asked) else None


def _refused(asked: list[MetadataRequestTopic], code: ErrorCode) -> MetadataResponse:
    return MetadataResponse(
        topics=[
            MetadataResponseTopic(error_code=code, name=topic.name or "", topic_id=topic.topic_id) for topic in asked
        ],
        error_code=code,
    )


def _answer(
    request: MetadataRequest,
    asked: list[MetadataRequestTopic] | None,
    ctx: RequestContext,
    controller: Controller,
    addresses: AddressBook,
) -> MetadataResponse:
    version = ctx.api_version
    image = controller.image
    brokers = _reachable(image, ctx, addresses)
    reachable = frozenset(broker.node_id for broker in brokers)
    views = PartitionViews(image, reachable, hide_unreachable=version == 0, tell_listener=version >= 6)
    operations = ALL_TOPIC_OPERATIONS if request.include_topic_authorized_operations else -(2**31)
    found, missing = _find(image, asked)
    topics = [
        MetadataResponseTopic(error_code=ErrorCode.UNKNOWN_TOPIC_ID, name=None, topic_id=topic_id)
        for topic_id in missing
        if isinstance(topic_id, bytes)
    ]
    topics += [
        MetadataResponseTopic(
            name=topic.name,
            topic_id=topic.topic_id,
            is_internal=topic.is_internal,
            partitions=_partitions(topic, views),
            topic_authorized_operations=operations,
        )
        for topic in found
    ]
    unknown = [name for name in missing if isinstance(name, str)]
    impossible = {name for name in unknown if name_problem(name) is not None}
    topics += [
        MetadataResponseTopic(
            error_code=ErrorCode.INVALID_TOPIC_EXCEPTION
            if name in impossible
            else ErrorCode.UNKNOWN_TOPIC_OR_PARTITION,
            name=name,
            is_internal=is_internal(name),
            topic_authorized_operations=operations,
        )
        for name in unknown
    ]
    if request.allow_auto_topic_creation and controller.settings.auto_create_topics:
        _create([name for name in unknown if name not in impossible and name != CLUSTER_METADATA_TOPIC], controller)
    response = MetadataResponse(
        brokers=brokers,
        cluster_id=image.cluster_id,
        controller_id=min(reachable, default=-1),
        topics=topics,
    )
    if request.include_cluster_authorized_operations:
        response.cluster_authorized_operations = ALL_CLUSTER_OPERATIONS
    return response


def _reachable(image: ClusterImage, ctx: RequestContext, addresses: AddressBook) -> list[MetadataResponseBroker]:
    """The brokers that live and have the client's listener."""
    brokers = []
    for broker_id, broker in sorted(image.brokers.items()):
        address = None if broker.fenced else addresses.for_node(broker_id, ctx)
        if address is not None:
            host, port = address
            brokers.append(MetadataResponseBroker(node_id=broker_id, host=host, port=port, rack=broker.rack))
    return brokers


def _find(image: ClusterImage, asked: list[MetadataRequestTopic] | None) -> tuple[list[TopicImage], list[str | bytes]]:
    """(topics that exist, names and ids that do not), each once. Where ids are given, names count for nothing."""
    if asked is None:
        return list(image.topics()), []
    found: dict[bytes, TopicImage] = {}
    missing: dict[str | bytes, None] = {}
    by_id = [topic.topic_id for topic in asked if topic.topic_id != uuids.ZERO]
    for topic_id in by_id:
        topic = image.topic_by_id(topic_id)
        if topic is None:
            missing[topic_id] = None
        else:
            found[topic_id] = topic
    if not by_id:
        for each in asked:
            assert each.name is not None  # _refusal saw to it
            topic = image.topic_by_name(each.name)
            if topic is None:
                missing[each.name] = None
            else:
                found[topic.topic_id] = topic
    return list(found.values()), list(missing)


def _create(names: list[str], controller: Controller) -> None:
    """Kafka answers 3 while it creates a topic, and the client asks again; so it does of those that cannot be."""
    if names:
        # When the log cannot be written, or they are too many for one request, they stay unknown.
        with suppress(ApiError):
            controller.create_missing_topics(names)


def _partitions(topic: TopicImage, views: PartitionViews) -> list[MetadataResponsePartition]:
    view_of = views.leader_view
    partitions = []
    for index, partition in enumerate(topic.partitions):
        view: LeaderView = view_of(partition)
        partitions.append(
            MetadataResponsePartition(
                error_code=view.error_code,
                partition_index=index,
                leader_id=view.leader,
                leader_epoch=partition.leader_epoch,
                replica_nodes=view.replicas,
                isr_nodes=view.isr,
                offline_replicas=view.offline,
            )
        )
    return partitions
