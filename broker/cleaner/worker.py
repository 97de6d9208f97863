"""The process that cleans logs: jobs come in as lines of JSON, groups and results go out  (see ``protocol.py``).

It writes nothing but ``.cleaned`` files and may be killed at any time. It ends by itself when its standard input ends,
which it does at the latest when the broker's process is gone. It runs at the lowest priority: it shall not be felt.
"""

from __future__ import annotations

import os
import sys
from queue import SimpleQueue
from threading import Event, Thread
from typing import BinaryIO, Final

from broker.cleaner import protocol
from broker.cleaner.throttle import Throttle
from broker.clock import real_monotonic_ms
from log.compaction.cleaning import clean
from log.compaction.job import CleanedGroup, CleaningError, CleaningHooks
from log.storage import RealStorage

_NICENESS: Final = 19


class WorkerHooks(CleaningHooks):
    """Throttles, and tells of groups as soon as they are done."""

    def __init__(self, bytes_per_second: float, out: BinaryIO) -> None:
        self._throttle = Throttle(bytes_per_second, real_monotonic_ms())
        self._out = out
        self._never = Event()

    def moved(self, size_bytes: int) -> None:
        wait_ms = self._throttle.note(size_bytes, real_monotonic_ms())
        if wait_ms > 0:
            self._never.wait(wait_ms / 1000.0)

    def group_done(self, group: CleanedGroup) -> None:
        send(self._out, protocol.encode_group(group))


def send(out: BinaryIO, line: bytes) -> None:
    out.write(line)
    out.flush()


def work(line: bytes, out: BinaryIO) -> None:
    """Do one job and tell how it ended."""
    try:
        job, bytes_per_second = protocol.decode_job(line)
        result = clean(RealStorage(), job, WorkerHooks(bytes_per_second, out))
    except CleaningError as error:
        send(out, protocol.encode_failure(protocol.UNCLEANABLE, str(error)))
    except OSError as error:
        send(out, protocol.encode_failure(protocol.STORAGE, str(error), error.errno or 0))
    except Exception as error:
        send(out, protocol.encode_failure(protocol.UNEXPECTED, f"{type(error).__name__}: {error}"))
    else:
        send(out, protocol.encode_result(result))


def main() -> None:
    """Until the input ends."""
    os.nice(_NICENESS)
    jobs: SimpleQueue[bytes] = SimpleQueue()

    def listen() -> None:
        for line in sys.stdin.buffer:
            jobs.put(line)
        os._exit(0)  # whatever is under way: nobody wants it any more

    Thread(target=listen, daemon=True).start()
    out = sys.stdout.buffer
    while True:
        try:
            work(jobs.get(), out)
        except BrokenPipeError:
            os._exit(0)
