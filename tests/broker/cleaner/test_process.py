"""The worker process: what it is told, what it tells, and how it ends."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.cleaner import protocol
from broker.cleaner.process import ProcessRun, ProcessRunner, end_worker, start_worker
from broker.cleaner.runner import WorkerGoneError
from broker.cleaner.throttle import Throttle
from broker.clock import ManualClock
from kwire.records import RecordBatchBuilder
from log.compaction.job import CleanedGroup, CleaningError, CleaningJob, CleaningResult, CleaningStats
from log.config import LogConfig
from log.partition_log import PartitionLog
from log.storage import RealStorage
from tests.broker.cleaner.cleaner_world import Threads

NOW = 1_700_000_000_000
LIMIT_S = 30


def job_for(directory: Path) -> CleaningJob:
    """A log of three keys in several segments, closed again."""
    config = LogConfig(cleanup_policy=("compact",), segment_bytes=300)
    log = PartitionLog.open(RealStorage(), str(directory), "t", 0, config, now_ms=NOW)
    for number in range(12):
        builder = RecordBatchBuilder()
        builder.append(b"%d" % (number % 3), b"." * 50, timestamp=NOW)
        log.append_as_leader(memoryview(builder.build()), leader_epoch=0, now_ms=NOW)
    log.flush(NOW)
    wanted = log.to_clean(None, NOW).wanted
    job = log.cleaning_job(wanted, NOW, map_bytes=1 << 20, map_load_factor=0.9, io_buffer_bytes=4096)()
    log.close(NOW)
    return job


def runner() -> tuple[ProcessRunner, ManualClock]:
    clock = ManualClock()
    return ProcessRunner(clock, Threads().run), clock


def finish(run: ProcessRun) -> list[CleanedGroup | CleaningResult]:
    found = []
    while not found or not isinstance(found[-1], CleaningResult):
        found.append(run.next().result())
    return found


def test_jobs_one_after_the_other_in_one_process_that_ends_when_idle(tmp_path: Path) -> None:
    workers, clock = runner()
    pids = []
    for number in range(2):
        run = workers.start(job_for(tmp_path / f"t-{number}"), 1e300)
        messages = finish(run)
        result = messages[-1]
        assert isinstance(result, CleaningResult)
        assert list(result.groups) == messages[:-1]
        assert result.stats.records_written < result.stats.records_read
        for group in result.groups:
            assert (tmp_path / f"t-{number}" / f"{group.base_offset:020d}.log.cleaned").exists()
        pids.append(workers.pids)
        run.kill()
        run.wait()
    assert pids[0] == pids[1]
    assert len(pids[0]) == 1
    clock.advance(59_000)
    assert workers.pids == pids[0]
    clock.advance(1_000)
    assert not workers.pids
    with pytest.raises(ProcessLookupError):
        os.kill(pids[0][0], 0)


def test_a_worker_ends_when_nobody_writes_to_it_any_more() -> None:
    process = start_worker()
    assert process.stdin is not None
    process.stdin.close()
    assert process.wait(LIMIT_S) == 0
    end_worker(process)


def test_a_worker_at_work_ends_with_its_broker(tmp_path: Path) -> None:
    """Its input ends when the broker is killed; what it does then is of no use."""
    process = start_worker()
    assert process.stdin is not None
    process.stdin.write(protocol.encode_job(job_for(tmp_path / "t-0"), 1.0))
    process.stdin.close()
    assert process.wait(LIMIT_S) == 0
    end_worker(process)


def test_a_killed_one_tells_nothing_and_is_gone(tmp_path: Path) -> None:
    workers, _ = runner()
    run = workers.start(job_for(tmp_path / "t-0"), 1e300)
    run.kill()
    with pytest.raises(WorkerGoneError):
        run.next().result()
    run.wait()
    assert not workers.pids


def test_close_kills_busy_and_idle_ones(tmp_path: Path) -> None:
    workers, _ = runner()
    first = workers.start(job_for(tmp_path / "t-0"), 1e300)
    finish(first)
    (pid,) = workers.pids
    workers.close()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_what_goes_wrong_is_told(tmp_path: Path) -> None:
    workers, _ = runner()
    with pytest.raises(FileNotFoundError):
        workers.start(CleaningJob(**_fields(job_for(tmp_path / "t-0"), str(tmp_path / "gone"))), 1e300).next().result()
    job = job_for(tmp_path / "t-1")
    path = tmp_path / "t-1" / "00000000000000000000.log"
    data = bytearray(path.read_bytes())
    data[16] = 9  # no such magic
    path.write_bytes(data)
    with pytest.raises(CleaningError):
        workers.start(job, 1e300).next().result()
    assert len(workers.pids) <= 2
    workers.close()


def _fields(job: CleaningJob, directory: str) -> dict[str, object]:
    return {name: getattr(job, name) for name in CleaningJob.__slots__ if name != "__weakref__"} | {
        "directory": directory
    }


def test_the_lowest_priority() -> None:
    process = start_worker()
    try:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(b"nonsense\n")
        process.stdin.flush()
        assert b"unexpected" in process.stdout.readline()
        assert os.getpriority(os.PRIO_PROCESS, process.pid) == 19
        assert os.getsid(process.pid) != os.getsid(0)
    finally:
        end_worker(process)
    assert isinstance(process, subprocess.Popen)


groups = st.builds(
    CleanedGroup,
    st.integers(0, 2**62),
    st.lists(st.integers(0, 2**62), max_size=5).map(tuple),
    st.integers(0, 2**31),
    st.integers(-1, 2**62),
    st.booleans(),
    st.integers(0, 2**50),
)


@given(groups)
def test_a_group_travels(group: CleanedGroup) -> None:
    assert protocol.decode_message(protocol.encode_group(group)) == group


@given(st.integers(0, 2**62), st.lists(groups, max_size=3).map(tuple))
def test_a_result_travels(end_offset: int, done: tuple[CleanedGroup, ...]) -> None:
    result = CleaningResult(end_offset, done, CleaningStats(bytes_read=7))
    assert protocol.decode_message(protocol.encode_result(result)) == result


@given(st.binary(max_size=60))
def test_any_other_line_is_refused(line: bytes) -> None:
    with pytest.raises((ValueError, CleaningError, OSError)):
        protocol.decode_message(line)


@pytest.mark.parametrize("line", [b"1", b"[]", b"{}", b'{"group":1}', b'{"result":{}}', b'{"failure":1}'])
def test_other_json_is_refused(line: bytes) -> None:
    with pytest.raises((ValueError, CleaningError)):
        protocol.decode_message(line)


def test_the_throttle_keeps_the_rate() -> None:
    throttle = Throttle(1000.0, 0.0)
    now_ms = 0.0
    for _ in range(100):
        now_ms += throttle.note(50, now_ms)
    assert 4_900 <= now_ms <= 5_100
    # a rest is not saved up for ever
    now_ms += 60_000
    assert throttle.note(1000, now_ms) >= 600
    assert Throttle(1.7e308, 0.0).note(10**9, 0.0) == 0.0
    assert Throttle(0.0, 0.0).note(1, 0.0) > 0
