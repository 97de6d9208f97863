"""`/v1/clusters/{cluster}/topics`: list, create, describe, delete."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import msgspec
from msgspec import Meta

from broker.control.plane import cluster_of
from broker.controller.decisions.topics import NewTopic
from broker.http.endpoint import Call, ControlError, Endpoint
from broker.nodes.node import RUNNING
from kwire import uuids

if TYPE_CHECKING:
    from broker.cluster import Cluster
    from broker.controller.model import PartitionImage, TopicImage
    from broker.partitions import Partition

_SHOWN_NAMES = 50


class NewTopicBody(msgspec.Struct, forbid_unknown_fields=True):
    """A topic to create. partitions, replication_factor: null for the broker's default."""

    name: Annotated[str, Meta(min_length=1, max_length=249, pattern="^[a-zA-Z0-9._-]+$")]
    partitions: Annotated[int, Meta(ge=1, le=10_000)] | None = None
    replication_factor: Annotated[int, Meta(ge=1, le=32_767)] | None = None
    configs: dict[str, str] = {}


class PartitionView(msgspec.Struct):
    """One partition. leader: -1 when there is none; then, and before anything was written, offsets are 0."""

    partition: int
    leader: int
    leader_epoch: int
    replicas: list[int]
    isr: list[int]
    log_start_offset: int
    high_watermark: int
    last_stable_offset: int
    log_end_offset: int


class TopicSummary(msgspec.Struct):
    """One line of the list."""

    name: str
    topic_id: str
    partitions: int
    replication_factor: int
    internal: bool


class TopicList(msgspec.Struct):
    """In the order of their names."""

    topics: list[TopicSummary]


class TopicView(msgspec.Struct):
    """configs: what was set on the topic itself."""

    name: str
    topic_id: str
    internal: bool
    partitions: list[PartitionView]
    configs: dict[str, str]


class ListQuery(msgspec.Struct, forbid_unknown_fields=True):
    """internal: with the broker's own topics."""

    internal: bool = False


def topic_named(cluster: Cluster, name: str) -> TopicImage:
    """Raises ControlError 404."""
    topic = cluster.controller.image.topic_by_name(name)
    if topic is None:
        names = [each.name for each in cluster.controller.image.topics() if not each.is_internal]
        raise ControlError(404, "unknown_topic", f"there is no topic {name!r}", allowed=names[:_SHOWN_NAMES])
    return topic


def led_partition(cluster: Cluster, topic: TopicImage, index: int) -> Partition:
    """A partition, at the node that leads it. Raises ControlError: 404 no such partition, 503 no leader."""
    if not 0 <= index < len(topic.partitions):
        raise ControlError(
            404,
            "unknown_partition",
            f"topic {topic.name!r} has no partition {index}",
            allowed=list(range(len(topic.partitions)))[:_SHOWN_NAMES],
        )
    node = cluster.nodes.get(topic.partitions[index].leader)
    partition = node.partitions.get(topic.name, index) if node is not None and node.state == RUNNING else None
    if partition is None:
        raise ControlError(503, "leader_not_available", f"partition {index} of {topic.name!r} has no leader now")
    return partition


def list_topics(call: Call) -> TopicList:
    query: ListQuery = call.query
    topics = cluster_of(call).cluster.controller.image.topics()
    return TopicList([_summary(topic) for topic in topics if query.internal or not topic.is_internal])


def _summary(topic: TopicImage) -> TopicSummary:
    return TopicSummary(
        name=topic.name,
        topic_id=uuids.to_string(topic.topic_id),
        partitions=len(topic.partitions),
        replication_factor=len(topic.partitions[0].replicas),
        internal=topic.is_internal,
    )


async def create_topic(call: Call, body: NewTopicBody) -> TopicView:
    cluster = cluster_of(call).cluster
    new = NewTopic(
        body.name,
        -1 if body.partitions is None else body.partitions,
        -1 if body.replication_factor is None else body.replication_factor,
        configs=list(body.configs.items()),
    )
    (created,) = await call.wait(cluster.controller.create_topics([new]))
    if created.error is not None:
        raise created.error
    return _view(cluster, topic_named(cluster, body.name))


def show_topic(call: Call) -> TopicView:
    cluster = cluster_of(call).cluster
    return _view(cluster, topic_named(cluster, call.path["topic"]))


async def delete_topic(call: Call) -> None:
    cluster = cluster_of(call).cluster
    topic = topic_named(cluster, call.path["topic"])
    answers = await call.wait(cluster.controller.delete_topics([topic.topic_id]))
    error = answers[topic.topic_id]
    if error is not None:
        raise error


def _view(cluster: Cluster, topic: TopicImage) -> TopicView:
    return TopicView(
        name=topic.name,
        topic_id=uuids.to_string(topic.topic_id),
        internal=topic.is_internal,
        partitions=[_partition(cluster, topic, index, each) for index, each in enumerate(topic.partitions)],
        configs=dict(topic.configs),
    )


def _partition(cluster: Cluster, topic: TopicImage, index: int, described: PartitionImage) -> PartitionView:
    start = high_watermark = last_stable = end = 0
    # A log that is not there yet is not made for being looked at.
    if described.leader in cluster.nodes and cluster.manager.directory_of(topic.name, index) is not None:
        log = led_partition(cluster, topic, index).log
        start, high_watermark = log.log_start_offset, log.high_watermark
        last_stable, end = log.last_stable_offset, log.log_end_offset
    return PartitionView(
        partition=index,
        leader=described.leader,
        leader_epoch=described.leader_epoch,
        replicas=list(described.replicas),
        isr=list(described.isr),
        log_start_offset=start,
        high_watermark=high_watermark,
        last_stable_offset=last_stable,
        log_end_offset=end,
    )


_PATH = "/v1/clusters/{cluster}/topics"
endpoints = [
    Endpoint("GET", _PATH, list_topics, query=ListQuery, answer=TopicList, summary="Topics of a cluster", tag="topics"),
    Endpoint(
        "POST",
        _PATH,
        create_topic,
        body=NewTopicBody,
        answer=TopicView,
        status=201,
        summary="Create a topic",
        tag="topics",
    ),
    Endpoint("GET", f"{_PATH}/{{topic}}", show_topic, answer=TopicView, summary="A topic", tag="topics"),
    Endpoint("DELETE", f"{_PATH}/{{topic}}", delete_topic, summary="Delete a topic and its records", tag="topics"),
]
