"""DescribeQuorum (API 55): the voters of the metadata log. v1+ when they last fetched, v2+ where they are. (KIP-595)"""

from __future__ import annotations

from contextlib import suppress

from broker.addresses import AddressBook
from broker.context import RequestContext
from broker.controller.controller import Controller
from broker.controller.names import CLUSTER_METADATA_TOPIC
from kwire.error_codes import ErrorCode
from kwire.errors import ApiError
from kwire.messages.describe_quorum import (
    DescribeQuorumRequest,
    DescribeQuorumResponse,
    Listener,
    Node,
    ReplicaState,
    ResponsePartitionData,
    ResponseTopicData,
)


async def describe_quorum(
    request: DescribeQuorumRequest, ctx: RequestContext, controller: Controller, addresses: AddressBook
) -> DescribeQuorumResponse:
    """Only `__cluster_metadata-0`, asked for alone, is known. Simulated nodes are all voters, and none is behind.

    What nobody has waited for yet (a node's stop, an ISR) is synced first: with several voters the high watermark would
    have followed long ago. Where that fails it is behind, and said to be.
    """
    topics = request.topics
    if not topics:
        return DescribeQuorumResponse()
    asked = [(topic.topic_name, [partition.partition_index for partition in topic.partitions]) for topic in topics]
    if asked != [(CLUSTER_METADATA_TOPIC, [0])]:
        return DescribeQuorumResponse(topics=[_unknown(name, indexes) for name, indexes in asked])
    with suppress(ApiError, OSError):
        await controller.committed()
    settings = controller.settings
    now_ms = controller.now_ms()
    leader, voters = controller.quorum()
    partition = ResponsePartitionData(
        leader_id=leader,
        leader_epoch=controller.leader_epoch,
        high_watermark=controller.high_watermark,
        current_voters=[
            ReplicaState(
                replica_id=voter,
                log_end_offset=controller.log_end_offset,
                last_fetch_timestamp=now_ms,
                last_caught_up_timestamp=now_ms,
            )
            for voter in voters
        ],
    )
    listeners = [Listener(name=each.name, host=each.host, port=each.port) for each in settings.controller_endpoints]
    return DescribeQuorumResponse(
        topics=[ResponseTopicData(topic_name=CLUSTER_METADATA_TOPIC, partitions=[partition])],
        nodes=[Node(node_id=voter, listeners=listeners) for voter in voters] if ctx.api_version >= 2 else [],
    )


def _unknown(name: str, indexes: list[int]) -> ResponseTopicData:
    return ResponseTopicData(
        topic_name=name,
        partitions=[
            ResponsePartitionData(
                partition_index=index,
                error_code=ErrorCode.UNKNOWN_TOPIC_OR_PARTITION,
                error_message="This server does not host this topic-partition.",
            )
            for index in indexes
        ],
    )
