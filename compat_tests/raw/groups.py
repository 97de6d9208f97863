"""A member of a classic group, driven request by request."""

from typing import Any

from attrs import define, field

from compat_tests.raw.wire import Wire, eventually

LOADING = (14, 15, 16)  # a coordinator's answers until its partition is there and loaded


@define
class Member:
    """What one member knows. ``join`` and ``sync`` keep member id and generation of their answers."""

    wire: Wire
    group: str
    member_id: str = ""
    instance: str | None = None
    protocols: dict[str, bytes] = field(factory=lambda: {"range": b"meta"})
    protocol_type: str = "consumer"
    generation: int = -1
    session_timeout_ms: int = 30000
    rebalance_timeout_ms: int = 30000

    def send_join(self, version: int = 9, **more: Any) -> int:
        fields: dict[str, Any] = {
            "group_id": self.group,
            "session_timeout_ms": self.session_timeout_ms,
            "member_id": self.member_id,
            "protocol_type": self.protocol_type,
            "protocols": [{"name": n, "metadata": m} for n, m in self.protocols.items()],
        }
        if version >= 1:
            fields["rebalance_timeout_ms"] = self.rebalance_timeout_ms
        if version >= 5:
            fields["group_instance_id"] = self.instance
        return self.wire.send("JoinGroup", version, **fields | more)

    def answer_join(self, sent: int, version: int = 9) -> Any:
        answer = self.wire.answer("JoinGroup", version, sent)
        if answer.error_code == 0:
            self.member_id, self.generation = answer.member_id, answer.generation_id
        return answer

    def ask_join(self, version: int = 9, **more: Any) -> Any:
        """One JoinGroup and its answer, whatever it is."""
        return self.answer_join(self.send_join(version, **more), version)

    def join(self, version: int = 9) -> Any:
        """JoinGroup, again with the id the broker gave when it asks for one, and while the coordinator loads."""
        answer = self._join_when_loaded(version)
        if answer.error_code == 79:
            self.member_id = answer.member_id
            answer = self._join_when_loaded(version)
        assert answer.error_code == 0, f"JoinGroup {self.group}: {answer.error_code}"
        return answer

    def _join_when_loaded(self, version: int = 9) -> Any:
        return eventually(
            lambda: self.ask_join(version), lambda a: a.error_code not in LOADING, f"JoinGroup {self.group}"
        )

    def id_for_join(self) -> None:
        """Get a member id (the answer 79), without joining."""
        answer = self._join_when_loaded()
        assert answer.error_code == 79, f"JoinGroup without member id: {answer.error_code}"
        self.member_id = answer.member_id

    def send_sync(self, assignments: dict[str, bytes] | None = None, version: int = 5, **more: Any) -> int:
        fields: dict[str, Any] = {
            "group_id": self.group,
            "generation_id": self.generation,
            "member_id": self.member_id,
            "assignments": [{"member_id": m, "assignment": a} for m, a in (assignments or {}).items()],
        }
        if version >= 3:
            fields["group_instance_id"] = self.instance
        if version >= 5:
            fields |= {"protocol_type": self.protocol_type, "protocol_name": next(iter(self.protocols))}
        return self.wire.send("SyncGroup", version, **fields | more)

    def sync(self, assignments: dict[str, bytes] | None = None, version: int = 5, **more: Any) -> Any:
        return self.wire.answer("SyncGroup", version, self.send_sync(assignments, version, **more))

    def heartbeat(self, version: int = 4, **more: Any) -> int:
        """The error code."""
        fields: dict[str, Any] = {"generation_id": self.generation, "member_id": self.member_id}
        if version >= 3:
            fields["group_instance_id"] = self.instance
        return int(self.wire.ask("Heartbeat", version, **{"group_id": self.group} | fields | more).error_code)

    def leave(self, version: int = 5) -> Any:
        if version >= 3:
            members = [{"member_id": self.member_id, "group_instance_id": self.instance}]
            return self.wire.ask("LeaveGroup", version, group_id=self.group, members=members)
        return self.wire.ask("LeaveGroup", version, group_id=self.group, member_id=self.member_id)

    def commit(self, topic: str, offset: int = 5, version: int = 8, partition: int = 0, **more: Any) -> int:
        """OffsetCommit of one partition; its error code."""
        partitions = [{"partition_index": partition, "committed_offset": offset, "committed_metadata": "m"}]
        fields: dict[str, Any] = {
            "group_id": self.group,
            "generation_id_or_member_epoch": self.generation,
            "member_id": self.member_id,
            "topics": [{"name": topic, "partitions": partitions}],
        }
        if version >= 7:
            fields["group_instance_id"] = self.instance
        answer = self.wire.ask("OffsetCommit", version, **fields | more)
        return int(answer.topics[0].partitions[0].error_code)


def wait_for_coordinator(wire: Wire, group: str) -> None:
    """Return when the coordinator of ``group`` answers. Heartbeat would not tell: while loading its answer is 0."""
    wire.ask("FindCoordinator", 3, key=group, key_type=0)
    eventually(lambda: described(wire, group), lambda g: g.error_code not in LOADING, "the group's coordinator")


def warm_up(wire: Wire) -> None:
    """Return when producer ids are given and all coordinators answer: what a client may see only of a new broker."""
    wire.producer_id()
    wire.ask("FindCoordinator", 3, key="warm-up", key_type=0)
    wire.wait_for_topic("__consumer_offsets", 50)
    groups = [f"warm-up-{number}" for number in range(1000)]  # some in each of the 50 partitions
    eventually(
        lambda: {g.error_code for g in wire.ask("DescribeGroups", 5, groups=groups).groups},
        lambda errors: not errors.intersection(LOADING),
        "the coordinators of all groups",
    )


def stable(wire: Wire, group: str, **fields: Any) -> Member:
    """The only member of a Stable group; its assignment is b"mine"."""
    member = Member(wire, group, **fields)
    member.join()
    answer = member.sync({member.member_id: b"mine"})
    assert answer.error_code == 0
    return member


def described(wire: Wire, group: str, version: int = 5, **more: Any) -> Any:
    """DescribeGroups' entry for one group."""
    (entry,) = wire.ask("DescribeGroups", version, groups=[group], **more).groups
    return entry
