"""Opening a partition's directory: leftovers, segments, recovery after an unclean stop, producer state  (Kafka:
LogLoader).

After a clean stop the checkpoints and indexes are believed, and only the end of the last segment is looked at.
Otherwise every batch from the recovery point's segment on is checked (CRC, rising offsets), what follows the first
damaged one is cut, and the indexes of these segments, the leader epochs and the producers' state are made anew from
the batches.
"""

from __future__ import annotations

from collections.abc import Iterator

from attrs import define, field

from kwire.errors import ApiError, CorruptRecordsError
from kwire.records import HEADER_SIZE, BatchHeader, verify_crc
from log.config import LogConfig
from log.filenames import (
    CLEANED,
    DELETED,
    LOG,
    OFFSET_INDEX,
    PRODUCER_SNAPSHOT,
    SWAP,
    TIME_INDEX,
    TRANSACTION_INDEX,
    OffsetFile,
    offset_name,
    parse_offset_name,
)
from log.leader_epochs import LeaderEpochs
from log.producer_snapshots import ProducerSnapshots
from log.producer_state import ProducerStateManager
from log.segment import MAX_RELATIVE_OFFSET, Segment
from log.segments import Segments
from log.storage import Storage, remove_if_exists
from log.transaction_index import AbortedTransaction

_READ_CHUNK = 1 << 20


@define(slots=True)
class LoadedLog:
    """A partition's directory, ready for use."""

    segments: Segments
    epochs: LeaderEpochs
    producers: ProducerStateManager
    snapshots: ProducerSnapshots
    log_start_offset: int
    log_end_offset: int
    recovery_point: int
    recovered: bool = False
    """Segments were checked and indexed anew."""
    truncated_bytes: int = 0
    """Bytes that recovery cut off because they were no whole, sound batches."""
    new_directories: list[str] = field(factory=list)
    """Directories whose entries are not synced yet."""
    rebuilt: list[Segment] = field(factory=list)
    """Segments whose indexes were made anew and not synced; the active one is not among them."""


def load(
    storage: Storage,
    directory: str,
    config: LogConfig,
    *,
    now_ms: int,
    clean_shutdown: bool,
    recovery_point: int,
    log_start_offset: int,
    producers: ProducerStateManager,
    after_failure: bool = False,
    synced: bool = False,
) -> LoadedLog:
    """Open the directory (see the module); raises ``OSError``.

    ``synced``: what is read is promised to be on the disk. After an unclean stop the page cache is no witness of that:
    it may hold, marked clean, what a sync of the process before could not write.
    """
    new_directories: list[str] = []
    if not storage.exists(directory):
        storage.mkdir(directory)
        new_directories = [directory, directory.rsplit("/", 1)[0]]
    names = _remove_leftovers(storage, directory, config, now_ms)
    segments, without_indexes = _open_segments(storage, directory, names, config, now_ms)
    epochs, epochs_missing = LeaderEpochs.load(storage, directory)
    epochs_missing = epochs_missing or not epochs.entries
    snapshots = ProducerSnapshots(
        storage, directory, [file.offset for file in names if file.suffix == PRODUCER_SNAPSHOT]
    )
    loader = _Loader(storage, config, segments, epochs, producers, snapshots, now_ms)

    if clean_shutdown and not after_failure:
        recover_from = min(without_indexes) if without_indexes else None
    else:
        if after_failure:
            for segment in segments:
                segment.file.opened().drop_cache()
        # the segment that ends at the recovery point may have been active when it was synced, its indexes not
        recover_from = max(recovery_point - 1, 0)
        trusted = segments.floor(recover_from)
        if synced and not after_failure:
            for segment in segments:
                if trusted is None or segment.base_offset >= trusted.base_offset:
                    segment.file.opened().drop_cache()
        for segment in segments:
            if trusted is None or segment.base_offset >= trusted.base_offset:
                break
            if segment.base_offset in without_indexes or not _indexes_fit(segment):
                recover_from = segment.base_offset
                break
    if recover_from is not None and len(segments):
        loader.recover(recover_from, recovery_point)
    if len(segments):
        log_end_offset = segments.active.next_offset() if loader.recovered_to is None else loader.recovered_to
        if log_end_offset < log_start_offset:
            # files are gone, or never reached the disk: nothing of what is left may be read
            loader.drop(list(segments))
            producers.reset(log_start_offset)
            epochs.clear()
    if not len(segments):
        log_end_offset = log_start_offset
        segments.add(
            Segment.create(storage, directory, log_start_offset, config, now_ms=now_ms, jitter_ms=0),
        )
    log_start_offset = max(log_start_offset, segments.first.base_offset)
    if epochs_missing and log_end_offset > log_start_offset:
        _epochs_from_batches(segments, epochs)
    epochs.truncate_from_end(log_end_offset)
    epochs.truncate_from_start(log_start_offset)
    if snapshots.remove_above(log_end_offset):
        new_directories.append(directory)
    if loader.recovered_to is None:
        replay_producers(segments, producers, snapshots, log_start_offset, log_end_offset, now_ms)
    snapshots.remove_stray({segment.base_offset for segment in segments})
    if clean_shutdown and not after_failure and recover_from is None:
        recovery_point = log_end_offset
    return LoadedLog(
        segments,
        epochs,
        producers,
        snapshots,
        log_start_offset,
        log_end_offset,
        min(recovery_point, log_end_offset),
        recovered=loader.recovered_to is not None,
        truncated_bytes=loader.truncated_bytes,
        new_directories=new_directories,
        rebuilt=[each for each in loader.rebuilt if each.base_offset in segments and each is not segments.active],
    )


