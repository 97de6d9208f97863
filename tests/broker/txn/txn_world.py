"""A transaction coordinator over logs in memory, a clock that stands still, and partitions that take markers."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Collection
from itertools import count
from typing import Any

from broker.clock import ManualClock
from broker.context import ConnectionContext, RequestContext
from broker.coordinator.shard import Shard
from broker.coordinator.transactions import TransactionCoordinator
from broker.deferred import Deferred, resolved, start
from broker.group.ids import partition_for
from broker.routes import api_name
from broker.txn.config import TransactionConfig
from broker.txn.record_codec import decode_pairs, decode_record, encode_key
from broker.txn.state import ShardState
from broker.txn.states import TransactionState
from broker.txn.transaction import TopicPartition, Transaction, TransactionRecord
from kwire import codec
from kwire.api_keys import ApiKey
from kwire.error_codes import ErrorCode
from kwire.messages.add_offsets_to_txn import AddOffsetsToTxnRequest
from kwire.messages.add_partitions_to_txn import (
    AddPartitionsToTxnRequest,
    AddPartitionsToTxnTopic,
    AddPartitionsToTxnTransaction,
)
from kwire.messages.describe_transactions import DescribeTransactionsRequest
from kwire.messages.describe_transactions import TransactionState as DescribedTransaction
from kwire.messages.end_txn import EndTxnRequest, EndTxnResponse
from kwire.messages.init_producer_id import InitProducerIdRequest, InitProducerIdResponse
from kwire.messages.list_transactions import ListTransactionsRequest, ListTransactionsResponse
from tests.broker.coordinator.group_world import FixedTopics, MemoryLog, MemoryOffsetsTopic, value

PARTITIONS = 4


class FakeMarkers:
    """Notes what is written. `codes`: what a partition answers instead of 0; `hold`: it answers at `release`."""

    def __init__(self) -> None:
        self.written: list[tuple[int, int, bool, int, tuple[TopicPartition, ...], int]] = []
        self.codes: dict[TopicPartition, ErrorCode] = {}
        self.fails: Exception | None = None
        self.hold = False
        self.waiting: list[tuple[Deferred[dict[TopicPartition, ErrorCode]], tuple[TopicPartition, ...]]] = []

    def write(
        self,
        producer_id: int,
        producer_epoch: int,
        committed: bool,
        coordinator_epoch: int,
        partitions: Collection[TopicPartition],
        transaction_version: int,
    ) -> Deferred[dict[TopicPartition, ErrorCode]]:
        if self.fails is not None:
            error, self.fails = self.fails, None
            raise error
        wanted = tuple(partitions)
        self.written.append((producer_id, producer_epoch, committed, coordinator_epoch, wanted, transaction_version))
        if self.hold:
            later: Deferred[dict[TopicPartition, ErrorCode]] = Deferred()
            self.waiting.append((later, wanted))
            return later
        return resolved({each: self.codes.get(each, ErrorCode.NONE) for each in wanted})

    def release(self) -> None:
        """All that was held is answered."""
        self.hold = False
        waiting, self.waiting = self.waiting, []
        for later, wanted in waiting:
            later.resolve({each: self.codes.get(each, ErrorCode.NONE) for each in wanted})


class CountedProducerIds:
    """Ids from 0 on; `hold` keeps who asks waiting until `release`."""

    def __init__(self) -> None:
        self.ids = count()
        self.hold = False
        self.waiting: list[Deferred[int]] = []

    def next(self) -> Deferred[int]:
        if not self.hold:
            return resolved(next(self.ids))
        later: Deferred[int] = Deferred()
        self.waiting.append(later)
        return later

    def release(self) -> None:
        self.hold = False
        waiting, self.waiting = self.waiting, []
        for later in waiting:
            later.resolve(next(self.ids))


class TxnWorld:
    """See the module. Every call goes through the API's handler and the codec: what a version lacks is not seen."""

    def __init__(
        self, config: TransactionConfig | None = None, level: int = 2, partitions: int = PARTITIONS, **topics: int
    ) -> None:
        self.config = config or TransactionConfig()
        self.level = level
        self.clock = ManualClock()
        self.topic = MemoryOffsetsTopic(partitions)
        self.topics = FixedTopics(**(topics or {"t": 3, "__consumer_offsets": 50}))
        self.markers = FakeMarkers()
        self.producer_ids = CountedProducerIds()
        self.coordinator = self.new_coordinator()

    def new_coordinator(self) -> TransactionCoordinator:
        coordinator = TransactionCoordinator(
            self.topic,
            self.topics,
            self.markers,
            self.producer_ids,
            self.clock,
            self.config,
            lambda: self.level,
        )
        coordinator.start()
        return coordinator

    def restart(self) -> None:
        """As after a kill: only the logs are left."""
        self.coordinator.close()
        self.coordinator = self.new_coordinator()

    def settle(self) -> None:
        """Let what is due now happen."""
        self.clock.run_due()

    # What is there

    def log_of(self, name: str = "x") -> MemoryLog:
        return self.topic.logs[partition_for(name, len(self.topic.logs))]

    def shard_of(self, name: str = "x") -> Shard[ShardState]:
        return self.coordinator._shards.of(name)

    def transaction(self, name: str = "x") -> Transaction:
        return self.shard_of(name).state.transactions[name]

    def state(self, name: str = "x") -> TransactionState:
        return self.transaction(name).state

    def raw_records(self, name: str = "x") -> list[tuple[bytes, bytes | None]]:
        pairs = [pair for chunk in self.log_of(name).read_all() for pair in decode_pairs(chunk)]
        wanted = encode_key(name)
        return [(key, data) for key, data in pairs if key == wanted]

    def records(self, name: str = "x") -> list[TransactionRecord]:
        return [decode_record(key, data) for key, data in self.raw_records(name)]

    def states(self, name: str = "x") -> list[str]:
        """The states in the log, oldest first; "" for a tombstone."""
        return ["" if each.value is None else each.value.state.name for each in self.records(name)]

    # Requests

    def send(self, request: Any, version: int) -> Deferred[Any]:
        cls = type(request)
        stem = cls.__module__.rpartition(".")[2]
        api = ApiKey[stem.upper()]
        handler = getattr(importlib.import_module(f"broker.handlers.transactions.{stem}"), stem)
        decoded = codec.decode(cls, version, codec.encode(request, version))
        connection = ConnectionContext("PLAINTEXT", "127.0.0.1", "127.0.0.1", 9092, "User:ANONYMOUS", 1)
        context = RequestContext(connection, api, version, 0, "c")
        services = (self.coordinator, self.producer_ids) if api is ApiKey.INIT_PRODUCER_ID else (self.coordinator,)
        answered = handler(decoded, context, *services)
        assert inspect.iscoroutine(answered)
        done: Deferred[Any] = Deferred()

        def seen(answer: Deferred[Any]) -> None:
            response = getattr(importlib.import_module(cls.__module__), f"{api_name(api)}Response")
            done.resolve(codec.decode(response, version, codec.encode(answer.result(), version)))

        start(answered).add_callback(seen)
        return done

    def ask(self, request: Any, version: int) -> Any:
        return value(self.send(request, version))

    def init(
        self, name: str | None = "x", timeout_ms: int = 60_000, producer_id: int = -1, epoch: int = -1, version: int = 5
    ) -> InitProducerIdResponse:
        request = InitProducerIdRequest(transactional_id=name, transaction_timeout_ms=timeout_ms)
        if version >= 3:
            request.producer_id, request.producer_epoch = producer_id, epoch
        response: InitProducerIdResponse = self.ask(request, version)
        return response

    def add(
        self, producer_id: int, epoch: int, *partitions: TopicPartition, name: str = "x", version: int = 3
    ) -> dict[TopicPartition, int]:
        """AddPartitionsToTxn as clients send it, by default of t-0."""
        request = AddPartitionsToTxnRequest(
            v3_and_below_transactional_id=name,
            v3_and_below_producer_id=producer_id,
            v3_and_below_producer_epoch=epoch,
            v3_and_below_topics=by_topic(partitions or [("t", 0)]),
        )
        return codes(self.ask(request, version).results_by_topic_v3_and_below)

    def add_batch(
        self, *transactions: AddPartitionsToTxnTransaction, version: int = 5
    ) -> dict[str, dict[TopicPartition, int]]:
        """AddPartitionsToTxn as brokers send it."""
        response = self.ask(AddPartitionsToTxnRequest(transactions=list(transactions)), version)
        return {each.transactional_id: codes(each.topic_results) for each in response.results_by_transaction}

    def add_offsets(self, producer_id: int, epoch: int, group: str = "g", name: str = "x", version: int = 4) -> int:
        request = AddOffsetsToTxnRequest(
            transactional_id=name, producer_id=producer_id, producer_epoch=epoch, group_id=group
        )
        return int(self.ask(request, version).error_code)

    def end(
        self, producer_id: int, epoch: int, commit: bool = True, name: str = "x", version: int = 4
    ) -> EndTxnResponse:
        response: EndTxnResponse = value(self.end_later(producer_id, epoch, commit, name, version))
        return response

    def end_later(
        self, producer_id: int, epoch: int, commit: bool = True, name: str = "x", version: int = 4
    ) -> Deferred[EndTxnResponse]:
        request = EndTxnRequest(transactional_id=name, producer_id=producer_id, producer_epoch=epoch, committed=commit)
        return self.send(request, version)

    def open(self, name: str = "x", version: int = 3, timeout_ms: int = 60_000) -> tuple[int, int]:
        """A producer with an open transaction in t-0: its id and epoch."""
        given = self.init(name, timeout_ms)
        assert given.error_code == 0
        if version <= 3:
            assert self.add(given.producer_id, given.producer_epoch, name=name) == {("t", 0): 0}
        else:
            assert self.verify(given.producer_id, given.producer_epoch, ("t", 0), name=name, add=True) == {("t", 0): 0}
        return given.producer_id, given.producer_epoch

    def verify(
        self, producer_id: int, epoch: int, *partitions: TopicPartition, name: str = "x", add: bool = False
    ) -> dict[TopicPartition, ErrorCode]:
        found: dict[TopicPartition, ErrorCode] = value(
            self.coordinator.verify(name, producer_id, epoch, partitions, add=add)
        )
        return found

    def describe(self, name: str = "x") -> DescribedTransaction:
        described: DescribedTransaction = self.ask(
            DescribeTransactionsRequest(transactional_ids=[name]), 0
        ).transaction_states[0]
        return described

    def list(self, **filters: Any) -> ListTransactionsResponse:
        response: ListTransactionsResponse = self.ask(ListTransactionsRequest(**filters), 2)
        return response


def by_topic(partitions: Collection[TopicPartition]) -> list[AddPartitionsToTxnTopic]:
    topics: dict[str, AddPartitionsToTxnTopic] = {}
    for name, index in partitions:
        topics.setdefault(name, AddPartitionsToTxnTopic(name=name)).partitions.append(index)
    return list(topics.values())


def codes(results: Any) -> dict[TopicPartition, int]:
    return {
        (topic.name, each.partition_index): each.partition_error_code
        for topic in results
        for each in topic.results_by_partition
    }
