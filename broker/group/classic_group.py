"""A classic group while it lives: members, who waits for what, which protocol (Kafka: ClassicGroup)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TypeAlias

from broker.group.decision import Waiter
from broker.group.ids import java_map_order
from broker.group.member import Member, Protocols
from broker.group.records import GroupRecord, StoredGroup, StoredMember
from broker.group.states import (
    COMPLETING_REBALANCE,
    DEAD,
    EMPTY,
    PREPARING_REBALANCE,
    STABLE,
    VALID_PREVIOUS_STATES,
    GroupState,
)
from broker.group.subscription import CONSUMER_PROTOCOL_TYPE, subscribed_topics
from kwire.error_codes import ErrorCode
from kwire.errors import ApiError, DecodeError

Topics: TypeAlias = frozenset[str]


class ClassicGroup:
    """The soft state of one group.

    state, previous_state: change through `transition` only. members: by id, in the order they joined, the leader is the
    first that joined. static_members: instance id -> member id. pending_join: ids given out and not yet used.
    pending_sync: members of this generation that have not synced. protocol_counts: protocol -> members that support it.
    subscribed_topics: None when not known. initial_delay_ms, initial_remaining_ms: of the delay before the first
    rebalance of an empty group, None when the join timer is not that delay; new_member_added extends it.
    """

    __slots__ = (
        "awaiting_join_count",
        "generation",
        "group_id",
        "initial_delay_ms",
        "initial_remaining_ms",
        "leader",
        "members",
        "new_member_added",
        "pending_join",
        "pending_sync",
        "pending_sync_generation",
        "previous_state",
        "protocol",
        "protocol_counts",
        "protocol_type",
        "state",
        "state_timestamp_ms",
        "static_members",
        "subscribed_topics",
    )

    def __init__(self, group_id: str, state_timestamp_ms: int) -> None:
        self.group_id = group_id
        self.state: GroupState = EMPTY
        self.previous_state: GroupState = DEAD
        self.state_timestamp_ms = state_timestamp_ms
        self.generation = 0
        self.protocol_type: str | None = None
        self.protocol: str | None = None
        self.leader: str | None = None
        self.members: dict[str, Member] = {}
        self.static_members: dict[str, str] = {}
        self.pending_join: set[str] = set()
        self.pending_sync: dict[str, None] = {}
        self.pending_sync_generation = -1
        self.awaiting_join_count = 0
        self.protocol_counts: dict[str, int] = {}
        self.subscribed_topics: Topics | None = None
        self.new_member_added = False
        self.initial_delay_ms: int | None = None
        self.initial_remaining_ms = 0

    @classmethod
    def from_stored(cls, group_id: str, stored: StoredGroup) -> ClassicGroup:
        """What Kafka rebuilds from a record: Stable with its members, or Empty. (GroupMetadataManager.replay)"""
        group = cls(group_id, stored.state_timestamp_ms)
        group.generation = stored.generation
        group.protocol_type = stored.protocol_type or None
        group.protocol = stored.protocol
        group.leader = stored.leader
        group.state = STABLE if stored.members else EMPTY
        for member in stored.members:
            group.add(
                Member(
                    member_id=member.member_id,
                    instance_id=member.instance_id,
                    client_id=member.client_id,
                    client_host=member.client_host,
                    rebalance_timeout_ms=(
                        member.session_timeout_ms if member.rebalance_timeout_ms == -1 else member.rebalance_timeout_ms
                    ),
                    session_timeout_ms=member.session_timeout_ms,
                    protocol_type=stored.protocol_type,
                    protocols=((stored.protocol or "", member.subscription),),
                    assignment=member.assignment,
                ),
            )
        group.subscribed_topics = group.compute_subscribed_topics()
        return group

    def to_record(self, assignments: Mapping[str, bytes]) -> GroupRecord:
        """The group as it is stored, with these assignments by member id."""
        members = tuple(
            StoredMember(
                member_id=member.member_id,
                instance_id=member.instance_id,
                client_id=member.client_id,
                client_host=member.client_host,
                rebalance_timeout_ms=member.rebalance_timeout_ms,
                session_timeout_ms=member.session_timeout_ms,
                subscription=member.metadata(self.protocol),
                assignment=assignments[member.member_id],
            )
            for member in self.members.values()
        )
        return GroupRecord(
            self.group_id,
            StoredGroup(
                protocol_type=self.protocol_type or "",
                generation=self.generation,
                protocol=self.protocol,
                leader=self.leader,
                state_timestamp_ms=self.state_timestamp_ms,
                members=members,
            ),
        )

    # States

    def transition(self, state: GroupState, now_ms: int) -> None:
        if self.state not in VALID_PREVIOUS_STATES[state]:
            raise AssertionError(f"group {self.group_id}: {self.state.value} -> {state.value} is no valid move")
        self.previous_state = self.state
        self.state = state
        self.state_timestamp_ms = now_ms

    @property
    def can_rebalance(self) -> bool:
        return self.state in VALID_PREVIOUS_STATES[PREPARING_REBALANCE]

    @property
    def uses_consumer_protocol(self) -> bool:
        return self.protocol_type == CONSUMER_PROTOCOL_TYPE

    # Members

    def add(self, member: Member, waiter: Waiter | None = None) -> None:
        if member.instance_id is not None:
            if member.instance_id in self.static_members:
                raise AssertionError(f"static member {member.instance_id} is already in group {self.group_id}")
            self.static_members[member.instance_id] = member.member_id
        if not self.members:
            self.protocol_type = member.protocol_type
        if self.leader is None:
            self.leader = member.member_id
        self.members[member.member_id] = member
        self._count_protocols(member, +1)
        member.awaiting_join = waiter
        if waiter is not None:
            self.awaiting_join_count += 1
        self.pending_join.discard(member.member_id)

    def remove(self, member_id: str) -> None:
        """Forget a member, or a pending one; no effect on one that is not there."""
        member = self.members.pop(member_id, None)
        if member is not None:
            self._count_protocols(member, -1)
            if member.awaiting_join is not None:
                self.awaiting_join_count -= 1
            if member.instance_id is not None:
                self.static_members.pop(member.instance_id, None)
        if self.leader == member_id:
            self.leader = next(iter(self.members), None)
        self.pending_join.discard(member_id)
        self.pending_sync.pop(member_id, None)

    def replace_static(self, instance_id: str, old_id: str, new_id: str) -> Member:
        """Give a static member a new id. What waits under the old one was taken and answered before. (KIP-345)"""
        old = self.members.pop(old_id)
        if old.awaiting_join is not None:
            raise AssertionError(f"member {old_id} is replaced while its request waits")
        new = Member(
            member_id=new_id,
            instance_id=old.instance_id,
            client_id=old.client_id,
            client_host=old.client_host,
            rebalance_timeout_ms=old.rebalance_timeout_ms,
            session_timeout_ms=old.session_timeout_ms,
            protocol_type=old.protocol_type,
            protocols=old.protocols,
            assignment=old.assignment,
        )
        self.members[new_id] = new
        if self.leader == old_id:
            self.leader = new_id
        self.static_members[instance_id] = new_id
        return new

    def update(
        self,
        member: Member,
        protocols: Protocols,
        rebalance_timeout_ms: int,
        session_timeout_ms: int,
        waiter: Waiter | None,
    ) -> Waiter | None:
        """Take over what a rejoining member asks for. Returns the request that waited before, if any."""
        self._count_protocols(member, -1)
        member.protocols = protocols
        self._count_protocols(member, +1)
        member.rebalance_timeout_ms = rebalance_timeout_ms
        member.session_timeout_ms = session_timeout_ms
        before = member.awaiting_join
        self.awaiting_join_count += (waiter is not None) - (before is not None)
        member.awaiting_join = waiter
        return before

    def take_join_waiter(self, member: Member) -> Waiter | None:
        waiter = member.awaiting_join
        if waiter is not None:
            member.awaiting_join = None
            self.awaiting_join_count -= 1
        return waiter

    @property
    def all_joined(self) -> bool:
        return len(self.members) == self.awaiting_join_count and not self.pending_join

    @property
    def rebalance_timeout_ms(self) -> int:
        return max((member.rebalance_timeout_ms for member in self.members.values()), default=0)

    def check_member(self, member_id: str, instance_id: str | None) -> Member:
        """The member, or ApiError UNKNOWN_MEMBER_ID, FENCED_INSTANCE_ID."""
        if instance_id is not None:
            known_id = self.static_members.get(instance_id)
            if known_id is None:
                raise ApiError(ErrorCode.UNKNOWN_MEMBER_ID)
            if known_id != member_id:
                raise ApiError(ErrorCode.FENCED_INSTANCE_ID)
        member = self.members.get(member_id)
        if member is None:
            raise ApiError(ErrorCode.UNKNOWN_MEMBER_ID)
        return member

    def elect_joined_leader(self) -> bool:
        """Keep the leader if it has rejoined, else take the first member that has. False when there is none."""
        if self.leader is None:
            return False
        if self.members[self.leader].awaiting_join is not None:
            return True
        for member in self.members.values():
            if member.awaiting_join is not None:
                self.leader = member.member_id
                return True
        return False

    # Protocols

    def _count_protocols(self, member: Member, step: int) -> None:
        counts = self.protocol_counts
        for name in dict.fromkeys(name for name, _ in member.protocols):  # a request may name one twice
            left = counts.get(name, 0) + step
            if left:
                counts[name] = left
            else:
                del counts[name]

    def supports(self, protocol_type: str, names: Iterable[str]) -> bool:
        """Whether a member of this type with these protocols may join."""
        if self.state is EMPTY:
            return bool(protocol_type) and any(True for _ in names)
        size = len(self.members)
        return self.protocol_type == protocol_type and any(self.protocol_counts.get(name, 0) == size for name in names)

    def select_protocol(self) -> str:
        """The protocol most members want among those all support; equal votes are decided as in Java."""
        size = len(self.members)
        candidates = {name for name, count in self.protocol_counts.items() if count == size}
        votes: dict[str, int] = {}
        for member in self.members.values():
            name = member.vote(candidates)
            votes[name] = votes.get(name, 0) + 1
        if len(votes) == 1:
            return next(iter(votes))
        return max(java_map_order(votes), key=votes.__getitem__)

    def begin_generation(self, now_ms: int) -> None:
        """Next generation: CompletingRebalance with its members, or Empty without any."""
        self.generation += 1
        if self.members:
            self.protocol = self.select_protocol()
            self.subscribed_topics = self.compute_subscribed_topics()
            self.transition(COMPLETING_REBALANCE, now_ms)
        else:
            self.protocol = None
            self.subscribed_topics = self.compute_subscribed_topics()
            self.transition(EMPTY, now_ms)
        self.pending_sync.clear()

    def compute_subscribed_topics(self) -> Topics | None:
        """All topics the members want; None when not a consumer group or not all can be read."""
        if not self.uses_consumer_protocol:
            return None
        if not self.members:
            return frozenset()
        if self.protocol is None:
            return None
        distinct = {member.metadata(self.protocol) for member in self.members.values()}
        topics: set[str] = set()
        try:
            for metadata in distinct:
                topics.update(subscribed_topics(metadata))
        except DecodeError:
            return None
        return frozenset(topics)

    def is_subscribed_to(self, topic: str) -> bool:
        if self.subscribed_topics is None:
            return self.uses_consumer_protocol
        return topic in self.subscribed_topics
