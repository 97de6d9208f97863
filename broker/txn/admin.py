"""DescribeTransactions and ListTransactions.  (KIP-664, KIP-994, KIP-1152; Kafka: TransactionStateManager)"""

from __future__ import annotations

from collections.abc import Generator, Iterable
from typing import Final

from broker.re2 import Pattern, PatternError
from broker.txn.state import ShardState
from broker.txn.states import STATE_NAMES, STATES_BY_NAME
from kwire.error_codes import ErrorCode
from kwire.errors import ApiError
from kwire.messages.describe_transactions import TopicData
from kwire.messages.describe_transactions import TransactionState as DescribedTransaction
from kwire.messages.list_transactions import ListTransactionsRequest, ListTransactionsResponse
from kwire.messages.list_transactions import TransactionState as ListedTransaction

_PORTION: Final = 1000
"""Transactions looked at in a turn."""


def describe(state: ShardState, transactional_id: str) -> DescribedTransaction:
    """A transaction that is being ended shows the partitions that still wait for their marker.

    ApiError: TRANSACTIONAL_ID_NOT_FOUND.
    """
    found = state.transactions.get(transactional_id)
    if found is None:
        raise ApiError(ErrorCode.TRANSACTIONAL_ID_NOT_FOUND)
    topics: dict[str, list[int]] = {}
    for topic, index in state.completing.get(transactional_id, found.partitions):
        topics.setdefault(topic, []).append(index)
    return DescribedTransaction(
        transactional_id=transactional_id,
        transaction_state=STATE_NAMES[found.state],
        transaction_timeout_ms=found.timeout_ms,
        transaction_start_time_ms=found.start_ms,
        producer_id=found.producer_id,
        producer_epoch=found.producer_epoch,
        topics=[TopicData(topic=topic, partitions=indexes) for topic, indexes in topics.items()],
    )


def list_transactions(
    states: Iterable[ShardState], request: ListTransactionsRequest, now_ms: int
) -> Generator[None, None, ListTransactionsResponse]:
    """All filters have to agree; an empty one agrees with everything. Names of states are case-sensitive.

    Done in portions of a few milliseconds: a million transactions, or a pattern made to take long, hold nobody up. A
    pattern that goes on taking long is refused (INVALID_REGULAR_EXPRESSION).
    """
    wanted = {STATES_BY_NAME[name] for name in request.state_filters if name in STATES_BY_NAME}
    unknown = [name for name in dict.fromkeys(request.state_filters) if name not in STATES_BY_NAME]
    producer_ids = set(request.producer_id_filters)
    duration_ms = request.duration_filter
    listed = []
    try:
        pattern = Pattern(request.transactional_id_pattern) if request.transactional_id_pattern else None
        for state in states:
            # As they are when this shard's turn comes; a transaction is never changed in place.
            for position, (transactional_id, found) in enumerate(list(state.transactions.items()), 1):
                if position % _PORTION == 0:
                    yield
                if (
                    (producer_ids and found.producer_id not in producer_ids)
                    or (request.state_filters and found.state not in wanted)
                    or (duration_ms >= 0 and now_ms - found.start_ms <= duration_ms)
                    or (pattern is not None and not (yield from pattern.matching(transactional_id)))
                ):
                    continue
                listed.append(
                    ListedTransaction(
                        transactional_id=transactional_id,
                        producer_id=found.producer_id,
                        transaction_state=STATE_NAMES[found.state],
                    )
                )
    except PatternError:
        return ListTransactionsResponse(error_code=ErrorCode.INVALID_REGULAR_EXPRESSION)
    return ListTransactionsResponse(unknown_state_filters=unknown, transaction_states=listed)
