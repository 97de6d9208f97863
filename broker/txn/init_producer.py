"""InitProducerId with a transactional id: a new epoch for its producer, and the end of what the one before left open.

(KIP-98, KIP-360, KIP-890; Kafka: TransactionCoordinator.prepareInitProducerIdTransit)
"""

from __future__ import annotations

from attrs import evolve

from broker.decision import Decision
from broker.txn.end import fence, rotates_when_fenced
from broker.txn.state import ShardState
from broker.txn.states import PREPARED, TransactionState
from broker.txn.transaction import (
    MAX_EPOCH,
    NO_PRODUCER_EPOCH,
    NO_PRODUCER_ID,
    NO_TIMESTAMP,
    Transaction,
    TransactionRecord,
)
from kwire.error_codes import ErrorCode
from kwire.errors import ApiError

Expected = tuple[int, int]
"""Producer id and epoch a client believes to be its own."""


def needs_producer_id(state: ShardState, transactional_id: str, expected: Expected | None, server_version: int) -> bool:
    """Whether `init_producer` has to be given a producer id nobody had before."""
    found = state.transactions.get(transactional_id)
    if found is None:
        return True
    if found.state in PREPARED or (expected is not None and not _continues(found, expected)):
        return False
    if found.state is TransactionState.ONGOING:
        return rotates_when_fenced(found, server_version)
    return found.epoch_exhausted and (expected is None or expected[1] == found.producer_epoch)


def init_producer(
    state: ShardState,
    transactional_id: str,
    timeout_ms: int,
    expected: Expected | None,
    new_producer_id: int,
    server_version: int,
    decision: Decision[TransactionRecord],
) -> Transaction:
    """What the producer is given, in state EMPTY; or, in state PREPARE_ABORT, what its predecessor left open and is now
    aborted: the client is to ask again (CONCURRENT_TRANSACTIONS).

    ApiError: CONCURRENT_TRANSACTIONS, PRODUCER_FENCED, UNKNOWN_SERVER_ERROR.
    """
    found = state.transactions.get(transactional_id)
    if found is None:
        found = Transaction(new_producer_id, NO_PRODUCER_EPOCH, timeout_ms, TransactionState.EMPTY, (), NO_TIMESTAMP, 0)
    if found.state in PREPARED:
        raise ApiError(ErrorCode.CONCURRENT_TRANSACTIONS)
    if expected is not None and not _continues(found, expected):
        raise ApiError(ErrorCode.PRODUCER_FENCED)
    if found.state is TransactionState.ONGOING:
        # The epoch it is aborted with is given to nobody: who asks again gets the next.
        return fence(transactional_id, found, server_version, new_producer_id, decision)
    producer_id, epoch, last_epoch = _next_epoch(found, expected, new_producer_id)
    value = evolve(
        found,
        producer_id=producer_id,
        previous_producer_id=found.producer_id,
        producer_epoch=epoch,
        last_producer_epoch=last_epoch,
        timeout_ms=timeout_ms,
        state=TransactionState.EMPTY,
        partitions=(),
        start_ms=NO_TIMESTAMP,
        last_update_ms=decision.now_ms,
    )
    decision.records.append(TransactionRecord(transactional_id, value))
    return value


def _next_epoch(found: Transaction, expected: Expected | None, new_producer_id: int) -> tuple[int, int, int]:
    """Producer id, epoch, and the epoch before, for a transactional id at rest."""
    epoch = found.producer_epoch
    if found.epoch_exhausted:
        if expected is None:
            return new_producer_id, 0, NO_PRODUCER_EPOCH
        if expected[1] == epoch:
            return new_producer_id, 0, epoch
        raise ApiError(ErrorCode.UNKNOWN_SERVER_ERROR)
    if expected is None:
        return found.producer_id, epoch + 1, NO_PRODUCER_EPOCH
    if epoch in (NO_PRODUCER_EPOCH, expected[1]):
        return found.producer_id, epoch + 1, epoch
    if expected[1] == found.last_producer_epoch:
        # It asks again for what it was given: nobody else came in between, or the last epoch would be unknown.
        return found.producer_id, epoch, found.last_producer_epoch
    raise ApiError(ErrorCode.PRODUCER_FENCED)


def _continues(found: Transaction, expected: Expected) -> bool:
    """Whether the producer id is the current one, or the one before it, whose epochs were used up."""
    producer_id, epoch = expected
    return (
        found.producer_epoch == NO_PRODUCER_EPOCH
        or producer_id == found.producer_id
        or (producer_id == found.previous_producer_id != NO_PRODUCER_ID and epoch >= MAX_EPOCH - 1)
    )
