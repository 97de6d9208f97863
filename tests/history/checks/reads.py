"""What readers may see, and when."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator

from tests.history.checks.anomaly import Anomaly
from tests.history.checks.log import by_place, name, writes_by_value
from tests.history.model import End, History, Operation, Poll, Verdict, Write, verdicts


def aborted_reads(history: History) -> Iterator[Anomaly]:
    """A reader of committed records gets no record of a transaction that was not committed, or not yet."""
    writes = writes_by_value(history)
    ended = verdicts(history)
    asked: dict[str, End] = {}
    for end in history.of(End):
        if end.commit:
            asked.setdefault(end.transaction, end)
    for poll in history.of(Poll):
        if not poll.committed_only:
            continue
        for seen in poll.seen:
            write = writes.get(seen.value)
            if write is None or write.transaction is None:
                continue
            verdict = ended[write.transaction]
            commit = asked.get(write.transaction)
            if verdict is Verdict.NOT_COMMITTED:
                what = f"transaction {write.transaction} was {verdict.value}"
            elif commit is not None and poll.answered is not None and poll.answered < commit.invoked:
                what = f"nobody had asked to commit transaction {write.transaction} yet"
            else:
                continue
            yield Anomaly(
                "aborted read",
                seen.value,
                f"no record of it for {poll.reader}, which reads committed records: {what}",
                f"{seen.value} at offset {seen.offset} of {name(poll.place)}",
                [write, *_ends(history, write.transaction), poll],
                poll.place,
                (seen.offset, seen.offset),
            )
            break


def half_visible(history: History) -> Iterator[Anomaly]:
    """Readers of committed records get all of a transaction, or nothing; all, when its commit was acknowledged."""
    visible = {seen.value for log in history.final.values() for seen in log.committed}
    parts: dict[str, list[Write]] = defaultdict(list)
    for write in history.of(Write):
        if write.transaction is not None and write.acknowledged and write.place in history.final:
            parts[write.transaction].append(write)
    ended = verdicts(history)
    for transaction, writes in parts.items():
        there = [value for write in writes for value in write.values if value in visible]
        missing = [value for write in writes for value in write.values if value not in visible]
        verdict = ended[transaction]
        if verdict is Verdict.COMMITTED and missing:
            expected = f"all of transaction {transaction}, whose commit was acknowledged"
        elif verdict is Verdict.UNKNOWN and missing and there:
            expected = f"all of transaction {transaction} or nothing (its commit was never answered)"
        else:
            continue
        lost = next(write for write in writes for value in write.values if value in missing)
        yield Anomaly(
            "half-visible transaction",
            transaction,
            expected,
            f"visible: {', '.join(there) or 'nothing'}; missing: {', '.join(missing)}",
            [*writes, *_ends(history, transaction)],
            lost.place,
            (lost.offset, lost.offset + len(lost.values) - 1),
        )


def skipped(history: History) -> Iterator[Anomaly]:
    """Between the offset asked for and the offset it goes on from, a reader got every record there is for it."""
    offsets: dict[tuple[object, bool], tuple[list[int], list[str]]] = {}
    for place, log in history.final.items():
        data = [entry for entry in log.entries if entry.marker is None]
        offsets[(place, False)] = ([entry.offset for entry in data], [entry.value for entry in data])
        offsets[(place, True)] = ([seen.offset for seen in log.committed], [seen.value for seen in log.committed])
    for poll in history.of(Poll):
        if (poll.place, poll.committed_only) not in offsets or poll.position <= poll.offset:
            continue
        at, values = offsets[(poll.place, poll.committed_only)]
        expected = [(at[index], values[index]) for index in range(_first(at, poll.offset), _first(at, poll.position))]
        got = {seen.offset for seen in poll.seen}
        missing = [pair for pair in expected if pair[0] not in got]
        if missing:
            yield Anomaly(
                "skipped",
                poll.reader,
                f"{missing[0][1]} (offset {missing[0][0]} of {name(poll.place)}) in the answer to {poll.reader}",
                f"asked from {poll.offset}, goes on from {poll.position}, got offsets {sorted(got)}",
                [poll],
                poll.place,
                (missing[0][0], missing[-1][0]),
            )


def poll_order(history: History) -> Iterator[Anomaly]:
    """Offsets of an answer rise from the offset asked for, below what its reader may see."""
    for poll in history.of(Poll):
        last = poll.offset - 1
        limit = poll.last_stable_offset if poll.committed_only else poll.high_watermark
        for seen in poll.seen:
            if seen.offset <= last or seen.offset >= limit:
                yield Anomaly(
                    "poll order",
                    poll.reader,
                    f"an offset above {last} and below {limit}",
                    f"{seen.value} at offset {seen.offset} of {name(poll.place)}",
                    [poll],
                    poll.place,
                    (seen.offset, seen.offset),
                )
                break
            last = seen.offset


def marks_going_back(history: History) -> Iterator[Anomaly]:
    """High watermark and last stable offset never fall, and the last stable offset is never the higher one."""
    for place, polls in by_place(history).items():
        for poll in polls:
            if poll.last_stable_offset > poll.high_watermark:
                yield Anomaly(
                    "offsets going back",
                    name(place),
                    f"a last stable offset of {poll.high_watermark} at most, the high watermark",
                    f"last stable offset {poll.last_stable_offset}",
                    [poll],
                    place,
                )
                break
        for what, mark in (
            ("high watermark", lambda poll: poll.high_watermark),
            ("last stable offset", lambda poll: poll.last_stable_offset),
        ):
            pair = _falls(polls, mark)
            if pair is not None:
                first, second = pair
                yield Anomaly(
                    "offsets going back",
                    name(place),
                    f"a {what} of {mark(first)} or more, as told before",
                    f"{what} {mark(second)}",
                    [first, second],
                    place,
                    (mark(second), mark(first)),
                )


def unseen_acknowledged(history: History) -> Iterator[Anomaly]:
    """Who reads after a write was acknowledged may see it: the high watermark is above it."""
    acknowledged: dict[object, list[Write]] = defaultdict(list)
    for write in history.of(Write):
        if write.acknowledged:
            acknowledged[write.place].append(write)
    for place, polls in by_place(history).items():
        moments: list[tuple[int, Write | Poll]] = [(write.answered or 0, write) for write in acknowledged[place]]
        moments += [(poll.invoked, poll) for poll in polls]
        moments.sort(key=lambda moment: moment[0])
        highest: Write | None = None
        for _, operation in moments:
            if isinstance(operation, Write):
                if highest is None or _end(operation) > _end(highest):
                    highest = operation
            elif highest is not None and operation.high_watermark < _end(highest):
                yield Anomaly(
                    "unseen acknowledged write",
                    highest.values[-1],
                    f"a high watermark of {_end(highest)} or more: the write was acknowledged before the fetch",
                    f"high watermark {operation.high_watermark}",
                    [highest, operation],
                    place,
                    (operation.high_watermark, _end(highest)),
                )
                break


def _end(write: Write) -> int:
    return write.offset + len(write.values)


def _falls(polls: list[Poll], mark: Callable[[Poll], int]) -> tuple[Poll, Poll] | None:
    """Two polls, the first answered before the second was invoked, between which the mark fell."""
    moments: list[tuple[int, bool, Poll]] = []
    for poll in polls:
        moments.append((poll.invoked, False, poll))
        assert poll.answered is not None
        moments.append((poll.answered, True, poll))
    highest: Poll | None = None
    floor: dict[int, Poll] = {}
    for _, answered, poll in sorted(moments, key=lambda moment: moment[0]):
        if not answered:
            if highest is not None:
                floor[poll.number] = highest
            continue
        before = floor.get(poll.number)
        if before is not None and mark(before) > mark(poll):
            return before, poll
        if highest is None or mark(poll) > mark(highest):
            highest = poll
    return None


def _first(offsets: list[int], offset: int) -> int:
    import bisect

    return bisect.bisect_left(offsets, offset)


def _ends(history: History, transaction: str) -> list[Operation]:
    return [end for end in history.of(End) if end.transaction == transaction]
