"""UnregisterBroker (API 64): forget a broker that is gone for good. (KIP-631)"""

from __future__ import annotations

from broker.context import RequestContext
from broker.controller.controller import Controller
from kwire.error_codes import ErrorCode
from kwire.errors import ApiError
from kwire.messages.unregister_broker import UnregisterBrokerRequest, UnregisterBrokerResponse


async def unregister_broker(
    request: UnregisterBrokerRequest, ctx: RequestContext, controller: Controller
) -> UnregisterBrokerResponse:
    """A node that runs is not forgotten: nothing here would register it again before its next start."""
    broker_id = request.broker_id
    try:
        if controller.image.is_active(broker_id):
            raise ApiError(ErrorCode.INVALID_REQUEST, f"Broker ID {broker_id} is running. Stop it first.")
        await controller.unregister_broker(broker_id)
    except ApiError as error:
        return UnregisterBrokerResponse(error_code=error.code, error_message=error.message)
    return UnregisterBrokerResponse(error_message=None)
