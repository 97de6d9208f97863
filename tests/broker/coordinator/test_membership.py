"""Join, sync, heartbeat, leave: each answer that Kafka 4.3 was seen to give."""

from __future__ import annotations

import tracemalloc

import pytest

from broker.group.config import GroupConfig
from kwire.error_codes import ErrorCode
from tests.broker.coordinator.group_world import World, subscription, value


@pytest.fixture
def world() -> World:
    return World()


def test_a_consumer_alone_is_stable(world: World) -> None:
    member, answer = world.join_known()
    world.settle()
    joined = value(answer)
    assert (joined.error_code, joined.generation_id, joined.leader) == (0, 1, member)
    assert (joined.protocol_type, joined.protocol_name) == ("consumer", "range")
    assert [each.member_id for each in joined.members] == [member]
    assert world.state() == "CompletingRebalance"
    synced = value(world.sync(member, 1, {member: b"all"}))
    assert (synced.error_code, synced.assignment, synced.protocol_name) == (0, b"all", "range")
    assert world.state() == "Stable"
    assert world.heartbeat(member, 1) is ErrorCode.NONE
    assert value(world.sync(member, 1)).assignment == b"all"


def test_long_names_of_groups_that_do_not_exist_are_not_kept(world: World) -> None:
    tracemalloc.start()
    try:
        for number in range(100):
            assert world.heartbeat("m", 1, group=f"{number}" + "g" * 5_000) is ErrorCode.UNKNOWN_MEMBER_ID
        kept_bytes, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept_bytes < 250_000


