"""Readers: one position per partition, records of both isolation levels, as clients take them from an answer."""

from __future__ import annotations

from typing import Any

from kwire.error_codes import ErrorCode
from kwire.errors import KwireError
from kwire.messages.fetch import FetchPartition, FetchRequest, FetchTopic
from kwire.records import BatchHeader, ControlType, decode_control_type, iter_batches, read_records
from tests.history.clients.base import Client, World
from tests.history.model import LogEntry, Outcome, Place, Poll, Seen
from tests.history.network import DisconnectedError

_BY_NAME = 12


class Reader(Client):
    """Reads its places from the start on, now and then again from an earlier offset."""

    def __init__(self, world: World, name: str, places: list[Place], *, committed_only: bool) -> None:
        super().__init__(world, name)
        self.committed_only = committed_only
        self.positions = dict.fromkeys(places, 0)

    async def run(self) -> None:
        while not self.world.stopping:
            try:
                await self.poll(list(self.positions), max_wait_ms=self.random.choice((0, 0, 50, 500)))
            except DisconnectedError:
                await self.pause()
                continue
            if self.random.random() < 0.02:
                place = self.random.choice(list(self.positions))
                self.positions[place] = self.random.randint(0, self.positions[place])
            await self.pause(1.0, 60.0)

    async def poll(
        self, places: list[Place], *, max_wait_ms: int = 0, max_bytes: int | None = None
    ) -> dict[Place, list[LogEntry]]:
        """Fetch once from each place; each gets its record in the history. Raises DisconnectedError."""
        if max_bytes is None:
            max_bytes = self.random.choice((1, 300, 1_000, 100_000))
        polls = {
            place: self.history.begin(
                Poll(self.name, reader=self.name, place=place, committed_only=self.committed_only, offset=offset)
            )
            for place, offset in self.positions.items()
            if place in places
        }
        for poll in polls.values():
            poll.position = poll.offset
        request = FetchRequest(
            max_wait_ms=max_wait_ms,
            min_bytes=1,
            isolation_level=int(self.committed_only),
            topics=[
                FetchTopic(
                    topic=place[0],
                    partitions=[
                        FetchPartition(partition=place[1], fetch_offset=poll.offset, partition_max_bytes=max_bytes)
                    ],
                )
                for place, poll in polls.items()
            ],
        )
        try:
            response = await self.call(request, _BY_NAME)
        except DisconnectedError:
            for poll in polls.values():
                self.history.finish(poll, Outcome.UNKNOWN)
            raise
        found: dict[Place, list[LogEntry]] = {}
        for topic in response.responses:
            for data in topic.partitions:
                place = (topic.topic, data.partition_index)
                found[place] = self._take(polls.pop(place), data)
        for poll in polls.values():
            self.history.finish(poll, Outcome.UNKNOWN, response.error_code)
        return found

    def _take(self, poll: Poll, data: Any) -> list[LogEntry]:
        if data.error_code != 0:
            self.history.finish(poll, Outcome.FAILED, ErrorCode(data.error_code).name)
            return []
        try:
            entries, poll.position = read_answer(data, poll.offset, committed_only=self.committed_only)
        except (KwireError, UnicodeDecodeError) as error:
            self.history.finish(poll, Outcome.FAILED, "unreadable")
            self.history.unreadable.append(f"{poll.place[0]}-{poll.place[1]} from offset {poll.offset}: {error}")
            return []
        poll.seen = [
            Seen(entry.offset, entry.value, entry.producer_id, entry.epoch, entry.transactional)
            for entry in entries
            if entry.marker is None
        ]
        poll.high_watermark = data.high_watermark
        poll.last_stable_offset = data.last_stable_offset
        self.history.finish(poll, Outcome.OK)
        self.positions[poll.place] = poll.position
        return entries


def read_answer(data: Any, offset: int, *, committed_only: bool) -> tuple[list[LogEntry], int]:
    """The records of one partition's answer from `offset` on, with control records, and where to go on.

    Records of aborted transactions are left out for readers of committed records, by the list that came with the
    answer. (Kafka: CompletedFetch)
    """
    records = bytes(data.records or b"")
    to_come = sorted(((each.first_offset, each.producer_id) for each in data.aborted_transactions or ()), reverse=True)
    aborting: set[int] = set()
    found: list[LogEntry] = []
    for header in iter_batches(records, partial_tail=True):
        marker = _marker(records, header)
        if committed_only:
            while to_come and to_come[-1][0] <= header.last_offset:
                aborting.add(to_come.pop()[1])
            if marker == "abort":
                aborting.discard(header.producer_id)
            elif marker is None and header.is_transactional and header.producer_id in aborting:
                offset = max(offset, header.next_offset)
                continue
        found += [
            LogEntry(
                record.offset,
                (record.value or b"").decode() if marker is None else "",
                header.producer_id,
                header.producer_epoch,
                header.is_transactional,
                marker,
            )
            for record in read_records(records, header.position)
            if record.offset >= offset
        ]
        offset = max(offset, header.next_offset)
    return found, offset


def _marker(records: bytes, header: BatchHeader) -> str | None:
    if not header.is_control:
        return None
    record = next(read_records(records, header.position), None)
    kind = None if record is None else decode_control_type(record.key)
    return (
        {ControlType.COMMIT: "commit", ControlType.ABORT: "abort"}.get(kind, "other") if kind is not None else "other"
    )
