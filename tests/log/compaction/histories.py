"""Random histories of a compacted partition, and what tests ask of it: appended, rolled, cleaned, read."""

from __future__ import annotations

import os
import random
from pathlib import Path

from attrs import define, field

from kwire.records import (
    BatchHeader,
    Codec,
    ControlType,
    Record,
    RecordBatchBuilder,
    end_transaction_marker,
    read_records,
)
from kwire.records.batch import HEADER_SIZE
from log.append_validation import AppendOrigin
from log.compaction.cleanable import LogFacts, LogToClean, cleanable_offsets, log_to_clean, max_compaction_delay_ms
from log.compaction.cleaning import clean
from log.compaction.job import CleanedGroup, CleaningHooks, CleaningJob, CleaningResult
from log.config import LogConfig
from log.partition_log import PartitionLog
from log.storage import OpenFile, RealFile, RealStorage

NOW = 1_700_000_000_000
NO_SEQUENCE = -1


class Unsynced(RealFile):
    """Nothing here is about crashes (``tests/crash``)."""

    __slots__ = ()

    def sync(self) -> None:
        pass


class UnsyncedStorage(RealStorage):
    def open(self, path: str, *, create: bool) -> OpenFile:
        flags = os.O_RDWR | os.O_CLOEXEC | (os.O_CREAT if create else 0)
        return Unsynced(os.open(path, flags, 0o644))

    def sync_dir(self, path: str) -> None:
        pass


@define
class Producer:
    producer_id: int
    epoch: int = 0
    sequence: int = 0
    in_transaction: bool = False


@define
class History:
    """Appends random batches of every kind to the log in ``directory``; time moves with it."""

    directory: Path
    rng: random.Random
    config: LogConfig
    key_count: int = 12
    now_ms: int = NOW
    checkpoint: int | None = None
    candidate: LogToClean | None = None
    delay_ms: int = 0
    producers: list[Producer] = field(factory=list)
    storage: RealStorage = field(factory=UnsyncedStorage)

    def open(self) -> PartitionLog:
        log = PartitionLog.open(
            self.storage,
            str(self.directory),
            "topic",
            0,
            self.config,
            now_ms=self.now_ms,
            clean_shutdown=True,
            recovery_point=1 << 60,
            producer_expiration_ms=1 << 50,
        )
        log.advance_high_watermark(log.log_end_offset)
        return log

    def append(self, batches: int) -> None:
        """So many more, and a roll at the end mostly; the log is closed cleanly."""
        log = self.open()
        for _ in range(batches):
            self.now_ms += self.rng.choice([0, 1, 7, 200])
            self._append_one(log)
        for producer in self.producers if self.rng.random() < 0.7 else []:
            if producer.in_transaction:
                self._append_marker(log, producer)
        if self.rng.random() < 0.8 and log.segments.active.size:
            log.roll(self.now_ms)
        log.advance_high_watermark(log.log_end_offset)
        log.close(self.now_ms)

    def _append_one(self, log: PartitionLog) -> None:
        rng = self.rng
        producer = self._producer() if rng.random() < 0.6 else None
        if producer is not None and producer.in_transaction and rng.random() < 0.4:
            self._append_marker(log, producer)
            return
        transactional = producer is not None and producer.producer_id % 2 == 0
        builder = RecordBatchBuilder(
            codec=Codec(rng.choice([0, 0, 0, 1, 2, 3, 4])),
            producer_id=-1 if producer is None else producer.producer_id,
            producer_epoch=-1 if producer is None else producer.epoch,
            base_sequence=NO_SEQUENCE if producer is None else producer.sequence,
            transactional=transactional,
        )
        count = rng.choice([1, 1, 2, 3, 9, 80])
        for _ in range(count):
            key = f"key-{rng.randrange(self.key_count)}".encode() * rng.choice([1, 1, 1, 20])
            headers = [("name", rng.choice([None, b"", b"content"]))] if rng.random() < 0.2 else []
            timestamp = self.now_ms + rng.choice([0, 0, 0, -5, 3, -100_000])
            builder.append(key, self._value(), timestamp=timestamp, headers=headers)
        data = builder.build()
        if len(data) > self.config.segment_bytes:
            return
        log.append_as_leader(memoryview(data), leader_epoch=3, now_ms=self.now_ms, origin=AppendOrigin.REPLICATION)
        if producer is not None:
            producer.sequence = producer.sequence + count & 0x7FFFFFFF
            producer.in_transaction = transactional

    def _append_marker(self, log: PartitionLog, producer: Producer) -> None:
        producer.in_transaction = False
        if self.rng.random() < 0.2:  # as transaction.version 2 and fencing do
            producer.epoch += 1
            producer.sequence = 0
        marker = end_transaction_marker(
            self.rng.choice([ControlType.ABORT, ControlType.COMMIT]),
            producer_id=producer.producer_id,
            producer_epoch=producer.epoch,
            coordinator_epoch=1,
            timestamp=self.now_ms,
        )
        log.append_as_leader(memoryview(marker), leader_epoch=3, now_ms=self.now_ms, origin=AppendOrigin.COORDINATOR)

    def _value(self) -> bytes | None:
        rng = self.rng
        if rng.random() < 0.3:
            return None
        return rng.randbytes(rng.choice([0, 1, 10, 70, 300]))

    def _producer(self) -> Producer:
        rng = self.rng
        if not self.producers or rng.random() < 0.05:
            self.producers.append(Producer(100 + len(self.producers)))
        producer = rng.choice(self.producers[-4:])
        if not producer.in_transaction and rng.random() < 0.1:
            producer.epoch += 1
            producer.sequence = 0
        return producer

    def job(self, *, map_bytes: int = 1 << 20, io_buffer_bytes: int = 4096) -> CleaningJob | None:
        """What there is to clean."""
        log = self.open()
        self.candidate = wanted = self._candidate(log)
        job = log.cleaning_job(
            wanted, self.now_ms, map_bytes=map_bytes, map_load_factor=0.9, io_buffer_bytes=io_buffer_bytes
        )()
        log.close(self.now_ms)
        return job if job.first_dirty_offset < job.first_uncleanable_offset else None

    def _candidate(self, log: PartitionLog) -> LogToClean:
        config = self.config
        facts = LogFacts(tuple(log.segments), log.log_start_offset, log.log_end_offset, log.last_stable_offset)
        offsets = cleanable_offsets(facts, self.checkpoint, config.min_compaction_lag_ms, self.now_ms)
        self.delay_ms = max_compaction_delay_ms(
            facts, offsets.first_dirty_offset, config.max_compaction_lag_ms, self.now_ms
        )
        return log_to_clean(facts, offsets, self.delay_ms > 0)

    def clean(self, job: CleaningJob) -> CleaningResult:
        """Clean; each group is put in place as soon as it is done."""
        log = self.open()
        result = clean(self.storage, CleaningJob.from_json(job.to_json()), Swapping(log))
        log.close(self.now_ms)
        assert CleaningResult.from_json(result.to_json()) == result
        self.checkpoint = result.end_offset
        for path in self.directory.glob("*.deleted"):
            path.unlink()
        assert not [path.name for path in self.directory.iterdir() if path.name.endswith((".cleaned", ".swap"))]
        return result


