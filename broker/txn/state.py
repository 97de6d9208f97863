"""All of one shard's state: the transactions as replayed, and what is soft about them."""

from __future__ import annotations

from broker.txn.config import TransactionConfig
from broker.txn.states import PREPARED, TransactionState
from broker.txn.transaction import TopicPartition, Transaction, TransactionRecord


class ShardState:
    """transactions: by transactional id, changed by `replay` only.

    ongoing: ids of open transactions, which may time out; follows the records. completing: id -> the partitions that
    still have to get their marker, for each prepared transaction whose markers are on their way (soft).
    unfinished: ids that were prepared when the log was read, and whose markers are still to be begun (soft).
    raw: the last value of each key while the log is being read: only those are decoded.
    damaged: keys whose last value cannot be decoded; what they had before is looked for in a second reading.
    """

    __slots__ = ("completing", "config", "damaged", "ongoing", "raw", "transactions", "unfinished")

    def __init__(self, config: TransactionConfig) -> None:
        self.config = config
        self.transactions: dict[str, Transaction] = {}
        self.ongoing: dict[str, None] = {}
        self.completing: dict[str, dict[TopicPartition, None]] = {}
        self.unfinished: list[str] = []
        self.raw: dict[bytes, bytes] = {}
        self.damaged: set[bytes] = set()

    def replay(self, record: TransactionRecord) -> None:
        """Apply one record, appended just now or read from the log."""
        transactional_id, value = record.transactional_id, record.value
        if value is None:
            self.transactions.pop(transactional_id, None)
            self.ongoing.pop(transactional_id, None)
            return
        self.transactions[transactional_id] = value
        if value.state is TransactionState.ONGOING:
            self.ongoing[transactional_id] = None
        else:
            self.ongoing.pop(transactional_id, None)

    def prepared(self) -> list[str]:
        """Ids whose outcome is decided and not complete."""
        return [name for name, transaction in self.transactions.items() if transaction.state in PREPARED]
