"""Which part of a log may be cleaned, and which segments become one. (Kafka's answers for random logs:
test_cleaning_java.py)"""

from __future__ import annotations

from attrs import define

from log.compaction.cleanable import (
    CleanableOffsets,
    LogFacts,
    LogToClean,
    cleanable_offsets,
    log_to_clean,
    max_compaction_delay_ms,
)
from log.compaction.grouping import group_segments
from log.compaction.job import SourceSegment

NOW = 1_000_000


@define
class Facts:
    base_offset: int
    size: int = 100
    max_timestamp: int = -1
    first_timestamp: int = -1


def facts(*segments: Facts, start: int = 0, end: int = 1000, stable: int = 1000) -> LogFacts:
    return LogFacts(segments, start, end, stable)


LOG = facts(Facts(0, 10), Facts(100, 20), Facts(200, 40), Facts(300, 80))


def test_up_to_the_active_segment() -> None:
    assert cleanable_offsets(LOG, None, 0, NOW) == CleanableOffsets(0, 300, False)
    assert cleanable_offsets(LOG, 150, 0, NOW) == CleanableOffsets(150, 300, False)
    assert cleanable_offsets(LOG, 900, 0, NOW) == CleanableOffsets(900, 900, False)


def test_up_to_the_last_stable_offset() -> None:
    log = facts(Facts(0), Facts(100), Facts(200), stable=150)
    assert cleanable_offsets(log, 0, 0, NOW).first_uncleanable_offset == 150
    assert log_to_clean(log, cleanable_offsets(log, 0, 0, NOW), False).first_uncleanable_offset == 100


def test_a_checkpoint_outside_of_the_log_begins_anew() -> None:
    log = facts(Facts(0), Facts(100), start=50, end=200)
    assert cleanable_offsets(log, 20, 0, NOW) == CleanableOffsets(50, 100, True)
    assert cleanable_offsets(log, 201, 0, NOW) == CleanableOffsets(50, 100, True)
    assert cleanable_offsets(log, 200, 0, NOW) == CleanableOffsets(200, 200, False)


def test_min_compaction_lag() -> None:
    log = facts(
        Facts(0, max_timestamp=NOW), Facts(100, max_timestamp=NOW - 11), Facts(200, max_timestamp=NOW - 9), Facts(300)
    )
    assert cleanable_offsets(log, 100, 10, NOW).first_uncleanable_offset == 200
    assert cleanable_offsets(log, 0, 10, NOW) == CleanableOffsets(0, 0, False)
    assert cleanable_offsets(log, 0, 0, NOW).first_uncleanable_offset == 300


def test_bytes_and_ratio() -> None:
    assert log_to_clean(LOG, CleanableOffsets(0, 300, False), False) == LogToClean(0, 300, 0, 70, False)
    half = log_to_clean(LOG, CleanableOffsets(200, 300, False), False)
    assert (half.clean_bytes, half.cleanable_bytes, half.cleanable_ratio) == (30, 40, 40 / 70)
    assert half.needs_cleaning(0.5)
    assert not half.needs_cleaning(0.6)
    within = log_to_clean(LOG, CleanableOffsets(150, 300, False), False)
    assert (within.clean_bytes, within.cleanable_bytes) == (30, 60), "the segment between counts on both sides"
    nothing = log_to_clean(LOG, CleanableOffsets(300, 300, False), True)
    assert (nothing.clean_bytes, nothing.cleanable_bytes) == (70, 0)
    assert not nothing.needs_cleaning(0.0)
    assert not log_to_clean(facts(Facts(0, 0)), CleanableOffsets(0, 0, False), True).needs_cleaning(0.0)


def test_max_compaction_lag() -> None:
    log = facts(
        Facts(0, first_timestamp=5), Facts(100, first_timestamp=NOW - 50), Facts(200), Facts(300, first_timestamp=1)
    )
    assert max_compaction_delay_ms(log, 100, 30, NOW) == 20
    assert max_compaction_delay_ms(log, 100, 50, NOW) == 0
    assert max_compaction_delay_ms(log, 0, 50, NOW) == NOW - 55
    assert max_compaction_delay_ms(log, 200, 50, NOW) == 0
    assert max_compaction_delay_ms(log, 0, (1 << 63) - 1, NOW) == 0
    dirty = log_to_clean(LOG, CleanableOffsets(200, 300, False), True)
    assert dirty.needs_cleaning(0.99)


def groups(segments: list[SourceSegment], size: int = 100, index: int = 100, end: int = 10**12) -> list[list[int]]:
    return [[one.base_offset for one in group] for group in group_segments(segments, size, index, end)]


def test_groups() -> None:
    assert groups([]) == []
    assert groups([SourceSegment(number, 40, 0, 0, 0) for number in range(5)]) == [[0, 1], [2, 3], [4]]
    assert groups([SourceSegment(0, 200, 0, 0, 0), SourceSegment(5, 0, 0, 0, 0)], size=200) == [[0, 5]]
    assert groups([SourceSegment(number, 1, 60, 0, 0) for number in range(2)]) == [[0], [1]]
    assert groups([SourceSegment(number, 1, 0, 60, 0) for number in range(2)]) == [[0], [1]]


def test_groups_hold_offsets_that_an_index_can() -> None:
    far = 1 << 31
    segments = [SourceSegment(0, 1, 0, 0, 0), SourceSegment(10, 1, 0, 0, 0), SourceSegment(far, 1, 0, 0, 0)]
    assert groups(segments) == [[0], [10], [far]] or groups(segments) == [[0, 10], [far]]
    assert groups(segments[:2], end=far) == [[0, 10]]
    assert groups(segments[:2], end=far + 1) == [[0], [10]]
    assert groups([segments[0], SourceSegment(10, 0, 0, 0, 0)], end=far + 1) == [[0, 10]], "an empty one always fits"
