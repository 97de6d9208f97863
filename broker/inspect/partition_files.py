"""The small files of a partition's directory beside its batches: leader epochs, producer snapshots, leftovers."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Final, Protocol

from attrs import define, field

from broker.inspect.files import DataFile, Kind
from broker.inspect.findings import Finding, Severity
from broker.inspect.producer_check import compare_producers
from broker.inspect.reading import ReadFile
from kwire.errors import CorruptRecordsError
from log.checkpoints import parse_lines
from log.filenames import CLEANED, DELETED, LEADER_EPOCHS, SWAP
from log.producer_entry import ProducerEntry, decode_snapshot
from log.producer_state import ProducerStateManager

_NEVER: Final = sys.maxsize


class Note(Protocol):
    def __call__(self, finding: Finding, *, rebuilt: bool = False) -> None: ...


# Leader epochs


@define(slots=True)
class EpochRuns:
    """The leader epochs of the batches walked, each with the offset of its first batch and of its last."""

    runs: list[list[int]] = field(factory=list)
    """[epoch, base offset of the first batch, of the last]"""
    last: int = -1
    highest: int = -1

    @property
    def end(self) -> int:
        return self.runs[-1][2] if self.runs else -1

    @end.setter
    def end(self, offset: int) -> None:
        if self.runs:
            self.runs[-1][2] = offset

    def begin(self, epoch: int, offset: int) -> int | None:
        """A batch with another epoch than the one before it; the highest before, when this is lower."""
        self.runs.append([epoch, offset, offset])
        self.last = epoch
        if epoch < self.highest:
            return self.highest
        self.highest = epoch
        return None


def check_epochs(directory: str, found: EpochRuns, start: int, end: int, note: Note) -> None:
    """`leader-epoch-checkpoint` beside the batches from offset `start` on.

    The first entry may begin later: DeleteRecords moves it at once, and the checkpoint of log starts a minute later, so
    after a kill in between the deleted records are back and their epoch is not.
    """
    path = f"{directory}/{LEADER_EPOCHS}"

    def tell(what: str, offset: int = -1, severity: Severity = Severity.ERROR) -> None:
        note(Finding("leader-epochs", severity, path, what, "", -1, offset), rebuilt=True)

    try:
        with ReadFile(path) as file:
            lines = parse_lines(file.read_all())
    except FileNotFoundError:
        if found.runs:
            note(
                Finding(
                    "leader-epochs",
                    Severity.WARNING,
                    path,
                    f"the file is missing, the batches have {len(found.runs)} epochs",
                    "the next start makes it anew from the batches: nothing is lost",
                )
            )
        return
    except OSError as error:
        note(Finding("unreadable", Severity.ERROR, path, f"it cannot be read: {error.strerror}"))
        return
    entries: list[tuple[int, int]] = []
    try:
        if lines is None:
            raise ValueError("version, number of entries or the last newline is wrong")
        for line in lines:
            epoch, offset = (int(word) for word in line.split(" "))
            if entries and (epoch <= entries[-1][0] or offset < entries[-1][1]):
                raise ValueError(f"the line {line!r} does not rise above the one before it")
            entries.append((epoch, offset))
    except ValueError as error:
        note(
            Finding(
                "leader-epochs",
                Severity.ERROR,
                path,
                f"it is damaged: {error}",
                "the next start makes it anew from the batches: nothing is lost",
            )
        )
        return
    if entries and entries[-1][1] > end:
        tell(f"epoch {entries[-1][0]} begins at offset {entries[-1][1]}, the log ends at {end}", entries[-1][1])
    if entries:
        start = max(start, entries[0][1])
    for epoch, first, last in found.runs:
        if last < start:
            continue
        for offset in {max(first, start), last}:
            said = max((e for e, begin in entries if begin <= offset), default=-1)
            if said != epoch:
                tell(f"it says epoch {said} for offset {offset}, the batch there has {epoch}", offset)
                return


# Producer snapshots


@define(slots=True)
class Snapshots:
    """The `.snapshot` files, compared when the walk comes by their offset."""

    files: list[DataFile]
    first_offset: int
    """Of the log."""
    note: Note
    began: bool = False
    """The state before the first batch is known: from a snapshot there, or because there is nothing before it."""
    next_offset: int = _NEVER
    _waiting: list[DataFile] = field(factory=list)

    def begin(self, producers: ProducerStateManager) -> None:
        """Start the state from the snapshot of the log's first offset, where there is one."""
        self.began = self.first_offset == 0
        producers.reset(self.first_offset)
        for file in sorted(self.files, key=lambda file: file.offset):
            if file.offset < self.first_offset:
                continue
            if file.offset > self.first_offset:
                self._waiting.append(file)
                continue
            try:
                producers.load_snapshot(_read(file.path), file.offset, 0)
                self.began = True
            except CorruptRecordsError as error:
                self._damaged(file, str(error))
            except FileNotFoundError:
                continue  # a broker at work has removed it
        self._advance()

    def _advance(self) -> None:
        self.next_offset = self._waiting[0].offset if self._waiting else _NEVER

    def passed(self, producers: ProducerStateManager, offset: int, known: bool, *, compacted: bool) -> None:
        """The state goes up to `offset`, which is at or above `next_offset`. known: nothing before it is damaged."""
        while self._waiting and self._waiting[0].offset <= offset:
            file = self._waiting.pop(0)
            # between two batches (compaction) the state of an offset is that of the batch before it
            self._compare(file, producers, known, compacted)
        self._advance()

    def finish(self, producers: ProducerStateManager, end: int, known: bool, *, compacted: bool, live: bool) -> None:
        self.passed(producers, end, known, compacted=compacted)
        if live or not known:
            return
        for file in self._waiting:
            self.note(
                Finding(
                    "producer-state",
                    Severity.WARNING,
                    file.path,
                    f"it is of offset {file.offset}, the log ends at {end}",
                    "the next start removes it",
                    -1,
                    file.offset,
                )
            )

    def _damaged(self, file: DataFile, why: str) -> None:
        self.note(
            Finding(
                "producer-state",
                Severity.ERROR,
                file.path,
                f"it is damaged: {why}",
                "the next start removes it and replays the batches from the snapshot before it: only producers that no "
                "batch tells of any more are lost",
                -1,
                file.offset,
            )
        )

    def _compare(self, file: DataFile, producers: ProducerStateManager, known: bool, compacted: bool) -> None:
        try:
            data = _read(file.path)
            written_ms = os.stat(file.path).st_mtime_ns // 1_000_000
            stored: list[ProducerEntry] = decode_snapshot(data)
        except FileNotFoundError:
            return
        except CorruptRecordsError as error:
            self._damaged(file, str(error))
            return
        if not known:
            return
        for each in compare_producers(
            stored,
            producers.producers,
            first_offset=self.first_offset,
            complete=self.began,
            compacted=compacted,
            written_ms=written_ms,
        ):
            self.note(Finding("producer-state", each.severity, file.path, each.what, "", -1, file.offset), rebuilt=True)


