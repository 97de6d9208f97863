"""What producers with a producer id do: batches in order per partition, up to five on the way, sent again unchanged."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Awaitable
from typing import Any

from attrs import define, field

from kwire.error_codes import ErrorCode
from kwire.messages.produce import PartitionProduceData, ProduceRequest, TopicProduceData
from kwire.records import Codec, RecordBatchBuilder
from tests.history.clients.base import DOUBTFUL, RETRIABLE, Client
from tests.history.model import Outcome, Place, Write
from tests.history.network import DisconnectedError

IN_FLIGHT = 5
DELIVERY_TIMEOUT_MS = 120_000.0
_OUT_OF_ORDER_TRIES = 6
_BY_TOPIC_ID = 13


class SessionOverError(Exception):
    """The producer id and epoch cannot be used any more; `code` says why."""

    def __init__(self, code: int) -> None:
        super().__init__(f"{ErrorCode(code).name if code >= 0 else 'delivery timeout'}")
        self.code = code


@define(eq=False)
class Batch:
    write: Write
    data: bytes
    in_doubt: bool = False
    """An attempt got no answer."""
    out_of_order: int = 0


@define(eq=False)
class _Line:
    """What is to be sent to one partition, in order."""

    next_sequence: int = 0
    batches: deque[Batch] = field(factory=deque)


class Sender:
    """Batches of one producer id and epoch."""

    def __init__(self, client: Client, transactional_id: str | None, version: int) -> None:
        self._client = client
        self._transactional_id = transactional_id
        self._version = version
        self._lines: dict[Place, _Line] = defaultdict(_Line)
        self._counter = 0
        self.producer_id = -1
        self.epoch = -1

    def begin(self, producer_id: int, epoch: int) -> None:
        """A new producer id or epoch: sequences begin at 0. What was not answered never will be."""
        self.abandon()
        self.producer_id, self.epoch = producer_id, epoch
        self._lines.clear()

    def abandon(self) -> bool:
        """Give up what is not answered. True when there was any."""
        history = self._client.history
        found = False
        for line in self._lines.values():
            while line.batches:
                batch = line.batches.popleft()
                found = True
                history.finish(batch.write, Outcome.UNKNOWN, "given up")
        return found

    @property
    def waiting(self) -> bool:
        return any(line.batches for line in self._lines.values())

    def room(self, place: Place) -> bool:
        return len(self._lines[place].batches) < IN_FLIGHT

    def add(
        self, place: Place, count: int, *, transaction: str | None = None, values: list[str] | None = None
    ) -> Write:
        """A new batch for a partition; it is sent by `flush`."""
        client, line = self._client, self._lines[place]
        if values is None:
            values = [f"{client.name}.{self._counter + index}" for index in range(count)]
            self._counter += count
        random = client.random
        builder = RecordBatchBuilder(
            codec=random.choice((Codec.NONE, Codec.NONE, Codec.NONE, Codec.LZ4)),
            producer_id=self.producer_id,
            producer_epoch=self.epoch,
            base_sequence=line.next_sequence,
            transactional=transaction is not None,
        )
        for value in values:
            builder.append(bytes(random.randrange(60)), value.encode(), timestamp=client.world.wall_ms())
        write = Write(
            client.name,
            stream=client.name,
            instance=f"{self.producer_id}:{self.epoch}",
            place=place,
            values=values,
            sequence=line.next_sequence,
            transaction=transaction,
        )
        client.history.begin(write)
        line.next_sequence += len(values)
        line.batches.append(Batch(write, bytes(builder.build())))
        return write

    async def flush(self) -> None:
        """Until everything is acknowledged. Raises SessionOverError; what is not acknowledged stays."""
        while self.waiting:
            try:
                progress = await self._round()
            except DisconnectedError:
                progress = False
            self._check_delivery_timeout()
            if not progress:
                await self._client.pause()

    def _check_delivery_timeout(self) -> None:
        now_ms = self._client.world.now_ms()
        for line in self._lines.values():
            if line.batches and now_ms - line.batches[0].write.at_ms > DELIVERY_TIMEOUT_MS:
                raise SessionOverError(-1)

    async def _round(self) -> bool:
        """Send all that waits, one request a batch, and take in the answers. True when all went well."""
        link = await self._client.link()
        self._check_delivery_timeout()
        sent: list[tuple[_Line, Batch, Awaitable[Any]]] = []
        for place, line in self._lines.items():
            for batch in line.batches:
                batch.write.attempts += 1
                sent.append((line, batch, link.send(self._request(place, batch), self._version)))
        failed = False
        lost: DisconnectedError | None = None
        over: SessionOverError | None = None
        for line, batch, answer in sent:
            try:
                response = await answer
            except DisconnectedError as error:
                batch.in_doubt = True
                lost = error
                continue
            try:
                failed = not self._take(line, batch, response) or failed
            except SessionOverError as error:
                over = over or error
        if over is not None:
            raise over
        if lost is not None:
            raise lost
        return not failed

    def _take(self, line: _Line, batch: Batch, response: Any) -> bool:
        """One answer. True: acknowledged."""
        answer = response.responses[0].partition_responses[0]
        code = answer.error_code
        write = batch.write
        if code == 0:
            write.offset = answer.base_offset
            self._client.history.finish(write, Outcome.OK)
            line.batches.remove(batch)
            return True
        batch.in_doubt = batch.in_doubt or ErrorCode(code) in DOUBTFUL
        if ErrorCode(code) in RETRIABLE:
            return False
        first = line.batches[0] is batch
        if code == ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER and (not first or batch.out_of_order < _OUT_OF_ORDER_TRIES):
            batch.out_of_order += first
            return False
        if not batch.in_doubt and code != ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER:
            line.batches.remove(batch)
            self._client.history.finish(write, Outcome.FAILED, ErrorCode(code).name)
        raise SessionOverError(code)

    def _request(self, place: Place, batch: Batch) -> ProduceRequest:
        topic = TopicProduceData(
            name=place[0],
            topic_id=self._client.world.topic_ids[place[0]],
            partition_data=[PartitionProduceData(index=place[1], records=batch.data)],
        )
        return ProduceRequest(transactional_id=self._transactional_id, acks=-1, timeout_ms=2_000, topic_data=[topic])
