"""A scripted life of a few partitions, what it promised, and the check of what is left of it."""

from __future__ import annotations

from collections.abc import Callable

from attrs import define, field

from kwire.errors import ApiError
from kwire.records import RecordBatchBuilder, end_transaction_marker, iter_batches, read_records
from kwire.records.control import ControlType
from log.checkpoints import CheckpointWrite
from log.config import CommitRule, LogConfig
from log.log_manager import LogManager
from log.partition_log import PartitionLog
from log.results import FlushTargets
from log.retention_rounds import delete_old_segments
from tests.crash.fault_storage import FaultStorage

NOW = 1_700_000_000_000
TOPIC_ID = bytes(range(16))
CONFIG = LogConfig(
    segment_bytes=600,
    index_interval_bytes=100,
    segment_index_bytes=96,
    file_delete_delay_ms=0,
    retention_ms=-1,
)
PLAIN, PRODUCER, SYNCED = ("plain", 0), ("producer", 0), ("synced", 0)


def make_batch(values: list[bytes], *, producer_id: int = -1, sequence: int = -1, timestamp: int = NOW) -> bytearray:
    builder = RecordBatchBuilder(
        producer_id=producer_id, producer_epoch=0 if producer_id >= 0 else -1, base_sequence=sequence
    )
    for value in values:
        builder.append(None, value, timestamp=timestamp)
    return builder.build()


@define(slots=True)
class Promises:
    """What a partition's users were told."""

    values: list[bytes] = field(factory=list)
    """Every value handed to append, acknowledged or (only the last batch) not, in order."""
    acknowledged: int = 0
    durable: int = 0
    start: int = 0
    """The highest log start that was asked for."""
    last_batch: tuple[list[bytes], int, int] | None = None
    """Values, first sequence and offset of the last batch of the idempotent producer that was acknowledged."""


class World:
    """A log manager over a storage, and the promises made so far."""

    def __init__(self, storage: FaultStorage, promises: dict[tuple[str, int], Promises] | None = None) -> None:
        self.storage = storage
        self.promises = promises if promises is not None else {}
        self.manager = LogManager(
            storage,
            ["/data"],
            lambda topic: CONFIG,
            unique=lambda: "0" * 32,
            random_uuid=lambda: TOPIC_ID,
            commit_rule_for=lambda topic: CommitRule.FSYNC if topic == "synced" else None,
        )
        self.pending: list[tuple[PartitionLog, FlushTargets]] = []

    def start(self) -> None:
        self.manager.lock()
        self.manager.load()

    def log(self, key: tuple[str, int]) -> PartitionLog:
        return self.manager.get_or_create(*key, topic_id=TOPIC_ID, now_ms=NOW)

    def promise(self, key: tuple[str, int]) -> Promises:
        return self.promises.setdefault(key, Promises())

    # Steps of a history

    def append(self, key: tuple[str, int], count: int, size: int = 20) -> None:
        promise = self.promise(key)
        log = self.log(key)
        first = promise.acknowledged
        values = [f"{key[0]}-{first + i}-".encode().ljust(size, b".") for i in range(count)]
        idempotent = key == PRODUCER
        batch = make_batch(values, producer_id=7 if idempotent else -1, sequence=first if idempotent else -1)
        promise.values[first:] = values
        info = log.append_as_leader(memoryview(batch), leader_epoch=0, now_ms=NOW)
        assert (info.first_offset, info.last_offset) == (first, first + count - 1)
        promise.acknowledged += count
        if idempotent:
            promise.last_batch = (values, first, first)

    def flush(self, key: tuple[str, int]) -> None:
        log = self.log(key)
        log.flush(NOW)
        self.promise(key).durable = log.log_end_offset

    def start_flush(self, key: tuple[str, int]) -> None:
        """The fsync runs in a thread; more is appended before it is done."""
        log = self.log(key)
        self.pending.append((log, log.flush_targets()))

    def end_flush(self) -> None:
        for log, targets in self.pending:
            targets.run(self.storage)
            log.flushed(targets, NOW)
            promise = self.promise((log.topic, log.partition))
            promise.durable = max(promise.durable, targets.up_to)
        self.pending.clear()

    def delete_records(self, key: tuple[str, int], offset: int) -> None:
        self.promise(key).start = max(self.promise(key).start, offset)
        self.log(key).delete_records_before(offset)

    def retention(self) -> None:
        for work in delete_old_segments(self.manager, NOW):
            for item in work:
                item.run(self.storage)

    def checkpoint(self) -> None:
        self.run_all(self.manager.checkpoint_recovery_points())
        self.run_all(self.manager.checkpoint_log_starts())
        self.run_all(self.manager.checkpoint_high_watermarks())

    def run_all(self, work: list[CheckpointWrite]) -> None:
        for item in work:
            item.run(self.storage)

    def new_epoch(self, key: tuple[str, int]) -> None:
        self.log(key).assign_epoch(self.log(key).leader_epoch + 1)

    def delete(self, key: tuple[str, int]) -> None:
        self.promises.pop(key, None)
        for item in self.manager.delete([key]):
            item.run(self.storage)

    def restart(self, *, together: bool = False) -> None:
        """A clean stop and a start."""
        self.manager.bulk_sync_from = 0 if together else 1000
        assert self.manager.close(NOW) == []
        for key, promise in self.promises.items():
            promise.durable = promise.acknowledged
            assert key in self.manager
        self.__init__(self.storage, self.promises)  # type: ignore[misc]
        self.start()


