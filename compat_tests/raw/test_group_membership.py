"""Classic groups: FindCoordinator, JoinGroup, SyncGroup, Heartbeat, LeaveGroup."""

import re
import uuid
from collections.abc import Callable

import pytest

from compat_tests.raw.groups import Member, described, stable, wait_for_coordinator
from compat_tests.raw.wire import Wire, eventually

Connect = Callable[[], Wire]
UUID = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"


@pytest.fixture(autouse=True)
def _coordinator(wire: Wire, group: str) -> None:
    """The coordinator of the test's group answers."""
    wait_for_coordinator(wire, group)


# FindCoordinator


@pytest.mark.parametrize("version", range(4))
@pytest.mark.parametrize("key", ["some-group", ""])
def test_find_coordinator_of_one_group(wire: Wire, version: int, key: str) -> None:
    answer = eventually(
        lambda: wire.ask("FindCoordinator", version, key=key), lambda a: a.error_code != 15, "FindCoordinator"
    )
    assert (answer.error_code, answer.node_id, (answer.host, answer.port)) == (0, 1, wire.socket.getpeername())
    if version >= 1:
        assert answer.error_message == "NONE"


@pytest.mark.parametrize("version", range(4, 7))
def test_find_coordinator_of_several_groups(wire: Wire, version: int) -> None:
    answer = wire.ask("FindCoordinator", version, key_type=0, coordinator_keys=["a", "", "b"])
    host, port = wire.socket.getpeername()
    found = [(c.key, c.error_code, c.error_message, c.node_id, c.host, c.port) for c in answer.coordinators]
    assert found == [(k, 0, "", 1, host, port) for k in ("a", "", "b")]


def test_find_coordinator_of_an_unknown_type(wire: Wire) -> None:
    answer = wire.ask("FindCoordinator", 3, key="g", key_type=9)
    assert (answer.error_code, answer.node_id, answer.host, answer.port) == (42, -1, "", -1)
    (found,) = wire.ask("FindCoordinator", 6, key_type=9, coordinator_keys=["g"]).coordinators
    assert (found.error_code, found.node_id, found.host, found.port) == (42, -1, "", -1)
    assert found.error_message == answer.error_message != ""


@pytest.mark.parametrize("key", ["", "g", f"g:{uuid.uuid4()}", "g:topic:0"])
def test_find_coordinator_of_a_bad_share_key(wire: Wire, key: str) -> None:
    (found,) = wire.ask("FindCoordinator", 6, key_type=2, coordinator_keys=[key]).coordinators
    assert found.error_code == 42


def test_find_coordinator_of_a_transactional_id(wire: Wire, group: str) -> None:
    answer = eventually(
        lambda: wire.ask("FindCoordinator", 3, key=group, key_type=1), lambda a: a.error_code != 15, "FindCoordinator"
    )
    assert answer.error_code == 0


# JoinGroup


def test_join_group_id_empty(wire: Wire) -> None:
    assert Member(wire, "").ask_join().error_code == 24


def test_join_unknown_member(wire: Wire, group: str) -> None:
    answer = Member(wire, group, "nobody").ask_join()
    assert (answer.error_code, answer.member_id) == (25, "nobody")


@pytest.mark.parametrize("timeout_ms", [0, 5999, 1800001])
def test_join_session_timeout_out_of_bounds(wire: Wire, group: str, timeout_ms: int) -> None:
    assert Member(wire, group, session_timeout_ms=timeout_ms).ask_join().error_code == 26


@pytest.mark.parametrize("timeout_ms", [6000, 1800000])
def test_join_session_timeout_at_the_bounds(wire: Wire, group: str, timeout_ms: int) -> None:
    assert Member(wire, group, session_timeout_ms=timeout_ms).ask_join(3).error_code == 0


def test_join_without_protocols_or_type(wire: Wire, group: str) -> None:
    assert Member(wire, group, protocols={}).ask_join(3).error_code == 23
    assert Member(wire, group, protocol_type="").ask_join(3).error_code == 23


