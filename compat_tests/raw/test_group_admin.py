"""Classic groups: DescribeGroups, ListGroups, DeleteGroups."""

from typing import Any

import pytest

from compat_tests.raw.groups import LOADING, Member, described, stable, wait_for_coordinator
from compat_tests.raw.wire import Wire, eventually

NOT_ASKED = -(2**31)


@pytest.fixture(autouse=True)
def _coordinator(wire: Wire, group: str) -> None:
    wait_for_coordinator(wire, group)


def commit(wire: Wire, group: str, topic: str) -> None:
    """An offset of a group that nobody joined."""
    wire.create(topic)
    assert Member(wire, group).commit(topic) == 0


@pytest.mark.parametrize("version", range(7))
def test_describe_a_stable_group_in_every_version(wire: Wire, group: str, version: int) -> None:
    member = stable(wire, group)
    found = described(wire, group, version)
    assert (found.error_code, found.group_id, found.group_state) == (0, group, "Stable")
    assert (found.protocol_type, found.protocol_data) == ("consumer", "range")
    (only,) = found.members
    assert (only.member_id, only.client_id, only.client_host) == (member.member_id, "raw", "/127.0.0.1")
    assert (bytes(only.member_metadata), bytes(only.member_assignment)) == (b"meta", b"mine")
    if version >= 3:
        assert found.authorized_operations == NOT_ASKED
    if version >= 4:
        assert only.group_instance_id is None
    if version >= 6:
        assert found.error_message is None


def test_describe_authorized_operations(wire: Wire, group: str) -> None:
    stable(wire, group)
    assert described(wire, group, include_authorized_operations=True).authorized_operations > 0


def test_describe_while_completing_a_rebalance(wire: Wire, group: str) -> None:
    member = Member(wire, group, instance="inst")
    member.join()
    found = described(wire, group)
    assert (found.error_code, found.group_state) == (0, "CompletingRebalance")
    assert [(m.member_id, m.group_instance_id) for m in found.members] == [(member.member_id, "inst")]


@pytest.mark.parametrize("version", range(6))
def test_describe_unknown_is_dead_up_to_v5(wire: Wire, group: str, version: int) -> None:
    found = described(wire, group, version)
    assert (found.error_code, found.group_state, found.members) == (0, "Dead", [])


def test_describe_unknown_in_v6(wire: Wire, group: str) -> None:
    found = described(wire, group, 6)
    assert (found.error_code, found.error_message) == (69, f"Group {group} not found.")
    assert found.group_state == "Dead"


def test_describe_a_simple_group(wire: Wire, group: str, topic: str) -> None:
    commit(wire, group, topic)
    found = described(wire, group)
    assert (found.error_code, found.group_state, found.protocol_type, found.members) == (0, "Empty", "", [])


def test_describe_several(wire: Wire, group: str) -> None:
    stable(wire, group)
    answer = wire.ask("DescribeGroups", 5, groups=[group, f"{group}-missing"])
    assert {g.group_id: g.group_state for g in answer.groups} == {group: "Stable", f"{group}-missing": "Dead"}


# ListGroups


def listed(wire: Wire, version: int = 5, **filters: Any) -> dict[str, Any]:
    answer = wire.ask("ListGroups", version, **filters)
    assert answer.error_code == 0
    return {g.group_id: g for g in answer.groups}


@pytest.mark.parametrize("version", range(6))
def test_list_in_every_version(wire: Wire, group: str, topic: str, version: int) -> None:
    stable(wire, group)
    found = listed(wire, version)[group]
    assert found.protocol_type == "consumer"
    if version >= 4:
        assert found.group_state == "Stable"
    if version >= 5:
        assert found.group_type == "classic"


def test_list_a_simple_group(wire: Wire, group: str, topic: str) -> None:
    commit(wire, group, topic)
    found = listed(wire)[group]
    assert (found.protocol_type, found.group_state, found.group_type) == ("", "Empty", "classic")


@pytest.mark.parametrize("state", ["Stable", "stable", "STABLE"])
def test_list_filters_states_ignoring_case(wire: Wire, group: str, state: str) -> None:
    stable(wire, group)
    pending = Member(wire, f"{group}-joining")
    pending.join()
    found = listed(wire, states_filter=[state])
    assert group in found
    assert pending.group not in found
    assert pending.group in listed(wire, states_filter=["completingREBALANCE", "Dead"])


@pytest.mark.parametrize("kind", ["classic", "Classic", "CLASSIC"])
def test_list_filters_types_ignoring_case(wire: Wire, group: str, kind: str) -> None:
    stable(wire, group)
    assert group in listed(wire, types_filter=[kind])
    assert group not in listed(wire, types_filter=["consumer"])


def test_list_with_unknown_filters_is_empty(wire: Wire, group: str) -> None:
    stable(wire, group)
    assert listed(wire, states_filter=["Nonsense"]) == {}
    assert listed(wire, types_filter=["nonsense"]) == {}


# DeleteGroups


@pytest.mark.parametrize("version", range(3))
def test_delete_an_empty_group(wire: Wire, group: str, topic: str, version: int) -> None:
    commit(wire, group, topic)
    (result,) = wire.ask("DeleteGroups", version, groups_names=[group]).results
    assert (result.group_id, result.error_code) == (group, 0)
    assert described(wire, group).group_state == "Dead"
    assert group not in listed(wire)


def test_delete_live_and_unknown(wire: Wire, group: str) -> None:
    stable(wire, group)
    answer = wire.ask("DeleteGroups", 2, groups_names=[group, f"{group}-missing"])
    assert {r.group_id: r.error_code for r in answer.results} == {group: 68, f"{group}-missing": 69}
    assert described(wire, group).group_state == "Stable"


def test_delete_the_group_with_the_empty_id(wire: Wire, topic: str) -> None:
    wire.create(topic)
    empty = Member(wire, "")
    eventually(lambda: empty.commit(topic), lambda e: e not in LOADING, "coordinator")
    assert [r.error_code for r in wire.ask("DeleteGroups", 2, groups_names=[""]).results] == [0]
    assert [r.error_code for r in wire.ask("DeleteGroups", 2, groups_names=[""]).results] == [69]
