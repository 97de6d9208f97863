"""IncrementalAlterConfigs: set, unset, append to and subtract from single settings (KIP-339)."""

from __future__ import annotations

from broker.config.admin import Change, ConfigAdmin, ResourceChanges
from broker.context import RequestContext
from kwire.error_codes import ErrorCode
from kwire.messages.incremental_alter_configs import (
    AlterConfigsResourceResponse,
    IncrementalAlterConfigsRequest,
    IncrementalAlterConfigsResponse,
)


async def incremental_alter_configs(
    request: IncrementalAlterConfigsRequest, _ctx: RequestContext, configs: ConfigAdmin
) -> IncrementalAlterConfigsResponse:
    """One result per resource, in their order."""
    wanted = [
        ResourceChanges(
            resource.resource_type,
            resource.resource_name,
            [Change(config.name, config.config_operation, config.value) for config in resource.configs],
        )
        for resource in request.resources
    ]
    errors = await configs.alter(wanted, incremental=True, validate_only=request.validate_only)
    return IncrementalAlterConfigsResponse(
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