class TestJoin:
    def test_no_group_id(self, world: World) -> None:
        assert value(world.join("")).error_code == ErrorCode.INVALID_GROUP_ID

    def test_unknown_member(self, world: World) -> None:
        answer = value(world.join(member="who"))
        assert (answer.error_code, answer.member_id) == (ErrorCode.UNKNOWN_MEMBER_ID, "who")
        assert world.records("g") == []

    @pytest.mark.parametrize(("timeout_ms", "code"), [(5999, 26), (6000, 79), (1_800_000, 79), (1_800_001, 26)])
    def test_session_timeout(self, world: World, timeout_ms: int, code: int) -> None:
        assert value(world.join(session_ms=timeout_ms)).error_code == code

    def test_no_protocols(self, world: World) -> None:
        assert value(world.join(protocols={})).error_code == ErrorCode.INCONSISTENT_GROUP_PROTOCOL

    def test_a_protocol_named_twice_counts_once(self, world: World) -> None:
        (_, other) = world.join_known("other")
        world.settle()
        member, answer = world.join_known(protocols=[("range", b"1"), ("range", b"2"), ("sticky", b"3")])
        world.settle()
        assert (value(answer).error_code, value(answer).protocol_name) == (0, "range")
        assert [each.metadata for each in value(answer).members] == [b"1"]
        assert value(other).error_code == 0
        assert world.leave((member, None)).error_code == 0

    def test_no_protocol_type(self, world: World) -> None:
        assert value(world.join(protocol_type="")).error_code == ErrorCode.INCONSISTENT_GROUP_PROTOCOL

    def test_an_id_is_given_first(self, world: World) -> None:
        answer = value(world.join(client_id="app"))
        assert (answer.error_code, answer.member_id) == (ErrorCode.MEMBER_ID_REQUIRED, "app-id1")

    def test_v3_joins_at_once(self, world: World) -> None:
        answer = world.join(version=3)
        world.settle()
        assert value(answer).error_code == 0
        assert value(answer).member_id == "c-id1"

    def test_a_static_member_joins_at_once(self, world: World) -> None:
        answer = world.join(instance="i")
        world.settle()
        assert value(answer).error_code == 0
        assert value(answer).member_id == "i-id1"

    def test_other_protocol_type(self, world: World) -> None:
        world.stable()
        assert value(world.join(protocol_type="connect")).error_code == ErrorCode.INCONSISTENT_GROUP_PROTOCOL

    def test_no_common_protocol(self, world: World) -> None:
        world.stable()
        assert value(world.join(protocols={"mine": b""})).error_code == ErrorCode.INCONSISTENT_GROUP_PROTOCOL

    @pytest.mark.parametrize(("version", "name"), [(6, ""), (7, None), (9, None)])
    def test_a_refusal(self, world: World, version: int, name: str | None) -> None:
        answer = value(world.join(member="who", version=version))
        assert (answer.generation_id, answer.protocol_type, answer.protocol_name) == (-1, None, name)
        assert (answer.leader, answer.members) == ("", [])

    def test_members_are_listed_to_the_leader_only(self, world: World) -> None:
        joining = dict(world.join_known() for _ in range(3))
        world.settle()
        answers = {member: value(answer) for member, answer in joining.items()}
        leader = next(iter(answers.values())).leader
        assert {each.member_id for each in answers[leader].members} == set(answers)
        assert all(answer.members == [] for member, answer in answers.items() if member != leader)

    def test_static_rejoin_before_sync_begins_a_generation(self, world: World) -> None:
        first = world.join(instance="i")
        world.settle()
        old = value(first).member_id
        again = value(world.join(instance="i"))
        assert (again.error_code, again.generation_id, again.member_id) == (0, 2, "i-id2")
        assert value(world.join(member=old, instance="i")).error_code == ErrorCode.FENCED_INSTANCE_ID
        assert world.heartbeat(old, 2, instance="i") is ErrorCode.FENCED_INSTANCE_ID

    def test_static_rejoin_of_a_stable_group_keeps_the_generation(self, world: World) -> None:
        first = world.join(instance="i")
        world.settle()
        old = value(first).member_id
        value(world.sync(old, 1, {old: b"a"}, instance="i"))
        again = value(world.join(instance="i"))
        assert (again.error_code, again.generation_id, again.skip_assignment) == (0, 1, True)
        assert again.leader == again.member_id != old
        assert value(world.sync(again.member_id, 1, instance="i")).assignment == b"a"
        stored = world.group_records("g")[-1].value
        assert stored is not None
        assert [member.member_id for member in stored.members] == [again.member_id]

    def test_static_leader_before_v9_is_shown_its_old_id(self, world: World) -> None:
        first = world.join(instance="i", version=8)
        world.settle()
        old = value(first).member_id
        value(world.sync(old, 1, {old: b"a"}, instance="i"))
        again = value(world.join(instance="i", version=8))
        assert (again.leader, again.members, again.skip_assignment) == (old, [], False)

    def test_protocols_are_voted_for(self, world: World) -> None:
        wishes = [{"a": b"", "b": b""}, {"b": b"", "a": b""}, {"b": b"", "a": b"", "c": b""}]
        answers = [world.join_known(protocols=wish)[1] for wish in wishes]
        world.settle()
        assert {value(answer).protocol_name for answer in answers} == {"b"}

    def test_group_max_size(self) -> None:
        world = World(GroupConfig(group_max_size=1))
        world.stable()
        assert value(world.join()).error_code == ErrorCode.GROUP_MAX_SIZE_REACHED

    def test_the_leader_rebalances_by_joining(self, world: World) -> None:
        leader, other = world.stable(members=2)
        answer = world.join(member=leader)
        assert not answer.done
        assert world.heartbeat(other, 1) is ErrorCode.REBALANCE_IN_PROGRESS
        other_answer = world.join(member=other)
        assert value(answer).generation_id == value(other_answer).generation_id == 2

    def test_a_follower_without_news_is_told_the_generation(self, world: World) -> None:
        _, other = world.stable(members=2)
        answer = value(world.join(member=other))
        assert (answer.error_code, answer.generation_id, answer.members) == (0, 1, [])

    def test_a_new_subscription_rebalances(self, world: World) -> None:
        _, other = world.stable(members=2)
        assert not world.join(member=other, protocols={"range": subscription("u")}).done
        assert world.state() == "PreparingRebalance"

    def test_the_initial_delay_waits_for_others(self) -> None:
        world = World(GroupConfig(group_initial_rebalance_delay_ms=3000))
        _, first = world.join_known()
        world.clock.advance(2000)
        _, second = world.join_known()
        world.clock.advance(1000)
        assert not first.done  # someone came: another 3 s
        world.clock.advance(3000)
        assert value(first).generation_id == value(second).generation_id == 1

    def test_those_who_do_not_rejoin_are_dropped(self, world: World) -> None:
        leader, other = world.stable(members=2, rebalance_ms=5000, session_ms=60_000)
        answer = world.join(member=other, protocols={"range": subscription("u")}, rebalance_ms=5000)
        world.clock.advance(5000)
        joined = value(answer)
        assert (joined.generation_id, joined.leader) == (2, other)
        assert [each.member_id for each in joined.members] == [other]
        assert world.heartbeat(leader, 2) is ErrorCode.UNKNOWN_MEMBER_ID

    def test_a_pending_member_holds_the_rebalance_up_until_its_session_ends(self, world: World) -> None:
        (leader,) = world.stable()
        pending = value(world.join(session_ms=6000)).member_id
        answer = world.join(member=leader)
        assert not answer.done
        world.clock.advance(6000)
        assert value(answer).generation_id == 2
        assert value(world.join(member=pending)).error_code == ErrorCode.UNKNOWN_MEMBER_ID

    def test_a_join_whose_client_is_gone_ends_after_five_minutes(self, world: World) -> None:
        """A new member is answered nothing meanwhile and cannot send heartbeats: it may just be away."""
        world.stable(rebalance_ms=1_800_000, session_ms=1_800_000)
        parked = world.join(version=3)
        world.clock.advance(299_000)
        assert not parked.done
        world.clock.advance(1_000)
        assert value(parked).error_code == ErrorCode.UNKNOWN_MEMBER_ID

    def test_static_members_are_waited_for_until_their_sessions_end(self, world: World) -> None:
        first = world.join(instance="i", rebalance_ms=5_000, session_ms=12_000)
        world.settle()
        member = value(first).member_id
        value(world.sync(member, 1, {}, instance="i"))
        pending = value(world.join()).member_id
        world.join(member=pending)
        world.leave((pending, None))
        world.clock.advance(5_000)
        assert world.describe().group_state == "PreparingRebalance"
        assert [each.group_instance_id for each in world.describe().members] == ["i"]
        world.clock.advance(7_000)
        assert world.describe().group_state == "Empty"


