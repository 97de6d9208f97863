"""When a snapshot of the metadata is made, and what goes with old ones  (Kafka: SnapshotGenerator, KafkaMetadataLog).

One is due when so many bytes were written since the last (`metadata.log.max.record.bytes.between.snapshots`), or when
it is so old and something was written since (`metadata.log.max.snapshot.interval.ms`). The image is noted in one step,
as references; encoding goes on in slices of some milliseconds, writing and syncing in a thread.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Final

from attrs import define

from broker.clock import Clock, Timer
from broker.controller.controller import Controller
from broker.controller.image_records import image_records
from broker.deferred import Deferred
from broker.metadata_log import MetadataLogFile
from broker.metadata_snapshots import DamagedSnapshotError, SnapshotBatches, SnapshotFile, SnapshotId
from kwire.errors import ApiError
from log.results import DeferredDelete
from log.storage import Storage

logger = logging.getLogger("kwire.metadata")

# Some two milliseconds of encoding; Kafka takes up to 1024.
_RECORDS_PER_SLICE: Final = 512
_WRITE_BYTES: Final = 1024 * 1024
# The older one is for when the newest turns out damaged.
_KEPT: Final = 2


@define(slots=True, frozen=True)
class SnapshotSettings:
    """interval_ms 0: never because of time. retention_bytes, retention_ms -1: no limit."""

    max_bytes: int
    interval_ms: int
    retention_bytes: int
    retention_ms: int


class SnapshotGenerator:
    """Started when the broker serves; stopped before its logs are closed."""

    def __init__(
        self,
        metadata: MetadataLogFile,
        controller: Controller,
        clock: Clock,
        storage: Storage,
        run_in_thread: Callable[[Callable[[], None]], Deferred[None]],
        settings: SnapshotSettings,
    ) -> None:
        self._metadata = metadata
        self._controller = controller
        self._clock = clock
        self._storage = storage
        self._run_in_thread = run_in_thread
        self._settings = settings
        self._writing: _Writing | None = None
        self._timer: Timer | None = None
        self._asked = False
        self._stopped = False

    def start(self) -> None:
        self._metadata.on_append = self._appended
        self._appended()

    def stop(self) -> None:
        """A snapshot that is being written is given up."""
        self._stopped = True
        self._metadata.on_append = lambda: None
        if self._timer is not None:
            self._timer.cancel()
        if self._writing is not None:
            self._writing.file.abandon()
            self._writing = None

    def _appended(self) -> None:
        if self._stopped or self._writing is not None or self._asked:
            return
        if self._metadata.bytes_since_snapshot >= self._settings.max_bytes:
            # Not now: the records that were just appended are not in the image yet.
            self._asked = True
            self._clock.call_later(0, lambda: self._begin(f"{self._settings.max_bytes} bytes were written"))
        elif self._timer is None and self._settings.interval_ms > 0:
            self._timer = self._clock.call_later(self._settings.interval_ms, self._interval_over)

    def _interval_over(self) -> None:
        self._timer = None
        if self._stopped or self._writing is not None or self._asked:
            return
        if self._metadata.bytes_since_snapshot:
            self._begin(f"{self._settings.interval_ms} ms have passed")

    # -- one snapshot

    def _begin(self, reason: str) -> None:
        self._asked = False
        metadata = self._metadata
        snapshot_id = SnapshotId(metadata.end_offset, metadata.epoch)
        if self._stopped or self._writing is not None or self._controller.in_transaction:
            return
        if metadata.snapshots and metadata.snapshots[-1] >= snapshot_id:
            return
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        logger.info("writing snapshot %s of the metadata: %s", snapshot_id.file_name, reason)
        metadata.bytes_since_snapshot = 0
        batches = SnapshotBatches(snapshot_id, self._clock.now_ms())
        self._writing = _Writing(
            metadata.files.new(snapshot_id),
            batches,
            image_records(self._controller.image.contents()),
            batches.header(metadata.last_timestamp_ms, metadata.quorum),
        )
        self._clock.call_later(0, self._slice)

    def _slice(self) -> None:
        writing = self._writing
        if writing is None:
            return
        values = list(islice(writing.values, _RECORDS_PER_SLICE))
        if values:
            writing.buffer += writing.batches.data(values)
        if len(values) < _RECORDS_PER_SLICE:
            writing.buffer += writing.batches.footer()
            self._metadata.committed(writing.file.snapshot_id.offset).add_callback(self._committed)
        elif len(writing.buffer) >= _WRITE_BYTES:
            data, writing.buffer = writing.buffer, bytearray()
            self._in_thread(lambda: writing.file.write(data), self._slice)
        else:
            self._clock.call_later(0, self._slice)

    def _committed(self, done: Deferred[None]) -> None:
        """What the snapshot says is on the disk: now it may be."""
        writing = self._writing
        if writing is None:
            return
        try:
            done.result()
        except Exception as error:
            self._give_up(error)
            return

        def write() -> None:
            writing.file.write(writing.buffer)
            writing.file.finish()

        self._in_thread(write, self._finished)

    def _in_thread(self, work: Callable[[], None], then: Callable[[], None]) -> None:
        def over(done: Deferred[None]) -> None:
            try:
                done.result()
            except OSError as error:
                self._give_up(error)
            else:
                then()

        self._run_in_thread(work).add_callback(over)

    def _give_up(self, error: Exception) -> None:
        writing, self._writing = self._writing, None
        if writing is None:
            return
        logger.error("snapshot %s of the metadata cannot be written: %s", writing.file.snapshot_id.file_name, error)
        try:
            writing.file.abandon()
        except OSError as failure:
            logger.error("what was written of it cannot be removed: %s", failure)
        self._appended()

    def _finished(self) -> None:
        writing, self._writing = self._writing, None
        if writing is None:
            return
        snapshot_id = writing.file.snapshot_id
        self._metadata.snapshots.append(snapshot_id)
        logger.info("snapshot %s of the metadata is written: %d bytes", snapshot_id.file_name, writing.file.size_bytes)
        try:
            self.clean()
        except (ApiError, OSError, DamagedSnapshotError) as error:
            logger.error("old snapshots of the metadata cannot be removed: %s", error)
        self._appended()

    # -- old ones

    def clean(self) -> None:
        """Remove snapshots, and what of the log is below them, by size and by age; the two newest stay.

        Raises ApiError, OSError, DamagedSnapshotError.
        """
        metadata, settings, now_ms = self._metadata, self._settings, self._clock.now_ms()
        sizes = {each: metadata.files.size_bytes(each) for each in metadata.snapshots}
        total = sum(sizes.values())
        begin_at: SnapshotId | None = None
        for number, snapshot_id in enumerate(metadata.snapshots[:-_KEPT]):
            too_much = 0 <= settings.retention_bytes < metadata.log_size_bytes + total
            too_old = 0 <= settings.retention_ms < now_ms - metadata.files.timestamp_ms(snapshot_id)
            if not too_much and not too_old:
                break
            total -= sizes[snapshot_id]
            begin_at = metadata.snapshots[number + 1]
        if begin_at is None:
            return
        for work in metadata.begin_before(begin_at, now_ms):
            self._clock.call_later(work.delay_ms, lambda work=work: self._remove(work))  # type: ignore[misc]

    def _remove(self, work: DeferredDelete) -> None:
        if self._stopped:
            return  # found and removed at the next start
        self._in_thread(lambda: work.run(self._storage), lambda: None)


@define(slots=True)
class _Writing:
    file: SnapshotFile
    batches: SnapshotBatches
    values: Iterator[bytes]
    buffer: bytearray
