"""The seam between requests and storage: the partitions of one cluster, by name or by topic id.

A partition is in the image before it is on disk: its log is opened at the first write or read. A partition knows who
waits for it: fetches that want more bytes (`watch`), and answers that want a commit (`committed`).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Protocol

from broker.deferred import Deferred
from kwire.error_codes import ErrorCode
from kwire.errors import ApiError
from log.append_validation import AppendOrigin

if TYPE_CHECKING:
    from broker.clock import Clock
    from log.partition_log import AppendInfo, PartitionLog

logger = logging.getLogger("kwire.partitions")


class OpenLog(Protocol):
    """Opens the log of a partition, creating its directory when it is not there."""

    def __call__(self, topic: str, topic_id: bytes, index: int) -> PartitionLog: ...


class Watcher(Protocol):
    """Somebody who waits for more bytes (a parked fetch)."""

    def grown(self, partition: Partition) -> None: ...


class Partition:
    """One partition led by this broker.

    Its high watermark follows the log's end at once when the page cache is the promise; where `flush.messages` or
    `flush.ms` ask for more, it follows the fsyncs.
    """

    __slots__ = (
        "_clock",
        "_commit_waiters",
        "_flushing",
        "_log",
        "_owner",
        "_watchers",
        "index",
        "is_internal",
        "leader_epoch",
        "topic",
        "topic_id",
    )

    def __init__(self, owner: Partitions, topic: str, topic_id: bytes, index: int, leader_epoch: int) -> None:
        self._owner = owner
        self._clock = owner.clock
        self.topic = topic
        self.topic_id = topic_id
        self.index = index
        self.leader_epoch = leader_epoch
        self.is_internal = topic in owner.internal_topics
        self._log: PartitionLog | None = None
        # Keyed by who watches: leaving is O(1) however many fetches wait at the same tail.
        self._watchers: dict[Watcher, None] = {}
        self._commit_waiters: list[tuple[int, Deferred[None]]] = []
        self._flushing = False

    @property
    def log(self) -> PartitionLog:
        """Opened when first asked for. Raises ApiError(KAFKA_STORAGE_ERROR) when it cannot be."""
        opened = self._log
        if opened is None:
            try:
                opened = self._log = self._owner.open_log(self.topic, self.topic_id, self.index)
            except OSError as error:
                logger.error("cannot open the log of %s-%d: %s", self.topic, self.index, error)
                raise ApiError(ErrorCode.KAFKA_STORAGE_ERROR, str(error)) from error
        return opened

    @property
    def opened(self) -> PartitionLog | None:
        """The log if it is open."""
        return self._log

    @property
    def high_watermark(self) -> int:
        return self.log.high_watermark

    @property
    def log_start_offset(self) -> int:
        return self.log.log_start_offset

    def check_leader_epoch(self, epoch: int) -> None:
        """A client's idea of the leader epoch (-1: none). Raises ApiError when it is behind or ahead.  (KIP-320)"""
        if epoch >= 0 and epoch != self.leader_epoch:
            raise ApiError(
                ErrorCode.FENCED_LEADER_EPOCH if epoch < self.leader_epoch else ErrorCode.UNKNOWN_LEADER_EPOCH
            )

    # -- writing

    def append(self, records: memoryview | bytes, origin: AppendOrigin = AppendOrigin.CLIENT) -> AppendInfo:
        """Append; readers see it, and `committed` is done, when the commit rule holds.

        Raises RecordsRejectedError, ApiError, CorruptRecordsError.
        """
        partition_log = self.log
        info = partition_log.append_as_leader(
            memoryview(records), leader_epoch=self.leader_epoch, now_ms=self._clock.now_ms(), origin=origin
        )
        if not info.duplicate:
            if partition_log.flush_due:
                self._flush_in_thread()
            elif not self._flushing:
                partition_log.advance_high_watermark(partition_log.log_end_offset)
                if self._watchers:
                    self._wake()
        return info

    def committed(self, offset: int) -> Deferred[None]:
        """Done when the high watermark has reached `offset`; fails with ApiError when it cannot."""
        done: Deferred[None] = Deferred()
        if self.log.high_watermark >= offset:
            done.resolve(None)
        else:
            self._commit_waiters.append((offset, done))
        return done

    def flush_soon(self) -> None:
        """Begin an fsync unless one is under way (flush.ms, log.flush.interval)."""
        if self._log is not None:
            self._flush_in_thread()

    def _flush_in_thread(self) -> None:
        """One fsync at a time; whoever came in meanwhile shares the next one."""
        if self._flushing:
            return
        partition_log = self.log
        work = partition_log.begin_flush()
        if work is None:
            self._committed_to(partition_log.log_end_offset)
            return
        self._flushing = True

        def finished(done: Deferred[None]) -> None:
            self._flushing = False
            try:
                done.result()
            except OSError as error:
                partition_log.flush_failed(error)
                self._fail_waiters(ApiError(ErrorCode.KAFKA_STORAGE_ERROR, str(error)))
                return
            partition_log.flushed(work.up_to)
            self._committed_to(work.up_to)
            if partition_log.flush_due:
                self._flush_in_thread()
            elif partition_log.log_end_offset > partition_log.high_watermark:
                self._committed_to(partition_log.log_end_offset)

        self._owner.run_in_thread(work.run).add_callback(finished)

    def _committed_to(self, offset: int) -> None:
        self.log.advance_high_watermark(offset)
        waiters = self._commit_waiters
        if waiters:
            self._commit_waiters = [waiter for waiter in waiters if waiter[0] > offset]
            for up_to, done in waiters:
                if up_to <= offset:
                    done.resolve(None)
        self._wake()

    def _fail_waiters(self, error: ApiError) -> None:
        waiters, self._commit_waiters = self._commit_waiters, []
        for _, done in waiters:
            done.fail(error)
        self._wake()

    # -- waiting

    def watch(self, watcher: Watcher) -> None:
        """Call `watcher.grown(partition)` each time there may be more to read, until `unwatch`."""
        self._watchers[watcher] = None

    def unwatch(self, watcher: Watcher) -> None:
        self._watchers.pop(watcher, None)

    def _wake(self) -> None:
        for watcher in tuple(self._watchers):
            watcher.grown(self)

    def close(self) -> None:
        """The topic is gone or the broker stops: nobody waits any longer."""
        self._fail_waiters(ApiError(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION))


