"""AlterPartitionReassignments (API 45): where replicas shall be; null replicas cancel. (KIP-455, v1: KIP-860)"""

from __future__ import annotations

from broker.context import RequestContext
from broker.controller.controller import Controller, Reassignment
from kwire.error_codes import ErrorCode
from kwire.errors import ApiError
from kwire.messages.alter_partition_reassignments import (
    AlterPartitionReassignmentsRequest,
    AlterPartitionReassignmentsResponse,
    ReassignablePartitionResponse,
    ReassignableTopicResponse,
)


async def alter_partition_reassignments(
    request: AlterPartitionReassignmentsRequest, ctx: RequestContext, controller: Controller
) -> AlterPartitionReassignmentsResponse:
    """One answer per partition, in the order asked."""
    wanted = [
        Reassignment(
            topic.name,
            partition.partition_index,
            None if partition.replicas is None else tuple(partition.replicas),
        )
        for topic in request.topics
        for partition in topic.partitions
    ]
    failure: ApiError | None = None
    errors: list[ApiError | None]
    try:
        if request.timeout_ms <= 0:
            raise ApiError(ErrorCode.REQUEST_TIMED_OUT)
        outcome = await controller.alter_reassignments(
            wanted, allow_factor_change=request.allow_replication_factor_change
        )
        errors = [each.error for each in outcome]
    except ApiError as error:
        failure = error
        errors = [error] * len(wanted)
    answers = iter(errors)
    return AlterPartitionReassignmentsResponse(
        allow_replication_factor_change=failure is not None or request.allow_replication_factor_change,
        error_code=ErrorCode.NONE if failure is None else failure.code,
        error_message=None if failure is None else failure.message,
        responses=[
            ReassignableTopicResponse(
                name=topic.name,
                partitions=[_result(partition.partition_index, next(answers)) for partition in topic.partitions],
            )
            for topic in request.topics
        ],
    )


def _result(index: int, error: ApiError | None) -> ReassignablePartitionResponse:
    if error is None:
        return ReassignablePartitionResponse(partition_index=index, error_message=None)
    return ReassignablePartitionResponse(partition_index=index, error_code=error.code, error_message=error.message)