@pytest.mark.parametrize("version", range(4, 10))
def test_join_without_member_id_is_given_one(wire: Wire, group: str, version: int) -> None:
    answer = Member(wire, group).ask_join(version)
    assert answer.error_code == 79
    assert re.fullmatch(f"raw-{UUID}", answer.member_id)


@pytest.mark.parametrize("version", range(4))
def test_join_before_v4_joins_at_once(wire: Wire, group: str, version: int) -> None:
    answer = Member(wire, group).ask_join(version)
    assert (answer.error_code, answer.generation_id, answer.leader) == (0, 1, answer.member_id)
    assert re.fullmatch(f"raw-{UUID}", answer.member_id)
    assert answer.protocol_name == "range"
    assert [(m.member_id, bytes(m.metadata)) for m in answer.members] == [(answer.member_id, b"meta")]


@pytest.mark.parametrize("version", range(5, 10))
def test_static_member_joins_at_once(wire: Wire, group: str, version: int) -> None:
    answer = Member(wire, group, instance="inst").ask_join(version)
    assert (answer.error_code, answer.generation_id, answer.leader) == (0, 1, answer.member_id)
    assert re.fullmatch(f"inst-{UUID}", answer.member_id)
    assert [m.group_instance_id for m in answer.members] == ["inst"]
    if version >= 7:
        assert answer.protocol_type == "consumer"


@pytest.mark.parametrize("version", [3, 6, 7, 9])
def test_refusal_of_another_type_or_protocol(wire: Wire, group: str, connect: Connect, version: int) -> None:
    stable(connect(), group)
    for fields in ({"protocol_type": "connect"}, {"protocols": {"sticky": b""}}):
        answer = Member(wire, group, **fields).ask_join(version)
        assert (answer.error_code, answer.generation_id, answer.leader, answer.members) == (23, -1, "", [])
        assert answer.protocol_name == (None if version >= 7 else "")
        if version >= 7:
            assert answer.protocol_type is None


def test_first_common_protocol_by_votes(wire: Wire, group: str, connect: Connect) -> None:
    first = Member(wire, group, protocols={"range": b"1r", "sticky": b"1s"})
    first.join()
    second = Member(connect(), group, protocols={"sticky": b"2s", "range": b"2r"})
    second.id_for_join()
    third = Member(connect(), group, protocols={"other": b"3o", "sticky": b"3s"})
    third.id_for_join()
    sent = [(m, m.send_join()) for m in (second, third)]
    eventually(lambda: first.heartbeat(), lambda e: e == 27, "rebalance")
    sent.append((first, first.send_join()))
    answers = [m.answer_join(s) for m, s in sent]
    assert {a.protocol_name for a in answers} == {"sticky"}, "the only one all have"
    leader = next(a for a in answers if a.leader == a.member_id)
    metadata = {m.member_id: bytes(m.metadata) for m in leader.members}
    assert metadata == {first.member_id: b"1s", second.member_id: b"2s", third.member_id: b"3s"}


def test_members_are_listed_to_the_leader_only(wire: Wire, group: str, connect: Connect) -> None:
    leader = stable(wire, group)
    follower = Member(connect(), group)
    follower.id_for_join()
    sent = follower.send_join()
    eventually(leader.heartbeat, lambda e: e == 27, "rebalance after a join")
    to_leader = leader.ask_join()
    to_follower = follower.answer_join(sent)
    assert (to_leader.generation_id, to_follower.generation_id) == (2, 2)
    assert to_leader.leader == to_follower.leader == leader.member_id
    assert {m.member_id for m in to_leader.members} == {leader.member_id, follower.member_id}
    assert to_follower.members == []


def test_pending_member_does_not_start_a_rebalance(wire: Wire, group: str, connect: Connect) -> None:
    member = stable(wire, group)
    Member(connect(), group).id_for_join()
    assert member.heartbeat() == 0


def test_rejoin_of_the_leader_starts_a_new_generation(wire: Wire, group: str) -> None:
    member = stable(wire, group)
    assert member.ask_join().generation_id == 2


