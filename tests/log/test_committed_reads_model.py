"""What a reader of committed records sees of random transactions, wherever it begins and however much it is given.

Producers write plain batches and transactions of either generation to a log of small segments, which is rolled, closed,
killed, flushed and cut at its start in between. The reader does as clients do: it leaves out what the list of aborted
transactions names, up to the producer's next marker.
"""

from __future__ import annotations

from attrs import define, field
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from kwire.records import (
    ControlType,
    RecordBatchBuilder,
    decode_control_type,
    end_transaction_marker,
    iter_batches,
    read_records,
)
from log.append_validation import AppendOrigin
from log.config import LogConfig
from log.partition_log import PartitionLog
from tests.crash.fault_storage import FaultStorage

NOW = 1_000_000


@define
class Producer:
    """begun: where its open transaction begins."""

    id: int
    epoch: int = 0
    sequence: int = 0
    begun: int | None = None


@define
class Written:
    """A batch; ended: the offset of the marker of its transaction, and whether that committed it."""

    base: int
    count: int
    producer: int | None
    ended: tuple[int, bool] | None = None
    is_marker: bool = False


@define
class Model:
    producers: list[Producer] = field(factory=lambda: [Producer(id_) for id_ in range(3)])
    batches: list[Written] = field(factory=list)
    end: int = 0
    start: int = 0


