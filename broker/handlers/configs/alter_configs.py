"""AlterConfigs: replace everything that was set on a resource."""

from __future__ import annotations

from broker.config.admin import Change, ConfigAdmin, ResourceChanges
from broker.config.loggers import SET
from broker.context import RequestContext
from kwire.error_codes import ErrorCode
from kwire.messages.alter_configs import (
    AlterConfigsRequest,
    AlterConfigsResourceResponse,
    AlterConfigsResponse,
)


async def alter_configs(
    request: AlterConfigsRequest, _ctx: RequestContext, configs: ConfigAdmin
) -> AlterConfigsResponse:
    """One result per resource, in their order."""
    wanted = [
        ResourceChanges(
            resource.resource_type,
            resource.resource_name,
            [Change(config.name, SET, config.value) for config in resource.configs],
        )
        for resource in request.resources
    ]
    errors = await configs.alter(wanted, incremental=False, validate_only=request.validate_only)
    return AlterConfigsResponse(
        responses=[
            AlterConfigsResourceResponse(
                error_code=ErrorCode.NONE if error is None else error.code,
                error_message=None if error is None else error.message,
                resource_type=changes.resource_type,
                resource_name=changes.resource_name,
            )
            for changes, error in zip(wanted, errors, strict=True)
        ]
    )
