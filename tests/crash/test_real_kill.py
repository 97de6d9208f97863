"""A real process that appends to real files is killed, again and again; every acknowledged record is there, once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from random import Random

from log.config import LogConfig
from log.log_manager import LogManager
from log.storage import FileCache, RealStorage
from tests.crash.log_history import read_values

NOW = 1_700_000_000_000
PARTITIONS = 3
CONFIG = LogConfig(segment_bytes=20_000, index_interval_bytes=500, retention_ms=-1)
ROOT = Path(__file__).parents[2]

WRITER = """
import os, sys
sys.path.insert(0, sys.argv[1])
from tests.crash.test_real_kill import write_for_ever
write_for_ever(sys.argv[2], int(sys.argv[3]))
"""


def manager_over(directory: str) -> LogManager:
    manager = LogManager(
        RealStorage(cache=FileCache(8)),
        [directory],
        lambda topic: CONFIG,
        unique=lambda: "0" * 32,
        random_uuid=lambda: bytes(range(16)),
    )
    manager.lock()
    manager.load()
    return manager


def write_for_ever(directory: str, seed: int) -> None:
    """Append numbered records; acknowledge each batch with a line "partition next_number" on the standard output."""
    from kwire.records import RecordBatchBuilder

    random = Random(seed)
    manager = manager_over(directory)
    turn = 0
    while True:
        turn += 1
        partition = random.randrange(PARTITIONS)
        log = manager.get_or_create("t", partition, topic_id=bytes(range(16)), now_ms=NOW)
        builder = RecordBatchBuilder()
        for number in range(log.log_end_offset, log.log_end_offset + random.randint(1, 5)):
            builder.append(None, b"%d:" % number + bytes(random.randrange(400)), timestamp=NOW + turn)
        log.append_as_leader(memoryview(builder.build()), leader_epoch=0, now_ms=NOW)
        os.write(1, b"%d %d\n" % (partition, log.log_end_offset))
        if turn % 50 == 0:
            log.flush(NOW)
        if turn % 70 == 0:
            for work in manager.checkpoint_recovery_points():
                work.run(manager.storage)


def test_killed_again_and_again(tmp_path: Path, long_form: bool) -> None:
    random = Random(5)
    acknowledged = [0] * PARTITIONS
    for turn in range(40 if long_form else 3):
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(ROOT), str(tmp_path / "d"), str(turn)],
            stdout=subprocess.PIPE,
            cwd=ROOT,
        )
        assert writer.stdout is not None
        for _ in range(random.randint(1, 400)):
            line = writer.stdout.readline()
            assert line, "the writer ended by itself"
            partition, end = map(int, line.split())
            acknowledged[partition] = end
        writer.send_signal(signal.SIGKILL)
        rest = writer.stdout.read().splitlines(keepends=True)
        writer.stdout.close()
        assert writer.wait() == -signal.SIGKILL
        for line in rest:
            if line.endswith(b"\n"):
                partition, end = map(int, line.split())
                acknowledged[partition] = end
        manager = manager_over(str(tmp_path / "d"))
        for partition in range(PARTITIONS):
            log = manager.get("t", partition, now_ms=NOW)
            if log is None:
                assert not acknowledged[partition]
                continue
            values = read_values(log)
            assert [offset for offset, _ in values] == list(range(log.log_end_offset))
            assert all(value.startswith(b"%d:" % offset) for offset, value in values)
            assert acknowledged[partition] <= log.log_end_offset <= acknowledged[partition] + 5
        if turn % 3 == 2:
            assert manager.close(NOW) == []
        else:
            manager.unlock()
