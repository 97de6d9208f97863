"""Histories of groups: the same requests for Kafka, whose answers and records are kept, and for kwire.

A history is a function of a `Driver`. Ids, times and topic ids differ from run to run, so both sides are compared after
`Names.plain`, which replaces them by names in the order they were met.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import groupby
from operator import itemgetter
from typing import Any, Protocol

import attrs

from broker.group.records import CoordinatorRecord
from kwire.api_keys import ApiKey
from kwire.messages.delete_groups import DeleteGroupsRequest
from kwire.messages.describe_groups import DescribeGroupsRequest
from kwire.messages.heartbeat import HeartbeatRequest
from kwire.messages.join_group import JoinGroupRequest, JoinGroupRequestProtocol, JoinGroupResponse
from kwire.messages.leave_group import LeaveGroupRequest, MemberIdentity
from kwire.messages.list_groups import ListGroupsRequest
from kwire.messages.offset_commit import OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic
from kwire.messages.offset_delete import OffsetDeleteRequest, OffsetDeleteRequestPartition, OffsetDeleteRequestTopic
from kwire.messages.offset_fetch import (
    OffsetFetchRequest,
    OffsetFetchRequestGroup,
    OffsetFetchRequestTopic,
    OffsetFetchRequestTopics,
)
from kwire.messages.sync_group import SyncGroupRequest, SyncGroupRequestAssignment

TOPICS = {"t": 3, "u": 2}
UNKNOWN_TOPIC_ID = b"\x01" * 16


class Answer(Protocol):
    def get(self) -> Any:
        """Wait for the response."""


class Driver(Protocol):
    """Sends requests. Each `who` has a connection of its own, on which requests are answered in order."""

    topic_ids: dict[str, bytes]

    def send(self, who: str, api: ApiKey, version: int, request: Any, client_id: str | None = "app") -> Answer: ...


class Names:
    """Names for what is random."""

    def __init__(self, topic_ids: dict[str, bytes]) -> None:
        self.members: dict[str, str] = {}
        self.topics = {topic_id: name for name, topic_id in topic_ids.items()}

    def met(self, member_id: str) -> None:
        if member_id:
            self.members.setdefault(member_id, f"<{member_id[:-37]}#{len(self.members) + 1}>")

    def plain(self, value: Any, key: str = "") -> Any:
        """JSON of a response or record, with names for ids and "<now>" for times."""
        if attrs.has(type(value)):
            return {
                name: self.plain(getattr(value, name), name)
                for name in (field.name for field in attrs.fields(type(value)))
                if name not in ("unknown_tagged_fields", "throttle_time_ms")
            }
        if isinstance(value, list | tuple):
            items = [self.plain(item) for item in value]
            return sorted(items, key=str) if key in ("members", "groups") else items
        if isinstance(value, bytes | memoryview):
            data = bytes(value)
            if key == "topic_id":
                return self.topics.get(data, data.hex())
            return self.members.get(data.decode("latin-1"), data.decode("latin-1"))
        if isinstance(value, str):
            return self.members.get(value, value) if len(value) < 200 else f"{value[:3]}... {len(value)} characters"
        if isinstance(value, int) and not isinstance(value, bool):
            return "<now>" if value > 1_600_000_000_000 else int(value)
        return value


class Script:
    """What histories use: short forms of requests, and a transcript of the answers."""

    def __init__(self, driver: Driver, group: str) -> None:
        self.driver = driver
        self.group = group
        self.names = Names(driver.topic_ids)
        self.noted: list[tuple[str, Any, bool]] = []

    def send(self, who: str, api: ApiKey, version: int, request: Any, client_id: str | None = "app") -> Answer:
        return self.driver.send(who, api, version, request, client_id)

    def note(self, what: str, response: Any, in_order: bool = True) -> Any:
        if isinstance(response, JoinGroupResponse):
            self.names.met(response.member_id)
        self.noted.append((what, response, in_order))
        return response

    def transcript(self) -> list[Any]:
        """What was noted, in plain form; of what comes in no order, sorted."""
        plain = [(what, self.names.plain(response), in_order) for what, response, in_order in self.noted]
        return [{what: response if in_order else in_some_order(response)} for what, response, in_order in plain]

    def ask(self, who: str, api: ApiKey, version: int, request: Any, client_id: str | None = "app") -> Any:
        return self.note(f"{api.name} v{version}", self.send(who, api, version, request, client_id).get())

    # Requests

    def joining(self, member: str = "", **options: Any) -> JoinGroupRequest:
        protocols = options.pop("protocols", {"range": subscription("t")})
        return JoinGroupRequest(
            group_id=self.group,
            member_id=member,
            session_timeout_ms=options.pop("session_ms", 30_000),
            rebalance_timeout_ms=options.pop("rebalance_ms", 60_000),
            protocol_type=options.pop("protocol_type", "consumer"),
            protocols=[JoinGroupRequestProtocol(name=name, metadata=data) for name, data in protocols.items()],
            **options,
        )

    def join_later(self, who: str, member: str = "", version: int = 9, **options: Any) -> Answer:
        return self.send(who, ApiKey.JOIN_GROUP, version, self.joining(member, **options))

    def join(self, who: str, member: str = "", version: int = 9, **options: Any) -> Any:
        return self.note(f"JOIN_GROUP v{version}", self.join_later(who, member, version, **options).get())

    def new_id(self, who: str, **options: Any) -> str:
        member_id: str = self.join(who, **options).member_id
        return member_id

    def sync_later(
        self, who: str, member: str, generation: int, assignments: dict[str, bytes] | None = None, **options: Any
    ) -> Answer:
        version = options.pop("version", 5)
        protocol = {"protocol_type": "consumer", "protocol_name": "range"} if version >= 5 else {}
        request = SyncGroupRequest(
            group_id=self.group,
            generation_id=generation,
            member_id=member,
            assignments=[
                SyncGroupRequestAssignment(member_id=name, assignment=data)
                for name, data in (assignments or {}).items()
            ],
            **protocol | options,
        )
        return self.send(who, ApiKey.SYNC_GROUP, version, request)

    def sync(self, who: str, member: str, generation: int, *arguments: Any, **options: Any) -> Any:
        return self.note("SYNC_GROUP", self.sync_later(who, member, generation, *arguments, **options).get())

    def heartbeat(self, who: str, member: str, generation: int, instance: str | None = None) -> None:
        request = HeartbeatRequest(
            group_id=self.group, generation_id=generation, member_id=member, group_instance_id=instance
        )
        self.ask(who, ApiKey.HEARTBEAT, 4, request)

    def leave(self, who: str, *members: tuple[str, str | None]) -> None:
        identities = [MemberIdentity(member_id=member, group_instance_id=instance) for member, instance in members]
        self.ask(who, ApiKey.LEAVE_GROUP, 5, LeaveGroupRequest(group_id=self.group, members=identities))

    def commit(
        self,
        who: str,
        offsets: dict[tuple[str, int], tuple[int, str | None]],
        member: str = "",
        generation: int = -1,
        version: int = 9,
        **options: Any,
    ) -> None:
        topics: dict[str, OffsetCommitRequestTopic] = {}
        for (name, index), (offset, metadata) in offsets.items():
            if version >= 10:
                topic_id = self.driver.topic_ids.get(name, UNKNOWN_TOPIC_ID)
                topic = topics.setdefault(name, OffsetCommitRequestTopic(topic_id=topic_id))
            else:
                topic = topics.setdefault(name, OffsetCommitRequestTopic(name=name))
            epoch = options.get("epoch", -1) if version >= 6 else -1
            topic.partitions.append(
                OffsetCommitRequestPartition(
                    partition_index=index,
                    committed_offset=offset,
                    committed_metadata=metadata,
                    committed_leader_epoch=epoch,
                )
            )
        request = OffsetCommitRequest(
            group_id=self.group,
            member_id=member,
            generation_id_or_member_epoch=generation,
            group_instance_id=options.get("instance"),
            retention_time_ms=options.get("retention_ms", -1),
            topics=list(topics.values()),
        )
        self.ask(who, ApiKey.OFFSET_COMMIT, version, request)

    def fetch(self, who: str, version: int, wanted: dict[str, list[int]] | None) -> None:
        if version < 8:
            old = [OffsetFetchRequestTopic(name=n, partition_indexes=p) for n, p in (wanted or {}).items()]
            request = OffsetFetchRequest(group_id=self.group, topics=None if wanted is None else old)
        else:
            ids = self.driver.topic_ids
            topics = [
                OffsetFetchRequestTopics(topic_id=ids.get(name, UNKNOWN_TOPIC_ID), partition_indexes=indexes)
                if version >= 10
                else OffsetFetchRequestTopics(name=name, partition_indexes=indexes)
                for name, indexes in (wanted or {}).items()
            ]
            group = OffsetFetchRequestGroup(group_id=self.group, topics=None if wanted is None else topics)
            request = OffsetFetchRequest(groups=[group])
        response = self.send(who, ApiKey.OFFSET_FETCH, version, request).get()
        self.note(f"OFFSET_FETCH v{version}", response, in_order=wanted is not None)

    def delete_offsets(self, who: str, wanted: dict[str, list[int]]) -> None:
        topics = [
            OffsetDeleteRequestTopic(
                name=name, partitions=[OffsetDeleteRequestPartition(partition_index=index) for index in indexes]
            )
            for name, indexes in wanted.items()
        ]
        self.ask(who, ApiKey.OFFSET_DELETE, 0, OffsetDeleteRequest(group_id=self.group, topics=topics))

    def describe(self, who: str, version: int = 6, operations: bool = False) -> None:
        request = DescribeGroupsRequest(groups=[self.group], include_authorized_operations=operations)
        self.ask(who, ApiKey.DESCRIBE_GROUPS, version, request)

    def delete_group(self, who: str) -> None:
        self.ask(who, ApiKey.DELETE_GROUPS, 2, DeleteGroupsRequest(groups_names=[self.group]))

    def listed(self, who: str, version: int = 5, **filters: Any) -> None:
        """ListGroups, of which only this history's group is noted."""
        response = self.send(who, ApiKey.LIST_GROUPS, version, ListGroupsRequest(**filters)).get()
        response.groups = [each for each in response.groups if each.group_id == self.group]
        self.note(f"LIST_GROUPS v{version}", response)


