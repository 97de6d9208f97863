"""TxnOffsetCommit: offsets of a group that come into force with a transaction  (KIP-98, KIP-447, KIP-890)

v2 leader epochs; v3 member, generation and instance of the group; v4 knows TRANSACTION_ABORTABLE; v5 the group joins
the transaction by itself.
"""

from __future__ import annotations

from typing import Final

from broker.context import RequestContext
from broker.coordinator.coordinator import OFFSETS_TOPIC, GroupCoordinator
from broker.coordinator.shard import refusal_code
from broker.partitions import Partitions
from broker.transaction_verification import Support, TransactionVerifier
from kwire.error_codes import ErrorCode
from kwire.errors import ApiError
from kwire.messages.txn_offset_commit import (
    TxnOffsetCommitRequest,
    TxnOffsetCommitRequestPartition,
    TxnOffsetCommitRequestTopic,
    TxnOffsetCommitResponse,
    TxnOffsetCommitResponsePartition,
    TxnOffsetCommitResponseTopic,
)
from log.verification import VerificationGuard

_KNOWS_LOADING_FROM: Final = 2
_ABORTABLE_FROM: Final = 4
_ADDS_FROM: Final = 5
_NO_SEQUENCE: Final = -1


async def txn_offset_commit(
    request: TxnOffsetCommitRequest,
    ctx: RequestContext,
    groups: GroupCoordinator,
    partitions: Partitions,
    verifier: TransactionVerifier,
) -> TxnOffsetCommitResponse:
    """Partitions that do not exist are refused one by one and come first in the answer, as in Kafka."""
    known: list[TxnOffsetCommitRequestTopic] = []
    answers: dict[str, TxnOffsetCommitResponseTopic] = {}
    for topic in request.topics:
        count = groups.topics.partition_count(topic.name)
        there = [each for each in topic.partitions if 0 <= each.partition_index < count]
        missing = [each for each in topic.partitions if not 0 <= each.partition_index < count]
        if missing or not count:
            _add(answers, _refuse(topic.name, missing, ErrorCode.UNKNOWN_TOPIC_OR_PARTITION))
        if there:
            known.append(TxnOffsetCommitRequestTopic(name=topic.name, partitions=there))
    if not known:
        return TxnOffsetCommitResponse(topics=list(answers.values()))
    try:
        if not request.group_id:
            raise ApiError(ErrorCode.INVALID_GROUP_ID)
        guard = await _verify(request, ctx.api_version, groups, partitions, verifier)
        committed = await groups.commit_transactional_offsets(request, known, guard)
    except ApiError as error:
        code = refusal_code(error)
        if code is ErrorCode.COORDINATOR_LOAD_IN_PROGRESS and ctx.api_version < _KNOWS_LOADING_FROM:
            code = ErrorCode.COORDINATOR_NOT_AVAILABLE  # clients before 2.0 do not know the other
        committed = [_refuse(topic.name, topic.partitions, code) for topic in known]
    if not answers:
        return TxnOffsetCommitResponse(topics=committed)
    for answer in committed:
        _add(answers, answer)
    return TxnOffsetCommitResponse(topics=list(answers.values()))


async def _verify(
    request: TxnOffsetCommitRequest,
    api_version: int,
    groups: GroupCoordinator,
    partitions: Partitions,
    verifier: TransactionVerifier,
) -> VerificationGuard | None:
    index = groups.partition_of(request.group_id)
    found = None if index is None else partitions.get(OFFSETS_TOPIC, index)
    if found is None:
        raise ApiError(ErrorCode.COORDINATOR_NOT_AVAILABLE)
    key = (found.topic, found.index)
    if api_version >= _ADDS_FROM:
        support = Support.ADDS_PARTITIONS
    else:
        support = Support.ABORTABLE_ERROR if api_version >= _ABORTABLE_FROM else Support.DEFAULT_ERRORS
    verdicts = await verifier.verify(
        request.transactional_id, request.producer_id, request.producer_epoch, {key: (found, _NO_SEQUENCE)}, support
    )
    verdict = verdicts[key]
    if isinstance(verdict, ApiError):
        if verdict.code is ErrorCode.NOT_COORDINATOR:  # of the transaction: the client would take it for the group's
            raise ApiError(ErrorCode.COORDINATOR_NOT_AVAILABLE)
        raise verdict
    return verdict


def _refuse(
    name: str, partitions: list[TxnOffsetCommitRequestPartition], code: ErrorCode
) -> TxnOffsetCommitResponseTopic:
    return TxnOffsetCommitResponseTopic(
        name=name,
        partitions=[
            TxnOffsetCommitResponsePartition(partition_index=each.partition_index, error_code=code)
            for each in partitions
        ],
    )


def _add(answers: dict[str, TxnOffsetCommitResponseTopic], topic: TxnOffsetCommitResponseTopic) -> None:
    before = answers.setdefault(topic.name, topic)
    if before is not topic:
        before.partitions.extend(topic.partitions)
