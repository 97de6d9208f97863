"""CreateTopics (API 19). v5+ answers the topic's configs, v7+ its id. (`ControllerApis.createTopics`)"""

from __future__ import annotations

from collections import Counter

from broker.context import RequestContext
from broker.controller.controller import Controller, NewTopic
from broker.controller.decisions.topics import CreatedTopic
from broker.controller.names import CLUSTER_METADATA_TOPIC
from kwire.error_codes import ErrorCode
from kwire.errors import ApiError
from kwire.messages.create_topics import (
    CreatableTopic,
    CreatableTopicConfigs,
    CreatableTopicResult,
    CreateTopicsRequest,
    CreateTopicsResponse,
)


async def create_topics(
    request: CreateTopicsRequest, ctx: RequestContext, controller: Controller
) -> CreateTopicsResponse:
    """Topics named once are created, each on its own; names given twice are refused after them."""
    asked = Counter(topic.name for topic in request.topics)
    wanted = [topic for topic in request.topics if asked[topic.name] == 1 and topic.name != CLUSTER_METADATA_TOPIC]
    results: list[CreatableTopicResult] = []
    if wanted:
        try:
            if request.timeout_ms <= 0:
                raise ApiError(ErrorCode.REQUEST_TIMED_OUT)
            created = await controller.create_topics(
                [_new_topic(topic) for topic in wanted], validate_only=request.validate_only
            )
        except ApiError as error:  # of the request as a whole
            return CreateTopicsResponse(topics=[_refused(topic.name, error) for topic in request.topics])
        results = [_result(each, with_configs=ctx.api_version >= 5) for each in created]
    duplicate = ApiError(ErrorCode.INVALID_REQUEST, "Duplicate topic name.")
    results += [_refused(name, duplicate) for name, times in asked.items() if times > 1]
    if asked[CLUSTER_METADATA_TOPIC] == 1:
        message = f"Creation of internal topic {CLUSTER_METADATA_TOPIC} is prohibited."
        results.append(_refused(CLUSTER_METADATA_TOPIC, ApiError(ErrorCode.INVALID_REQUEST, message)))
    return CreateTopicsResponse(topics=results)


def _new_topic(topic: CreatableTopic) -> NewTopic:
    return NewTopic(
        topic.name,
        topic.num_partitions,
        topic.replication_factor,
        [(assignment.partition_index, assignment.broker_ids) for assignment in topic.assignments],
        [(config.name, config.value) for config in topic.configs],
    )


def _refused(name: str, error: ApiError) -> CreatableTopicResult:
    return CreatableTopicResult(name=name, error_code=error.code, error_message=error.message)


def _result(created: CreatedTopic, *, with_configs: bool) -> CreatableTopicResult:
    if created.error is not None:
        return _refused(created.name, created.error)
    configs = [
        CreatableTopicConfigs(
            name=entry.name,
            value=None if entry.sensitive else entry.value,
            read_only=entry.read_only,
            config_source=entry.source,
            is_sensitive=entry.sensitive,
        )
        for entry in (created.configs if with_configs else ())
    ]
    return CreatableTopicResult(
        name=created.name,
        topic_id=created.topic_id,
        error_message=None,
        num_partitions=created.num_partitions,
        replication_factor=created.replication_factor,
        configs=configs,
    )
