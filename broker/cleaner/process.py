"""Worker processes: started when there is something to clean, one for each cleaning at a time, ended when idle."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Final

from broker.cleaner import protocol
from broker.cleaner.runner import Message, Run, RunInThread, WorkerGoneError
from log.compaction.job import CleaningError, CleaningJob, CleaningResult

if TYPE_CHECKING:
    from broker.clock import Clock, Timer
    from broker.deferred import Deferred

_MAIN: Final = str(Path(__file__).with_name("worker_main.py"))
# A log that is written to all the time is cleaned again soon; a process at rest holds some 30 MB.
_IDLE_MS: Final = 60_000
_END_S: Final = 5.0


def start_worker() -> subprocess.Popen[bytes]:
    """A worker that waits for jobs. Raises OSError."""
    return subprocess.Popen(
        [sys.executable, "-I", _MAIN, json.dumps(sys.path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,  # Ctrl-C in a terminal is for the broker, which ends its workers
    )


class ProcessRun:
    """One job in a worker process. ``next`` and ``kill`` on the loop; starting and reading in threads."""

    def __init__(self, owner: ProcessRunner, job: CleaningJob, bytes_per_second: float) -> None:
        self._owner = owner
        self._line = protocol.encode_job(job, bytes_per_second)
        self._sent = False
        self._killed = False
        self._lock = Lock()
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """The worker's, once it runs."""
        return None if self.process is None else self.process.pid

    def next(self) -> Deferred[Message]:
        return self._owner.run_in_thread(self._next)

    def _next(self) -> Message:
        process = self.process
        if process is None:
            process = self._owner.take_idle() or start_worker()
            with self._lock:
                self.process = process
                if self._killed:
                    process.kill()
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            if not self._sent:
                self._sent = True
                process.stdin.write(self._line)
                process.stdin.flush()
            line = process.stdout.readline()
        except BrokenPipeError:
            line = b""
        if not line.endswith(b"\n"):
            end_worker(process)
            raise WorkerGoneError(f"the worker has ended with code {process.returncode}")
        try:
            message = protocol.decode_message(line)
        except (CleaningError, OSError):
            self._owner.give_idle(self)
            raise
        if isinstance(message, CleaningResult):
            self._owner.give_idle(self)
        return message

    def kill(self) -> None:
        self._owner.forget(self)
        with self._lock:
            self._killed = True
            if self.process is not None:
                self.process.kill()

    def wait(self) -> None:
        if self.process is not None:
            end_worker(self.process)

    def release(self) -> subprocess.Popen[bytes] | None:
        """The job is done: the process may have another one. None when it was killed."""
        with self._lock:
            process, self.process = self.process, None
            return None if self._killed else process


def end_worker(process: subprocess.Popen[bytes]) -> None:
    """Kill it, and wait until it is gone: what it was about to write is not written any more."""
    process.kill()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            try:
                pipe.close()
            except BrokenPipeError:
                continue
    process.wait(_END_S)


class ProcessRunner:
    """The workers of one broker."""

    def __init__(self, clock: Clock, run_in_thread: RunInThread) -> None:
        self._clock = clock
        self.run_in_thread = run_in_thread
        self._lock = Lock()
        self._idle: list[subprocess.Popen[bytes]] = []
        self._runs: set[ProcessRun] = set()
        self._timer: Timer | None = None
        self._closed = False

    def start(self, job: CleaningJob, bytes_per_second: float) -> Run:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._clock.call_later(_IDLE_MS, self._end_idle)
        run = ProcessRun(self, job, bytes_per_second)
        self._runs.add(run)
        return run

    def take_idle(self) -> subprocess.Popen[bytes] | None:
        """A worker without a job. Called in threads."""
        with self._lock:
            while self._idle:
                process = self._idle.pop()
                if process.poll() is None:
                    return process
                end_worker(process)
        return None

    def give_idle(self, run: ProcessRun) -> None:
        """The run is done with its process. Called in threads."""
        process = run.release()
        with self._lock:
            if process is not None and not self._closed:
                self._idle.append(process)
                return
        if process is not None:
            end_worker(process)

    def _end_idle(self) -> None:
        self._timer = None
        if any(run.process is not None for run in self._runs):
            self._timer = self._clock.call_later(_IDLE_MS, self._end_idle)
            return
        with self._lock:
            idle, self._idle = self._idle, []
        for process in idle:
            end_worker(process)

    def forget(self, run: ProcessRun) -> None:
        """It is over."""
        self._runs.discard(run)

    @property
    def pids(self) -> list[int]:
        """Of all workers, busy and idle."""
        return [run.pid for run in self._runs if run.pid is not None] + [process.pid for process in self._idle]

    def close(self) -> None:
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        for run in list(self._runs):
            run.kill()
        with self._lock:
            idle, self._idle = self._idle, []
        for process in idle:
            end_worker(process)
