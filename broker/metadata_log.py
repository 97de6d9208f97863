"""`__cluster_metadata-0` on disk: the controller's records in Kafka's batches, snapshots, the quorum's state.

(Kafka: KafkaMetadataLog, KafkaRaftClient; one voter, whose log is the truth.)
Every append is fsynced before it counts; several appends of one turn share an fsync. A start reads the newest sound
snapshot and the log from its offset on.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Final

from broker.controller.decisions.features import METADATA_VERSION
from broker.controller.decoding import RecordDecoder, batch_values
from broker.controller.record_levels import LATEST_LEVEL
from broker.controller.records import FeatureLevelRecord, Record, version_of
from broker.deferred import Deferred
from broker.metadata_snapshots import (
    DamagedSnapshotError,
    QuorumRecords,
    Snapshot,
    SnapshotBatches,
    SnapshotFiles,
    SnapshotId,
    control_batch,
    follow_quorum,
    parse,
    quorum_control_records,
)
from broker.quorum_state import DamagedQuorumStateError, QuorumState, read_quorum_state, write_quorum_state
from kwire import codec
from kwire.errors import KwireError
from kwire.internal import decode_metadata_record, encode_metadata_record
from kwire.internal.control_records import LeaderChangeMessage, LeaderChangeMessageVoter
from kwire.records import BatchHeader, ControlType, RecordBatchBuilder, iter_batches, whole_batches
from log.append_validation import AppendOrigin
from log.partition_log import PartitionLog
from log.results import DeferredDelete
from log.storage import Storage, read_file, write_file

logger = logging.getLogger("kwire.metadata")

METADATA_TOPIC_ID: Final = bytes(15) + b"\x01"
BOOTSTRAP: Final = "bootstrap.checkpoint"
_READ_CHUNK_BYTES: Final = 4 * 1024 * 1024
_RECORDS_PER_BATCH: Final = 1024
# What `kafka-storage format --standalone` leaves: the first voters of a dynamic quorum, not yet in the log.
_BOOTSTRAP_SNAPSHOT: Final = SnapshotId(0, 0)


class DamagedMetadataError(Exception):
    """The metadata log, its snapshots or its quorum state cannot be read: the text says which file and why."""


class MetadataLogFile:
    """The controller's log (broker.controller.ports.MetadataLog) over a partition log.

    run_in_thread: where fsyncs are done. node_id: the only voter. Raises DamagedMetadataError.

    snapshots: those on the disk, the oldest first. quorum: what control records say, once `read_all` went through.
    bytes_since_snapshot: of the log, above the newest snapshot. on_append: called after each append.
    """

    def __init__(
        self,
        log: PartitionLog,
        storage: Storage,
        node_id: int,
        run_in_thread: Callable[[Callable[[], None]], Deferred[None]],
    ) -> None:
        self._log = log
        self._storage = storage
        self._node_id = node_id
        self._run_in_thread = run_in_thread
        self._waiting: list[tuple[int, Deferred[None]]] = []
        self._flushing = False
        self._now_ms = 0
        self.files = SnapshotFiles(storage, log.directory)
        self.snapshots: list[SnapshotId] = self.files.load(log.log_start_offset)
        self.quorum = QuorumRecords()
        self.bytes_since_snapshot = 0
        self.on_append: Callable[[], None] = lambda: None
        self._loaded_snapshot: SnapshotId | None = None
        try:
            self.quorum_state: QuorumState | None = read_quorum_state(storage, log.directory)
        except DamagedQuorumStateError as error:
            raise DamagedMetadataError(str(error)) from None
        self._epoch = max(self.quorum_state.leader_epoch if self.quorum_state else 0, log.leader_epoch, 0)
        self._last_timestamp_ms = 0
        self._level = LATEST_LEVEL

    @property
    def end_offset(self) -> int:
        return self._log.log_end_offset

    @property
    def high_watermark(self) -> int:
        return self._log.recovery_point

    @property
    def epoch(self) -> int:
        return self._epoch

    @property
    def last_timestamp_ms(self) -> int:
        """When the last batch was written; 0 in an empty log."""
        return self._last_timestamp_ms

    @property
    def log_start_offset(self) -> int:
        return self._log.log_start_offset

    @property
    def log_size_bytes(self) -> int:
        return self._log.size_bytes

    # -- reading

    def read_all(self) -> Iterator[tuple[int, Record]]:
        """The newest snapshot's records (their offset is the snapshot's last), then those of the log above it."""
        decode = RecordDecoder()
        snapshot = self._newest_sound_snapshot()
        start = self._log.log_start_offset
        if snapshot is not None:
            start = snapshot.snapshot_id.offset
            self._begin_from(snapshot)
            for value in snapshot.values():
                record = decode(value)
                self._follow_level(record)
                yield start - 1, record
            del snapshot
        for data in read_log(self._log, start):
            self.bytes_since_snapshot += len(data)
            for header in iter_batches(data):
                self._last_timestamp_ms = max(self._last_timestamp_ms, header.max_timestamp)
                if header.is_control:
                    self._note_control_batch(data, header)
                    continue
                for offset, value in batch_values(data, header):
                    if offset >= start:
                        record = decode(value)
                        self._follow_level(record)
                        yield offset, record

    def _newest_sound_snapshot(self) -> Snapshot | None:
        found: Snapshot | None = None
        damaged: list[tuple[SnapshotId, DamagedSnapshotError]] = []
        for snapshot_id in reversed(self.snapshots):
            try:
                found = self.files.read(snapshot_id)
                break
            except DamagedSnapshotError as error:
                damaged.append((snapshot_id, error))
        if found is None and self._log.log_start_offset > 0:
            why = str(damaged[0][1]) if damaged else f"{self._log.directory} holds no snapshot"
            raise DamagedMetadataError(
                f"the metadata log begins at offset {self._log.log_start_offset}, and nothing tells what was before: "
                f"{why}"
            )
        for snapshot_id, reason in damaged:
            kept_as = self.files.set_aside(snapshot_id)
            self.snapshots.remove(snapshot_id)
            before = "the log alone" if found is None else found.snapshot_id.file_name + " and the log"
            logger.error("%s. It is kept as %s; the metadata is read from %s", reason, kept_as, before)
        return found

    def _begin_from(self, snapshot: Snapshot) -> None:
        snapshot_id = snapshot.snapshot_id
        self._loaded_snapshot = snapshot_id
        self.quorum = snapshot.quorum
        self._last_timestamp_ms = snapshot.timestamp_ms
        self._epoch = max(self._epoch, snapshot_id.epoch)
        if snapshot_id.offset > self._log.log_end_offset:
            logger.error(
                "the metadata log ends at offset %d, before its snapshot %s: it begins anew there",
                self._log.log_end_offset,
                snapshot_id.file_name,
            )
            self._log.truncate_fully(snapshot_id.offset, self._now_ms)

    def _note_control_batch(self, data: memoryview, header: BatchHeader) -> None:
        found = follow_quorum(self.quorum, data, header)
        if found is not self.quorum:
            self.quorum = found
            self._loaded_snapshot = None

    # -- writing

    def begin_epoch(self, now_ms: int) -> int:
        self._epoch += 1
        write_quorum_state(
            self._storage,
            self._log.directory,
            leader_id=self._node_id,
            leader_epoch=self._epoch,
            kraft_version=self.quorum.kraft_version,
        )
        voters = [LeaderChangeMessageVoter(voter_id=self._node_id)]
        change = LeaderChangeMessage(leader_id=self._node_id, voters=voters, granting_voters=list(voters))
        records = [(ControlType.LEADER_CHANGE, codec.encode(change, 0))]
        if self._loaded_snapshot == _BOOTSTRAP_SNAPSHOT:
            # The voters are not in the log yet. (Kafka: LeaderState.appendStartOfEpochControlRecords)
            records += quorum_control_records(self.quorum)
        self._append(control_batch(records, now_ms, epoch=self._epoch), now_ms)
        return self._epoch

    def append(self, records: Sequence[Record], now_ms: int) -> int:
        for record in records:
            self._follow_level(record)
        batch = RecordBatchBuilder(partition_leader_epoch=self._epoch)
        for record in records:
            batch.append(None, encode_metadata_record(record, version_of(record, self._level)), timestamp=now_ms)
        self._append(batch.build(), now_ms)
        return self._log.log_end_offset

    def _append(self, batch: bytearray, now_ms: int) -> None:
        self._now_ms = now_ms
        self._log.append_as_leader(
            memoryview(batch), leader_epoch=self._epoch, now_ms=now_ms, origin=AppendOrigin.RAFT_LEADER
        )
        self._last_timestamp_ms = max(self._last_timestamp_ms, now_ms)
        self.bytes_since_snapshot += len(batch)
        self.on_append()

    def _follow_level(self, record: Record) -> None:
        if type(record) is FeatureLevelRecord and record.name == METADATA_VERSION:
            self._level = record.feature_level

    # -- what snapshots make superfluous

    def begin_before(self, snapshot_id: SnapshotId, now_ms: int) -> list[DeferredDelete]:
        """The log begins at this snapshot from now on, and older snapshots go; returns the files to remove later.

        Raises ApiError, OSError.
        """
        self._log.delete_records_before(snapshot_id.offset)
        work = self._log.delete_old_segments(now_ms)
        older = [each for each in self.snapshots if each < snapshot_id]
        self.snapshots = [each for each in self.snapshots if each >= snapshot_id]
        doomed = self.files.retire(older)
        if doomed:
            work.append(DeferredDelete(doomed, self._log.config.file_delete_delay_ms))
        return work

    def begin_anew(self, values: Iterable[bytes], now_ms: int) -> None:
        """Put one snapshot in the place of all that was written. values: the records of what it adds up to.

        Of a log that nobody else looks at. Raises ApiError, OSError.
        """
        snapshot_id = SnapshotId(self.end_offset, self._epoch)
        batches = SnapshotBatches(snapshot_id, now_ms)
        file = self.files.new(snapshot_id)
        file.write(batches.header(self._last_timestamp_ms, self.quorum))
        left = iter(values)
        while part := list(islice(left, _RECORDS_PER_BATCH)):
            file.write(batches.data(part))
        file.write(batches.footer())
        file.finish()
        for path in self.files.retire([each for each in self.snapshots if each != snapshot_id]):
            self._storage.unlink(path)
        self.snapshots = [snapshot_id]
        self._log.truncate_fully(snapshot_id.offset, now_ms)

    def flush(self) -> None:
        """Fsync here and now (at the start, when nobody is served yet)."""
        self._log.flush(self._now_ms)

    def committed(self, offset: int) -> Deferred[None]:
        done: Deferred[None] = Deferred()
        if self._log.recovery_point >= offset:
            done.resolve(None)
        else:
            self._waiting.append((offset, done))
            self._flush_in_thread()
        return done

    def _flush_in_thread(self) -> None:
        if self._flushing:
            return
        self._flushing = True
        targets = self._log.flush_targets()
        storage = self._storage

        def finished(outcome: Deferred[None]) -> None:
            self._flushing = False
            try:
                outcome.result()
            except OSError as error:
                failure = self._log.flush_failed(error)
                waiting, self._waiting = self._waiting, []
                for _, done in waiting:
                    done.fail(failure)
                return
            self._log.flushed(targets, self._now_ms)
            waiting = self._waiting
            self._waiting = [entry for entry in waiting if entry[0] > targets.up_to]
            for offset, done in waiting:
                if offset <= targets.up_to:
                    done.resolve(None)
            if self._waiting:
                self._flush_in_thread()

        self._run_in_thread(lambda: targets.run(storage)).add_callback(finished)


def read_log(log: PartitionLog, start: int | None = None, chunk_bytes: int = _READ_CHUNK_BYTES) -> Iterator[memoryview]:
    """Whole batches of a log from `start` (its own start) to its end as of now, about `chunk_bytes` at a time."""
    offset, end = log.log_start_offset if start is None else start, log.log_end_offset
    while offset < end:
        found = log.read(offset, chunk_bytes, up_to=end)
        if found.file_range is None:
            return
        data = found.file_range.read()
        whole, last_offset = whole_batches(data)
        offset = last_offset + 1
        yield memoryview(data)[:whole]


def write_bootstrap(storage: Storage, directory: str, features: Sequence[Record], now_ms: int) -> None:
    """`bootstrap.checkpoint`: the records a controller begins with, as Kafka's format step leaves them."""
    path = f"{directory}/{BOOTSTRAP}"
    if storage.exists(path):
        return
    batches = SnapshotBatches(SnapshotId(0, 0), now_ms)
    data = batches.header(0, QuorumRecords())
    data += batches.data([encode_metadata_record(record, version_of(record)) for record in features])
    data += batches.footer()
    write_file(storage, path, bytes(data), sync=True)


def read_bootstrap(storage: Storage, directory: str) -> list[Record]:
    """The records of `bootstrap.checkpoint`, none without one. Raises DamagedMetadataError."""
    path = f"{directory}/{BOOTSTRAP}"
    raw = read_file(storage, path)
    if raw is None:
        return []
    try:
        return [decode_metadata_record(value)[0] for value in parse(_BOOTSTRAP_SNAPSHOT, raw).values()]
    except (KwireError, ValueError) as error:
        raise DamagedMetadataError(f"{path} is damaged: {error}") from None
