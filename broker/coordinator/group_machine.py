"""What makes a shard a shard of groups: a partition of `__consumer_offsets`, its state, records and timers."""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator

from broker.coordinator.ports import UPKEEP_KEY
from broker.group.config import GroupConfig
from broker.group.decision import Decision, TimerKey, Waiter
from broker.group.offsets import expire
from broker.group.rebalance import extend_session, join_timer_fired, prepare, session_timer_fired, sync_timer_fired
from broker.group.record_codec import encode_batches
from broker.group.state import ShardState
from kwire.errors import KwireError
from kwire.records import Codec

log = logging.getLogger(__name__)


def _skip(offset: int, error: KwireError) -> None:
    """Going on without it may give a group back what it gave up; not going on would take all the partition's groups."""
    log.error("a record of __consumer_offsets at offset %d cannot be read and is passed over: %s", offset, error)


class GroupMachine:
    """broker.coordinator.ports.Machine for groups. One for all shards: it holds no state of its own."""

    noun = "groups"

    def __init__(self, config: GroupConfig, new_id: Callable[[str, str], str]) -> None:
        self._config = config
        self._new_id = new_id
        self._compression = Codec(config.offsets_topic_compression_codec)
        self.commit_timeout_ms = config.offsets_commit_timeout_ms

    def new_state(self) -> ShardState:
        return ShardState(self._config, self._new_id)

    def encode(self, decision: Decision, max_bytes: int) -> list[bytearray] | None:
        scope = decision.in_transaction
        producer = None if scope is None else (scope.producer_id, scope.producer_epoch)
        return encode_batches(
            decision.records, decision.now_ms, max_bytes, decision.splittable, self._compression, producer
        )

    def replay(self, state: ShardState, decision: Decision) -> None:
        now_ms = decision.now_ms
        for record in decision.records:
            state.replay(record, now_ms)

    def read(self, state: ShardState, chunk: memoryview, now_ms: int) -> None:
        assert state.survivors is not None
        state.survivors.read(chunk, _skip)

    def rest(self, state: ShardState) -> Generator[int, None, bool]:
        assert state.survivors is not None
        yield from state.survivors.replay(state.durable)
        return False

    def loaded(self, state: ShardState) -> int:
        state.finish_loading()
        return len(state.groups)

    def begin(self, state: ShardState, decision: Decision) -> None:
        """Members have a whole session to be heard of; a group above a lowered limit begins a rebalance."""
        decision.schedule(UPKEEP_KEY, self._config.offsets_retention_check_interval_ms)
        for group in state.groups.values():
            for member in group.members.values():
                extend_session(group, member, decision)
            if len(group.members) > self._config.group_max_size:
                prepare(state, group, decision)

    def timer_fired(self, state: ShardState, key: TimerKey, decision: Decision) -> None:
        kind = key[0]
        if kind == "session":
            session_timer_fired(state, key[1], key[2], decision)
        elif kind == "join":
            join_timer_fired(state, key[1], decision)
        elif kind == "sync":
            sync_timer_fired(state, key[1], decision)
        else:
            decision.schedule(UPKEEP_KEY, self._config.offsets_retention_check_interval_ms)
            expire(state, decision)

    def parked(self, state: ShardState) -> list[Waiter]:
        found: list[Waiter] = []
        for group in state.groups.values():
            for member in group.members.values():
                found += [waiter for waiter in (member.awaiting_join, member.awaiting_sync) if waiter is not None]
        return found
