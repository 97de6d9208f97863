"""The partition log against a plain list, whatever is done to them."""

from __future__ import annotations

from typing import Any

import pytest
from attrs import define
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from kwire.error_codes import ErrorCode
from kwire.errors import ApiError
from kwire.records import RecordBatchBuilder, iter_batches, read_records
from log.config import CommitRule, LogConfig
from log.partition_log import PartitionLog
from log.storage import FileRange
from tests.crash.fault_storage import FaultStorage

NOW = 1_000_000


@define
class Batch:
    base: int
    records: list[tuple[bytes, int]]
    """Value and timestamp."""
    epoch: int
    size: int

    @property
    def next(self) -> int:
        return self.base + len(self.records)


class LogMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.storage = FaultStorage(open_limit=5)
        self.storage.mkdir("/t-0")
        self.batches: list[Batch] = []
        self.start = 0
        self.end = 0
        self.epoch = 0
        self.synced = 0
        self.ranges: list[tuple[FileRange, bytes]] = []
        self.last_sent: tuple[list[bytes], int, int] | None = None
        self.sequence = 0

    @initialize(fsync=st.booleans(), segment_bytes=st.integers(700, 2500), interval=st.integers(0, 600))
    def begin(self, fsync: bool, segment_bytes: int, interval: int) -> None:
        self.config = LogConfig(
            segment_bytes=segment_bytes,
            index_interval_bytes=interval,
            segment_index_bytes=120,
            flush_messages=1 if fsync else 1 << 62,
            message_timestamp_after_max_ms=1 << 60,
            retention_ms=-1,
        )
        self.fsync = fsync
        self.log = self.open(clean=True)

    def open(self, *, clean: bool) -> PartitionLog:
        return PartitionLog.open(
            self.storage,
            "/t-0",
            "t",
            0,
            self.config,
            now_ms=NOW,
            clean_shutdown=clean,
            recovery_point=self.synced,
            log_start_offset=self.start,
        )

    # What is done

    @rule(
        sizes=st.lists(st.integers(0, 120), min_size=1, max_size=4),
        stamps=st.lists(st.integers(0, 50), min_size=4, max_size=4),
    )
    def append(self, sizes: list[int], stamps: list[int]) -> None:
        records = [(f"{self.end + i}.".encode() + bytes(size), stamps[i]) for i, size in enumerate(sizes)]
        batch = self.batch(records)
        info = self.log.append_as_leader(memoryview(batch), leader_epoch=self.epoch, now_ms=NOW)
        assert (info.first_offset, info.last_offset) == (self.end, self.end + len(records) - 1)
        self.batches.append(Batch(self.end, records, self.epoch, len(batch)))
        self.end += len(records)

    def batch(self, records: list[tuple[bytes, int]], **producer: Any) -> bytearray:
        builder = RecordBatchBuilder(**producer)
        for value, timestamp in records:
            builder.append(None, value, timestamp=timestamp)
        return builder.build()

    @rule(count=st.integers(1, 3))
    def produce(self, count: int) -> None:
        """An idempotent producer."""
        values = [b"p%d" % (self.sequence + i) for i in range(count)]
        records = [(value, 10) for value in values]
        batch = self.batch(records, producer_id=5, producer_epoch=0, base_sequence=self.sequence)
        info = self.log.append_as_leader(memoryview(batch), leader_epoch=self.epoch, now_ms=NOW)
        assert info.first_offset == self.end
        self.last_sent = (values, self.sequence, self.end)
        self.batches.append(Batch(self.end, records, self.epoch, len(batch)))
        self.sequence += count
        self.end += count

    @precondition(lambda self: self.last_sent is not None)
    @rule()
    def produce_again(self) -> None:
        assert self.last_sent is not None
        values, sequence, offset = self.last_sent
        batch = self.batch([(v, 10) for v in values], producer_id=5, producer_epoch=0, base_sequence=sequence)
        info = self.log.append_as_leader(memoryview(batch), leader_epoch=self.epoch, now_ms=NOW)
        assert info.duplicate
        assert (info.first_offset, info.last_offset) == (offset, offset + len(values) - 1)

    @rule()
    def next_epoch(self) -> None:
        self.epoch += 1

    @rule()
    def roll(self) -> None:
        self.log.roll(NOW)

    @rule()
    def flush(self) -> None:
        self.log.flush(NOW)
        self.synced = self.end

    @rule(at=st.floats(0, 1))
    def delete_records(self, at: float) -> None:
        offset = int(at * self.log.high_watermark)
        self.start = max(self.start, offset)
        assert self.log.delete_records_before(offset) == self.start

    @rule()
    def delete_old_segments(self) -> None:
        for work in self.log.delete_old_segments(NOW):
            work.run(self.storage)

    @rule(keep=st.integers(0, 3000))
    def retain_bytes(self, keep: int) -> None:
        self.log.update_config(
            LogConfig(
                segment_bytes=self.config.segment_bytes,
                retention_bytes=keep,
                retention_ms=-1,
                flush_messages=self.config.flush_messages,
                index_interval_bytes=self.config.index_interval_bytes,
                segment_index_bytes=120,
            )
        )
        self.delete_old_segments()
        self.log.update_config(self.config)
        self.start = max(self.start, self.log.log_start_offset)

    @rule(at=st.floats(0, 1))
    def truncate(self, at: float) -> None:
        offset = self.start + int(at * (self.end - self.start))
        self.log.truncate_to(offset, NOW)
        if offset < self.end:
            self.batches = [batch for batch in self.batches if batch.next <= offset]
            self.end = self.batches[-1].next if self.batches else min(offset, self.log.segments.first.base_offset)
            # nothing whole is left between the start and the cut
            self.end = max(self.end, self.log.segments.active.base_offset)
            self.start = min(self.start, self.end)
            self.synced = min(self.synced, self.end)
            # The producer's state is rebuilt from what is left at or above the log start, as in Kafka: it may have gone
            # back, or be gone although its batch still stands below the start.
            self.forget_older_batches()

    def known_sequence(self) -> int:
        entry = self.log.producers.producers.get(5)
        return 0 if entry is None else entry.last_sequence + 1

    @rule()
    def close_and_open(self) -> None:
        self.log.close(NOW)
        self.synced = self.end
        self.log = self.open(clean=True)
        assert self.log.recovery_point == self.end
        self.forget_older_batches()

    @rule()
    def kill_and_open(self) -> None:
        self.storage = self.storage.after_kill()
        self.log = self.open(clean=False)
        self.forget_older_batches()

    def forget_older_batches(self) -> None:
        """A snapshot keeps one batch of a producer, and loses an id of which nothing is left after the start."""
        self.sequence = self.known_sequence()
        entry = self.log.producers.producers.get(5)
        if self.last_sent is not None and (entry is None or entry.last_data_offset < self.last_sent[2]):
            self.last_sent = None

    # What must hold

    @invariant()
    def offsets(self) -> None:
        if not hasattr(self, "log"):
            return
        log = self.log
        assert log.log_end_offset == self.end
        assert log.log_start_offset == self.start
        assert log.log_start_offset <= log.last_stable_offset <= log.high_watermark <= log.log_end_offset
        if not self.fsync:
            assert log.high_watermark == self.end
        else:
            assert log.commit_rule is CommitRule.FSYNC
            assert log.high_watermark >= min(self.synced, self.end)

    @precondition(lambda self: self.batches)
    @rule(at=st.floats(0, 1), max_bytes=st.integers(0, 1500), min_one=st.booleans())
    def read(self, at: float, max_bytes: int, min_one: bool) -> None:
        offset = self.start + int(at * (self.end - self.start))
        up_to = self.log.high_watermark
        result = self.log.read(offset, max_bytes, up_to=up_to, min_one=min_one)
        wanted = [batch for batch in self.batches if batch.next > offset and batch.base < up_to]
        if offset >= up_to or not wanted:
            assert result.file_range is None
            return
        first = wanted[0]
        if result.file_range is None:
            assert not min_one
            assert max_bytes == 0
            return
        data = result.file_range.read()
        assert result.first_offset == first.base
        assert len(data) <= (max(max_bytes, first.size) if min_one else max_bytes)
        if min_one:
            assert len(data) >= first.size
        found = list(iter_batches(data, partial_tail=True))
        for header, batch in zip(found, wanted, strict=False):
            assert header.base_offset == batch.base
            assert header.partition_leader_epoch == batch.epoch
            records = list(read_records(data, header.position))
            assert [(r.value, r.timestamp) for r in records] == batch.records
        assert len(found) <= len(wanted)
        if found and len(found) == len(wanted):
            assert found[-1].end == len(data), "more than may be seen"
        self.ranges = [*self.ranges[-3:], (result.file_range, data)]

    @rule()
    def ranges_outlive_everything(self) -> None:
        for file_range, data in self.ranges:
            if file_range.position + file_range.size <= file_range.file.size():
                got = file_range.read()
                assert len(got) == len(data)

    @rule(past=st.integers(1, 5))
    def read_out_of_range(self, past: int) -> None:
        for offset in (self.end + past, self.start - past):
            with pytest.raises(ApiError) as refused:
                self.log.read(offset, 100, up_to=self.log.high_watermark)
            assert refused.value.code is ErrorCode.OFFSET_OUT_OF_RANGE

    @rule(timestamp=st.integers(0, 60))
    def find_by_timestamp(self, timestamp: int) -> None:
        found = self.log.find_by_timestamp(timestamp)
        expected = [
            (stamp, batch.base + index, batch.epoch)
            for batch in self.batches
            for index, (_, stamp) in enumerate(batch.records)
            if stamp >= timestamp and batch.base + index >= self.start
        ]
        if not expected:
            assert found is None
        else:
            # of the first segment that has such a record; Kafka does not look on when it is below the start
            assert found is None or tuple(found) in expected
            if self.log.segments.first.base_offset == self.start:
                assert found == expected[0]

    @rule()
    def find_max_timestamp(self) -> None:
        found = self.log.find_max_timestamp()
        kept = [b for b in self.batches if b.base >= self.log.segments.first.base_offset]
        largest = max((stamp for batch in kept for _, stamp in batch.records), default=None)
        assert (None if found is None else found.timestamp) == largest

    @precondition(lambda self: self.batches)
    @rule(data=st.data())
    def end_of_epoch(self, data: st.DataObject) -> None:
        kept = [batch for batch in self.batches if batch.next > self.start]
        if not kept:
            return
        batch = data.draw(st.sampled_from(kept))
        later = [other.base for other in self.batches if other.epoch > batch.epoch]
        epoch, end = self.log.end_offset_for_epoch(batch.epoch)
        assert epoch == batch.epoch
        assert end == (later[0] if later else self.end)

    @rule()
    def indexes_are_right(self) -> None:
        for segment in self.log.segments:
            spans = {span.last_offset: span.position for span in segment.spans()}
            entries = segment.offset_index.all_entries()
            assert entries == sorted(set(entries))
            for offset, position in entries:
                assert spans[offset] == position
            for _, offset in segment.time_index.all_entries():
                assert offset in spans

    @rule()
    def few_files_are_open(self) -> None:
        assert self.storage.cache.open_count <= 6


TestPartitionLog = LogMachine.TestCase
TestPartitionLog.settings = settings(stateful_step_count=40)
