"""What time does to transactions: open ones are aborted, ids nobody uses are forgotten.

(Kafka: TransactionStateManager.timedOutTransactions, removeExpiredTransactionalIds)
"""

from __future__ import annotations

from collections.abc import Iterable

from broker.decision import Decision
from broker.txn.state import ShardState
from broker.txn.states import AT_REST, TransactionState
from broker.txn.transaction import NO_TIMEOUT_MS, Transaction, TransactionRecord


def is_timed_out(transaction: Transaction, now_ms: int) -> bool:
    """Whether it is open for longer than its timeout."""
    return (
        transaction.state is TransactionState.ONGOING
        and transaction.timeout_ms != NO_TIMEOUT_MS
        and transaction.start_ms + transaction.timeout_ms < now_ms
    )


def timed_out(state: ShardState, now_ms: int) -> list[str]:
    """Ids of transactions that are open for longer than their timeout."""
    transactions = state.transactions
    return [name for name in state.ongoing if is_timed_out(transactions[name], now_ms)]


def expired(state: ShardState, now_ms: int) -> list[str]:
    """Ids at rest that were not used for `transactional.id.expiration.ms`."""
    before_ms = now_ms - state.config.transactional_id_expiration_ms
    return [name for name, transaction in state.transactions.items() if _is_expired(transaction, before_ms)]


def expire(state: ShardState, names: Iterable[str], decision: Decision[TransactionRecord]) -> None:
    """A tombstone for each of these ids that is still expired."""
    before_ms = decision.now_ms - state.config.transactional_id_expiration_ms
    for transactional_id in names:
        transaction = state.transactions.get(transactional_id)
        if transaction is not None and _is_expired(transaction, before_ms):
            decision.records.append(TransactionRecord(transactional_id, None))
    decision.splittable = True


def _is_expired(transaction: Transaction, before_ms: int) -> bool:
    return transaction.state in AT_REST and transaction.last_update_ms <= before_ms
