"""InitProducerId  (KIP-98, KIP-360, KIP-890, KIP-939; Kafka: KafkaApis.handleInitProducerIdRequest)

v3 the id and epoch a producer believes to be its own; v4 PRODUCER_FENCED; v6 two-phase commit (unstable).
"""

from __future__ import annotations

from broker.context import RequestContext
from broker.coordinator.transactions import TransactionCoordinator
from broker.producer_ids import ProducerIds
from kwire.error_codes import ErrorCode
from kwire.errors import ApiError
from kwire.messages.init_producer_id import InitProducerIdRequest, InitProducerIdResponse

_FENCED_SINCE = 4


async def init_producer_id(
    request: InitProducerIdRequest,
    ctx: RequestContext,
    transactions: TransactionCoordinator,
    producer_ids: ProducerIds,
) -> InitProducerIdResponse:
    """Without a transactional id: a new producer id with epoch 0, whatever else is asked for."""
    expected = (request.producer_id, request.producer_epoch)
    try:
        if (expected[0] == -1) != (expected[1] == -1):
            raise ApiError(ErrorCode.INVALID_REQUEST)
        if request.transactional_id is None:
            return InitProducerIdResponse(producer_id=await producer_ids.next(), producer_epoch=0)
        producer_id, epoch = await transactions.init_producer_id(
            request.transactional_id,
            request.transaction_timeout_ms,
            None if expected[0] == -1 else expected,
            two_phase_commit=request.enable2_pc,
            keep_prepared=request.keep_prepared_txn,
        )
    except ApiError as error:
        code = error.code
        if code is ErrorCode.PRODUCER_FENCED and ctx.api_version < _FENCED_SINCE:
            code = ErrorCode.INVALID_PRODUCER_EPOCH
        return InitProducerIdResponse(error_code=code, producer_id=-1, producer_epoch=-1)
    return InitProducerIdResponse(producer_id=producer_id, producer_epoch=epoch)
