"""Kafka's own dump tool reads what the log writes, and finds nothing to say about it."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from kwire.records import Codec, ControlType, RecordBatchBuilder, end_transaction_marker
from log.append_validation import AppendOrigin
from log.config import LogConfig
from log.partition_log import PartitionLog
from log.storage import RealStorage

JARS = Path(os.environ.get("KAFKA_JARS", Path(__file__).parents[2] / ".cache/kafka-4.3.1"))
NOW = 1_700_000_000_000
COMPLAINTS = ("ismatch", "Non-consecutive", "isvalid: false", "not found", "corrupt", "Exception", "Invalid")

pytestmark = [
    pytest.mark.java,
    pytest.mark.skipif(shutil.which("java") is None, reason="no java in PATH"),
    pytest.mark.skipif(not JARS.is_dir(), reason=f"Kafka's jars are not there: {JARS}"),
]


def dump(files: list[Path], *options: str) -> str:
    classpath = ":".join(str(jar) for jar in sorted(JARS.glob("*.jar")))
    command = ["java", "-Xmx256m", "-XX:TieredStopAtLevel=1", "-cp", classpath]
    command += ["org.apache.kafka.tools.DumpLogSegments", *options, "--files", ",".join(map(str, files))]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def fill(directory: Path) -> int:
    """A log with every kind of batch, several segments, reopened after a kill and after a clean stop; its end."""
    storage = RealStorage()
    config = LogConfig(segment_bytes=20_000, index_interval_bytes=512, segment_index_bytes=1200)

    def open_log(*, clean: bool) -> PartitionLog:
        return PartitionLog.open(
            storage, str(directory), "t", 0, config, now_ms=NOW, topic_id=bytes(range(16)), clean_shutdown=clean
        )

    def add(log: PartitionLog, count: int, **options: object) -> None:
        builder = RecordBatchBuilder(**options)  # type: ignore[arg-type]
        for _ in range(count):
            number = log.log_end_offset
            builder.append(b"key-%d" % number, bytes(number % 300), timestamp=NOW + (number * 7919) % 5000)
        log.append_as_leader(memoryview(builder.build()), leader_epoch=log.leader_epoch + (count == 9), now_ms=NOW)

    log = open_log(clean=True)
    log.assign_epoch(0)
    for turn in range(60):
        add(log, 1 + turn % 9, codec=Codec(turn % 5))
    for turn in range(6):
        add(log, 5, producer_id=1, producer_epoch=0, base_sequence=turn * 5)
        add(log, 3, producer_id=2, producer_epoch=turn, base_sequence=0, transactional=True)
        marker = end_transaction_marker(
            ControlType.ABORT if turn % 2 else ControlType.COMMIT,
            producer_id=2,
            producer_epoch=turn,
            coordinator_epoch=0,
            timestamp=NOW + turn,
        )
        log.append_as_leader(
            memoryview(marker), leader_epoch=log.leader_epoch, now_ms=NOW, origin=AppendOrigin.COORDINATOR
        )
        for _ in range(12):
            add(log, 4)
    log = open_log(clean=False)
    for _ in range(30):
        add(log, 7, codec=Codec.LZ4)
    log.close(NOW)
    log = open_log(clean=True)
    for _ in range(40):
        add(log, 2)
    log.close(NOW)
    return log.log_end_offset


def test_the_dump_tool_has_no_complaints(tmp_path: Path) -> None:
    end = fill(tmp_path / "t-0")
    by_kind = {
        kind: sorted((tmp_path / "t-0").glob(f"*.{kind}"))
        for kind in ("log", "index", "timeindex", "txnindex", "snapshot")
    }
    assert all(by_kind.values()), by_kind
    assert len(by_kind["log"]) > 3
    everything = [file for files in by_kind.values() for file in files]
    out = dump(everything, "--deep-iteration")
    assert not [line for line in out.splitlines() if any(word in line for word in COMPLAINTS)], out
    batches = [line for line in out.splitlines() if line.startswith("baseOffset:")]
    assert f"lastOffset: {end - 1} " in batches[-1]
    records = [line for line in out.splitlines() if line.startswith("| offset:")]
    assert [int(line.split()[2]) for line in records] == list(range(end))
    assert out.count("version: 0 producerId: 2") == 3, "three transactions were aborted"
    sane = dump(by_kind["index"], "--index-sanity-check")
    assert sane.count("passed sanity check.") == len(by_kind["index"]), sane
