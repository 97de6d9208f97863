"""Who does a cleaning for the broker: the seam between choosing and swapping (the loop) and the work itself.

``ProcessRunner`` (``process.py``) is what a broker uses. ``ThreadRunner`` serves storages that only exist in the
broker's memory, as those of the tests.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from queue import SimpleQueue
from typing import TYPE_CHECKING, Protocol, TypeAlias

from broker.deferred import Deferred
from log.compaction.job import (
    CleanedGroup,
    CleaningCancelledError,
    CleaningHooks,
    CleaningJob,
    CleaningResult,
    CleaningStats,
)

if TYPE_CHECKING:
    from log.storage import Storage

Message: TypeAlias = CleanedGroup | CleaningResult
RunInThread: TypeAlias = Callable[[Callable[[], Message]], Deferred[Message]]


class WorkerGoneError(Exception):
    """The one who did the cleaning has ended before it was done: killed, by the broker or somebody else."""


class Run(Protocol):
    """A cleaning under way."""

    def next(self) -> Deferred[Message]:
        """The next group that is ready to be swapped in, or the result, which is the last. One call at a time.

        Fails with ``CleaningError`` (the log cannot be cleaned), ``OSError``, ``WorkerGoneError``.
        """
        ...

    def kill(self) -> None:
        """End it now, at once and without waiting; ``next`` fails then. Fine when it is done already."""
        ...

    def wait(self) -> None:
        """Until nothing is written any more. Blocks shortly."""
        ...


class Runner(Protocol):
    def start(self, job: CleaningJob, bytes_per_second: float) -> Run: ...

    def close(self) -> None:
        """The broker stops: end whatever runs."""
        ...


class _Hooks(CleaningHooks):
    def __init__(self, run: ThreadRun) -> None:
        self._run = run

    def moved(self, size_bytes: int) -> None:
        if self._run.killed:
            raise CleaningCancelledError

    def progress(self, stats: CleaningStats) -> None:
        self.moved(0)

    def group_done(self, group: CleanedGroup) -> None:
        self._run.messages.put(group)
        self.moved(0)


class ThreadRun:
    """One job in a thread of the broker. Its groups are given out when the job is through."""

    def __init__(self, storage: Storage, job: CleaningJob, run_in_thread: RunInThread) -> None:
        self._storage = storage
        self._job = job
        self._run_in_thread = run_in_thread
        self._done: deque[Message] | None = None
        self.killed = False
        self.messages: SimpleQueue[Message] = SimpleQueue()

    def next(self) -> Deferred[Message]:
        return self._run_in_thread(self._next)

    def _next(self) -> Message:
        if self._done is None:
            from log.compaction.cleaning import clean

            self._done = deque()
            try:
                result = clean(self._storage, self._job, _Hooks(self))
            except CleaningCancelledError:
                raise WorkerGoneError("cancelled") from None
            while not self.messages.empty():
                self._done.append(self.messages.get())
            self._done.append(result)
        if self.killed:
            raise WorkerGoneError("cancelled")
        return self._done.popleft()

    def kill(self) -> None:
        self.killed = True

    def wait(self) -> None:
        """``next`` has come back by then: nothing runs."""


class ThreadRunner:
    """Cleans in threads of the broker's process, without throttle."""

    def __init__(self, storage: Storage, run_in_thread: RunInThread) -> None:
        self._storage = storage
        self._run_in_thread = run_in_thread

    def start(self, job: CleaningJob, bytes_per_second: float) -> Run:
        return ThreadRun(self._storage, job, self._run_in_thread)

    def close(self) -> None: ...
