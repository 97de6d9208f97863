"""What holds of every log after a cleaning, whatever was in it."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kwire.records import Record
from log.compaction.job import CleaningJob
from log.config import LogConfig
from log.partition_log import PartitionLog
from tests.log.compaction.histories import Batch, History, all_batches, batches_of


def visible(log: PartitionLog, batches: list[Batch]) -> list[Record]:
    """What a read_committed consumer sees."""
    aborted = log.aborted_transactions(0, log.log_end_offset)
    return [
        record
        for batch in batches
        if not batch.header.is_control
        and not any(
            one.producer_id == batch.header.producer_id
            and one.first_offset <= batch.header.base_offset
            and batch.last_offset <= one.last_offset
            for one in aborted
            if batch.header.is_transactional
        )
        for record in batch.records
    ]


def producer_states(history: History) -> dict[int, tuple[int, int, int]]:
    """By producer: epoch, last sequence, last offset; rebuilt from the batches. Without those of which a marker was the
    last batch: once that is emptied nothing is rebuilt from it, in Kafka as here."""
    for path in history.directory.glob("*.snapshot"):
        path.unlink()
    log = history.open()
    found = {
        one.producer_id: (one.epoch, one.last_sequence, one.last_data_offset)
        for one in log.producers.producers.values()
        if one.batches
    }
    log.close(history.now_ms)
    return found


class Checked:
    """A history whose cleanings are checked."""

    def __init__(self, directory: Path, seed: int) -> None:
        rng = random.Random(seed)
        config = LogConfig(
            cleanup_policy=("compact",),
            segment_bytes=rng.choice([1500, 6000, 30_000]),
            index_interval_bytes=rng.choice([0, 50, 600]),
            segment_index_bytes=rng.choice([240, 10_000]),
            delete_retention_ms=rng.choice([0, 1000, 50_000]),
            message_timestamp_type=rng.choice(["CreateTime", "LogAppendTime"]),
        )
        self.history = History(directory / "topic-0", rng, config, rng.choice([3, 12, 100]))
        self.rng = rng
        self.map_bytes = rng.choice([24 * 6, 1 << 20, 1 << 20])
        self.wrote_all = True

    def round(self) -> None:
        history = self.history
        rng = self.rng
        history.append(rng.choice([3, 15]))
        history.now_ms += rng.choice([0, 1000, 100_000])
        job = history.job(map_bytes=self.map_bytes, io_buffer_bytes=rng.choice([80, 5000]))
        if job is None:
            return
        log = history.open()
        before = all_batches(history.directory)
        seen = visible(log, before)
        end = log.log_end_offset
        log.close(history.now_ms)
        states = producer_states(history)
        result = history.clean(job)
        self._check(job, result.end_offset, before, seen)
        assert producer_states(history) == states
        log = history.open()
        assert log.log_end_offset == end
        self._check_reading(log)
        log.close(history.now_ms)

    def _check(self, job: CleaningJob, end_offset: int, before: list[Batch], seen: list[Record]) -> None:
        history = self.history
        segments = batches_of(history.directory)
        offset = -1
        for name, batches in segments.items():
            assert int(name[:20]) > offset or offset < 0
            for batch in batches:
                assert batch.header.base_offset > offset
                offset = batch.last_offset
                offsets = [record.offset for record in batch.records]
                assert offsets == sorted(set(offsets))
                assert all(batch.header.base_offset <= one <= offset for one in offsets)
        after = [batch for batches in segments.values() for batch in batches]
        log = history.open()
        left = visible(log, after)
        log.close(history.now_ms)
        by_offset = {record.offset: record for record in left}
        assert all(record in seen for record in left)
        assert [one for one in left if one.offset >= end_offset] == [one for one in seen if one.offset >= end_offset]

        last = {record.key: record for record in seen if record.offset < end_offset}
        keys = [record.key for record in left if record.offset < end_offset]
        for key, record in last.items():
            if record.value is not None:
                assert by_offset[record.offset] == record
            elif record.offset not in by_offset:
                assert key not in keys, "a deleted key came back"
        if self.map_bytes > 1000:
            assert len(keys) == len(set(keys))
        gone = {
            offset
            for one in job.aborted_transactions
            for batch in before
            for offset in [record.offset for record in batch.records]
            if batch.header.producer_id == one.producer_id
            and batch.header.is_transactional
            and not batch.header.is_control
            and one.first_offset <= offset <= one.last_offset
        }
        # of aborted transactions nothing is left where the cleaning was
        limit = max((one.base_offset for one in job.segments if one.base_offset < end_offset), default=0)
        assert not [r.offset for b in after for r in b.records if r.offset in gone and r.offset < limit]

    def _check_reading(self, log: PartitionLog) -> None:
        batches = all_batches(self.history.directory)
        for offset in self.rng.sample(range(log.log_end_offset), min(30, log.log_end_offset)):
            found = log.read(offset, 1 << 20, up_to=log.log_end_offset)
            wanted = next((one for one in batches if one.last_offset >= offset), None)
            assert (found.file_range is None) == (wanted is None)
            if wanted is not None:
                assert found.first_offset == wanted.header.base_offset
        for batch in self.rng.sample(batches, min(10, len(batches))):
            timestamp = batch.header.max_timestamp
            found_at = log.find_by_timestamp(timestamp)
            # An emptied batch keeps its timestamp, an emptied segment has its file's, and Kafka looks into the first
            # segment only that could have such a record.
            hidden = any(one.header.max_timestamp >= timestamp and not one.records for one in batches)
            hidden = hidden or any(not segment.size for segment in log.segments)
            if batch.records and not hidden:
                assert found_at is not None
                assert found_at.timestamp >= timestamp


@settings(max_examples=6, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(st.integers(0, 1 << 32))
def test_after_every_cleaning(tmp_path: Path, seed: int) -> None:
    run(tmp_path, seed, 4)


def run(tmp_path: Path, seed: int, rounds: int) -> None:
    directory = tmp_path / str(seed)
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir()
    checked = Checked(directory, seed)
    for _ in range(rounds):
        checked.round()


@pytest.mark.slow
def test_many_histories(tmp_path: Path) -> None:
    for seed in range(300):
        run(tmp_path, seed, 8)


@pytest.mark.parametrize("seed", range(2))
def test_cleaning_again_changes_nothing(tmp_path: Path, seed: int) -> None:
    config = LogConfig(segment_bytes=5000, index_interval_bytes=50)
    history = History(tmp_path / "topic-0", random.Random(seed), config)
    history.append(60)
    job = history.job()
    assert job is not None
    history.clean(job)
    once = batches_of(history.directory)
    history.checkpoint = 0
    again = history.job()
    assert again is not None
    history.clean(again)
    data = [batch for batch in all_batches(history.directory) if not batch.header.is_control]
    assert data == [batch for batches in once.values() for batch in batches if not batch.header.is_control]
