"""The cleaning rule by rule, in memory: what is kept, what a cleaning that fails leaves, how it is held back."""

from __future__ import annotations

import errno
from collections.abc import Sequence
from random import Random

import pytest
from attrs import evolve

from kwire.records import (
    BatchHeader,
    Codec,
    ControlType,
    Record,
    RecordBatchBuilder,
    end_transaction_marker,
    read_records,
)
from log.compaction.cleaning import clean
from log.compaction.job import (
    CleanedGroup,
    CleaningCancelledError,
    CleaningError,
    CleaningHooks,
    CleaningJob,
    CleaningStats,
    LastRecord,
    SourceSegment,
)
from log.filenames import CLEANED, LOG, OFFSET_INDEX, TIME_INDEX, offset_name
from log.transaction_index import AbortedTransaction
from tests.crash.fault_storage import FaultStorage

NOW = 1_700_000_000_000
DAY = 86_400_000

Pair = tuple[bytes | None, bytes | None]


def batch(
    base_offset: int,
    pairs: Sequence[Pair],
    *,
    codec: Codec = Codec.NONE,
    producer_id: int = -1,
    sequence: int = -1,
    transactional: bool = False,
    horizon: int | None = None,
) -> bytearray:
    builder = RecordBatchBuilder(
        base_offset=base_offset,
        codec=codec,
        producer_id=producer_id,
        producer_epoch=0 if producer_id >= 0 else -1,
        base_sequence=sequence,
        transactional=transactional,
        delete_horizon_ms=horizon,
    )
    for number, (key, value) in enumerate(pairs):
        builder.append(key, value, timestamp=NOW + number)
    return builder.build()


def marker(offset: int, control_type: ControlType, producer_id: int = 5) -> bytearray:
    return end_transaction_marker(
        control_type, producer_id=producer_id, producer_epoch=0, coordinator_epoch=1, timestamp=NOW, base_offset=offset
    )


class Log:
    """Segments in memory, each a list of batches, and the job to clean all of them but the last."""

    def __init__(self, *segments: Sequence[bytes | bytearray]) -> None:
        self.storage = FaultStorage()
        self.storage.mkdir("/t-0")
        self.storage.sync_dir("/")
        sources = []
        for batches in segments:
            base = BatchHeader.peek(batches[0]).base_offset
            data = b"".join(batches)
            self.storage.open(f"/t-0/{offset_name(base, LOG)}", create=True).pwrite(data, 0)
            self.storage.open(f"/t-0/{offset_name(base, OFFSET_INDEX)}", create=True)
            sources.append(SourceSegment(base, len(data), 0, 0, NOW))
        end = BatchHeader.peek(segments[-1][-1]).next_offset
        self.job = CleaningJob("t", 0, "/t-0", NOW, 0, end + 1, tuple(sources))
        self.groups: list[CleanedGroup] = []

    def clean(self, hooks: CleaningHooks | None = None, **changes: object) -> list[tuple[int, int, list[Record]]]:
        """The batches that are left: base offset, last offset, records."""
        self.result = clean(self.storage, evolve(self.job, **changes), hooks)  # type: ignore[misc]
        return [(header.base_offset, header.last_offset, records) for header, records in self.cleaned_batches()]

    def cleaned_batches(self) -> list[tuple[BatchHeader, list[Record]]]:
        found = []
        for group in self.result.groups:
            file = self.storage.open(f"/t-0/{offset_name(group.base_offset, LOG)}{CLEANED}", create=False)
            data = file.pread(file.size(), 0)
            assert len(data) == group.size_bytes
            at = 0
            while at < len(data):
                header = BatchHeader.peek(data, at)
                found.append((header, list(read_records(data, at)) if header.record_count else []))
                at = header.end
        return found

    def offsets(self, **changes: object) -> list[int]:
        return [record.offset for _, _, records in self.clean(**changes) for record in records]

    def leftovers(self) -> list[str]:
        return [name for name in self.storage.list_dir("/t-0") if name.endswith(CLEANED)]


A, B, C = b"a", b"b", b"c"


