"""The end of a transaction: EndTxn, fencing, and the completion once all markers are written.

PREPARE_x is the decision: once that record is committed the outcome stands, whatever happens to this broker.

(KIP-98, KIP-890; Kafka: TransactionCoordinator.endTransaction, TransactionMetadata.prepareAbortOrCommit and
prepareComplete)
"""

from __future__ import annotations

from attrs import define, evolve

from broker.decision import Decision
from broker.txn.state import ShardState
from broker.txn.states import PREPARED, TransactionState
from broker.txn.transaction import (
    CLASSIC,
    EPOCH_PER_TRANSACTION,
    MAX_EPOCH,
    NO_PRODUCER_EPOCH,
    NO_PRODUCER_ID,
    Transaction,
    TransactionRecord,
)
from kwire.error_codes import ErrorCode
from kwire.errors import ApiError

_COMPLETE = {
    TransactionState.PREPARE_COMMIT: TransactionState.COMPLETE_COMMIT,
    TransactionState.PREPARE_ABORT: TransactionState.COMPLETE_ABORT,
}


@define(slots=True, frozen=True)
class Ended:
    """producer_id and producer_epoch: what the client goes on with, -1 where its generation is not told.

    prepared: the markers are to be written now; False: it had ended that way already.
    """

    producer_id: int
    producer_epoch: int
    prepared: bool


def needs_producer_id(state: ShardState, transactional_id: str, client_version: int) -> bool:
    """Whether `end` has to be given a producer id nobody had before."""
    found = state.transactions.get(transactional_id)
    return (
        client_version >= EPOCH_PER_TRANSACTION
        and found is not None
        and found.state not in PREPARED
        and found.epoch_exhausted
    )


def rotates_when_fenced(found: Transaction, server_version: int) -> bool:
    """Whether `fence` has to be given a producer id nobody had before."""
    return server_version >= EPOCH_PER_TRANSACTION and found.epoch_exhausted


def end(
    state: ShardState,
    transactional_id: str,
    producer_id: int,
    producer_epoch: int,
    commit: bool,
    client_version: int,
    new_producer_id: int,
    decision: Decision[TransactionRecord],
) -> Ended:
    """EndTxn. ApiError: INVALID_PRODUCER_ID_MAPPING, PRODUCER_FENCED, CONCURRENT_TRANSACTIONS, INVALID_TXN_STATE."""
    found = state.transactions.get(transactional_id)
    if found is None:
        raise ApiError(ErrorCode.INVALID_PRODUCER_ID_MAPPING)
    if client_version >= EPOCH_PER_TRANSACTION:
        return _end_raising_epoch(
            transactional_id, found, producer_id, producer_epoch, commit, new_producer_id, decision
        )
    if found.producer_id != producer_id:
        raise ApiError(ErrorCode.INVALID_PRODUCER_ID_MAPPING)
    if found.producer_epoch != producer_epoch:
        raise ApiError(ErrorCode.PRODUCER_FENCED)
    if found.state in PREPARED:
        raise ApiError(ErrorCode.CONCURRENT_TRANSACTIONS)
    if found.state is TransactionState.ONGOING:
        outcome = TransactionState.PREPARE_COMMIT if commit else TransactionState.PREPARE_ABORT
        value = Transaction(
            producer_id=producer_id,
            producer_epoch=producer_epoch,
            timeout_ms=found.timeout_ms,
            state=outcome,
            partitions=found.partitions,
            start_ms=found.start_ms,
            last_update_ms=decision.now_ms,
            previous_producer_id=producer_id,
            last_producer_epoch=found.last_producer_epoch,
        )
        decision.records.append(TransactionRecord(transactional_id, value))
        return Ended(NO_PRODUCER_ID, NO_PRODUCER_EPOCH, prepared=True)
    if found.state is (TransactionState.COMPLETE_COMMIT if commit else TransactionState.COMPLETE_ABORT):
        return Ended(NO_PRODUCER_ID, NO_PRODUCER_EPOCH, prepared=False)
    raise ApiError(ErrorCode.INVALID_TXN_STATE)


