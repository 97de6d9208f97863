"""Members of classic groups: they join, are given partitions, commit offsets and read them."""

from __future__ import annotations

import json
from typing import Any

from kwire.error_codes import ErrorCode
from kwire.messages.heartbeat import HeartbeatRequest
from kwire.messages.join_group import JoinGroupRequest, JoinGroupRequestProtocol
from kwire.messages.leave_group import LeaveGroupRequest, MemberIdentity
from kwire.messages.offset_commit import (
    OffsetCommitRequest,
    OffsetCommitRequestPartition,
    OffsetCommitRequestTopic,
)
from kwire.messages.offset_fetch import (
    OffsetFetchRequest,
    OffsetFetchRequestGroup,
    OffsetFetchRequestTopics,
)
from kwire.messages.sync_group import SyncGroupRequest, SyncGroupRequestAssignment
from tests.history.clients.base import DOUBTFUL, RETRIABLE, Client, World
from tests.history.model import Joined, OffsetRead, OffsetWrite, Outcome, Place
from tests.history.network import DisconnectedError

SESSION_TIMEOUT_MS = 10_000


class Member(Client):
    """One member: `join` until it has an assignment; what it knows of its membership."""

    def __init__(self, world: World, name: str, group: str, places: list[Place]) -> None:
        super().__init__(world, name)
        self.group = group
        self.places = places
        self.member_id = ""
        self.generation = -1
        self.assigned: list[Place] = []

    async def join(self) -> bool:
        """One attempt at JoinGroup and SyncGroup. False: try again later. Raises DisconnectedError."""
        request = JoinGroupRequest(
            group_id=self.group,
            session_timeout_ms=SESSION_TIMEOUT_MS,
            rebalance_timeout_ms=SESSION_TIMEOUT_MS,
            member_id=self.member_id,
            protocol_type="consumer",
            protocols=[JoinGroupRequestProtocol(name="range", metadata=b"")],
        )
        response = await self.call(request, 7, timeout_ms=60_000.0)
        if response.error_code == ErrorCode.MEMBER_ID_REQUIRED:
            self.member_id = response.member_id
            return False
        if response.error_code != 0:
            if ErrorCode(response.error_code) not in RETRIABLE:
                self.forget()
            return False
        self.member_id = response.member_id
        generation = response.generation_id
        joined = Joined(self.name, group=self.group, member=self.member_id, generation=generation)
        assignments = []
        if response.leader == self.member_id:
            members = sorted(member.member_id for member in response.members)
            assignments = [
                SyncGroupRequestAssignment(
                    member_id=member, assignment=json.dumps(self.places[index :: len(members)]).encode()
                )
                for index, member in enumerate(members)
            ]
        self.history.begin(joined)
        sync = SyncGroupRequest(
            group_id=self.group,
            generation_id=generation,
            member_id=self.member_id,
            protocol_type="consumer",
            protocol_name="range",
            assignments=assignments,
        )
        try:
            answer = await self.call(sync, 5, timeout_ms=60_000.0)
        except DisconnectedError:
            self.history.finish(joined, Outcome.UNKNOWN)
            raise
        if answer.error_code != 0:
            self.history.finish(joined, Outcome.FAILED, ErrorCode(answer.error_code).name)
            self.note(answer.error_code)
            return False
        self.generation = generation
        self.assigned = [(topic, index) for topic, index in json.loads(answer.assignment or b"[]")]
        joined.assigned = self.assigned
        self.history.finish(joined, Outcome.OK)
        return True

    def note(self, code: int) -> None:
        """An error about the membership: join again, as the same member or another."""
        if code in (ErrorCode.UNKNOWN_MEMBER_ID, ErrorCode.ILLEGAL_GENERATION, ErrorCode.FENCED_INSTANCE_ID):
            self.generation = -1
            if code == ErrorCode.UNKNOWN_MEMBER_ID:
                self.forget()
        elif code == ErrorCode.REBALANCE_IN_PROGRESS:
            self.generation = -1

    def forget(self) -> None:
        self.member_id = ""
        self.generation = -1

    async def heartbeat(self) -> int:
        """Its error code. Raises DisconnectedError."""
        request = HeartbeatRequest(group_id=self.group, generation_id=self.generation, member_id=self.member_id)
        code: int = (await self.call(request, 4)).error_code
        self.note(code)
        return code

    async def leave(self) -> None:
        """Leave the group."""
        request = LeaveGroupRequest(group_id=self.group, members=[MemberIdentity(member_id=self.member_id)])
        self.forget()
        await self.call(request, 4)

    async def commit(self, offsets: dict[Place, int], *, generation: int, member_id: str) -> list[OffsetWrite]:
        """Commit, each offset an operation of the history. Raises DisconnectedError."""
        writes = [
            self.history.begin(
                OffsetWrite(
                    self.name, group=self.group, place=place, offset=offset, member=member_id, generation=generation
                )
            )
            for place, offset in offsets.items()
        ]
        request = OffsetCommitRequest(
            group_id=self.group,
            generation_id_or_member_epoch=generation,
            member_id=member_id,
            topics=[
                OffsetCommitRequestTopic(
                    name=place[0],
                    partitions=[
                        OffsetCommitRequestPartition(
                            partition_index=place[1], committed_offset=offset, committed_metadata=""
                        )
                    ],
                )
                for place, offset in offsets.items()
            ],
        )
        try:
            response = await self.call(request, 8)
        except DisconnectedError:
            for write in writes:
                self.history.finish(write, Outcome.UNKNOWN)
            raise
        for write, topic in zip(writes, response.topics, strict=True):
            self._take_commit(write, topic.partitions[0].error_code)
        return writes

    def _take_commit(self, write: OffsetWrite, code: int) -> None:
        if code == 0:
            self.history.finish(write, Outcome.OK)
            return
        # Refused for a commit that came too late for the answer: it may be in the log all the same.
        doubtful = ErrorCode(code) in DOUBTFUL
        self.history.finish(write, Outcome.UNKNOWN if doubtful else Outcome.FAILED, ErrorCode(code).name)
        self.note(code)

    async def committed(self, places: list[Place]) -> dict[Place, int]:
        """The group's stable offsets of those places for which there is one to tell. Raises DisconnectedError."""
        return await read_offsets(self, self.group, places)