def _remove_leftovers(storage: Storage, directory: str, config: LogConfig, now_ms: int) -> list[OffsetFile]:
    """Finish or undo what was under way: deletes, swaps of compacted segments, file replacements.

    ``.deleted``, ``.cleaned`` and ``.tmp`` files go. ``.swap`` files are complete: the segments they replace go, and
    they take their place; except those at or above the first ``.cleaned`` one, which belong to a split that was not
    finished. (Kafka: LogLoader.removeTempFilesAndCollectSwapFiles, KAFKA-6264)
    """
    kept: list[OffsetFile] = []
    swaps: list[OffsetFile] = []
    first_cleaned: int | None = None
    for name in storage.list_dir(directory):
        file = parse_offset_name(name)
        if name.endswith((DELETED, ".tmp")):
            remove_if_exists(storage, f"{directory}/{name}")
        elif file is None:
            continue
        elif file.mark == CLEANED:
            remove_if_exists(storage, f"{directory}/{name}")
            first_cleaned = file.offset if first_cleaned is None else min(first_cleaned, file.offset)
        elif file.mark == SWAP:
            swaps.append(file)
        elif not file.mark:
            kept.append(file)
    if not swaps:
        return kept
    valid = []
    for file in swaps:
        if first_cleaned is not None and file.offset >= first_cleaned:
            remove_if_exists(storage, f"{directory}/{offset_name(file.offset, file.suffix)}{SWAP}")
        else:
            valid.append(file)
    ranges = []
    for file in valid:
        if file.suffix == LOG:
            path = f"{directory}/{offset_name(file.offset, LOG)}{SWAP}"
            segment = Segment(
                storage,
                directory,
                file.offset,
                size=storage.size(path),
                max_index_size=config.segment_index_bytes,
                has_transaction_index=False,
                created_ms=now_ms,
                suffix=SWAP,
            )
            ranges.append((file.offset, max((span.last_offset + 1 for span in segment.spans()), default=file.offset)))
            segment.file.release()
    low = min((start for start, _ in ranges), default=0)
    high = max((end for _, end in ranges), default=0)
    survivors = []
    for file in kept:
        if low <= file.offset < high and file.suffix != PRODUCER_SNAPSHOT:
            remove_if_exists(storage, f"{directory}/{offset_name(file.offset, file.suffix)}")
        else:
            survivors.append(file)
    for file in valid:
        path = f"{directory}/{offset_name(file.offset, file.suffix)}"
        storage.rename(path + SWAP, path)
        survivors.append(OffsetFile(file.offset, file.suffix, ""))
    return survivors


