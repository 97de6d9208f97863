"""Random damage: dump and check never fail on it, a changed bit inside a batch is always found, and what the check says
the next start will do is what it does."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from broker.inspect.check import Checker
from broker.inspect.entries import DumpOptions, entries
from broker.inspect.files import files_of
from broker.inspect.findings import Finding, Severity, Totals
from broker.inspect.partition_check import PartitionCheck, PartitionFacts
from broker.inspect.text import entry_text
from log.partition_log import PartitionLog
from log.storage import RealStorage
from tests.broker.inspect.data import NOW, SMALL, flip, segments

QUICK = settings(
    max_examples=settings.default.max_examples // 2,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def check_partition(directory: Path, *, clean: bool = True, recovery_point: int = 0) -> list[Finding]:
    """Of a topic that is not compacted."""
    found: list[Finding] = []
    facts = PartitionFacts("rich-0", compact=False, clean=clean, recovery_point=recovery_point)
    PartitionCheck(str(directory), facts, found.append, Totals(), lambda _bytes, _file: None).run()
    return found


def dump_all(directory: Path) -> None:
    for file in files_of(str(directory)):
        for entry in entries(file, DumpOptions(records=True, raw=True)):
            assert entry_text(entry)


def fresh(original: Path, tmp_path: Path) -> Path:
    target = tmp_path / "rich-0"
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(original, target)
    return target


@QUICK
@given(seed=st.integers(0, 1 << 40), bit=st.integers(0, 7))
def test_a_bit_inside_a_batch_is_always_found(seed: int, bit: int, partition_original: Path, tmp_path: Path) -> None:
    directory = fresh(partition_original, tmp_path)
    logs = [path for path in segments(directory) if path.stat().st_size]
    path = logs[seed % len(logs)]
    position = seed // len(logs) % path.stat().st_size
    flip(path, position, bit)
    found = [finding for finding in check_partition(directory) if finding.severity is Severity.ERROR]
    assert found, f"bit {bit} of byte {position} of {path.name}"
    dump_all(directory)


@QUICK
@given(data=st.data())
def test_damage_anywhere_never_ends_in_an_error(data: st.DataObject, partition_original: Path, tmp_path: Path) -> None:
    directory = fresh(partition_original, tmp_path)
    files = [path for path in sorted(directory.iterdir()) if path.stat().st_size]
    for _ in range(data.draw(st.integers(1, 4))):
        path = data.draw(st.sampled_from(files))
        whole = bytearray(path.read_bytes())
        at = data.draw(st.integers(0, max(len(whole) - 1, 0)))
        kind = data.draw(st.sampled_from(["flip", "write", "cut", "insert", "append"]))
        if kind == "flip" and whole:
            whole[at] ^= 1 << data.draw(st.integers(0, 7))
        elif kind == "write":
            rubbish = data.draw(st.binary(min_size=1, max_size=40))
            whole[at : at + len(rubbish)] = rubbish
        elif kind == "cut":
            del whole[at:]
        elif kind == "insert":
            whole[at:at] = data.draw(st.binary(min_size=1, max_size=40))
        else:
            whole += bytes(data.draw(st.integers(1, 200)))
        path.write_bytes(whole)
    for clean in (True, False):
        for finding in check_partition(directory, clean=clean):
            assert finding.what
            assert finding.plain()["why"]
    Checker(lambda _finding: None, live=True).check([str(directory)])
    dump_all(directory)


@settings(QUICK, max_examples=settings.default.max_examples // 4)
@given(data=st.data())
def test_damage_around_the_partitions_never_ends_in_an_error(
    data: st.DataObject, clean_original: Path, tmp_path: Path
) -> None:
    directory = tmp_path / "data"
    shutil.rmtree(directory, ignore_errors=True)
    shutil.copytree(clean_original, directory)
    files = [path for path in sorted(directory.rglob("*")) if path.is_file() and "rich" not in str(path)]
    for _ in range(data.draw(st.integers(1, 6))):
        path = data.draw(st.sampled_from(files))
        whole = bytearray(path.read_bytes())
        at = data.draw(st.integers(0, max(len(whole) - 1, 0)))
        whole[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=5))
        path.write_bytes(whole)
    Checker(lambda finding: finding.plain()).check([str(directory)])
    dump_all(directory)


@QUICK
@given(seed=st.integers(0, 1 << 40), bit=st.integers(0, 7), recovery=st.integers(0, 400))
def test_the_next_start_does_what_the_check_says(
    seed: int, bit: int, recovery: int, partition_original: Path, tmp_path: Path
) -> None:
    directory = fresh(partition_original, tmp_path)
    logs = [path for path in segments(directory) if path.stat().st_size]
    path = logs[seed % len(logs)]
    position = seed // len(logs) % path.stat().st_size
    whole = sum(1 for _ in records_of(directory))
    flip(path, position, bit)
    readable = sum(1 for _ in records_of(directory))
    told = check_partition(directory, clean=False, recovery_point=recovery)
    end, lost = None, 0
    for finding in told:
        match = re.search(r"truncates rich-0 at offset (\d+)", finding.repair)
        if match:
            end = int(match[1])
            records = re.search(r"(\d+) readable record", finding.repair)
            lost = int(records[1]) if records else 0
            break
    log = PartitionLog.open(
        RealStorage(),
        str(directory),
        "rich",
        0,
        SMALL,
        now_ms=NOW,
        topic_id=bytes(range(16)),
        clean_shutdown=False,
        recovery_point=recovery,
        log_start_offset=0,
    )
    assert whole >= readable
    left = sum(1 for _ in records_of(directory))
    if end is not None:
        assert log.log_end_offset == end
        assert left == readable - lost
    else:
        assert left == readable, "nothing was told of a truncation"


def records_of(directory: Path) -> list[int]:
    """The offsets of the records in batches whose CRC is right."""
    found = []
    for file in files_of(str(directory)):
        if file.kind.value == "log":
            sound = False
            for entry in entries(file, DumpOptions(records=True)):
                if entry["type"] == "batch":
                    sound = entry["crc_ok"]
                elif entry["type"] == "record" and sound:
                    found.append(entry["offset"])
    return found


@pytest.mark.parametrize("size", [0, 1, 7, 60, 61, 100])
def test_short_files_are_read(size: int, tmp_path: Path) -> None:
    directory = tmp_path / "t-0"
    directory.mkdir()
    for suffix in (".log", ".index", ".timeindex", ".txnindex", ".snapshot"):
        (directory / f"{0:020d}{suffix}").write_bytes(b"\x01" * size)
    for name in ("leader-epoch-checkpoint", "partition.metadata", "quorum-state"):
        (directory / name).write_bytes(b"\xff" * size)
    found = check_partition(directory, clean=False)
    assert bool(found) == (size > 0) or found
    dump_all(directory)