def in_some_order(plain: Any) -> Any:
    """JSON with every list sorted."""
    if isinstance(plain, dict):
        return {key: in_some_order(value) for key, value in plain.items()}
    if isinstance(plain, list):
        return sorted(map(in_some_order, plain), key=str)
    return plain


def subscription(*topics: str) -> bytes:
    """A ConsumerProtocolSubscription, version 0."""
    body = b"\x00\x00" + len(topics).to_bytes(4, "big")
    for topic in topics:
        body += len(topic).to_bytes(2, "big") + topic.encode()
    return body + b"\xff\xff\xff\xff"


# Histories


def two_dynamic_members(s: Script) -> None:
    """Join, sync, commit, a third comes, one leaves, then all."""
    a = s.new_id("a")
    s.join("a", a)
    s.sync("a", a, 1, {a: b"A"})
    s.heartbeat("a", a, 1)
    s.commit("a", {("t", 0): (5, ""), ("t", 1): (6, "meta")}, a, 1, epoch=3)
    b = s.new_id("b")
    later = s.join_later("b", b)
    s.heartbeat("a", a, 1)
    s.commit("a", {("t", 0): (7, None)}, a, 1)
    s.sync("a", a, 1)
    s.join("a", a)
    s.note("JOIN_GROUP", later.get())
    s.commit("a", {("t", 0): (8, "")}, a, 2)
    waiting = s.sync_later("b", b, 2)
    s.sync("a", a, 2, {a: b"A2", b: b"B2", "stranger": b"S"})
    s.note("SYNC_GROUP", waiting.get())
    s.describe("a")
    s.listed("a")
    s.listed("a", 4)
    s.leave("a", (a, None))
    s.heartbeat("b", b, 2)
    s.join("b", b)
    s.sync("b", b, 3, {b: b"B3"})
    s.leave("b", (b, None), ("nobody", None))
    s.describe("a")
    s.describe("a", 2)
    s.fetch("a", 9, None)