class Partitions:
    """All partitions this node leads."""

    def __init__(
        self,
        clock: Clock,
        open_log: OpenLog,
        run_in_thread: Callable[[Callable[[], None]], Deferred[None]],
        internal_topics: frozenset[str],
        fetch_max_bytes: int,
    ) -> None:
        self.clock = clock
        self.open_log = open_log
        self.run_in_thread = run_in_thread
        self.internal_topics = internal_topics
        self.fetch_max_bytes = fetch_max_bytes
        self._by_name: dict[tuple[str, int], Partition] = {}
        self._by_id: dict[tuple[bytes, int], Partition] = {}
        self._topic_ids: dict[bytes, str] = {}

    def get(self, topic: str, index: int) -> Partition | None:
        return self._by_name.get((topic, index))

    def get_by_id(self, topic_id: bytes, index: int) -> Partition | None:
        return self._by_id.get((topic_id, index))

    def knows_topic_id(self, topic_id: bytes) -> bool:
        return topic_id in self._topic_ids

    def topic_name(self, topic_id: bytes) -> str | None:
        return self._topic_ids.get(topic_id)

    def __iter__(self) -> Iterator[Partition]:
        return iter(self._by_name.values())

    def __len__(self) -> int:
        return len(self._by_name)

    # -- what the controller's image says

    def add(self, topic: str, topic_id: bytes, index: int, leader_epoch: int) -> Partition:
        """A partition this node leads, new or with a new leader epoch."""
        partition = self._by_name.get((topic, index))
        if partition is not None and partition.topic_id == topic_id:
            partition.leader_epoch = leader_epoch
            return partition
        partition = Partition(self, topic, topic_id, index, leader_epoch)
        self._by_name[(topic, index)] = partition
        self._by_id[(topic_id, index)] = partition
        self._topic_ids[topic_id] = topic
        return partition

    def remove(self, topic: str, topic_id: bytes, index: int) -> Partition | None:
        """Forget a partition of a deleted topic; its log is the caller's to delete."""
        partition = self._by_name.get((topic, index))
        if partition is None or partition.topic_id != topic_id:
            return None
        del self._by_name[(topic, index)]
        del self._by_id[(topic_id, index)]
        partition.close()
        return partition

    def forget_topic(self, topic_id: bytes) -> None:
        self._topic_ids.pop(topic_id, None)
