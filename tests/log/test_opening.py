"""Opening a directory: leftovers, lost and damaged files, transactions after a restart."""

from __future__ import annotations

import pytest
from attrs import evolve

from kwire.errors import ApiError
from kwire.records import ControlType, RecordBatchBuilder, end_transaction_marker
from log.append_validation import AppendOrigin
from log.config import LogConfig
from log.leader_epochs import EpochEntry
from log.partition_log import PartitionLog
from log.storage import read_file, write_file
from log.transaction_index import AbortedTransaction
from tests.crash.fault_storage import FaultStorage
from tests.crash.log_history import read_values

NOW = 10_000_000
CONFIG = LogConfig(
    segment_bytes=500,
    index_interval_bytes=100,
    segment_index_bytes=120,
    message_timestamp_after_max_ms=1 << 60,
    retention_ms=-1,
)


def open_log(storage: FaultStorage, config: LogConfig = CONFIG, **options: object) -> PartitionLog:
    return PartitionLog.open(storage, "/t-0", "t", 0, config, now_ms=NOW, **options)  # type: ignore[arg-type]


def append(log: PartitionLog, value: bytes, *, epoch: int = 0, producer_id: int = -1, sequence: int = -1) -> None:
    builder = RecordBatchBuilder(
        producer_id=producer_id,
        producer_epoch=0 if producer_id >= 0 else -1,
        base_sequence=sequence,
        transactional=producer_id >= 0,
    )
    builder.append(None, value, timestamp=NOW)
    log.append_as_leader(memoryview(builder.build()), leader_epoch=epoch, now_ms=NOW)


def end_transaction(log: PartitionLog, producer_id: int, kind: ControlType) -> None:
    marker = end_transaction_marker(kind, producer_id=producer_id, producer_epoch=0, coordinator_epoch=0, timestamp=NOW)
    log.append_as_leader(memoryview(marker), leader_epoch=0, now_ms=NOW, origin=AppendOrigin.COORDINATOR)


