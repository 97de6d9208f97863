"""What makes a shard a shard of transactions: a partition of `__transaction_state`, its state and records."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import Final

from broker.decision import Decision, TimerKey, Waiter
from broker.txn.config import TransactionConfig
from broker.txn.record_codec import decode_pairs, decode_record, encode_batches
from broker.txn.state import ShardState
from broker.txn.transaction import TransactionRecord
from kwire.errors import DecodeError

log = logging.getLogger(__name__)

TransactionDecision = Decision[TransactionRecord]
MARKERS: Final = "markers"
_SLICE_RECORDS: Final = 128
_RECORD_COST_BYTES: Final = 256
"""A record is decoded in the time in which so many bytes are read."""
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
        return encode_batches(decision.records, version, decision.now_ms, max_bytes, decision.splittable)

    def replay(self, state: ShardState, decision: TransactionDecision) -> None:
        for record in decision.records:
            state.replay(record)

    def read(self, state: ShardState, chunk: memoryview, now_ms: int) -> None:
        """Only the last value of each key is kept: what it replaced is never decoded."""
        raw = state.raw
        for key, value in decode_pairs(chunk):
            if key is None:
                log.warning("partition %d: a record without a key is passed over", self._partition)
            elif value is None:
                raw.pop(key, None)
            else:
                raw[key] = value

    def rest(self, state: ShardState) -> Iterator[int]:
        """Decode what is left, some hundred records a slice."""
        raw, state.raw = state.raw, {}
        for position, (key, value) in enumerate(raw.items(), 1):
            try:
                state.replay(decode_record(key, value))
            except DecodeError as error:
                log.warning("partition %d: a record that cannot be read is passed over: %s", self._partition, error)
            if position % _SLICE_RECORDS == 0:
                yield _SLICE_RECORDS * _RECORD_COST_BYTES

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
