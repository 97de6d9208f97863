"""What a history is made of: every operation of every client, with when it was invoked and answered, and every fault.

Times are ticks: the position in the order of all that happened. An operation that never got an answer has the outcome
UNKNOWN: it may have taken effect at any time from its invocation on, or not at all. Every record written has a value of
its own, so that it is recognised wherever it turns up.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import TypeVar

from attrs import define, field

Place = tuple[str, int]
"""Topic and partition."""


class Outcome(Enum):
    OK = "ok"
    FAILED = "failed"
    """Refused: it did not and will not take effect."""
    UNKNOWN = "unknown"


@define(eq=False)
class Operation:
    """Something a client asked for. `at_ms`, `answered_ms`: the time of the world."""

    process: str = ""
    number: int = -1
    invoked: int = -1
    at_ms: float = 0.0
    answered: int | None = None
    answered_ms: float | None = None
    outcome: Outcome = Outcome.UNKNOWN
    error: str = ""

    @property
    def acknowledged(self) -> bool:
        return self.outcome is Outcome.OK

    def before(self, other: Operation) -> bool:
        """Answered before the other was invoked."""
        return self.answered is not None and self.answered < other.invoked


@define(eq=False)
class Write(Operation):
    """One batch of one producer: all its attempts. `stream`: within it, batches to a place are in order of `number`.

    instance: the producer's `producer id:epoch`. transaction: the name of the transaction it belongs to.
    """

    stream: str = ""
    instance: str = ""
    place: Place = ("", -1)
    values: list[str] = field(factory=list)
    sequence: int = -1
    transaction: str | None = None
    offset: int = -1
    attempts: int = 0


@define(eq=False)
class Init(Operation):
    """InitProducerId of a transactional id: who came before is fenced from its answer on."""

    transactional_id: str = ""
    producer_id: int = -1
    epoch: int = -1
    resumed: bool = False
    """It named the producer id and epoch it had. (KIP-360)"""

    @property
    def instance(self) -> str:
        return f"{self.producer_id}:{self.epoch}"


@define(eq=False)
class End(Operation):
    """All attempts at ending a transaction one way. FAILED: no attempt can have taken effect."""

    transaction: str = ""
    commit: bool = False


@define(eq=False)
class Seen:
    """A record as a client saw it."""

    offset: int
    value: str
    producer_id: int = -1
    epoch: int = -1
    transactional: bool = False


@define(eq=False)
class Poll(Operation):
    """One fetch from one partition. `position`: where the reader goes on. reader: its polls follow one another."""

    reader: str = ""
    place: Place = ("", -1)
    committed_only: bool = False
    offset: int = 0
    seen: list[Seen] = field(factory=list)
    position: int = 0
    high_watermark: int = -1
    last_stable_offset: int = -1


@define(eq=False)
class OffsetWrite(Operation):
    """A group's offset of a place, committed; within a transaction it counts when that is committed."""

    group: str = ""
    place: Place = ("", -1)
    offset: int = -1
    member: str = ""
    generation: int = -1
    transaction: str | None = None


@define(eq=False)
class OffsetRead(Operation):
    """A group's offset of a place, asked for with `require_stable`. -1: none."""

    group: str = ""
    place: Place = ("", -1)
    offset: int = -1


@define(eq=False)
class Joined(Operation):
    """A member is in a generation, and what it was assigned."""

    group: str = ""
    member: str = ""
    generation: int = -1
    assigned: list[Place] = field(factory=list)


@define(eq=False)
class Fault:
    """What the nemesis did."""

    tick: int
    at_ms: float
    what: str


@define(eq=False)
class LogEntry:
    """A record of the log at the end. marker: "commit" or "abort" for a control record, else None."""

    offset: int
    value: str
    producer_id: int = -1
    epoch: int = -1
    transactional: bool = False
    marker: str | None = None


@define(eq=False)
class FinalLog:
    """All there is in a partition in the end, read by both kinds of readers."""

    entries: list[LogEntry] = field(factory=list)
    committed: list[Seen] = field(factory=list)
    high_watermark: int = -1
    last_stable_offset: int = -1
    log_start_offset: int = 0


T = TypeVar("T", bound=Operation)


@define(eq=False)
class History:
    """Everything that happened, in order. `now_ms`: the time of the world."""

    now_ms: Callable[[], float] = lambda: 0.0
    operations: list[Operation] = field(factory=list)
    faults: list[Fault] = field(factory=list)
    final: dict[Place, FinalLog] = field(factory=dict)
    broker_errors: list[str] = field(factory=list)
    unreadable: list[str] = field(factory=list)
    """Answers whose records no client can read."""
    transforms: set[str] = field(factory=set)
    """Groups of consume-transform-produce loops; an output's value is `input>group@transaction`."""
    unfinished: list[str] = field(factory=list)
    """What did not come to an end after everything was healed."""
    tick: int = 0

    def next_tick(self) -> int:
        self.tick += 1
        return self.tick

    def begin(self, operation: T) -> T:
        """Note that it is invoked now."""
        operation.number = len(self.operations)
        operation.invoked = self.next_tick()
        operation.at_ms = self.now_ms()
        self.operations.append(operation)
        return operation

    def finish(self, operation: Operation, outcome: Outcome, error: str = "") -> None:
        """Note its answer. UNKNOWN: that there will be none."""
        operation.outcome = outcome
        operation.error = error
        tick = self.next_tick()
        if outcome is not Outcome.UNKNOWN:
            operation.answered = tick
            operation.answered_ms = self.now_ms()

    def fault(self, what: str) -> None:
        self.faults.append(Fault(self.next_tick(), self.now_ms(), what))

    def of(self, kind: type[T]) -> list[T]:
        return [operation for operation in self.operations if type(operation) is kind]


class Verdict(Enum):
    """How a transaction ended, as far as its client can know."""

    COMMITTED = "committed"
    NOT_COMMITTED = "never committed"
    """Aborted, or a commit was never asked for, or surely refused."""
    UNKNOWN = "unknown"


def verdicts(history: History) -> dict[str, Verdict]:
    """Of every transaction that anything was written in."""
    found: dict[str, Verdict] = {}
    for operation in history.operations:
        if isinstance(operation, (Write, OffsetWrite)) and operation.transaction is not None:
            found.setdefault(operation.transaction, Verdict.NOT_COMMITTED)
        elif isinstance(operation, End) and operation.commit:
            if operation.outcome is Outcome.OK:
                found[operation.transaction] = Verdict.COMMITTED
            elif operation.outcome is Outcome.UNKNOWN:
                found[operation.transaction] = Verdict.UNKNOWN
    return found