def static_members(s: Script) -> None:
    """Two static members; one is replaced in Stable, in CompletingRebalance, and removed by instance id."""
    first = s.join("a", group_instance_id="ia")
    a = first.member_id
    s.sync("a", a, 1, {a: b"A"}, group_instance_id="ia")
    again = s.join("a2", group_instance_id="ia")
    s.sync("a2", again.member_id, 1, group_instance_id="ia")
    s.heartbeat("a", a, 1, "ia")
    s.sync("a", a, 1, group_instance_id="ia")
    s.commit("a", {("t", 0): (1, "")}, a, 1, instance="ia")
    s.join("a", a, group_instance_id="ia")
    s.leave("a", (a, "ia"))
    old = s.join("a3", version=8, group_instance_id="ia")
    s.sync("a3", old.member_id, 1, group_instance_id="ia")
    later = s.join_later("b", group_instance_id="ib")
    third = s.join("a3", old.member_id, group_instance_id="ia")
    b = s.note("JOIN_GROUP", later.get()).member_id
    fourth = s.join_later("a4", group_instance_id="ia")
    s.heartbeat("b", b, 2, "ib")
    s.join("b", b, group_instance_id="ib")
    a = s.note("JOIN_GROUP", fourth.get()).member_id
    del third
    follower = s.sync_later("b", b, 3, group_instance_id="ib")
    s.sync("a4", a, 3, {a: b"A", b: b"B"}, group_instance_id="ia")
    s.note("SYNC_GROUP", follower.get())
    s.describe("a")
    s.leave("admin", ("", "ib"), ("", "nobody"))
    s.join("a4", a, group_instance_id="ia")
    s.leave("admin", ("", "ia"))
    s.describe("a", 4)


