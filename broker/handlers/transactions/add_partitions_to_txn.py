"""AddPartitionsToTxn  (KIP-98, KIP-890; Kafka: KafkaApis.handleAddPartitionsToTxnRequest)

v2 PRODUCER_FENCED. From v4 on brokers ask, several transactions at once, and may only want to know (`verify_only`).
"""

from __future__ import annotations

from collections.abc import Mapping

from broker.context import RequestContext
from broker.controller.names import is_internal
from broker.coordinator.transactions import TransactionCoordinator
from broker.txn.transaction import CLASSIC, EPOCH_PER_TRANSACTION, TopicPartition
from kwire.error_codes import ErrorCode
from kwire.errors import ApiError
from kwire.messages.add_partitions_to_txn import (
    AddPartitionsToTxnPartitionResult,
    AddPartitionsToTxnRequest,
    AddPartitionsToTxnResponse,
    AddPartitionsToTxnResult,
    AddPartitionsToTxnTopic,
    AddPartitionsToTxnTopicResult,
)

_FENCED_SINCE = 2
_BATCHES_SINCE = 4
_REFUSALS = frozenset(
    (ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, ErrorCode.TOPIC_AUTHORIZATION_FAILED, ErrorCode.OPERATION_NOT_ATTEMPTED)
)


async def add_partitions_to_txn(
    request: AddPartitionsToTxnRequest, ctx: RequestContext, transactions: TransactionCoordinator
) -> AddPartitionsToTxnResponse:
    """All partitions of a transaction are added, or none: one that does not exist stops the others.

    UNSUPPORTED_VERSION for the whole: what brokers ask for needs transaction.version 1 or more.
    """
    if ctx.api_version < _BATCHES_SINCE:
        topics = request.v3_and_below_topics
        codes = await _add(
            transactions,
            request.v3_and_below_transactional_id,
            request.v3_and_below_producer_id,
            request.v3_and_below_producer_epoch,
            topics,
            CLASSIC,
            verify_only=False,
        )
        if ctx.api_version < _FENCED_SINCE:
            codes = {
                where: ErrorCode.INVALID_PRODUCER_EPOCH if code is ErrorCode.PRODUCER_FENCED else code
                for where, code in codes.items()
            }
        return AddPartitionsToTxnResponse(results_by_topic_v3_and_below=_results(topics, codes, as_asked=True))
    results = []
    # The schema keys transactions by their id: of two with the same one the first counts.
    for transaction in {each.transactional_id: each for each in reversed(request.transactions)}.values():
        codes = await _add(
            transactions,
            transaction.transactional_id,
            transaction.producer_id,
            transaction.producer_epoch,
            transaction.topics,
            EPOCH_PER_TRANSACTION,
            verify_only=transaction.verify_only,
        )
        if ErrorCode.UNSUPPORTED_VERSION in codes.values():
            return AddPartitionsToTxnResponse(error_code=ErrorCode.UNSUPPORTED_VERSION)
        found = _results(transaction.topics, codes, as_asked=not transaction.verify_only)
        results.append(AddPartitionsToTxnResult(transactional_id=transaction.transactional_id, topic_results=found))
    results.reverse()
    return AddPartitionsToTxnResponse(results_by_transaction=results)


async def _add(
    transactions: TransactionCoordinator,
    transactional_id: str,
    producer_id: int,
    producer_epoch: int,
    topics: list[AddPartitionsToTxnTopic],
    client_version: int,
    *,
    verify_only: bool,
) -> dict[TopicPartition, ErrorCode]:
    """A code for each partition."""
    wanted = [(topic.name, index) for topic in topics for index in topic.partitions]
    known = transactions.topics.partition_count
    refused: dict[TopicPartition, ErrorCode] = {}
    for where in wanted:
        if client_version == CLASSIC and is_internal(where[0]):
            # A client adds offsets with AddOffsetsToTxn.
            refused[where] = ErrorCode.TOPIC_AUTHORIZATION_FAILED
        elif not 0 <= where[1] < known(where[0]):
            refused[where] = ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
    if refused:
        return {where: refused.get(where, ErrorCode.OPERATION_NOT_ATTEMPTED) for where in wanted}
    if verify_only:
        return await transactions.verify(transactional_id, producer_id, producer_epoch, wanted, add=False)
    try:
        await transactions.add_partitions(transactional_id, producer_id, producer_epoch, wanted, client_version)
    except ApiError as error:
        return dict.fromkeys(wanted, error.code)
    return dict.fromkeys(wanted, ErrorCode.NONE)


def _as_asked(
    topic: AddPartitionsToTxnTopic, codes: Mapping[TopicPartition, ErrorCode]
) -> AddPartitionsToTxnTopicResult:
    return AddPartitionsToTxnTopicResult(
        name=topic.name,
        results_by_partition=[
            AddPartitionsToTxnPartitionResult(partition_index=index, partition_error_code=codes[(topic.name, index)])
            for index in topic.partitions
        ],
    )


def _results(
    asked: list[AddPartitionsToTxnTopic], codes: Mapping[TopicPartition, ErrorCode], *, as_asked: bool
) -> list[AddPartitionsToTxnTopicResult]:
    """What was added is answered topic by topic as it was asked for, also twice; verdicts and refusals once each."""
    if as_asked and _REFUSALS.isdisjoint(codes.values()):
        return [_as_asked(topic, codes) for topic in asked]
    topics: dict[str, AddPartitionsToTxnTopicResult] = {}
    for (name, index), code in codes.items():
        topic = topics.get(name)
        if topic is None:
            topic = topics[name] = AddPartitionsToTxnTopicResult(name=name)
        topic.results_by_partition.append(
            AddPartitionsToTxnPartitionResult(partition_index=index, partition_error_code=code)
        )
    return list(topics.values())
