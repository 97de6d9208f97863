"""Who may write: the newest producer of a transactional id, the members of the group's newest generation."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Final

from tests.history.checks.anomaly import Anomaly
from tests.history.checks.log import name
from tests.history.model import End, History, Init, Joined, OffsetWrite, Operation, Place, Write

GROUP_FORGOTTEN_MS: Final = 600_000.0
"""An empty group without offsets is forgotten after a while, and begins with generation 1 again."""


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
    """A member of a generation commits nothing once a newer one was joined.

    Generations are told apart by when they were joined: a group that was forgotten begins with 1 again.
    """
    moments: list[tuple[int, Operation]] = []
    for operation in history.operations:
        if isinstance(operation, Joined) and operation.answered is not None and operation.acknowledged:
            moments.append((operation.answered, operation))
        elif isinstance(operation, OffsetWrite) and operation.generation >= 0 and operation.acknowledged:
            moments.append((operation.invoked, operation))
    mine: dict[tuple[str, str, int], Joined] = {}
    latest: dict[str, Joined] = {}
    for _, operation in sorted(moments, key=lambda moment: moment[0]):
        if isinstance(operation, Joined):
            mine[(operation.group, operation.member, operation.generation)] = operation
            before = latest.get(operation.group)
            if before is None or operation.generation != before.generation:
                latest[operation.group] = operation
        elif isinstance(operation, OffsetWrite):
            own = mine.get((operation.group, operation.member, operation.generation))
            newer = latest.get(operation.group)
            if own is None or newer is None or newer.generation <= own.generation or not own.before(newer):
                continue
            yield Anomaly(
                "stale generation",
                operation.group,
                f"a refusal: generation {newer.generation} was joined by {newer.process}",
                f"a commit of {operation.process} in generation {operation.generation} was acknowledged",
                [own, newer, operation],
                operation.place,
            )


def owners(history: History) -> Iterator[Anomaly]:
    """In one generation a partition belongs to one member."""
    generations: dict[str, int] = {}
    owned: dict[tuple[str, Place], Joined] = {}
    joins = [joined for joined in history.of(Joined) if joined.acknowledged]
    for joined in sorted(joins, key=lambda joined: joined.answered or 0):
        if generations.get(joined.group) != joined.generation:
            generations[joined.group] = joined.generation
            for key in [key for key in owned if key[0] == joined.group]:
                del owned[key]
        for place in joined.assigned:
            other = owned.setdefault((joined.group, place), joined)
            if joined.at_ms - (other.answered_ms or 0.0) > GROUP_FORGOTTEN_MS:
                owned[(joined.group, place)] = joined
            elif other.member != joined.member:
                yield Anomaly(
                    "two owners",
                    joined.group,
                    f"one owner of {name(place)} in generation {joined.generation}",
                    f"{other.member} and {joined.member}",
                    [other, joined],
                    place,
                )