class CommittedReads(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.storage = FaultStorage(open_limit=5)
        self.storage.mkdir("/t-0")
        self.model = Model()
        self.flushed = 0

    @initialize(fsync=st.booleans(), segment_bytes=st.integers(300, 1500), interval=st.integers(0, 300))
    def begin(self, fsync: bool, segment_bytes: int, interval: int) -> None:
        self.config = LogConfig(
            segment_bytes=segment_bytes,
            index_interval_bytes=interval,
            segment_index_bytes=120,
            flush_messages=1 if fsync else 1 << 62,
            retention_ms=-1,
        )
        self.open(clean=True)

    def open(self, *, clean: bool) -> None:
        self.log = PartitionLog.open(
            self.storage,
            "/t-0",
            "t",
            0,
            self.config,
            now_ms=NOW,
            clean_shutdown=clean,
            recovery_point=self.flushed,
            log_start_offset=self.model.start,
        )

    # What is done

    @rule(
        which=st.lists(st.integers(-1, 2), min_size=1, max_size=6),
        count=st.integers(1, 3),
        size=st.integers(0, 60),
        transactional=st.booleans(),
    )
    def produce(self, which: list[int], count: int, size: int, transactional: bool) -> None:
        for each in which:
            self.append(each, count, size, transactional)

    def append(self, which: int, count: int, size: int, transactional: bool) -> None:
        model = self.model
        producer = model.producers[which] if which >= 0 else None
        transactional = producer is not None and (transactional or producer.begun is not None)
        builder = RecordBatchBuilder(
            producer_id=-1 if producer is None else producer.id,
            producer_epoch=-1 if producer is None else producer.epoch,
            base_sequence=-1 if producer is None else producer.sequence,
            transactional=transactional,
        )
        for number in range(count):
            builder.append(None, b"%d." % (model.end + number) + bytes(size), timestamp=NOW)
        guard = None
        if transactional:
            assert producer is not None
            guard = self.log.producers.begin_verification(
                producer.id, producer.epoch, producer.sequence, must_begin_at_zero=False, now_ms=NOW
            )
            assert (guard is None) == (producer.begun is not None)
        info = self.log.append_as_leader(memoryview(builder.build()), leader_epoch=0, now_ms=NOW, guard=guard)
        assert info.first_offset == model.end
        model.batches.append(Written(model.end, count, which if transactional else None))
        if producer is not None:
            producer.sequence += count
            if transactional and producer.begun is None:
                producer.begun = model.end
        model.end += count

    @rule(which=st.integers(0, 2), committed=st.booleans(), raises=st.booleans())
    def end_transaction(self, which: int, committed: bool, raises: bool) -> None:
        """raises: of transaction.version 2, whose marker has the next epoch."""
        model = self.model
        producer = model.producers[which]
        if raises:
            producer.epoch += 1
            producer.sequence = 0
        marker = end_transaction_marker(
            ControlType.COMMIT if committed else ControlType.ABORT,
            producer_id=producer.id,
            producer_epoch=producer.epoch,
            coordinator_epoch=0,
            timestamp=NOW,
        )
        self.log.append_as_leader(
            memoryview(marker),
            leader_epoch=0,
            now_ms=NOW,
            origin=AppendOrigin.COORDINATOR,
            guard=None,
            transaction_version=2 if raises else 1,
        )
        for written in model.batches:
            if written.producer == which and written.ended is None and not written.is_marker:
                written.ended = (model.end, committed)
        producer.begun = None
        model.batches.append(Written(model.end, 1, which, is_marker=True))
        model.end += 1

    @rule()
    def flush(self) -> None:
        self.log.flush(NOW)
        self.flushed = self.log.recovery_point

    @rule()
    def roll(self) -> None:
        self.log.roll(NOW)

    @rule(clean=st.booleans())
    def restart(self, clean: bool) -> None:
        if clean:
            self.log.close(NOW)
            self.flushed = self.log.log_end_offset
        self.open(clean=clean)

    @rule(data=st.data())
    def delete_records(self, data: st.DataObject) -> None:
        to = data.draw(st.integers(self.model.start, self.log.high_watermark))
        self.log.delete_records_before(to)
        self.model.start = max(self.model.start, to)
        self.log.delete_old_segments(NOW)

    # What is seen

    @property
    def stable(self) -> int:
        """Up to the first transaction that is open, or whose marker is not below the high watermark."""
        high_watermark = self.log.high_watermark
        unstable = [
            written.base
            for written in self.model.batches
            if written.producer is not None
            and not written.is_marker
            and (written.ended is None or written.ended[0] >= high_watermark)
        ]
        return min([high_watermark, *(max(base, self.model.start) for base in unstable)])

    @invariant()
    def the_last_stable_offset_is_right(self) -> None:
        assert self.log.last_stable_offset == self.stable

    @rule(data=st.data(), max_bytes=st.integers(0, 2000))
    def read(self, data: st.DataObject, max_bytes: int) -> None:
        self.read_from(data.draw(st.integers(self.model.start, self.log.last_stable_offset)), max_bytes)

    def teardown(self) -> None:
        """From everywhere, before and after the last transactions end."""
        for committed in (None, False, True):
            if committed is not None:
                self.end_transaction(int(committed), committed, False)
            self.log.flush(NOW)
            start, stable = self.model.start, self.log.last_stable_offset
            for number, offset in enumerate(range(start, stable, max(1, (stable - start) // 5))):
                self.read_from(offset, (100_000, 400, 1000)[number % 3])

    def read_from(self, offset: int, max_bytes: int) -> None:
        model, stable = self.model, self.log.last_stable_offset
        expected = [
            number
            for written in model.batches
            if not written.is_marker and (written.ended is None or written.ended[1])
            for number in range(written.base, written.base + written.count)
            if offset <= number < stable
        ]
        found: list[int] = []
        while offset < stable:
            result = self.log.read(offset, max_bytes, up_to=stable)
            assert result.file_range is not None
            chunk = result.file_range.file.pread(result.file_range.size, result.file_range.position)
            listed = self.log.aborted_in(offset, result)
            aborted = sorted((each.first_offset, each.producer_id) for each in listed)
            ignored: set[int] = set()
            for header in iter_batches(chunk, partial_tail=True):
                while aborted and aborted[0][0] <= header.last_offset:
                    ignored.add(aborted.pop(0)[1])
                records = list(read_records(chunk, header.position))
                if header.is_control:
                    if decode_control_type(records[0].key) is ControlType.ABORT:
                        ignored.discard(header.producer_id)
                elif not (header.is_transactional and header.producer_id in ignored):
                    values = [int(bytes(record.value or b"").split(b".")[0]) for record in records]
                    found += [number for number in values if number >= offset]
                offset = header.last_offset + 1
        assert found == expected


TestCommittedReads = CommittedReads.TestCase
TestCommittedReads.settings = settings(stateful_step_count=14, deadline=None)
