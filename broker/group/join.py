"""JoinGroup (Kafka: GroupMetadataManager.classicGroupJoin; KIP-62, KIP-345, KIP-394, KIP-814)."""

from __future__ import annotations

from attrs import define

from broker.group.classic_group import ClassicGroup
from broker.group.decision import Decision, Waiter
from broker.group.member import Member, Protocols
from broker.group.rebalance import (
    cancel_session,
    complete_join_if_all_joined,
    extend_session,
    joined,
    prepare,
    prepare_or_complete,
    session_key,
)
from broker.group.records import GroupRecord, StoredGroup
from broker.group.state import ShardState
from broker.group.states import COMPLETING_REBALANCE, DEAD, EMPTY, PREPARING_REBALANCE, STABLE
from kwire.error_codes import ErrorCode
from kwire.errors import ApiError
from kwire.messages.join_group import JoinGroupRequest, JoinGroupResponse
from kwire.messages.sync_group import SyncGroupResponse

KNOWN_MEMBER_ID_SINCE = 4
SKIP_ASSIGNMENT_SINCE = 9


@define(slots=True)
class Joining:
    """A JoinGroup request and who sent it. protocols: of the request, as kept."""

    request: JoinGroupRequest
    api_version: int
    client_id: str
    client_host: str
    waiter: Waiter
    protocols: Protocols


def join(
    state: ShardState,
    request: JoinGroupRequest,
    api_version: int,
    client_id: str | None,
    client_host: str,
    waiter: Waiter,
    decision: Decision,
) -> None:
    """Decide on one JoinGroup. Its answer may come now, or when the rebalance completes.

    The group id is not empty and the session timeout within the server's bounds. A group that comes into being is
    stored at once, empty, also when the request is refused.
    """
    joining = Joining(
        request=request,
        api_version=api_version,
        client_id=client_id or "",
        client_host=client_host,
        waiter=waiter,
        protocols=tuple((protocol.name, bytes(protocol.metadata)) for protocol in request.protocols),
    )
    group = state.groups.get(request.group_id)
    is_new = group is None
    if group is None:
        if request.member_id:
            decision.answer(waiter, refusal(ErrorCode.UNKNOWN_MEMBER_ID, request.member_id))
            return
        group = state.get_or_create(request.group_id, decision)
    try:
        if not _has_room(state, group, request.member_id):
            group.remove(request.member_id)
            raise ApiError(ErrorCode.GROUP_MAX_SIZE_REACHED)
        if request.member_id:
            _existing_member(state, group, joining, decision)
        else:
            _new_member(state, group, joining, decision)
    except ApiError as error:
        known = request.member_id if error.code is not ErrorCode.GROUP_MAX_SIZE_REACHED else ""
        decision.answer(waiter, refusal(error.code, known))
    if is_new and not decision.records:
        decision.records.append(GroupRecord(request.group_id, StoredGroup(state_timestamp_ms=group.state_timestamp_ms)))


def refusal(code: ErrorCode, member_id: str) -> JoinGroupResponse:
    return JoinGroupResponse(error_code=code, member_id=member_id)


def _has_room(state: ShardState, group: ClassicGroup, member_id: str) -> bool:
    limit = state.config.group_max_size
    if group.state is PREPARING_REBALANCE:
        # Those who wait count, not the members: the group may be above a limit that was lowered.
        member = group.members.get(member_id)
        return (member is not None and member.awaiting_join is not None) or group.awaiting_join_count < limit
    if group.state is COMPLETING_REBALANCE or group.state is STABLE:
        return member_id in group.members or len(group.members) < limit
    return True


def _check_protocols(group: ClassicGroup, joining: Joining) -> None:
    if not group.supports(joining.request.protocol_type, [name for name, _ in joining.protocols]):
        raise ApiError(ErrorCode.INCONSISTENT_GROUP_PROTOCOL)


def _new_member(state: ShardState, group: ClassicGroup, joining: Joining, decision: Decision) -> None:
    if group.state is DEAD:
        raise ApiError(ErrorCode.COORDINATOR_NOT_AVAILABLE)
    _check_protocols(group, joining)
    request = joining.request
    instance_id = request.group_instance_id
    if instance_id is not None:
        member_id = _new_id(state, group, instance_id)
        known_id = group.static_members.get(instance_id)
        if known_id is not None:
            _replace_static(state, group, joining, known_id, member_id, decision)
            return
    else:
        member_id = _new_id(state, group, joining.client_id)
        if joining.api_version >= KNOWN_MEMBER_ID_SINCE:
            group.pending_join.add(member_id)
            decision.schedule(session_key(group.group_id, member_id), request.session_timeout_ms)
            decision.answer(joining.waiter, refusal(ErrorCode.MEMBER_ID_REQUIRED, member_id))
            return
    _add_member(state, group, joining, member_id, decision)


def _new_id(state: ShardState, group: ClassicGroup, client: str) -> str:
    """An id nobody in the group has. (They may begin anew, where a cluster was put back to what it was.)"""
    while True:
        member_id = f"{client}-{state.new_id(group.group_id, client)}"
        if member_id not in group.members and member_id not in group.pending_join:
            return member_id