def read_values(log: PartitionLog) -> list[tuple[int, bytes]]:
    """(offset, value) of every record from the log's start to its end."""
    found = []
    offset = log.log_start_offset
    while offset < log.log_end_offset:
        result = log.read(offset, 250, up_to=log.log_end_offset)
        if result.file_range is None:
            raise AssertionError(f"nothing to read at {offset} of {log}")
        data = result.file_range.read()
        for header in iter_batches(data, partial_tail=True):
            if header.last_offset >= offset:
                found += [
                    (record.offset, record.value or b"")
                    for record in read_records(data, header.position)
                    if record.offset >= offset and not header.is_control
                ]
                offset = header.next_offset
    return found


def check(storage: FaultStorage, promises: dict[tuple[str, int], Promises], *, power_loss: bool) -> World:
    """Start over what is left: what was promised is there, in order, once; and the log works on."""
    world = World(storage)
    world.start()
    for item in world.manager.unfinished_deletes():
        item.run(storage)
    for key, promise in promises.items():
        log = world.log(key)
        promised = promise.durable if power_loss else promise.acknowledged
        start, end = log.log_start_offset, log.log_end_offset
        # without a sync the first segment need not have reached the disk
        assert start <= promise.start or (power_loss and not promise.durable), f"{key}: starts at {start}"
        assert end >= promised, f"{key}: ends at {end}, promised {promised}"
        assert end <= len(promise.values)
        assert log.high_watermark == end
        found = read_values(log)
        asked = max(promise.start, start)
        expected = list(enumerate(promise.values))[asked:end]
        assert [pair for pair in found if pair[0] >= asked] == expected, f"{key}: not the records appended"
        assert all(promise.values[offset] == value for offset, value in found)
        # below the start that was asked for, whole segments may be gone already
        assert found == sorted(set(found))
        _check_indexes(log)
        world.promises[key] = Promises(list(promise.values[:end]), end, 0, promise.start)
        if key == PRODUCER and promise.last_batch is not None:
            _send_again(log, promise)
        if key != PRODUCER or start <= promise.start:  # else the producer's sequences went with the first segments
            world.append(key, 2)
    assert world.manager.close(NOW) == []
    after = World(storage.after_kill(), world.promises)
    after.start()
    for key in promises:
        log = after.log(key)
        assert log.recovery_point == log.log_end_offset, "a clean start recovers nothing"
        start = max(log.log_start_offset, promises[key].start)
        expected = list(enumerate(world.promises[key].values))[start:]
        assert [pair for pair in read_values(log) if pair[0] >= start] == expected
        assert log.log_end_offset == world.promises[key].acknowledged
    return after


