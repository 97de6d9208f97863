"""Transactional producers of both generations: they begin, write to several partitions, end; stall, vanish, come back.

generation 1: AddPartitionsToTxn and AddOffsetsToTxn first, the epoch stays (before transaction.version 2).
generation 2: partitions join with the first write, the epoch rises with each end. (KIP-890)
"""

from __future__ import annotations

from typing import Any

from kwire.error_codes import ErrorCode
from kwire.messages.add_offsets_to_txn import AddOffsetsToTxnRequest
from kwire.messages.add_partitions_to_txn import AddPartitionsToTxnRequest, AddPartitionsToTxnTopic
from kwire.messages.end_txn import EndTxnRequest
from kwire.messages.init_producer_id import InitProducerIdRequest
from kwire.messages.txn_offset_commit import (
    TxnOffsetCommitRequest,
    TxnOffsetCommitRequestPartition,
    TxnOffsetCommitRequestTopic,
)
from tests.history.clients.base import DOUBTFUL, RETRIABLE, Client, World
from tests.history.clients.sender import Sender, SessionOverError
from tests.history.model import End, Init, OffsetWrite, Outcome, Place
from tests.history.network import DisconnectedError

TRANSACTION_TIMEOUT_MS = 10_000
_FENCED = frozenset(
    {ErrorCode.INVALID_PRODUCER_EPOCH, ErrorCode.PRODUCER_FENCED, ErrorCode.INVALID_PRODUCER_ID_MAPPING}
)


class AbortError(Exception):
    """The transaction has to be aborted. fenced: not even that."""

    def __init__(self, code: int) -> None:
        super().__init__(str(code))
        self.fenced = code >= 0 and ErrorCode(code) in _FENCED


class TransactionalClient(Client):
    """What transactions take: `initialise`, then per transaction `begin`, `write` and `send_offsets`, `end`."""

    def __init__(self, world: World, name: str, transactional_id: str, generation: int) -> None:
        super().__init__(world, name)
        self.transactional_id = transactional_id
        self.generation = generation
        self.sender = Sender(self, transactional_id, 11 if generation == 1 else self.random.choice((12, 13)))
        self.transaction = ""
        self._count = 0
        self._joined: set[object] = set()

    async def initialise(self, *, resume: bool = False) -> bool:
        """InitProducerId, as a newcomer or to raise the epoch it has. False: try again later."""
        sender = self.sender
        sender.abandon()
        give_up_ms = self.world.now_ms() + 30_000.0
        while self.world.now_ms() < give_up_ms:
            request = InitProducerIdRequest(
                transactional_id=self.transactional_id,
                transaction_timeout_ms=TRANSACTION_TIMEOUT_MS,
                producer_id=sender.producer_id if resume else -1,
                producer_epoch=sender.epoch if resume else -1,
            )
            init = self.history.begin(Init(self.name, transactional_id=self.transactional_id, resumed=resume))
            try:
                response = await self.call(request, 3 + self.generation)
            except DisconnectedError:
                self.history.finish(init, Outcome.UNKNOWN)
            else:
                code = response.error_code
                if code == 0:
                    init.producer_id, init.epoch = response.producer_id, response.producer_epoch
                    self.history.finish(init, Outcome.OK)
                    sender.begin(response.producer_id, response.producer_epoch)
                    return True
                doubtful = ErrorCode(code) in DOUBTFUL
                self.history.finish(init, Outcome.UNKNOWN if doubtful else Outcome.FAILED, ErrorCode(code).name)
                if ErrorCode(code) not in RETRIABLE:
                    return False
            await self.pause()
        return False

    def begin(self) -> None:
        """A new transaction; nothing is sent."""
        self._count += 1
        self.transaction = f"{self.transactional_id}#{self.name}/{self._count}"
        self._joined.clear()

    async def write(self, batches: list[tuple[Place, int, list[str] | None]]) -> None:
        """Write to partitions: how many records, or which values. Raises AbortError."""
        if self.generation == 1:
            await self._add_partitions({place for place, _, _ in batches})
        for place, count, values in batches:
            self.sender.add(place, count, transaction=self.transaction, values=values)
        try:
            await self.sender.flush()
        except SessionOverError as error:
            raise AbortError(error.code) from error

    async def _add_partitions(self, places: set[Place]) -> None:
        new = sorted(places - self._joined)  # type: ignore[operator]
        if not new:
            return
        request = AddPartitionsToTxnRequest(
            v3_and_below_transactional_id=self.transactional_id,
            v3_and_below_producer_id=self.sender.producer_id,
            v3_and_below_producer_epoch=self.sender.epoch,
            v3_and_below_topics=[AddPartitionsToTxnTopic(name=topic, partitions=[index]) for topic, index in new],
        )
        await self._must(request, 3, _worst_of_partitions)
        self._joined.update(new)

    async def send_offsets(
        self, group: str, offsets: dict[Place, int], *, generation: int = -1, member_id: str = ""
    ) -> None:
        """Offsets of a group, as a part of the transaction. Raises AbortError."""
        producer_id, epoch = self.sender.producer_id, self.sender.epoch
        if self.generation == 1 and group not in self._joined:
            add = AddOffsetsToTxnRequest(
                transactional_id=self.transactional_id, producer_id=producer_id, producer_epoch=epoch, group_id=group
            )
            await self._must(add, 3, lambda answer: answer.error_code)
            self._joined.add(group)
        writes = [
            self.history.begin(
                OffsetWrite(
                    self.name,
                    group=group,
                    place=place,
                    offset=offset,
                    member=member_id,
                    generation=generation,
                    transaction=self.transaction,
                )
            )
            for place, offset in offsets.items()
        ]
        request = TxnOffsetCommitRequest(
            transactional_id=self.transactional_id,
            group_id=group,
            producer_id=producer_id,
            producer_epoch=epoch,
            generation_id=generation,
            member_id=member_id,
            topics=[
                TxnOffsetCommitRequestTopic(
                    name=place[0],
                    partitions=[TxnOffsetCommitRequestPartition(partition_index=place[1], committed_offset=offset)],
                )
                for place, offset in offsets.items()
            ],
        )
        _, code, in_doubt = await self.call_until(request, 3 + self.generation, _worst_of_offsets)
        for write in writes:
            if code == 0:
                self.history.finish(write, Outcome.OK)
            else:
                doubtful = in_doubt or code < 0 or ErrorCode(code) in DOUBTFUL
                outcome = Outcome.UNKNOWN if doubtful else Outcome.FAILED
                self.history.finish(write, outcome, ErrorCode(code).name)
        if code != 0:
            raise AbortError(code)

    async def _must(self, request: Any, version: int, code_of: Any) -> None:
        _, code, _ = await self.call_until(request, version, code_of)
        if code != 0:
            raise AbortError(code)

    async def end(self, *, commit: bool) -> bool:
        """EndTxn until there is an answer. True: it is ended so, and the next may begin; else `initialise` anew."""
        end = self.history.begin(End(self.name, transaction=self.transaction, commit=commit))
        unresolved = self.sender.abandon()
        request = EndTxnRequest(
            transactional_id=self.transactional_id,
            producer_id=self.sender.producer_id,
            producer_epoch=self.sender.epoch,
            committed=commit,
        )
        response, code, in_doubt = await self.call_until(
            request, 3 if self.generation == 1 else 5, lambda answer: answer.error_code, for_ms=60_000.0
        )
        if code != 0:
            doubtful = in_doubt or code < 0 or ErrorCode(code) in DOUBTFUL
            self.history.finish(end, Outcome.UNKNOWN if doubtful else Outcome.FAILED, ErrorCode(code).name)
            return False
        self.history.finish(end, Outcome.OK)
        if self.generation == 2:
            self.sender.begin(response.producer_id, response.producer_epoch)
        elif unresolved:
            # Which sequences arrived is not known: only a new epoch begins with 0 again. (KIP-360)
            return await self.initialise(resume=True)
        return True


