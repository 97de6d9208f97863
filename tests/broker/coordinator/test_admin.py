"""FindCoordinator, DescribeGroups, ListGroups, DeleteGroups."""

from __future__ import annotations

import pytest

from kwire.error_codes import ErrorCode
from tests.broker.coordinator.group_world import World, value


@pytest.fixture
def world() -> World:
    return World()


class TestFindCoordinator:
    def test_found(self, world: World) -> None:
        found = world.find("g", "").coordinators
        assert [(each.key, each.error_code, each.node_id, each.host, each.port) for each in found] == [
            ("g", 0, 1, "127.0.0.1", 9092),
            ("", 0, 1, "127.0.0.1", 9092),
        ]
        assert [each.error_message for each in found] == ["", ""]

    def test_before_v4(self, world: World) -> None:
        found = world.find("g", version=3)
        assert (found.error_code, found.error_message, found.node_id, found.port) == (0, "NONE", 1, 9092)

    @pytest.mark.parametrize("key_type", [2, 7, -1])
    def test_unknown_type(self, world: World, key_type: int) -> None:
        found = world.find("g", key_type=key_type).coordinators[0]
        assert (found.error_code, found.node_id, found.host, found.port) == (42, -1, "", -1)

    def test_transactions(self, world: World) -> None:
        assert world.find("x", key_type=1).coordinators[0].error_code == ErrorCode.COORDINATOR_NOT_AVAILABLE
        assert world.transaction_topic.creations == 1
        world.transaction_topic.partitions = 4
        assert world.find("x", key_type=1).coordinators[0].node_id == 1

    def test_the_first_one_creates_the_topic(self, world: World) -> None:
        world.offsets_topic.partitions = None
        found = world.find("g", version=3)
        assert (found.error_code, found.node_id, found.host, found.port) == (15, -1, "", -1)
        assert world.offsets_topic.creations == 1
        assert world.heartbeat("m", 1) is ErrorCode.NOT_COORDINATOR
        world.offsets_topic.partitions = 4
        assert world.find("g").coordinators[0].error_code == 0
        assert value(world.join()).error_code == ErrorCode.MEMBER_ID_REQUIRED


class TestDescribe:
    @pytest.mark.parametrize(("version", "code", "message"), [(5, 0, None), (6, 69, "Group nog not found.")])
    def test_unknown(self, world: World, version: int, code: int, message: str | None) -> None:
        described = world.describe("nog", version=version)
        assert (described.group_state, described.error_code, described.error_message) == ("Dead", code, message)

    def test_stable(self, world: World) -> None:
        (member,) = world.stable()
        described = world.describe()
        assert (described.group_state, described.protocol_type, described.protocol_data) == (
            "Stable",
            "consumer",
            "range",
        )
        (each,) = described.members
        assert (each.member_id, each.client_id, each.client_host) == (member, "c", "/127.0.0.1")
        assert (each.member_metadata[:2], each.member_assignment) == (b"\x00\x00", member.encode())
        assert described.authorized_operations == -(2**31)

    def test_rebalancing(self, world: World) -> None:
        world.stable()
        world.join_known()
        described = world.describe()
        assert (described.group_state, described.protocol_data) == ("PreparingRebalance", "")
        assert [each.member_metadata for each in described.members] == [b"", b""]

    def test_operations(self, world: World) -> None:
        world.stable()
        assert world.describe(operations=True).authorized_operations == 3400
        assert world.describe("nog", operations=True).authorized_operations == -(2**31)
        assert world.describe("nog", operations=True, version=5).authorized_operations == 3400
        assert world.describe(operations=True, version=2).authorized_operations == -(2**31)


class TestList:
    def test_all(self, world: World) -> None:
        world.stable("a")
        world.commit({("t", 0): 1}, group="b")
        found = {each.group_id: (each.protocol_type, each.group_state, each.group_type) for each in world.list()}
        assert found == {"a": ("consumer", "Stable", "classic"), "b": ("", "Empty", "classic")}

    def test_filters(self, world: World) -> None:
        world.stable("a")
        world.commit({("t", 0): 1}, group="b")
        for states, types, names in (
            (["STABLE"], [], ["a"]),
            (["empty", "stable"], ["Classic"], ["a", "b"]),
            (["nonsense"], [], []),
            ([], ["consumer"], []),
            ([], ["nonsense"], []),
        ):
            assert sorted(each.group_id for each in world.list(states, types)) == names


class TestDeleteGroups:
    def test_delete(self, world: World) -> None:
        world.stable("live")
        world.commit({("t", 0): 1, ("t", 1): 1}, group="simple")
        world.commit({("t", 0): 1}, group="")
        assert world.delete_groups("live", "simple", "who", "", "simple") == {
            "live": ErrorCode.NON_EMPTY_GROUP,
            "simple": 0,
            "who": ErrorCode.GROUP_ID_NOT_FOUND,
            "": 0,
        }
        assert world.fetch(None, "simple") == {}
        assert world.state("simple") == "Dead"
        assert [record.value for record in world.records("simple")[-3:]] == [None, None, None]

    def test_a_pending_member_of_a_deleted_group_begins_anew(self, world: World) -> None:
        pending = value(world.join()).member_id
        assert world.delete_groups("g") == {"g": 0}
        assert value(world.join(member=pending)).error_code == ErrorCode.UNKNOWN_MEMBER_ID
        world.clock.advance(20_000)
        assert world.state() == "Dead"
