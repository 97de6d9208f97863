"""All checks of a history together, and how what they find is told: expected, seen, and the events around it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from tests.history.checks import log, offsets, reads, transactions
from tests.history.checks.anomaly import Anomaly
from tests.history.model import (
    End,
    Fault,
    History,
    Init,
    Joined,
    OffsetRead,
    OffsetWrite,
    Operation,
    Outcome,
    Poll,
    Write,
)

Check = Callable[[History], Iterator[Anomaly]]

CHECKS: Final[tuple[Check, ...]] = (
    log.lost_writes,
    log.duplicates,
    log.reordering,
    log.log_shape,
    log.stuck,
    log.divergence,
    reads.aborted_reads,
    reads.half_visible,
    reads.skipped,
    reads.poll_order,
    reads.marks_going_back,
    reads.unseen_acknowledged,
    transactions.fencing,
    transactions.stale_generations,
    transactions.owners,
    offsets.committed_offsets,
    offsets.exactly_once,
)
_LINES = 30
_PER_CHECK = 3


def broker_errors(history: History) -> Iterator[Anomaly]:
    """The broker logs no unexpected error."""
    for error in history.broker_errors:
        yield Anomaly("broker error", "the log", "no unexpected error", error)


def unreadable(history: History) -> Iterator[Anomaly]:
    """What is answered to a fetch are records."""
    for what in history.unreadable:
        yield Anomaly("unreadable", "an answer", "whole and sound record batches", what)


def unfinished(history: History) -> Iterator[Anomaly]:
    """Once everything works again, everything comes to an end."""
    for what in history.unfinished:
        last = [operation for operation in history.operations if operation.outcome is not Outcome.OK][-6:]
        yield Anomaly("stuck", "the end", "that all clients and the last reading come to an end", what, last)


def check(history: History, *, per_check: int = _PER_CHECK) -> list[Anomaly]:
    """What is wrong, of each check the first few."""
    found: list[Anomaly] = []
    for run in (*CHECKS, broker_errors, unreadable, unfinished):
        for count, anomaly in enumerate(run(history), 1):
            found.append(anomaly)
            if count == per_check:
                break
    return found


def report(history: History, anomalies: list[Anomaly]) -> str:
    """All of it as text, for a person."""
    return "\n\n".join(tell(history, anomaly) for anomaly in anomalies)


def tell(history: History, anomaly: Anomaly) -> str:
    """One anomaly, what was expected and seen, and the timeline of what has to do with it."""
    lines = [
        f"{anomaly.check.upper()}: {anomaly.subject}",
        f"  expected: {anomaly.expected}",
        f"  seen:     {anomaly.seen}",
    ]
    if anomaly.place is not None and anomaly.offsets is not None and anomaly.place in history.final:
        lines.append(f"  in the end {log.name(anomaly.place)} holds:")
        first, last = anomaly.offsets
        around = [entry for entry in history.final[anomaly.place].entries if first - 2 <= entry.offset <= last + 2]
        lines += [f"    {entry.offset:6} {log.describe(entry)}" for entry in around[:_LINES]]
    if anomaly.related:
        lines.append("  timeline:")
        lines += [f"    {line}" for line in timeline(history, anomaly.related)]
    return "\n".join(lines)


def timeline(history: History, related: list[Operation]) -> list[str]:
    """The operations, and the faults from shortly before the first of them on."""
    first = min(operation.invoked for operation in related)
    last = max(operation.answered or operation.invoked for operation in related)
    events: list[tuple[int, str]] = [(operation.invoked, _line(operation)) for operation in dict.fromkeys(related)]
    faults = [fault for fault in history.faults if fault.tick <= last]
    earlier = [fault for fault in faults if fault.tick < first][-3:]
    events += [(fault.tick, _fault(fault)) for fault in earlier + [fault for fault in faults if fault.tick >= first]]
    ordered = [text for _, text in sorted(events)]
    if len(ordered) > _LINES:
        ordered = [*ordered[: _LINES // 2], "...", *ordered[-_LINES // 2 :]]
    return ordered


def _fault(fault: Fault) -> str:
    return f"{fault.at_ms:10.1f} ms  *** {fault.what}"


def _line(operation: Operation) -> str:
    end = "never answered" if operation.answered_ms is None else f"answered at {operation.answered_ms:.1f} ms"
    result = operation.outcome.value + (f" ({operation.error})" if operation.error else "")
    return f"{operation.at_ms:10.1f} ms  {operation.process}: {_what(operation)} -> {result}, {end}"


def _what(operation: Operation) -> str:
    match operation:
        case Write():
            within = f" in {operation.transaction}" if operation.transaction else ""
            at = f" at offset {operation.offset}" if operation.outcome is Outcome.OK else ""
            return (
                f"write {','.join(operation.values)} to {log.name(operation.place)}{at}{within} "
                f"(producer {operation.instance}, sequence {operation.sequence}, {operation.attempts} attempt(s))"
            )
        case Init():
            return f"init producer {operation.transactional_id} = {operation.instance}"
        case End():
            return f"{'commit' if operation.commit else 'abort'} {operation.transaction}"
        case Poll():
            return (
                f"read {log.name(operation.place)} from {operation.offset} to {operation.position} "
                f"({'committed' if operation.committed_only else 'all'}): high watermark {operation.high_watermark}, "
                f"last stable offset {operation.last_stable_offset}, "
                f"got {' '.join(f'{seen.offset}={seen.value}' for seen in operation.seen[:12]) or 'nothing'}"
            )
        case OffsetWrite():
            within = f" in {operation.transaction}" if operation.transaction else ""
            return (
                f"commit offset {operation.offset} of {log.name(operation.place)} for {operation.group}{within} "
                f"(generation {operation.generation})"
            )
        case OffsetRead():
            return f"offset of {log.name(operation.place)} for {operation.group} = {operation.offset}"
        case Joined():
            return f"joined {operation.group} as {operation.member}, generation {operation.generation}"
        case _:
            return type(operation).__name__