class TransactionalProducer(TransactionalClient):
    """Transactions over several partitions until the world stops. Others of its transactional id fence it."""

    def __init__(self, world: World, name: str, transactional_id: str, generation: int, places: list[Place]) -> None:
        super().__init__(world, name, transactional_id, generation)
        self._places = places

    async def run(self) -> None:
        ready = False
        await self.pause(1.0, 500.0)
        while not self.world.stopping:
            if not ready:
                ready = await self.initialise()
                if not ready:
                    await self.pause(50.0, 500.0)
                continue
            ready = await self._transaction()
            if not ready or self.random.random() < 0.05:
                await self.pause(50.0, 1_500.0)
        self.sender.abandon()

    async def _transaction(self) -> bool:
        """False: the producer has to be initialised anew."""
        random = self.random
        self.begin()
        commit = random.random() < 0.7
        try:
            for _ in range(random.choice((1, 1, 2, 3))):
                places = random.sample(self._places, random.randint(1, len(self._places)))
                await self.write([(place, random.choice((1, 1, 2)), None) for place in places])
                await self.pause(0.1, 40.0)
                if random.random() < 0.02:
                    # Stalls: the coordinator may end the transaction meanwhile.
                    await self.world.sleep(random.uniform(0.5, 2.0) * TRANSACTION_TIMEOUT_MS)
        except AbortError as error:
            if error.fenced and random.random() < 0.5:
                return False
            commit = False
        if random.random() < 0.03:
            self.disconnect()  # dies: nobody ends the transaction
            return False
        return await self.end(commit=commit)


def _worst_of_partitions(response: Any) -> int:
    return _worst(
        result.partition_error_code
        for topic in response.results_by_topic_v3_and_below
        for result in topic.results_by_partition
    )


def _worst_of_offsets(response: Any) -> int:
    return _worst(partition.error_code for topic in response.topics for partition in topic.partitions)


def _worst(codes: Any) -> int:
    """One that no retry helps against, else one of a retry, else 0."""
    found = sorted({code for code in codes if code != 0}, key=lambda code: ErrorCode(code) in RETRIABLE)
    return found[0] if found else 0
