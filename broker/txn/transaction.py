"""What the coordinator knows of one transactional id, and the record that says so."""

from __future__ import annotations

from typing import Final, TypeAlias

from attrs import define

from broker.txn.states import TransactionState

TopicPartition: TypeAlias = tuple[str, int]
"""Topic name and partition index."""

NO_PRODUCER_ID: Final = -1
NO_PRODUCER_EPOCH: Final = -1
MAX_EPOCH: Final = 32_767
NO_TIMESTAMP: Final = -1
NO_TIMEOUT_MS: Final = 2**31 - 1
"""The timeout of a two-phase commit: it is never aborted by the broker.  (KIP-939)"""

CLASSIC: Final = 0
"""Generation of a client that adds partitions itself; its epoch is raised by InitProducerId only."""
EPOCH_PER_TRANSACTION: Final = 2
"""Generation of a client whose partitions join as it produces, and whose epoch is raised by every end. (KIP-890)"""


@define(slots=True)
class Transaction:
    """Never changed in place: each record replaces it.

    partitions: in the order Java's HashSet would have them, which is the order in the record.
    previous_producer_id: the id before this record; stored by value version 1 only, as are next_producer_id (the id to
    go on with once complete, -1: the same) and client_version (the generation that made this record).
    last_producer_epoch: the epoch before the last one, for retries of InitProducerId; not stored at all.
    start_ms: -1 while nothing was begun.
    """

    producer_id: int
    producer_epoch: int
    timeout_ms: int
    state: TransactionState
    partitions: tuple[TopicPartition, ...]
    start_ms: int
    last_update_ms: int
    previous_producer_id: int = NO_PRODUCER_ID
    next_producer_id: int = NO_PRODUCER_ID
    client_version: int = CLASSIC
    last_producer_epoch: int = NO_PRODUCER_EPOCH

    @property
    def epoch_exhausted(self) -> bool:
        """The highest epoch is kept for fencing: a producer never gets it."""
        return self.producer_epoch >= MAX_EPOCH - 1


@define(slots=True)
class TransactionRecord:
    """One record of `__transaction_state`; value None: the id has expired."""

    transactional_id: str
    value: Transaction | None
