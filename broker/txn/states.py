"""The states of a transaction, as stored and as named to clients.  (Kafka: TransactionState)"""

from __future__ import annotations

from enum import IntEnum
from typing import Final


class TransactionState(IntEnum):
    """The value is the stored one.

    EMPTY -> ONGOING -> PREPARE_x -> COMPLETE_x -> ONGOING ..., and EMPTY again after InitProducerId. DEAD and
    PREPARE_EPOCH_FENCE are never stored; they are names a client may filter by.
    """

    EMPTY = 0
    ONGOING = 1
    PREPARE_COMMIT = 2
    PREPARE_ABORT = 3
    COMPLETE_COMMIT = 4
    COMPLETE_ABORT = 5
    DEAD = 6
    PREPARE_EPOCH_FENCE = 7


STATE_NAMES: Final = {state: state.name.title().replace("_", "") for state in TransactionState}
"""PREPARE_COMMIT -> PrepareCommit."""
STATES_BY_NAME: Final = {name: state for state, name in STATE_NAMES.items()}

PREPARED: Final = frozenset({TransactionState.PREPARE_COMMIT, TransactionState.PREPARE_ABORT})
"""Decided, its markers on their way: nothing else may happen to it."""
AT_REST: Final = frozenset({TransactionState.EMPTY, TransactionState.COMPLETE_COMMIT, TransactionState.COMPLETE_ABORT})
"""No transaction is open: it may expire, and the next may begin."""
