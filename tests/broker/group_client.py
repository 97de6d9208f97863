"""A member of a consumer group on a connection of its own."""

from __future__ import annotations

import struct
from typing import Any

from attrs import define, field

from kwire.messages.find_coordinator import FindCoordinatorRequest
from kwire.messages.heartbeat import HeartbeatRequest
from kwire.messages.join_group import JoinGroupRequest, JoinGroupRequestProtocol
from kwire.messages.offset_commit import (
    OffsetCommitRequest,
    OffsetCommitRequestPartition,
    OffsetCommitRequestTopic,
)
from kwire.messages.sync_group import SyncGroupRequest, SyncGroupRequestAssignment
from tests.broker.cluster_helpers import Client

MEMBER_ID_REQUIRED = 79


def subscription(*topics: str) -> bytes:
    names = b"".join(struct.pack(">h", len(name)) + name.encode() for name in topics)
    return struct.pack(">hi", 0, len(topics)) + names + struct.pack(">i", -1)


def assignment(topics: dict[str, list[int]]) -> bytes:
    parts = b"".join(
        struct.pack(">h", len(name)) + name.encode() + struct.pack(f">i{len(indexes)}i", len(indexes), *indexes)
        for name, indexes in topics.items()
    )
    return struct.pack(">hi", 0, len(topics)) + parts + struct.pack(">i", -1)


@define
class Member:
    client: Client
    group_id: str
    topics: list[str] = field(factory=lambda: ["t"])
    session_timeout_ms: int = 45_000
    rebalance_timeout_ms: int = 60_000
    instance_id: str | None = None
    member_id: str = ""
    generation: int = -1
    leader: str = ""
    others: list[str] = field(factory=list)

    async def find(self) -> None:
        """Until the coordinator answers."""
        while True:
            found = await self.client.send(FindCoordinatorRequest(key_type=0, coordinator_keys=[self.group_id]), 4)
            if found.coordinators[0].error_code == 0:
                return

    def join_request(self) -> JoinGroupRequest:
        return JoinGroupRequest(
            group_id=self.group_id,
            session_timeout_ms=self.session_timeout_ms,
            rebalance_timeout_ms=self.rebalance_timeout_ms,
            member_id=self.member_id,
            group_instance_id=self.instance_id,
            protocol_type="consumer",
            protocols=[JoinGroupRequestProtocol(name="range", metadata=subscription(*self.topics))],
        )

    async def get_id(self) -> None:
        """The first of the two joins of KIP-394."""
        answer = await self.client.send(self.join_request(), 7)
        assert answer.error_code == MEMBER_ID_REQUIRED, answer
        self.member_id = answer.member_id

    def joined(self, answer: Any) -> None:
        assert answer.error_code == 0, answer
        self.member_id, self.generation, self.leader = answer.member_id, answer.generation_id, answer.leader
        self.others = [member.member_id for member in answer.members]

    async def join(self) -> None:
        self.joined(await self.client.send(self.join_request(), 7))

    async def sync(self, assignments: dict[str, dict[str, list[int]]] | None = None) -> Any:
        request = SyncGroupRequest(
            group_id=self.group_id,
            generation_id=self.generation,
            member_id=self.member_id,
            group_instance_id=self.instance_id,
            assignments=[
                SyncGroupRequestAssignment(member_id=member_id, assignment=assignment(topics))
                for member_id, topics in (assignments or {}).items()
            ],
        )
        return await self.client.send(request, 4)

    async def enter(self) -> None:
        """Alone in the group: join, and take partition 0 of each topic."""
        await self.find()
        if self.instance_id is None:
            await self.get_id()
        await self.join()
        answer = await self.sync({self.member_id: {topic: [0] for topic in self.topics}})
        assert answer.error_code == 0, answer

    async def heartbeat(self) -> int:
        request = HeartbeatRequest(
            group_id=self.group_id,
            generation_id=self.generation,
            member_id=self.member_id,
            group_instance_id=self.instance_id,
        )
        code: int = (await self.client.send(request, 3)).error_code
        return code

    async def commit(self, offset: int, *, partition: int = 0) -> int:
        topics = [
            OffsetCommitRequestTopic(
                name=topic,
                partitions=[OffsetCommitRequestPartition(partition_index=partition, committed_offset=offset)],
            )
            for topic in self.topics
        ]
        request = OffsetCommitRequest(
            group_id=self.group_id,
            generation_id_or_member_epoch=self.generation,
            member_id=self.member_id,
            group_instance_id=self.instance_id,
            topics=topics,
        )
        code: int = (await self.client.send(request, 7)).topics[0].partitions[0].error_code
        return code
