"""When a log begins a new segment, and which ones it gives up."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from attrs import evolve

from kwire.error_codes import ErrorCode
from kwire.errors import ApiError
from kwire.records import RecordBatchBuilder
from log.config import CommitRule, LogConfig
from log.partition_log import PartitionLog
from log.results import DeferredDelete
from tests.crash.fault_storage import FaultStorage

NOW = 10_000_000
CONFIG = LogConfig(
    segment_bytes=1_000_000,
    segment_index_bytes=1200,
    message_timestamp_after_max_ms=1 << 60,
    retention_ms=-1,
    file_delete_delay_ms=7,
)


def open_log(config: LogConfig = CONFIG, storage: FaultStorage | None = None, **options: object) -> PartitionLog:
    return PartitionLog.open(storage or FaultStorage(), "/t-0", "t", 0, config, now_ms=NOW, **options)  # type: ignore[arg-type]


def append(log: PartitionLog, *, timestamp: int = NOW, size: int = 10, now_ms: int = NOW, count: int = 1) -> None:
    builder = RecordBatchBuilder()
    for _ in range(count):
        builder.append(b"k", bytes(size), timestamp=timestamp)
    log.append_as_leader(memoryview(builder.build()), leader_epoch=0, now_ms=now_ms)


def bases(log: PartitionLog) -> list[int]:
    return [segment.base_offset for segment in log.segments]


def names(log: PartitionLog) -> Iterator[str]:
    return iter(sorted(log.storage.list_dir("/t-0")))


# Rolling


def test_rolling_by_size() -> None:
    log = open_log(evolve(CONFIG, segment_bytes=300))
    for _ in range(5):
        append(log, size=70)  # batches of 141 bytes
    assert bases(log) == [0, 2, 4]
    with pytest.raises(ApiError) as refused:
        append(log, size=400)
    assert refused.value.code is ErrorCode.RECORD_LIST_TOO_LARGE
    append(log, size=229)
    assert log.segments.active.size == 300


def test_rolling_by_time_goes_by_the_records() -> None:
    log = open_log(evolve(CONFIG, segment_ms=1000))
    append(log, timestamp=5000)
    append(log, timestamp=6000)
    assert bases(log) == [0]
    append(log, timestamp=6001)
    assert bases(log) == [0, 2]
    append(log, timestamp=2000)
    assert bases(log) == [0, 2], "an older record rolls nothing"


def test_rolling_by_time_without_timestamps_goes_by_the_clock() -> None:
    log = open_log(evolve(CONFIG, segment_ms=1000))
    append(log, timestamp=-1)
    append(log, timestamp=-1, now_ms=NOW + 1000)
    assert bases(log) == [0]
    append(log, timestamp=-1, now_ms=NOW + 1001)
    assert bases(log) == [0, 2]


def test_jitter_brings_the_roll_forward() -> None:
    asked: list[int] = []

    def jitter(limit: int) -> int:
        asked.append(limit)
        return 400

    log = open_log(evolve(CONFIG, segment_ms=1000, segment_jitter_ms=500), jitter=jitter)
    append(log, timestamp=5000)
    append(log, timestamp=5600)
    assert bases(log) == [0]
    append(log, timestamp=5601)
    assert bases(log) == [0, 2]
    assert asked == [500, 500]


def test_rolling_when_an_index_is_full() -> None:
    log = open_log(evolve(CONFIG, segment_index_bytes=24, index_interval_bytes=0))
    for number in range(8):
        append(log, timestamp=NOW + number)
    # one entry of the time index is kept for the roll: the second batch's entry fills it
    assert bases(log) == [0, 2, 4, 6]
    for segment in log.segments:
        assert segment.offset_index.entries <= 3


def test_rolling_before_offsets_outgrow_the_index() -> None:
    log = open_log()
    append(log)
    log.log_end_offset = log.high_watermark = 0x7FFFFFFF + 1
    append(log)
    assert bases(log) == [0, 0x80000000]


def test_a_roll_finishes_the_old_segment() -> None:
    log = open_log(evolve(CONFIG, index_interval_bytes=100, segment_index_bytes=1200))
    for number in range(6):
        append(log, timestamp=NOW - number, size=60)
    log.roll(NOW)
    assert log.roll(NOW) is log.segments.active, "an empty segment is not rolled again"
    sizes = {name: log.storage.size(f"/t-0/{name}") for name in names(log)}
    assert sizes == {
        "00000000000000000000.index": 40,
        "00000000000000000000.log": 780,
        "00000000000000000000.timeindex": 12,
        "00000000000000000006.index": 1200,
        "00000000000000000006.log": 0,
        "00000000000000000006.snapshot": 10,
        "00000000000000000006.timeindex": 1200,
        "leader-epoch-checkpoint": 8,
    }


def test_flush_is_due_after_a_roll_and_by_count_and_time() -> None:
    log = open_log(evolve(CONFIG, flush_messages=5, flush_ms=1000))
    append(log, count=4)
    assert not log.flush_due(NOW + 999)
    assert log.flush_due(NOW + 1000)
    append(log)
    assert log.flush_due(NOW)
    log.flush(NOW)
    assert (log.unflushed, log.recovery_point) == (0, 5)
    assert not log.flush_due(NOW + 5000), "nothing new"
    append(log)
    log.roll(NOW)
    assert log.flush_due(NOW)
    log.flush(NOW)
    assert not log.flush_due(NOW)
    assert log.commit_rule is CommitRule.PAGE_CACHE


# Retention


def segmented(config: LogConfig, timestamps: list[int]) -> PartitionLog:
    """A log with one record of 100 bytes a segment, and an empty active one."""
    log = open_log(config)
    for timestamp in timestamps:
        append(log, timestamp=timestamp, size=31)
        log.roll(NOW)
    return log


def deleted(work: list[DeferredDelete]) -> list[str]:
    assert all(item.delay_ms == 7 for item in work)
    return sorted(path.rpartition("/")[2] for item in work for path in item.paths)


def test_retention_by_time() -> None:
    log = segmented(evolve(CONFIG, retention_ms=100), [NOW - 150, NOW - 101, NOW - 100, NOW - 500])
    work = log.delete_old_segments(NOW)
    assert bases(log) == [2, 3, 4], "those after a younger one stay"
    assert log.log_start_offset == 2
    assert deleted(work) == [
        "00000000000000000000.index.deleted",
        "00000000000000000000.log.deleted",
        "00000000000000000000.timeindex.deleted",
        "00000000000000000001.index.deleted",
        "00000000000000000001.log.deleted",
        "00000000000000000001.snapshot.deleted",
        "00000000000000000001.timeindex.deleted",
    ]
    for item in work:
        item.run(log.storage)
        item.run(log.storage)
    assert not [name for name in names(log) if "deleted" in name]
    with pytest.raises(ApiError):
        log.read(1, 100, up_to=4)


def test_retention_rolls_when_the_last_segment_is_too_old() -> None:
    log = open_log(evolve(CONFIG, retention_ms=100))
    append(log, timestamp=NOW - 500)
    assert log.delete_old_segments(NOW)
    assert bases(log) == [1]
    assert (log.log_start_offset, log.log_end_offset) == (1, 1)
    assert log.delete_old_segments(NOW + 10_000) == [], "an empty segment stays"


@pytest.mark.parametrize(("limit", "gone"), [(250, 2), (300, 2), (301, 1), (299, 2), (500, 0), (499, 0), (0, 5)])
def test_retention_by_size(limit: int, gone: int) -> None:
    log = segmented(evolve(CONFIG, retention_bytes=limit), [NOW] * 5)
    assert log.size_bytes == 500
    log.delete_old_segments(NOW)
    assert bases(log) == list(range(gone, 6)), "as many segments of 100 go as leave at least the limit"


def test_retention_by_size_and_time_go_together() -> None:
    log = segmented(evolve(CONFIG, retention_bytes=290, retention_ms=100), [NOW, NOW, NOW - 200, NOW - 200, NOW])
    log.delete_old_segments(NOW)
    assert bases(log) == [4, 5]


def test_nothing_above_the_high_watermark_is_deleted() -> None:
    log = open_log(evolve(CONFIG, retention_ms=1), commit_rule=CommitRule.FSYNC)
    for _ in range(3):
        append(log, timestamp=0)
        log.roll(NOW)
    log.advance_high_watermark(2)
    log.delete_old_segments(NOW)
    assert bases(log) == [2, 3]


@pytest.mark.parametrize("policy", [("compact",), ()])
def test_without_the_delete_policy_only_what_is_below_the_start_goes(policy: tuple[str, ...]) -> None:
    log = segmented(evolve(CONFIG, retention_ms=1, retention_bytes=0, cleanup_policy=policy), [0, 0, 0])
    assert log.delete_old_segments(NOW) == []
    log.delete_records_before(2)
    log.delete_old_segments(NOW)
    assert bases(log) == [2, 3]


def test_delete_records() -> None:
    log = open_log(evolve(CONFIG, segment_bytes=300))
    for _ in range(4):
        append(log, count=3)
    assert log.delete_records_before(4) == 4
    assert log.delete_records_before(2) == 4, "it never goes back"
    assert bases(log) == [0, 6], "files go with the next check"
    assert log.epochs.entries[0].start_offset == 4
    result = log.read(4, 1, up_to=12)
    assert result.first_offset == 3, "the batch that the start lies in is given whole"
    for offset in (-2, 13):
        with pytest.raises(ApiError) as refused:
            log.delete_records_before(offset)
        assert refused.value.code is ErrorCode.OFFSET_OUT_OF_RANGE
    assert log.delete_records_before(-1) == 12
    assert log.read(12, 100, up_to=12).file_range is None
    log.delete_old_segments(NOW)
    assert bases(log) == [6]


def test_without_timestamps_retention_goes_by_the_files_age() -> None:
    log = open_log(evolve(CONFIG, retention_ms=100))
    append(log, timestamp=-1)
    assert log.segments.active.retention_timestamp() == log.storage.modified_ms("/t-0/00000000000000000000.log")