def _open_segments(
    storage: Storage, directory: str, names: list[OffsetFile], config: LogConfig, now_ms: int
) -> tuple[Segments, set[int]]:
    """A segment for every ``.log``, and those that lack an index; indexes without a log are removed."""
    logs = {file.offset for file in names if file.suffix == LOG}
    with_transactions = {file.offset for file in names if file.suffix == TRANSACTION_INDEX}
    for file in names:
        if file.suffix in (OFFSET_INDEX, TIME_INDEX, TRANSACTION_INDEX) and file.offset not in logs:
            remove_if_exists(storage, f"{directory}/{offset_name(file.offset, file.suffix)}")
    without_indexes: set[int] = set()
    segments = Segments()
    for base_offset in sorted(logs):
        segments.add(
            Segment(
                storage,
                directory,
                base_offset,
                size=storage.size(f"{directory}/{offset_name(base_offset, LOG)}"),
                max_index_size=config.segment_index_bytes,
                has_transaction_index=base_offset in with_transactions,
                created_ms=now_ms,
            )
        )
    for suffix in (OFFSET_INDEX, TIME_INDEX):
        without_indexes |= logs - {file.offset for file in names if file.suffix == suffix}
    return segments, without_indexes


def _indexes_fit(segment: Segment) -> bool:
    """Whether the last entries of a segment's indexes name batches that are there.

    Indexes below the recovery point were synced, unless they were being made anew when the machine stopped.
    """
    timestamp, offset = segment.time_index.last_timestamp, segment.time_index.last_offset
    if timestamp >= 0:
        span = segment.search(offset)
        header = None if span is None else next(segment.headers(span.position), None)
        if header is None or header.last_offset != offset or header.max_timestamp != timestamp:
            return False
    elif segment.first_timestamp >= 0:
        return False
    if not segment.offset_index.entries:
        return True
    position = segment.offset_index.lookup(segment.base_offset + MAX_RELATIVE_OFFSET)
    header = next(segment.headers(position), None)
    return header is not None and header.last_offset == segment.offset_index.last_offset


def _epochs_from_batches(segments: Segments, epochs: LeaderEpochs) -> None:
    """The epochs' file is missing, empty or damaged: the batches know."""
    epochs.clear()
    for segment in segments:
        for header in segment.headers():
            if header.partition_leader_epoch > epochs.latest_epoch:
                epochs.assign(header.partition_leader_epoch, header.base_offset, write=False)


def checked_batches(segment: Segment, expected_offset: int) -> Iterator[tuple[BatchHeader, memoryview]]:
    """The sound batches from the segment's start: whole, CRC right, offsets rising from ``expected_offset`` on.

    ``header.position`` is the file position; the view holds the batch. Ends before the first that is not sound.
    """
    opened = segment.file.opened()
    position, end = 0, segment.size
    buffer = memoryview(b"")
    start = 0
    while position < end:
        at = position - start
        if len(buffer) - at < HEADER_SIZE:
            buffer = memoryview(opened.pread(min(_READ_CHUNK, end - position), position))
            start, at = position, 0
        try:
            header = BatchHeader.peek(buffer, at)
        except CorruptRecordsError:
            return
        if header.end > len(buffer):
            if position + header.size > end:
                return
            buffer = memoryview(opened.pread(max(_READ_CHUNK, header.size), position))
            start = position
            header = BatchHeader.peek(buffer)
            if header.end > len(buffer):
                return
        if header.base_offset < expected_offset or header.last_offset_delta < 0:
            return
        if header.last_offset - segment.base_offset > MAX_RELATIVE_OFFSET or not verify_crc(buffer, header):
            return
        view = buffer[header.position : header.end]
        header.position = position
        yield header, view
        position += header.size
        expected_offset = header.next_offset


def replay_producers(
    segments: Segments,
    producers: ProducerStateManager,
    snapshots: ProducerSnapshots,
    start: int,
    end: int,
    now_ms: int,
) -> None:
    """The producers' state up to ``end``: from the latest snapshot, and the batches after it."""
    producers.reset(start)
    if snapshots.load_latest(producers, end, now_ms):
        start = max(start, producers.end_offset)
    if start < end:
        for segment in segments.from_floor(start):
            if segment.base_offset >= end:
                break
            first = segment.search(max(start, segment.base_offset))
            if first is None:
                continue
            for header in segment.headers(first.position):
                if header.base_offset >= end:
                    break
                if header.has_producer_id:
                    data = segment.file.opened().pread(header.size, header.position) if header.is_control else None
                    header.position = 0
                    _replay(producers, header, data)
    producers.end_offset = end


