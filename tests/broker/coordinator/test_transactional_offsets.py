"""Offsets committed in transactions: what is pending, what comes into force, and what a restart makes of it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from broker.coordinator.group_machine import GroupMachine
from broker.coordinator.shard import Shard
from broker.deferred import Deferred, start
from broker.group.config import GroupConfig
from broker.group.durable import DurableState
from broker.group.record_codec import decode_all
from broker.group.records import GroupRecord, OffsetRecord, TransactionalOffsetRecord, TransactionEnd
from broker.group.state import ShardState
from kwire.error_codes import ErrorCode
from kwire.errors import ApiError
from kwire.messages.offset_fetch import OffsetFetchRequestTopics
from kwire.messages.txn_offset_commit import (
    TxnOffsetCommitRequest,
    TxnOffsetCommitRequestPartition,
    TxnOffsetCommitRequestTopic,
)
from kwire.records import BatchHeader, read_records
from log.append_errors import RecordsRejectedError
from tests.broker.coordinator.group_world import World, value

DAY_MS = 24 * 3600 * 1000
UNSTABLE = ErrorCode.UNSTABLE_OFFSET_COMMIT


class TransactionalWorld(World):
    """commit_in and end return the codes, or raise ApiError."""

    def commit_in_later(
        self,
        producer_id: int,
        offsets: dict[tuple[str, int], int],
        group: str = "g",
        *,
        epoch: int = 0,
        member: str = "",
        generation: int = -1,
        instance: str | None = None,
        metadata: str | None = None,
    ) -> Deferred[Any]:
        topics: dict[str, TxnOffsetCommitRequestTopic] = {}
        for (name, index), offset in offsets.items():
            topic = topics.setdefault(name, TxnOffsetCommitRequestTopic(name=name))
            topic.partitions.append(
                TxnOffsetCommitRequestPartition(
                    partition_index=index, committed_offset=offset, committed_metadata=metadata
                )
            )
        request = TxnOffsetCommitRequest(
            transactional_id="x",
            group_id=group,
            producer_id=producer_id,
            producer_epoch=epoch,
            member_id=member,
            generation_id=generation,
            group_instance_id=instance,
        )
        return start(self.coordinator.commit_transactional_offsets(request, list(topics.values()), None))

    def commit_in(self, producer_id: int, offsets: dict[tuple[str, int], int], group: str = "g", **more: Any) -> Any:
        answers = value(self.commit_in_later(producer_id, offsets, group, **more))
        return [ErrorCode(each.error_code) for topic in answers for each in topic.partitions]

    def end(self, producer_id: int, *, committed: bool = True, group: str = "g") -> Deferred[None]:
        partition = self.coordinator.partition_of(group)
        assert partition is not None
        return self.coordinator.complete_transaction(partition, producer_id, 0, 0, committed, 1)

    def stable_fetch(self, *partitions: int, topic: str = "t", group: str = "g") -> list[int]:
        """Committed offsets, or error codes where they are not stable."""
        wanted = [OffsetFetchRequestTopics(name=topic, partition_indexes=list(partitions))]
        (found,) = value(start(self.coordinator.fetch_offsets(group, wanted, require_stable=True)))
        return [each.error_code or each.committed_offset for each in found.partitions]


@pytest.fixture
def world() -> TransactionalWorld:
    return TransactionalWorld(t=3, u=2)


def refusal(world: TransactionalWorld, *arguments: Any, **more: Any) -> ErrorCode:
    with pytest.raises(ApiError) as caught:
        world.commit_in(*arguments, **more)
    return caught.value.code


class TestCommit:
    def test_in_force_with_the_marker(self, world: TransactionalWorld) -> None:
        world.commit({("t", 0): 1})
        assert world.commit_in(7, {("t", 0): 5, ("t", 1): 6}) == [0, 0]
        assert world.fetch({"t": [0, 1]}) == {("t", 0): 1, ("t", 1): -1}
        assert world.stable_fetch(0, 1, 2) == [UNSTABLE, UNSTABLE, -1]
        value(world.end(7))
        assert world.fetch({"t": [0, 1]}) == {("t", 0): 5, ("t", 1): 6}
        assert world.stable_fetch(0, 1) == [5, 6]

    def test_dropped_with_an_abort(self, world: TransactionalWorld) -> None:
        world.commit({("t", 0): 1})
        world.commit_in(7, {("t", 0): 5})
        value(world.end(7, committed=False))
        assert world.stable_fetch(0, 1) == [1, -1]

    def test_another_producers_marker(self, world: TransactionalWorld) -> None:
        world.commit_in(7, {("t", 0): 5})
        value(world.end(8))
        assert world.stable_fetch(0) == [UNSTABLE]

    def test_a_later_plain_commit_wins(self, world: TransactionalWorld) -> None:
        world.commit_in(7, {("t", 0): 5})
        world.commit({("t", 0): 3})
        assert world.stable_fetch(0) == [UNSTABLE]
        value(world.end(7))
        assert world.stable_fetch(0) == [3]

    def test_of_two_transactions_the_later_record_wins(self, world: TransactionalWorld) -> None:
        world.commit_in(7, {("t", 0): 5})
        world.commit_in(8, {("t", 0): 6})
        value(world.end(8))
        assert world.stable_fetch(0) == [UNSTABLE]
        value(world.end(7))
        assert world.stable_fetch(0) == [6]

    def test_batches_are_kafkas(self, world: TransactionalWorld) -> None:
        """Attributes, sequences and epochs as its CoordinatorRuntime writes them."""
        world.commit({("t", 0): 1})
        world.commit_in(7, {("t", 0): 5, ("t", 1): 6}, epoch=3)
        value(world.end(7))
        plain, transactional, marker = (BatchHeader.peek(each) for each in world.log_of("g").batches)
        assert (plain.attributes, plain.producer_id, plain.producer_epoch, plain.base_sequence) == (0, -1, -1, 0)
        assert (
            transactional.attributes,
            transactional.producer_id,
            transactional.producer_epoch,
            transactional.base_sequence,
            transactional.record_count,
        ) == (0x10, 7, 3, 0, 2)
        assert (marker.attributes, marker.producer_id, marker.base_sequence, marker.record_count) == (0x30, 7, -1, 1)
        (record,) = read_records(world.log_of("g").batches[2])
        assert (record.key, record.value) == (b"\0\0\0\1", b"\0\0\0\0\0\0")

    def test_members(self, world: TransactionalWorld) -> None:
        (member,) = world.stable()
        offsets = {("t", 0): 5}
        assert world.commit_in(7, offsets, member=member, generation=1) == [0]
        assert refusal(world, 7, offsets, member=member, generation=2) is ErrorCode.ILLEGAL_GENERATION
        assert refusal(world, 7, offsets, member="who", generation=1) is ErrorCode.UNKNOWN_MEMBER_ID
        assert refusal(world, 7, offsets, member=member, generation=1, instance="i") is ErrorCode.UNKNOWN_MEMBER_ID
        assert world.commit_in(7, offsets) == [0], "older clients name neither member nor generation"
        world.join_known()
        assert world.commit_in(7, offsets, member=member, generation=1) == [0], "also during a rebalance"
        assert refusal(world, 7, offsets, group="none", generation=0) is ErrorCode.ILLEGAL_GENERATION

    def test_a_session_is_not_kept_up(self, world: TransactionalWorld) -> None:
        (member,) = world.stable(session_ms=10_000)
        world.clock.advance(6_000)
        world.commit_in(7, {("t", 0): 5}, member=member, generation=1)
        world.clock.advance(6_000)
        assert world.heartbeat(member, 1) is ErrorCode.UNKNOWN_MEMBER_ID

    def test_metadata_too_large(self, world: TransactionalWorld) -> None:
        assert world.commit_in(7, {("t", 0): 5}, metadata="m" * 4097) == [ErrorCode.OFFSET_METADATA_TOO_LARGE]
        assert world.log_of("g").batches == []
        assert world.stable_fetch(0) == [-1]

    def test_a_fenced_producer_is_refused_alone(self, world: TransactionalWorld) -> None:
        world.commit({("t", 0): 1})
        world.log_of("g").fail_append = RecordsRejectedError(ErrorCode.INVALID_PRODUCER_EPOCH, "an old epoch")
        assert refusal(world, 7, {("t", 0): 5}) is ErrorCode.INVALID_PRODUCER_EPOCH
        world.log_of("g").fail_append = RecordsRejectedError(ErrorCode.TRANSACTION_COORDINATOR_FENCED, "an old one")
        with pytest.raises(ApiError) as caught:
            value(world.end(7))
        assert caught.value.code is ErrorCode.TRANSACTION_COORDINATOR_FENCED
        assert world.fetch({"t": [0]}) == {("t", 0): 1}, "nothing is loaded anew"

    def test_a_refused_group_does_not_come_into_being(self, world: TransactionalWorld) -> None:
        world.log_of("new").fail_append = RecordsRejectedError(ErrorCode.INVALID_TXN_STATE, "no guard")
        assert refusal(world, 7, {("t", 0): 5}, "new") is ErrorCode.INVALID_TXN_STATE
        assert world.describe("new").group_state == "Dead"
        assert world.commit_in(7, {("t", 0): 5}, "new") == [0]
        assert world.describe("new").group_state == "Empty"

    def test_a_marker_waits_for_its_commit(self, world: TransactionalWorld) -> None:
        world.commit_in(7, {("t", 0): 5})
        log = world.log_of("g")
        log.hold = True
        ended = world.end(7)
        assert not ended.done
        log.commit()
        assert ended.done

    def test_a_partition_that_is_loading(self, world: TransactionalWorld) -> None:
        world.offsets_topic.elsewhere.add(world.coordinator.partition_of("g"))  # type: ignore[arg-type]
        with pytest.raises(ApiError) as caught:
            value(world.end(7))
        assert caught.value.code is ErrorCode.NOT_COORDINATOR


class TestOtherOperations:
    def test_offsets_deleted(self, world: TransactionalWorld) -> None:
        world.commit_in(7, {("t", 0): 5, ("t", 1): 6})
        world.delete_offsets({"t": [0, 2]})
        assert [each.partition for each in world.offset_records("g")] == [0], "nothing was there for 2"
        assert world.stable_fetch(0, 1) == [-1, UNSTABLE]
        value(world.end(7))
        assert world.stable_fetch(0, 1) == [-1, 6]

    def test_group_deleted(self, world: TransactionalWorld) -> None:
        world.commit({("t", 0): 1})
        world.commit_in(7, {("t", 0): 5, ("t", 1): 6})
        assert world.delete_groups("g") == {"g": 0}
        value(world.end(7))
        assert world.stable_fetch(0, 1) == [-1, -1]
        assert world.describe().group_state == "Dead"

    def test_topics_deleted(self, world: TransactionalWorld) -> None:
        world.commit({("t", 0): 1})
        world.commit_in(7, {("t", 0): 5, ("t", 1): 6, ("u", 0): 7})
        world.coordinator.topics_deleted([("t", world.topics.id_of("t"))])
        value(world.end(7))
        assert world.stable_fetch(0, 1) == [-1, -1]
        assert world.stable_fetch(0, topic="u") == [7]

    def test_nothing_expires_under_an_open_transaction(self) -> None:
        world = TransactionalWorld(GroupConfig(offsets_retention_minutes=60), t=3)
        world.commit({("t", 0): 1, ("t", 1): 2})
        world.commit_in(7, {("t", 0): 5})
        world.clock.advance(DAY_MS)
        assert world.fetch({"t": [0, 1]}) == {("t", 0): 1, ("t", 1): -1}
        assert world.describe().group_state == "Empty"
        value(world.end(7, committed=False))
        world.clock.advance(DAY_MS)
        assert world.describe().group_state == "Dead"

    def test_a_group_of_pending_offsets_only_stays(self) -> None:
        world = TransactionalWorld(GroupConfig(offsets_retention_minutes=60), t=3)
        world.commit_in(7, {("t", 0): 5})
        world.clock.advance(DAY_MS)
        assert world.describe().group_state == "Empty"
        value(world.end(7, committed=False))
        world.clock.advance(DAY_MS)
        assert world.describe().group_state == "Dead"


class Reference:
    """Kafka's rules over the records of a log, with their offsets (OffsetMetadataManager.replay)."""

    def __init__(self) -> None:
        self.offsets: dict[tuple[str, str, int], tuple[int, int]] = {}
        self.pending: dict[int, dict[tuple[str, str, int], tuple[int, int]]] = {}
        self.groups: set[str] = set()

    def replay(self, at: int, record: Any) -> None:
        if isinstance(record, TransactionEnd):
            for key, found in self.pending.pop(record.producer_id, {}).items():
                if record.committed and (key not in self.offsets or self.offsets[key][0] < found[0]):
                    self.offsets[key] = found
            return
        if isinstance(record, GroupRecord):
            self.groups.discard(record.group_id)
            return
        key = (record.group_id, record.topic, record.partition)
        if record.value is None:
            self.offsets.pop(key, None)
            for pending in self.pending.values():
                pending.pop(key, None)
            return
        self.groups.add(record.group_id)
        if isinstance(record, TransactionalOffsetRecord):
            self.pending.setdefault(record.producer_id, {})[key] = (at, record.value.offset)
        else:
            self.offsets[key] = (at, record.value.offset)