def _add_member(state: ShardState, group: ClassicGroup, joining: Joining, member_id: str, decision: Decision) -> None:
    request = joining.request
    member = Member(
        member_id=member_id,
        instance_id=request.group_instance_id,
        client_id=joining.client_id,
        client_host=joining.client_host,
        rebalance_timeout_ms=request.rebalance_timeout_ms,
        session_timeout_ms=request.session_timeout_ms,
        protocol_type=request.protocol_type,
        protocols=joining.protocols,
        is_new=True,
    )
    if group.state is PREPARING_REBALANCE and group.previous_state is EMPTY:
        group.new_member_added = True
    if member_id in group.pending_join:
        # Its timer runs for the pending id; from here on the member has its own deadline.
        decision.cancel(session_key(group.group_id, member_id))
    group.add(member, joining.waiter)
    # A new member cannot send heartbeats before it is answered, and may be gone: it has five minutes, then it is to ask
    # again, so that retries in a long rebalance do not pile up.
    extend_session(group, member, decision, state.config.new_member_join_timeout_ms)
    prepare_or_complete(state, group, decision)


def _existing_member(state: ShardState, group: ClassicGroup, joining: Joining, decision: Decision) -> None:
    if group.state is DEAD:
        raise ApiError(ErrorCode.COORDINATOR_NOT_AVAILABLE)
    _check_protocols(group, joining)
    request = joining.request
    if request.member_id in group.pending_join:
        if request.group_instance_id is not None:
            # Ids of static members are never given out in advance. Kafka trips over it and answers so.
            raise ApiError(ErrorCode.UNKNOWN_SERVER_ERROR)
        _add_member(state, group, joining, request.member_id, decision)
        return
    member = group.check_member(request.member_id, request.group_instance_id)
    if group.state is PREPARING_REBALANCE:
        _rejoin(state, group, member, joining, decision)
    elif group.state is COMPLETING_REBALANCE:
        if member.protocols == joining.protocols:
            # It may have missed the answer.
            decision.answer(joining.waiter, joined(group, member.member_id))
        else:
            _rejoin(state, group, member, joining, decision)
    elif group.state is STABLE:
        if group.leader == member.member_id or member.protocols != joining.protocols:
            # The leader asks for a rebalance in this way, when topics changed for instance.
            _rejoin(state, group, member, joining, decision)
        else:
            decision.answer(joining.waiter, joined(group, member.member_id))
    else:
        raise ApiError(ErrorCode.UNKNOWN_MEMBER_ID)


def _rejoin(state: ShardState, group: ClassicGroup, member: Member, joining: Joining, decision: Decision) -> None:
    _update(group, member, joining, decision)
    prepare_or_complete(state, group, decision)


def _update(group: ClassicGroup, member: Member, joining: Joining, decision: Decision) -> None:
    request = joining.request
    before = group.update(
        member, joining.protocols, request.rebalance_timeout_ms, request.session_timeout_ms, joining.waiter
    )
    if before is not None:
        # Kafka forgets the earlier request of a member that asks twice; an answer is kinder to a shared connection.
        decision.answer(before, refusal(ErrorCode.REBALANCE_IN_PROGRESS, member.member_id))


def _replace_static(
    state: ShardState, group: ClassicGroup, joining: Joining, old_id: str, new_id: str, decision: Decision
) -> None:
    """A static member came back without its id: it takes the old one's place under a new id, the old id is fenced."""
    request = joining.request
    instance_id = request.group_instance_id
    assert instance_id is not None
    old_leader = group.leader
    old = group.members[old_id]
    waiter = group.take_join_waiter(old)
    if waiter is not None:
        decision.answer(waiter, refusal(ErrorCode.FENCED_INSTANCE_ID, old_id))
    if old.awaiting_sync is not None:
        decision.answer(old.awaiting_sync, SyncGroupResponse(error_code=ErrorCode.FENCED_INSTANCE_ID))
        old.awaiting_sync = None
    cancel_session(group, old, decision)
    member = group.replace_static(instance_id, old_id, new_id)
    extend_session(group, member, decision)
    _update(group, member, joining, decision)
    if group.state is STABLE:
        if group.protocol == group.select_protocol():
            _store_replaced(group, joining, member, old_leader, decision)
        else:
            prepare_or_complete(state, group, decision)
    elif group.state is COMPLETING_REBALANCE:
        # The leader may be assigning to the old id right now.
        prepare(state, group, decision)
    else:
        complete_join_if_all_joined(group, decision)


def _store_replaced(
    group: ClassicGroup, joining: Joining, member: Member, old_leader: str | None, decision: Decision
) -> None:
    """No rebalance: keep the assignment, store the new id, answer once that is committed."""
    decision.records.append(group.to_record({each.member_id: each.assignment for each in group.members.values()}))

    def committed(later: Decision) -> None:
        if member.awaiting_join is not joining.waiter:
            return
        group.take_join_waiter(member)
        if joining.api_version >= SKIP_ASSIGNMENT_SINCE:
            is_leader = group.leader == member.member_id
            later.answer(joining.waiter, joined(group, member.member_id, skip_assignment=is_leader))
            return
        # Older clients must not take themselves for a leader that has to assign: they are shown the old one's id.
        response = joined(group, member.member_id)
        response.members = []
        response.leader = old_leader or ""
        later.answer(joining.waiter, response)

    def refused(code: ErrorCode, later: Decision) -> None:
        if member.awaiting_join is joining.waiter:
            group.take_join_waiter(member)
            later.answer(joining.waiter, refusal(code, ""))

    decision.on_committed = committed
    decision.on_refused = refused