def _end_raising_epoch(
    transactional_id: str,
    found: Transaction,
    producer_id: int,
    producer_epoch: int,
    commit: bool,
    new_producer_id: int,
    decision: Decision[TransactionRecord],
) -> Ended:
    """EndTxn v5: every end raises the epoch. With the current epoch it is a new end, with the one before a retry.

                 abort: retry  current    commit: retry  current
    Empty               90     raised             90     48
    CompleteAbort       0      raised             48     48
    CompleteCommit      48     raised             0      48
    """
    if found.state in PREPARED:
        # First, as the producer id may be about to change.
        raise ApiError(ErrorCode.CONCURRENT_TRANSACTIONS)
    retry_of_last_epoch = (
        found.previous_producer_id == producer_id and producer_epoch == MAX_EPOCH - 1 and found.producer_epoch == 0
    )
    complete = found.state in _COMPLETE.values()
    # Kafka looks at the epochs only: there a producer of generation 2 that was fenced by one of generation 1 is taken
    # for its successor, and given its epoch, once that one has ended a transaction (docs/DIFFERENCES.md).
    raised = found.client_version >= EPOCH_PER_TRANSACTION and found.producer_epoch == producer_epoch + 1
    retry = retry_of_last_epoch or raised
    if found.producer_id != producer_id and not retry_of_last_epoch:
        raise ApiError(ErrorCode.INVALID_PRODUCER_ID_MAPPING)
    if producer_epoch != found.producer_epoch and not (complete and retry):
        raise ApiError(ErrorCode.PRODUCER_FENCED)
    if found.state is TransactionState.ONGOING:
        outcome = TransactionState.PREPARE_COMMIT if commit else TransactionState.PREPARE_ABORT
    elif retry and found.state is (TransactionState.COMPLETE_COMMIT if commit else TransactionState.COMPLETE_ABORT):
        return Ended(found.producer_id, found.producer_epoch, prepared=False)
    elif retry or commit:
        raise ApiError(ErrorCode.INVALID_TXN_STATE)
    else:
        # A client that does not know whether anything was begun may abort all the same.
        outcome = TransactionState.PREPARE_ABORT
        found = evolve(found, start_ms=decision.now_ms)
    value = _raise_epoch(found, outcome, new_producer_id, decision)
    decision.records.append(TransactionRecord(transactional_id, value))
    after = completed(value, decision.now_ms)
    return Ended(after.producer_id, after.producer_epoch, prepared=True)


def _raise_epoch(
    found: Transaction, outcome: TransactionState, new_producer_id: int, decision: Decision[TransactionRecord]
) -> Transaction:
    """The PREPARE record of a generation 2 end. With all epochs used up it names the producer id to go on with."""
    return Transaction(
        producer_id=found.producer_id,
        producer_epoch=min(found.producer_epoch + 1, MAX_EPOCH),
        timeout_ms=found.timeout_ms,
        state=outcome,
        partitions=found.partitions,
        start_ms=found.start_ms,
        last_update_ms=decision.now_ms,
        previous_producer_id=found.producer_id,
        next_producer_id=new_producer_id if found.epoch_exhausted else NO_PRODUCER_ID,
        client_version=EPOCH_PER_TRANSACTION,
        last_producer_epoch=found.producer_epoch,
    )


def fence(
    transactional_id: str,
    found: Transaction,
    server_version: int,
    new_producer_id: int,
    decision: Decision[TransactionRecord],
) -> Transaction:
    """Abort an open transaction with a higher epoch, so that its producer can do no more. Returns what is prepared."""
    if server_version >= EPOCH_PER_TRANSACTION:
        value = _raise_epoch(found, TransactionState.PREPARE_ABORT, new_producer_id, decision)
    else:
        value = evolve(
            found,
            previous_producer_id=found.producer_id,
            next_producer_id=NO_PRODUCER_ID,
            producer_epoch=min(found.producer_epoch + 1, MAX_EPOCH),
            last_producer_epoch=NO_PRODUCER_EPOCH,
            state=TransactionState.PREPARE_ABORT,
            last_update_ms=decision.now_ms,
            client_version=CLASSIC,
        )
    decision.records.append(TransactionRecord(transactional_id, value))
    return value


def complete(state: ShardState, transactional_id: str, decision: Decision[TransactionRecord]) -> None:
    """All markers of a prepared transaction are written."""
    found = state.transactions[transactional_id]
    state.completing.pop(transactional_id, None)
    decision.records.append(TransactionRecord(transactional_id, completed(found, decision.now_ms)))


def completed(prepared: Transaction, now_ms: int) -> Transaction:
    """What a prepared transaction becomes."""
    producer_id, producer_epoch = prepared.producer_id, prepared.producer_epoch
    if prepared.client_version >= EPOCH_PER_TRANSACTION and prepared.next_producer_id != NO_PRODUCER_ID:
        producer_id, producer_epoch = prepared.next_producer_id, 0
    return Transaction(
        producer_id=producer_id,
        producer_epoch=producer_epoch,
        timeout_ms=prepared.timeout_ms,
        state=_COMPLETE[prepared.state],
        partitions=(),
        start_ms=prepared.start_ms,
        last_update_ms=now_ms,
        previous_producer_id=prepared.producer_id,
        next_producer_id=NO_PRODUCER_ID,
        client_version=prepared.client_version,
        last_producer_epoch=prepared.last_producer_epoch,
    )
