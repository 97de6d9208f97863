"""CreatePartitions (API 37). (`ControllerApis.createPartitions`, KIP-195)"""

from __future__ import annotations

from collections import Counter

from broker.context import RequestContext
from broker.controller.controller import Controller, MorePartitions
from kwire.error_codes import ErrorCode
from kwire.errors import ApiError
from kwire.messages.create_partitions import (
    CreatePartitionsRequest,
    CreatePartitionsResponse,
    CreatePartitionsTopic,
    CreatePartitionsTopicResult,
)


async def create_partitions(
    request: CreatePartitionsRequest, ctx: RequestContext, controller: Controller
) -> CreatePartitionsResponse:
    """Topics named twice are refused; the others get their partitions, each on its own."""
    times = Counter(topic.name for topic in request.topics)
    duplicate = ApiError(ErrorCode.INVALID_REQUEST, "Duplicate topic name.")
    results = [_result(name, duplicate) for name, count in times.items() if count > 1]
    wanted = [topic for topic in request.topics if times[topic.name] == 1]
    if wanted:
        try:
            if request.timeout_ms <= 0:
                raise ApiError(ErrorCode.REQUEST_TIMED_OUT)
            outcome = await controller.create_partitions(
                [_more(topic) for topic in wanted], validate_only=request.validate_only
            )
        except ApiError as error:
            return CreatePartitionsResponse(results=[_result(topic.name, error) for topic in request.topics])
        results += [_result(topic.name, error) for topic, error in zip(wanted, outcome, strict=True)]
    return CreatePartitionsResponse(results=results)


def _more(topic: CreatePartitionsTopic) -> MorePartitions:
    assignments = topic.assignments
    return MorePartitions(
        topic.name, topic.count, None if assignments is None else [each.broker_ids for each in assignments]
    )


def _result(name: str, error: ApiError | None) -> CreatePartitionsTopicResult:
    if error is None:
        return CreatePartitionsTopicResult(name=name)
    return CreatePartitionsTopicResult(name=name, error_code=error.code, error_message=error.message)
