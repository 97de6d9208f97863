"""Directories, lazily opened partitions, checkpoints, deletion, clean and unclean stops."""

from __future__ import annotations

import subprocess
import sys
from itertools import count
from pathlib import Path

import pytest

from kwire.error_codes import ErrorCode
from kwire.errors import ApiError
from kwire.records import RecordBatchBuilder
from log.checkpoints import CheckpointWrite
from log.config import LogConfig
from log.log_manager import DirectoryInUseError, LogManager
from log.meta_properties import MetaPropertiesError
from log.partition_log import PartitionLog
from log.partition_metadata import read_topic_id
from log.storage import RealStorage, Storage, read_file
from tests.crash.fault_storage import FaultStorage

NOW = 1_000_000
TOPIC_ID = bytes(range(16))
CONFIG = LogConfig(segment_bytes=1000, segment_index_bytes=120, message_timestamp_after_max_ms=1 << 60)


def manager_of(storage: Storage, *directories: str, config: LogConfig = CONFIG) -> LogManager:
    numbers = count(1)
    return LogManager(
        storage,
        list(directories) or ["/d"],
        lambda topic: config,
        unique=lambda: f"{next(numbers):032x}",
        random_uuid=lambda: next(numbers).to_bytes(1, "big") * 16,
    )


def started(storage: Storage, *directories: str) -> LogManager:
    manager = manager_of(storage, *directories)
    manager.lock()
    manager.load()
    return manager


def append(log: PartitionLog, values: int = 1, size: int = 10) -> None:
    builder = RecordBatchBuilder()
    for _ in range(values):
        builder.append(None, bytes(size), timestamp=NOW)
    log.append_as_leader(memoryview(builder.build()), leader_epoch=0, now_ms=NOW)


def log_of(manager: LogManager, topic: str = "t", partition: int = 0) -> PartitionLog:
    return manager.get_or_create(topic, partition, topic_id=TOPIC_ID, now_ms=NOW)


def run_all(work: list[CheckpointWrite], storage: Storage) -> None:
    for item in work:
        item.run(storage)


@pytest.fixture
def storage() -> FaultStorage:
    return FaultStorage()


def test_a_fresh_directory_holds_what_kafkas_holds(storage: FaultStorage) -> None:
    manager = manager_of(storage)
    manager.lock()
    cluster_id = manager.identify(cluster_id=None, node_id=1, new_cluster_id=lambda: "made-up", date="today")
    assert cluster_id == "made-up"
    manager.load()
    assert sorted(storage.list_dir("/d")) == [
        ".lock",
        "cleaner-offset-checkpoint",
        "log-start-offset-checkpoint",
        "meta.properties",
        "recovery-point-offset-checkpoint",
        "replication-offset-checkpoint",
    ]
    log = log_of(manager)
    log.assign_epoch(0)
    assert {name: storage.size(f"/d/t-0/{name}") for name in storage.list_dir("/d/t-0")} == {
        "00000000000000000000.log": 0,
        "00000000000000000000.index": 120,
        "00000000000000000000.timeindex": 120,
        "leader-epoch-checkpoint": 8,
        "partition.metadata": 43,
    }


def test_a_clean_stop_leaves_what_kafkas_leaves(storage: FaultStorage) -> None:
    manager = started(storage)
    append(log_of(manager, "data"), 3)
    log_of(manager, "empty").assign_epoch(0)
    assert manager.close(NOW, broker_epoch=12) == []
    assert read_file(storage, "/d/.kafka_cleanshutdown") == b'{"version":0,"brokerEpoch":12}'
    assert read_file(storage, "/d/recovery-point-offset-checkpoint") == b"0\n2\ndata 0 3\nempty 0 0\n"
    assert read_file(storage, "/d/replication-offset-checkpoint") == b"0\n2\ndata 0 3\nempty 0 0\n"
    assert read_file(storage, "/d/log-start-offset-checkpoint") == b"0\n0\n"
    assert ".lock" not in storage.list_dir("/d")
    assert {name: storage.size(f"/d/data-0/{name}") for name in storage.list_dir("/d/data-0")} == {
        "00000000000000000000.log": 112,
        "00000000000000000000.index": 0,
        "00000000000000000000.timeindex": 12,
        "00000000000000000003.snapshot": 10,
        "leader-epoch-checkpoint": 8,
        "partition.metadata": 43,
    }
    assert storage.size("/d/empty-0/00000000000000000000.timeindex") == 0
    assert not any(name.endswith(".snapshot") for name in storage.list_dir("/d/empty-0"))

    again = manager_of(storage)
    again.lock()
    assert again.previous_broker_epoch() == 12
    again.load()
    assert again.unrecovered() == []
    assert sorted(again.partitions()) == [("data", 0), ("empty", 0)]
    assert again.open_logs() == [], "nothing is opened before it is used"
    assert log_of(again, "data").recovery_point == 3
    assert ".kafka_cleanshutdown" not in storage.list_dir("/d")