def filled(values: int = 12) -> tuple[FaultStorage, list[tuple[int, bytes]]]:
    """A cleanly closed log of several segments."""
    storage = FaultStorage()
    log = open_log(storage)
    expected = []
    for number in range(values):
        value = b"%d" % number + bytes(60)
        append(log, value, epoch=number // 5)
        expected.append((number, value))
    log.close(NOW)
    assert len(log.segments) >= 3
    return storage, expected


def copy(storage: FaultStorage, source: str, target: str) -> None:
    data = read_file(storage, source)
    assert data is not None
    write_file(storage, target, data, sync=False)


def test_deleted_and_temporary_files_go() -> None:
    storage, expected = filled()
    before = sorted(storage.list_dir("/t-0"))
    for name in ("00000000000000000099.log.deleted", "00000000000000000099.snapshot.deleted", "x.tmp"):
        write_file(storage, f"/t-0/{name}", b"x", sync=False)
    write_file(storage, "/t-0/00000000000000000077.index", b"no log", sync=False)
    assert read_values(open_log(storage)) == expected
    assert sorted(storage.list_dir("/t-0")) == before


def test_an_unfinished_cleaning_is_undone() -> None:
    storage, expected = filled()
    for suffix in (".log", ".index", ".timeindex"):
        write_file(storage, f"/t-0/00000000000000000000{suffix}.cleaned", b"half", sync=False)
        # swap files at or above the first cleaned one belong to the same unfinished split
        write_file(storage, f"/t-0/00000000000000000003{suffix}.swap", b"half", sync=False)
    log = open_log(storage)
    assert read_values(log) == expected
    assert not [name for name in storage.list_dir("/t-0") if name.endswith((".cleaned", ".swap"))]


@pytest.mark.parametrize("renamed", [0, 1, 2, 3])
@pytest.mark.parametrize("clean", [True, False])
def test_an_interrupted_swap_is_finished(renamed: int, clean: bool) -> None:
    """One compacted segment takes the place of the first two, whichever of its files were renamed already."""
    storage, expected = filled()
    log = open_log(storage)
    first, second = list(log.segments)[:2]
    third = list(log.segments)[2].base_offset
    compacted = FaultStorage()
    builder = open_log(compacted)
    keep = second.base_offset
    for number in range(keep + 1):
        append(builder, expected[number][1])
    builder.close(NOW)
    last = list(builder.segments)[-1].base_offset
    # the surviving batch of the compacted segment: the one of the second segment's first record
    data = read_file(compacted, f"/t-0/{last:020d}.log")
    assert data is not None
    stem = f"/t-0/{first.base_offset:020d}"
    for number, suffix in enumerate((".log", ".index", ".timeindex")):
        content = data if suffix == ".log" else b""
        write_file(storage, f"{stem}{suffix}" + ("" if number < renamed else ".swap"), content, sync=False)
    if renamed:
        for suffix in (".log", ".index", ".timeindex"):
            storage.unlink(f"/t-0/{second.base_offset:020d}{suffix}")
    log = open_log(storage, evolve(CONFIG, cleanup_policy=("compact",)), clean_shutdown=clean)
    values = read_values(log)
    assert [offset for offset, _ in values if offset >= third] == list(range(third, len(expected)))
    assert (keep, expected[keep][1]) in values
    assert log.segments.first.base_offset == 0
    assert not [name for name in storage.list_dir("/t-0") if name.endswith(".swap")]


@pytest.mark.parametrize("suffix", ["index", "timeindex"])
@pytest.mark.parametrize("clean", [True, False])
def test_a_lost_index_is_made_anew(suffix: str, clean: bool) -> None:
    storage, expected = filled()
    kept = {name: storage.size(f"/t-0/{name}") for name in storage.list_dir("/t-0") if name.endswith("index")}
    storage.unlink(f"/t-0/00000000000000000000.{suffix}")
    log = open_log(storage, clean_shutdown=clean, recovery_point=12)
    assert read_values(log) == expected
    assert log.find_by_timestamp(NOW) == (NOW, 0, 0)
    log.close(NOW)
    again = {name: storage.size(f"/t-0/{name}") for name in storage.list_dir("/t-0") if name.endswith("index")}
    assert again == kept


@pytest.mark.parametrize("content", [None, b"", b"0\n2\n0 0\n", b"garbage", b"0\n1\n1 5"])
def test_lost_epochs_are_found_in_the_batches(content: bytes | None) -> None:
    storage, _ = filled()
    if content is None:
        storage.unlink("/t-0/leader-epoch-checkpoint")
    else:
        file = storage.open("/t-0/leader-epoch-checkpoint", create=False)
        file.truncate(0)
        file.pwrite(content, 0)
    log = open_log(storage, clean_shutdown=False, recovery_point=12)
    assert log.epochs.entries == [EpochEntry(0, 0), EpochEntry(1, 5), EpochEntry(2, 10)]
    assert [log.end_offset_for_epoch(epoch) for epoch in (0, 1, 2)] == [(0, 5), (1, 10), (2, 12)]


@pytest.mark.parametrize("damage", ["cut", "flip", "zeros", "rubbish"])
def test_a_damaged_tail_is_cut(damage: str) -> None:
    storage, expected = filled()
    path = max(f"/t-0/{name}" for name in storage.list_dir("/t-0") if name.endswith(".log"))
    file = storage.open(path, create=False)
    size = file.size()
    if damage == "cut":
        file.truncate(size - 3)
    elif damage == "flip":
        file.pwrite(bytes([file.pread(1, size - 5)[0] ^ 1]), size - 5)
    elif damage == "zeros":
        file.truncate(size + 1000)
    else:
        file.pwrite(b"\xff" * 200, size)
    log = open_log(storage, clean_shutdown=False)
    found = read_values(log)
    assert found == (expected if damage in ("zeros", "rubbish") else expected[:-1])
    append(log, b"more", epoch=2)
    assert read_values(log)[-1] == (len(found), b"more")


def test_a_flipped_bit_in_the_middle_drops_what_follows() -> None:
    storage, expected = filled()
    first, second = sorted(name for name in storage.list_dir("/t-0") if name.endswith(".log"))[:2]
    file = storage.open(f"/t-0/{second}", create=False)
    file.pwrite(b"\x55", 100)
    log = open_log(storage, clean_shutdown=False)
    assert read_values(log) == expected[: int(second[:20])]
    assert log.log_end_offset == int(second[:20])
    assert first == "00000000000000000000.log"


def test_files_gone_below_the_log_start() -> None:
    storage, _ = filled()
    for name in storage.list_dir("/t-0"):
        if name.endswith(".log") and int(name[:20]) > 0:
            storage.unlink(f"/t-0/{name}")
    log = open_log(storage, log_start_offset=10)
    assert (log.log_start_offset, log.log_end_offset) == (10, 10)
    append(log, b"x", epoch=3)
    assert read_values(log) == [(10, b"x")]


@pytest.mark.parametrize("clean", [True, False])
@pytest.mark.parametrize("lose_snapshots", [True, False])
def test_transactions_are_known_after_a_restart(clean: bool, lose_snapshots: bool) -> None:
    storage = FaultStorage()
    log = open_log(storage)
    append(log, b"a" * 80, producer_id=1, sequence=0)
    append(log, b"b" * 80, producer_id=2, sequence=0)
    append(log, b"plain" * 20)
    assert log.last_stable_offset == 0
    end_transaction(log, 1, ControlType.ABORT)
    assert log.last_stable_offset == 1
    end_transaction(log, 2, ControlType.COMMIT)
    assert log.last_stable_offset == 5
    append(log, b"c" * 80, producer_id=1, sequence=1)
    append(log, b"d" * 80, producer_id=2, sequence=1)
    end_transaction(log, 2, ControlType.ABORT)
    assert log.last_stable_offset == 5
    expected = [AbortedTransaction(1, 0, 3, 1), AbortedTransaction(2, 6, 7, 5)]
    assert log.aborted_transactions(0, 8) == expected
    assert log.aborted_transactions(4, 6) == []
    assert len(log.segments) > 1
    if clean:
        log.close(NOW)
    if lose_snapshots:
        for name in storage.list_dir("/t-0"):
            if name.endswith(".snapshot"):
                file = storage.open(f"/t-0/{name}", create=False)
                file.pwrite(b"\x77", file.size() - 1)
    log = open_log(storage, clean_shutdown=clean)
    assert log.last_stable_offset == 5
    assert log.aborted_transactions(0, 8) == expected
    assert {e.producer_id: e.transaction_first_offset for e in log.active_producers()} == {1: 5, 2: None}
    end_transaction(log, 1, ControlType.COMMIT)
    assert log.last_stable_offset == log.log_end_offset
    append(log, b"e", producer_id=2, sequence=2)
    with pytest.raises(ApiError):
        append(log, b"f", producer_id=2, sequence=9)


def test_the_last_stable_offset_waits_for_the_high_watermark() -> None:
    storage = FaultStorage()
    log = open_log(storage, evolve(CONFIG, flush_messages=1))
    append(log, b"a", producer_id=1, sequence=0)
    end_transaction(log, 1, ControlType.ABORT)
    assert (log.high_watermark, log.last_stable_offset) == (0, 0)
    log.advance_high_watermark(1)
    assert log.last_stable_offset == 0, "its marker is not committed yet"
    log.flush(NOW)
    assert log.last_stable_offset == 2
