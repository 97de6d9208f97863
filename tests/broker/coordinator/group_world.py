"""A group coordinator over logs in memory, a clock that stands still, and ids that count up."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from typing import Any
from unittest.mock import Mock

from broker.addresses import AddressBook, Endpoint
from broker.clock import ManualClock
from broker.context import ConnectionContext, RequestContext
from broker.coordinator.coordinator import GroupCoordinator
from broker.coordinator.shard import Shard
from broker.coordinator.transactions import TransactionCoordinator
from broker.decision import InTransaction
from broker.deferred import Deferred, resolved, start
from broker.group.config import GroupConfig
from broker.group.ids import partition_for
from broker.group.record_codec import decode_all
from broker.group.records import CoordinatorRecord, GroupRecord, OffsetRecord
from broker.handlers.groups.delete_groups import delete_groups
from broker.handlers.groups.describe_groups import describe_groups
from broker.handlers.groups.find_coordinator import find_coordinator
from broker.handlers.groups.heartbeat import heartbeat
from broker.handlers.groups.join_group import join_group
from broker.handlers.groups.leave_group import leave_group
from broker.handlers.groups.list_groups import list_groups
from broker.handlers.groups.offset_commit import offset_commit
from broker.handlers.groups.offset_delete import offset_delete
from broker.handlers.groups.offset_fetch import offset_fetch
from broker.handlers.groups.sync_group import sync_group
from broker.producer_ids import ProducerIds
from broker.transaction_markers import TransactionMarkers
from broker.txn.config import TransactionConfig
from kwire.api_keys import ApiKey
from kwire.error_codes import ErrorCode
from kwire.errors import ApiError
from kwire.messages.delete_groups import DeleteGroupsRequest
from kwire.messages.describe_groups import DescribedGroup, DescribeGroupsRequest
from kwire.messages.find_coordinator import FindCoordinatorRequest, FindCoordinatorResponse
from kwire.messages.heartbeat import HeartbeatRequest
from kwire.messages.join_group import JoinGroupRequest, JoinGroupRequestProtocol, JoinGroupResponse
from kwire.messages.leave_group import LeaveGroupRequest, LeaveGroupResponse, MemberIdentity
from kwire.messages.list_groups import ListedGroup, ListGroupsRequest
from kwire.messages.offset_commit import (
    OffsetCommitRequest,
    OffsetCommitRequestPartition,
    OffsetCommitRequestTopic,
    OffsetCommitResponse,
)
from kwire.messages.offset_delete import (
    OffsetDeleteRequest,
    OffsetDeleteRequestPartition,
    OffsetDeleteRequestTopic,
    OffsetDeleteResponse,
)
from kwire.messages.offset_fetch import (
    OffsetFetchRequest,
    OffsetFetchRequestGroup,
    OffsetFetchRequestTopics,
    OffsetFetchResponseGroup,
)
from kwire.messages.sync_group import SyncGroupRequest, SyncGroupRequestAssignment, SyncGroupResponse
from kwire.records import BatchHeader

PARTITIONS = 4


class OnlyNode:
    """It leads everything."""

    def coordinator(self, _topic: str, _key: str, /) -> int:
        return 1


class MemoryLog:
    """A partition's log. `hold` keeps appends uncommitted until `commit`; `fail_append` raises at the next append."""

    leader_epoch = 0
    max_batch_bytes = 1_048_588

    def __init__(self) -> None:
        self.batches: list[bytes] = []
        self.end = 0
        self.hold = False
        self.fail_append: Exception | None = None
        self.waiting: list[tuple[int, Deferred[None]]] = []

    def append(self, batch: bytes | bytearray, in_transaction: InTransaction | None = None) -> int:
        if self.fail_append is not None:
            error, self.fail_append = self.fail_append, None
            raise error
        self.batches.append(bytes(batch))
        self.end += BatchHeader.peek(batch).record_count
        return self.end

    def committed(self, offset: int) -> Deferred[None]:
        if not self.hold:
            return resolved(None)
        deferred: Deferred[None] = Deferred()
        self.waiting.append((offset, deferred))
        return deferred

    def commit(self, up_to: int | None = None) -> None:
        """The high watermark reaches `up_to`, by default the end."""
        due = [each for each in self.waiting if up_to is None or each[0] <= up_to]
        self.waiting = [each for each in self.waiting if each not in due]
        for _, deferred in due:
            deferred.resolve(None)

    def fail_commits(self, error: Exception) -> None:
        """What is not committed is lost."""
        waiting, self.waiting = self.waiting, []
        for _, deferred in waiting:
            deferred.fail(error)

    def read_all(self) -> Iterator[memoryview]:
        for batch in list(self.batches):
            yield memoryview(batch)

    def records(self) -> list[CoordinatorRecord]:
        return list(decode_all(self.read_all()))


