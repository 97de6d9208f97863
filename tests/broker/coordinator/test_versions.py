"""Every version of every API of groups: request and response go through the codec, and a group works with it."""

from __future__ import annotations

from typing import Any

import pytest

from kwire.api_keys import ApiKey
from kwire.messages.delete_groups import DeleteGroupsRequest
from kwire.messages.describe_groups import DescribeGroupsRequest
from kwire.messages.find_coordinator import FindCoordinatorRequest
from kwire.messages.heartbeat import HeartbeatRequest
from kwire.messages.join_group import JoinGroupRequest, JoinGroupRequestProtocol
from kwire.messages.leave_group import LeaveGroupRequest, MemberIdentity
from kwire.messages.list_groups import ListGroupsRequest
from kwire.messages.sync_group import SyncGroupRequest, SyncGroupRequestAssignment
from tests.broker.coordinator.group_world import World
from tests.broker.coordinator.transcripts import WorldDriver


class Old:
    """A client that speaks one version of each API, or the highest there is below it."""

    def __init__(self, version: int) -> None:
        self.version = version
        self.world = World()
        self.driver = WorldDriver(self.world)

    def ask(self, api: ApiKey, highest: int, request: Any) -> Any:
        return self.driver.send("c", api, min(self.version, highest), request).get()


@pytest.mark.parametrize("version", range(10))
def test_the_life_of_a_member(version: int) -> None:
    client = Old(version)

    def join(member: str) -> Any:
        protocols = [JoinGroupRequestProtocol(name="range", metadata=b"m")]
        request = JoinGroupRequest(
            group_id="g",
            session_timeout_ms=10_000,
            rebalance_timeout_ms=10_000 if version else -1,
            member_id=member,
            protocol_type="consumer",
            protocols=protocols,
        )
        return client.ask(ApiKey.JOIN_GROUP, 9, request)

    joined = join("")
    if version >= 4:
        assert joined.error_code == 79
        joined = join(joined.member_id)
    member = joined.member_id
    assert (joined.error_code, joined.generation_id, joined.leader, joined.protocol_name) == (0, 1, member, "range")
    assert [(each.member_id, each.metadata) for each in joined.members] == [(member, b"m")]
    named = {"protocol_type": "consumer", "protocol_name": "range"} if version >= 5 else {}
    request = SyncGroupRequest(
        group_id="g",
        generation_id=1,
        member_id=member,
        assignments=[SyncGroupRequestAssignment(member_id=member, assignment=b"a")],
        **named,
    )
    assert client.ask(ApiKey.SYNC_GROUP, 5, request).assignment == b"a"
    beat = HeartbeatRequest(group_id="g", generation_id=1, member_id=member)
    assert client.ask(ApiKey.HEARTBEAT, 4, beat).error_code == 0
    (described,) = client.ask(ApiKey.DESCRIBE_GROUPS, 6, DescribeGroupsRequest(groups=["g"])).groups
    assert (described.group_state, [each.member_id for each in described.members]) == ("Stable", [member])
    assert [each.group_id for each in client.ask(ApiKey.LIST_GROUPS, 5, ListGroupsRequest()).groups] == ["g"]
    leaving = LeaveGroupRequest(group_id="g")
    if version >= 3:
        leaving.members = [MemberIdentity(member_id=member)]
    else:
        leaving.member_id = member
    assert client.ask(ApiKey.LEAVE_GROUP, 5, leaving).error_code == 0
    deleted = client.ask(ApiKey.DELETE_GROUPS, 2, DeleteGroupsRequest(groups_names=["g"])).results
    assert [(each.group_id, each.error_code) for each in deleted] == [("g", 0)]
    key = {"coordinator_keys": ["g"]} if version >= 4 else {"key": "g"}
    found = client.ask(ApiKey.FIND_COORDINATOR, 6, FindCoordinatorRequest(**key))
    assert (found.coordinators[0] if version >= 4 else found).node_id == 1
