"""DescribeTopicPartitions (API 75): topics by name, a bounded number of partitions, and where to go on. (KIP-966)

Unlike Metadata it never creates a topic, shows eligible leader replicas, and always tells the operations allowed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from broker.addresses import AddressBook
from broker.context import RequestContext
from broker.controller.controller import Controller
from broker.controller.image import TopicImage
from broker.controller.names import is_internal, name_problem
from broker.controller.views import PartitionViews
from kwire.error_codes import ErrorCode
from kwire.messages.describe_topic_partitions import (
    Cursor,
    DescribeTopicPartitionsRequest,
    DescribeTopicPartitionsResponse,
    DescribeTopicPartitionsResponsePartition,
    DescribeTopicPartitionsResponseTopic,
)

ALL_TOPIC_OPERATIONS: Final = 3576


def describe_topic_partitions(
    request: DescribeTopicPartitionsRequest, ctx: RequestContext, controller: Controller, addresses: AddressBook
) -> DescribeTopicPartitionsResponse:
    """No topics: all. Names are answered in order, from the cursor's on."""
    image = controller.image
    cursor = request.cursor
    first_name = cursor.topic_name if cursor is not None else ""
    asked: Sequence[str] = sorted({topic.name for topic in request.topics})
    names = [name for name in asked or [topic.name for topic in image.topics()] if name >= first_name]
    if cursor is not None and (cursor.partition_index < 0 or (asked and first_name not in names)):
        return DescribeTopicPartitionsResponse(
            topics=[
                DescribeTopicPartitionsResponseTopic(error_code=ErrorCode.INVALID_REQUEST, name=topic.name)
                for topic in request.topics
            ]
        )
    reachable = frozenset(
        broker_id
        for broker_id, broker in image.brokers.items()
        if not broker.fenced and addresses.for_node(broker_id, ctx) is not None
    )
    views = PartitionViews(image, reachable, hide_unreachable=False, tell_listener=True)
    remaining = max(min(controller.settings.max_describe_partitions, request.response_partition_limit), 1)
    response = DescribeTopicPartitionsResponse()
    for name in names:
        if remaining == 0:
            response.next_cursor = Cursor(topic_name=name, partition_index=0)
            break
        topic = image.topic_by_name(name)
        if topic is None:
            if asked:
                response.topics.append(_unknown(name))
            continue
        first = cursor.partition_index if cursor is not None and name == first_name else 0
        end = min(first + remaining, len(topic.partitions))
        response.topics.append(
            DescribeTopicPartitionsResponseTopic(
                name=name,
                topic_id=topic.topic_id,
                is_internal=topic.is_internal,
                partitions=_partitions(topic, first, end, views),
                topic_authorized_operations=ALL_TOPIC_OPERATIONS,
            )
        )
        if end < len(topic.partitions):
            response.next_cursor = Cursor(topic_name=name, partition_index=end)
            break
        remaining -= max(end - first, 0)
    return response


def _unknown(name: str) -> DescribeTopicPartitionsResponseTopic:
    bad = name_problem(name) is not None
    return DescribeTopicPartitionsResponseTopic(
        error_code=ErrorCode.INVALID_TOPIC_EXCEPTION if bad else ErrorCode.UNKNOWN_TOPIC_OR_PARTITION,
        name=name,
        is_internal=is_internal(name),
        topic_authorized_operations=ALL_TOPIC_OPERATIONS,
    )


def _partitions(
    topic: TopicImage, first: int, end: int, views: PartitionViews
) -> list[DescribeTopicPartitionsResponsePartition]:
    partitions = []
    for index in range(first, end):
        partition = topic.partitions[index]
        view = views.leader_view(partition)
        partitions.append(
            DescribeTopicPartitionsResponsePartition(
                partition_index=index,
                leader_id=view.leader,
                leader_epoch=partition.leader_epoch,
                replica_nodes=view.replicas,
                isr_nodes=view.isr,
                eligible_leader_replicas=list(partition.elr),
                last_known_elr=list(partition.last_known_elr),
                offline_replicas=view.offline,
            )
        )
    return partitions
