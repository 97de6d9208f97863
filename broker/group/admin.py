"""Describing, listing and deleting groups (Kafka: describeGroups, listGroups, deleteGroups)."""

from __future__ import annotations

from collections.abc import Iterable

from broker.group.decision import Decision
from broker.group.offsets import delete_all
from broker.group.records import GroupRecord
from broker.group.state import ShardState
from broker.group.states import DEAD, EMPTY, STABLE, GroupState
from kwire.error_codes import ErrorCode
from kwire.errors import ApiError
from kwire.messages.describe_groups import DescribedGroup, DescribedGroupMember
from kwire.messages.list_groups import ListedGroup

CLASSIC = "classic"
NOT_FOUND_SINCE = 6


def describe(state: ShardState, group_id: str, api_version: int) -> DescribedGroup:
    """One group. An unknown one is Dead without an error, from v6 on with GROUP_ID_NOT_FOUND (KIP-1043)."""
    group = state.groups.get(group_id)
    if group is None:
        described = DescribedGroup(group_id=group_id, group_state=GroupState.DEAD.value)
        if api_version >= NOT_FOUND_SINCE:
            described.error_code = ErrorCode.GROUP_ID_NOT_FOUND
            described.error_message = f"Group {group_id} not found."
        return described
    stable = group.state is STABLE
    return DescribedGroup(
        group_id=group_id,
        group_state=group.state.value,
        protocol_type=group.protocol_type or "",
        protocol_data=(group.protocol or "") if stable else "",
        members=[
            DescribedGroupMember(
                member_id=member.member_id,
                group_instance_id=member.instance_id,
                client_id=member.client_id,
                client_host=member.client_host,
                member_metadata=member.metadata(group.protocol) if stable else b"",
                member_assignment=member.assignment,
            )
            for member in group.members.values()
        ],
    )


def list_groups(state: ShardState, states: Iterable[str], types: Iterable[str]) -> list[ListedGroup]:
    """The groups in one of these states and types, without regard to case; empty filters let everything pass."""
    wanted_states = {name.strip().lower() for name in states}
    wanted_types = {name.strip().lower() for name in types}
    if wanted_types and CLASSIC not in wanted_types:
        return []
    return [
        ListedGroup(
            group_id=group.group_id,
            protocol_type=group.protocol_type or "",
            group_state=group.state.value,
            group_type=CLASSIC,
        )
        for group in state.groups.values()
        if not wanted_states or group.state.value.lower() in wanted_states
    ]


def delete_group(state: ShardState, group_id: str, decision: Decision) -> None:
    """Tombstones for an empty group and its offsets. ApiError: unknown, or not empty."""
    group = state.groups.get(group_id)
    if group is None or group.state is DEAD:
        raise ApiError(ErrorCode.GROUP_ID_NOT_FOUND)
    if group.state is not EMPTY:
        raise ApiError(ErrorCode.NON_EMPTY_GROUP)
    delete_all(state, group_id, decision)
    decision.records.append(GroupRecord(group_id, None))