def old_versions(s: Script) -> None:
    """JoinGroup v0-v3 join at once; the answers of old versions."""
    for version in range(4):
        joined = s.join(f"m{version}", version=version)
        member, generation = joined.member_id, joined.generation_id
        s.sync(f"m{version}", member, generation, {member: b"X"}, version=0)
        s.join(f"m{version}", member, version=version, protocols={"none": b""})
        request = LeaveGroupRequest(group_id=s.group, member_id=member)
        s.ask(f"m{version}", ApiKey.LEAVE_GROUP, version % 3, request)
        s.ask(f"m{version}", ApiKey.LEAVE_GROUP, version % 3, request)
    s.describe("m0", 0)


def refusals(s: Script) -> None:
    """What is refused, and what it leaves behind."""
    s.join("a", "who")
    s.describe("a")
    s.join("a", session_ms=1)
    s.join("a", protocols={})
    s.describe("a")
    s.join("a", protocol_type="")
    s.join("a", version=3, protocols={})
    s.sync("a", "who", 1)
    s.sync("a", "who", 1, protocol_name=None)
    s.heartbeat("a", "who", 1)
    s.leave("a", ("who", None))
    s.commit("a", {("t", 0): (1, "")}, "who", 0)
    s.delete_offsets("a", {"t": [0]})
    a = s.new_id("a")
    s.leave("a", (a, None))
    s.join("a", a)
    a = s.join("a", version=3).member_id
    s.sync("a", a, 2)
    s.sync("a", a, 1, protocol_name="sticky")
    s.sync("a", a, 1, protocol_type="connect")
    s.join("b", protocol_type="connect")
    s.join("b", protocols={"sticky": b""})
    s.commit("a", {("t", 0): (1, "")}, a, 1)
    s.sync("a", a, 1, {a: b"A"})
    s.commit("b", {("t", 0): (1, "")})
    s.commit("b", {("t", 0): (1, "")}, a, 0)
    s.commit("b", {("t", 0): (1, "")}, "who", 1)
    s.heartbeat("a", a, 1, "instance")
    s.heartbeat("a", a, -1)
    s.delete_group("b")
    s.delete_offsets("b", {"t": [0], "u": [0]})
    s.join("a", a, group_instance_id="i")


