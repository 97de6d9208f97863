"""A full disk, an I/O error, a failed sync: KAFKA_STORAGE_ERROR for that partition, nothing acknowledged is lost."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kwire.error_codes import ErrorCode
from kwire.errors import ApiError
from kwire.records import RecordBatchBuilder
from log.append_validation import AppendOrigin
from log.config import CommitRule, LogConfig
from log.partition_log import PartitionLog
from log.storage import FileCache, LogFile, RealStorage
from tests.crash.fault_storage import FaultStorage
from tests.crash.log_history import abort_marker, read_values

NOW = 1_000_000
CONFIG = LogConfig(
    segment_bytes=700, index_interval_bytes=100, segment_index_bytes=120, message_timestamp_after_max_ms=1 << 60
)


def open_log(storage: FaultStorage, **options: object) -> PartitionLog:
    return PartitionLog.open(storage, "/t-0", "t", 0, CONFIG, now_ms=NOW, **options)  # type: ignore[arg-type]


def append(log: PartitionLog, *values: bytes) -> None:
    builder = RecordBatchBuilder()
    for value in values:
        builder.append(None, value, timestamp=NOW)
    log.append_as_leader(memoryview(builder.build()), leader_epoch=0, now_ms=NOW)


def failing(number: int, *operations: str) -> Callable[[str, str], OSError | None]:
    return lambda operation, path: OSError(number, os.strerror(number)) if operation in operations else None


def refused(action: Callable[[], object]) -> None:
    with pytest.raises(ApiError) as error:
        action()
    assert error.value.code is ErrorCode.KAFKA_STORAGE_ERROR


def test_a_full_disk_refuses_the_append_and_nothing_else() -> None:
    storage = FaultStorage()
    log = open_log(storage)
    append(log, b"one")
    size = storage.size("/t-0/00000000000000000000.log")
    storage.fail = failing(errno.ENOSPC, "write")
    refused(lambda: append(log, b"two"))
    assert storage.size("/t-0/00000000000000000000.log") == size, "what was written of it is cut off"
    assert not log.offline
    assert read_values(log) == [(0, b"one")]
    storage.fail = None
    append(log, b"two")
    assert read_values(log) == [(0, b"one"), (1, b"two")]


def test_a_full_disk_whose_rest_cannot_be_cut_puts_the_log_offline() -> None:
    storage = FaultStorage()
    log = open_log(storage)
    append(log, b"one")
    storage.fail = failing(errno.ENOSPC, "write", "truncate")
    refused(lambda: append(log, b"two"))
    assert log.offline
    storage.fail = None
    refused(lambda: append(log, b"two"))
    refused(lambda: log.read(0, 100, up_to=1))
    again = open_log(storage, clean_shutdown=False)
    assert read_values(again) == [(0, b"one")]


def test_an_io_error_puts_the_log_offline_until_it_is_opened_again() -> None:
    storage = FaultStorage()
    log = open_log(storage)
    append(log, b"one")
    storage.fail = failing(errno.EIO, "write")
    refused(lambda: append(log, b"two"))
    assert log.offline
    storage.fail = None
    log.close(NOW)
    again = open_log(storage, clean_shutdown=False, after_failure=True)
    # never synced: it is the disk that counts now
    assert read_values(again) in ([], [(0, b"one")])


def test_a_read_error_puts_the_log_offline() -> None:
    storage = FaultStorage()
    append(open_log(storage), b"one")
    log = open_log(storage, clean_shutdown=False)
    storage.fail = failing(errno.EIO, "read")
    refused(lambda: log.read(0, 100, up_to=1))
    assert log.offline


def test_after_a_failed_sync_nothing_is_promised() -> None:
    storage = FaultStorage()
    log = open_log(storage, commit_rule=CommitRule.FSYNC)
    append(log, b"one")
    log.flush(NOW)
    assert (log.high_watermark, log.recovery_point) == (1, 1)
    append(log, b"two")
    assert log.high_watermark == 1, "not yet on the disk"
    targets = log.flush_targets()
    storage.fail = failing(errno.EIO, "sync")
    with pytest.raises(OSError, match="Input/output"):
        targets.run(storage)
    assert log.flush_failed(OSError(errno.EIO, "x")).code is ErrorCode.KAFKA_STORAGE_ERROR
    assert log.high_watermark == 1
    refused(lambda: append(log, b"three"))
    storage.fail = None
    assert log.flushed(targets, NOW) == 1, "a late success changes nothing"
    again = open_log(storage, clean_shutdown=False, recovery_point=1, after_failure=True, commit_rule=CommitRule.FSYNC)
    assert read_values(again) == [(0, b"one")]
    assert again.high_watermark == 1


def test_after_a_failed_sync_and_a_kill_the_page_cache_is_not_believed() -> None:
    """The failed sync left its pages clean: they are read, and never written. (Linux, as many others)"""
    storage = FaultStorage()
    log = open_log(storage, commit_rule=CommitRule.FSYNC)
    append(log, b"one")
    log.flush(NOW)
    append(log, b"two")
    targets = log.flush_targets()
    storage.fail = failing(errno.EIO, "sync")
    with pytest.raises(OSError, match="Input/output"):
        targets.run(storage)
    storage.fail = None
    again = open_log(storage.after_kill(), clean_shutdown=False, recovery_point=1, commit_rule=CommitRule.FSYNC)
    assert read_values(again) == [(0, b"one")]


def test_a_segment_that_a_killed_process_began_has_its_name_on_the_disk_after_the_next_flush() -> None:
    storage = FaultStorage()
    log = open_log(storage, commit_rule=CommitRule.FSYNC)
    append(log, b"one")
    log.flush(NOW)
    log.roll(NOW)
    storage = storage.after_kill()
    again = open_log(storage, clean_shutdown=False, recovery_point=1, commit_rule=CommitRule.FSYNC)
    append(again, b"two")
    again.flush(NOW)
    assert again.high_watermark == 2
    storage = storage.after_power_loss(Random(1), keep=0.0)
    last = open_log(storage, clean_shutdown=False, recovery_point=1, commit_rule=CommitRule.FSYNC)
    assert read_values(last) == [(0, b"one"), (1, b"two")]


def test_what_recovery_made_anew_is_on_the_disk_after_the_next_flush() -> None:
    """The segment that ends at the recovery point: its aborted transactions were forgotten at the next power loss."""
    storage = FaultStorage()
    log = open_log(storage, commit_rule=CommitRule.FSYNC)
    builder = RecordBatchBuilder(producer_id=7, producer_epoch=0, base_sequence=0, transactional=True)
    builder.append(None, b"one", timestamp=NOW)
    log.append_as_leader(memoryview(builder.build()), leader_epoch=0, now_ms=NOW)
    marker = abort_marker(7)
    log.append_as_leader(memoryview(marker), leader_epoch=0, now_ms=NOW, origin=AppendOrigin.COORDINATOR)
    log.roll(NOW)
    log.flush(NOW)
    assert log.recovery_point == 2
    aborted = log.aborted_transactions(0, 2)
    assert len(aborted) == 1
    again = open_log(storage.after_kill(), clean_shutdown=False, recovery_point=2, commit_rule=CommitRule.FSYNC)
    append(again, b"two")
    again.flush(NOW)
    for seed in range(40):  # any part of what is not synced may be there
        left = again.storage.after_power_loss(Random(seed))  # type: ignore[attr-defined]
        last = open_log(left, clean_shutdown=False, recovery_point=3, commit_rule=CommitRule.FSYNC)
        assert last.aborted_transactions(0, 2) == aborted


def test_a_clean_stop_syncs_what_a_flush_under_way_was_to_sync() -> None:
    """The stop came before the thread: a closed segment's index was never on the disk, and the marker said it was."""
    storage = FaultStorage()
    log = open_log(storage, commit_rule=CommitRule.FSYNC)
    builder = RecordBatchBuilder(producer_id=7, producer_epoch=0, base_sequence=0, transactional=True)
    builder.append(None, b"one", timestamp=NOW)
    log.append_as_leader(memoryview(builder.build()), leader_epoch=0, now_ms=NOW)
    marker = abort_marker(7)
    log.append_as_leader(memoryview(marker), leader_epoch=0, now_ms=NOW, origin=AppendOrigin.COORDINATOR)
    log.flush(NOW)
    log.roll(NOW)
    log.flush_targets()  # never run
    aborted = log.aborted_transactions(0, 2)
    log.close(NOW)
    for seed in range(40):
        left = storage.after_power_loss(Random(seed))
        again = open_log(left, clean_shutdown=False, recovery_point=3, commit_rule=CommitRule.FSYNC)
        assert again.aborted_transactions(0, 2) == aborted


