"""GetTelemetrySubscriptions: which metrics a client is asked to push, and how often (KIP-714)."""

from __future__ import annotations

from broker.context import RequestContext
from broker.telemetry import Telemetry
from kwire.errors import ApiError
from kwire.messages.get_telemetry_subscriptions import (
    GetTelemetrySubscriptionsRequest,
    GetTelemetrySubscriptionsResponse,
)


def get_telemetry_subscriptions(
    request: GetTelemetrySubscriptionsRequest, ctx: RequestContext, telemetry: Telemetry
) -> GetTelemetrySubscriptionsResponse:
    """The client's subscription; THROTTLING_QUOTA_EXCEEDED when asked again before its interval is over."""
    try:
        instance = telemetry.subscribe(request.client_instance_id, ctx)
    except ApiError as error:
        return GetTelemetrySubscriptionsResponse(error_code=error.code)
    return GetTelemetrySubscriptionsResponse(
        client_instance_id=instance.instance_id,
        subscription_id=instance.subscription_id,
        accepted_compression_types=list(telemetry.accepted_compression_types),
        push_interval_ms=instance.push_interval_ms,
        telemetry_max_bytes=telemetry.max_bytes,
        delta_temporality=True,
        requested_metrics=list(instance.metrics),
    )
