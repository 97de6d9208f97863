"""What time does to transactions: open ones are aborted, ids nobody uses are forgotten.

(Kafka: TransactionStateManager.timedOutTransactions, removeExpiredTransactionalIds)
"""

from __future__ import annotations

from broker.decision import Decision
from broker.txn.state import ShardState
from broker.txn.states import AT_REST
from broker.txn.transaction import NO_TIMEOUT_MS, TransactionRecord


def timed_out(state: ShardState, now_ms: int) -> list[str]:
    """Ids of transactions that are open for longer than their timeout."""
    found = []
    for transactional_id in state.ongoing:
        transaction = state.transactions[transactional_id]
        if transaction.timeout_ms != NO_TIMEOUT_MS and transaction.start_ms + transaction.timeout_ms < now_ms:
            found.append(transactional_id)
    return found


def expire(state: ShardState, decision: Decision[TransactionRecord]) -> None:
    """A tombstone for each id at rest that was not used for `transactional.id.expiration.ms`."""
    before_ms = decision.now_ms - state.config.transactional_id_expiration_ms
    for transactional_id, transaction in state.transactions.items():
        if transaction.state in AT_REST and transaction.last_update_ms <= before_ms:
            decision.records.append(TransactionRecord(transactional_id, None))
    decision.splittable = True