@pytest.mark.parametrize("codec", list(Codec))
def test_last_value_by_key(codec: Codec) -> None:
    log = Log(
        [batch(0, [(A, b"1"), (B, b"1")], codec=codec)], [batch(2, [(A, b"2"), (C, b"1"), (A, b"3")], codec=codec)]
    )
    [(base, last, first), (base_2, last_2, second)] = log.clean()
    assert (base, last, base_2, last_2) == (0, 1, 2, 4)
    assert first == [Record(1, NOW + 1, B, b"1")]
    assert second == [Record(3, NOW + 1, C, b"1"), Record(4, NOW + 2, A, b"3")]
    assert log.result.end_offset == 6
    assert {header.codec for header, _ in log.cleaned_batches()} == {codec}
    [group] = log.result.groups
    assert group.sources == (0, 2)
    assert group.largest_timestamp == NOW + 2


def test_records_without_key_go() -> None:
    log = Log([batch(0, [(None, b"1"), (B, b"1"), (None, None)])])
    assert log.offsets() == [1]
    assert log.result.stats.invalid_records == 2
    log = Log([batch(0, [(None, b"1")])])
    assert log.offsets() == []
    assert log.result.groups[0].size_bytes == 0


def test_a_tombstone_gets_a_horizon_and_goes_when_it_is_over() -> None:
    log = Log([batch(0, [(A, b"1"), (B, b"1")]), batch(2, [(A, None), (C, b"1")])])
    assert log.offsets(delete_retention_ms=DAY) == [1, 2, 3]
    [(without, _), (header, _)] = log.cleaned_batches()
    assert without.delete_horizon_ms is None
    assert header.delete_horizon_ms == NOW + DAY
    assert header.base_timestamp == NOW + DAY
    assert header.max_timestamp == NOW + 1

    again = batch(2, [(A, None), (C, b"1")], horizon=NOW + DAY)
    new = batch(4, [(B, b"2")])
    assert Log([again], [new]).offsets(now_ms=NOW + DAY - 1, first_dirty_offset=4) == [2, 3, 4]
    log = Log([again], [new])
    assert log.offsets(now_ms=NOW + DAY, first_dirty_offset=4) == [3, 4]
    assert log.cleaned_batches()[0][0].delete_horizon_ms == NOW + DAY


def test_a_tombstone_alone_in_its_batch_gets_a_horizon_and_goes_when_it_is_over() -> None:
    log = Log([batch(0, [(A, b"1")]), batch(1, [(A, None)])])
    assert log.offsets(delete_retention_ms=DAY) == [1]
    assert log.cleaned_batches()[0][0].delete_horizon_ms == NOW + DAY

    again = batch(1, [(A, None)], horizon=NOW + DAY)
    new = batch(2, [(B, b"2")])
    assert Log([again], [new]).offsets(now_ms=NOW + DAY - 1, first_dirty_offset=2) == [1, 2]
    assert Log([again], [new]).offsets(now_ms=NOW + DAY, first_dirty_offset=2) == [2]


def test_a_whole_batch_is_copied_as_it_is() -> None:
    data = batch(0, [(A, b"1"), (B, b"1")], codec=Codec.GZIP)
    log = Log([data])
    log.clean()
    assert log.storage.open(f"/t-0/{offset_name(0, LOG)}{CLEANED}", create=False).pread(1000, 0) == bytes(data)


def test_the_end_of_the_cleaning_keeps_its_last_batch() -> None:
    log = Log([batch(0, [(A, b"1")]), batch(1, [(None, b"1")])])
    assert log.clean(first_uncleanable_offset=2)[-1] == (1, 1, [])


def test_an_active_producers_last_batch_keeps_its_header() -> None:
    log = Log([batch(0, [(A, b"1")], producer_id=5, sequence=70), batch(1, [(A, b"2")])])
    assert log.clean(last_records=(LastRecord(5, 0, 0),)) == [(0, 0, []), (1, 1, [Record(1, NOW, A, b"2")])]
    header = log.cleaned_batches()[0][0]
    assert (header.producer_id, header.producer_epoch, header.base_sequence) == (5, 0, 70)
    assert header.max_timestamp == NOW
    log = Log([batch(0, [(A, b"1")], producer_id=5, sequence=70), batch(1, [(A, b"2")])])
    assert log.clean(last_records=(LastRecord(5, 0, 8),)) == [(1, 1, [Record(1, NOW, A, b"2")])]


