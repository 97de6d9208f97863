"""`kwire check`: a table of damages and the finding each must give; sound directories give none."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from struct import pack

import pytest

from broker.inspect.check import Checker
from broker.inspect.findings import WHY, Finding, Severity
from kwire import uuids
from kwire.internal import encode_metadata_record
from kwire.internal.metadata_records import PartitionChangeRecord
from kwire.records import RecordBatchBuilder
from kwire.records.legacy import write_message_set
from kwire.records.record import Record
from log.checkpoints import OffsetCheckpoint
from log.filenames import (
    CLEAN_SHUTDOWN,
    HIGH_WATERMARKS,
    LEADER_EPOCHS,
    LOG_STARTS,
    META_PROPERTIES,
    PARTITION_METADATA,
    RECOVERY_POINTS,
)
from log.producer_entry import decode_snapshot, encode_snapshot
from log.storage import RealStorage
from tests.broker.inspect.data import batches, flip, make_data_dir, overwrite, reseal, segments


def check(*paths: Path, live: bool = False) -> list[Finding]:
    found: list[Finding] = []
    Checker(found.append, live=live).check([str(path) for path in paths])
    return found


def serious(findings: list[Finding]) -> list[Finding]:
    return [finding for finding in findings if finding.severity is not Severity.INFO]


def test_a_directory_after_a_clean_stop_has_no_findings(data: Path) -> None:
    assert serious(check(data)) == []
    totals = Checker(lambda _finding: None).check([str(data)])
    assert totals.partitions >= 5
    assert totals.segments > totals.partitions + 3, "there are partitions of several segments"
    assert totals.records > 300


def test_a_directory_after_a_kill_has_no_findings_but_notes(tmp_path: Path) -> None:
    data = make_data_dir(tmp_path, clean=False)
    found = check(data)
    assert serious(found) == []
    assert [finding.code for finding in found if finding.file.endswith(CLEAN_SHUTDOWN)] == ["clean-shutdown"]


def test_a_partition_alone_has_no_findings(rich: Path) -> None:
    assert check(rich) == []


# Damages of `rich-0`. Each takes the partition's directory.


def _middle(directory: Path) -> tuple[Path, int]:
    """A segment in the middle and the position of a batch in its middle."""
    path = segments(directory)[1]
    headers = batches(path)
    return path, headers[len(headers) // 2].position


def _flip_record(directory: Path) -> None:
    path, position = _middle(directory)
    flip(path, position + 70)


def _flip_magic(directory: Path) -> None:
    path, position = _middle(directory)
    flip(path, position + 16, 2)


def _flip_length(directory: Path) -> None:
    path, position = _middle(directory)
    flip(path, position + 10, 4)


def _cut_tail(directory: Path) -> None:
    path = segments(directory)[-1]
    path.write_bytes(path.read_bytes()[:-10])


def _zero_tail(directory: Path) -> None:
    path = segments(directory)[-1]
    path.write_bytes(path.read_bytes() + bytes(4096))


def _raise_offset(directory: Path) -> None:
    path, _ = _middle(directory)
    one = batches(path)[-3]
    overwrite(path, one.position, pack(">q", one.base_offset + 1))


def _raise_last_offset(directory: Path) -> None:
    path, _ = _middle(directory)
    last = batches(path)[-1]
    overwrite(path, last.position, pack(">q", last.base_offset + 3))


def _lower_offset(directory: Path) -> None:
    path, position = _middle(directory)
    overwrite(path, position, pack(">q", 1))


def _remove_segment(directory: Path) -> None:
    for file in directory.glob(f"{segments(directory)[1].stem}.*"):
        file.unlink()


def _rename_segment(directory: Path) -> None:
    path = segments(directory)[-1]
    for file in list(directory.glob(f"{path.stem}.*")):
        if file.suffix != ".snapshot":
            file.rename(directory / f"{int(path.stem) + 1:020d}{file.suffix}")


def _wrong_count(directory: Path) -> None:
    path, position = _middle(directory)
    overwrite(path, position + 57, pack(">i", 2))
    reseal(path, position)


def _wrong_record(directory: Path) -> None:
    path, _ = _middle(directory)
    plain = next(header for header in batches(path) if not header.is_compressed and header.record_count > 2)
    overwrite(path, plain.position + 61, b"\x03")
    reseal(path, plain.position)


def _wrong_compression(directory: Path) -> None:
    path = segments(directory)[1]
    packed = next(header for header in batches(path) if header.is_compressed)
    overwrite(path, packed.position + 61, b"\xff\xff\xff\xff\xff\xff")
    reseal(path, packed.position)


def _wrong_max_timestamp(directory: Path) -> None:
    path, position = _middle(directory)
    overwrite(path, position + 35, pack(">q", 5))
    reseal(path, position)


def _old_message(directory: Path) -> None:
    path = segments(directory)[-1]
    end = batches(path)[-1].next_offset
    path.write_bytes(path.read_bytes() + write_message_set([Record(end, 5, b"k", b"v")], magic=1))


def _indexed(directory: Path) -> Path:
    """A segment whose index has entries."""
    return next(path for path in segments(directory) if path.with_suffix(".index").stat().st_size >= 24)


def _index_position(directory: Path) -> None:
    path = _indexed(directory).with_suffix(".index")
    position = int.from_bytes(path.read_bytes()[12:16], "big")
    overwrite(path, 12, pack(">i", position + 1))


def _index_offset(directory: Path) -> None:
    path = _indexed(directory).with_suffix(".index")
    offset = int.from_bytes(path.read_bytes()[8:12], "big")
    overwrite(path, 8, pack(">i", offset + 1))


def _index_swapped(directory: Path) -> None:
    path = _indexed(directory).with_suffix(".index")
    data = path.read_bytes()
    overwrite(path, 0, data[8:16] + data[:8])


def _index_beyond(directory: Path) -> None:
    path = _indexed(directory).with_suffix(".index")
    path.write_bytes(path.read_bytes() + pack(">ii", 10_000, 1 << 20))


def _index_part(directory: Path) -> None:
    path = _indexed(directory).with_suffix(".index")
    path.write_bytes(path.read_bytes()[:-3])


def _index_gone(directory: Path) -> None:
    segments(directory)[1].with_suffix(".index").unlink()


def _time_wrong(directory: Path) -> None:
    path = _indexed(directory).with_suffix(".timeindex")
    timestamp = int.from_bytes(path.read_bytes()[:8], "big")
    overwrite(path, 0, pack(">q", timestamp - 1))


def _time_offset(directory: Path) -> None:
    path = _indexed(directory).with_suffix(".timeindex")
    offset = int.from_bytes(path.read_bytes()[8:12], "big")
    overwrite(path, 8, pack(">i", offset + 1))


def _time_cut(directory: Path) -> None:
    path = _indexed(directory).with_suffix(".timeindex")
    path.write_bytes(path.read_bytes()[:-12])


def _with_aborts(directory: Path) -> Path:
    return next(path for path in sorted(directory.glob("*.txnindex")) if path.stat().st_size)


def _transaction_gone(directory: Path) -> None:
    _with_aborts(directory).unlink()


def _transaction_changed(directory: Path) -> None:
    flip(_with_aborts(directory), 17)


def _transaction_added(directory: Path) -> None:
    path = _with_aborts(directory)
    data = path.read_bytes()
    first, last = (int.from_bytes(data[at : at + 8], "big") for at in (len(data) - 24, len(data) - 16))
    path.write_bytes(data + pack(">hqqqq", 0, 77, first, last + 1, last + 2))


def _epoch_changed(directory: Path) -> None:
    path = directory / LEADER_EPOCHS
    lines = path.read_text().split("\n")
    epoch, offset = lines[3].split()
    path.write_text("\n".join([*lines[:3], f"{epoch} {int(offset) + 5}", *lines[4:]]))


def _epoch_beyond(directory: Path) -> None:
    path = directory / LEADER_EPOCHS
    version, count, *entries = path.read_text().splitlines()
    path.write_text("\n".join([version, str(int(count) + 1), *entries, "99 100000", ""]))


def _epochs_torn(directory: Path) -> None:
    path = directory / LEADER_EPOCHS
    path.write_bytes(path.read_bytes()[:-3])


def _epochs_gone(directory: Path) -> None:
    (directory / LEADER_EPOCHS).unlink()


def _batch_epoch_lowered(directory: Path) -> None:
    path = segments(directory)[-1]
    overwrite(path, batches(path)[2].position + 12, pack(">i", 0))


def _last_snapshot(directory: Path) -> Path:
    return sorted(directory.glob("*.snapshot"))[-1]


def _snapshot_flipped(directory: Path) -> None:
    flip(_last_snapshot(directory), 20)


def _snapshot_changed(directory: Path) -> None:
    path = _last_snapshot(directory)
    entries = decode_snapshot(path.read_bytes())
    entries[0].epoch += 1
    path.write_bytes(encode_snapshot(entries))


def _snapshot_unknown_producer(directory: Path) -> None:
    path = _last_snapshot(directory)
    entries = decode_snapshot(path.read_bytes())
    entries[0].producer_id = 99
    path.write_bytes(encode_snapshot(entries))


def _snapshot_beyond(directory: Path) -> None:
    path = _last_snapshot(directory)
    (directory / f"{int(path.stem) + 50:020d}.snapshot").write_bytes(path.read_bytes())


def _orphan_index(directory: Path) -> None:
    (directory / "00000000000000009999.index").write_bytes(b"")


DAMAGES: list[tuple[Callable[[Path], None], str]] = [
    (_flip_record, "crc"),
    (_flip_magic, "structure"),
    (_flip_length, "structure crc"),
    (_cut_tail, "structure"),
    (_zero_tail, "structure"),
    (_raise_offset, "gap"),
    (_raise_last_offset, "offset-order"),
    (_lower_offset, "offset-order"),
    (_remove_segment, "gap"),
    (_rename_segment, "gap"),
    (_wrong_count, "records"),
    (_wrong_record, "records"),
    (_wrong_compression, "records"),
    (_wrong_max_timestamp, "max-timestamp"),
    (_old_message, "old-format"),
    (_index_position, "index"),
    (_index_offset, "index"),
    (_index_swapped, "index"),
    (_index_beyond, "index"),
    (_index_part, "index"),
    (_index_gone, "missing-index"),
    (_time_wrong, "time-index"),
    (_time_offset, "time-index"),
    (_time_cut, "time-index"),
    (_transaction_gone, "transaction-index"),
    (_transaction_changed, "transaction-index"),
    (_transaction_added, "transaction-index"),
    (_epoch_changed, "leader-epochs"),
    (_epoch_beyond, "leader-epochs"),
    (_epochs_torn, "leader-epochs"),
    (_epochs_gone, "leader-epochs"),
    (_batch_epoch_lowered, "epoch-order"),
    (_snapshot_flipped, "producer-state"),
    (_snapshot_changed, "producer-state"),
    (_snapshot_unknown_producer, "producer-state"),
    (_snapshot_beyond, "producer-state"),
    (_orphan_index, "leftover"),
]


@pytest.mark.parametrize(("damage", "codes"), DAMAGES, ids=lambda value: getattr(value, "__name__", ""))
def test_damage_of_a_partition_is_found(damage: Callable[[Path], None], codes: str, data: Path) -> None:
    damage(data / "rich-0")
    found = serious(check(data))
    assert found, "nothing was found"
    assert found[0].code in codes.split(), found
    assert found[0].file.startswith(str(data / "rich-0")), found[0]
    for finding in found:
        assert finding.what, finding
        assert finding.repair, f"it does not say what the next start does: {finding}"
        assert finding.code in WHY


# Damages of what lies around the partitions. Each takes the data directory.


def _checkpoint(data: Path, name: str, topic: str, offset: int) -> None:
    file = OffsetCheckpoint(RealStorage(), str(data / name))
    file.write(file.read() | {(topic, 0): offset})


def _topic_id(data: Path) -> None:
    (data / "plain-0" / PARTITION_METADATA).write_text(f"version: 0\ntopic_id: {uuids.to_string(bytes(range(16)))}")


def _metadata_record(data: Path, value: bytes) -> None:
    path = segments(data / "__cluster_metadata-0")[-1]
    last = batches(path)[-1]
    batch = RecordBatchBuilder(base_offset=last.next_offset, partition_leader_epoch=last.partition_leader_epoch)
    batch.append(None, value, timestamp=last.max_timestamp)
    path.write_bytes(path.read_bytes() + batch.build())


def _unknown_topic(data: Path) -> None:
    record = PartitionChangeRecord(partition_id=0, topic_id=bytes(range(16)), leader=1)
    _metadata_record(data, encode_metadata_record(record, 0))


def _garbage_offset(data: Path) -> None:
    for directory in data.glob("__consumer_offsets-*"):
        path = segments(directory)[-1]
        headers = batches(path)
        if headers:
            batch = RecordBatchBuilder(base_offset=headers[-1].next_offset, partition_leader_epoch=0)
            batch.append(b"\x00\x01\x00\x63x", b"garbage", timestamp=headers[-1].max_timestamp)
            path.write_bytes(path.read_bytes() + batch.build())


def _snapshot_without_footer(data: Path) -> None:
    whole = (data / "bootstrap.checkpoint").read_bytes()
    path = data / "__cluster_metadata-0" / f"{5:020d}-{1:010d}.checkpoint"
    path.write_bytes(whole[: batches_of(whole)[-1]])


def batches_of(data: bytes) -> list[int]:
    found, position = [], 0
    while position < len(data):
        found.append(position)
        position += 12 + int.from_bytes(data[position + 8 : position + 12], "big")
    return found


def _remove_partition(data: Path) -> None:
    for file in (data / "plain-1").iterdir():
        file.unlink()
    (data / "plain-1").rmdir()


def _metadata_gone(data: Path) -> None:
    (data / "__cluster_metadata-0").rename(data.parent / "elsewhere")


AROUND: list[tuple[Callable[[Path], object], str]] = [
    (lambda data: _checkpoint(data, RECOVERY_POINTS, "plain", 1000), "checkpoint"),
    (lambda data: _checkpoint(data, HIGH_WATERMARKS, "plain", 1000), "checkpoint"),
    (lambda data: _checkpoint(data, LOG_STARTS, "plain", 1000), "checkpoint"),
    (lambda data: (data / RECOVERY_POINTS).write_text("0\n7\nplain 0 1\n"), "checkpoint"),
    (lambda data: (data / LOG_STARTS).write_text("0\n1\nplain zero 1\n"), "checkpoint"),
    (lambda data: (data / META_PROPERTIES).write_text("version=1\nnode.id=x\ncluster.id=c\n"), "identity"),
    (lambda data: (data / META_PROPERTIES).unlink(), "identity"),
    (_topic_id, "topic-id"),
    (lambda data: (data / "plain-0" / PARTITION_METADATA).write_bytes(b"\xff\x00"), "topic-id"),
    (lambda data: (data / "plain-0" / PARTITION_METADATA).unlink(), "topic-id"),
    (lambda data: (data / "plain-0").rename(data / "nobody-0"), "stray"),
    (lambda data: (data / "plain-0").rename(data / "plain-7"), "stray"),
    (_remove_partition, "missing-directory"),
    (_metadata_gone, "missing-metadata"),
    (lambda data: flip(segments(data / "__cluster_metadata-0")[0], 150), "crc"),
    (_unknown_topic, "metadata"),
    (lambda data: _metadata_record(data, b"\x01\x7f\x00"), "metadata"),
    (_snapshot_without_footer, "metadata"),
    (lambda data: flip(data / "bootstrap.checkpoint", 100), "metadata"),
    (lambda data: (data / "__cluster_metadata-0" / "quorum-state").write_text("{"), "metadata"),
    (_garbage_offset, "internal-record"),
    (lambda data: (data / CLEAN_SHUTDOWN).write_text("{}"), "clean-shutdown"),
]


@pytest.mark.parametrize(("damage", "code"), AROUND)
def test_damage_around_the_partitions_is_found(damage: Callable[[Path], object], code: str, data: Path) -> None:
    damage(data)
    found = serious(check(data))
    assert code in [finding.code for finding in found], found
    assert all(finding.repair for finding in found), found


NOTES: list[tuple[Callable[[Path], object], str]] = [
    (lambda data: (data / CLEAN_SHUTDOWN).unlink(), "clean-shutdown"),
    (lambda data: (data / "plain-0" / "00000000000000000000.log.deleted").write_bytes(b"x"), "leftover"),
    (lambda data: (data / "plain-0" / "00000000000000000000.log.cleaned").write_bytes(b"x"), "leftover"),
    (lambda data: (data / "plain-0" / "00000000000000000000.index.swap").write_bytes(b"x"), "leftover"),
    (lambda data: (data / "plain-0" / f"{LEADER_EPOCHS}.tmp").write_bytes(b"x"), "leftover"),
    (lambda data: (data / f"gone-0.{'a' * 32}-delete").mkdir(), "leftover"),
    (lambda data: (data / f"gone-0.{'a' * 32}-stray").mkdir(), "leftover"),
    (lambda data: _checkpoint(data, RECOVERY_POINTS, "never", 10), "checkpoint"),
]


@pytest.mark.parametrize(("change", "code"), NOTES)
def test_what_is_left_over_is_told_and_is_no_error(change: Callable[[Path], object], code: str, data: Path) -> None:
    before = {finding.file for finding in check(data)}
    change(data)
    found = check(data)
    assert serious(found) == []
    assert code in [finding.code for finding in found if finding.file not in before], found


def test_directories_that_do_not_belong_together(data: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    (other / "plain-0").mkdir(parents=True)
    lines = (data / META_PROPERTIES).read_text().replace("node.id=1", "node.id=2")
    (other / META_PROPERTIES).write_text(lines)
    codes = [finding.code for finding in serious(check(data, other))]
    assert "identity" in codes
    assert "duplicate" in codes


def test_nothing_is_changed(data: Path) -> None:
    def state() -> dict[str, tuple[int, int]]:
        found = {}
        for path in sorted(data.rglob("*")):
            about = path.stat()
            found[str(path)] = (about.st_mtime_ns, about.st_size)
        return found

    _flip_record(data / "rich-0")
    before = state()
    check(data)
    assert state() == before


def test_a_live_directory_is_not_judged_at_its_end(data: Path) -> None:
    _cut_tail(data / "rich-0")
    (data / CLEAN_SHUTDOWN).unlink()
    assert serious(check(data, live=True)) == []
    assert [finding.code for finding in serious(check(data))][:1] == ["torn"]