def test_rejoin_of_a_follower_without_change_keeps_the_generation(wire: Wire, group: str, connect: Connect) -> None:
    leader, follower = _two(wire, connect(), group)
    answer = follower.ask_join()
    assert (answer.error_code, answer.generation_id) == (0, 2)
    assert leader.heartbeat() == 0


def test_static_member_that_returns_before_sync(wire: Wire, group: str, connect: Connect) -> None:
    old = Member(wire, group, instance="inst")
    assert old.ask_join().generation_id == 1
    new = Member(connect(), group, instance="inst")
    answer = new.ask_join()
    assert (answer.error_code, answer.generation_id) == (0, 2)
    assert answer.member_id != old.member_id
    assert old.heartbeat() == 82
    assert Member(wire, group, old.member_id, instance="inst").ask_join().error_code == 82


def test_static_member_that_returns_to_a_stable_group(wire: Wire, group: str, connect: Connect) -> None:
    """With the same metadata nothing is rebalanced, and SyncGroup gives the old assignment (KIP-345, KIP-814)."""
    old = stable(wire, group, instance="inst")
    new = Member(connect(), group, instance="inst")
    answer = new.ask_join()
    assert (answer.error_code, answer.generation_id, answer.skip_assignment) == (0, 1, True)
    assert bytes(new.sync().assignment) == b"mine"
    assert old.heartbeat() == 82


# SyncGroup


def _two(wire: Wire, other: Wire, group: str, sync: bool = True) -> tuple[Member, Member]:
    """Leader and follower in generation 2; Stable when ``sync``, else CompletingRebalance."""
    leader = stable(wire, group)
    follower = Member(other, group)
    follower.id_for_join()
    sent = follower.send_join()
    eventually(leader.heartbeat, lambda e: e == 27, "rebalance after a join")
    leader.ask_join()
    assert follower.answer_join(sent).error_code == 0
    if sync:
        pending = follower.send_sync()
        leader.sync({leader.member_id: b"L", follower.member_id: b"F"})
        assert bytes(other.answer("SyncGroup", 5, pending).assignment) == b"F"
    return leader, follower


@pytest.mark.parametrize("version", range(6))
def test_sync_in_every_version(wire: Wire, group: str, version: int) -> None:
    member = Member(wire, group)
    member.join()
    answer = member.sync({member.member_id: b"mine"}, version)
    assert (answer.error_code, bytes(answer.assignment)) == (0, b"mine")
    if version >= 5:
        assert (answer.protocol_type, answer.protocol_name) == ("consumer", "range")


def test_sync_errors(wire: Wire, group: str) -> None:
    member = stable(wire, group)
    for what, fields, error in (
        ("generation above", {"generation_id": 2}, 22),
        ("generation -1", {"generation_id": -1}, 22),
        ("unknown member", {"member_id": "nobody"}, 25),
        ("unknown group", {"group_id": f"{group}-missing"}, 25),
        ("group id empty", {"group_id": ""}, 24),
        ("protocol type differs", {"protocol_type": "connect"}, 23),
        ("protocol name differs", {"protocol_name": "sticky"}, 23),
    ):
        answer = member.sync(**fields)
        assert (answer.error_code, bytes(answer.assignment)) == (error, b""), what


@pytest.mark.parametrize("field", ["protocol_type", "protocol_name"])
def test_sync_with_null_protocol(wire: Wire, group: str, field: str) -> None:
    assert stable(wire, group).sync(**{field: None}).error_code == 23


def test_sync_when_stable_gives_the_assignment_again(wire: Wire, group: str) -> None:
    member = stable(wire, group)
    assert bytes(member.sync({member.member_id: b"other"}).assignment) == b"mine"


def test_sync_while_preparing_a_rebalance(wire: Wire, group: str, connect: Connect) -> None:
    member = stable(wire, group)
    newcomer = Member(connect(), group)
    newcomer.id_for_join()
    newcomer.send_join()
    eventually(member.heartbeat, lambda e: e == 27, "rebalance")
    assert member.sync().error_code == 27


