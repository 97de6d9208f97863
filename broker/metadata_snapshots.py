"""Snapshots of the metadata beside its log: ``END_OFFSET-EPOCH.checkpoint``  (KIP-630; Kafka: Snapshots,
RecordsSnapshotWriter, RecordsSnapshotReader).

A snapshot holds what the records below its end offset add up to, as record batches of its own offsets from 0 on: a
control batch with SnapshotHeader (and with kraft.version 1 KRaftVersion and KRaftVoters), batches of metadata records,
a control batch with SnapshotFooter. It is written to a ``.part`` file, synced, then renamed; a file without its footer
or with a batch whose CRC is wrong is no snapshot.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from attrs import define, field

from broker.controller.decoding import batch_values
from kwire import codec
from kwire.errors import KwireError
from kwire.internal.control_records import (
    KRaftVersionRecord,
    SnapshotFooterRecord,
    SnapshotHeaderRecord,
    VotersRecord,
)
from kwire.records import (
    BatchHeader,
    ControlType,
    RecordBatchBuilder,
    decode_control_type,
    iter_batches,
    read_records,
    verify_crc,
)
from kwire.records.control import encode_control_key
from log.storage import Storage, read_file, remove_if_exists

SUFFIX: Final = ".checkpoint"
PART: Final = ".part"
DELETED: Final = ".deleted"
DAMAGED: Final = ".damaged"
_NAME: Final = re.compile(r"(\d{20})-(\d{10})(-[^.]*)?\.checkpoint(\.part|\.deleted)?")


class DamagedSnapshotError(Exception):
    """A snapshot that cannot be used: the text says which file and why."""


class SnapshotId(NamedTuple):
    """Everything below ``offset`` is in the snapshot; ``epoch`` is that of the last record below it."""

    offset: int
    epoch: int

    @property
    def file_name(self) -> str:
        return f"{self.offset:020d}-{self.epoch:010d}{SUFFIX}"


class QuorumRecords(NamedTuple):
    """What control records say of the quorum. voters: None below kraft.version 1."""

    kraft_version: int = 0
    voters: VotersRecord | None = None


@define(slots=True)
class Snapshot:
    """A whole, sound snapshot. timestamp_ms: of the last record that it covers."""

    snapshot_id: SnapshotId
    timestamp_ms: int
    quorum: QuorumRecords
    size_bytes: int
    _data: memoryview
    _batches: list[BatchHeader]

    def values(self) -> Iterator[bytes]:
        """The metadata records as they stand in the file. Raises CorruptRecordsError."""
        for header in self._batches:
            for _, value in batch_values(self._data, header):
                yield value


class SnapshotFiles:
    """The snapshots in the directory of the metadata log."""

    def __init__(self, storage: Storage, directory: str) -> None:
        self._storage = storage
        self.directory = directory

    def path(self, snapshot_id: SnapshotId) -> str:
        return f"{self.directory}/{snapshot_id.file_name}"

    def load(self, log_start_offset: int) -> list[SnapshotId]:
        """Those that count, the oldest first. Parts, files marked for deletion and snapshots below the log's start
        are removed, as Kafka does when it opens the log. Raises OSError."""
        found: list[SnapshotId] = []
        for name in self._storage.list_dir(self.directory):
            match = _NAME.fullmatch(name)
            if match is None:
                continue
            snapshot_id = SnapshotId(int(match[1]), int(match[2]))
            if match[4] or snapshot_id.offset < log_start_offset:
                remove_if_exists(self._storage, f"{self.directory}/{name}")
            elif not match[3]:
                found.append(snapshot_id)
        return sorted(found)

    def read(self, snapshot_id: SnapshotId) -> Snapshot:
        """Raises DamagedSnapshotError, OSError."""
        path = self.path(snapshot_id)
        data = read_file(self._storage, path)
        if data is None:
            raise DamagedSnapshotError(f"{path} is not there")
        try:
            return parse(snapshot_id, data)
        except (KwireError, ValueError) as error:
            raise DamagedSnapshotError(f"{path} is damaged: {error}") from None

    def timestamp_ms(self, snapshot_id: SnapshotId) -> int:
        """Of the last record it covers, from the first batch alone. Raises DamagedSnapshotError, OSError."""
        path = self.path(snapshot_id)
        opened = self._storage.open(path, create=False)
        data = memoryview(opened.pread(4096, 0))
        try:
            header = BatchHeader.peek(data)
            if header.end > len(data):
                data = memoryview(opened.pread(header.end, 0))
            for kind, value in _control_values(data, header):
                if kind is ControlType.SNAPSHOT_HEADER:
                    return int(codec.decode(SnapshotHeaderRecord, 0, value, 0).last_contained_log_timestamp)
            raise ValueError("it does not begin with a snapshot header")
        except (KwireError, ValueError) as error:
            raise DamagedSnapshotError(f"{path} is damaged: {error}") from None

    def size_bytes(self, snapshot_id: SnapshotId) -> int:
        """Raises OSError."""
        return self._storage.size(self.path(snapshot_id))

    def set_aside(self, snapshot_id: SnapshotId) -> str:
        """A damaged one gets a name that neither we nor Kafka look at; returns the new path. Raises OSError."""
        path = self.path(snapshot_id)
        self._storage.rename(path, path + DAMAGED)
        self._storage.sync_dir(self.directory)
        return path + DAMAGED

    def retire(self, snapshot_ids: Sequence[SnapshotId]) -> list[str]:
        """Mark them for deletion; returns the files to remove after a while. Raises OSError."""
        doomed: list[str] = []
        for snapshot_id in snapshot_ids:
            path = self.path(snapshot_id)
            self._storage.rename(path, path + DELETED)
            doomed.append(path + DELETED)
        return doomed

    def new(self, snapshot_id: SnapshotId) -> SnapshotFile:
        """A snapshot to be written."""
        return SnapshotFile(self._storage, self.directory, snapshot_id)


@define(slots=True)
class SnapshotFile:
    """A snapshot on its way to the disk. Its calls block; they may be made in a thread, one after the other."""

    _storage: Storage
    _directory: str
    snapshot_id: SnapshotId
    size_bytes: int = field(default=0, init=False)

    @property
    def _part(self) -> str:
        return f"{self._directory}/{self.snapshot_id.file_name}{PART}"

    def write(self, data: bytes | bytearray) -> None:
        """Add what comes next. Raises OSError."""
        opened = self._storage.open(self._part, create=True)
        if not self.size_bytes:
            opened.truncate(0)
        opened.pwrite(data, self.size_bytes)
        self.size_bytes += len(data)

    def finish(self) -> None:
        """Sync it and give it its name: from now on it counts. Raises OSError."""
        self._storage.open(self._part, create=False).sync()
        self._storage.rename(self._part, f"{self._directory}/{self.snapshot_id.file_name}")
        self._storage.sync_dir(self._directory)

    def abandon(self) -> None:
        """Remove what was written so far."""
        remove_if_exists(self._storage, self._part)


class SnapshotBatches:
    """The batches of one snapshot, to be written one after the other: ``header``, ``data`` as often as needed,
    ``footer``.
    """

    def __init__(self, snapshot_id: SnapshotId, now_ms: int) -> None:
        self._epoch = snapshot_id.epoch
        self._now_ms = now_ms
        self._offset = 0

    def header(self, timestamp_ms: int, quorum: QuorumRecords) -> bytearray:
        """timestamp_ms: of the last record that is covered."""
        head = SnapshotHeaderRecord(version=0, last_contained_log_timestamp=timestamp_ms)
        records = [(ControlType.SNAPSHOT_HEADER, codec.encode(head, 0)), *quorum_control_records(quorum)]
        return self._control(records)

    def data(self, values: Sequence[bytes]) -> bytearray:
        """A batch of metadata records."""
        batch = RecordBatchBuilder(base_offset=self._offset, partition_leader_epoch=self._epoch)
        now_ms = self._now_ms
        for value in values:
            batch.append(None, value, timestamp=now_ms)
        self._offset += len(values)
        return batch.build()

    def footer(self) -> bytearray:
        return self._control([(ControlType.SNAPSHOT_FOOTER, codec.encode(SnapshotFooterRecord(version=0), 0))])

    def _control(self, records: Sequence[tuple[ControlType, bytes]]) -> bytearray:
        batch = control_batch(records, self._now_ms, epoch=self._epoch, base_offset=self._offset)
        self._offset += len(records)
        return batch


def control_batch(
    records: Sequence[tuple[ControlType, bytes]], now_ms: int, *, epoch: int = -1, base_offset: int = 0
) -> bytearray:
    """One control batch of (type, value)."""
    batch = RecordBatchBuilder(base_offset=base_offset, control=True, partition_leader_epoch=epoch)
    for kind, value in records:
        batch.append(encode_control_key(kind), value, timestamp=now_ms)
    return batch.build()


def quorum_control_records(quorum: QuorumRecords) -> list[tuple[ControlType, bytes]]:
    """What a snapshot's header, and the first epoch of a log, say of a quorum; nothing below kraft.version 1."""
    if quorum.kraft_version < 1:
        return []
    version = KRaftVersionRecord(version=0, kraft_version=quorum.kraft_version)
    found = [(ControlType.KRAFT_VERSION, codec.encode(version, 0))]
    if quorum.voters is not None:
        found.append((ControlType.KRAFT_VOTERS, codec.encode(quorum.voters, 0)))
    return found