def test_nothing_is_made_for_a_partition_that_is_only_asked_for(storage: FaultStorage) -> None:
    manager = started(storage)
    assert manager.get("t", 0, now_ms=NOW) is None
    assert ("t", 0) not in manager
    assert not storage.exists("/d/t-0")


def test_a_second_broker_is_refused(tmp_path: Path) -> None:
    storage = RealStorage()
    first = started(storage, str(tmp_path / "d"))
    second = manager_of(RealStorage(), str(tmp_path / "other"), str(tmp_path / "d"))
    with pytest.raises(DirectoryInUseError, match=f"Failed to acquire lock on file .lock in {tmp_path}/d"):
        second.lock()
    third = started(RealStorage(), str(tmp_path / "other"))
    third.unlock()
    first.close(NOW)
    started(RealStorage(), str(tmp_path / "d")).unlock()


HOLD_OR_TRY = """
import fcntl, sys
file = open(sys.argv[1], "r+")
try:
    fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
except BlockingIOError:
    print("refused", flush=True)
else:
    print("locked", flush=True)
    sys.stdin.read()
"""


def test_a_broker_that_locks_as_java_does_is_refused_and_refuses(tmp_path: Path) -> None:
    """Kafka's FileLock is a record lock; flock and record locks do not see each other."""

    def java(answer: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", HOLD_OR_TRY, str(tmp_path / "d" / ".lock")]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        assert process.stdout.readline() == f"{answer}\n"
        return process

    first = started(RealStorage(), str(tmp_path / "d"))
    java("refused").communicate()
    first.unlock()
    (tmp_path / "d" / ".lock").touch()
    other = java("locked")
    with pytest.raises(DirectoryInUseError):
        manager_of(RealStorage(), str(tmp_path / "d")).lock()
    other.communicate()
    started(RealStorage(), str(tmp_path / "d")).unlock()


def test_a_directory_of_another_node_is_refused(storage: FaultStorage) -> None:
    manager = started(storage)
    manager.identify(cluster_id="c", node_id=1, new_cluster_id=str, date="")
    manager.unlock()
    other = started(storage)
    with pytest.raises(MetaPropertiesError):
        other.identify(cluster_id=None, node_id=2, new_cluster_id=str, date="")
    assert other.identify(cluster_id=None, node_id=1, new_cluster_id=str, date="") == "c"


def test_new_partitions_go_to_the_emptiest_directory_or_the_one_named(storage: FaultStorage) -> None:
    manager = manager_of(storage, "/d", "/e")
    manager.lock()
    manager.identify(cluster_id="c", node_id=1, new_cluster_id=str, date="")
    manager.load()
    for partition in range(4):
        log_of(manager, "t", partition)
    assert [len(directory.partitions) for directory in manager.directories] == [2, 2]
    second = manager.directories[1].properties
    assert second is not None
    manager.get_or_create("t", 9, topic_id=TOPIC_ID, now_ms=NOW, directory_id=second.directory_id)
    assert storage.exists("/e/t-9")
    manager.close(NOW)
    again = started(storage, "/d", "/e")
    assert again.directory_of("t", 9) is again.directories[1]


def test_an_unusable_directory_is_left_out(storage: FaultStorage) -> None:
    storage.fail = lambda operation, path: OSError(5, "I/O error") if path.startswith("/bad") else None
    manager = manager_of(storage, "/bad", "/d")
    manager.lock()
    manager.load()
    assert manager.directories[0].failed is not None
    log_of(manager)
    assert storage.exists("/d/t-0")
    alone = manager_of(storage, "/bad")
    with pytest.raises(OSError, match="I/O"):
        alone.lock()


def test_deletion_renames_then_removes_and_forgets(storage: FaultStorage) -> None:
    manager = started(storage)
    log = log_of(manager)
    append(log, 5)
    log.delete_records_before(4)
    run_all(manager.checkpoint_log_starts(), storage)
    run_all(manager.checkpoint_recovery_points(), storage)
    (work,) = manager.delete([("t", 0), ("unknown", 3)])
    assert work.path.startswith("/d/t-0.")
    assert work.path.endswith("-delete")
    assert work.delay_ms == 60_000
    assert read_file(storage, "/d/log-start-offset-checkpoint") == b"0\n0\n"
    with pytest.raises(ApiError):
        append(log)
    fresh = log_of(manager)
    assert (fresh.log_start_offset, fresh.log_end_offset) == (0, 0)
    work.run(storage)
    assert not storage.exists(work.path)
    work.run(storage)


def test_an_unfinished_deletion_is_finished_at_the_next_start(storage: FaultStorage) -> None:
    manager = started(storage)
    append(log_of(manager))
    manager.delete([("t", 0)])
    manager.close(NOW)
    again = started(storage)
    assert ("t", 0) not in again
    (work,) = again.unfinished_deletes()
    work.run(storage)
    assert [name for name in storage.list_dir("/d") if "t-0" in name] == []
    assert again.unfinished_deletes() == []


def test_what_another_topic_of_the_same_name_left_is_set_aside(storage: FaultStorage) -> None:
    manager = started(storage)
    append(log_of(manager), 3)
    manager.close(NOW)
    again = started(storage)
    log = again.get_or_create("t", 0, topic_id=bytes(15) + b"\x77", now_ms=NOW)
    assert log.log_end_offset == 0
    assert [name for name in storage.list_dir("/d") if name.endswith("-stray")]
    again.close(NOW)
    assert list(started(storage).partitions()) == [("t", 0)]


def test_no_clean_marker_while_a_partition_waits_for_its_recovery(storage: FaultStorage) -> None:
    manager = started(storage)
    append(log_of(manager, "a"), 3)
    append(log_of(manager, "b"), 3)
    run_all(manager.checkpoint_recovery_points(), storage)
    after_kill = started(storage.after_kill())
    assert sorted(after_kill.unrecovered()) == [("a", 0), ("b", 0)]
    assert log_of(after_kill, "a").log_end_offset == 3
    assert after_kill.unrecovered() == [("b", 0)]
    after_kill.close(NOW)
    third = started(after_kill.storage)
    assert sorted(third.unrecovered()) == [("a", 0), ("b", 0)]
    log_of(third, "a")
    assert log_of(third, "b").log_end_offset == 3
    third.close(NOW)
    assert started(third.storage).unrecovered() == []


def test_no_clean_marker_after_a_failed_log(storage: FaultStorage) -> None:
    manager = started(storage)
    append(log_of(manager))
    storage.fail = lambda operation, path: OSError(5, "I/O error") if operation == "sync" else None
    failures = manager.close(NOW)
    assert failures
    assert failures[0].code is ErrorCode.KAFKA_STORAGE_ERROR
    storage.fail = None
    assert started(storage).unrecovered() == [("t", 0)]


def test_a_damaged_checkpoint_means_recovery_from_the_start(storage: FaultStorage) -> None:
    manager = started(storage)
    append(log_of(manager), 3)
    manager.close(NOW)
    storage.open("/d/recovery-point-offset-checkpoint", create=False).truncate(5)
    again = started(storage)
    assert again.unrecovered() == [("t", 0)]
    assert log_of(again).log_end_offset == 3


def test_the_log_start_survives_a_restart(storage: FaultStorage) -> None:
    manager = started(storage)
    log = log_of(manager)
    append(log, 8)
    log.delete_records_before(5)
    manager.close(NOW)
    assert read_file(storage, "/d/log-start-offset-checkpoint") == b"0\n1\nt 0 5\n"
    assert log_of(started(storage)).log_start_offset == 5


def test_checkpoints_keep_the_entries_of_partitions_that_are_not_open(storage: FaultStorage) -> None:
    manager = started(storage)
    for topic in ("a", "b"):
        append(log_of(manager, topic), 4)
        log_of(manager, topic).delete_records_before(2)
    manager.close(NOW)
    again = started(storage)
    append(log_of(again, "b"))
    run_all(again.checkpoint_recovery_points(), storage)
    run_all(again.checkpoint_log_starts(), storage)
    run_all(again.checkpoint_high_watermarks(), storage)
    assert read_file(storage, "/d/recovery-point-offset-checkpoint") == b"0\n2\na 0 4\nb 0 4\n"
    assert read_file(storage, "/d/log-start-offset-checkpoint") == b"0\n2\na 0 2\nb 0 2\n"
    assert read_file(storage, "/d/replication-offset-checkpoint") == b"0\n2\na 0 4\nb 0 5\n"


def test_reopening_an_offline_log(storage: FaultStorage) -> None:
    manager = started(storage)
    log = log_of(manager)
    append(log, 2)
    log.flush(NOW)
    append(log, 3)
    storage.fail = lambda operation, path: OSError(5, "I/O error") if operation == "sync" else None
    with pytest.raises(ApiError):
        log.flush(NOW)
    storage.fail = None
    assert log.offline
    other = log_of(manager, "other")
    append(other)
    fresh = manager.reopen("t", 0, now_ms=NOW)
    assert not fresh.offline
    # the sync had lost the last three: what the disk does not hold is not served as if it did
    assert fresh.log_end_offset == 2
    append(fresh)
    assert manager.opened("t", 0) is fresh


def test_settings_reach_open_logs(storage: FaultStorage) -> None:
    config = LogConfig()
    manager = LogManager(storage, ["/d"], lambda topic: config, unique=lambda: "0" * 32, random_uuid=lambda: TOPIC_ID)
    manager.lock()
    manager.load()
    log = log_of(manager)
    config = LogConfig(retention_ms=5)
    manager.config_changed("other")
    assert log.config.retention_ms != 5
    manager.config_changed("t")
    assert log.config.retention_ms == 5


def test_a_checkpoint_written_late_does_not_undo_a_newer_one(storage: FaultStorage) -> None:
    manager = started(storage)
    append(log_of(manager), 4)
    log_of(manager).delete_records_before(3)
    (late,) = manager.checkpoint_log_starts()
    manager.delete([("t", 0)])
    late.run(storage)
    assert read_file(storage, "/d/log-start-offset-checkpoint") == b"0\n0\n"


def test_a_checkpoint_that_failed_is_written_again(storage: FaultStorage) -> None:
    manager = started(storage)
    append(log_of(manager), 4)
    (work,) = manager.checkpoint_high_watermarks()
    storage.fail = lambda operation, path: OSError(28, "full") if operation == "write" else None
    with pytest.raises(OSError, match="full"):
        work.run(storage)
    storage.fail = None
    run_all(manager.checkpoint_high_watermarks(), storage)
    assert read_file(storage, "/d/replication-offset-checkpoint") == b"0\n1\nt 0 4\n"
    assert manager.checkpoint_high_watermarks() == []


@pytest.mark.parametrize("content", [None, b"", b"version: 0\ntopic_id: AAAA"])
def test_a_lost_or_torn_topic_id_is_written_again(storage: FaultStorage, content: bytes | None) -> None:
    manager = started(storage)
    append(log_of(manager))
    manager.close(NOW)
    storage.unlink("/d/t-0/partition.metadata")
    if content is not None:
        storage.open("/d/t-0/partition.metadata", create=True).pwrite(content, 0)
    again = started(storage)
    assert log_of(again).log_end_offset == 1
    assert read_topic_id(storage, "/d/t-0") == TOPIC_ID
