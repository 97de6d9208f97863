"""The shard runtime: commits that take their time or fail, loading, restarts, timers."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from broker.coordinator.group_machine import GroupMachine
from broker.coordinator.shard import Shard, ShardStatus, refusal_code
from broker.group.config import GroupConfig
from broker.group.decision import Decision, Waiter
from broker.group.ids import partition_for
from broker.group.state import ShardState
from kwire.error_codes import ErrorCode
from kwire.errors import ApiError
from kwire.records import RecordBatchBuilder
from tests.broker.coordinator.group_world import PARTITIONS, MemoryLog, World, subscription, value


@pytest.fixture
def world() -> World:
    return World()


class TestCommits:
    def test_answers_wait_for_the_commit(self, world: World) -> None:
        log = world.log_of("g")
        log.hold = True
        first = world.commit_later({("t", 0): 1})
        second = world.commit_later({("t", 0): 2})
        assert not first.done
        log.commit(1)
        assert first.done
        assert not second.done
        log.commit()
        assert second.done

    def test_what_is_read_waits_for_what_it_shows(self, world: World) -> None:
        log = world.log_of("g")
        log.hold = True
        world.commit_later({("t", 0): 1})
        with pytest.raises(AssertionError, match="no answer yet"):
            world.fetch(None)
        log.commit()
        assert world.fetch(None) == {("t", 0): 1}

    def test_a_commit_that_does_not_come_in_time(self, world: World) -> None:
        (member,) = world.stable(session_ms=60_000)
        log = world.log_of("g")
        log.hold = True
        first = world.commit_later({("t", 0): 1}, member, 1)
        world.clock.advance(3_000)
        second = world.commit_later({("t", 1): 1}, member, 1)
        world.clock.advance(2_000)
        assert value(first).topics[0].partitions[0].error_code == ErrorCode.COORDINATOR_NOT_AVAILABLE
        assert not second.done
        log.commit()
        assert value(second).topics[0].partitions[0].error_code == 0
        assert world.fetch(None) == {("t", 0): 1, ("t", 1): 1}
        log.hold = True
        third = world.commit_later({("t", 0): 2}, member, 1)
        world.clock.advance(5_000)
        assert value(third).topics[0].partitions[0].error_code == ErrorCode.COORDINATOR_NOT_AVAILABLE

    def test_an_assignment_that_is_not_committed_in_time(self, world: World) -> None:
        member, _ = world.join_known()
        world.settle()
        log = world.log_of("g")
        log.hold = True
        answer = world.sync(member, 1, {member: b"x"})
        world.clock.advance(5_000)
        assert value(answer).error_code == ErrorCode.COORDINATOR_NOT_AVAILABLE
        log.commit()
        assert world.heartbeat(member, 1) is ErrorCode.REBALANCE_IN_PROGRESS

    def test_heartbeats_do_not_wait(self, world: World) -> None:
        (member,) = world.stable()
        world.log_of("g").hold = True
        world.commit_later({("t", 0): 1}, member, 1)
        assert world.heartbeat(member, 1) is ErrorCode.NONE

    def test_an_assignment_is_the_members_once_it_is_committed(self, world: World) -> None:
        member, _ = world.join_known()
        world.settle()
        log = world.log_of("g")
        log.hold = True
        answer = world.sync(member, 1, {member: b"x"})
        assert not answer.done
        log.commit()
        assert value(answer).assignment == b"x"

    def test_a_rebalance_overtakes_an_assignment(self, world: World) -> None:
        member, _ = world.join_known()
        world.settle()
        log = world.log_of("g")
        log.hold = True
        answer = world.sync(member, 1, {member: b"x"})
        other = world.join(version=3)
        log.commit()
        assert value(answer).error_code == ErrorCode.REBALANCE_IN_PROGRESS
        assert not other.done

    def test_an_assignment_of_a_generation_that_is_over(self, world: World) -> None:
        first = world.join(version=3)
        world.settle()
        member = value(first).member_id
        log = world.log_of("g")
        log.hold = True
        late = world.sync(member, 1, {member: b"old"}, version=3)
        world.join(member=member, version=3, protocols={"range": subscription("u")})
        second = world.sync(member, 2, {member: b"new"}, version=3)
        log.commit(log.end - 1)
        assert value(late).error_code == ErrorCode.REBALANCE_IN_PROGRESS
        assert not second.done
        log.commit()
        assert value(second).assignment == b"new"

    def test_a_failed_commit_refuses_all_that_waits_and_loads_anew(self, world: World) -> None:
        (member,) = world.stable()
        log = world.log_of("g")
        log.hold = True
        first = world.commit_later({("t", 0): 1}, member, 1)
        second = world.commit_later({("t", 1): 1}, member, 1)
        parked = world.join(member=member)
        parked_too = world.join(version=3)
        del log.batches[-2:]
        log.hold = False
        log.fail_commits(ApiError(ErrorCode.KAFKA_STORAGE_ERROR))
        for answer in (first, second):
            assert [each.error_code for topic in value(answer).topics for each in topic.partitions] == [16]
        assert value(parked).error_code == value(parked_too).error_code == ErrorCode.NOT_COORDINATOR
        world.clock.advance(1_000)
        assert world.fetch(None) == {}
        assert world.heartbeat(member, 1) is ErrorCode.NONE

    @pytest.mark.parametrize("error", [ApiError(ErrorCode.NOT_ENOUGH_REPLICAS), OSError("no space"), ValueError("bug")])
    def test_a_failed_append(self, world: World, error: Exception) -> None:
        (member,) = world.stable()
        world.log_of("g").fail_append = error
        code = refusal_code(error)
        assert world.commit({("t", 0): 1}, member, 1) == [code]
        # Too few replicas: as Kafka tells each commit; clients look for the coordinator, and do not give up.
        again = code if code is ErrorCode.COORDINATOR_NOT_AVAILABLE else ErrorCode.COORDINATOR_LOAD_IN_PROGRESS
        assert world.commit({("t", 0): 1}, member, 1) == [again]
        assert world.heartbeat(member, 1) is ErrorCode.NONE
        world.clock.advance(1_000)
        assert world.commit({("t", 0): 1}, member, 1) == [0]

    def test_an_assignment_too_large_to_store(self, world: World) -> None:
        member, _ = world.join_known()
        world.settle()
        world.log_of("g").max_batch_bytes = 500
        answer = value(world.sync(member, 1, {member: b"x" * 1000}))
        assert answer.error_code == ErrorCode.UNKNOWN_SERVER_ERROR
        assert world.state() == "PreparingRebalance"

    @pytest.mark.parametrize(
        ("code", "told"),
        [(3, 15), (19, 15), (7, 15), (6, 16), (56, 16), (10, -1), (18, -1), (29, 29)],
    )
    def test_what_clients_are_told(self, code: int, told: int) -> None:
        assert refusal_code(ApiError(ErrorCode(code))) == told


class TestBugs:
    """An error nobody expected costs the groups of its shard a moment, and nobody else anything."""

    def test_in_a_decision(self, world: World) -> None:
        (member,) = world.stable()

        def broken(waiter: Waiter, decision: Decision) -> None:
            world.shard_of("g").state.groups.clear()
            raise RuntimeError("a bug")

        answer = world.shard_of("g").submit(broken)
        with pytest.raises(ApiError, match="UNKNOWN_SERVER_ERROR"):
            value(answer)
        world.clock.advance(1_000)
        assert world.state() == "Stable"
        assert world.heartbeat(member, 1) is ErrorCode.NONE

    def test_in_a_timer(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        (member,) = world.stable(session_ms=10_000)

        def broken(*_: object) -> None:
            raise RuntimeError("a bug")

        monkeypatch.setattr("broker.coordinator.group_machine.session_timer_fired", broken)
        world.clock.advance(10_000)
        world.settle()
        assert world.state() == "Stable"
        assert world.heartbeat(member, 1) is ErrorCode.NONE


@pytest.mark.parametrize("codec", [1, 2, 3, 4])
def test_compressed_records(codec: int) -> None:
    """offsets.topic.compression.codec"""
    world = World(GroupConfig(offsets_topic_compression_codec=codec))
    world.stable()
    world.commit({("t", 0): 1, ("t", 1): 2}, group="simple")
    assert {batch[22] & 7 for log in world.offsets_topic.logs for batch in log.batches} == {codec}
    world.restart()
    assert world.state() == "Stable"
    assert world.fetch(None, "simple") == {("t", 0): 1, ("t", 1): 2}


class TestLoading:
    def test_a_restart_keeps_members_generations_and_offsets(self, world: World) -> None:
        members = world.stable(members=3)
        world.commit({("t", 0): 5}, members[0], 1)
        before = world.describe()
        world.restart()
        after = world.describe()
        assert (after.group_state, after.protocol_type, after.protocol_data) == ("Stable", "consumer", "range")
        assert after.members == before.members
        assert all(world.heartbeat(member, 1) is ErrorCode.NONE for member in members)
        assert world.fetch(None) == {("t", 0): 5}

    def test_members_have_a_session_to_come_back(self, world: World) -> None:
        leader, other = world.stable(members=2, session_ms=10_000)
        world.restart()
        world.clock.advance(9_000)
        world.heartbeat(other, 1)
        world.clock.advance(1_000)
        assert world.heartbeat(other, 1) is ErrorCode.REBALANCE_IN_PROGRESS
        assert world.heartbeat(leader, 1) is ErrorCode.UNKNOWN_MEMBER_ID

    def test_a_group_in_the_middle_of_its_first_rebalance_is_empty(self, world: World) -> None:
        member, _ = world.join_known()
        world.settle()
        world.restart()
        assert world.state() == "Empty"
        assert world.heartbeat(member, 1) is ErrorCode.UNKNOWN_MEMBER_ID

    def test_a_rebalance_after_a_restart(self, world: World) -> None:
        leader, other = world.stable(members=2)
        world.restart()
        first = world.join(member=leader)
        second = world.join(member=other)
        assert value(first).generation_id == value(second).generation_id == 2

    def test_a_group_above_a_lowered_limit_rebalances(self, world: World) -> None:
        world.stable(members=3)
        world.config = GroupConfig(group_max_size=2)
        world.restart()
        assert world.state() == "PreparingRebalance"

    def test_while_loading(self, world: World) -> None:
        world.commit({("t", 0): 1})
        world.commit({("t", 0): 1}, group=elsewhere("g"))
        log = world.log_of("g")
        log.batches += [log.batches[0]] * (3 * 1024 * 1024 // len(log.batches[0]))
        world.restart()
        assert world.shard_of("g").status is ShardStatus.LOADING
        assert value(world.join()).error_code == ErrorCode.COORDINATOR_LOAD_IN_PROGRESS
        assert value(world.sync("m", 1)).error_code == ErrorCode.COORDINATOR_LOAD_IN_PROGRESS
        assert world.heartbeat("m", 1) is ErrorCode.NONE
        assert world.leave(("m", None)).error_code == ErrorCode.COORDINATOR_LOAD_IN_PROGRESS
        assert world.commit({("t", 0): 1}) == [ErrorCode.COORDINATOR_LOAD_IN_PROGRESS]
        assert world.fetch_group(None).error_code == ErrorCode.COORDINATOR_LOAD_IN_PROGRESS
        assert world.describe().error_code == ErrorCode.COORDINATOR_LOAD_IN_PROGRESS
        assert world.delete_groups("g") == {"g": ErrorCode.COORDINATOR_LOAD_IN_PROGRESS}
        with pytest.raises(ApiError):
            world.list()
        assert world.fetch(None, elsewhere("g")) == {("t", 0): 1}
        world.coordinator.topics_deleted([("t", world.topics.id_of("t"))])
        world.settle()
        assert world.state() == "Empty"
        assert world.fetch(None) == {}

    def test_a_log_that_cannot_be_read_is_tried_again(self) -> None:
        world = World()
        world.commit({("t", 0): 1})
        failing = FailingLog(world.log_of("g"))
        shard = Shard(0, failing, world.clock, GroupMachine(world.config, world.new_id))
        shard.load()
        assert shard.status is ShardStatus.LOADING
        world.clock.advance(1_000)
        assert shard.status is ShardStatus.ACTIVE
        assert shard.state.durable.offset("g", "t", 0) is not None

    def test_a_damaged_record_is_passed_over(self, caplog: pytest.LogCaptureFixture) -> None:
        """Unlike in Kafka, where all groups of that partition answer 16 from then on (docs/DIFFERENCES.md)."""
        world = World()
        world.commit({("t", 0): 1})
        builder = RecordBatchBuilder()
        builder.append(b"\0\1\0\3ab", b"damaged", timestamp=0)
        builder.append(b"\0\1\0\1g\0\1t\0\0\0\0", b"\0\4damaged", timestamp=0)
        world.log_of("g").append(bytes(builder.build()))
        world.commit({("t", 1): 2})
        shard = Shard(0, world.log_of("g"), world.clock, GroupMachine(world.config, world.new_id))
        shard.load()
        assert shard.status is ShardStatus.ACTIVE
        offsets = shard.state.durable.offsets["g"]["t"]
        assert {index: value.offset for index, value in offsets.items()} == {0: 1, 1: 2}
        assert [record.levelname for record in caplog.records if "passed over" in record.message] == ["ERROR"] * 2
        shard.close()

    def test_a_bug_in_loading_takes_no_other_shard_with_it(self, monkeypatch: pytest.MonkeyPatch) -> None:
        world = World()
        world.commit({("t", 0): 1})
        world.commit({("t", 0): 1}, group=elsewhere("g"))
        damaged = bytes(world.log_of("g").batches[0])
        real = GroupMachine.read

        def broken(self: GroupMachine, state: ShardState, chunk: memoryview, now_ms: int) -> None:
            if chunk == damaged:
                raise IndexError("a bug")
            real(self, state, chunk, now_ms)

        monkeypatch.setattr(GroupMachine, "read", broken)
        world.restart()
        assert world.shard_of("g").status is ShardStatus.FAILED
        assert world.commit({("t", 0): 1}) == [ErrorCode.NOT_COORDINATOR]
        assert world.fetch(None, elsewhere("g")) == {("t", 0): 1}

    def test_closing_answers_what_waits(self, world: World) -> None:
        parked = world.join(version=3)
        log = world.log_of("g")
        log.hold = True
        waiting = world.commit_later({("t", 0): 1}, group=beside("g"))
        world.coordinator.close()
        assert value(parked).error_code == ErrorCode.NOT_COORDINATOR
        assert value(waiting).topics[0].partitions[0].error_code == ErrorCode.NOT_COORDINATOR
        assert world.heartbeat("m", 1) is ErrorCode.NOT_COORDINATOR
        assert world.clock.timers.next_due_ms() is None

    def test_a_partition_whose_leadership_changed(self, world: World) -> None:
        (member,) = world.stable(session_ms=10_000)
        parked = world.join(version=3)
        partition = world.shard_of("g").partition
        world.coordinator.partition_changed(partition)
        assert value(parked).error_code == ErrorCode.NOT_COORDINATOR
        assert world.heartbeat(member, 1) is ErrorCode.NONE
        world.clock.advance(10_000)
        assert world.state() == "Empty"

    def test_a_partition_led_elsewhere(self, world: World) -> None:
        (member,) = world.stable()
        partition = world.shard_of("g").partition
        world.offsets_topic.elsewhere.add(partition)
        world.coordinator.partition_changed(partition)
        assert world.heartbeat(member, 1) is ErrorCode.NOT_COORDINATOR
        assert world.list() == []
        world.offsets_topic.elsewhere.clear()
        assert world.heartbeat(member, 1) is ErrorCode.NONE

    def test_the_offsets_topic_is_deleted_and_made_again(self, world: World) -> None:
        (member,) = world.stable()
        world.offsets_topic.partitions = None
        world.offsets_topic.elsewhere.update(range(PARTITIONS))
        world.coordinator.topics_deleted([("__consumer_offsets", b"x" * 16)])
        assert world.heartbeat(member, 1) is ErrorCode.NOT_COORDINATOR
        world.offsets_topic = world.coordinator._shards._topic = type(world.offsets_topic)()
        assert world.heartbeat(member, 1) is ErrorCode.UNKNOWN_MEMBER_ID


def beside(group: str) -> str:
    """Another group of the same shard."""
    wanted = partition_for(group, PARTITIONS)
    return next(name for name in map(str, range(1000)) if partition_for(name, PARTITIONS) == wanted)


def elsewhere(group: str) -> str:
    """A group of another shard."""
    other = partition_for(group, PARTITIONS)
    return next(name for name in map(str, range(1000)) if partition_for(name, PARTITIONS) != other)


class FailingLog(MemoryLog):
    """Its first reading ends with an error."""

    def __init__(self, of: MemoryLog) -> None:
        super().__init__()
        self.batches = of.batches
        self.fails = 1

    def read_all(self) -> Iterator[memoryview]:
        if self.fails:
            self.fails -= 1
            raise OSError("cannot read")
        yield from super().read_all()