def follow_quorum(quorum: QuorumRecords, data: memoryview, header: BatchHeader) -> QuorumRecords:
    """`quorum` after the control batch at `header.position`. Raises KwireError."""
    for kind, value in _control_values(data, header):
        if kind is ControlType.KRAFT_VERSION:
            quorum = quorum._replace(kraft_version=codec.decode(KRaftVersionRecord, 0, value, 0).kraft_version)
        elif kind is ControlType.KRAFT_VOTERS:
            quorum = quorum._replace(voters=codec.decode(VotersRecord, 0, value, 0))
    return quorum


def parse(snapshot_id: SnapshotId, raw: bytes) -> Snapshot:
    """Raises KwireError, ValueError: what is wrong with it."""
    data = memoryview(raw)
    timestamp_ms: int | None = None
    quorum = QuorumRecords()
    batches: list[BatchHeader] = []
    finished = False
    for header in iter_batches(data):
        if not verify_crc(data, header):
            raise ValueError(f"the CRC of the batch at {header.position} is wrong")
        if finished:
            raise ValueError(f"there is a batch after its footer, at {header.position}")
        if not header.is_control:
            if timestamp_ms is None:
                raise ValueError("it does not begin with a snapshot header")
            batches.append(header)
            continue
        for kind, value in _control_values(data, header):
            if kind is ControlType.SNAPSHOT_HEADER:
                timestamp_ms = codec.decode(SnapshotHeaderRecord, 0, value, 0).last_contained_log_timestamp
            elif kind is ControlType.SNAPSHOT_FOOTER:
                finished = True
        quorum = follow_quorum(quorum, data, header)
    if timestamp_ms is None:
        raise ValueError("it does not begin with a snapshot header")
    if not finished:
        raise ValueError("it has no footer: it was not written to its end")
    return Snapshot(snapshot_id, timestamp_ms, quorum, len(raw), data, batches)


def _control_values(data: memoryview, header: BatchHeader) -> Iterator[tuple[ControlType | None, bytes]]:
    for record in read_records(data, header.position):
        yield decode_control_type(record.key), record.value or b""
