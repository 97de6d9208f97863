"""TransactionCoordinator: one operation per API, each on the shard its transactional id lives in.

(Kafka: TransactionCoordinator, TransactionMarkerChannelManager)
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Generator, Iterable
from functools import partial
from itertools import islice
from typing import Final

from broker.coordinator.ports import (
    CancellableTimer,
    CoordinatorClock,
    InternalTopic,
    Markers,
    ProducerIdSource,
    Topics,
)
from broker.coordinator.shard import Shard, ShardStatus
from broker.coordinator.shards import Shards
from broker.coordinator.transaction_background import log_abort, log_upkeep
from broker.coordinator.transaction_machine import MARKERS, TransactionDecision, TransactionMachine
from broker.coordinator.turns import in_turns
from broker.decision import Waiter
from broker.deferred import Deferred, resolved, start
from broker.txn import end as ending
from broker.txn import init_producer as initializing
from broker.txn import partitions as joining
from broker.txn.admin import describe, list_transactions
from broker.txn.config import TransactionConfig
from broker.txn.end import Ended
from broker.txn.expiry import expire, expired, is_timed_out, timed_out
from broker.txn.state import ShardState
from broker.txn.states import PREPARED, TransactionState
from broker.txn.transaction import (
    EPOCH_PER_TRANSACTION,
    NO_PRODUCER_ID,
    TopicPartition,
    Transaction,
)
from kwire.error_codes import ErrorCode
from kwire.errors import ApiError
from kwire.messages.describe_transactions import TransactionState as DescribedTransaction
from kwire.messages.list_transactions import ListTransactionsRequest, ListTransactionsResponse

log = logging.getLogger(__name__)

TRANSACTION_TOPIC: Final = "__transaction_state"
OFFSETS_TOPIC: Final = "__consumer_offsets"
MARKER_RETRY_MS: Final = 100.0
# Thousands may fall due together: they take some milliseconds of each turn of the loop.
_ABORTS_A_TURN: Final = 10
_MARKERS_A_TURN: Final = 100
_EXPIRED_A_TURN: Final = 500
_LOADING: Final = ErrorCode.COORDINATOR_LOAD_IN_PROGRESS

# What a partition may answer to a marker: written, or for ever without one, or to be left alone (a newer coordinator is
# at work, or the producer moved on); all else is tried again.
_DONE: Final = frozenset({ErrorCode.NONE, ErrorCode.UNSUPPORTED_FOR_MESSAGE_FORMAT, ErrorCode.UNSUPPORTED_VERSION})
_OBSOLETE: Final = frozenset({ErrorCode.INVALID_PRODUCER_EPOCH, ErrorCode.TRANSACTION_COORDINATOR_FENCED})


class TransactionCoordinator:
    """All transactional ids of one node. `start` when the log can be read, `close` at the end.

    server_version: the finalized level of transaction.version, as of now.
    """

    def __init__(
        self,
        topic: InternalTopic,
        topics: Topics,
        markers: Markers,
        producer_ids: ProducerIdSource,
        clock: CoordinatorClock,
        config: TransactionConfig,
        server_version: Callable[[], int],
    ) -> None:
        self.config = config
        self.topics = topics
        self._markers = markers
        self._producer_ids = producer_ids
        self._clock = clock
        self._server_version = server_version
        self._shards: Shards[ShardState] = Shards(TRANSACTION_TOPIC, topic, clock, self._machine)
        self._timers: dict[str, CancellableTimer] = {}

    # Shards

    def start(self) -> None:
        """Begin to load every partition that holds data, and to look for what has expired."""
        self._shards.start()
        self._check_expiry_later()

    def close(self) -> None:
        """Refuse all that waits (NOT_COORDINATOR) and all that comes."""
        for timer in self._timers.values():
            timer.cancel()
        self._shards.close()

    def available(self) -> bool:
        """Whether transactions can be served, for FindCoordinator. A missing topic begins to be created."""
        return self._shards.available()

    def partition_changed(self, partition: int) -> None:
        """This node's leadership of a partition changed, or the partition is gone."""
        self._shards.partition_changed(partition)

    def topic_deleted(self) -> None:
        """`__transaction_state` is gone."""
        self._shards.topic_deleted()

    def _machine(self, partition: int) -> TransactionMachine:
        if "timeouts" not in self._timers:  # before there is a shard nobody has to look round
            self._check_timeouts_later()
        write_markers = partial(self._write_markers, partition)
        return TransactionMachine(partition, self.config, self._server_version, write_markers)

    def _shard(self, transactional_id: str) -> Shard[ShardState]:
        """The id's shard, active. ApiError: NOT_COORDINATOR, COORDINATOR_LOAD_IN_PROGRESS."""
        shard = self._shards.of(transactional_id)
        if shard.status is not ShardStatus.ACTIVE:
            shard.check_active()
        return shard

    # Producers

    async def init_producer_id(
        self,
        transactional_id: str,
        timeout_ms: int,
        expected: tuple[int, int] | None,
        *,
        two_phase_commit: bool = False,
        keep_prepared: bool = False,
    ) -> tuple[int, int]:
        """Producer id and epoch. ApiError: why not; CONCURRENT_TRANSACTIONS: what was open is being aborted."""
        config = self.config
        if not transactional_id:
            raise ApiError(ErrorCode.INVALID_REQUEST)
        if two_phase_commit:
            if not config.transaction_two_phase_commit_enable:
                raise ApiError(ErrorCode.TRANSACTIONAL_ID_AUTHORIZATION_FAILED)
            timeout_ms = 2**31 - 1
        if keep_prepared:
            raise ApiError(ErrorCode.UNSUPPORTED_VERSION)
        if not two_phase_commit and not 0 < timeout_ms <= config.transaction_max_timeout_ms:
            raise ApiError(ErrorCode.INVALID_TRANSACTION_TIMEOUT)
        new_producer_id = NO_PRODUCER_ID
        while True:
            shard = self._shard(transactional_id)
            version = self._server_version()
            if new_producer_id != NO_PRODUCER_ID or not initializing.needs_producer_id(
                shard.state, transactional_id, expected, version
            ):
                break
            new_producer_id = await self._producer_ids.next()

        def operate(waiter: Waiter, decision: TransactionDecision) -> None:
            given = initializing.init_producer(
                shard.state, transactional_id, timeout_ms, expected, new_producer_id, version, decision
            )
            decision.answer(waiter, given)
            if given.state is TransactionState.PREPARE_ABORT:
                self._complete_later(shard, transactional_id, decision)

        given: Transaction = await shard.submit(operate)
        if given.state is TransactionState.PREPARE_ABORT:
            raise ApiError(ErrorCode.CONCURRENT_TRANSACTIONS)
        producer_id, epoch = given.producer_id, given.producer_epoch
        log.info("transactional id %s has producer id %d, epoch %d", transactional_id, producer_id, epoch)
        return producer_id, epoch

    # Partitions

    def add_partitions(
        self,
        transactional_id: str,
        producer_id: int,
        producer_epoch: int,
        partitions: Collection[TopicPartition],
        client_version: int,
    ) -> Deferred[None]:
        """They join the open transaction, or begin one. ApiError, raised or in the Deferred: why not."""
        if not transactional_id:
            raise ApiError(ErrorCode.INVALID_REQUEST)
        self._check_client(client_version)
        shard = self._shard(transactional_id)

        def operate(waiter: Waiter, decision: TransactionDecision) -> None:
            joining.add(
                shard.state, transactional_id, producer_id, producer_epoch, partitions, client_version, decision
            )
            decision.answer(waiter, None)

        return shard.submit(operate)

    def verify(
        self,
        transactional_id: str,
        producer_id: int,
        producer_epoch: int,
        partitions: Collection[TopicPartition],
        /,
        *,
        add: bool,
    ) -> Deferred[dict[TopicPartition, ErrorCode]]:
        """Whether the partitions belong to the producer's open transaction; with `add` they join it.

        The codes are AddPartitionsToTxn's: PRODUCER_FENCED, TRANSACTION_ABORTABLE (not in the transaction),
        CONCURRENT_TRANSACTIONS (the one before is still being completed), ... Never fails, never raises.
        """
        try:
            if add:
                added = self.add_partitions(
                    transactional_id, producer_id, producer_epoch, partitions, EPOCH_PER_TRANSACTION
                )
                if added.done:
                    added.result()
                    return resolved(dict.fromkeys(partitions, ErrorCode.NONE))
                told: Deferred[dict[TopicPartition, ErrorCode]] = Deferred()
                added.add_callback(partial(_tell_added, told, partitions))
                return told
            if not transactional_id:
                raise ApiError(ErrorCode.INVALID_REQUEST)
            shard = self._shard(transactional_id)

            def operate(waiter: Waiter, decision: TransactionDecision) -> None:
                found = joining.verify(shard.state, transactional_id, producer_id, producer_epoch, partitions)
                decision.answer(waiter, found)

            # The answer waits for the commit of what it shows: else records might be written for a transaction that
            # is forgotten in a crash, and nobody would ever end it.
            return shard.submit(operate)
        except ApiError as error:
            return resolved(dict.fromkeys(partitions, error.code))

    def _check_client(self, client_version: int) -> None:
        """With transaction.version 0 the records have no place for what generation 2 needs."""
        if client_version >= EPOCH_PER_TRANSACTION and self._server_version() < 1:
            raise ApiError(ErrorCode.UNSUPPORTED_VERSION)

    # The end

    async def end_transaction(
        self, transactional_id: str, producer_id: int, producer_epoch: int, commit: bool, client_version: int
    ) -> tuple[int, int]:
        """What the client goes on with (-1, -1: not told). The outcome stands when this returns. ApiError: why not."""
        if not transactional_id:
            raise ApiError(ErrorCode.INVALID_REQUEST)
        self._check_client(client_version)
        shard = self._shard(transactional_id)
        new_producer_id = NO_PRODUCER_ID
        if ending.needs_producer_id(shard.state, transactional_id, client_version):
            new_producer_id = await self._producer_ids.next()
            shard = self._shard(transactional_id)
            if not ending.needs_producer_id(shard.state, transactional_id, client_version):
                new_producer_id = NO_PRODUCER_ID

        def operate(waiter: Waiter, decision: TransactionDecision) -> None:
            ended = ending.end(
                shard.state,
                transactional_id,
                producer_id,
                producer_epoch,
                commit,
                client_version,
                new_producer_id,
                decision,
            )
            decision.answer(waiter, ended)
            if ended.prepared:
                self._complete_later(shard, transactional_id, decision)

        ended: Ended = await shard.submit(operate)
        return ended.producer_id, ended.producer_epoch

    def _complete_later(self, shard: Shard[ShardState], transactional_id: str, decision: TransactionDecision) -> None:
        """Write the markers as soon as the PREPARE record is committed: from then on nothing can change the outcome."""
        state = shard.state

        def committed(_: TransactionDecision) -> None:
            self._write_markers(shard.partition, state, transactional_id)

        decision.on_committed = committed

    def _write_markers(self, partition: int, state: ShardState, transactional_id: str) -> None:
        shard = self._current(partition, state)
        transaction = state.transactions.get(transactional_id)
        if shard is None or transaction is None or transaction.state not in PREPARED:
            return
        outstanding = state.completing.get(transactional_id)
        if outstanding is None:
            outstanding = state.completing[transactional_id] = dict.fromkeys(transaction.partitions)
        portion = list(islice(outstanding, _MARKERS_A_TURN))
        for where in portion[:]:
            if where[1] >= self.topics.partition_count(where[0]):
                log.info("%s: %s-%d is deleted, it needs no marker", transactional_id, *where)
                del outstanding[where]
                portion.remove(where)
        if not portion:
            self._written_so_far(shard, transactional_id, outstanding, 0)
            return
        try:
            written = self._markers.write(
                transaction.producer_id,
                transaction.producer_epoch,
                transaction.state is TransactionState.PREPARE_COMMIT,
                shard.leader_epoch,
                portion,
                transaction.client_version,
            )
        except Exception:
            # The outcome stands, and the answer is to be given: the markers are tried again.
            log.exception("%s: the markers could not be written", transactional_id)
            shard.set_timer((MARKERS, transactional_id), MARKER_RETRY_MS, again=True)
            return
        written.add_callback(partial(self._markers_written, partition, state, transactional_id))

    def _markers_written(
        self,
        partition: int,
        state: ShardState,
        transactional_id: str,
        written: Deferred[dict[TopicPartition, ErrorCode]],
    ) -> None:
        shard = self._current(partition, state)
        outstanding = state.completing.get(transactional_id)
        if shard is None or outstanding is None:
            return
        try:
            codes = written.result()
        except Exception as error:
            log.error("%s: the markers could not be written, trying again: %s", transactional_id, error)
            codes = {}
        left = 0
        for where, code in codes.items():
            if code in _DONE:
                outstanding.pop(where, None)
            elif code in _OBSOLETE:
                log.info("%s: %s-%d refuses its marker, no more are written: %s", transactional_id, *where, code.name)
                return
            elif where in outstanding:
                outstanding[where] = outstanding.pop(where)  # again when the others had their turn
                left += 1
        untried = codes and left < len(codes) and left < len(outstanding)
        self._written_so_far(shard, transactional_id, outstanding, 0 if untried else MARKER_RETRY_MS)

    def _written_so_far(
        self,
        shard: Shard[ShardState],
        transactional_id: str,
        outstanding: dict[TopicPartition, None],
        delay_ms: float,
    ) -> None:
        """Complete the transaction, or go on with the markers that are left."""
        if not outstanding:
            self._complete(shard, transactional_id)
        else:
            shard.set_timer((MARKERS, transactional_id), delay_ms, again=True)

    def _complete(self, shard: Shard[ShardState], transactional_id: str) -> None:
        shard.run(partial(ending.complete, shard.state, transactional_id))

    def _current(self, partition: int, state: ShardState) -> Shard[ShardState] | None:
        """The partition's shard, unless it was closed or loaded anew since it had this state."""
        shard = self._shards.get(partition)
        return shard if shard is not None and shard.state is state and shard.status is ShardStatus.ACTIVE else None

    # Time

    def _check_timeouts_later(self) -> None:
        interval_ms = self.config.transaction_abort_timed_out_transaction_cleanup_interval_ms
        self._timers["timeouts"] = self._clock.call_again(interval_ms, self._check_timeouts)

    def _check_timeouts(self) -> None:
        self._check_timeouts_later()
        start(in_turns(self._abort_all_timed_out(), self._clock)).add_callback(log_upkeep)

    def _abort_all_timed_out(self) -> Generator[None, None, None]:
        for shard in self._shards.opened():
            if shard.status is not ShardStatus.ACTIVE or not shard.state.ongoing:
                continue
            for number, transactional_id in enumerate(timed_out(shard.state, self._clock.now_ms()), 1):
                start(self._abort_timed_out(transactional_id)).add_callback(partial(log_abort, transactional_id))
                if number % _ABORTS_A_TURN == 0:
                    yield

    async def _abort_timed_out(self, transactional_id: str) -> None:
        new_producer_id = NO_PRODUCER_ID
        while True:
            shard = self._shard(transactional_id)
            version = self._server_version()
            transaction = shard.state.transactions.get(transactional_id)
            # Its client may have ended it meanwhile, and begun the next one.
            if transaction is None or not is_timed_out(transaction, self._clock.now_ms()):
                return
            if new_producer_id != NO_PRODUCER_ID or not ending.rotates_when_fenced(transaction, version):
                break
            new_producer_id = await self._producer_ids.next()
        open_transaction = transaction

        def operate(waiter: Waiter, decision: TransactionDecision) -> None:
            ending.fence(transactional_id, open_transaction, version, new_producer_id, decision)
            decision.answer(waiter, None)
            self._complete_later(shard, transactional_id, decision)

        await shard.submit(operate)

    def _check_expiry_later(self) -> None:
        interval_ms = self.config.transaction_remove_expired_transaction_cleanup_interval_ms
        self._timers["expiry"] = self._clock.call_again(interval_ms, self._check_expiry)

    def _check_expiry(self) -> None:
        self._check_expiry_later()
        start(in_turns(self._forget_all_expired(), self._clock)).add_callback(log_upkeep)

    def _forget_all_expired(self) -> Generator[None, None, None]:
        for shard in self._shards.opened():
            state = shard.state
            if shard.status is not ShardStatus.ACTIVE:
                continue
            names = expired(state, self._clock.now_ms())
            for begin in range(0, len(names), _EXPIRED_A_TURN):
                if self._current(shard.partition, state) is shard:
                    shard.run(partial(expire, state, names[begin : begin + _EXPIRED_A_TURN]))
                    yield

    # Administration

    async def describe(self, transactional_id: str) -> DescribedTransaction:
        try:
            if not transactional_id:
                raise ApiError(ErrorCode.INVALID_REQUEST)
            shard = self._shard(transactional_id)

            def operate(waiter: Waiter, decision: TransactionDecision) -> None:
                decision.answer(waiter, describe(shard.state, transactional_id))

            described: DescribedTransaction = await shard.submit(operate)
        except ApiError as error:
            return DescribedTransaction(transactional_id=transactional_id, error_code=error.code)
        return described

    async def list(self, request: ListTransactionsRequest) -> ListTransactionsResponse:
        """All that match. COORDINATOR_LOAD_IN_PROGRESS while a partition is loading."""
        if any(shard.status is ShardStatus.LOADING for shard in self._shards.opened()):
            return ListTransactionsResponse(error_code=_LOADING)
        active = [shard for shard in self._shards.opened() if shard.status is ShardStatus.ACTIVE]
        states = [shard.state for shard in active]
        return await in_turns(list_transactions(states, request, self._clock.now_ms()), self._clock)


def _tell_added(
    told: Deferred[dict[TopicPartition, ErrorCode]], partitions: Iterable[TopicPartition], added: Deferred[None]
) -> None:
    code = ErrorCode.NONE
    try:
        added.result()
    except ApiError as error:
        code = error.code
    except Exception as error:
        told.fail(error)
        return
    told.resolve(dict.fromkeys(partitions, code))
