"""Committed offsets: commit, fetch, delete, expire (Kafka: OffsetMetadataManager).

Topics have passed the caller's checks: they exist, and a topic given by id has got its name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial

from attrs import define

from broker.group.classic_group import ClassicGroup
from broker.group.decision import Decision
from broker.group.durable import GroupOffsets
from broker.group.rebalance import extend_session
from broker.group.records import (
    NO_TOPIC_ID,
    GroupRecord,
    OffsetAndMetadata,
    OffsetRecord,
    TransactionalOffsetRecord,
)
from broker.group.state import ShardState
from broker.group.states import COMPLETING_REBALANCE, DEAD, EMPTY, PREPARING_REBALANCE, STABLE
from kwire.error_codes import ErrorCode
from kwire.errors import ApiError
from kwire.messages.offset_commit import (
    OffsetCommitRequest,
    OffsetCommitRequestTopic,
    OffsetCommitResponsePartition,
    OffsetCommitResponseTopic,
)
from kwire.messages.offset_delete import (
    OffsetDeleteRequestTopic,
    OffsetDeleteResponsePartition,
    OffsetDeleteResponseTopic,
)
from kwire.messages.offset_fetch import (
    OffsetFetchRequestTopics,
    OffsetFetchResponsePartitions,
    OffsetFetchResponseTopics,
)
from kwire.messages.txn_offset_commit import (
    TxnOffsetCommitRequest,
    TxnOffsetCommitRequestTopic,
    TxnOffsetCommitResponsePartition,
    TxnOffsetCommitResponseTopic,
)

GROUP_ID_NOT_FOUND_SINCE = 9
_NEVER_MS = 2**63 - 1


# Commit


def check_commit(
    state: ShardState,
    group_id: str,
    member_id: str,
    instance_id: str | None,
    generation: int,
    api_version: int,
    decision: Decision,
) -> ClassicGroup:
    """The group that may be committed to, or ApiError. One that does not exist is made for a commit without generation.

    (validateOffsetCommit of OffsetMetadataManager and ClassicGroup)
    """
    group = state.groups.get(group_id)
    if group is None:
        if generation < 0:
            group = state.get_or_create(group_id, decision)
        elif api_version >= GROUP_ID_NOT_FOUND_SINCE:
            raise ApiError(ErrorCode.GROUP_ID_NOT_FOUND)
        else:
            raise ApiError(ErrorCode.ILLEGAL_GENERATION)
    if group.state is DEAD:
        raise ApiError(ErrorCode.COORDINATOR_NOT_AVAILABLE)
    if generation < 0 and group.state is EMPTY:
        return group
    if generation >= 0 or member_id or instance_id is not None:
        member = group.check_member(member_id, instance_id)
        if generation != group.generation:
            raise ApiError(ErrorCode.ILLEGAL_GENERATION)
        if group.state is COMPLETING_REBALANCE:
            raise ApiError(ErrorCode.REBALANCE_IN_PROGRESS)
        if group.state is STABLE or group.state is PREPARING_REBALANCE:
            # In this protocol a commit keeps the session up as a heartbeat does.
            extend_session(group, member, decision)
    elif group.state is not EMPTY:
        raise ApiError(ErrorCode.UNKNOWN_MEMBER_ID)
    return group


def commit(
    state: ShardState,
    request: OffsetCommitRequest,
    topics: Iterable[OffsetCommitRequestTopic],
    api_version: int,
    decision: Decision,
) -> list[OffsetCommitResponseTopic]:
    """Decide on one OffsetCommit: a record for each partition whose metadata is not too long. ApiError: for all."""
    group_id = request.group_id
    check_commit(
        state,
        group_id,
        request.member_id,
        request.group_instance_id,
        request.generation_id_or_member_epoch,
        api_version,
        decision,
    )
    now_ms = decision.now_ms
    retention_ms = request.retention_time_ms
    expire_ms = -1 if retention_ms == -1 else min(now_ms + retention_ms, _NEVER_MS)
    limit = state.config.offset_metadata_max_bytes
    records = decision.records
    answers = []
    for topic in topics:
        name, topic_id = topic.name, topic.topic_id
        parts = []
        for partition in topic.partitions:
            index = partition.partition_index
            metadata = partition.committed_metadata or ""
            if len(metadata) > limit and utf16_length(metadata) > limit:
                parts.append(
                    OffsetCommitResponsePartition(partition_index=index, error_code=ErrorCode.OFFSET_METADATA_TOO_LARGE)
                )
                continue
            parts.append(OffsetCommitResponsePartition(partition_index=index, error_code=ErrorCode.NONE))
            value = OffsetAndMetadata(
                partition.committed_offset, partition.committed_leader_epoch, metadata, now_ms, expire_ms, topic_id
            )
            records.append(OffsetRecord(group_id, name, index, value))
        answers.append(OffsetCommitResponseTopic(name=name, topic_id=topic_id, partitions=parts))
    return answers


def commit_transactional(
    state: ShardState,
    request: TxnOffsetCommitRequest,
    topics: Iterable[TxnOffsetCommitRequestTopic],
    decision: Decision,
) -> list[TxnOffsetCommitResponseTopic]:
    """Decide on one TxnOffsetCommit, its transaction being verified: records that wait for its marker.

    ApiError: for all. Such a commit neither keeps a session up nor waits for a rebalance to end.  (commitTransactional-
    Offset of OffsetMetadataManager; validateOffsetCommit of ClassicGroup, isTransactional)
    """
    group_id, generation = request.group_id, request.generation_id
    group = state.groups.get(group_id)
    if group is None:
        if generation >= 0:
            raise ApiError(ErrorCode.ILLEGAL_GENERATION)
        group = state.get_or_create(group_id, decision)
        decision.on_refused = partial(_forget_unstored, state, group_id)
    if group.state is DEAD:
        raise ApiError(ErrorCode.COORDINATOR_NOT_AVAILABLE)
    if generation >= 0 or (group.state is not EMPTY and (request.member_id or request.group_instance_id is not None)):
        group.check_member(request.member_id, request.group_instance_id)
        if generation != group.generation:
            raise ApiError(ErrorCode.ILLEGAL_GENERATION)
    now_ms = decision.now_ms
    limit = state.config.offset_metadata_max_bytes
    producer_id = request.producer_id
    answers = []
    for topic in topics:
        name = topic.name
        parts = []
        for partition in topic.partitions:
            index = partition.partition_index
            metadata = partition.committed_metadata or ""
            if len(metadata) > limit and utf16_length(metadata) > limit:
                code = ErrorCode.OFFSET_METADATA_TOO_LARGE
            else:
                code = ErrorCode.NONE
                value = OffsetAndMetadata(
                    partition.committed_offset, partition.committed_leader_epoch, metadata, now_ms
                )
                decision.records.append(TransactionalOffsetRecord(group_id, name, index, value, producer_id))
            parts.append(TxnOffsetCommitResponsePartition(partition_index=index, error_code=code))
        answers.append(TxnOffsetCommitResponseTopic(name=name, partitions=parts))
    return answers


def _forget_unstored(state: ShardState, group_id: str, _code: ErrorCode, _decision: Decision) -> None:
    """The group that came into being with records that were refused, unless somebody has joined it since."""
    group = state.groups.get(group_id)
    if group is not None and group_id not in state.durable.groups and group.state is EMPTY:
        del state.groups[group_id]


def utf16_length(text: str) -> int:
    """Java's `String.length`, which the metadata's limit is about although its name says bytes."""
    return len(text) if text.isascii() else len(text.encode("utf-16-le", "surrogatepass")) // 2


# Fetch


def fetch(
    state: ShardState, group_id: str, topics: Iterable[OffsetFetchRequestTopics], *, require_stable: bool = False
) -> list[OffsetFetchResponseTopics]:
    """The offsets asked for; -1 for what was never committed, or committed to another topic of that name.

    `require_stable`: UNSTABLE_OFFSET_COMMIT where an open transaction has committed one (KIP-447).
    """
    offsets = _visible_offsets(state, group_id)
    pending = state.durable.pending
    require_stable = require_stable and pending.has_group(group_id)
    answers = []
    for topic in topics:
        partitions = offsets.get(topic.name, {})
        found = []
        for index in topic.partition_indexes:
            value = partitions.get(index)
            if require_stable and pending.has(group_id, topic.name, index):
                found.append(no_offset(index, ErrorCode.UNSTABLE_OFFSET_COMMIT))
            elif value is None or _other_topic(value.topic_id, topic.topic_id):
                found.append(no_offset(index))
            else:
                found.append(_found(index, value))
        answers.append(OffsetFetchResponseTopics(name=topic.name, topic_id=topic.topic_id, partitions=found))
    return answers


def fetch_all(state: ShardState, group_id: str, *, require_stable: bool = False) -> list[OffsetFetchResponseTopics]:
    """All committed offsets of the group, none when there is no such group. `require_stable` as in `fetch`."""
    pending = state.durable.pending
    require_stable = require_stable and pending.has_group(group_id)
    return [
        OffsetFetchResponseTopics(
            name=name,
            partitions=[
                no_offset(index, ErrorCode.UNSTABLE_OFFSET_COMMIT)
                if require_stable and pending.has(group_id, name, index)
                else _found(index, value)
                for index, value in partitions.items()
            ],
        )
        for name, partitions in _visible_offsets(state, group_id).items()
    ]


def _visible_offsets(state: ShardState, group_id: str) -> GroupOffsets:
    group = state.groups.get(group_id)
    if group is None or group.state is DEAD:
        return {}
    return state.durable.offsets.get(group_id, {})


def _other_topic(stored: bytes, asked: bytes) -> bool:
    return stored != asked and stored != NO_TOPIC_ID and asked != NO_TOPIC_ID


def _found(index: int, value: OffsetAndMetadata) -> OffsetFetchResponsePartitions:
    return OffsetFetchResponsePartitions(
        partition_index=index,
        committed_offset=value.offset,
        committed_leader_epoch=value.leader_epoch,
        metadata=value.metadata,
        error_code=ErrorCode.NONE,
    )


def no_offset(index: int, code: ErrorCode = ErrorCode.NONE) -> OffsetFetchResponsePartitions:
    return OffsetFetchResponsePartitions(
        partition_index=index, committed_offset=-1, committed_leader_epoch=-1, metadata="", error_code=code
    )


# Delete


def delete(
    state: ShardState, group_id: str, topics: Iterable[OffsetDeleteRequestTopic], decision: Decision
) -> list[OffsetDeleteResponseTopic]:
    """Decide on one OffsetDelete: tombstones, except for topics the group is subscribed to. ApiError: for all."""
    group = state.groups.get(group_id)
    if group is None or group.state is DEAD:
        raise ApiError(ErrorCode.GROUP_ID_NOT_FOUND)
    if group.state is not EMPTY and not group.uses_consumer_protocol:
        raise ApiError(ErrorCode.NON_EMPTY_GROUP)
    answers = []
    for topic in topics:
        subscribed = group.is_subscribed_to(topic.name)
        code = ErrorCode.GROUP_SUBSCRIBED_TO_TOPIC if subscribed else ErrorCode.NONE
        parts = []
        for partition in topic.partitions:
            index = partition.partition_index
            parts.append(OffsetDeleteResponsePartition(partition_index=index, error_code=code))
            if not subscribed and (
                state.durable.offset(group_id, topic.name, index) is not None
                or state.durable.pending.has(group_id, topic.name, index)
            ):
                decision.records.append(OffsetRecord(group_id, topic.name, index, None))
        answers.append(OffsetDeleteResponseTopic(name=topic.name, partitions=parts))
    return answers


def delete_all(state: ShardState, group_id: str, decision: Decision) -> None:
    """Tombstones for all offsets of a group, those of open transactions too."""
    durable = state.durable
    for topic, partitions in durable.offsets.get(group_id, {}).items():
        for index in partitions:
            decision.records.append(OffsetRecord(group_id, topic, index, None))
    for topic, index in durable.pending.partitions(group_id):
        if durable.offset(group_id, topic, index) is None:
            decision.records.append(OffsetRecord(group_id, topic, index, None))


@define(slots=True)
class DeletedTopic:
    """topic_id: offsets committed under another id of the same name stay."""

    name: str
    topic_id: bytes


def forget_topics(state: ShardState, deleted: Iterable[DeletedTopic], decision: Decision) -> None:
    """Tombstones for the offsets of topics that are gone (Kafka: onTopicsDeleted)."""
    decision.splittable = True
    for topic in deleted:
        for group_id, topics in state.durable.offsets.items():
            for index, value in topics.get(topic.name, {}).items():
                if not _other_topic(value.topic_id, topic.topic_id):
                    decision.records.append(OffsetRecord(group_id, topic.name, index, None))
        pending = state.durable.pending
        for group_id, keys in pending.of_group.items():
            for name, index in keys:
                if name == topic.name and state.durable.offset(group_id, name, index) is None:
                    decision.records.append(OffsetRecord(group_id, name, index, None))


# Expiry


def expire(state: ShardState, decision: Decision) -> None:
    """Tombstones for offsets past their retention, and for groups left without any (Kafka: cleanupGroupMetadata)."""
    decision.splittable = True
    for group_id, group in state.groups.items():
        if _expire_offsets(state, group, decision) and group.state is EMPTY:
            decision.records.append(GroupRecord(group_id, None))


def _expire_offsets(state: ShardState, group: ClassicGroup, decision: Decision) -> bool:
    """Whether the group is left without offsets. What an open transaction has committed to is not touched."""
    pending = state.durable.pending
    is_open = pending.has_group(group.group_id)
    topics = state.durable.offsets.get(group.group_id)
    if topics is None:
        return not is_open
    begin_ms = _retention_begin(group)
    if begin_ms is None:
        return False
    now_ms = decision.now_ms
    retention_ms = state.config.offsets_retention_ms
    all_expired = True
    for topic, partitions in topics.items():
        if group.is_subscribed_to(topic):
            all_expired = False
            continue
        for index, value in partitions.items():
            if value.expire_timestamp_ms != -1:
                expired = now_ms >= value.expire_timestamp_ms
            else:
                expired = now_ms - begin_ms(value) >= retention_ms
            if expired and not (is_open and pending.has(group.group_id, topic, index)):
                decision.records.append(OffsetRecord(group.group_id, topic, index, None))
            else:
                all_expired = False
    return all_expired and not is_open


def _retention_begin(group: ClassicGroup) -> Callable[[OffsetAndMetadata], int] | None:
    """From when an offset's retention counts (KIP-211); None while the group's offsets do not expire.

    A group that only commits: from the commit. An empty group: from when it became empty. A stable consumer group whose
    subscription is known: from the commit, for topics it no longer wants.
    """
    if group.protocol_type is not None and group.state is EMPTY and group.state_timestamp_ms != -1:
        return lambda _: group.state_timestamp_ms
    if (
        group.protocol_type is None
        or group.state is EMPTY
        or (group.uses_consumer_protocol and group.subscribed_topics is not None and group.state is STABLE)
    ):
        return lambda value: value.commit_timestamp_ms
    return None
