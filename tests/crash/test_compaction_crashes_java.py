"""Apache Kafka's own log opens what a broker killed in the middle of a swap left, and finds what ours finds."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from log.partition_log import PartitionLog
from log.storage import RealStorage
from tests.crash.fault_storage import FaultStorage
from tests.crash.test_compaction_crashes import CHANGES, CONFIG, live_until
from tests.log.test_dump_log_java import ask_kafka, describe
from tests.log.test_dump_log_java import pytestmark as needs_java

pytestmark = [*needs_java, pytest.mark.slow]
NOW = 1_700_000_000_000


def interrupted_swaps() -> list[int]:
    """Changes to be killed at: each kind of step, of a swap of several segments with an aborted transaction."""
    life = live_until(CHANGES + 1)
    renames = [number for number, line in enumerate(life.storage.trace, 1) if line.startswith("rename /data/c-0/")]
    return renames[3 : len(renames) : max(len(renames) // 12, 1)]


def lay_out(storage: FaultStorage, directory: Path) -> None:
    directory.mkdir(parents=True)
    for path, content in storage.files():
        if path.startswith("/data/c-0/"):
            (directory / os.path.basename(path)).write_bytes(content)


@pytest.mark.parametrize("crash_at", interrupted_swaps())
def test_kafka_finishes_what_we_began(tmp_path: Path, crash_at: int) -> None:
    survivor = live_until(crash_at).storage.after_kill()
    for name in ("ours", "kafkas"):
        lay_out(survivor, tmp_path / name / "c-0")
    ours = PartitionLog.open(
        RealStorage(), str(tmp_path / "ours" / "c-0"), "c", 0, CONFIG, now_ms=NOW, clean_shutdown=False
    )
    assert ask_kafka(tmp_path / "kafkas" / "c-0", "unclean", 0, 0, 0) == describe(ours)
    ours.close(NOW)
