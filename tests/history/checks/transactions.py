"""Who may write: the newest producer of a transactional id, the members of the group's newest generation."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from tests.history.checks.anomaly import Anomaly
from tests.history.model import End, History, Init, Joined, OffsetWrite, Operation, Write


def transactional_id(transaction: str) -> str:
    """Transactions are called `transactional id#number`."""
    return transaction.partition("#")[0]


def fencing(history: History) -> Iterator[Anomaly]:
    """Once a producer of the same transactional id was initialised, the one before gets nothing done any more."""
    inits: dict[str, list[Init]] = defaultdict(list)
    for init in history.of(Init):
        if init.acknowledged:
            inits[init.transactional_id].append(init)
    for operation in history.operations:
        if not isinstance(operation, (Write, End, OffsetWrite)):
            continue
        if operation.transaction is None or not operation.acknowledged:
            continue
        mine: Init | None = None
        newest: Init | None = None
        for init in inits[transactional_id(operation.transaction)]:
            if init.before(operation):
                if init.process == operation.process:
                    mine = init
                if newest is None or init.invoked > newest.invoked:
                    newest = init
        if mine is not None and newest is not None and newest is not mine and mine.before(newest):
            yield Anomaly(
                "zombie",
                operation.transaction,
                f"a refusal: {operation.process} ({mine.instance}) was fenced by {newest.process} ({newest.instance})",
                "it was acknowledged",
                [mine, newest, operation],
                operation.place if isinstance(operation, Write) else None,
                (operation.offset, operation.offset) if isinstance(operation, Write) else None,
            )


def stale_generations(history: History) -> Iterator[Anomaly]:
    """A member of an older generation commits nothing once a newer one was joined."""
    newest: dict[str, Joined] = {}
    moments: list[tuple[int, Operation]] = []
    for operation in history.operations:
        if not operation.acknowledged:
            continue
        if isinstance(operation, Joined):
            moments.append((operation.answered or 0, operation))
        elif isinstance(operation, OffsetWrite) and operation.generation >= 0:
            moments.append((operation.invoked, operation))
    for _, operation in sorted(moments, key=lambda moment: moment[0]):
        if isinstance(operation, Joined):
            before = newest.get(operation.group)
            if before is None or operation.generation > before.generation:
                newest[operation.group] = operation
        elif isinstance(operation, OffsetWrite):
            joined = newest.get(operation.group)
            if joined is not None and joined.generation > operation.generation:
                yield Anomaly(
                    "stale generation",
                    operation.group,
                    f"a refusal: generation {joined.generation} was joined by {joined.process}",
                    f"a commit of {operation.process} in generation {operation.generation} was acknowledged",
                    [joined, operation],
                    operation.place,
                )


def owners(history: History) -> Iterator[Anomaly]:
    """In one generation a partition belongs to one member."""
    owned: dict[tuple[str, int, object], Joined] = {}
    for joined in history.of(Joined):
        if not joined.acknowledged:
            continue
        for place in joined.assigned:
            other = owned.setdefault((joined.group, joined.generation, place), joined)
            if other.member != joined.member:
                yield Anomaly(
                    "two owners",
                    joined.group,
                    f"one owner of {place} in generation {joined.generation}",
                    f"{other.member} and {joined.member}",
                    [other, joined],
                    place,
                )
