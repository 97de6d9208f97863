"""ListConfigResources: which resources have settings (KIP-1142). v0 lists client metrics subscriptions only."""

from __future__ import annotations

from broker.config.admin import ConfigAdmin
from broker.context import RequestContext
from broker.controller.ports import RESOURCE_CLIENT_METRICS
from kwire.errors import ApiError
from kwire.messages.list_config_resources import (
    ConfigResource,
    ListConfigResourcesRequest,
    ListConfigResourcesResponse,
)


def list_config_resources(
    request: ListConfigResourcesRequest, ctx: RequestContext, configs: ConfigAdmin
) -> ListConfigResourcesResponse:
    """All resources of the types asked for, of every type when none is."""
    types = request.resource_types if ctx.api_version > 0 else [RESOURCE_CLIENT_METRICS]
    try:
        resources = configs.list_resources(types)
    except ApiError as error:
        return ListConfigResourcesResponse(error_code=error.code)
    return ListConfigResourcesResponse(
        config_resources=[
            ConfigResource(resource_name=resource.name, resource_type=resource.type) for resource in resources
        ]
    )
