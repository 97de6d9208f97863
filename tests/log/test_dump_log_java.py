"""Kafka's own dump tool reads what the log writes, and finds nothing to say about it."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from kwire.records import BatchHeader, Codec, ControlType, RecordBatchBuilder, end_transaction_marker
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


def ask_kafka(directory: Path, state: str, recovery_point: int, start: int, batches: int, *times: int) -> list[str]:
    """What Kafka's log says of the directory; it appends ``batches`` batches of two records and closes it cleanly."""
    classpath = ":".join(str(jar) for jar in sorted(JARS.glob("*.jar")))
    source = Path(__file__).parent / "java/OpenPartition.java"
    command = ["java", "-Xmx256m", "-XX:TieredStopAtLevel=1", "-cp", classpath, str(source), str(directory), state]
    command += [str(number) for number in (recovery_point, start, batches, *times)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    words = ("log", "epoch", "producer", "aborted", "batch", "time")
    return [line for line in done.stdout.splitlines() if line.split(" ")[0] in words]


def describe(log: PartitionLog, *times: int) -> list[str]:
    """The same of ours."""
    lines = [
        f"log {log.log_start_offset} {log.last_stable_offset} {log.log_end_offset} {log.recovery_point} "
        f"{len(log.segments)}"
    ]
    lines += [f"epoch {entry.epoch} {entry.start_offset}" for entry in log.epochs.entries]
    lines += [
        f"producer {p.producer_id} {p.epoch} {p.last_sequence} "
        f"{-1 if p.transaction_first_offset is None else p.transaction_first_offset} {p.coordinator_epoch}"
        for p in log.active_producers()
    ]
    lines += [
        f"aborted {t.producer_id} {t.first_offset} {t.last_offset} {t.last_stable_offset}"
        for t in log.aborted_transactions(log.log_start_offset, log.log_end_offset)
    ]
    offset = log.log_start_offset
    while offset < log.log_end_offset:
        result = log.read(offset, 1, up_to=log.log_end_offset)
        assert result.file_range is not None
        header = BatchHeader.peek(result.file_range.read())
        lines.append(f"batch {header.base_offset} {header.last_offset} {header.size}")
        offset = header.next_offset
    for time in times:
        found = log.find_max_timestamp() if time == -3 else log.find_by_timestamp(time)
        text = "none" if found is None else f"{found.timestamp} {found.offset} {found.leader_epoch}"
        lines.append(f"time {time} {text}")
    return lines


@pytest.mark.parametrize("state", ["clean", "unclean"])
def test_kafka_opens_what_we_write_and_we_open_what_kafka_writes(tmp_path: Path, state: str) -> None:
    directory = tmp_path / "t-0"
    end = fill(directory)
    times = [NOW - 1, NOW, NOW + 17, NOW + 2500, NOW + 4999, NOW + 5000, -3]
    storage = RealStorage()
    config = LogConfig(segment_bytes=20_000, index_interval_bytes=512, segment_index_bytes=1200)

    def open_log(recovery_point: int, *, clean: bool) -> PartitionLog:
        return PartitionLog.open(
            storage,
            str(directory),
            "t",
            0,
            config,
            now_ms=NOW,
            clean_shutdown=clean,
            recovery_point=recovery_point,
            log_start_offset=7,
            producer_expiration_ms=1 << 60,
        )

    log = open_log(end, clean=True)
    log.release_files()
    ours = describe(log, *times)
    theirs = ask_kafka(directory, state, end if state == "clean" else end - 100, 7, 50, *times)
    if state == "unclean":
        # it names the recovery point that it was given, and its scan is of the same batches
        theirs[0] = theirs[0].replace(f" {end - 100} ", f" {end} ")
    assert theirs == ours

    log = open_log(end + 100, clean=state == "clean")
    assert log.log_end_offset == end + 100
    again = describe(log)
    assert [line for line in again if line.startswith("batch")][: len(ours)] != []
    assert [line for line in again if line.startswith(("producer", "aborted"))] == [
        line for line in ours if line.startswith(("producer", "aborted"))
    ]
    assert log.leader_epoch == 9
    log.roll(NOW)
    log.close(NOW)
    assert describe(open_log(end + 100, clean=True))[1:] == again[1:]
