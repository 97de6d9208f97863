"""One member of a classic group (Kafka: ClassicGroupMember)."""

from __future__ import annotations

from collections.abc import Container, Sequence

from attrs import define

from broker.group.decision import Waiter

# (protocol name, metadata), most wanted first
Protocols = Sequence[tuple[str, bytes]]

NO_DEADLINE = float("inf")


@define(slots=True, eq=False)
class Member:
    """awaiting_join, awaiting_sync: the parked request, if any. is_new: until its first generation completes.

    deadline_ms: when its session ends, on the monotonic scale; a heartbeat moves it and touches no timer.
    timer_due_ms: when the timer set for this member fires; it is set anew then if the deadline has moved on.
    """

    member_id: str
    instance_id: str | None
    client_id: str
    client_host: str
    rebalance_timeout_ms: int
    session_timeout_ms: int
    protocol_type: str
    protocols: Protocols
    assignment: bytes = b""
    awaiting_join: Waiter | None = None
    awaiting_sync: Waiter | None = None
    is_new: bool = False
    deadline_ms: float = NO_DEADLINE
    timer_due_ms: float = NO_DEADLINE

    def metadata(self, protocol: str | None) -> bytes:
        """The member's metadata for a protocol it supports; KeyError for another."""
        for name, metadata in self.protocols:
            if name == protocol:
                return metadata
        raise KeyError(f"member {self.member_id} does not support protocol {protocol!r}")

    def vote(self, candidates: Container[str]) -> str:
        """Its first protocol among `candidates`; KeyError when it supports none."""
        for name, _ in self.protocols:
            if name in candidates:
                return name
        raise KeyError(f"member {self.member_id} supports none of the candidate protocols")

    @property
    def heartbeat_satisfied(self) -> bool:
        """Whether a parked request stands for heartbeats. Not a new member's: it may be long gone."""
        return not self.is_new and (self.awaiting_join is not None or self.awaiting_sync is not None)