def test_a_sync_begun_before_a_truncation_proves_nothing() -> None:
    storage = FaultStorage()
    log = open_log(storage, commit_rule=CommitRule.FSYNC)
    append(log, b"one")
    append(log, b"two")
    targets = log.flush_targets()
    log.truncate_to(0, NOW)
    append(log, b"other")
    append(log, b"other")
    targets.run(storage)
    log.flushed(targets, NOW)
    assert log.high_watermark == 0
    assert log.recovery_point == 0


def test_what_comes_in_while_a_sync_runs_waits_for_the_next() -> None:
    storage = FaultStorage()
    log = open_log(storage, commit_rule=CommitRule.FSYNC)
    append(log, b"one")
    targets = log.flush_targets()
    append(log, b"two")
    targets.run(storage)
    assert log.flushed(targets, NOW) == 1
    assert log.read(0, 1000, up_to=log.high_watermark).size < log.segments.active.size
    log.flush(NOW)
    assert log.high_watermark == 2


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
def test_a_partition_that_cannot_be_made(number: int) -> None:
    storage = FaultStorage()
    storage.fail = failing(number, "create", "mkdir")
    refused(lambda: open_log(storage))
    storage.fail = None
    append(open_log(storage), b"one")


@given(at=st.integers(0, 120), number=st.sampled_from([errno.ENOSPC, errno.EIO]), again=st.booleans())
def test_any_operation_may_fail(at: int, number: int, again: bool) -> None:
    """Acknowledged records are there afterwards, in order; what was refused is there at most at the end."""
    storage = FaultStorage()
    log = open_log(storage)
    acknowledged: list[bytes] = []
    countdown = at

    def fail(operation: str, path: str) -> OSError | None:
        nonlocal countdown
        countdown -= 1
        return OSError(number, "injected") if countdown == -1 else None

    storage.fail = fail
    refusals = 0
    for turn in range(30):
        value = b"%d" % turn + bytes(40)
        try:
            append(log, value)
            acknowledged.append(value)
            if turn % 11 == 10:
                log.delete_old_segments(NOW)
            if turn % 7 == 6:
                log.flush(NOW)
        except ApiError as error:
            if error.code is not ErrorCode.KAFKA_STORAGE_ERROR:
                raise
            refusals += 1
            if log.offline:
                break
    storage.fail = None
    if not log.offline:
        assert [value for _, value in read_values(log)] == acknowledged
        log.close(NOW)
    reopened = open_log(storage.after_kill(), clean_shutdown=not log.offline and not again)
    found = [value for _, value in read_values(reopened)]
    assert found[: len(acknowledged)] == acknowledged
    assert len(found) <= len(acknowledged) + refusals