GROUPS = ("g", "h")
PRODUCERS = st.integers(1, 3)
PARTITION = st.integers(0, 1)


class PendingOffsetsModel(RuleBasedStateMachine):
    """Producers and plain clients commit to two groups of one partition, whose log is replayed by the reference."""

    def __init__(self) -> None:
        super().__init__()
        self.world = TransactionalWorld(GroupConfig(offsets_retention_minutes=60), t=2)
        self.world.offsets_topic.partitions = 1
        self.reference = Reference()
        self.replayed = 0
        self.offset = 0

    def log(self) -> list[Any]:
        return list(decode_all(self.world.offsets_topic.logs[0].read_all()))

    @rule(producer_id=PRODUCERS, group=st.sampled_from(GROUPS), indexes=st.sets(PARTITION, min_size=1))
    def commit_in(self, producer_id: int, group: str, indexes: set[int]) -> None:
        self.offset += 1
        self.world.commit_in(producer_id, {("t", index): self.offset for index in indexes}, group)

    @rule(group=st.sampled_from(GROUPS), index=PARTITION)
    def commit(self, group: str, index: int) -> None:
        self.offset += 1
        assert self.world.commit({("t", index): self.offset}, group=group) == [0]

    @rule(producer_id=PRODUCERS, committed=st.booleans())
    def end(self, producer_id: int, committed: bool) -> None:
        value(self.world.end(producer_id, committed=committed))

    @rule(group=st.sampled_from(GROUPS), index=PARTITION)
    def delete_offset(self, group: str, index: int) -> None:
        self.world.delete_offsets({"t": [index]}, group)

    @rule(group=st.sampled_from(GROUPS))
    def delete_group(self, group: str) -> None:
        self.world.delete_groups(group)

    @rule(minutes=st.integers(1, 90))
    def time_passes(self, minutes: int) -> None:
        self.world.clock.advance(minutes * 60_000)

    @rule()
    def restart(self) -> None:
        self.world.restart()

    @precondition(lambda self: self.world.offsets_topic.logs[0].batches)
    @rule(data=st.data())
    def lose_the_tail(self, data: st.DataObject) -> None:
        """Killed: the log ends with any of its batches."""
        log = self.world.offsets_topic.logs[0]
        del log.batches[data.draw(st.integers(0, len(log.batches))) :]
        self.reference, self.replayed = Reference(), 0
        self.world.restart()

    @invariant()
    def as_kafka_has_it(self) -> None:
        records = self.log()
        durable = self.shard().state.durable
        if len(records) != self.replayed:
            replayed = DurableState()
            for record in records:
                replayed.replay(record)
            assert replayed == durable, "what a start would make of the log"
        for at in range(self.replayed, len(records)):
            self.reference.replay(at, records[at])
        self.replayed = len(records)
        assert {
            (group, topic, index): found.offset
            for group, topics in durable.offsets.items()
            for topic, partitions in topics.items()
            for index, found in partitions.items()
        } == {key: offset for key, (_, offset) in self.reference.offsets.items()}
        assert {
            (producer_id, group, topic, index): found.value.offset
            for group, keys in durable.pending.of_group.items()
            for (topic, index), producers in keys.items()
            for producer_id, found in producers.items()
        } == {
            (producer_id, *key): offset
            for producer_id, keys in self.reference.pending.items()
            for key, (_, offset) in keys.items()
        }
        assert set(durable.groups) == self.reference.groups == set(self.shard().state.groups)

    def shard(self) -> Shard[ShardState]:
        coordinator = self.world.coordinator
        return coordinator._shards.at(0)

    def teardown(self) -> None:
        """Every transaction ended, nothing is pending."""
        for producer_id in (1, 2, 3):
            value(self.world.end(producer_id))
        durable = self.shard().state.durable
        assert not durable.pending
        assert durable.pending.of_producer == {}


TestPendingOffsets = PendingOffsetsModel.TestCase
TestPendingOffsets.settings = settings(stateful_step_count=20, deadline=None)


def test_machine_reads_what_it_wrote(world: TransactionalWorld) -> None:
    world.commit_in(7, {("t", 0): 5})
    value(world.end(7))
    machine = GroupMachine(world.config, world.new_id)
    state = machine.new_state()
    for batch in world.log_of("g").batches:
        machine.read(state, memoryview(batch), 0)
    list(machine.rest(state))
    assert state.durable.offset("g", "t", 0) is not None
    assert isinstance(world.records("g")[0], TransactionalOffsetRecord)
    assert not isinstance(world.records("g")[0], OffsetRecord)