def _send_again(log: PartitionLog, promise: Promises) -> None:
    """A producer that missed the answer sends its last batch again: it is not written twice."""
    assert promise.last_batch is not None
    values, sequence, offset = promise.last_batch
    end = log.log_end_offset
    if end < offset + len(values) or log.log_start_offset > offset:
        return
    try:
        again = make_batch(values, producer_id=7, sequence=sequence)
        info = log.append_as_leader(memoryview(again), leader_epoch=0, now_ms=NOW)
    except ApiError as error:
        # a later batch, unanswered, is all a snapshot remembers of the producer
        if end == promise.acknowledged:
            raise AssertionError(f"the last acknowledged batch was refused: {error}") from error
    else:
        assert info.duplicate
        assert info.first_offset == offset
    assert log.log_end_offset == end


def _check_indexes(log: PartitionLog) -> None:
    for segment in log.segments:
        spans = {span.last_offset: span.position for span in segment.spans()}
        for offset, position in segment.offset_index.all_entries():
            assert spans.get(offset) == position, f"{log}: index says {offset} -> {position}"
        stamps = segment.time_index.all_entries()
        assert stamps == sorted(set(stamps))
        for _, offset in stamps:
            assert offset in spans


def abort_marker(producer_id: int, timestamp: int = NOW) -> bytearray:
    return end_transaction_marker(
        ControlType.ABORT, producer_id=producer_id, producer_epoch=0, coordinator_epoch=0, timestamp=timestamp
    )


Step = Callable[[World], None]

HISTORY: list[Step] = [
    lambda w: w.append(PLAIN, 1),
    lambda w: w.append(PLAIN, 3),
    lambda w: w.append(SYNCED, 2),
    lambda w: w.flush(SYNCED),
    lambda w: w.append(PRODUCER, 2),
    lambda w: w.append(PRODUCER, 3),
    lambda w: w.append(PLAIN, 5, 60),
    lambda w: w.checkpoint(),
    lambda w: w.append(PLAIN, 4, 60),
    lambda w: w.append(PRODUCER, 6, 60),
    lambda w: w.append(PRODUCER, 2),
    lambda w: w.start_flush(SYNCED),
    lambda w: w.append(SYNCED, 4, 50),
    lambda w: w.end_flush(),
    lambda w: w.new_epoch(PLAIN),
    lambda w: w.flush(PLAIN),
    lambda w: w.append(PLAIN, 4, 90),
    lambda w: w.append(PLAIN, 4, 90),
    lambda w: w.checkpoint(),
    lambda w: w.delete_records(PLAIN, 11),
    lambda w: w.retention(),
    lambda w: w.append(SYNCED, 6, 60),
    lambda w: w.flush(SYNCED),
    lambda w: w.append(PRODUCER, 1),
    lambda w: w.restart(),
    lambda w: w.append(PLAIN, 2),
    lambda w: w.append(PRODUCER, 5, 70),
    lambda w: w.append(SYNCED, 1),
    lambda w: w.checkpoint(),
    lambda w: w.delete(PLAIN),
    lambda w: w.append(PLAIN, 3),
    lambda w: w.flush(SYNCED),
    lambda w: w.append(PRODUCER, 5, 70),
    lambda w: w.flush(PRODUCER),
    lambda w: w.append(PRODUCER, 5, 70),
    lambda w: w.restart(together=True),
    lambda w: w.append(PLAIN, 3),
]


def run(storage: FaultStorage, history: list[Step]) -> World:
    """Live through a history; a ``Crash`` ends it (the storage is dead then)."""
    world = World(storage)
    world.start()
    for step in history:
        step(world)
    return world
