"""Brokers with a fault built in, each of a kind a broker could have; the checks must find every one of them.

A mutation replaces a function of the broker for as long as it is in force. `caught_by`: the checks of which one has to
speak up.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

from attrs import define, evolve

import log.recovery
from broker import transaction_markers
from broker.coordinator import transactions as transaction_coordinator
from broker.coordinator.coordinator import GroupCoordinator
from broker.coordinator.group_machine import GroupMachine
from broker.coordinator.transaction_machine import TransactionMachine
from broker.deferred import Deferred, resolved
from broker.group import offsets as group_offsets
from broker.group.offsets import check_commit
from broker.partitions import Partition
from broker.transaction_markers import TransactionMarkers
from broker.txn.states import TransactionState
from kwire.error_codes import ErrorCode
from kwire.records import ControlType
from log.config import CommitRule, LogConfig
from log.log_reading import LogReading
from log.log_state import LogState
from log.producer_state import ProducerStateManager
from log.recovery import checked_batches
from tests.history.world import Shape

Patches = Callable[[], list[Any]]


@define(frozen=True)
class Mutation:
    """See the module. synced: what kind of world shows it."""

    name: str
    patches: Patches
    caught_by: frozenset[str]
    synced: bool = False
    transactions: bool = True
    only: frozenset[str] = frozenset()
    """The faults that show it soonest; empty: any."""

    @property
    def shape(self) -> Shape:
        return Shape(synced=self.synced, operations=1_500, transactions=self.transactions, only=self.only)

    @contextlib.contextmanager
    def in_force(self) -> Iterator[None]:
        with contextlib.ExitStack() as stack:
            for patch in self.patches():
                stack.enter_context(patch)
            yield


def patch(owner: Any, name: str, replacement: Any) -> Any:
    assert hasattr(owner, name), f"{owner} has no {name} any more"
    return mock.patch.object(owner, name, replacement)


def _nothing(*_: Any, **__: Any) -> None:
    return None


def _no_duplicate_detection() -> list[Any]:
    return [
        patch(ProducerStateManager, "find_duplicate", _nothing),
        patch(ProducerStateManager, "_check_sequence", _nothing),
    ]


def _stable_is_high_watermark() -> list[Any]:
    return [patch(LogState, "last_stable_offset", property(lambda self: self.high_watermark))]


def _no_aborted_transactions() -> list[Any]:
    return [patch(LogReading, "aborted_transactions", lambda *_, **__: [])]


def _aborts_written_as_commits() -> list[Any]:
    real = transaction_markers.end_transaction_marker

    def marker(kind: ControlType, **fields: Any) -> bytearray:
        return real(ControlType.COMMIT, **fields)

    return [patch(transaction_markers, "end_transaction_marker", marker)]


def _aborted_offsets_applied() -> list[Any]:
    real = GroupCoordinator.complete_transaction

    def complete(
        self: Any, partition: int, producer: int, epoch: int, coordinator: int, _committed: bool, v: int
    ) -> Any:
        return real(self, partition, producer, epoch, coordinator, True, v)

    return [patch(GroupCoordinator, "complete_transaction", complete)]


def _answered_before_committed() -> list[Any]:
    def committed(self: Partition, offset: int) -> Deferred[None]:
        return resolved(None)

    return [patch(Partition, "committed", committed)]


def _recovery_cuts_a_batch_too_many() -> list[Any]:
    def checked(segment: Any, expected_offset: int) -> Iterator[Any]:
        before = None
        for each in checked_batches(segment, expected_offset):
            if before is not None:
                yield before
            before = each

    return [patch(log.recovery, "checked_batches", checked)]


def _recovery_believes_the_page_cache() -> list[Any]:
    real = log.recovery.load

    def load(*arguments: Any, **options: Any) -> Any:
        return real(*arguments, **(options | {"synced": False}))

    return [patch(log.recovery, "load", load)]


def _high_watermark_beyond_fsync() -> list[Any]:
    return [patch(LogConfig, "commit_rule", property(lambda self: CommitRule.PAGE_CACHE))]


def _epochs_not_checked_by_partitions() -> list[Any]:
    return [patch(ProducerStateManager, "_check_epoch", _nothing), *_coordinator_ignores_epochs()]


def _coordinator_ignores_epochs() -> list[Any]:
    """Of the same producer id: as if the epoch were the current one."""
    add = transaction_coordinator.joining.add
    verify = transaction_coordinator.joining.verify
    end = transaction_coordinator.ending.end

    def current(state: Any, transactional_id: str, epoch: int) -> int:
        found = state.transactions.get(transactional_id)
        return epoch if found is None else int(found.producer_epoch)

    def any_add(state: Any, id_: str, producer: int, epoch: int, *rest: Any) -> Any:
        return add(state, id_, producer, current(state, id_, epoch), *rest)

    def any_verify(state: Any, id_: str, producer: int, epoch: int, *rest: Any) -> Any:
        return verify(state, id_, producer, current(state, id_, epoch), *rest)

    def any_end(state: Any, id_: str, producer: int, epoch: int, *rest: Any) -> Any:
        return end(state, id_, producer, current(state, id_, epoch), *rest)

    return [
        patch(transaction_coordinator.joining, "add", any_add),
        patch(transaction_coordinator.joining, "verify", any_verify),
        patch(transaction_coordinator.ending, "end", any_end),
    ]


def _one_partition_without_marker() -> list[Any]:
    real = TransactionMarkers.write

    def write(
        self: Any, producer: int, epoch: int, committed: bool, coordinator: int, partitions: Any, version: int
    ) -> Deferred[dict[Any, ErrorCode]]:
        wanted = sorted(partitions)
        left_out = wanted[-1] if len(wanted) > 1 else None
        done: Deferred[dict[Any, ErrorCode]] = Deferred()

        def told(written: Deferred[dict[Any, ErrorCode]]) -> None:
            codes = written.result()
            done.resolve(codes if left_out is None else codes | {left_out: ErrorCode.NONE})

        real(self, producer, epoch, committed, coordinator, [p for p in wanted if p != left_out], version).add_callback(
            told
        )
        return done

    return [patch(TransactionMarkers, "write", write)]


def _group_records_not_written() -> list[Any]:
    return [patch(GroupMachine, "encode", lambda *_: [])]


def _producers_forgotten_at_restart() -> list[Any]:
    def replay(_segments: Any, producers: Any, _snapshots: Any, start: int, end: int, _now_ms: int) -> None:
        producers.reset(start)
        producers.end_offset = end

    return [patch(log.recovery, "replay_producers", replay), patch(log.recovery, "_replay", _nothing)]


def _fetch_skips_a_record() -> list[Any]:
    real = LogReading.read

    def read(self: Any, offset: int, max_bytes: int, *, up_to: int, min_one: bool = True) -> Any:
        skip = offset % 5 == 4 and offset + 1 < up_to
        return real(self, offset + skip, max_bytes, up_to=up_to, min_one=min_one)

    return [patch(LogReading, "read", read)]


def _timeout_does_not_fence() -> list[Any]:
    real = transaction_coordinator.ending.fence

    def fence(id_: str, found: Any, server_version: int, new_producer_id: int, decision: Any) -> Any:
        before = len(decision.records)
        real(id_, found, server_version, new_producer_id, decision)
        record = decision.records[before]
        value = evolve(record.value, producer_epoch=found.producer_epoch, client_version=1)
        decision.records[before] = evolve(record, value=value)
        return value

    return [patch(transaction_coordinator.ending, "fence", fence)]


def _generation_not_checked() -> list[Any]:
    def check(
        state: Any, group_id: str, member_id: str, instance_id: Any, generation: int, version: int, decision: Any
    ) -> Any:
        group = state.groups.get(group_id)
        if group is not None:
            return group
        return check_commit(state, group_id, member_id, instance_id, generation, version, decision)

    return [patch(group_offsets, "check_commit", check)]


def _prepared_not_finished_after_restart() -> list[Any]:
    return [patch(TransactionMachine, "begin", _nothing)]


def _open_transactions_forgotten_at_restart() -> list[Any]:
    real = TransactionMachine.loaded

    def loaded(self: Any, state: Any) -> int:
        count = real(self, state)
        for id_, transaction in list(state.transactions.items()):
            if transaction.state is TransactionState.ONGOING:
                state.ongoing.discard(id_) if isinstance(state.ongoing, set) else state.ongoing.pop(id_, None)
                state.transactions[id_] = evolve(transaction, state=TransactionState.EMPTY, partitions=())
        return count

    return [patch(TransactionMachine, "loaded", loaded)]


def mutation(
    name: str,
    patches: Patches,
    *caught_by: str,
    synced: bool = False,
    transactions: bool = True,
    only: tuple[str, ...] = (),
) -> Mutation:
    return Mutation(name, patches, frozenset(caught_by), synced, transactions, frozenset(only))


MUTATIONS = (
    mutation("duplicates are not detected", _no_duplicate_detection, "duplicate"),
    mutation("last stable offset = high watermark", _stable_is_high_watermark, "aborted read"),
    mutation("aborted transactions are not told", _no_aborted_transactions, "aborted read"),
    mutation("abort markers written as commits", _aborts_written_as_commits, "aborted read"),
    mutation("offsets of aborted transactions applied", _aborted_offsets_applied, "dirty offset", "exactly once"),
    mutation(
        "answered before committed", _answered_before_committed, "unseen acknowledged write", "lost write", synced=True
    ),
    mutation("recovery cuts a batch too many", _recovery_cuts_a_batch_too_many, "lost write", "divergence"),
    mutation(
        "recovery believes the page cache",
        _recovery_believes_the_page_cache,
        "lost write",
        "unseen acknowledged write",
        "stale offset",
        synced=True,
        transactions=False,
        only=("failing_syncs", "kill", "power_loss"),
    ),
    mutation(
        "high watermark beyond the fsync",
        _high_watermark_beyond_fsync,
        "lost write",
        "divergence",
        "unseen acknowledged write",
        synced=True,
        transactions=False,
        only=("power_loss",),
    ),
    mutation("epochs are not checked", _epochs_not_checked_by_partitions, "zombie"),
    mutation(
        "one partition gets no marker", _one_partition_without_marker, "stuck transaction", "half-visible transaction"
    ),
    mutation("groups' records are not written", _group_records_not_written, "stale offset", "two owners"),
    mutation("producers forgotten at restart", _producers_forgotten_at_restart, "duplicate", "aborted read"),
    mutation("fetch skips a record", _fetch_skips_a_record, "skipped"),
    mutation(
        "a timeout does not fence",
        _timeout_does_not_fence,
        "zombie",
        "half-visible transaction",
        "exactly once",
        only=("pause",),
    ),
    mutation(
        "generations are not checked",
        _generation_not_checked,
        "stale generation",
        transactions=False,
        only=("pause",),
    ),
    mutation(
        "prepared transactions are not finished after a restart",
        _prepared_not_finished_after_restart,
        "stuck",
        "stuck transaction",
        only=("kill", "kill_in_the_middle"),
    ),
    mutation(
        "open transactions forgotten at restart",
        _open_transactions_forgotten_at_restart,
        "stuck",
        "stuck transaction",
        "half-visible transaction",
    ),
)
