"""A cleaned segment takes the place of those it was made of, so that a crash leaves either  (Kafka:
LocalLog.replaceSegments).

    prepare   thread  .cleaned (synced, its names too) -> .swap, synced: from here on a crash ends with the new segment
    adopt     loop    the log reads the new segment; the old ones' files are nobody's any more
    retire    thread  old files -> .deleted, synced
    settle    loop    .swap -> final name
    sync      thread  the directory

The order is Kafka's. Kafka syncs the directory once, at the end, and trusts the file system to keep the order of
renames; here each step is on the disk before the next, so that no file system can mix them. Threads do what blocks;
the loop does a handful of renames. Readers that hold ranges of old files keep them: a range holds the open file.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from enum import IntEnum
from threading import Lock
from typing import TYPE_CHECKING

from log.filenames import (
    CLEANED,
    DELETED,
    LOG,
    OFFSET_INDEX,
    PRODUCER_SNAPSHOT,
    SWAP,
    TIME_INDEX,
    TRANSACTION_INDEX,
    offset_name,
    parse_offset_name,
)
from log.results import DeferredDelete
from log.segment import Segment
from log.storage import Storage, remove_if_exists

if TYPE_CHECKING:
    from collections.abc import Sequence

    from log.log_cleaning import LogCleaning

_SUFFIXES = (LOG, OFFSET_INDEX, TIME_INDEX, TRANSACTION_INDEX)


class SwapAbortedError(Exception):
    """The log was closed, moved, deleted or truncated meanwhile: the cleaned segment is not put in place."""


class _Stage(IntEnum):
    BEGUN = 0
    PREPARED = 1
    ADOPTED = 2
    RETIRED = 3
    SETTLED = 4
    SYNCED = 5
    ABORTED = 6


class SegmentSwap:
    """One replacement. ``steps`` gives what is to be done, in order; ``run`` does it all at once, blocking.

    Steps raise ``SwapAbortedError`` or ``OSError``.
    """

    def __init__(self, log: LogCleaning, base_offset: int, sources: Sequence[int]) -> None:
        self._log = log
        self._storage: Storage = log.storage
        self._directory = log.directory
        self._base = base_offset
        self._sources = tuple(sources)
        self._old_paths: list[str] = []
        self._new: Segment | None = None
        self._stage = _Stage.BEGUN
        self._lock = Lock()
        self.deleted: DeferredDelete | None = None
        """Once settled: the old files, to be removed after ``file.delete.delay.ms``."""

    @property
    def steps(self) -> list[tuple[bool, Callable[[], None]]]:
        """Each with whether it blocks, and so belongs into a thread."""
        return [
            (True, self.prepare),
            (False, self.adopt),
            (True, self.retire),
            (False, self.settle),
            (True, self.sync),
        ]

    @property
    def adopted(self) -> bool:
        """Readers see the new segment."""
        return self._new is not None

    def run(self) -> None:
        """All of it now."""
        for _, step in self.steps:
            step()

    def _begin_step(self, before: _Stage) -> None:
        """To be called with the lock held."""
        if self._stage is not before:
            raise SwapAbortedError(f"{self._directory}: {self._stage.name.lower()}")

    # -- the steps

    def prepare(self) -> None:
        with self._lock:
            self._begin_step(_Stage.BEGUN)
            self._remove_stale()
            for suffix in _SUFFIXES:
                path = self._path(self._base, suffix)
                if suffix != TRANSACTION_INDEX or self._storage.exists(path + CLEANED):
                    self._storage.rename(path + CLEANED, path + SWAP)
            self._storage.sync_dir(self._directory)
            self._stage = _Stage.PREPARED

    def _remove_stale(self) -> None:
        """Who opens the directory takes a ``.swap`` file for unfinished when there is a ``.cleaned`` one below it."""
        stale = [
            name
            for name in self._storage.list_dir(self._directory)
            if name.endswith(CLEANED) and (file := parse_offset_name(name)) is not None and file.offset < self._base
        ]
        for name in stale:
            remove_if_exists(self._storage, f"{self._directory}/{name}")
        if stale:
            self._storage.sync_dir(self._directory)

    def adopt(self) -> None:
        with self._lock:
            self._begin_step(_Stage.PREPARED)
            log = self._log
            if log.offline or log.closed:
                raise SwapAbortedError(f"{self._directory}: not in service")
            sources = set(self._sources)
            old = [segment for segment in log.segments if segment.base_offset in sources]
            if len(old) != len(self._sources):
                raise SwapAbortedError(f"{self._directory}: a segment that was cleaned is gone")
            path = self._path(self._base, LOG) + SWAP
            self._new = Segment(
                self._storage,
                self._directory,
                self._base,
                size=self._storage.size(path),
                max_index_size=log.config.segment_index_bytes,
                has_transaction_index=self._storage.exists(self._path(self._base, TRANSACTION_INDEX) + SWAP),
                created_ms=old[-1].created_ms,
                suffix=SWAP,
            )
            for segment in old:
                for file in segment.files():
                    file.release()
                    self._old_paths.append(file.path)
                if segment.base_offset != self._base and segment.base_offset in log.snapshots.offsets:
                    log.snapshots.offsets.remove(segment.base_offset)
                    self._old_paths.append(self._path(segment.base_offset, PRODUCER_SNAPSHOT))
                log.segments.remove(segment)
            log.forget_unsynced(old)
            log.segments.add(self._new)
            self._stage = _Stage.ADOPTED

    def retire(self) -> None:
        with self._lock:
            self._begin_step(_Stage.ADOPTED)
            for path in self._old_paths:
                with suppress(FileNotFoundError):
                    self._storage.rename(path, path + DELETED)
            self._storage.sync_dir(self._directory)
            self._stage = _Stage.RETIRED

    def settle(self) -> None:
        with self._lock:
            self._begin_step(_Stage.RETIRED)
            assert self._new is not None
            for file in self._new.files():
                file.rename(file.path.removesuffix(SWAP))
            self._new.transaction_index.file.path = self._path(self._base, TRANSACTION_INDEX)
            self.deleted = DeferredDelete(
                [path + DELETED for path in self._old_paths], self._log.config.file_delete_delay_ms
            )
            self._stage = _Stage.SETTLED

    def sync(self) -> None:
        with self._lock:
            self._begin_step(_Stage.SETTLED)
            self._storage.sync_dir(self._directory)
            self._stage = _Stage.SYNCED

    # -- the end before the end

    def abort(self) -> None:
        """The log closes, or its files go elsewhere: undo what nobody has seen yet, else finish. Blocks.

        Waits for a step that is under way in a thread. Steps that come later raise ``SwapAbortedError``.
        """
        with self._lock:
            stage, self._stage = self._stage, _Stage.ABORTED
        if stage in (_Stage.BEGUN, _Stage.PREPARED):
            remove_leftovers(self._storage, self._directory)
            return
        for before, step in (
            (_Stage.ADOPTED, self.retire),
            (_Stage.RETIRED, self.settle),
            (_Stage.SETTLED, self.sync),
        ):
            if stage is before:
                self._stage = before
                step()
                stage = self._stage
        self._stage = _Stage.ABORTED

    def drop(self) -> None:
        """No further step; one that is under way in a thread is waited for."""
        with self._lock:
            self._stage = _Stage.ABORTED

    def _path(self, base_offset: int, suffix: str) -> str:
        return f"{self._directory}/{offset_name(base_offset, suffix)}"


def remove_leftovers(storage: Storage, directory: str) -> None:
    """Remove what an unfinished cleaning left in a directory whose log is open: ``.cleaned`` and ``.swap`` files.

    A ``.swap`` file that has no ``.cleaned`` one at or below it counts as complete for who opens the directory next. So
    the batches' file takes its first name again before anything goes, and goes last.
    """
    names = storage.list_dir(directory)
    swaps = [name for name in names if name.endswith(SWAP)]
    doomed = [name for name in names if name.endswith(CLEANED)]
    for name in swaps:
        if name.endswith(LOG + SWAP):
            back = name.removesuffix(SWAP) + CLEANED
            storage.rename(f"{directory}/{name}", f"{directory}/{back}")
            doomed.append(back)
    if swaps:
        storage.sync_dir(directory)
        for name in swaps:
            remove_if_exists(storage, f"{directory}/{name}")
        storage.sync_dir(directory)
    for name in doomed:
        remove_if_exists(storage, f"{directory}/{name}")