def test_a_producers_last_marker_keeps_its_header() -> None:
    old = bytearray(marker(0, ControlType.COMMIT))
    log = Log([old], [batch(1, [(A, b"1")])])
    log.clean(delete_retention_ms=0)
    (first, _), _ = log.cleaned_batches()
    assert first.delete_horizon_ms == NOW
    file = log.storage.open(f"/t-0/{offset_name(0, LOG)}{CLEANED}", create=False)
    expired = file.pread(first.size, 0)
    assert [base for base, _, _ in Log([expired], [batch(1, [(A, b"1")])]).clean()] == [1]
    log = Log([expired], [batch(1, [(A, b"1")])])
    assert log.clean(last_records=(LastRecord(5, 0, -1),))[0] == (0, 0, [])
    header = log.cleaned_batches()[0][0]
    assert (header.is_control, header.is_transactional, header.producer_id) == (True, True, 5)
    assert log.clean(last_records=(LastRecord(5, 1, -1),))[0][0] == 1


def test_an_aborted_transaction_goes_and_its_marker_last() -> None:
    aborted = AbortedTransaction(5, 0, 2, 3)
    first = [
        batch(0, [(A, b"1")], producer_id=5, sequence=0, transactional=True),
        batch(1, [(A, b"2")]),
        marker(2, ControlType.ABORT),
    ]
    log = Log(first)
    # the data goes at once; the marker and its index entry stay, as readers may be in between
    assert [(base, len(records)) for base, _, records in log.clean(aborted_transactions=(aborted,))] == [(1, 1), (2, 1)]
    assert log.result.groups[0].has_transaction_index
    # nothing is left of the transaction: the marker gets a horizon
    log = Log(first[1:], [batch(3, [(B, b"1")])])
    assert len(log.clean(aborted_transactions=(aborted,), delete_retention_ms=DAY)) == 3
    marked = log.cleaned_batches()[1][0]
    assert marked.is_control
    assert marked.delete_horizon_ms == NOW + DAY
    assert not log.result.groups[0].has_transaction_index
    # the horizon is over
    assert len(log.clean(now_ms=NOW + DAY, first_dirty_offset=3)) == 3, "the source has no horizon yet"


def test_a_committed_transactions_marker_stays_as_long_as_its_data() -> None:
    log = Log(
        [batch(0, [(A, b"1")], producer_id=5, sequence=0, transactional=True), marker(1, ControlType.COMMIT)],
        [batch(2, [(B, b"2")])],
    )
    log.clean()
    assert [header.delete_horizon_ms for header, _ in log.cleaned_batches()] == [None, None, None]


def test_a_marker_after_another_transaction_of_the_producer_has_nothing_left() -> None:
    data = batch(0, [(A, b"1")], producer_id=5, sequence=0, transactional=True)
    log = Log([data, marker(1, ControlType.COMMIT), marker(3, ControlType.COMMIT)], [batch(4, [(B, b"2")])])
    log.clean(delete_retention_ms=DAY)
    assert [header.delete_horizon_ms for header, _ in log.cleaned_batches()] == [None, None, NOW + DAY, None]


def test_a_segment_of_which_only_the_first_record_was_reached() -> None:
    log = Log([batch(0, [(b"0", b"v"), (b"1", b"v"), (b"2", b"v")])], [batch(3, [(b"0", b"new"), (b"1", b"new")])])
    assert log.offsets(map_bytes=24 * 5, map_load_factor=0.8) == [2, 3, 4]
    log = Log([batch(0, [(b"%d" % number, b"v") for number in range(3)])], [batch(3, [(b"x", b""), (b"y", b"")])])
    assert log.offsets(map_bytes=24 * 5, map_load_factor=0.8) == [0, 1, 2, 3, 4]
    assert log.result.end_offset == 4
    assert [group.sources for group in log.result.groups] == [(0, 3)]