async def read_offsets(client: Client, group: str, places: list[Place]) -> dict[Place, int]:
    """OffsetFetch with `require_stable`; -1: no offset. Raises DisconnectedError."""
    history = client.history
    reads = {place: history.begin(OffsetRead(client.name, group=group, place=place)) for place in sorted(places)}
    request = OffsetFetchRequest(
        require_stable=True,
        groups=[
            OffsetFetchRequestGroup(
                group_id=group,
                topics=[
                    OffsetFetchRequestTopics(name=topic, partition_indexes=[p for t, p in places if t == topic])
                    for topic in sorted({topic for topic, _ in places})
                ],
            )
        ],
    )
    try:
        response = await client.call(request, 8)
    except DisconnectedError:
        for read in reads.values():
            history.finish(read, Outcome.UNKNOWN)
        raise
    found: dict[Place, int] = {}
    answer: Any = response.groups[0]
    for topic in answer.topics:
        for partition in topic.partitions:
            place = (topic.name, partition.partition_index)
            read = reads.pop(place)
            if answer.error_code == 0 and partition.error_code == 0:
                read.offset = found[place] = partition.committed_offset
                history.finish(read, Outcome.OK)
            else:
                code = answer.error_code or partition.error_code
                history.finish(read, Outcome.FAILED, ErrorCode(code).name)
    for read in reads.values():
        history.finish(read, Outcome.FAILED, ErrorCode(answer.error_code).name)
    return found


class Committer(Member):
    """Moves a group's offsets on, and reads them; it pauses for longer than its session now and then."""

    async def run(self) -> None:
        while not self.world.stopping:
            try:
                if self.generation < 0:
                    if not await self.join():
                        await self.pause()
                else:
                    await self._work()
            except DisconnectedError:
                await self.pause()

    async def _work(self) -> None:
        random = self.random
        generation, member_id = self.generation, self.member_id
        choice = random.random()
        if choice < 0.04:
            await self.world.sleep(random.uniform(0.5, 2.0) * SESSION_TIMEOUT_MS)
        elif choice < 0.06:
            await self.leave()
            return
        elif choice < 0.3:
            await self.heartbeat()
        if choice > 0.2 and self.assigned:
            places = random.sample(self.assigned, random.randint(1, len(self.assigned)))
            # Offsets that only rise: one that is overwritten is told from the one that overwrites it.
            offsets = dict.fromkeys(places, self.history.tick)
            await self.commit(offsets, generation=generation, member_id=member_id)
        if random.random() < 0.4:
            await self.committed(self.places)
        await self.pause(5.0, 150.0)
