"""Produce: append record batches, those of a transaction once its coordinator knows of them.

A partition is asked about with the first batch of a transaction; after that its log knows the transaction, and a
request goes the same way as any other (produce_append).  (KIP-98, KIP-890; Kafka: ReplicaManager.handleProduceAppend)
"""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, Final, cast

from broker.context import RequestContext
from broker.deferred import Deferred
from broker.dispatch import Refusal
from broker.handlers.records.produce_append import (
    BY_TOPIC_ID,
    ProduceOutcome,
    append_all,
    find,
    is_one_batch,
    is_transactional,
    refuse_all,
)
from broker.partitions import Partition, Partitions
from broker.transaction_verification import PartitionKey, Support, TransactionVerifier, Verdicts
from kwire.error_codes import ErrorCode
from kwire.errors import ApiError
from kwire.messages.produce import ProduceRequest, ProduceResponse
from kwire.records.batch import NO_PRODUCER_ID, BatchHeader

_ABORTABLE_FROM: Final = 11
_ADDS_FROM: Final = 12
_NOT_AUTHORIZED: Final = "Transactional Id authorization failed."
_SEVERAL_PRODUCERS: Final = "Transactional records contained more than one producer ID"
_NOT_ADDED: Final = "Partition was not added to the transaction"
# Told as NOT_ENOUGH_REPLICAS, which every client asks again for, without looking for another leader.
_RETRIABLE: Final = frozenset(
    (
        ErrorCode.NETWORK_EXCEPTION,
        ErrorCode.COORDINATOR_LOAD_IN_PROGRESS,
        ErrorCode.COORDINATOR_NOT_AVAILABLE,
        ErrorCode.NOT_COORDINATOR,
    )
)


def produce(
    request: ProduceRequest, ctx: RequestContext, partitions: Partitions, verifier: TransactionVerifier
) -> ProduceOutcome | Coroutine[Any, Any, ProduceResponse | Refusal | None]:
    """Append each partition's batch; acks 0 gets no answer, and an error there closes the connection."""
    for topic in request.topic_data:
        for data in topic.partition_data:
            records = data.records
            if records is not None and is_transactional(cast(memoryview, records)):
                return _produce_transactional(request, ctx, partitions, verifier)
    return append_all(request, ctx, partitions, None)


def _produce_transactional(
    request: ProduceRequest, ctx: RequestContext, partitions: Partitions, verifier: TransactionVerifier
) -> ProduceOutcome | Coroutine[Any, Any, ProduceResponse | Refusal | None]:
    transactional_id = request.transactional_id
    if transactional_id is None:
        return _refuse(request, ErrorCode.TRANSACTIONAL_ID_AUTHORIZATION_FAILED, _NOT_AUTHORIZED)
    producers: set[tuple[int, int]] = set()
    wanted: dict[PartitionKey, tuple[Partition, int]] = {}
    by_id = ctx.api_version >= BY_TOPIC_ID
    for topic in request.topic_data:
        for data in topic.partition_data:
            records = cast("memoryview | None", data.records)
            if records is None or not is_transactional(records) or not is_one_batch(records, ctx.api_version):
                continue  # what is wrong with it is said when it is appended
            header = BatchHeader.peek(records)
            if header.producer_id == NO_PRODUCER_ID:
                continue
            try:
                partition = find(partitions, topic, data.index, by_id=by_id)
            except ApiError:
                continue
            producers.add((header.producer_id, header.producer_epoch))
            wanted[(partition.topic, partition.index)] = (partition, header.base_sequence)
    if not producers:
        return append_all(request, ctx, partitions, {})
    if len(producers) > 1:
        return _refuse(request, ErrorCode.INVALID_PRODUCER_ID_MAPPING, _SEVERAL_PRODUCERS)
    ((producer_id, producer_epoch),) = producers
    verified = verifier.verify(
        transactional_id, producer_id, producer_epoch, wanted, support_of(ctx.api_version), retry=True
    )
    if verified.done:
        return append_all(request, ctx, partitions, for_producer(verified.result(), ctx.api_version))
    for topic in request.topic_data:
        for data in topic.partition_data:
            if data.records is not None:
                # The request's bytes are another's once its turn is over.
                data.records = memoryview(bytearray(cast(memoryview, data.records)))
    return _when_verified(verified, request, ctx, partitions)


async def _when_verified(
    verified: Deferred[Verdicts], request: ProduceRequest, ctx: RequestContext, partitions: Partitions
) -> ProduceResponse | Refusal | None:
    outcome = append_all(request, ctx, partitions, for_producer(await verified, ctx.api_version))
    return await outcome if isinstance(outcome, Coroutine) else outcome


def _refuse(request: ProduceRequest, code: ErrorCode, message: str) -> ProduceResponse | Refusal:
    if request.acks == 0:
        return Refusal(f"a produce request with acks=0 failed: {message}")
    return refuse_all(request, code, message)


def support_of(api_version: int) -> Support:
    """What a client of this Produce version understands."""
    if api_version >= _ADDS_FROM:
        return Support.ADDS_PARTITIONS
    return Support.ABORTABLE_ERROR if api_version >= _ABORTABLE_FROM else Support.DEFAULT_ERRORS


def for_producer(verdicts: Verdicts, api_version: int) -> Verdicts:
    """The coordinator's refusals as a producer is told them."""
    for key, verdict in verdicts.items():
        if not isinstance(verdict, ApiError):
            continue
        code = verdict.code
        if code is ErrorCode.INVALID_TXN_STATE:
            verdicts[key] = ApiError(code, _NOT_ADDED)
        elif code in _RETRIABLE or (code is ErrorCode.CONCURRENT_TRANSACTIONS and api_version < _ADDS_FROM):
            verdicts[key] = ApiError(
                ErrorCode.NOT_ENOUGH_REPLICAS,
                f"Unable to verify the partition has been added to the transaction. Underlying error: {code.name}",
            )
    return verdicts
