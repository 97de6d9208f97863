"""ElectLeaders (API 43): preferred, v1+ also unclean elections. (KIP-460)"""

from __future__ import annotations

from broker.context import RequestContext
from broker.controller.controller import Controller
from broker.controller.decisions.partitions import PREFERRED
from kwire.error_codes import ErrorCode
from kwire.errors import ApiError
from kwire.messages.elect_leaders import (
    ElectLeadersRequest,
    ElectLeadersResponse,
    PartitionResult,
    ReplicaElectionResult,
)


async def elect_leaders(
    request: ElectLeadersRequest, ctx: RequestContext, controller: Controller
) -> ElectLeadersResponse:
    """No partitions (null): all, and only those are answered where something was done or failed."""
    asked = request.topic_partitions
    try:
        if request.timeout_ms <= 0:
            raise ApiError(ErrorCode.REQUEST_TIMED_OUT)
        outcome = await controller.elect_leaders(
            request.election_type if ctx.api_version >= 1 else PREFERRED,
            None if asked is None else [(topic.topic, topic.partitions) for topic in asked],
        )
    except ApiError as error:
        return ElectLeadersResponse(
            error_code=error.code if ctx.api_version >= 1 else ErrorCode.NONE,
            replica_election_results=[
                ReplicaElectionResult(
                    topic=topic.topic, partition_result=[_result(index, error) for index in topic.partitions]
                )
                for topic in asked or ()
            ],
        )
    return ElectLeadersResponse(
        replica_election_results=[
            ReplicaElectionResult(topic=name, partition_result=[_result(each.index, each.error) for each in results])
            for name, results in outcome
        ]
    )


def _result(index: int, error: ApiError | None) -> PartitionResult:
    if error is None:
        return PartitionResult(partition_id=index, error_message=None)
    return PartitionResult(partition_id=index, error_code=error.code, error_message=error.message)
