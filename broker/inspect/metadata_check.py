"""The cluster's metadata, replayed from its snapshots and its log as a controller does it, for the check."""

from __future__ import annotations

import json
import os

from attrs import define, field

from broker.controller.decoding import RecordDecoder, batch_values
from broker.controller.image import ClusterImage
from broker.controller.replay import Replayer
from broker.inspect.files import DataFile, Kind, files_of
from broker.inspect.findings import Finding, Report, Severity, Totals
from broker.inspect.reading import Batch, ReadFile, walk
from broker.inspect.record_check import check_records
from kwire.errors import KwireError
from kwire.records import ControlType, decode_control_type, read_records


@define(slots=True)
class MetadataReplay:
    """The image as it grows. `take` is the consumer of the metadata log's batches; after the first error it is idle."""

    image: ClusterImage
    start_offset: int = 0
    """Records below are in the snapshot that the image began with."""
    failed: bool = False
    last_epoch: int = -1
    _decode: RecordDecoder = field(factory=RecordDecoder)
    _replayer: Replayer = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._replayer = Replayer(self.image)

    def take(self, batch: Batch) -> str | None:
        header = batch.header
        self.last_epoch = max(self.last_epoch, header.partition_leader_epoch)
        if self.failed or header.is_control or header.last_offset < self.start_offset:
            return None
        offset = header.base_offset
        try:
            for offset, value in batch_values(batch.data, header):
                if offset >= self.start_offset:
                    self._replayer.feed((self._decode(value),))
        except (KwireError, ValueError) as error:
            self.failed = True
            return f"the record at offset {offset} cannot be replayed: {error}"
        return None

    @property
    def usable(self) -> bool:
        """Whether the image says what the cluster is."""
        return not self.failed and self.image.revision > 0


def replay_snapshots(directory: str, cluster_id: str, report: Report, totals: Totals) -> tuple[MetadataReplay, int]:
    """Check every snapshot of the metadata log's directory; the state of the latest sound one, and its end offset (-1:
    there is none)."""
    newest = MetadataReplay(ClusterImage(cluster_id))
    end = -1
    files = [file for file in files_of(directory) if file.kind is Kind.METADATA_SNAPSHOT and not file.mark]
    for file in sorted(files, key=lambda file: (file.offset, file.epoch)):
        replay = MetadataReplay(ClusterImage(cluster_id))
        try:
            problem = _take_snapshot(file, replay, totals)
        except FileNotFoundError:
            continue  # a broker at work has removed it
        if problem is None:
            replay.start_offset = file.offset
            newest, end = replay, file.offset
            continue
        position, what = problem
        report(
            Finding(
                "metadata",
                Severity.ERROR,
                file.path,
                what,
                "the next start takes the snapshot before it and the log, if the log goes back that far; else it "
                "does not start",
                position,
                file.offset,
            )
        )
    return newest, end


def check_bootstrap(path: str, report: Report, totals: Totals) -> None:
    """`bootstrap.checkpoint`, which is read while the metadata log is empty."""
    if not os.path.exists(path):
        return
    problem = _take_snapshot(DataFile(path, Kind.METADATA_SNAPSHOT), MetadataReplay(ClusterImage("")), totals)
    if problem is not None:
        repair = "it is only read by the very first start"
        report(Finding("metadata", Severity.ERROR, path, problem[1], repair, problem[0]))


def _take_snapshot(file: DataFile, replay: MetadataReplay, totals: Totals) -> tuple[int, str] | None:
    """Replay a snapshot; position and reason when it is not whole and sound."""
    kinds: list[ControlType | None] = []
    expected = 0
    with ReadFile(file.path) as opened:
        totals.bytes += opened.size
        for found in walk(opened):
            if not isinstance(found, Batch):
                return found.position, getattr(found, "reason", "a message of an old format")
            header = found.header
            if not found.crc_ok:
                return found.position, f"the batch at {found.position} has a wrong CRC"
            if header.base_offset != expected:
                return found.position, f"the batch at {found.position} has offset {header.base_offset}, not {expected}"
            if kinds and kinds[-1] is ControlType.SNAPSHOT_FOOTER:
                return found.position, "there is more behind the footer"
            expected = header.next_offset
            totals.batches += 1
            totals.records += header.record_count
            problem = check_records(header, found.data, compacted=False)
            if problem is None and header.is_control:
                try:
                    kinds += [decode_control_type(record.key) for record in read_records(found.data)]
                except KwireError as error:
                    problem = str(error)
            if problem is None:
                problem = replay.take(found)
            if problem is not None:
                return found.position, problem
    if not kinds or kinds[0] is not ControlType.SNAPSHOT_HEADER:
        return 0, "it does not begin with a snapshot's header"
    if kinds[-1] is not ControlType.SNAPSHOT_FOOTER:
        return opened.size, "it does not end with a snapshot's footer: it was not written whole"
    return None


def check_quorum_state(directory: str, last_epoch: int, report: Report) -> None:
    """`quorum-state`: readable, and its epoch not behind the log's."""
    path = f"{directory}/quorum-state"
    try:
        with ReadFile(path) as file:
            found = json.loads(file.read_all())
        epoch = int(found["leaderEpoch"])
        version = found.get("data_version")
        if version not in (0, 1):
            raise ValueError(f"data_version {version}")
    except FileNotFoundError:
        report(
            Finding(
                "metadata", Severity.WARNING, path, "the file is missing", "the next start goes by the log's last epoch"
            )
        )
        return
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        report(
            Finding(
                "metadata",
                Severity.ERROR,
                path,
                f"it cannot be read: {type(error).__name__} {error}",
                "the next start refuses; with the file removed it goes by the log's last epoch",
            )
        )
        return
    if epoch < last_epoch:
        what = f"its epoch is {epoch}, the log has {last_epoch}"
        report(Finding("metadata", Severity.WARNING, path, what, "the next start begins an epoch above both"))