class MemoryOffsetsTopic:
    def __init__(self, partitions: int | None = PARTITIONS) -> None:
        self.partitions = partitions
        self.logs = [MemoryLog() for _ in range(partitions or PARTITIONS)]
        self.creations = 0
        self.elsewhere: set[int] = set()

    def partition_count(self) -> int | None:
        return self.partitions

    def ensure_exists(self) -> Deferred[None]:
        self.creations += 1
        return Deferred()

    def log(self, partition: int) -> MemoryLog | None:
        return None if partition in self.elsewhere else self.logs[partition]

    def has_data(self, partition: int) -> bool:
        return bool(self.logs[partition].batches)


class FixedTopics:
    """Topic names -> partition counts; ids derive from the name."""

    def __init__(self, **partitions: int) -> None:
        self.partitions = partitions

    @staticmethod
    def id_of(name: str) -> bytes:
        return name.encode().ljust(16, b".")[:16]

    def topic_exists(self, name: str) -> bool:
        return name in self.partitions

    def topic_id(self, name: str) -> bytes | None:
        return self.id_of(name) if name in self.partitions else None

    def topic_name(self, topic_id: bytes) -> str | None:
        return next((name for name in self.partitions if self.id_of(name) == topic_id), None)

    def partition_count(self, name: str) -> int:
        return self.partitions.get(name, 0)


def subscription(*topics: str) -> bytes:
    """A ConsumerProtocolSubscription, version 0."""
    body = b"\x00\x00" + len(topics).to_bytes(4, "big")
    for topic in topics:
        body += len(topic).to_bytes(2, "big") + topic.encode()
    return body + b"\xff\xff\xff\xff"


def value(deferred: Deferred[Any]) -> Any:
    """The answer, which must be there."""
    assert deferred.done, "no answer yet"
    return deferred.result()


