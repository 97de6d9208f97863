"""What must hold between what was acknowledged and what the logs hold in the end."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from tests.history.checks.anomaly import Anomaly
from tests.history.model import FinalLog, History, LogEntry, Place, Poll, Write


def lost_writes(history: History) -> Iterator[Anomaly]:
    """An acknowledged batch is in the log, at the offset that was told."""
    by_offset = {place: {entry.offset: entry for entry in log.entries} for place, log in history.final.items()}
    for write in history.of(Write):
        if not write.acknowledged or write.place not in by_offset:
            continue
        entries = by_offset[write.place]
        for index, value in enumerate(write.values):
            entry = entries.get(write.offset + index)
            if entry is None or entry.value != value:
                yield Anomaly(
                    "lost write",
                    value,
                    f"{value} at offset {write.offset + index} of {name(write.place)}, as acknowledged",
                    "nothing there" if entry is None else f"{describe(entry)} there",
                    [write],
                    write.place,
                    (write.offset, write.offset + len(write.values) - 1),
                )
                break


def duplicates(history: History) -> Iterator[Anomaly]:
    """A value is in the logs once at most: every producer of a history is idempotent."""
    found: dict[str, tuple[Place, int]] = {}
    writes = writes_by_value(history)
    for place, log in history.final.items():
        for entry in log.entries:
            if entry.marker is not None:
                continue
            first = found.setdefault(entry.value, (place, entry.offset))
            if first != (place, entry.offset):
                write = writes.get(entry.value)
                yield Anomaly(
                    "duplicate",
                    entry.value,
                    f"{entry.value} once",
                    f"at offset {first[1]} of {name(first[0])} and again at offset {entry.offset} of {name(place)}",
                    [] if write is None else [write],
                    place,
                    (first[1] if first[0] == place else entry.offset, entry.offset),
                )


def reordering(history: History) -> Iterator[Anomaly]:
    """What one producer sent to one partition stands there in the order it was sent."""
    writes = writes_by_value(history)
    for place, log in history.final.items():
        last: dict[str, tuple[Write, LogEntry]] = {}
        for entry in log.entries:
            write = writes.get(entry.value)
            if entry.marker is not None or write is None:
                continue
            before = last.get(write.stream)
            if before is not None and before[0].number > write.number:
                yield Anomaly(
                    "reordering",
                    write.stream,
                    f"{entry.value} before {before[1].value}: it was sent first",
                    f"offset {before[1].offset} holds {before[1].value}, offset {entry.offset} holds {entry.value}",
                    [write, before[0]],
                    place,
                    (before[1].offset, entry.offset),
                )
                break
            last[write.stream] = (write, entry)


def log_shape(history: History) -> Iterator[Anomaly]:
    """Offsets rise one by one, and nobody's record is there that nobody wrote."""
    writes = writes_by_value(history)
    for place, log in history.final.items():
        expected = log.log_start_offset
        for entry in log.entries:
            if entry.offset != expected:
                yield Anomaly(
                    "log shape",
                    name(place),
                    f"offset {expected} next",
                    f"offset {entry.offset} ({describe(entry)})",
                    [],
                    place,
                    (expected - 1, entry.offset),
                )
                break
            expected += 1
            if entry.marker is None and entry.value not in writes:
                yield Anomaly(
                    "phantom",
                    entry.value,
                    "records that a client wrote",
                    f"{describe(entry)} at offset {entry.offset}",
                    [],
                    place,
                    (entry.offset, entry.offset),
                )
                break


def stuck(history: History) -> Iterator[Anomaly]:
    """In the end every transaction is over: readers of committed records get to the log's end."""
    for place, log in history.final.items():
        if log.last_stable_offset != log.high_watermark:
            yield Anomaly(
                "stuck transaction",
                name(place),
                f"last stable offset {log.high_watermark}, the high watermark, after every transaction timed out",
                f"last stable offset {log.last_stable_offset}: {_open_there(log)}",
                [],
                place,
                (log.last_stable_offset, log.last_stable_offset),
            )


def _open_there(log: FinalLog) -> str:
    for entry in log.entries:
        if entry.offset >= log.last_stable_offset:
            return f"{describe(entry)} begins a transaction that nobody ends"
    return "nothing there"


def divergence(history: History) -> Iterator[Anomaly]:
    """What was read once at an offset stays there: nothing is shown that can be lost."""
    by_offset = {place: {entry.offset: entry for entry in log.entries} for place, log in history.final.items()}
    for poll in history.of(Poll):
        entries = by_offset.get(poll.place)
        if entries is None:
            continue
        for seen in poll.seen:
            entry = entries.get(seen.offset)
            if entry is None or entry.value != seen.value:
                yield Anomaly(
                    "divergence",
                    seen.value,
                    f"{seen.value} at offset {seen.offset} of {name(poll.place)}, as {poll.reader} read it",
                    "nothing there in the end" if entry is None else f"{describe(entry)} there in the end",
                    [poll],
                    poll.place,
                    (seen.offset, seen.offset),
                )
                break


def writes_by_value(history: History) -> dict[str, Write]:
    return {value: write for write in history.of(Write) for value in write.values}


def name(place: Place) -> str:
    return f"{place[0]}-{place[1]}"


def describe(entry: LogEntry) -> str:
    who = f" of producer {entry.producer_id}:{entry.epoch}" if entry.producer_id >= 0 else ""
    return f"{entry.marker} marker{who}" if entry.marker is not None else f"{entry.value}{who}"


def by_place(history: History) -> dict[Place, list[Poll]]:
    """The answered polls of each partition."""
    found: dict[Place, list[Poll]] = defaultdict(list)
    for poll in history.of(Poll):
        if poll.acknowledged:
            found[poll.place].append(poll)
    return found
