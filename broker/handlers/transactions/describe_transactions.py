"""DescribeTransactions  (KIP-664)"""

from __future__ import annotations

from broker.context import RequestContext
from broker.coordinator.transactions import TransactionCoordinator
from kwire.messages.describe_transactions import DescribeTransactionsRequest, DescribeTransactionsResponse


async def describe_transactions(
    request: DescribeTransactionsRequest, _ctx: RequestContext, transactions: TransactionCoordinator
) -> DescribeTransactionsResponse:
    return DescribeTransactionsResponse(
        transaction_states=[await transactions.describe(each) for each in request.transactional_ids]
    )
