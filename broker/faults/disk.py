"""Errors of the disk: the storage of a cluster asks before each operation, while a rule wants it to.

A storage in memory has `fail` for that (broker.virtual.storage). The file system's own (log.storage.RealStorage) asks
nothing per read or write: while a disk rule is there, what it opens is wrapped, and what is open is given back, to be
opened again.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Sequence
from threading import Lock
from typing import Any, Final, cast

from broker.clock import Clock
from broker.controller.names import CLUSTER_METADATA_TOPIC
from broker.faults.answers import Subject
from broker.faults.rules import Rule
from log.storage import Bytes, OpenFile, RealFile, RealStorage, Storage

_OPERATIONS: Final = {"append": "write", "read": "read", "sync": "sync"}
_LOG_SUFFIX: Final = ".log"
_ATTRIBUTE: Final = "fail"

Fail = Callable[[str, str], "OSError | None"]


class DiskFaults:
    """The disk rules of one cluster. `failure` may be called from threads: a sync runs in one."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._rules: Sequence[Rule] = ()
        self._lock = Lock()

    def use(self, rules: Sequence[Rule]) -> None:
        self._rules = tuple(rules)

    def failure(self, operation: str, path: str) -> OSError | None:
        """What an operation on a path is to fail with."""
        subject = subject_of(path)
        if subject is None or subject.topic == CLUSTER_METADATA_TOPIC:  # a broker without its metadata has no clients
            return None
        for rule in self._rules:
            with self._lock:
                error = self._of_rule(rule, operation, path, subject)
            if error is not None:
                return error
        return None

    def _of_rule(self, rule: Rule, operation: str, path: str, subject: Subject) -> OSError | None:
        if rule.spec.disk_full:
            number, wanted = errno.ENOSPC, operation == "write"
        else:
            number = errno.EIO
            wanted = any(_OPERATIONS[each] == operation for each in rule.spec.disk_error)
        if not wanted or (operation == "write" and not path.endswith(_LOG_SUFFIX)):
            return None
        if rule.is_over(self._clock.monotonic_ms(), self._clock.now_ms()) or not rule.fits_subject(subject):
            return None
        return OSError(number, f"{os.strerror(number)} (fault {rule})", path) if rule.take() else None


def subject_of(path: str) -> Subject | None:
    """The partition that a file belongs to: DIRECTORY/TOPIC-INDEX/FILE. None for other files."""
    directory = os.path.basename(os.path.dirname(path))
    topic, dash, index = directory.rpartition("-")
    if not dash or not topic or not index.isascii() or not index.isdecimal():
        return None
    return Subject(topic=topic, partition=int(index))


class AskingFile(RealFile):
    """A file that asks before it reads, writes or syncs, and is never sent from its descriptor."""

    __slots__ = ("_fail", "_path", "_real")

    def __init__(self, real: RealFile, path: str, fail: Fail) -> None:
        # The descriptor stays the other object's, which is closed with this one.
        self._real = real
        self._path = path
        self._fail = fail
        self.fd = -1

    def __del__(self) -> None:
        """Nothing of its own to close."""

    def _ask(self, operation: str) -> None:
        error = self._fail(operation, self._path)
        if error is not None:
            raise error

    def pwrite(self, data: Bytes, position: int) -> None:
        self._ask("write")
        self._real.pwrite(data, position)

    def pread(self, size: int, position: int) -> bytes:
        self._ask("read")
        return self._real.pread(size, position)

    def size(self) -> int:
        return self._real.size()

    def truncate(self, size: int) -> None:
        self._real.truncate(size)

    def sync(self) -> None:
        self._ask("sync")
        self._real.sync()

    def drop_cache(self) -> None:
        self._real.drop_cache()


def can_fail(storage: Storage) -> bool:
    """Whether `ask` works with this storage."""
    return isinstance(storage, RealStorage) or hasattr(storage, _ATTRIBUTE)


def ask(storage: Storage, fail: Fail | None) -> None:
    """Let a storage ask `fail` before each operation, or nobody (None)."""
    if isinstance(storage, RealStorage):
        storage.opener = None if fail is None else _opener(fail)
        for file in storage.cache.files():
            file.release()
    else:
        cast(Any, storage).fail = fail


def _opener(fail: Fail) -> Callable[[RealFile, str], OpenFile]:
    return lambda real, path: AskingFile(real, path, fail)
