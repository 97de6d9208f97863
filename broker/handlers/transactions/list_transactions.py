"""ListTransactions  (KIP-664, KIP-994, KIP-1152)

v1 duration filter; v2 a pattern (RE2's syntax) that the transactional id has to match as a whole.
"""

from __future__ import annotations

from broker.context import RequestContext
from broker.coordinator.transactions import TransactionCoordinator
from kwire.messages.list_transactions import ListTransactionsRequest, ListTransactionsResponse


async def list_transactions(
    request: ListTransactionsRequest, _ctx: RequestContext, transactions: TransactionCoordinator
) -> ListTransactionsResponse:
    return await transactions.list(request)