def test_the_dirty_part_begins_within_a_batch() -> None:
    log = Log([batch(0, [(A, b"1"), (A, b"2"), (B, b"1"), (A, b"3")])], [batch(4, [(B, b"2")])])
    assert log.offsets(first_dirty_offset=2) == [3, 4]
    assert log.result.stats.map_entries == 2
    log = Log([batch(0, [(C, b"1"), (A, b"2"), (B, b"1"), (C, None)])])
    assert log.offsets(first_dirty_offset=1, map_bytes=24 * 5, map_load_factor=0.4) == [0, 1, 2, 3]
    assert log.result.end_offset == 3, "what was clean before takes no room in the map"


def test_a_full_map_ends_the_cleaning() -> None:
    log = Log([batch(0, [(b"%d" % number, b"v") for number in range(10)])], [batch(10, [(b"1", b"new")])])
    assert log.offsets(map_bytes=24 * 5, map_load_factor=0.8) == list(range(10))
    assert log.result.end_offset == 4
    assert log.result.stats.map_utilization == 1.0
    assert [group.sources for group in log.result.groups] == [(0,)]
    with pytest.raises(CleaningError, match="too small"):
        log.clean(map_bytes=23)


def test_batches_before_the_dirty_part_take_no_room_in_the_map() -> None:
    log = Log([batch(number, [(b"%d" % number, b"v")]) for number in range(6)])
    log.clean(first_dirty_offset=2, map_bytes=24 * 5, map_load_factor=0.4)
    assert log.result.end_offset == 4
    assert log.result.stats.map_entries == 2


def test_full_indexes_become_sparser() -> None:
    log = Log([batch(number, [(b"%d" % number, b"v")]) for number in range(20)])
    log.clean(segment_index_bytes=60, index_interval_bytes=1)
    sizes = [log.storage.size(f"/t-0/{offset_name(0, suffix)}{CLEANED}") for suffix in (OFFSET_INDEX, TIME_INDEX)]
    assert 0 < sizes[0] <= 60
    assert 0 < sizes[1] <= 60


def test_a_batch_larger_than_the_buffer() -> None:
    log = Log([batch(0, [(A, b"x" * 5000)]), batch(1, [(A, b"y" * 5000), (B, b"")])])
    assert log.offsets(io_buffer_bytes=100) == [1, 2]


def test_segments_are_grouped_by_size() -> None:
    log = Log(*([batch(number, [(b"%d" % number, b"x" * 100)])] for number in range(5)))
    size = log.job.segments[0].size_bytes
    assert log.offsets(segment_bytes=2 * size) == [0, 1, 2, 3, 4]
    assert [group.sources for group in log.result.groups] == [(0, 1), (2, 3), (4,)]


def test_what_the_map_did_not_reach_is_kept_whatever_it_is() -> None:
    first = batch(0, [(b"%d" % number, b"v") for number in range(4)])
    reached = batch(4, [(None, b"1")])
    beyond = batch(5, [(b"0", None), (None, None)], horizon=NOW - 1)
    singles = [batch(7, [(b"5", None)], horizon=NOW - 1), batch(8, [(None, b"1")])]
    log = Log([first, reached, beyond, *singles])
    assert log.offsets(map_bytes=24 * 5, map_load_factor=0.8) == [0, 1, 2, 3, 5, 6, 7, 8]
    assert log.result.end_offset == 5, "records without a key take no room"


def test_an_earlier_abort_does_not_hide_a_commit() -> None:
    """The dirty part begins within a segment, behind an aborted transaction of the same producer. (Kafka's cleaner
    takes the commit for aborted, keeps the value at 2, and the deleted key is back once its tombstone has gone.)"""
    segment = [
        marker(1, ControlType.ABORT),
        batch(2, [(A, b"old")]),
        batch(3, [(A, None)], producer_id=5, sequence=1, transactional=True),
        marker(4, ControlType.COMMIT),
    ]
    log = Log(segment, [batch(5, [(B, b"1")])])
    aborted = (AbortedTransaction(5, 0, 1, 2),)
    assert log.offsets(first_dirty_offset=3, aborted_transactions=aborted) == [1, 3, 4, 5]


@pytest.mark.parametrize("position", [17, 30, 57, 64, 75])
def test_a_damaged_batch_is_not_touched(position: int) -> None:
    data = batch(0, [(A, b"1"), (B, b"1")])
    data[position] ^= 4
    log = Log([batch(0, [(A, b"1"), (B, b"1")])])
    log.storage.open(f"/t-0/{offset_name(0, LOG)}", create=False).pwrite(data, 0)
    with pytest.raises(CleaningError):
        log.clean()
    assert log.leftovers() == []


