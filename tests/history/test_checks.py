"""The checks alone, on histories written by hand: sound ones pass, each kind of wrong is found and told."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.history.checker import check, report
from tests.history.model import (
    End,
    FinalLog,
    History,
    Init,
    Joined,
    LogEntry,
    OffsetRead,
    OffsetWrite,
    Operation,
    Outcome,
    Poll,
    Seen,
    Verdict,
    Write,
    verdicts,
)

A, B = ("t", 0), ("t", 1)


class Book:
    """Writes a history, one whole operation after the other unless told otherwise."""

    def __init__(self) -> None:
        self.history = History()
        self.history.final = {A: FinalLog(), B: FinalLog()}

    def write(
        self,
        value: str,
        offset: int = -1,
        *,
        place: tuple[str, int] = A,
        transaction: str | None = None,
        process: str = "p",
        outcome: Outcome = Outcome.OK,
    ) -> Write:
        write = Write(
            process,
            stream=process,
            instance="7:0",
            place=place,
            values=[value],
            offset=offset,
            transaction=transaction,
        )
        return self.done(write, outcome)

    def end(self, transaction: str, *, commit: bool = True, process: str = "p", outcome: Outcome = Outcome.OK) -> End:
        return self.done(End(process, transaction=transaction, commit=commit), outcome)

    def init(self, process: str, epoch: int) -> Init:
        return self.done(Init(process, transactional_id="x", producer_id=7, epoch=epoch))

    def poll(
        self,
        offset: int,
        *seen: tuple[int, str],
        to: int | None = None,
        committed_only: bool = False,
        high_watermark: int = 10,
        stable: int | None = None,
    ) -> Poll:
        poll = Poll(
            "r",
            reader="r",
            place=A,
            committed_only=committed_only,
            offset=offset,
            seen=[Seen(*each) for each in seen],
            position=to if to is not None else (seen[-1][0] + 1 if seen else offset),
            high_watermark=high_watermark,
            last_stable_offset=high_watermark if stable is None else stable,
        )
        return self.done(poll)

    def move(
        self, offset: int, *, generation: int = -1, transaction: str | None = None, outcome: Outcome = Outcome.OK
    ) -> OffsetWrite:
        write = OffsetWrite(
            "c", group="g", place=A, offset=offset, generation=generation, transaction=transaction, member="m"
        )
        return self.done(write, outcome)

    def offset(self, offset: int, group: str = "g") -> OffsetRead:
        return self.done(OffsetRead("c", group=group, place=A, offset=offset))

    def joined(self, generation: int, member: str = "m") -> Joined:
        return self.done(Joined("c", group="g", member=member, generation=generation, assigned=[A]))

    def done(self, operation: Operation, outcome: Outcome = Outcome.OK) -> object:
        self.history.begin(operation)
        self.history.finish(operation, outcome)
        return operation

    def log(self, *values: str, committed: tuple[int, ...] | None = None, place: tuple[str, int] = A) -> None:
        """The final log: values by offset, `commit` and `abort` for markers; which offsets are committed (all)."""
        markers = ("commit", "abort")
        final = self.history.final[place]
        final.entries = [
            LogEntry(offset, "" if value in markers else value, 7, 0, False, value if value in markers else None)
            for offset, value in enumerate(values)
        ]
        final.committed = [
            Seen(entry.offset, entry.value)
            for entry in final.entries
            if entry.marker is None and (committed is None or entry.offset in committed)
        ]
        final.high_watermark = final.last_stable_offset = len(values)

    def found(self) -> set[str]:
        anomalies = check(self.history)
        assert report(self.history, anomalies) or not anomalies
        return {anomaly.check for anomaly in anomalies}


def sound(book: Book) -> None:
    book.write("a", 0)
    book.init("x1", 0)
    book.write("b", 1, transaction="x#1", process="x1")
    book.write("c", 0, place=B, transaction="x#1", process="x1")
    book.poll(0, (0, "a"), committed_only=True, high_watermark=2, stable=1)
    book.end("x#1", process="x1")
    book.write("d", 3, transaction="x#2", process="x1")
    book.move(3, transaction="x#2")
    book.end("x#2", commit=False, process="x1")
    book.write("e", outcome=Outcome.UNKNOWN)
    book.poll(0, (0, "a"), (1, "b"), (3, "d"), to=5, high_watermark=5)
    book.poll(0, (0, "a"), (1, "b"), to=5, committed_only=True, high_watermark=5)
    book.joined(1)
    book.offset(-1)
    book.move(2, generation=1)
    book.move(4, generation=1, outcome=Outcome.UNKNOWN)
    book.offset(2)
    book.offset(4)
    book.offset(4)
    book.log("a", "b", "commit", "d", "abort", committed=(0, 1))
    book.log("c", "commit", place=B)


def test_a_sound_history_passes() -> None:
    book = Book()
    sound(book)
    assert book.found() == set()


def lost(book: Book) -> None:
    book.write("a", 0)
    book.log("b")
    book.write("b", 1)


def twice(book: Book) -> None:
    book.write("a", 0)
    book.log("a", "a")


def out_of_order(book: Book) -> None:
    book.write("a", 1)
    book.write("b", 0)
    book.log("b", "a")


def from_nowhere(book: Book) -> None:
    book.log("a")


def hole(book: Book) -> None:
    book.write("a", 0)
    book.write("b", 1)
    book.log("a", "b")
    del book.history.final[A].entries[0]


def left_open(book: Book) -> None:
    book.write("a", 0, transaction="x#1")
    book.log("a", committed=())
    book.history.final[A].last_stable_offset = 0


def gone_after_read(book: Book) -> None:
    book.write("a", outcome=Outcome.UNKNOWN)
    book.poll(0, (0, "a"))


def read_of_aborted(book: Book) -> None:
    book.write("a", 0, transaction="x#1")
    book.end("x#1", commit=False)
    book.poll(0, (0, "a"), committed_only=True)
    book.log("a", "abort")


def read_before_commit(book: Book) -> None:
    book.write("a", 0, transaction="x#1")
    book.poll(0, (0, "a"), committed_only=True)
    book.end("x#1")
    book.log("a", "commit")


def read_of_refused_commit(book: Book) -> None:
    book.write("a", 0, transaction="x#1")
    book.end("x#1", outcome=Outcome.FAILED)
    book.poll(0, (0, "a"), committed_only=True)
    book.log("a", "commit")


def half(book: Book) -> None:
    book.write("a", 0, transaction="x#1")
    book.write("b", 0, place=B, transaction="x#1")
    book.end("x#1", outcome=Outcome.UNKNOWN)
    book.log("a", "commit")
    book.log("b", "abort", place=B, committed=())


def committed_and_gone(book: Book) -> None:
    book.write("a", 0, transaction="x#1")
    book.end("x#1")
    book.log("a", "abort", committed=())


def passed_over(book: Book) -> None:
    book.write("a", 0)
    book.write("b", 1)
    book.poll(0, (1, "b"))
    book.log("a", "b")


def passed_over_without_records(book: Book) -> None:
    book.write("a", 0)
    book.poll(0, to=1)
    book.log("a")


def above_the_mark(book: Book) -> None:
    book.write("a", 0)
    book.poll(0, (0, "a"), high_watermark=1, stable=0, committed_only=True)
    book.log("a")


def mark_falls(book: Book) -> None:
    book.poll(0, high_watermark=5)
    book.poll(0, high_watermark=4)


def stable_falls(book: Book) -> None:
    book.poll(0, high_watermark=5, stable=4)
    book.poll(0, high_watermark=6, stable=3)


def stable_above(book: Book) -> None:
    book.poll(0, high_watermark=5, stable=6)


def not_shown(book: Book) -> None:
    book.write("a", 0)
    book.poll(0, high_watermark=0)
    book.log("a")


def undead(book: Book) -> None:
    book.init("x1", 0)
    book.init("x2", 1)
    book.write("a", 0, transaction="x#1", process="x1")
    book.end("x#1", commit=False, process="x2")
    book.log("a", "abort", committed=())


def old_generation(book: Book) -> None:
    book.joined(1)
    book.joined(2)
    book.move(5, generation=1)


def both_own(book: Book) -> None:
    book.joined(1, "m")
    book.joined(1, "n")


def offset_goes_back(book: Book) -> None:
    book.move(1)
    book.move(2)
    book.offset(1)


def offset_is_lost(book: Book) -> None:
    book.move(1)
    book.offset(-1)


def offset_goes_back_between_reads(book: Book) -> None:
    book.move(1)
    book.move(2, outcome=Outcome.UNKNOWN)
    book.offset(2)
    book.offset(1)


def offset_of_aborted(book: Book) -> None:
    book.write("a", 0, transaction="x#1")
    book.move(5, transaction="x#1")
    book.end("x#1", commit=False)
    book.offset(5)
    book.log("a", "abort", committed=())


def offset_of_refused(book: Book) -> None:
    book.move(5, outcome=Outcome.FAILED)
    book.offset(5)


def output_twice(book: Book) -> None:
    book.history.transforms.add("g")
    book.write("a", 0)
    book.write("a>g@1", 1)
    book.write("a>g@2", 2)
    book.move(1)
    book.offset(1, "g")
    book.log("a", "a>g@1", "a>g@2")


def output_missing(book: Book) -> None:
    book.history.transforms.add("g")
    book.write("a", 0)
    book.move(1)
    book.offset(1, "g")
    book.log("a")


def output_too_early(book: Book) -> None:
    book.history.transforms.add("g")
    book.write("a", 0)
    book.write("a>g@1", 1)
    book.move(0)
    book.offset(0, "g")
    book.log("a", "a>g@1")


@pytest.mark.parametrize(
    ("write", "expected"),
    [
        (lost, "lost write"),
        (twice, "duplicate"),
        (out_of_order, "reordering"),
        (from_nowhere, "phantom"),
        (hole, "log shape"),
        (left_open, "stuck transaction"),
        (gone_after_read, "divergence"),
        (read_of_aborted, "aborted read"),
        (read_before_commit, "aborted read"),
        (read_of_refused_commit, "aborted read"),
        (half, "half-visible transaction"),
        (committed_and_gone, "half-visible transaction"),
        (passed_over, "skipped"),
        (passed_over_without_records, "skipped"),
        (above_the_mark, "poll order"),
        (mark_falls, "offsets going back"),
        (stable_falls, "offsets going back"),
        (stable_above, "offsets going back"),
        (not_shown, "unseen acknowledged write"),
        (undead, "zombie"),
        (old_generation, "stale generation"),
        (both_own, "two owners"),
        (offset_goes_back, "stale offset"),
        (offset_is_lost, "stale offset"),
        (offset_goes_back_between_reads, "stale offset"),
        (offset_of_aborted, "dirty offset"),
        (offset_of_refused, "dirty offset"),
        (output_twice, "exactly once"),
        (output_missing, "exactly once"),
        (output_too_early, "exactly once"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_a_wrong_history_is_found_out(write: Callable[[Book], None], expected: str) -> None:
    book = Book()
    write(book)
    assert expected in book.found()


def test_overlapping_operations_prove_nothing() -> None:
    book = Book()
    history = book.history
    slow = OffsetWrite("c", group="g", place=A, offset=1)
    history.begin(slow)
    book.move(2)
    history.finish(slow, Outcome.OK)
    book.offset(1)  # the slow one may have come last
    late = history.begin(Poll("r", reader="r", place=A, high_watermark=3, last_stable_offset=3))
    book.poll(0, high_watermark=5)
    history.finish(late, Outcome.OK)
    assert book.found() == set()


def test_a_write_that_was_never_answered_may_be_there_or_not() -> None:
    for there in (False, True):
        book = Book()
        book.write("a", outcome=Outcome.UNKNOWN)
        if there:
            book.log("a")
        assert book.found() == set()


def test_verdicts_of_transactions() -> None:
    book = Book()
    for name, ends in (
        ("x#1", [(True, Outcome.OK)]),
        ("x#2", [(False, Outcome.OK)]),
        ("x#3", [(True, Outcome.UNKNOWN)]),
        ("x#4", [(True, Outcome.FAILED), (False, Outcome.OK)]),
        ("x#5", []),
    ):
        book.write(name, transaction=name)
        for commit, outcome in ends:
            book.end(name, commit=commit, outcome=outcome)
    assert verdicts(book.history) == {
        "x#1": Verdict.COMMITTED,
        "x#2": Verdict.NOT_COMMITTED,
        "x#3": Verdict.UNKNOWN,
        "x#4": Verdict.NOT_COMMITTED,
        "x#5": Verdict.NOT_COMMITTED,
    }


def test_the_report_tells_expected_seen_and_the_timeline() -> None:
    book = Book()
    book.write("a", 0)
    book.history.fault("the broker is killed")
    book.write("b", 0)
    book.log("b")
    text = report(book.history, check(book.history))
    assert "LOST WRITE: a" in text
    assert "expected: a at offset 0 of t-0, as acknowledged" in text
    assert "seen:     b of producer 7:0 there" in text
    assert "p: write a to t-0 at offset 0" in text
