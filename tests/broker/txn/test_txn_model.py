"""Random requests, kills at any record, commits delayed and lost, markers refused and delayed, time passing.

Held after every step: the durable state is what a replay of the log gives, the soft state is what a load rebuilds, no
marker is written before its decision is committed, and no transaction ever ends both ways. In the end everything that
was decided is carried out.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from attrs import evolve
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from broker.coordinator.shard import ShardStatus
from broker.deferred import Deferred
from broker.txn.record_codec import decode_pairs, decode_record
from broker.txn.state import ShardState
from broker.txn.states import PREPARED, TransactionState
from broker.txn.transaction import TopicPartition, Transaction
from kwire.error_codes import ErrorCode
from kwire.errors import ApiError
from kwire.messages.end_txn import EndTxnRequest
from kwire.messages.init_producer_id import InitProducerIdRequest
from tests.broker.coordinator.group_world import MemoryLog
from tests.broker.txn.txn_world import FakeMarkers, TxnWorld

IDS = st.sampled_from(["x", "y"])
HANDLES = st.sampled_from([0, 0, 0, 1, 2])
PLACES: st.SearchStrategy[TopicPartition] = st.sampled_from([("t", 0), ("t", 1), ("u", 0)])
RETRIED = [ErrorCode.NOT_LEADER_OR_FOLLOWER, ErrorCode.KAFKA_STORAGE_ERROR]


class TrackedLog(MemoryLog):
    """Knows how many of its batches are committed."""

    def __init__(self) -> None:
        super().__init__()
        self.committed_batches = 0

    def append(self, batch: bytes | bytearray, *more: Any) -> int:
        end = super().append(batch, *more)
        if not self.hold:
            self.committed_batches = len(self.batches)
        return end

    def commit(self, up_to: int | None = None) -> None:
        # One record a batch: offsets count batches, but for those that were lost.
        left = 0 if up_to is None else sum(offset > up_to for offset, _ in self.waiting)
        self.committed_batches = max(self.committed_batches, len(self.batches) - left)
        super().commit(up_to)


class CheckedMarkers(FakeMarkers):
    """Refuses, by failing the test, what must never be written."""

    def __init__(self, log: TrackedLog) -> None:
        super().__init__()
        self.log = log
        # By the position of the decision in the log.
        self.outcomes: dict[int, bool] = {}
        self.taken: set[tuple[int, int, TopicPartition]] = set()

    def write(
        self,
        producer_id: int,
        producer_epoch: int,
        committed: bool,
        coordinator_epoch: int,
        partitions: Collection[TopicPartition],
        transaction_version: int,
    ) -> Deferred[dict[TopicPartition, ErrorCode]]:
        decided = [
            (position, value)
            for position, value in enumerate(values(self.log.batches[: self.log.committed_batches]))
            if (value.producer_id, value.producer_epoch) == (producer_id, producer_epoch) and value.state in PREPARED
        ]
        assert decided, "a marker without a committed decision"
        position, last = decided[-1]
        assert last.state is (TransactionState.PREPARE_COMMIT if committed else TransactionState.PREPARE_ABORT)
        assert set(partitions) <= set(last.partitions)
        assert self.outcomes.setdefault(position, committed) == committed, "it ends both ways"
        answer = super().write(
            producer_id, producer_epoch, committed, coordinator_epoch, partitions, transaction_version
        )
        answer.add_callback(lambda done: self._take(producer_id, producer_epoch, done.result()))
        return answer

    def _take(self, producer_id: int, producer_epoch: int, codes: dict[TopicPartition, ErrorCode]) -> None:
        self.taken.update((producer_id, producer_epoch, where) for where, code in codes.items() if not code)


def values(batches: list[bytes]) -> list[Transaction]:
    """What the records say, in their order."""
    found = []
    for batch in batches:
        for key, value in decode_pairs(memoryview(batch)):
            record = decode_record(key or b"", value)
            if record.value is not None:
                found.append(record.value)
    return found


def replayed(batches: list[bytes]) -> dict[str, Transaction]:
    found: dict[str, Transaction] = {}
    for batch in batches:
        for key, value in decode_pairs(memoryview(batch)):
            record = decode_record(key or b"", value)
            if record.value is None:
                found.pop(record.transactional_id, None)
            else:
                found[record.transactional_id] = record.value
    return found


class TransactionLife(RuleBasedStateMachine):
    @initialize(level=st.integers(0, 2))
    def begin(self, level: int) -> None:
        self.world = TxnWorld(level=level, partitions=1, t=2, u=1)
        self.log = TrackedLog()
        self.world.topic.logs = [self.log]
        self.world.markers = CheckedMarkers(self.log)
        self.world.restart()
        # What clients believe: per transactional id, newest last; old ones are zombies that go on trying.
        self.believed: dict[str, list[tuple[int, int]]] = {"x": [], "y": []}
        self.given: set[tuple[int, int]] = set()
        self.waiting: list[Deferred[Any]] = []

    @property
    def state(self) -> ShardState | None:
        shard = self.world.coordinator._shards.get(0)
        return shard.state if shard is not None and shard.status is ShardStatus.ACTIVE else None

    def who(self, name: str, handle: int) -> tuple[int, int]:
        known = self.believed[name]
        return known[-1 - handle % len(known)] if known else (7, 0)

    # Clients

    @rule(name=IDS, handle=st.none() | HANDLES)
    def init(self, name: str, handle: int | None) -> None:
        producer_id, epoch = (-1, -1) if handle is None else self.who(name, handle)
        request = InitProducerIdRequest(
            transactional_id=name, transaction_timeout_ms=20_000, producer_id=producer_id, producer_epoch=epoch
        )

        def told(answer: Deferred[Any]) -> None:
            response = answer.result()
            if response.error_code:
                return
            mine = response.producer_id, response.producer_epoch
            if handle is None:
                assert mine not in self.given, "given to two"
            self.given.add(mine)
            self.believed[name].append(mine)

        self.ask(request, 5, told)

    @rule(name=IDS, where=st.lists(PLACES, min_size=1, max_size=3), commit=st.booleans())
    def transact(self, name: str, where: list[TopicPartition], commit: bool) -> None:
        """The usual life of a client, in its generation."""
        if not self.believed[name]:
            self.init(name, None)
        for each in where:
            if self.world.level == 2:
                self.join(name, 0, each)
            else:
                self.add(name, 0, each)
        self.end(name, 0, commit, 5 if self.world.level == 2 else 4)

    @rule(name=IDS, handle=HANDLES, where=PLACES)
    def add(self, name: str, handle: int, where: TopicPartition) -> None:
        if not self.log.hold:
            self.world.add(*self.who(name, handle), where, name=name)

    @rule(name=IDS, handle=HANDLES, where=PLACES)
    def join(self, name: str, handle: int, where: TopicPartition) -> None:
        self.waiting.append(self.world.coordinator.verify(name, *self.who(name, handle), [where], add=True))

    @rule(name=IDS, handle=HANDLES, commit=st.booleans(), version=st.sampled_from([4, 5]))
    def end(self, name: str, handle: int, commit: bool, version: int) -> None:
        producer_id, epoch = self.who(name, handle)
        request = EndTxnRequest(transactional_id=name, producer_id=producer_id, producer_epoch=epoch, committed=commit)

        def told(answer: Deferred[Any]) -> None:
            response = answer.result()
            if response.error_code:
                return
            # In generation 2 the decision and its markers carry the raised epoch.
            decided = (producer_id, epoch + 1 if version >= 5 else epoch)
            if version >= 5:
                assert (response.producer_id, response.producer_epoch) == decided
                self.believed[name].append(decided)
            committed = values(self.log.batches[: self.log.committed_batches])
            last = [each for each in committed if (each.producer_id, each.producer_epoch) == decided][-1]
            assert last.state.name in (
                ("PREPARE_COMMIT", "COMPLETE_COMMIT") if commit else ("PREPARE_ABORT", "COMPLETE_ABORT")
            )

        self.ask(request, version, told)

    def ask(self, request: Any, version: int, told: Any) -> None:
        answer = self.world.send(request, version)
        answer.add_callback(told)
        self.waiting.append(answer)

    @property
    def markers(self) -> CheckedMarkers:
        assert isinstance(self.world.markers, CheckedMarkers)
        return self.world.markers

    # What goes wrong, and is right again

    @rule(what=st.sampled_from(["commits", "markers"]))
    def hold(self, what: str) -> None:
        if what == "commits":
            self.log.hold = True
        else:
            self.markers.hold = True

    @rule(some=st.integers(0, 5))
    def commit(self, some: int) -> None:
        offsets = sorted(offset for offset, _ in self.log.waiting)
        if some < len(offsets):
            self.log.commit(offsets[some])
        else:
            self.log.hold = False
            self.log.commit()

    @rule()
    def release_markers(self) -> None:
        self.markers.codes.clear()
        self.markers.release()

    @rule(where=PLACES, code=st.sampled_from(RETRIED))
    def refuse_markers(self, where: TopicPartition, code: ErrorCode) -> None:
        self.markers.codes[where] = code

    @rule(
        what=st.sampled_from(["lose", "fail", "kill", "kill"]),
        error=st.sampled_from([OSError("no space"), ApiError(ErrorCode.NOT_ENOUGH_REPLICAS)]),
        kept=st.integers(0, 5),
    )
    def break_something(self, what: str, error: Exception, kept: int) -> None:
        if what == "lose":
            if self.log.waiting:
                self.lose_what_is_not_committed()
        elif what == "fail":
            self.log.fail_append = error
        else:
            self.kill(kept)

    def lose_what_is_not_committed(self) -> None:
        del self.log.batches[self.log.committed_batches :]
        self.log.hold = False
        self.log.fail_commits(ApiError(ErrorCode.KAFKA_STORAGE_ERROR))
        self.world.clock.advance(1_000)

    def kill(self, kept: int) -> None:
        """Of what is not committed a part is left."""
        self.world.coordinator.close()
        del self.log.batches[self.log.committed_batches + kept :]
        self.log.committed_batches = len(self.log.batches)
        self.log.hold = False
        self.log.fail_append = None
        self.log.waiting.clear()
        self.markers.waiting.clear()
        self.log.leader_epoch += 1
        self.world.coordinator = self.world.new_coordinator()

    @rule(ms=st.sampled_from([1, 100, 1_000, 1_000, 40_000]))
    def pass_time(self, ms: int) -> None:
        self.world.clock.advance(ms)

    # What holds

    @invariant()
    def durable_is_what_a_replay_gives(self) -> None:
        state = self.state
        if state is None:
            return
        expected = replayed(self.log.batches)
        assert {name: self.stored(each) for name, each in state.transactions.items()} == expected

    def stored(self, transaction: Transaction) -> Transaction:
        """As a load finds it."""
        kept = evolve(transaction, last_producer_epoch=-1)
        return (
            kept if self.world.level else evolve(kept, previous_producer_id=-1, next_producer_id=-1, client_version=0)
        )

    @invariant()
    def soft_is_what_a_load_rebuilds(self) -> None:
        state = self.state
        if state is None:
            return
        ongoing = [name for name, each in state.transactions.items() if each.state is TransactionState.ONGOING]
        assert sorted(state.ongoing) == sorted(ongoing)
        for name, outstanding in state.completing.items():
            assert state.transactions[name].state in PREPARED
            assert set(outstanding) <= set(state.transactions[name].partitions)

    @invariant()
    def epochs_only_rise(self) -> None:
        last: dict[int, int] = {}
        for value in values(self.log.batches):
            assert value.producer_epoch >= last.get(value.producer_id, -1)
            last[value.producer_id] = value.producer_epoch

    def teardown(self) -> None:
        """Fair weather: everything decided is carried out, from any record on."""
        if not hasattr(self, "world"):
            return
        self.markers.codes.clear()
        self.log.fail_append = None
        self.log.hold = False
        self.log.commit()
        self.markers.release()
        self.world.describe()
        self.world.clock.advance(5_000)
        state = self.state
        assert state is not None
        assert not state.prepared()
        assert not state.completing
        assert all(each.done for each in self.waiting), "a request without an answer"
        for value in values(self.log.batches):
            if value.state in PREPARED:
                mine = value.producer_id, value.producer_epoch
                marked = {where for *marked_as, where in self.markers.taken if tuple(marked_as) == mine}
                assert set(value.partitions) <= marked, "a partition without its marker"
        for boundary in range(len(self.log.batches) + 1):
            self.check_boundary(self.log.batches[:boundary])

    def check_boundary(self, batches: list[bytes]) -> None:
        """As after a kill that left so many records."""
        world = TxnWorld(level=self.world.level, partitions=1, t=2, u=1)
        log = TrackedLog()
        log.batches, log.committed_batches = list(batches), len(batches)
        world.topic.logs = [log]
        world.markers = markers = CheckedMarkers(log)
        world.restart()
        expected = replayed(batches)
        assert world.coordinator._shards[0].state.transactions == expected if batches else True
        world.settle()
        for name, before in expected.items():
            after = world.coordinator._shards[0].state.transactions[name]
            if before.state in PREPARED:
                committed = before.state is TransactionState.PREPARE_COMMIT
                assert after.state is (
                    TransactionState.COMPLETE_COMMIT if committed else TransactionState.COMPLETE_ABORT
                )
                if before.partitions:
                    assert (before.producer_id, before.producer_epoch, committed) in {
                        each[:3] for each in markers.written
                    }
            else:
                assert after == before


TransactionLife.TestCase.settings = settings(max_examples=50, stateful_step_count=30, deadline=None)
TestTransactionLife = TransactionLife.TestCase