class World:
    """See the module. Every call goes through the API's handler; those that may wait return a Deferred."""

    def __init__(self, config: GroupConfig | None = None, **topics: int) -> None:
        self.config = config or GroupConfig()
        self.clock = ManualClock()
        self.offsets_topic = MemoryOffsetsTopic()
        self.topics = FixedTopics(**(topics or {"t": 3}))
        self.ids = count(1)
        self.id_format = "id{}"
        self.addresses = AddressBook()
        self.addresses.add(1, Endpoint("PLAINTEXT", "PLAINTEXT", "127.0.0.1", 9092, None))
        self.coordinator = self.new_coordinator()
        self.transaction_topic = MemoryOffsetsTopic(None)
        # Only asked whether it is there: it never writes a marker.
        self.transactions = TransactionCoordinator(
            self.transaction_topic,
            self.topics,
            Mock(spec=TransactionMarkers),
            Mock(spec=ProducerIds),
            self.clock,
            TransactionConfig(),
            lambda: 2,
        )

    def new_coordinator(self) -> GroupCoordinator:
        coordinator = GroupCoordinator(self.offsets_topic, self.topics, self.clock, self.config, self.new_id)
        coordinator.start()
        return coordinator

    def new_id(self, _group_id: str, _client: str) -> str:
        return self.id_format.format(next(self.ids))

    def restart(self) -> None:
        """As after a kill: only the logs are left."""
        for shard in self.coordinator._shards.opened():
            shard.close()
        self.coordinator = self.new_coordinator()

    def log_of(self, group: str) -> MemoryLog:
        return self.offsets_topic.logs[partition_for(group, PARTITIONS)]

    def shard_of(self, group: str) -> Shard:
        return self.coordinator._shards.of(group)

    def records(self, group: str) -> list[CoordinatorRecord]:
        return [each for each in self.log_of(group).records() if getattr(each, "group_id", None) == group]

    def group_records(self, group: str) -> list[GroupRecord]:
        return [record for record in self.records(group) if isinstance(record, GroupRecord)]

    def offset_records(self, group: str) -> list[OffsetRecord]:
        return [record for record in self.records(group) if isinstance(record, OffsetRecord)]

    @staticmethod
    def context(key: ApiKey, version: int, client_id: str | None = "c") -> RequestContext:
        connection = ConnectionContext("PLAINTEXT", "127.0.0.1", "127.0.0.1", 9092, "User:ANONYMOUS", 1)
        return RequestContext(connection, key, version, 0, client_id)

    # Membership

    def join(
        self,
        group: str = "g",
        member: str = "",
        *,
        version: int = 9,
        instance: str | None = None,
        protocols: dict[str, bytes] | list[tuple[str, bytes]] | None = None,
        protocol_type: str = "consumer",
        session_ms: int = 10_000,
        rebalance_ms: int = 60_000,
        client_id: str | None = "c",
    ) -> Deferred[JoinGroupResponse]:
        """protocols: as a list, in which a name may stand twice, or as a dict."""
        if protocols is None:
            protocols = {"range": subscription("t")}
        if isinstance(protocols, dict):
            protocols = list(protocols.items())
        request = JoinGroupRequest(
            group_id=group,
            session_timeout_ms=session_ms,
            rebalance_timeout_ms=rebalance_ms,
            member_id=member,
            group_instance_id=instance,
            protocol_type=protocol_type,
            protocols=[JoinGroupRequestProtocol(name=name, metadata=data) for name, data in protocols],
        )
        context = self.context(ApiKey.JOIN_GROUP, version, client_id)
        return start(join_group(request, context, self.coordinator))

    def join_known(self, group: str = "g", **options: Any) -> tuple[str, Deferred[JoinGroupResponse]]:
        """Join as a dynamic member does: once for an id, then with it."""
        first = value(self.join(group, **options))
        assert first.error_code == ErrorCode.MEMBER_ID_REQUIRED
        return first.member_id, self.join(group, first.member_id, **options)

    def settle(self) -> None:
        """Let what is due now happen: the first rebalance of a group begins at the next turn."""
        self.clock.run_due()

    def sync(
        self,
        member: str,
        generation: int,
        assignments: dict[str, bytes] | None = None,
        group: str = "g",
        *,
        version: int = 5,
        instance: str | None = None,
        protocol_type: str | None = "consumer",
        protocol: str | None = "range",
    ) -> Deferred[SyncGroupResponse]:
        request = SyncGroupRequest(
            group_id=group,
            generation_id=generation,
            member_id=member,
            group_instance_id=instance,
            protocol_type=protocol_type,
            protocol_name=protocol,
            assignments=[
                SyncGroupRequestAssignment(member_id=name, assignment=data)
                for name, data in (assignments or {}).items()
            ],
        )
        return start(sync_group(request, self.context(ApiKey.SYNC_GROUP, version), self.coordinator))

    def stable(self, group: str = "g", members: int = 1, **options: Any) -> list[str]:
        """A group of so many members in Stable, the leader first."""
        joining = [self.join_known(group, **options) for _ in range(members)]
        self.settle()
        answers = [value(answer) for _, answer in joining]
        generation, leader = answers[0].generation_id, answers[0].leader
        ids = [leader] + [member for member, _ in joining if member != leader]
        protocol = {"protocol": answers[0].protocol_name, "protocol_type": answers[0].protocol_type}
        for member in ids:
            assignments = {each: each.encode() for each in ids} if member == leader else None
            assert value(self.sync(member, generation, assignments, group, **protocol)).error_code == 0
        return ids

    def heartbeat(self, member: str, generation: int, group: str = "g", instance: str | None = None) -> ErrorCode:
        request = HeartbeatRequest(
            group_id=group, generation_id=generation, member_id=member, group_instance_id=instance
        )
        answer = heartbeat(request, self.context(ApiKey.HEARTBEAT, 4), self.coordinator)
        return ErrorCode(answer.error_code)

    def leave(self, *members: tuple[str, str | None], group: str = "g") -> LeaveGroupResponse:
        request = LeaveGroupRequest(
            group_id=group,
            members=[MemberIdentity(member_id=member, group_instance_id=instance) for member, instance in members],
        )
        response: LeaveGroupResponse = value(
            start(leave_group(request, self.context(ApiKey.LEAVE_GROUP, 5), self.coordinator))
        )
        return response

    def leave_old(self, member: str, group: str = "g") -> LeaveGroupResponse:
        """LeaveGroup v0."""
        request = LeaveGroupRequest(group_id=group, member_id=member)
        context = self.context(ApiKey.LEAVE_GROUP, 0)
        response: LeaveGroupResponse = value(start(leave_group(request, context, self.coordinator)))
        return response

    # Offsets

    def commit_later(
        self,
        offsets: dict[tuple[str, int], int | tuple[int, str | None]],
        member: str = "",
        generation: int = -1,
        group: str = "g",
        *,
        version: int = 9,
        instance: str | None = None,
        retention_ms: int = -1,
        topic_ids: dict[str, bytes] | None = None,
    ) -> Deferred[OffsetCommitResponse]:
        topics: dict[str, OffsetCommitRequestTopic] = {}
        for (name, index), what in offsets.items():
            offset, metadata = what if isinstance(what, tuple) else (what, "")
            if version >= 10:
                topic_id = (topic_ids or {}).get(name, FixedTopics.id_of(name))
                topic = topics.setdefault(name, OffsetCommitRequestTopic(topic_id=topic_id))
            else:
                topic = topics.setdefault(name, OffsetCommitRequestTopic(name=name))
            topic.partitions.append(
                OffsetCommitRequestPartition(
                    partition_index=index, committed_offset=offset, committed_metadata=metadata
                )
            )
        request = OffsetCommitRequest(
            group_id=group,
            generation_id_or_member_epoch=generation,
            member_id=member,
            group_instance_id=instance,
            retention_time_ms=retention_ms,
            topics=list(topics.values()),
        )
        return start(offset_commit(request, self.context(ApiKey.OFFSET_COMMIT, version), self.coordinator))

    def commit(self, offsets: dict[tuple[str, int], Any], *args: Any, **options: Any) -> list[int]:
        """The error codes, in the order of the answer."""
        response: OffsetCommitResponse = value(self.commit_later(offsets, *args, **options))
        return [each.error_code for topic in response.topics for each in topic.partitions]

    def fetch_group(
        self, wanted: dict[str, list[int]] | None, group: str = "g", *, version: int = 9
    ) -> OffsetFetchResponseGroup:
        topics = None
        if wanted is not None:
            topics = [
                OffsetFetchRequestTopics(
                    name=name if version < 10 else "",
                    topic_id=FixedTopics.id_of(name) if version >= 10 else bytes(16),
                    partition_indexes=indexes,
                )
                for name, indexes in wanted.items()
            ]
        request = OffsetFetchRequest(groups=[OffsetFetchRequestGroup(group_id=group, topics=topics)])
        context = self.context(ApiKey.OFFSET_FETCH, version)
        answer: OffsetFetchResponseGroup = value(start(offset_fetch(request, context, self.coordinator))).groups[0]
        return answer

    def fetch(self, wanted: dict[str, list[int]] | None, group: str = "g") -> dict[tuple[str, int], int]:
        answer = self.fetch_group(wanted, group)
        assert answer.error_code == 0
        return {
            (topic.name, each.partition_index): each.committed_offset
            for topic in answer.topics
            for each in topic.partitions
        }

    def delete_offsets(self, wanted: dict[str, list[int]], group: str = "g") -> OffsetDeleteResponse:
        request = OffsetDeleteRequest(
            group_id=group,
            topics=[
                OffsetDeleteRequestTopic(
                    name=name,
                    partitions=[OffsetDeleteRequestPartition(partition_index=index) for index in indexes],
                )
                for name, indexes in wanted.items()
            ],
        )
        context = self.context(ApiKey.OFFSET_DELETE, 0)
        response: OffsetDeleteResponse = value(start(offset_delete(request, context, self.coordinator)))
        return response

    # Administration

    def describe(self, group: str = "g", *, version: int = 6, operations: bool = False) -> DescribedGroup:
        request = DescribeGroupsRequest(groups=[group], include_authorized_operations=operations)
        context = self.context(ApiKey.DESCRIBE_GROUPS, version)
        described: DescribedGroup = value(start(describe_groups(request, context, self.coordinator))).groups[0]
        return described

    def state(self, group: str = "g") -> str:
        return self.describe(group, version=5).group_state

    def list(self, states: list[str] | None = None, types: list[str] | None = None) -> list[ListedGroup]:
        request = ListGroupsRequest(states_filter=states or [], types_filter=types or [])
        response = value(start(list_groups(request, self.context(ApiKey.LIST_GROUPS, 5), self.coordinator)))
        if response.error_code:
            raise ApiError(ErrorCode(response.error_code))
        groups: list[ListedGroup] = response.groups
        return groups

    def delete_groups(self, *groups: str) -> dict[str, int]:
        request = DeleteGroupsRequest(groups_names=[*groups])
        response = value(start(delete_groups(request, self.context(ApiKey.DELETE_GROUPS, 2), self.coordinator)))
        return {result.group_id: result.error_code for result in response.results}

    def find(self, *keys: str, key_type: int = 0, version: int = 6) -> FindCoordinatorResponse:
        if version >= 4:
            request = FindCoordinatorRequest(key_type=key_type, coordinator_keys=[*keys])
        else:
            request = FindCoordinatorRequest(key_type=key_type, key=keys[0])
        context = self.context(ApiKey.FIND_COORDINATOR, version)
        response: FindCoordinatorResponse = value(
            start(find_coordinator(request, context, self.coordinator, self.transactions, self.addresses, OnlyNode()))
        )
        return response
