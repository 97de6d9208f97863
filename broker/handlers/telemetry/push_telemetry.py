"""PushTelemetry: metrics from a client (KIP-714)."""

from __future__ import annotations

from broker.context import RequestContext
from broker.telemetry import Telemetry
from kwire.errors import ApiError
from kwire.messages.push_telemetry import PushTelemetryRequest, PushTelemetryResponse


def push_telemetry(request: PushTelemetryRequest, ctx: RequestContext, telemetry: Telemetry) -> PushTelemetryResponse:
    """Checked as Kafka does; the metrics themselves go nowhere, as there is no receiver."""
    try:
        telemetry.push(
            request.client_instance_id,
            request.subscription_id,
            terminating=request.terminating,
            compression_type=request.compression_type,
            size=len(request.metrics),
            ctx=ctx,
        )
    except ApiError as error:
        return PushTelemetryResponse(error_code=error.code)
    return PushTelemetryResponse()
