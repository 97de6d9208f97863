"""DescribeConfigs: settings in force, where they come from, and what they are  (Kafka: ConfigHelper).

v1 synonyms; v3 types and descriptions.
"""

from __future__ import annotations

from broker.config.admin import ConfigAdmin
from broker.config.describe import Described
from broker.context import RequestContext
from kwire.errors import ApiError
from kwire.messages.describe_configs import (
    DescribeConfigsRequest,
    DescribeConfigsResourceResult,
    DescribeConfigsResponse,
    DescribeConfigsResult,
    DescribeConfigsSynonym,
)


def describe_configs(
    request: DescribeConfigsRequest, _ctx: RequestContext, configs: ConfigAdmin
) -> DescribeConfigsResponse:
    """One result per resource; keys nobody knows are left out, no keys at all means every one."""
    results = []
    for resource in request.resources:
        result = DescribeConfigsResult(
            error_message="", resource_type=resource.resource_type, resource_name=resource.resource_name
        )
        try:
            described = configs.describe(
                resource.resource_type, resource.resource_name, documentation=request.include_documentation
            )
        except ApiError as error:
            result.error_code = error.code
            result.error_message = error.message or ""
        else:
            wanted = set(resource.configuration_keys or ())
            result.configs = [
                _answer(one, synonyms=request.include_synonyms) for one in described if not wanted or one.name in wanted
            ]
        results.append(result)
    return DescribeConfigsResponse(results=results)


def _answer(one: Described, *, synonyms: bool) -> DescribeConfigsResourceResult:
    return DescribeConfigsResourceResult(
        name=one.name,
        value=one.value,
        read_only=one.read_only,
        config_source=one.source,
        is_sensitive=one.sensitive,
        synonyms=[
            DescribeConfigsSynonym(name=synonym.name, value=synonym.value, source=synonym.source)
            for synonym in one.synonyms
        ]
        if synonyms
        else [],
        config_type=one.kind,
        documentation=one.description,
    )
