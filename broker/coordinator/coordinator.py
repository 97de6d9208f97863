"""GroupCoordinator: one operation per API, each on the shard its group lives in (Kafka: GroupCoordinatorService).

Operations never raise protocol errors: they give the response that says so, as Kafka words it for that API.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial

from broker.coordinator.group_machine import GroupMachine
from broker.coordinator.ports import CoordinatorClock, InternalTopic, Topics
from broker.coordinator.shard import Shard, ShardStatus
from broker.coordinator.shards import Shards
from broker.decision import InTransaction
from broker.deferred import Deferred
from broker.group.admin import delete_group, describe, list_groups
from broker.group.config import GroupConfig
from broker.group.decision import Decision, Waiter
from broker.group.heartbeat import heartbeat
from broker.group.join import join, refusal
from broker.group.leave import leave
from broker.group.offsets import DeletedTopic, commit, commit_transactional, delete, fetch, fetch_all, forget_topics
from broker.group.rebalance import session_key
from broker.group.records import TransactionEnd
from broker.group.state import ShardState
from broker.group.sync import sync
from kwire.error_codes import ErrorCode
from kwire.errors import ApiError
from kwire.messages.delete_groups import DeletableGroupResult
from kwire.messages.describe_groups import DescribedGroup
from kwire.messages.heartbeat import HeartbeatRequest
from kwire.messages.join_group import JoinGroupRequest, JoinGroupResponse
from kwire.messages.leave_group import LeaveGroupResponse, MemberIdentity
from kwire.messages.list_groups import ListedGroup
from kwire.messages.offset_commit import (
    OffsetCommitRequest,
    OffsetCommitRequestTopic,
    OffsetCommitResponsePartition,
    OffsetCommitResponseTopic,
)
from kwire.messages.offset_delete import OffsetDeleteRequestTopic, OffsetDeleteResponseTopic
from kwire.messages.offset_fetch import OffsetFetchRequestTopics, OffsetFetchResponseTopics
from kwire.messages.sync_group import SyncGroupRequest, SyncGroupResponse
from kwire.messages.txn_offset_commit import (
    TxnOffsetCommitRequest,
    TxnOffsetCommitRequestTopic,
    TxnOffsetCommitResponseTopic,
)
from log.verification import VerificationGuard

OFFSETS_TOPIC = "__consumer_offsets"


class GroupCoordinator:
    """All groups of one node. `start` when the log can be read, `close` at the end."""

    def __init__(
        self,
        offsets_topic: InternalTopic,
        topics: Topics,
        clock: CoordinatorClock,
        config: GroupConfig,
        new_id: Callable[[str, str], str],
    ) -> None:
        self.topics = topics
        self.config = config
        self._clock = clock
        machine = GroupMachine(config, new_id)
        self._shards: Shards[ShardState] = Shards(OFFSETS_TOPIC, offsets_topic, clock, lambda _: machine)

    # Shards

    def start(self) -> None:
        """Begin to load every partition that holds data."""
        self._shards.start()

    def close(self) -> None:
        """Refuse all that waits (NOT_COORDINATOR) and all that comes."""
        self._shards.close()

    def available(self) -> bool:
        """Whether groups can be served, for FindCoordinator. A missing `__consumer_offsets` begins to be created."""
        return self._shards.available()

    def partition_changed(self, partition: int) -> None:
        """This node's leadership of a partition changed, or the partition is gone (Shards)."""
        self._shards.partition_changed(partition)

    def shard_of(self, group_id: str) -> Shard[ShardState]:
        """The shard a group lives in, for those who look at groups or control them (broker/control).

        ApiError NOT_COORDINATOR, COORDINATOR_LOAD_IN_PROGRESS.
        """
        shard = self._shards.of(group_id)
        shard.check_active()
        return shard

    def active_shards(self) -> list[Shard[ShardState]]:
        """All that are loaded, by partition."""
        return [shard for shard in self._shards.opened() if shard.status is ShardStatus.ACTIVE]

    # Membership

    async def join_group(
        self, request: JoinGroupRequest, api_version: int, client_id: str | None, client_host: str
    ) -> JoinGroupResponse:
        """The answer comes when the rebalance is through, up to its rebalance timeout later."""
        if not request.group_id:
            return refusal(ErrorCode.INVALID_GROUP_ID, request.member_id)
        config = self.config
        timeout_ms = request.session_timeout_ms
        if not config.group_min_session_timeout_ms <= timeout_ms <= config.group_max_session_timeout_ms:
            return refusal(ErrorCode.INVALID_SESSION_TIMEOUT, request.member_id)
        try:
            shard = self._shards.of(request.group_id)

            def operate(waiter: Waiter, decision: Decision) -> None:
                join(shard.state, request, api_version, client_id, client_host, waiter, decision)

            response: JoinGroupResponse = await shard.submit(operate)
        except ApiError as error:
            return refusal(error.code, "")
        return response

    async def sync_group(self, request: SyncGroupRequest) -> SyncGroupResponse:
        """The answer comes when the leader's assignment is stored."""
        if not request.group_id:
            return SyncGroupResponse(error_code=ErrorCode.INVALID_GROUP_ID)
        try:
            shard = self._shards.of(request.group_id)
            response: SyncGroupResponse = await shard.submit(partial(sync, shard.state, request))
        except ApiError as error:
            return SyncGroupResponse(error_code=error.code)
        return response

    def heartbeat(self, request: HeartbeatRequest) -> ErrorCode:
        """Not a coroutine: it never waits."""
        group_id = request.group_id
        if not group_id:
            return ErrorCode.INVALID_GROUP_ID
        try:
            shard = self._shards.of(group_id)
            shard.check_active()
        except ApiError as error:
            # A member of a group that is being loaded is not to be worried: its session begins when that is done.
            return ErrorCode.NONE if error.code is ErrorCode.COORDINATOR_LOAD_IN_PROGRESS else error.code
        # The answer is held back by nothing: it stores nothing and shows nothing that is stored.
        tick_ms = self._clock.monotonic_ms()
        member_id = request.member_id
        code, to_arm = heartbeat(
            shard.state, group_id, member_id, request.group_instance_id, request.generation_id, tick_ms
        )
        if to_arm is not None:
            to_arm.timer_due_ms = to_arm.deadline_ms
            shard.set_timer(session_key(group_id, member_id), to_arm.deadline_ms - tick_ms)
        return code

    async def leave_group(self, group_id: str, members: list[MemberIdentity]) -> LeaveGroupResponse:
        if not group_id:
            return LeaveGroupResponse(error_code=ErrorCode.INVALID_GROUP_ID)
        try:
            shard = self._shards.of(group_id)
            response: LeaveGroupResponse = await shard.submit(partial(leave, shard.state, group_id, members))
        except ApiError as error:
            return LeaveGroupResponse(error_code=error.code)
        return response

    # Offsets

    async def commit_offsets(
        self, request: OffsetCommitRequest, topics: list[OffsetCommitRequestTopic], api_version: int
    ) -> list[OffsetCommitResponseTopic]:
        """Commit the offsets of `topics`: those of the request that exist, with names and ids filled in."""
        try:
            shard = self._shards.of(request.group_id)
            shard.check_stores()

            def operate(waiter: Waiter, decision: Decision) -> None:
                decision.answer(waiter, commit(shard.state, request, topics, api_version, decision))

            answers: list[OffsetCommitResponseTopic] = await shard.submit(operate)
        except ApiError as error:
            return [
                OffsetCommitResponseTopic(
                    name=topic.name,
                    topic_id=topic.topic_id,
                    partitions=[
                        OffsetCommitResponsePartition(partition_index=partition.partition_index, error_code=error.code)
                        for partition in topic.partitions
                    ],
                )
                for topic in topics
            ]
        return answers

    async def commit_transactional_offsets(
        self,
        request: TxnOffsetCommitRequest,
        topics: list[TxnOffsetCommitRequestTopic],
        guard: VerificationGuard | None,
    ) -> list[TxnOffsetCommitResponseTopic]:
        """Commit offsets of `topics`, which exist, as a part of a transaction. ApiError: for the request as a whole.

        `guard`: shows that the transaction coordinator knows `partition_of` the group as one of the transaction's.
        """
        shard = self._shards.of(request.group_id)

        def operate(waiter: Waiter, decision: Decision) -> None:
            answers = commit_transactional(shard.state, request, topics, decision)
            decision.in_transaction = InTransaction(request.producer_id, request.producer_epoch, guard)
            decision.answer(waiter, answers)

        answers: list[TxnOffsetCommitResponseTopic] = await shard.submit(operate)
        return answers

    def partition_of(self, group_id: str) -> int | None:
        """The partition of `__consumer_offsets` a group is stored in; None while the topic does not exist."""
        return self._shards.partition_of(group_id)

    def complete_transaction(
        self,
        partition: int,
        producer_id: int,
        producer_epoch: int,
        coordinator_epoch: int,
        committed: bool,
        transaction_version: int,
    ) -> Deferred[None]:
        """Write the marker of a transaction to a partition of `__consumer_offsets`: what was committed in it comes
        into force, or is dropped. Fails with ApiError.
        """
        done: Deferred[None] = Deferred()

        def operate(waiter: Waiter, decision: Decision) -> None:
            decision.records.append(TransactionEnd(producer_id, producer_epoch, committed, coordinator_epoch))
            decision.in_transaction = InTransaction(producer_id, producer_epoch, None, transaction_version)
            decision.answer(waiter, None)

        try:
            shard = self._shards.at(partition)
            return shard.submit(operate)
        except ApiError as error:
            done.fail(error)
            return done

    async def fetch_offsets(
        self, group_id: str, topics: list[OffsetFetchRequestTopics] | None, *, require_stable: bool = False
    ) -> list[OffsetFetchResponseTopics]:
        """Committed offsets, all with None. `require_stable`: UNSTABLE_OFFSET_COMMIT where an open transaction has
        committed one. ApiError: for the group as a whole.
        """
        shard = self._shards.of(group_id)

        def operate(waiter: Waiter, decision: Decision) -> None:
            state = shard.state
            if topics is None:
                answer = fetch_all(state, group_id, require_stable=require_stable)
            else:
                answer = fetch(state, group_id, topics, require_stable=require_stable)
            decision.answer(waiter, answer)

        answers: list[OffsetFetchResponseTopics] = await shard.submit(operate)
        return answers

    async def delete_offsets(
        self, group_id: str, topics: list[OffsetDeleteRequestTopic]
    ) -> list[OffsetDeleteResponseTopic]:
        """Delete the offsets of `topics`, which exist. ApiError: for the group as a whole."""
        if not group_id:
            raise ApiError(ErrorCode.INVALID_GROUP_ID)
        shard = self._shards.of(group_id)

        def operate(waiter: Waiter, decision: Decision) -> None:
            decision.answer(waiter, delete(shard.state, group_id, topics, decision))

        answers: list[OffsetDeleteResponseTopic] = await shard.submit(operate)
        return answers

    def topics_deleted(self, deleted: Iterable[tuple[str, bytes]]) -> None:
        """Forget the offsets of deleted topics, given by name and id. Shards that are loading take it up afterwards."""
        gone = [DeletedTopic(name, topic_id) for name, topic_id in deleted]
        if any(topic.name == OFFSETS_TOPIC for topic in gone):
            self._shards.topic_deleted()
        for shard in self._shards.opened():
            shard.run_when_active(partial(_forget, gone))

    # Administration

    async def describe_group(self, group_id: str, api_version: int) -> DescribedGroup:
        try:
            shard = self._shards.of(group_id)

            def operate(waiter: Waiter, decision: Decision) -> None:
                decision.answer(waiter, describe(shard.state, group_id, api_version))

            described: DescribedGroup = await shard.submit(operate)
        except ApiError as error:
            return DescribedGroup(group_id=group_id, error_code=error.code)
        return described

    async def list_groups(self, states: list[str], types: list[str]) -> list[ListedGroup]:
        """All groups of all shards. ApiError: COORDINATOR_LOAD_IN_PROGRESS while one of them is loading."""
        found: list[ListedGroup] = []
        for shard in self._shards.opened():
            if shard.status is ShardStatus.LOADING:
                raise ApiError(ErrorCode.COORDINATOR_LOAD_IN_PROGRESS)
        for shard in self._shards.opened():
            try:
                found += await shard.submit(partial(_list, shard.state, states, types))
            except ApiError as error:
                if error.code is not ErrorCode.NOT_COORDINATOR:
                    raise
        return found

    async def delete_group(self, group_id: str) -> DeletableGroupResult:
        try:
            shard = self._shards.of(group_id)

            def operate(waiter: Waiter, decision: Decision) -> None:
                delete_group(shard.state, group_id, decision)
                decision.answer(waiter, DeletableGroupResult(group_id=group_id))

            result: DeletableGroupResult = await shard.submit(operate)
        except ApiError as error:
            return DeletableGroupResult(group_id=group_id, error_code=error.code)
        return result


def _forget(gone: list[DeletedTopic], state: ShardState, decision: Decision) -> None:
    forget_topics(state, gone, decision)


def _list(state: ShardState, states: list[str], types: list[str], waiter: Waiter, decision: Decision) -> None:
    decision.answer(waiter, list_groups(state, states, types))
