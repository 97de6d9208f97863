"""What every part of a partition log works on: offsets, segments, the switch to offline, epochs and rolls."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from kwire.error_codes import ErrorCode
from kwire.errors import ApiError
from log import recovery
from log.config import CommitRule, LogConfig
from log.leader_epochs import UNDEFINED_EPOCH, LeaderEpochs
from log.producer_entry import ProducerEntry
from log.producer_snapshots import ProducerSnapshots
from log.producer_state import ProducerStateManager
from log.segment import Segment
from log.segments import Segments, Tail
from log.storage import Storage, remove_if_exists

if TYPE_CHECKING:
    from log.log_cleaning import Cleaning
    from log.results import FlushTargets


class LogState:
    """See ``log.partition_log``, which puts the parts together."""

    """The log of one partition. Make one with :meth:`open`."""

    __slots__ = (
        "_closed_unsynced",
        "_directories_to_sync",
        "_failure",
        "_flushed_at_ms",
        "_jitter",
        "_paths_to_sync",
        "_tail",
        "_truncations",
        "_under_way",
        "cleaning",
        "closed",
        "commit_rule",
        "config",
        "directory",
        "epochs",
        "high_watermark",
        "log_end_offset",
        "log_start_offset",
        "name",
        "partition",
        "producers",
        "recovery_point",
        "segments",
        "snapshots",
        "storage",
        "topic",
        "touched",
    )

    def __init__(
        self,
        storage: Storage,
        directory: str,
        topic: str,
        partition: int,
        config: LogConfig,
        loaded: recovery.LoadedLog,
        *,
        now_ms: int,
        commit_rule: CommitRule,
        jitter: Callable[[int], int],
    ) -> None:
        self.storage = storage
        self.directory = directory
        self.topic = topic
        self.partition = partition
        self.name = f"{topic}-{partition}"
        self.config = config
        self.commit_rule = commit_rule
        self.segments: Segments = loaded.segments
        self.epochs: LeaderEpochs = loaded.epochs
        self.producers: ProducerStateManager = loaded.producers
        self.snapshots: ProducerSnapshots = loaded.snapshots
        self.log_start_offset = loaded.log_start_offset
        self.log_end_offset = loaded.log_end_offset
        self.recovery_point = loaded.recovery_point
        self.high_watermark = loaded.log_end_offset
        loaded.producers.high_watermark_advanced(loaded.log_end_offset)
        self.closed = False
        self.cleaning: Cleaning | None = None
        """The compaction under way."""
        self.touched = loaded.recovered
        self._truncations = 0
        self._closed_unsynced: list[Segment] = list(loaded.rebuilt)
        """Segments rolled away from since the last flush: their indexes are not synced."""
        self._jitter = jitter
        self._tail = Tail()
        self._failure: OSError | None = None
        self._flushed_at_ms = now_ms
        self._paths_to_sync: list[str] = []
        self._directories_to_sync: list[str] = list(loaded.new_directories)
        self._under_way: list[FlushTargets] = []

    def __repr__(self) -> str:
        return f"PartitionLog({self.name}, [{self.log_start_offset}, {self.log_end_offset}))"

    @property
    def leader_epoch(self) -> int:
        """The latest leader epoch known, -1 without one."""
        return self.epochs.latest_epoch

    def earliest_epoch(self, default: int = UNDEFINED_EPOCH) -> int:
        """The epoch at the log's start; ``default`` while no epoch is known, -1 when the first one begins later."""
        entries = self.epochs.entries
        if not entries:
            return default
        return entries[0].epoch if entries[0].start_offset <= self.log_start_offset else UNDEFINED_EPOCH

    def active_producers(self) -> list[ProducerEntry]:
        """What is known of every producer id that has not expired."""
        return list(self.producers.producers.values())

    def expire_producers(self, now_ms: int) -> int:
        """Forget producers idle for too long (``producer.id.expiration.check.interval.ms``); how many."""
        return self.producers.remove_expired(now_ms)

    @property
    def last_stable_offset(self) -> int:
        """What a read_committed reader may see: up to the first open transaction, at most the high watermark."""
        unstable = self.producers.first_unstable_offset
        if unstable is None or unstable >= self.high_watermark:
            return self.high_watermark
        return max(unstable, self.log_start_offset)

    @property
    def size_bytes(self) -> int:
        return self.segments.size_bytes

    @property
    def offline(self) -> bool:
        """An I/O error put the log out of service until it is opened again."""
        return self._failure is not None

    def _check_online(self) -> None:
        if self._failure is not None:
            raise self._storage_error(self._failure)
        if self.closed:
            raise ApiError(ErrorCode.KAFKA_STORAGE_ERROR, f"the log of {self.name} is closed")

    def _storage_error(self, error: OSError) -> ApiError:
        return ApiError(ErrorCode.KAFKA_STORAGE_ERROR, f"{self.name} in {self.directory}: {error}")

    def fail(self, error: OSError) -> ApiError:
        """Put the log out of service; the error to raise."""
        if self._failure is None:
            self._failure = error
        return self._storage_error(error)

    def advance_high_watermark(self, offset: int) -> int:
        """Readers may see what is below ``offset`` (at most the log's end; it never goes back). Returns the mark."""
        if offset > self.high_watermark:
            self.high_watermark = min(offset, self.log_end_offset)
            self.producers.high_watermark_advanced(self.high_watermark)
        return self.high_watermark

    def end_offset_for_epoch(self, epoch: int) -> tuple[int, int]:
        """(epoch, end offset) of the largest epoch at or below ``epoch``; (-1, -1) when unknown (KIP-101, KIP-279)."""
        return self.epochs.end_offset_for(epoch, self.log_end_offset)

    def assign_epoch(self, leader_epoch: int) -> None:
        """A leader epoch begins at the end of the log (an empty one too). Older epochs are passed over."""
        self._check_online()
        try:
            self._begin_epoch(leader_epoch, self.log_end_offset)
        except OSError as error:
            raise self.fail(error) from error

    def _begin_epoch(self, epoch: int, offset: int) -> None:
        self.epochs.assign(epoch, offset)
        self._sync_later(self.epochs.path)

    def _sync_later(self, path: str) -> None:
        if path not in self._paths_to_sync:
            self._paths_to_sync.append(path)

    def forget_unsynced(self, segments: list[Segment]) -> None:
        """Others, which are synced, took their place."""
        self._closed_unsynced = [segment for segment in self._closed_unsynced if segment not in segments]

    def _segment_jitter(self) -> int:
        limit = min(self.config.segment_jitter_ms, self.config.segment_ms)
        return self._jitter(limit) if limit > 0 else 0

    def roll(self, now_ms: int) -> Segment:
        """Begin a new segment at the end of the log; the old one's indexes are finished, the producers' state saved."""
        self._check_online()
        try:
            return self._roll(now_ms)
        except OSError as error:
            raise self.fail(error) from error

    def _roll(self, now_ms: int) -> Segment:
        active = self.segments.active
        base = self.log_end_offset
        if active.base_offset == base:
            if active.size == 0:
                return active
            raise ValueError(f"{self!r}: a segment with base offset {base} exists")
        active.close_for_appends()
        self._closed_unsynced.append(active)
        segment = self._new_segment(base, now_ms)
        self.segments.add(segment)
        self.touched = True
        self._tail.clear()
        self._take_snapshot(base)
        self._sync_directory_later()
        return segment

    def _new_segment(self, base: int, now_ms: int) -> Segment:
        return Segment.create(
            self.storage, self.directory, base, self.config, now_ms=now_ms, jitter_ms=self._segment_jitter()
        )

    def _sync_directory_later(self) -> None:
        if self.directory not in self._directories_to_sync:
            self._directories_to_sync.append(self.directory)

    def _drop(self, segment: Segment) -> None:
        self.segments.remove(segment)
        for file in segment.files():
            file.release()
            remove_if_exists(self.storage, file.path)
        self.snapshots.remove(segment.base_offset)

    def _take_snapshot(self, offset: int) -> None:
        path = self.snapshots.take(self.producers, offset)
        if path is not None:
            self._sync_later(path)
