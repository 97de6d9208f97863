"""ListPartitionReassignments (API 46). (KIP-455)"""

from __future__ import annotations

from itertools import groupby

from broker.context import RequestContext
from broker.controller.controller import Controller
from kwire.messages.list_partition_reassignments import (
    ListPartitionReassignmentsRequest,
    ListPartitionReassignmentsResponse,
    OngoingPartitionReassignment,
    OngoingTopicReassignment,
)


def list_partition_reassignments(
    request: ListPartitionReassignmentsRequest, ctx: RequestContext, controller: Controller
) -> ListPartitionReassignmentsResponse:
    """Those going on, of all topics (null) or of the partitions named; anything else is left out."""
    topics = request.topics
    ongoing = controller.list_reassignments(
        None if topics is None else [(topic.name, topic.partition_indexes) for topic in topics]
    )
    return ListPartitionReassignmentsResponse(
        error_message=None,
        topics=[
            OngoingTopicReassignment(
                name=name,
                partitions=[
                    OngoingPartitionReassignment(
                        partition_index=each.index,
                        replicas=list(each.replicas),
                        adding_replicas=list(each.adding),
                        removing_replicas=list(each.removing),
                    )
                    for each in partitions
                ],
            )
            for name, partitions in groupby(ongoing, key=lambda each: each.topic)
        ],
    )
