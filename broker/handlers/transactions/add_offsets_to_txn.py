"""AddOffsetsToTxn  (KIP-98; Kafka: KafkaApis.handleAddOffsetsToTxnRequest)

The group's partition of `__consumer_offsets` joins the transaction, also before there is that topic: producers find
the group's coordinator, which makes it, only when they commit offsets. v2 PRODUCER_FENCED.
"""

from __future__ import annotations

from broker.context import RequestContext
from broker.coordinator.transactions import OFFSETS_TOPIC, TransactionCoordinator
from broker.group.ids import partition_for
from broker.txn.transaction import CLASSIC
from kwire.error_codes import ErrorCode
from kwire.errors import ApiError
from kwire.messages.add_offsets_to_txn import AddOffsetsToTxnRequest, AddOffsetsToTxnResponse

_FENCED_SINCE = 2


async def add_offsets_to_txn(
    request: AddOffsetsToTxnRequest, ctx: RequestContext, transactions: TransactionCoordinator
) -> AddOffsetsToTxnResponse:
    count = transactions.topics.partition_count(OFFSETS_TOPIC) or transactions.config.offsets_topic_num_partitions
    try:
        await transactions.add_partitions(
            request.transactional_id,
            request.producer_id,
            request.producer_epoch,
            [(OFFSETS_TOPIC, partition_for(request.group_id, count))],
            CLASSIC,
        )
    except ApiError as error:
        code = error.code
        if code is ErrorCode.PRODUCER_FENCED and ctx.api_version < _FENCED_SINCE:
            code = ErrorCode.INVALID_PRODUCER_EPOCH
        return AddOffsetsToTxnResponse(error_code=code)
    return AddOffsetsToTxnResponse()