@define
class Swapping(CleaningHooks):
    log: PartitionLog

    def group_done(self, group: CleanedGroup) -> None:
        path = f"{self.log.directory}/{group.base_offset:020d}.log.cleaned"
        assert self.log.storage.size(path) == group.size_bytes
        assert self.log.storage.modified_ms(path) == group.modified_ms
        self.log.replace_segments(group.base_offset, group.sources)


@define(frozen=True)
class Batch:
    """A batch with its records, to compare: ``raw`` are its bytes, without the packed ones of a compressed batch."""

    header: BatchHeader
    records: list[Record]
    raw: bytes

    @property
    def last_offset(self) -> int:
        return self.header.last_offset


def batches_of(directory: Path) -> dict[str, list[Batch]]:
    """By segment file. CRCs are checked."""
    found: dict[str, list[Batch]] = {}
    for path in sorted(directory.glob("*.log")):
        data = path.read_bytes()
        batches = found[path.name] = []
        at = 0
        while at < len(data):
            header = BatchHeader.peek(data, at)
            raw = data[at : header.end]
            assert header.end <= len(data)
            records = list(read_records(data, at)) if header.record_count else []
            size = header.size
            if header.is_compressed:
                # another library's packing has other bytes
                raw = raw[8 + 4 : 17] + raw[21:HEADER_SIZE]
                header.batch_length = header.crc = 0
            at += size
            header.position = 0
            batches.append(Batch(header, records, raw))
    return found


def all_batches(directory: Path) -> list[Batch]:
    return [batch for batches in batches_of(directory).values() for batch in batches]
