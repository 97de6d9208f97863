"""What makes a shard a shard of transactions: a partition of `__transaction_state`, its state and records."""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator
from typing import Final

from broker.decision import Decision, TimerKey, Waiter
from broker.txn.config import TransactionConfig
from broker.txn.record_codec import decode_key, decode_pairs, decode_value, encode_batches
from broker.txn.state import ShardState
from broker.txn.states import TransactionState
from broker.txn.transaction import TransactionRecord
from kwire.errors import DecodeError, KwireError

log = logging.getLogger(__name__)

TransactionDecision = Decision[TransactionRecord]
MARKERS: Final = "markers"
_SLICE_RECORDS: Final = 128
_RECORD_COST_BYTES: Final = 256
"""A record is decoded in the time in which so many bytes are read."""
_END_BYTES: Final = 32
"""A record that ends a transaction has more fields than one that opens it: what can be opened can be ended."""
_FINISHED_A_TURN: Final = 50
_FINISH_KEY: Final[TimerKey] = ("finish",)


class TransactionMachine:
    """broker.coordinator.ports.Machine for the transactions of one partition.

    server_version: the level of transaction.version now. write_markers: called with the id of a transaction that is
    prepared: again after loading, and again after a while (timer MARKERS, id) where a partition could not take them.
    """

    noun = "transactions"

    def __init__(
        self,
        partition: int,
        config: TransactionConfig,
        server_version: Callable[[], int],
        write_markers: Callable[[ShardState, str], None],
    ) -> None:
        self.commit_timeout_ms = config.request_timeout_ms
        self._partition = partition
        self._config = config
        self._server_version = server_version
        self._write_markers = write_markers

    def new_state(self) -> ShardState:
        return ShardState(self._config)

    def encode(self, decision: TransactionDecision, max_bytes: int) -> list[bytearray] | None:
        version = 1 if self._server_version() >= 1 else 0
        if any(each.value is not None and each.value.state is TransactionState.ONGOING for each in decision.records):
            max_bytes -= _END_BYTES
        return encode_batches(decision.records, version, decision.now_ms, max_bytes, decision.splittable)

    def replay(self, state: ShardState, decision: TransactionDecision) -> None:
        for record in decision.records:
            state.replay(record)

    def read(self, state: ShardState, chunk: memoryview, now_ms: int) -> None:
        """Only the last value of each key is kept: what it replaced is never decoded."""
        if state.damaged:
            self._read_again(state, chunk)
            return
        raw = state.raw
        for key, value in decode_pairs(chunk, self._pass_over_batch):
            if key is None:
                log.warning("partition %d: a record without a key is passed over", self._partition)
            elif value is None:
                raw.pop(key, None)
            else:
                raw[key] = value

    def _read_again(self, state: ShardState, chunk: memoryview) -> None:
        """What the damaged keys had besides their damaged values."""
        for key, value in decode_pairs(chunk, lambda *_: None):
            if key not in state.damaged:
                continue
            if value is None:
                state.raw.pop(key, None)
                continue
            try:
                decode_value(value)
            except DecodeError as error:
                self._pass_over(error)
            else:
                state.raw[key] = value

    def rest(self, state: ShardState) -> Generator[int, None, bool]:
        """Decode what is left, some hundred records a slice."""
        raw, state.raw = state.raw, {}
        damaged = set()
        for position, (key, value) in enumerate(raw.items(), 1):
            try:
                transactional_id = decode_key(key)
            except DecodeError as error:
                self._pass_over(error)
                continue
            try:
                state.replay(TransactionRecord(transactional_id, decode_value(value)))
            except DecodeError:
                damaged.add(key)
            if position % _SLICE_RECORDS == 0:
                yield _SLICE_RECORDS * _RECORD_COST_BYTES
        state.damaged = damaged
        return bool(damaged)

    def _pass_over(self, error: KwireError) -> None:
        log.warning("partition %d: a record that cannot be read is passed over: %s", self._partition, error)

    def _pass_over_batch(self, offset: int, error: KwireError) -> None:
        log.error("partition %d: records of a batch at offset %d are passed over: %s", self._partition, offset, error)

    def loaded(self, state: ShardState) -> int:
        return len(state.transactions)

    def begin(self, state: ShardState, decision: TransactionDecision) -> None:
        """What was prepared before is finished, from the next turn on: the other coordinators begin in this one."""
        state.unfinished = state.prepared()
        if state.unfinished:
            decision.schedule(_FINISH_KEY, 0)

    def timer_fired(self, state: ShardState, key: TimerKey, decision: TransactionDecision) -> None:
        if key[0] == MARKERS:
            self._write_markers(state, key[1])
        else:
            portion, state.unfinished = state.unfinished[:_FINISHED_A_TURN], state.unfinished[_FINISHED_A_TURN:]
            for transactional_id in portion:
                self._write_markers(state, transactional_id)
            if state.unfinished:
                decision.schedule(_FINISH_KEY, 0)

    def parked(self, state: ShardState) -> list[Waiter]:
        return []
