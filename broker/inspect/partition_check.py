"""One partition's directory: every batch, and everything beside the batches that must agree with them.

The `.log` files are read once, in order and in bounded memory. While they are walked, cursors over the indexes, the
producers' state, the leader epochs and the records' consumers (internal topics, the metadata log) come along.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import TypeVar

from attrs import define, field

from broker.inspect.files import DataFile, Kind, files_of
from broker.inspect.findings import Finding, Progress, Report, Severity, Totals
from broker.inspect.index_check import (
    Fault,
    OffsetIndexCursor,
    TimeIndexCursor,
    compare_transactions,
    read_transactions,
)
from broker.inspect.partition_files import EpochRuns, Snapshots, check_epochs, check_leftovers
from broker.inspect.reading import Batch, Damage, OldMessage, ReadFile, read_index, walk
from broker.inspect.record_check import check_records
from broker.inspect.recovery_plan import RecoveryPlan, SegmentFacts, Stop
from kwire.errors import ApiError, CorruptRecordsError
from log.append_errors import RecordsRejectedError
from log.filenames import OFFSET_INDEX, TIME_INDEX, TRANSACTION_INDEX, offset_name
from log.producer_state import ProducerStateManager
from log.segment import MAX_RELATIVE_OFFSET
from log.transaction_index import AbortedTransaction

Consumer = Callable[[Batch], str | None]
"""Takes in the records of a sound batch; what is wrong with them, or None."""

_Cursor = TypeVar("_Cursor")
NOT_SERVED = "a broker does not serve the partition as long as it cannot read this"
_PROGRESS_STEP = 4 << 20


@define(slots=True)
class PartitionFacts:
    """What is known of the partition from outside its directory.

    compact: whether its topic is, or was, compacted; None when nobody knows. clean: the next start believes the
    directory. live: a broker may be writing: the end of the last segment is not judged.
    """

    name: str
    compact: bool | None = None
    clean: bool = False
    live: bool = False
    recovery_point: int = 0
    log_start_offset: int = 0


@define(slots=True)
class PartitionResult:
    """end_offset: where the log ends; None when its last segment cannot be read."""

    first_offset: int = 0
    end_offset: int | None = 0
    bytes_to_recover: int = 0


@define(slots=True)
class PartitionCheck:
    """Call `run` once. `consume` is given every sound batch that is no control batch, `control` the others."""

    directory: str
    facts: PartitionFacts
    report: Report
    totals: Totals
    progress: Progress
    consume: Consumer | None = None
    consumer_code: str = "internal-record"
    plan: RecoveryPlan = field(init=False)
    _findings: list[Finding] = field(factory=list)
    _producers: ProducerStateManager = field(init=False)
    _epochs: EpochRuns = field(factory=EpochRuns)
    _snapshots: Snapshots = field(init=False)
    _expected: int | None = None
    """The offset the next batch must begin at; None behind damage."""
    _lowest: int = -1
    """No batch may begin below this offset."""
    _limit: int = sys.maxsize
    """Base offset of the next segment: no batch may reach it."""
    _jumped_from: int | None = None
    """`_lowest` before the last gap in this segment: the batch behind the gap may be what is wrong."""
    _aborted: list[AbortedTransaction] = field(factory=list)
    _damaged: bool = False
    _compacted: bool = False
    _now: SegmentFacts = field(init=False)

    def __attrs_post_init__(self) -> None:
        facts = self.facts
        self.plan = RecoveryPlan(facts.name, facts.clean, facts.recovery_point)
        self._producers = ProducerStateManager(facts.name, expiration_ms=1 << 62)
        self._compacted = facts.compact is True

    def run(self) -> PartitionResult:
        """Look at everything. Raises OSError only when the directory itself cannot be listed."""
        files = [file for file in files_of(self.directory) if os.path.dirname(file.path) == self.directory]
        logs = [file for file in files if file.kind is Kind.LOG and not file.mark]
        named = {(file.kind, file.offset): file for file in files if not file.mark}
        self.totals.partitions += 1
        first = logs[0].offset if logs else self.facts.log_start_offset
        self._snapshots = Snapshots(
            [file for file in files if file.kind is Kind.PRODUCER_SNAPSHOT and not file.mark], first, self._note
        )
        self._snapshots.begin(self._producers)
        self._expected = self._lowest = first
        end_known = True
        for number, file in enumerate(logs):
            last = number == len(logs) - 1
            self._limit = sys.maxsize if last else logs[number + 1].offset
            self._begin_segment(file, named)
            try:
                self._walk_segment(file, last=last)
            except FileNotFoundError:
                if not self.facts.live:
                    raise
            except OSError as error:
                self._error("unreadable", file.path, f"it cannot be read: {error.strerror}").repair = NOT_SERVED
                self._after_damage()
                end_known = not last
        # What is beyond an end that nobody could see is not known to be wrong.
        end = max(self._lowest, first) if end_known else sys.maxsize
        self._snapshots.finish(
            self._producers, end, self._state_known(), compacted=self._compacted, live=self.facts.live
        )
        start = max(self.facts.log_start_offset, first)
        check_epochs(self.directory, self._epochs, start, end, self._note)
        check_leftovers(self.directory, files, self._note)
        self.plan.tell()
        for finding in self._findings:
            if finding.code == "gap" and finding.severity is Severity.WARNING and self._compacted:
                continue  # batches that lack records, seen later, say that the topic was compacted
            self.report(finding)
        recovered = self.plan.first_recovered()
        to_read = sum(segment.size for segment in self.plan.segments if segment.base_offset >= recovered)
        return PartitionResult(first, end if end_known else None, to_read)

    # Telling

    def _note(self, finding: Finding, *, rebuilt: bool = False) -> None:
        """rebuilt: of something that recovery makes anew where it comes by."""
        self._findings.append(finding)
        if rebuilt and self.plan.segments:
            self.plan.in_segment.append((self.plan.segments[-1], finding))

    def _error(self, code: str, file: str, what: str, position: int = -1, offset: int = -1) -> Finding:
        finding = Finding(code, Severity.ERROR, file, what, "", position, offset)
        self._findings.append(finding)
        return finding

    def _stop(self, finding: Finding, position: int) -> None:
        """Recovery, if it comes here, ends the log before `position`."""
        now = self._now
        self.plan.stops.append(Stop(now, finding, max(self._lowest, 0), position, now.batches, now.records))

    def _after_damage(self) -> None:
        self._expected = None
        self._damaged = True
        self._now.damaged = True

    def _state_known(self) -> bool:
        return not self._damaged

    # Segments

    def _begin_segment(self, file: DataFile, named: dict[tuple[Kind, int], DataFile]) -> None:
        now = self._now = SegmentFacts(file.offset, file.path, 0)
        self.plan.segments.append(now)
        self.totals.segments += 1
        for kind, name in ((Kind.OFFSET_INDEX, OFFSET_INDEX), (Kind.TIME_INDEX, TIME_INDEX)):
            if (kind, file.offset) not in named:
                now.indexes_missing = True
                self._findings.append(
                    Finding(
                        "missing-index",
                        Severity.WARNING,
                        f"{self.directory}/{offset_name(file.offset, name)}",
                        "the segment has no such file",
                        "the next start reads the log from this segment on and makes it anew: nothing is lost",
                    )
                )
        expected = self._expected
        if expected is not None and file.offset != expected:
            if file.offset < expected:
                finding = self._error(
                    "offset-order",
                    file.path,
                    f"the segment begins at offset {file.offset}, the one before it ends at {expected}",
                    0,
                    file.offset,
                )
                self._stop(finding, 0)
                self._expected = None
            elif not self._compacted:
                finding = self._gap(file.path, expected, file.offset, 0)
                if file.offset > self.facts.recovery_point:
                    self._stop(finding, 0)
                else:
                    finding.repair = "it stays so: a reader goes on behind the gap"
            self._expected = file.offset
        self._lowest = max(self._lowest, file.offset)
        self._jumped_from = None

    def _gap(self, path: str, expected: int, found: int, position: int) -> Finding:
        unknown = self.facts.compact is None
        finding = self._error(
            "gap",
            path,
            f"offsets {expected}..{found - 1} are missing"
            + (" (whether the topic was ever compacted is not known)" if unknown else ", the topic is not compacted"),
            position,
            expected,
        )
        if unknown:
            finding.severity = Severity.WARNING
        else:
            self._damaged = True
        return finding

    def _walk_segment(self, file: DataFile, *, last: bool) -> None:
        now = self._now
        base = file.offset
        offsets = self._load(base, OFFSET_INDEX, OffsetIndexCursor)
        times = self._load(base, TIME_INDEX, TimeIndexCursor)
        self._aborted = []
        with ReadFile(file.path) as opened:
            now.size = opened.size
            self.totals.bytes += opened.size
            told = 0
            for found in walk(opened):
                if isinstance(found, Batch):
                    position = found.position
                    header = found.header
                    if found.crc_ok:
                        self._sound_batch(found, file.path)
                    else:
                        self._bad_crc(found, file.path)
                    if position >= offsets.next_position:
                        offsets.passed(position, header.base_offset, header.last_offset)
                    if header.last_offset >= times.next_offset:
                        times.passed(
                            header.base_offset, header.last_offset, header.max_timestamp, now.largest_timestamp
                        )
                elif isinstance(found, Damage):
                    if last and self.facts.live and found.cut_short:
                        break  # being written
                    self._damage(found, file.path)
                    offsets.skip_to(found.position + found.size)
                    times.skip_to(max(self._lowest, base))
                    position = found.position
                else:
                    self._old_message(found, file.path)
                    position = found.position
                if position - told >= _PROGRESS_STEP:
                    self.progress(position - told, file.path)
                    told = position
            self.progress(opened.size - told, file.path)
        now.end_offset = self._lowest
        if now.damaged:
            return
        if not (last and self.facts.live):
            offsets.ended(now.size)
            times.ended(self._lowest, now.largest_timestamp, whole=not last or self.facts.clean)
        self._index_faults("index", offsets.faults, OFFSET_INDEX)
        self._index_faults("time-index", times.faults, TIME_INDEX)
        if self._state_known():
            self._transaction_index(last)

    # Batches

    def _sound_batch(self, batch: Batch, path: str) -> None:
        header = batch.header
        base, delta = header.base_offset, header.last_offset_delta
        now = self._now
        expected = self._expected
        odd = (
            base != expected
            or delta < 0
            or base + delta - now.base_offset > MAX_RELATIVE_OFFSET
            or base + delta >= self._limit
        )
        if odd and not self._offsets_fit(batch, path):
            self._after_damage()
            return
        now.batches += 1
        now.records += header.record_count
        self.totals.batches += 1
        self.totals.records += header.record_count
        if header.record_count <= delta:
            now.compacted = True
            if self.facts.compact is None:
                self._compacted = True
        problem = check_records(header, batch.data, compacted=self._compacted)
        if problem is not None:
            finding = self._error("records", path, f"the batch {base}..{base + delta}: {problem}", batch.position, base)
            if problem.startswith("the largest timestamp"):
                finding.code, finding.severity = "max-timestamp", Severity.WARNING
            finding.repair = "it stays: recovery looks at CRC and offsets only"
        if header.max_timestamp > now.largest_timestamp:
            now.largest_timestamp = header.max_timestamp
        epoch = header.partition_leader_epoch
        if epoch != self._epochs.last and epoch >= 0:
            lower = self._epochs.begin(epoch, base)
            if lower is not None:
                self._error(
                    "epoch-order",
                    path,
                    f"the batch {base}..{base + delta} has leader epoch {epoch}, one before it has {lower}",
                    batch.position,
                    base,
                ).repair = "it stays so"
        self._epochs.end = base
        if base >= self._snapshots.next_offset:
            self._snapshots.passed(self._producers, base, self._state_known(), compacted=self._compacted)
        if header.producer_id >= 0:
            self._producer_batch(batch, path)
        if self.consume is not None and problem is None:
            wrong = self.consume(batch)
            if wrong is not None:
                self._consumer_error(wrong, path, batch)
        self._lowest = self._expected = base + delta + 1

    def _offsets_fit(self, batch: Batch, path: str) -> bool:
        """Whether a batch that does not begin at the expected offset may be where it is; else it was told why not."""
        header = batch.header
        base, last = header.base_offset, header.last_offset
        problem = None
        stop_offset, stop_position = max(self._lowest, 0), batch.position
        misplaced = base < self._lowest
        if misplaced:
            problem = f"the batch {base}..{last} follows offset {self._lowest - 1}"
        elif last < base:
            problem = f"the batch at offset {base} ends at {last}"
        elif last - self._now.base_offset > MAX_RELATIVE_OFFSET:
            problem = f"the batch {base}..{last} is too far from the segment's base offset {self._now.base_offset}"
        elif last >= self._limit:
            problem = f"the batch {base}..{last} reaches into the next segment, which begins at {self._limit}"
            # recovery takes it, and then nothing that follows
            stop_offset, stop_position = last + 1, batch.position + header.size
        if problem is not None:
            finding = self._error("offset-order", path, problem, batch.position, base if base >= 0 else -1)
            jumped_from, self._jumped_from = self._jumped_from, None
            now = self._now
            taken = stop_position > batch.position
            before = (now.batches + taken, now.records + taken * header.record_count)
            self.plan.stops.append(Stop(now, finding, stop_offset, stop_position, *before))
            if misplaced and jumped_from is not None and base >= jumped_from:
                # rather the batch before it has a wrong offset: go on from here
                self._damaged = now.damaged = True
                self._lowest = base
                return True
            now.batches += 1
            now.records += header.record_count
            return False
        if self._expected is not None and base > self._expected:
            self._jumped_from = self._lowest
            if not self._compacted:
                self._gap(path, self._expected, base, batch.position).repair = "it stays so: readers go on behind it"
        return True

    def _producer_batch(self, batch: Batch, path: str) -> None:
        header = batch.header
        try:
            completed = self._producers.replay(header, batch.data)
        except (CorruptRecordsError, RecordsRejectedError, ApiError) as error:
            self._error(
                "records",
                path,
                f"the control batch at offset {header.base_offset}: {error}",
                batch.position,
                header.base_offset,
            ).repair = "recovery passes over it"
            return
        if completed is not None and completed.aborted:
            self._aborted.append(
                AbortedTransaction(
                    completed.producer_id,
                    completed.first_offset,
                    completed.last_offset,
                    completed.last_stable_offset,
                )
            )

    def _consumer_error(self, wrong: str, path: str, batch: Batch) -> None:
        finding = self._error(self.consumer_code, path, wrong, batch.position, batch.header.base_offset)
        finding.repair = (
            "the next start stops here: the broker does not start"
            if self.consumer_code == "metadata"
            else "it is passed over when the coordinator loads"
        )

    # Damage

    def _bad_crc(self, batch: Batch, path: str) -> None:
        header = batch.header
        where = max(self._lowest, 0)
        finding = self._error(
            "crc",
            path,
            f"the batch {header.base_offset}..{header.last_offset} ({header.size} bytes, {header.record_count} "
            f"records) has CRC {batch.crc:08x}, its header says {header.crc:08x}",
            batch.position,
            where,
        )
        self._stop(finding, batch.position)
        self._after_damage()

    def _damage(self, damage: Damage, path: str) -> None:
        finding = self._error(
            "structure",
            path,
            f"{damage.size} bytes are no batches: {damage.reason}",
            damage.position,
            max(self._lowest, 0),
        )
        if damage.cut_short and not self.facts.clean:
            finding.code, finding.severity = "torn", Severity.WARNING
        self._stop(finding, damage.position)
        self._after_damage()

    def _old_message(self, found: OldMessage, path: str) -> None:
        if not self._now.damaged:
            finding = self._error(
                "old-format", path, f"a message of magic {found.message.magic}", found.position, found.message.offset
            )
            self._stop(finding, found.position)
        self._lowest = max(self._lowest, found.message.offset + 1)
        self._after_damage()

    # Indexes

    def _load(self, base: int, suffix: str, cursor: Callable[[bytes, int], _Cursor]) -> _Cursor:
        path = f"{self.directory}/{offset_name(base, suffix)}"
        try:
            with ReadFile(path) as file:
                return cursor(read_index(file), base)
        except FileNotFoundError:
            return cursor(b"", base)
        except OSError as error:
            self._error("unreadable", path, f"it cannot be read: {error.strerror}")
            return cursor(b"", base)

    def _index_faults(self, code: str, faults: list[Fault], suffix: str) -> None:
        if not faults or (self._now.indexes_missing and not self.facts.clean):
            return
        self._now.index_faults = True
        path = f"{self.directory}/{offset_name(self._now.base_offset, suffix)}"
        first = faults[0]
        what = first.what if len(faults) == 1 else f"{first.what} (and {len(faults) - 1} more such entries)"
        finding = Finding(code, Severity.ERROR, path, what, "", first.position, first.offset)
        self._note(finding, rebuilt=True)

    def _transaction_index(self, last: bool) -> None:
        path = f"{self.directory}/{offset_name(self._now.base_offset, TRANSACTION_INDEX)}"
        try:
            with ReadFile(path) as file:
                stored, faults = read_transactions(file.read_all())
        except FileNotFoundError:
            stored, faults = [], []
        if not faults and not self._compacted and not (last and self.facts.live):
            first_known = self.plan.segments[0].base_offset if not self._snapshots.began else 0
            faults = list(compare_transactions(stored, self._aborted, first_known))
        self._index_faults("transaction-index", faults, TRANSACTION_INDEX)