def test_follower_waits_for_the_leaders_assignment(wire: Wire, group: str, connect: Connect) -> None:
    leader, follower = _two(wire, connect(), group, sync=False)
    sent = follower.send_sync()
    follower.wire.assert_silent("SyncGroup of a follower before the leader's", 0.05)
    assert leader.sync({follower.member_id: b"F"}).assignment == b"", "a member left out gets nothing"
    assert bytes(follower.wire.answer("SyncGroup", 5, sent).assignment) == b"F"


def test_waiting_follower_is_sent_back_when_the_group_changes(wire: Wire, group: str, connect: Connect) -> None:
    leader, follower = _two(wire, connect(), group, sync=False)
    sent = follower.send_sync()
    leader.leave()
    assert follower.wire.answer("SyncGroup", 5, sent).error_code == 27


# Heartbeat


@pytest.mark.parametrize("version", range(5))
def test_heartbeat_in_every_version(wire: Wire, group: str, version: int) -> None:
    assert stable(wire, group).heartbeat(version) == 0


def test_heartbeat_errors(wire: Wire, group: str) -> None:
    member = stable(wire, group)
    for what, fields, error in (
        ("generation above", {"generation_id": 2}, 22),
        ("generation -1", {"generation_id": -1}, 22),
        ("unknown member", {"member_id": "nobody"}, 25),
        ("unknown instance", {"group_instance_id": "nobody"}, 25),
        ("unknown group", {"group_id": f"{group}-missing"}, 25),
        ("group id empty", {"group_id": ""}, 24),
    ):
        assert member.heartbeat(**fields) == error, what


def test_heartbeat_while_completing_a_rebalance(wire: Wire, group: str) -> None:
    member = Member(wire, group)
    member.join()
    assert member.heartbeat() == 0


# LeaveGroup


@pytest.mark.parametrize("version", range(6))
def test_leave_in_every_version(wire: Wire, group: str, version: int) -> None:
    member = stable(wire, group)
    answer = member.leave(version)
    assert answer.error_code == 0
    if version >= 3:
        assert [(m.member_id, m.error_code) for m in answer.members] == [(member.member_id, 0)]
    assert member.heartbeat() == 25


@pytest.mark.parametrize("version", [0, 1, 2])
def test_leave_unknown_before_v3(wire: Wire, group: str, version: int) -> None:
    stable(wire, group)
    assert Member(wire, group, "nobody").leave(version).error_code == 25
    assert Member(wire, f"{group}-missing", "nobody").leave(version).error_code == 25


def test_leave_unknown_from_v3(wire: Wire, group: str) -> None:
    stable(wire, group)
    for member in (
        Member(wire, group, "nobody"),
        Member(wire, group, "", instance="nobody"),
        Member(wire, f"{group}-missing", "nobody"),
    ):
        answer = member.leave()
        assert (answer.error_code, [m.error_code for m in answer.members]) == (0, [25]), member


def test_leave_several_at_once(wire: Wire, group: str, connect: Connect) -> None:
    leader, follower = _two(wire, connect(), group)
    members = [{"member_id": m.member_id} for m in (leader, follower)] + [{"member_id": "nobody"}]
    answer = wire.ask("LeaveGroup", 5, group_id=group, members=members)
    assert [m.error_code for m in answer.members] == [0, 0, 25]
    assert described(wire, group).group_state == "Empty"


def test_static_member_leaves_by_instance(wire: Wire, group: str) -> None:
    stable(wire, group, instance="inst")
    answer = Member(wire, group, "", instance="inst").leave()
    assert [(m.group_instance_id, m.error_code) for m in answer.members] == [("inst", 0)]
    assert described(wire, group).group_state == "Empty"


def test_last_one_out_leaves_an_empty_group(wire: Wire, group: str) -> None:
    stable(wire, group).leave()
    found = described(wire, group)
    assert (found.error_code, found.group_state, found.protocol_type, found.protocol_data, found.members) == (
        0, "Empty", "consumer", "", []
    )  # fmt: skip


def test_leave_starts_a_rebalance(wire: Wire, group: str, connect: Connect) -> None:
    leader, follower = _two(wire, connect(), group)
    follower.leave()
    assert leader.heartbeat() == 27
    assert leader.ask_join().generation_id == 3