def test_descriptors_stay_under_the_limit_and_ranges_keep_theirs(tmp_path: Path) -> None:
    storage = RealStorage(cache=FileCache(10))
    logs = [PartitionLog.open(storage, f"{tmp_path}/t-{n}", "t", n, CONFIG, now_ms=NOW) for n in range(30)]
    before = len(os.listdir("/proc/self/fd"))
    for turn in range(3):
        for log in logs:
            append(log, b"%d" % turn)
    assert storage.cache.open_count <= 10
    assert len(os.listdir("/proc/self/fd")) <= before + 10
    held = logs[0].read(0, 10_000, up_to=3).file_range
    assert held is not None
    for log in logs:
        assert [value for _, value in read_values(log)] == [b"0", b"1", b"2"]
    logs[0].rename_directory(f"{tmp_path}/t-0.gone-delete")
    logs[0].abandon()
    for file in (tmp_path / "t-0.gone-delete").iterdir():
        file.unlink()
    assert len(held.read()) == held.size
    assert held.fileno() >= 0


def test_room_is_made_when_the_process_has_no_descriptor_left() -> None:
    storage = FaultStorage(open_limit=100)
    storage.mkdir("/d")
    files = [LogFile(storage, f"/d/{number}", create=True) for number in range(41)]
    for file in files[:40]:
        file.opened()
        file.used = False
    refusals = 1

    def fail(operation: str, path: str) -> OSError | None:
        nonlocal refusals
        refusals -= operation == "open"
        return OSError(errno.EMFILE, "too many") if operation == "open" and refusals >= 0 else None

    storage.fail = fail
    files[40].opened()
    assert storage.cache.open_count == 20
    assert storage.cache.limit == 20
    refusals = 10
    with pytest.raises(OSError, match="too many"):
        LogFile(storage, "/d/more", create=True).opened()


def test_released_files_do_not_pile_up_in_the_cache() -> None:
    storage = FaultStorage(open_limit=100)
    storage.mkdir("/d")
    for number in range(5000):
        file = LogFile(storage, f"/d/{number}", create=True)
        file.opened()
        file.release()
    assert storage.cache.open_count == 0
    assert len(storage.cache._queue) < 1100
