"""InitProducerId for idempotent producers.  (KIP-98, KIP-360; Kafka: TransactionCoordinator.handleInitProducerId)"""

from __future__ import annotations

from broker.context import RequestContext
from broker.producer_ids import ProducerIds
from kwire.error_codes import ErrorCode
from kwire.errors import ApiError
from kwire.messages.init_producer_id import InitProducerIdRequest, InitProducerIdResponse


async def init_producer_id(
    request: InitProducerIdRequest, ctx: RequestContext, producer_ids: ProducerIds
) -> InitProducerIdResponse:
    """A new producer id with epoch 0. A transactional id is refused: there is no transaction coordinator yet."""
    if request.transactional_id is not None:
        code = _refusal(request)
        return InitProducerIdResponse(error_code=code, producer_id=-1, producer_epoch=-1)
    try:
        producer_id = await producer_ids.next()
    except ApiError as error:
        return InitProducerIdResponse(error_code=error.code, producer_id=-1, producer_epoch=-1)
    return InitProducerIdResponse(producer_id=producer_id, producer_epoch=0)


def _refusal(request: InitProducerIdRequest) -> ErrorCode:
    if request.transactional_id == "" or (request.producer_id == -1) != (request.producer_epoch == -1):
        return ErrorCode.INVALID_REQUEST
    return ErrorCode.UNSUPPORTED_VERSION
