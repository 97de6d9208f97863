"""What an operation of a coordinator decides: records to append, answers to give once committed, timers to set.

Pure: filled by the decisions of `broker.group` and `broker.txn`, carried out by `broker.coordinator.shard`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, Protocol, TypeAlias, TypeVar

from attrs import Factory, define

from kwire.error_codes import ErrorCode

RecordT = TypeVar("RecordT")

# What the timer is, and whose: the state machine's own to choose.
TimerKey: TypeAlias = tuple[str, ...]


class Waiter(Protocol):
    """A request that waits for its answer. Opaque here: decisions pair it with the answer, the shard gives it."""

    @property
    def done(self) -> bool: ...

    def resolve(self, value: Any, /) -> None: ...

    def fail(self, error: BaseException, /) -> None: ...


@define(slots=True)
class InTransaction:
    """The records belong to a producer's transaction, or are the marker that ends it: what the log is told with them.

    guard: that the coordinator knows the transaction, opaque here (log.verification); None for a marker.
    transaction_version: for a marker, -1 otherwise.
    """

    producer_id: int
    producer_epoch: int
    guard: Any = None
    transaction_version: int = -1


@define(slots=True)
class Decision(Generic[RecordT]):
    """Filled by one operation, carried out by the shard.

    now_ms: wall clock, for what is stored. tick_ms: monotonic, for deadlines.
    answers: given in order, once `records` and all appended before them are committed.
    timers: (key, delay in ms from now) sets or replaces, (key, None) cancels.
    on_committed: runs once the records are committed, with a Decision of its own (its records are not looked at).
    on_refused: runs instead, with the code to answer, when the records could not even be appended (larger than a batch
    may be), or were not committed in time.
    splittable: the records may be appended as several batches, as each stands for itself.
    in_transaction: set where the records are one batch of a producer's.
    """

    now_ms: int
    tick_ms: float
    records: list[RecordT] = Factory(list)
    answers: list[tuple[Waiter, Any]] = Factory(list)
    timers: list[tuple[TimerKey, float | None]] = Factory(list)
    on_committed: Callable[[Decision[RecordT]], None] | None = None
    on_refused: Callable[[ErrorCode, Decision[RecordT]], None] | None = None
    splittable: bool = False
    in_transaction: InTransaction | None = None

    def answer(self, waiter: Waiter, response: Any) -> None:
        self.answers.append((waiter, response))

    def schedule(self, key: TimerKey, delay_ms: float) -> None:
        self.timers.append((key, delay_ms))

    def cancel(self, key: TimerKey) -> None:
        self.timers.append((key, None))
