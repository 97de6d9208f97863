"""Groups' offsets are registers: what is read was written, and not overwritten since. And the sum of it: each input of
a consume-transform-produce loop has one output."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator

from attrs import define

from tests.history.checks.anomaly import Anomaly
from tests.history.checks.log import name
from tests.history.model import (
    End,
    History,
    OffsetRead,
    OffsetWrite,
    Operation,
    Outcome,
    Place,
    Verdict,
    Write,
    verdicts,
)

_NEVER = 1 << 62
Register = tuple[str, Place]


@define(eq=False)
class _Change:
    """An offset that was written some time in (start, end). `sure`: it did take effect."""

    offset: int
    start: int
    end: int
    sure: bool
    operation: Operation | None


def committed_offsets(history: History) -> Iterator[Anomaly]:
    """Each read gives an offset that was committed before its answer and not replaced before it was asked for."""
    changes = _changes(history)
    refused = _refused(history)
    broken: set[Register] = set()
    for read in sorted(history.of(OffsetRead), key=lambda read: read.answered or 0):
        register = (read.group, read.place)
        if not read.acknowledged or read.answered is None or register in broken:
            continue
        candidates = [change for change in changes[register] if change.start < read.answered]
        latest = max((change for change in candidates if change.sure and change.end < read.invoked), key=_start)
        matching = [change for change in candidates if change.offset == read.offset]
        if any(change.end >= latest.start for change in matching):
            if len(matching) == 1:
                # Whether it was answered or not: it has taken effect by now.
                matching[0].sure = True
                matching[0].end = min(matching[0].end, read.answered)
            continue
        broken.add(register)
        dirty = [write for write in refused[register] if write.offset == read.offset and write.invoked < read.answered]
        if dirty:
            check, expected = "dirty offset", "no offset of a commit that was refused or aborted"
        elif matching:
            check, expected = "stale offset", f"offset {latest.offset}, committed before, or a later one"
        else:
            check, expected = "stale offset", f"offset {latest.offset}, or another that was committed"
        related = [change.operation for change in candidates[-3:] if change.operation is not None]
        if latest.operation is not None and latest.operation not in related:
            related.append(latest.operation)
        transactions = {
            write.transaction
            for write in [*dirty[-2:], *related]
            if isinstance(write, OffsetWrite) and write.transaction
        }
        related += [end for end in history.of(End) if end.transaction in transactions]
        yield Anomaly(
            check,
            f"{read.group} {name(read.place)}",
            expected,
            "no offset at all" if read.offset < 0 else f"offset {read.offset}",
            [*dirty[-2:], *related, read],
            read.place,
        )


def _start(change: _Change) -> int:
    return change.start


def _changes(history: History) -> dict[Register, list[_Change]]:
    ended = verdicts(history)
    commits: dict[str, list[End]] = defaultdict(list)
    for end in history.of(End):
        if end.commit and end.outcome is not Outcome.FAILED:
            commits[end.transaction].append(end)
    found: dict[Register, list[_Change]] = defaultdict(lambda: [_Change(-1, 0, 0, True, None)])
    for write in history.of(OffsetWrite):
        if write.outcome is Outcome.FAILED:
            continue
        register = (write.group, write.place)
        if write.transaction is None:
            sure = write.answered is not None
            found[register].append(_Change(write.offset, write.invoked, write.answered or _NEVER, sure, write))
        elif ended[write.transaction] is not Verdict.NOT_COMMITTED:
            ends = commits[write.transaction]
            done = next((end.answered for end in ends if end.answered is not None), None)
            sure = done is not None and write.acknowledged
            found[register].append(_Change(write.offset, ends[0].invoked, done or _NEVER, sure, write))
    return found


def _refused(history: History) -> dict[Register, list[OffsetWrite]]:
    ended = verdicts(history)
    found: dict[Register, list[OffsetWrite]] = defaultdict(list)
    for write in history.of(OffsetWrite):
        aborted = write.transaction is not None and ended[write.transaction] is Verdict.NOT_COMMITTED
        if aborted or write.outcome is Outcome.FAILED:
            found[(write.group, write.place)].append(write)
    return found


def exactly_once(history: History) -> Iterator[Anomaly]:
    """Of a loop that reads, transforms and writes in transactions: one output for each input below its group's offset,
    none for those above. An output's value is `input>group@transaction`.
    """
    outputs = Counter(seen.value.partition("@")[0] for log in history.final.values() for seen in log.committed)
    position: dict[Register, OffsetRead] = {}
    for read in history.of(OffsetRead):
        if read.acknowledged:
            position[(read.group, read.place)] = read
    writes: dict[str, list[Write]] = defaultdict(list)
    for write in history.of(Write):
        for value in write.values:
            writes[value.partition("@")[0]].append(write)
    for (group, place), read in position.items():
        if group not in history.transforms or place not in history.final:
            continue
        for seen in history.final[place].committed:
            wanted = 1 if seen.offset < read.offset else 0
            value = f"{seen.value}>{group}"
            if outputs[value] != wanted:
                attempts = {write.transaction for write in writes[value]}
                ends = [end for end in history.of(End) if end.transaction in attempts]
                moves = [
                    move for move in history.of(OffsetWrite) if move.transaction in attempts and move.place == place
                ]
                yield Anomaly(
                    "exactly once",
                    value,
                    f"{wanted} output(s) of {seen.value} (offset {seen.offset} of {name(place)}): "
                    f"{group} is at offset {read.offset}",
                    f"{outputs[value]} output(s)",
                    [*writes[value], *moves, *ends, read],
                    place,
                    (seen.offset, seen.offset),
                )
                break