def _read(path: str) -> bytes:
    with ReadFile(path) as file:
        return file.read_all()


# Leftovers

_MEANING: Final = {
    CLEANED: ("a compaction was not finished", "the next start removes it: nothing is lost"),
    SWAP: ("a compacted segment was about to take its place", "the next start puts it in place of what it replaces"),
    DELETED: ("a segment was deleted and its files wait for their removal", "the next start removes it"),
    ".part": ("a snapshot was not finished", "the next start removes it: nothing is lost"),
}


def check_leftovers(directory: str, files: Sequence[DataFile], note: Note) -> None:
    """Files of something that was under way, and indexes without a segment."""
    by_mark: dict[str, list[DataFile]] = {}
    for file in files:
        if file.mark:
            by_mark.setdefault(file.mark, []).append(file)
    for mark, found in by_mark.items():
        what, repair = _MEANING.get(mark, ("it is marked", ""))
        more = f" ({len(found)} files)" if len(found) > 1 else ""
        note(Finding("leftover", Severity.INFO, found[0].path, f"{what}{more}", repair, -1, found[0].offset))
    logs = {file.offset for file in files if file.kind is Kind.LOG and not file.mark}
    swapped = {file.offset for file in files if file.kind is Kind.LOG and file.mark == SWAP}
    for file in files:
        of_segment = file.kind in (Kind.OFFSET_INDEX, Kind.TIME_INDEX, Kind.TRANSACTION_INDEX) and not file.mark
        if of_segment and file.offset not in logs | swapped:
            note(
                Finding(
                    "leftover", Severity.WARNING, file.path, "an index without a segment", "the next start removes it"
                )
            )
    for name in os.listdir(directory):
        if name.endswith(".tmp"):
            note(
                Finding(
                    "leftover",
                    Severity.INFO,
                    f"{directory}/{name}",
                    "a file was being replaced",
                    "the next start removes it: the old one stands",
                )
            )
