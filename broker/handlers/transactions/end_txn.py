"""EndTxn  (KIP-98, KIP-890; Kafka: KafkaApis.handleEndTxnRequest)

v2 PRODUCER_FENCED; v5 every end raises the epoch: the answer says what to go on with.
"""

from __future__ import annotations

from broker.context import RequestContext
from broker.coordinator.transactions import TransactionCoordinator
from broker.txn.transaction import CLASSIC, EPOCH_PER_TRANSACTION
from kwire.error_codes import ErrorCode
from kwire.errors import ApiError
from kwire.messages.end_txn import EndTxnRequest, EndTxnResponse

_FENCED_SINCE = 2
_RAISES_EPOCH_SINCE = 5


async def end_txn(request: EndTxnRequest, ctx: RequestContext, transactions: TransactionCoordinator) -> EndTxnResponse:
    """Answered once the outcome is stored; the markers may still be on their way."""
    try:
        producer_id, epoch = await transactions.end_transaction(
            request.transactional_id,
            request.producer_id,
            request.producer_epoch,
            request.committed,
            EPOCH_PER_TRANSACTION if ctx.api_version >= _RAISES_EPOCH_SINCE else CLASSIC,
        )
    except ApiError as error:
        code = error.code
        if code is ErrorCode.PRODUCER_FENCED and ctx.api_version < _FENCED_SINCE:
            code = ErrorCode.INVALID_PRODUCER_EPOCH
        return EndTxnResponse(error_code=code)
    return EndTxnResponse(producer_id=producer_id, producer_epoch=epoch)