def test_a_segment_cut_short() -> None:
    log = Log([batch(0, [(A, b"1"), (B, b"1")])])
    log.storage.open(f"/t-0/{offset_name(0, LOG)}", create=False).truncate(70)
    with pytest.raises(CleaningError):
        log.clean()
    with pytest.raises(CleaningError, match="corrupt"):
        log.clean(segments=(evolve(log.job.segments[0], size_bytes=70),))


def test_nothing_dirty_is_nothing_done() -> None:
    log = Log([batch(0, [(A, b"1"), (A, b"2")])])
    assert log.clean(first_dirty_offset=3, first_uncleanable_offset=3) == []
    assert log.result.end_offset == 3


class Recording(CleaningHooks):
    def __init__(self, cancel_after: int = 1 << 30) -> None:
        self.cancel_after = cancel_after
        self.bytes_moved = 0
        self.bytes_read = 0
        self.groups: list[CleanedGroup] = []

    def moved(self, size_bytes: int) -> None:
        self.bytes_moved += size_bytes
        self.cancel_after -= 1
        if self.cancel_after < 0:
            raise CleaningCancelledError

    def progress(self, stats: CleaningStats) -> None:
        assert stats.bytes_read >= self.bytes_read
        self.bytes_read = stats.bytes_read

    def group_done(self, group: CleanedGroup) -> None:
        self.groups.append(group)


def two_groups() -> Log:
    return Log(*([batch(number, [(b"%d" % number, b"x" * 100)])] for number in range(2)))


def test_hooks() -> None:
    log = two_groups()
    size = log.job.segments[0].size_bytes
    hooks = Recording()
    log.clean(hooks, segment_bytes=size)
    assert hooks.bytes_moved == 6 * size, "mapped, read and written"
    assert tuple(hooks.groups) == log.result.groups
    assert log.result.stats.bytes_read == hooks.bytes_read == 2 * size
    assert log.result.stats.records_read == log.result.stats.records_written == 2


@pytest.mark.parametrize("after", range(6))
def test_cancelled_anywhere(after: int) -> None:
    log = two_groups()
    hooks = Recording(after)
    with pytest.raises(CleaningCancelledError):
        log.clean(hooks, segment_bytes=log.job.segments[0].size_bytes)
    done = {offset_name(group.base_offset, "") for group in hooks.groups}
    assert {name.split(".")[0] for name in log.leftovers()} == done
    assert log.clean(), "and it can be done again"


def test_an_error_of_the_disk_anywhere() -> None:
    log = two_groups()
    log.clean()
    steps = [entry for entry in log.storage.trace if CLEANED in entry]
    assert {entry.split()[0] for entry in steps} >= {"create", "write", "sync"}
    for number in range(len(steps)):
        log = two_groups()
        left = [number]

        def fail(operation: str, path: str, left: list[int] = left) -> OSError | None:
            if CLEANED in path and operation != "unlink":
                left[0] -= 1
                if left[0] == -1:
                    return OSError(errno.EIO, "broken")
            return None

        log.storage.fail = fail
        try:
            log.clean()
        except OSError:
            assert log.leftovers() == []
        log.storage.fail = None


def test_what_is_handed_over_is_durable() -> None:
    log = two_groups()
    log.clean()
    after = log.storage.after_power_loss(Random(1), keep=0.0)
    survivor = Log.__new__(Log)
    survivor.storage, survivor.result = after, log.result
    assert [records[0].offset for _, records in survivor.cleaned_batches()] == [0, 1]


def test_json() -> None:
    log = two_groups()
    job = evolve(log.job, aborted_transactions=(AbortedTransaction(1, 2, 3, 4),), last_records=(LastRecord(1, 2, 3),))
    assert CleaningJob.from_json(job.to_json()) == job
    assert "\n" not in job.to_json()
    for line in ("", "{}", "[]", '{"segments": 3}'):
        with pytest.raises((ValueError, TypeError, KeyError)):
            CleaningJob.from_json(line)
