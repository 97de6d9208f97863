"""Consumer groups of a cluster: what they are at, how far they are behind, and what is done to them on purpose."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator
from typing import TYPE_CHECKING, Any, Final

from attrs import frozen

from kwire.testing.errors import ControlRequestError, WaitTimeoutError
from kwire.testing.http import segment

if TYPE_CHECKING:
    from kwire.testing.cluster import Cluster

DEFAULT_TIMEOUT_S: Final = 10.0
_FIRST_PAUSE_S: Final = 0.005
_LONGEST_PAUSE_S: Final = 0.1
STATES: Final = ("Empty", "PreparingRebalance", "CompletingRebalance", "Stable")


@frozen
class GroupMember:
    """waits: "join" or "sync" while a request of it waits. subscription: topics. assignment: topic -> partitions.

    Both are None for members that are no consumers.
    """

    member_id: str
    instance_id: str | None
    client_id: str
    host: str
    session_timeout_ms: int
    rebalance_timeout_ms: int
    waits: str | None
    subscription: list[str] | None
    assignment: dict[str, list[int]] | None


@frozen
class GroupOffset:
    """committed_offset: None where nothing is committed; then all records count as lag. lag: None where the partition
    is not there. member_id: who has it assigned. pending: committed in a transaction that is still open."""

    topic: str
    partition: int
    committed_offset: int | None
    leader_epoch: int | None
    metadata: str | None
    high_watermark: int | None
    lag: int | None
    member_id: str | None
    pending: bool


@frozen
class GroupState:
    """state: one of STATES. lag: of all partitions together. coordinator: the id of its node."""

    group: str
    state: str
    protocol_type: str
    protocol: str | None
    generation: int
    leader: str | None
    coordinator: int
    members: list[GroupMember]
    offsets: list[GroupOffset]
    lag: int


class Group:
    """`cluster.groups["orders"]`. It need not exist yet. Refusals raise ControlRequestError (404 `unknown_group`)."""

    def __init__(self, cluster: Cluster, group_id: str) -> None:
        self.group_id = group_id
        self._http = cluster.http
        self._path = f"{cluster.path}/groups/{segment(group_id)}"

    def __repr__(self) -> str:
        return f"Group({self.group_id!r})"

    def show(self) -> GroupState:
        """What it is at."""
        return _group(self._http.request("GET", self._path))

    @property
    def state(self) -> str:
        return self.show().state

    @property
    def members(self) -> list[GroupMember]:
        return self.show().members

    def lag(self, topic: str | None = None) -> int:
        """How many records it is behind, in one topic or in all it has committed in or is assigned."""
        offsets = self.show().offsets
        return sum(each.lag or 0 for each in offsets if topic is None or each.topic == topic)

    def committed(self) -> dict[tuple[str, int], int]:
        """Committed offsets by (topic, partition)."""
        return {
            (each.topic, each.partition): each.committed_offset
            for each in self.show().offsets
            if each.committed_offset is not None
        }

    def rebalance(self) -> bool:
        """Let its members join again. False: a rebalance was under way already."""
        begun: bool = self._http.request("POST", f"{self._path}/rebalance")["begun"]
        return begun

    def evict(self, member: GroupMember | str) -> str:
        """Put a member out: one of `members`, or its member id or instance id. Gives its member id."""
        member_id = member if isinstance(member, str) else member.member_id
        evicted: str = self._http.request("DELETE", f"{self._path}/members/{segment(member_id)}")["member_id"]
        return evicted

    def move_coordinator(self, node: int | None = None) -> int:
        """Let another node coordinate it; None: the next one that may, or the same anew. Gives the node's id."""
        coordinator: int = self._http.request("PUT", f"{self._path}/coordinator", {"node": node})["coordinator"]
        return coordinator

    def delete(self) -> None:
        """Delete it and its offsets; it must have no members."""
        self._http.request("DELETE", self._path)

    def wait_for(
        self, state: str | Collection[str], *, members: int | None = None, timeout_s: float = DEFAULT_TIMEOUT_S
    ) -> GroupState:
        """Wait until it is in this state (or one of these), with so many members if given.

        timeout_s: of the machine's clock, whatever the cluster's does. Raises WaitTimeoutError.
        """
        wanted = [state] if isinstance(state, str) else list(state)
        known = {name.lower() for name in STATES}
        for name in wanted:
            if name.lower() not in known:
                raise ValueError(f"{name!r} is no state of a group: {', '.join(STATES)} are")
        lowered = {name.lower() for name in wanted}
        what = " or ".join(wanted) + ("" if members is None else f" with {members} members")
        return self.wait_until(
            lambda group: group.state.lower() in lowered and (members is None or len(group.members) == members),
            what=what,
            timeout_s=timeout_s,
        )

    def wait_for_lag(
        self, most: int = 0, *, topic: str | None = None, timeout_s: float = DEFAULT_TIMEOUT_S
    ) -> GroupState:
        """Wait until it has committed something and is at most so many records behind. Raises WaitTimeoutError."""

        def caught_up(group: GroupState) -> bool:
            offsets = [each for each in group.offsets if topic is None or each.topic == topic]
            return bool(offsets) and sum(each.lag or 0 for each in offsets) <= most

        return self.wait_until(caught_up, what=f"a lag of at most {most}", timeout_s=timeout_s)

    def wait_until(
        self, check: Callable[[GroupState], bool], *, what: str = "the condition", timeout_s: float = DEFAULT_TIMEOUT_S
    ) -> GroupState:
        """Wait until `check(state)` holds. A group that is not there yet, or is being loaded, is waited for."""
        deadline_s = time.monotonic() + timeout_s
        pause_s = _FIRST_PAUSE_S
        seen = "it does not exist"
        while True:
            try:
                group = self.show()
            except ControlRequestError as error:
                if error.code != "unknown_group" and error.status != 503:
                    raise
                seen = error.message
            else:
                if check(group):
                    return group
                seen = _told(group)
            left_s = deadline_s - time.monotonic()
            if left_s <= 0:
                raise WaitTimeoutError(f"group {self.group_id!r} did not reach {what} in {timeout_s:g} s: {seen}")
            time.sleep(min(pause_s, left_s))
            pause_s = min(pause_s * 1.5, _LONGEST_PAUSE_S)


