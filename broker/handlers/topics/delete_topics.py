"""DeleteTopics (API 20). By name; v6+ by name or id. (`ControllerApis.deleteTopics`, KIP-516)"""

from __future__ import annotations

from collections import Counter

from broker.context import RequestContext
from broker.controller.controller import Controller
from kwire import uuids
from kwire.error_codes import ErrorCode
from kwire.errors import ApiError
from kwire.messages.delete_topics import DeletableTopicResult, DeleteTopicsRequest, DeleteTopicsResponse


async def delete_topics(
    request: DeleteTopicsRequest, ctx: RequestContext, controller: Controller
) -> DeleteTopicsResponse:
    """What is named wrongly or twice is refused; the rest goes."""
    asked: list[tuple[str | None, bytes]] = (
        [(topic.name, topic.topic_id) for topic in request.topics]
        if ctx.api_version >= 6
        else [(name, uuids.ZERO) for name in request.topic_names]
    )
    if not controller.settings.delete_topics:
        code = ErrorCode.TOPIC_DELETION_DISABLED if ctx.api_version >= 3 else ErrorCode.INVALID_REQUEST
        disabled = ApiError(code, "Topic deletion is disabled.")
        return DeleteTopicsResponse(responses=[_result(name, topic_id, disabled) for name, topic_id in asked])
    results, names, ids = _sort_out(asked)
    if (names or ids) and request.timeout_ms <= 0:
        timed_out = ApiError(ErrorCode.REQUEST_TIMED_OUT)
        return DeleteTopicsResponse(responses=[_result(name, topic_id, timed_out) for name, topic_id in asked])
    image = controller.image
    doomed: dict[bytes, str] = {}
    for topic_id in ids:
        topic = image.topic_by_id(topic_id)
        if topic is None:
            unknown = ApiError(ErrorCode.UNKNOWN_TOPIC_ID, "This server does not host this topic ID.")
            results.append(_result(None, topic_id, unknown))
        else:
            doomed[topic_id] = topic.name
    for name in names:
        topic = image.topic_by_name(name)
        if topic is None:
            message = "This server does not host this topic-partition."
            results.append(_result(name, uuids.ZERO, ApiError(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, message)))
        elif doomed.pop(topic.topic_id, None) is not None:
            message = "The provided topic name maps to an ID that was already supplied."
            results.append(_result(name, topic.topic_id, ApiError(ErrorCode.INVALID_REQUEST, message)))
        else:
            doomed[topic.topic_id] = name
    if doomed:
        try:
            outcome = await controller.delete_topics(list(doomed))
        except ApiError as error:
            outcome = dict.fromkeys(doomed, error)
        results += [_result(doomed[topic_id], topic_id, error) for topic_id, error in outcome.items()]
    return DeleteTopicsResponse(responses=results)


def _sort_out(
    asked: list[tuple[str | None, bytes]],
) -> tuple[list[DeletableTopicResult], list[str], list[bytes]]:
    """(refusals, names asked for once, ids asked for once)."""
    refused: list[DeletableTopicResult] = []
    names: Counter[str] = Counter()
    ids: Counter[bytes] = Counter()
    for name, topic_id in asked:
        if name is None:
            if topic_id == uuids.ZERO:
                message = "Neither topic name nor id were specified."
                refused.append(_result(None, uuids.ZERO, ApiError(ErrorCode.INVALID_REQUEST, message)))
            else:
                ids[topic_id] += 1
        elif topic_id == uuids.ZERO:
            names[name] += 1
        else:
            message = "You may not specify both topic name and topic id."
            refused.append(_result(name, topic_id, ApiError(ErrorCode.INVALID_REQUEST, message)))
    twice = ApiError(ErrorCode.INVALID_REQUEST, "Duplicate topic name.")
    refused += [_result(name, uuids.ZERO, twice) for name, times in names.items() if times > 1]
    twice = ApiError(ErrorCode.INVALID_REQUEST, "Duplicate topic id.")
    refused += [_result(None, topic_id, twice) for topic_id, times in ids.items() if times > 1]
    return (
        refused,
        [name for name, times in names.items() if times == 1],
        [topic_id for topic_id, times in ids.items() if times == 1],
    )


def _result(name: str | None, topic_id: bytes, error: ApiError | None) -> DeletableTopicResult:
    if error is None:
        return DeletableTopicResult(name=name, topic_id=topic_id)
    return DeletableTopicResult(name=name, topic_id=topic_id, error_code=error.code, error_message=error.message)