class TestSync:
    def test_refusals(self, world: World) -> None:
        member, _ = world.join_known()
        world.settle()
        for answer, code in (
            (world.sync(member, 2), 22),
            (world.sync("who", 1), 25),
            (world.sync(member, 1, group="other"), 25),
            (world.sync(member, 1, protocol_type="connect"), 23),
            (world.sync(member, 1, protocol="sticky"), 23),
            (world.sync(member, 1, protocol=None), 23),
            (world.sync(member, 1, protocol_type=None), 23),
            (world.sync(member, 1, group=""), 24),
        ):
            assert value(answer).error_code == code

    def test_followers_wait_for_the_leader(self, world: World) -> None:
        joining = dict(world.join_known() for _ in range(2))
        world.settle()
        leader = value(next(iter(joining.values()))).leader
        follower = next(member for member in joining if member != leader)
        waiting = world.sync(follower, 1)
        assert not waiting.done
        assert value(world.sync(leader, 1, {follower: b"x"})).assignment == b""
        assert value(waiting).assignment == b"x"

    def test_preparing(self, world: World) -> None:
        (leader,) = world.stable()
        world.join_known()
        assert value(world.sync(leader, 1)).error_code == ErrorCode.REBALANCE_IN_PROGRESS

    def test_a_rebalance_sends_waiting_followers_back(self, world: World) -> None:
        joining = dict(world.join_known() for _ in range(2))
        world.settle()
        leader = value(next(iter(joining.values()))).leader
        waiting = world.sync(next(member for member in joining if member != leader), 1)
        world.leave((leader, None))
        assert value(waiting).error_code == ErrorCode.REBALANCE_IN_PROGRESS

    def test_members_that_never_sync_are_dropped(self, world: World) -> None:
        members = dict(world.join_known(rebalance_ms=8000, session_ms=30_000) for _ in range(2))
        world.settle()
        leader = value(next(iter(members.values()))).leader
        follower = next(member for member in members if member != leader)
        value(world.sync(leader, 1, {}))
        world.clock.advance(8000)
        assert world.heartbeat(leader, 1) is ErrorCode.REBALANCE_IN_PROGRESS
        assert world.heartbeat(follower, 1) is ErrorCode.UNKNOWN_MEMBER_ID