def _replay(
    producers: ProducerStateManager, header: BatchHeader, data: bytes | memoryview | None
) -> AbortedTransaction | None:
    """Take in a batch; the transaction it ended by aborting. One that makes no sense is passed over: it is in the
    log.
    """
    try:
        completed = producers.replay(header, data)
    except (ApiError, CorruptRecordsError):
        return None
    if completed is None or not completed.aborted:
        return None
    return AbortedTransaction(
        completed.producer_id, completed.first_offset, completed.last_offset, completed.last_stable_offset
    )


@define(slots=True)
class _Loader:
    """The parts of a log that is being opened."""

    storage: Storage
    config: LogConfig
    segments: Segments
    epochs: LeaderEpochs
    producers: ProducerStateManager
    snapshots: ProducerSnapshots
    now_ms: int
    truncated_bytes: int = 0
    rebuilt: list[Segment] = field(factory=list)
    recovered_to: int | None = None
    """The end of the log, and of the producers' state, when segments were recovered."""

    def recover(self, start: int, recovery_point: int) -> None:
        """Check every batch from the segment of ``start`` on; what follows a damaged one is dropped.

        So is what follows a hole between two segments behind the recovery point (the end of the first did not reach the
        disk), unless compaction may have made it. Below that point a hole is what a retention under way has left.
        """
        todo = self.segments.from_floor(start)
        next_start = self.segments.from_floor(max(recovery_point - 1, 0))[0].base_offset
        expected = todo[0].base_offset
        # snapshots above are of a state that may not be the one the batches lead to
        replay_producers(
            self.segments, self.producers, self.snapshots, self.segments.first.base_offset, expected, self.now_ms
        )
        for number, segment in enumerate(todo):
            base = segment.base_offset
            hole = base < expected or (base > expected and base > recovery_point and not self.config.compact)
            if not hole:
                if number:
                    self.snapshots.remove(base)
                    self.snapshots.take(self.producers, base)
                expected = self._recover_segment(segment, believed=base < next_start)
            if hole or self.truncated_bytes:
                self.drop(todo[number if hole else number + 1 :])
                break
        self.recovered_to = expected
        self.producers.end_offset = expected

    def _recover_segment(self, segment: Segment, *, believed: bool) -> int:
        """Check and index one segment; the offset after its last sound batch.

        ``believed``: after the next unclean stop nobody will look at the new indexes again, so they are synced.
        """
        segment.begin_rebuild()
        interval = self.config.index_interval_bytes
        next_offset = segment.base_offset
        end = 0
        for header, view in checked_batches(segment, segment.base_offset):
            segment.note_batch(header.position, header.size, header.last_offset, header.max_timestamp, interval)
            end = header.end
            next_offset = header.next_offset
            epoch = header.partition_leader_epoch
            if epoch > self.epochs.latest_epoch:
                self.epochs.assign(epoch, header.base_offset, write=False)
            if header.has_producer_id:
                header.position = 0
                aborted = _replay(self.producers, header, view)
                if aborted is not None:
                    segment.transaction_index.append(aborted)
        if end < segment.size:
            self.truncated_bytes += segment.size - end
            segment.file.opened().truncate(end)
            segment.size = end
        segment.close_for_appends()
        if believed:
            for file in segment.files():
                file.opened().sync()
            self.storage.sync_dir(segment.file.path.rpartition("/")[0])
        else:
            # It may end at the recovery point, below which no flush looks.
            self.rebuilt.append(segment)
        return next_offset

    def drop(self, segments: list[Segment]) -> None:
        """Remove segments whose content cannot be believed, at once."""
        for segment in segments:
            self.segments.remove(segment)
            for file in segment.files():
                file.release()
                remove_if_exists(self.storage, file.path)
            self.snapshots.remove(segment.base_offset)