class Groups:
    """`cluster.groups`: by name with `[...]`; iterating gives those there are."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    def __getitem__(self, group_id: str) -> Group:
        return Group(self._cluster, group_id)

    def __iter__(self) -> Iterator[Group]:
        return iter([self[name] for name in self.names()])

    def __contains__(self, group_id: object) -> bool:
        return group_id in self.names()

    def names(self, state: str | None = None) -> list[str]:
        """The names of all groups, or of those in a state."""
        return [each["group"] for each in self.list(state)]

    def list(self, state: str | None = None) -> list[dict[str, Any]]:
        """A dict for each group: group, state, protocol_type, generation, members (how many), coordinator."""
        found = self._cluster.http.request("GET", f"{self._cluster.path}/groups", query={"state": state})
        groups: list[dict[str, Any]] = found["groups"]
        return groups


def _told(group: GroupState) -> str:
    members = ", ".join(
        f"{each.instance_id or each.member_id}{f' (waits in {each.waits})' if each.waits else ''}"
        for each in group.members
    )
    behind = ", ".join(f"{each.topic}-{each.partition}: {each.lag}" for each in group.offsets if each.lag)
    return (
        f"it is {group.state}, generation {group.generation}, members: {members or 'none'};"
        f" lag {group.lag}{f' ({behind})' if behind else ''}"
    )


def _fields(kind: Any, found: dict[str, Any], **replaced: Any) -> Any:
    names = [field.name for field in kind.__attrs_attrs__]
    return kind(**{**{name: found[name] for name in names}, **replaced})


def _group(found: dict[str, Any]) -> GroupState:
    made: GroupState = _fields(
        GroupState,
        found,
        members=[_member(each) for each in found["members"]],
        offsets=[_fields(GroupOffset, each) for each in found["offsets"]],
    )
    return made


def _member(found: dict[str, Any]) -> GroupMember:
    assignment = found["assignment"]
    made: GroupMember = _fields(
        GroupMember,
        found,
        assignment=None if assignment is None else {each["topic"]: each["partitions"] for each in assignment},
    )
    return made