def simple_commits(s: Script) -> None:
    """Offsets without members: every version, retention, metadata, deletion."""
    s.fetch("a", 9, {"t": [0], "nope": [1]})
    s.fetch("a", 9, None)
    for version in range(2, 11):
        s.commit("a", {("t", 0): (version, "m"), ("nope", 0): (1, ""), ("t", 9): (1, "")}, version=version, epoch=2)
    s.commit("a", {("u", 0): (1, "")}, version=4, retention_ms=3_600_000)
    s.commit("a", {("u", 1): (-7, None), ("t", 1): (1, "x" * 4097), ("t", 2): (1, "é" * 4096)})
    for version in range(1, 11):
        s.fetch("a", version, {"t": [0, 1, 2], "u": [1, 5], "nope": [0]})
        if version >= 2:
            s.fetch("a", version, None)
    s.describe("a")
    s.listed("a")
    s.listed("a", states_filter=["empty"])
    s.listed("a", states_filter=["Stable"])
    s.listed("a", types_filter=["CLASSIC"])
    s.listed("a", types_filter=["consumer"])
    s.listed("a", types_filter=["nonsense"])
    s.delete_offsets("a", {"t": [0, 7], "nope": [0]})
    s.delete_offsets("a", {"t": [0]})
    s.fetch("a", 9, None)
    s.delete_group("a")
    s.delete_group("a")
    s.fetch("a", 9, None)
    s.describe("a", 5)
    s.describe("a", 5, operations=True)
    s.describe("a", 6, operations=True)


def votes(s: Script) -> None:
    """The protocol most members prefer; equal votes go by Java's map order."""
    wishes = [["range", "sticky"], ["sticky", "range"], ["roundrobin", "sticky", "range"]]
    ids: list[str] = []

    def voted(*others: int) -> None:
        later = [s.join_later(f"m{i}", ids[i], protocols=dict.fromkeys(wishes[i], b"x")) for i in (*others, 0)]
        s.note("voted", sorted({answer.get().protocol_name for answer in later}))

    for i, wish in enumerate(wishes):
        ids.append(s.new_id(f"m{i}", protocols=dict.fromkeys(wish, b"x")))
        if i == 0:
            voted()
    voted(1, 2)
    s.leave("m2", (ids[2], None))
    voted(1)


def no_client_id(s: Script) -> None:
    """A header without a client id."""
    given = s.ask("a", ApiKey.JOIN_GROUP, 9, s.joining(), None)
    s.note("prefix", given.member_id[:-37])


def a_leader_changes_its_mind(s: Script) -> None:
    """Rejoins in every state, with and without news."""
    a = s.new_id("a")
    s.join("a", a)
    s.join("a", a)
    s.join("a", a, protocols={"range": subscription("t", "u")})
    s.sync("a", a, 2, {a: b"A"})
    s.join("a", a, protocols={"range": subscription("t", "u")})
    s.sync("a", a, 3, {})
    s.sync("a", a, 3)
    s.delete_offsets("a", {"t": [0]})
    b = s.new_id("b")
    later = s.join_later("b", b)
    s.leave("b2", (b, None))
    s.note("JOIN_GROUP", later.get())
    s.describe("a")
    s.join("a", a)
    s.leave("a", (a, None))
    s.join("a", a)
    s.commit("a", {("t", 0): (1, "")})


HISTORIES: dict[str, Callable[[Script], None]] = {
    history.__name__: history
    for history in (
        two_dynamic_members,
        static_members,
        old_versions,
        refusals,
        simple_commits,
        votes,
        no_client_id,
        a_leader_changes_its_mind,
    )
}


def play(name: str, driver: Driver, records: Callable[[str], Iterable[CoordinatorRecord]]) -> dict[str, Any]:
    """Run a history; its answers and the records of its group, in plain form."""
    group = f"golden-{name}"
    script = Script(driver, group)
    HISTORIES[name](script)
    stored = [(each.value is None, {type(each).__name__: script.names.plain(each)}) for each in records(group)]
    in_order: list[Any] = []
    for is_tombstone, run in groupby(stored, key=itemgetter(0)):
        # Tombstones of many offsets come in no order.
        plain = [record for _, record in run]
        in_order += sorted(plain, key=str) if is_tombstone else plain
    return {"answers": script.transcript(), "records": in_order}