class TestHeartbeat:
    def test_refusals(self, world: World) -> None:
        (member,) = world.stable()
        assert world.heartbeat(member, 2) is ErrorCode.ILLEGAL_GENERATION
        assert world.heartbeat(member, -1) is ErrorCode.ILLEGAL_GENERATION
        assert world.heartbeat("who", 1) is ErrorCode.UNKNOWN_MEMBER_ID
        assert world.heartbeat(member, 1, instance="i") is ErrorCode.UNKNOWN_MEMBER_ID
        assert world.heartbeat(member, 1, group="other") is ErrorCode.UNKNOWN_MEMBER_ID
        assert world.heartbeat(member, 1, group="") is ErrorCode.INVALID_GROUP_ID

    def test_completing(self, world: World) -> None:
        member, _ = world.join_known()
        world.settle()
        assert world.heartbeat(member, 1) is ErrorCode.NONE

    def test_heartbeats_keep_a_member(self, world: World) -> None:
        (member,) = world.stable(session_ms=10_000)
        for _ in range(20):
            world.clock.advance(9_999)
            assert world.heartbeat(member, 1) is ErrorCode.NONE
        world.clock.advance(10_000)
        assert world.heartbeat(member, 1) is ErrorCode.UNKNOWN_MEMBER_ID
        assert world.state() == "Empty"

    def test_heartbeats_set_no_timers(self, world: World) -> None:
        (member,) = world.stable()
        before = len(world.clock.timers._heap)
        for _ in range(100):
            world.heartbeat(member, 1)
        assert len(world.clock.timers._heap) == before


class TestLeave:
    def test_unknown(self, world: World) -> None:
        world.stable()
        answer = world.leave(("who", None), ("", "instance"), ("who", "instance"))
        assert (answer.error_code, [each.error_code for each in answer.members]) == (0, [25, 25, 25])
        answer = world.leave(("who", None), group="other")
        assert (answer.error_code, [each.error_code for each in answer.members]) == (0, [25])
        assert world.leave(("who", None), group="").error_code == ErrorCode.INVALID_GROUP_ID
        assert world.leave_old("who").error_code == ErrorCode.UNKNOWN_MEMBER_ID

    def test_the_last_one_out(self, world: World) -> None:
        (member,) = world.stable()
        assert [each.error_code for each in world.leave((member, None)).members] == [0]
        described = world.describe()
        assert (described.group_state, described.protocol_type, described.protocol_data) == ("Empty", "consumer", "")
        stored = world.group_records("g")[-1].value
        assert stored is not None
        assert (stored.generation, stored.members, stored.protocol, stored.leader) == (2, (), None, None)

    def test_an_administrator_removes_a_static_member(self, world: World) -> None:
        answer = world.join(instance="i")
        world.settle()
        value(answer)
        left = world.leave(("", "i"))
        assert [(each.member_id, each.group_instance_id, each.error_code) for each in left.members] == [("", "i", 0)]
        assert world.state() == "Empty"

    def test_a_fenced_member(self, world: World) -> None:
        world.join(instance="i")
        world.settle()
        left = world.leave(("old", "i"))
        assert [each.error_code for each in left.members] == [ErrorCode.FENCED_INSTANCE_ID]

    def test_the_others_rebalance(self, world: World) -> None:
        leader, other = world.stable(members=2)
        world.leave((leader, None))
        assert world.heartbeat(other, 1) is ErrorCode.REBALANCE_IN_PROGRESS
        again = value(world.join(member=other))
        assert (again.generation_id, again.leader) == (2, other)

    def test_a_pending_member_leaves(self, world: World) -> None:
        pending = value(world.join()).member_id
        assert [each.error_code for each in world.leave((pending, None)).members] == [0]
        assert value(world.join(member=pending)).error_code == ErrorCode.UNKNOWN_MEMBER_ID

    def test_leaving_is_not_stored_before_the_next_generation(self, world: World) -> None:
        leader, _ = world.stable(members=2)
        before = len(world.records("g"))
        world.leave((leader, None))
        assert len(world.records("g")) == before
