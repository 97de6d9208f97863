"""`__cluster_metadata-0` on disk: the controller's records in Kafka's batches, the quorum's state.

(Kafka: KafkaRaftLog, FileQuorumStateStore; one voter, whose log is the truth.)
Every append is fsynced before it counts; several appends of one turn share an fsync.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from broker.controller.decoding import RecordDecoder, batch_values
from broker.controller.records import Record, version_of
from broker.deferred import Deferred
from kwire import codec
from kwire.internal import encode_metadata_record
from kwire.internal.control_records import (
    LeaderChangeMessage,
    LeaderChangeMessageVoter,
    SnapshotFooterRecord,
    SnapshotHeaderRecord,
)
from kwire.records import ControlType, RecordBatchBuilder, iter_batches
from kwire.records.control import encode_control_key
from log.append_validation import AppendOrigin
from log.partition_log import PartitionLog
from log.storage import Storage, read_file, write_file

METADATA_TOPIC_ID: Final = bytes(15) + b"\x01"
QUORUM_STATE: Final = "quorum-state"
BOOTSTRAP: Final = "bootstrap.checkpoint"
_READ_CHUNK_BYTES: Final = 4 * 1024 * 1024


class DamagedMetadataError(Exception):
    """The metadata log or its quorum state cannot be read: the text says which file and why."""


class MetadataLogFile:
    """The controller's log (broker.controller.ports.MetadataLog) over a partition log.

    run_in_thread: where fsyncs are done. node_id: the only voter.
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
        self._epoch = self._read_epoch()

    @property
    def end_offset(self) -> int:
        return self._log.log_end_offset

    @property
    def high_watermark(self) -> int:
        return self._log.recovery_point

    @property
    def epoch(self) -> int:
        return self._epoch

    # -- reading

    def read_all(self) -> Iterator[tuple[int, Record]]:
        decode = RecordDecoder()
        for data in read_log(self._log):
            for header in iter_batches(data):
                if header.is_control:
                    continue
                for offset, value in batch_values(data, header):
                    yield offset, decode(value)

    def _read_epoch(self) -> int:
        path = f"{self._log.directory}/{QUORUM_STATE}"
        raw = read_file(self._storage, path)
        stored = 0
        if raw:
            try:
                stored = int(json.loads(raw)["leaderEpoch"])
            except (ValueError, KeyError, TypeError) as error:
                raise DamagedMetadataError(
                    f"{path} is not readable ({error}); remove it to begin a new epoch"
                ) from None
        return max(stored, self._log.leader_epoch, 0)

    # -- writing

    def begin_epoch(self, now_ms: int) -> int:
        self._epoch += 1
        state = {
            "clusterId": "",
            "leaderId": self._node_id,
            "leaderEpoch": self._epoch,
            "votedId": -1,
            "appliedOffset": 0,
            "currentVoters": [{"voterId": self._node_id}],
            "data_version": 0,
        }
        text = json.dumps(state, separators=(",", ":"))
        write_file(self._storage, f"{self._log.directory}/{QUORUM_STATE}", text.encode(), sync=True)
        voters = [LeaderChangeMessageVoter(voter_id=self._node_id)]
        change = LeaderChangeMessage(leader_id=self._node_id, voters=voters, granting_voters=list(voters))
        batch = _control_batch(ControlType.LEADER_CHANGE, codec.encode(change, 0), now_ms, epoch=self._epoch)
        self._append(batch, now_ms)
        return self._epoch

    def append(self, records: Sequence[Record], now_ms: int) -> int:
        batch = RecordBatchBuilder(partition_leader_epoch=self._epoch)
        for record in records:
            batch.append(None, encode_metadata_record(record, version_of(record)), timestamp=now_ms)
        self._append(batch.build(), now_ms)
        return self._log.log_end_offset

    def _append(self, batch: bytearray, now_ms: int) -> None:
        self._now_ms = now_ms
        self._log.append_as_leader(
            memoryview(batch), leader_epoch=self._epoch, now_ms=now_ms, origin=AppendOrigin.RAFT_LEADER
        )

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


def read_log(log: PartitionLog) -> Iterator[memoryview]:
    """Whole batches of a log from its start to its end as of now, a few MiB at a time."""
    offset, end = log.log_start_offset, log.log_end_offset
    while offset < end:
        found = log.read(offset, _READ_CHUNK_BYTES, up_to=end)
        if found.file_range is None:
            return
        data = found.file_range.read()
        whole = 0
        for header in iter_batches(data, partial_tail=True):
            whole = header.end
            offset = header.last_offset + 1
        yield memoryview(data)[:whole]


def write_bootstrap(storage: Storage, directory: str, features: Sequence[Record], now_ms: int) -> None:
    """`bootstrap.checkpoint`: the records a controller begins with, as Kafka's format step leaves them."""
    path = f"{directory}/{BOOTSTRAP}"
    if storage.exists(path):
        return
    header = SnapshotHeaderRecord(version=0, last_contained_log_timestamp=0)
    data = bytearray()
    data += _control_batch(ControlType.SNAPSHOT_HEADER, codec.encode(header, 0), now_ms, epoch=0)
    batch = RecordBatchBuilder(base_offset=1, partition_leader_epoch=0)
    for record in features:
        batch.append(None, encode_metadata_record(record, version_of(record)), timestamp=now_ms)
    data += batch.build()
    footer = codec.encode(SnapshotFooterRecord(version=0), 0)
    data += _control_batch(ControlType.SNAPSHOT_FOOTER, footer, now_ms, epoch=0, base_offset=1 + batch.record_count)
    write_file(storage, path, bytes(data), sync=True)


def _control_batch(kind: ControlType, value: bytes, now_ms: int, *, epoch: int = -1, base_offset: int = 0) -> bytearray:
    batch = RecordBatchBuilder(base_offset=base_offset, control=True, partition_leader_epoch=epoch)
    batch.append(encode_control_key(kind), value, timestamp=now_ms)
    return batch.build()
