"""Partitions of a transaction: adding them, and asking whether they belong to it.

(KIP-98, KIP-890; Kafka: TransactionCoordinator.handleAddPartitionsToTransaction, handleVerifyPartitionsInTransaction)
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from broker.decision import Decision
from broker.txn.java_order import join
from broker.txn.state import ShardState
from broker.txn.states import PREPARED, TransactionState
from broker.txn.transaction import TopicPartition, Transaction, TransactionRecord
from kwire.error_codes import ErrorCode
from kwire.errors import ApiError

_FEW: Final = 8


def add(
    state: ShardState,
    transactional_id: str,
    producer_id: int,
    producer_epoch: int,
    partitions: Collection[TopicPartition],
    client_version: int,
    decision: Decision[TransactionRecord],
) -> None:
    """Take them into the open transaction, or begin one. Nothing is stored when all are in it already.

    ApiError: INVALID_PRODUCER_ID_MAPPING, PRODUCER_FENCED, CONCURRENT_TRANSACTIONS.
    """
    found = state.transactions.get(transactional_id)
    if found is None:
        raise ApiError(ErrorCode.INVALID_PRODUCER_ID_MAPPING)
    if found.state in PREPARED:
        # First, as the producer id may be about to change.
        raise ApiError(ErrorCode.CONCURRENT_TRANSACTIONS)
    if found.producer_id != producer_id:
        raise ApiError(ErrorCode.INVALID_PRODUCER_ID_MAPPING)
    if found.producer_epoch != producer_epoch:
        raise ApiError(ErrorCode.PRODUCER_FENCED)
    now_ms = decision.now_ms
    if found.state is TransactionState.ONGOING:
        present = _lookup(found.partitions)
        if all(each in present for each in partitions):
            return
        start_ms = found.start_ms
    else:
        start_ms = now_ms
    value = Transaction(
        producer_id=producer_id,
        producer_epoch=producer_epoch,
        timeout_ms=found.timeout_ms,
        state=TransactionState.ONGOING,
        partitions=join(found.partitions, partitions),
        start_ms=start_ms,
        last_update_ms=now_ms,
        previous_producer_id=producer_id,
        next_producer_id=found.next_producer_id,
        client_version=client_version,
        last_producer_epoch=found.last_producer_epoch,
    )
    decision.records.append(TransactionRecord(transactional_id, value))


def verify(
    state: ShardState,
    transactional_id: str,
    producer_id: int,
    producer_epoch: int,
    partitions: Collection[TopicPartition],
) -> dict[TopicPartition, ErrorCode]:
    """TRANSACTION_ABORTABLE for those that are not in the open transaction.

    ApiError: INVALID_PRODUCER_ID_MAPPING, PRODUCER_FENCED, CONCURRENT_TRANSACTIONS.
    """
    found = state.transactions.get(transactional_id)
    if found is None or found.producer_id != producer_id:
        raise ApiError(ErrorCode.INVALID_PRODUCER_ID_MAPPING)
    if found.producer_epoch != producer_epoch:
        raise ApiError(ErrorCode.PRODUCER_FENCED)
    if found.state in PREPARED:
        raise ApiError(ErrorCode.CONCURRENT_TRANSACTIONS)
    present = _lookup(found.partitions)
    return {each: ErrorCode.NONE if each in present else ErrorCode.TRANSACTION_ABORTABLE for each in partitions}


def _lookup(partitions: tuple[TopicPartition, ...]) -> Collection[TopicPartition]:
    """To look up several in: a few are found sooner where they are."""
    return partitions if len(partitions) <= _FEW else frozenset(partitions)
