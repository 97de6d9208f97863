"""The seam between requests and storage: the partitions of one cluster, by name or by topic id.

A partition is in the image before it is on disk: its log is opened at the first write or read. A partition knows who
waits for it: fetches that want more bytes (`watch`), and answers that want a commit (`committed`).
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol, cast

from broker.deferred import Deferred
from kwire.error_codes import ErrorCode
from kwire.errors import ApiError
from log.append_validation import AppendOrigin
from log.config import CommitRule

if TYPE_CHECKING:
    from broker.clock import Clock
    from broker.controller.image import ClusterImage, TopicImage
    from broker.nodes.followers import Followers
    from broker.nodes.hints import LeaderHints
    from log.partition_log import AppendInfo, PartitionLog
    from log.storage import Bytes
    from log.verification import VerificationGuard

logger = logging.getLogger("kwire.partitions")


class OpenLog(Protocol):
    """Opens the log of a partition, creating its directory when it is not there."""

    def __call__(self, topic: TopicImage, index: int) -> PartitionLog: ...


class FindsPartitions(Protocol):
    """Where a partition is found by name: at one node, or at whichever node leads it."""

    def get(self, topic: str, index: int, /) -> Partition | None: ...


class Parked(Protocol):
    """A request that waits at partitions."""

    def finish(self) -> None: ...


class Replication(Protocol):
    """What the other replicas of a partition allow  (broker.nodes.replicas)."""

    def begin(self, partition: Partition, /) -> None:
        """A partition is led here from now on."""


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
        "_image",
        "_log",
        "_messages_before",
        "_messages_from",
        "_owner",
        "_watchers",
        "bytes_in",
        "bytes_out",
        "held",
        "index",
        "is_internal",
        "leader_epoch",
        "topic",
        "topic_id",
        "under_min_isr",
    )

    def __init__(self, owner: Partitions, topic: TopicImage, index: int, leader_epoch: int) -> None:
        self._owner = owner
        self._clock = owner.clock
        self._image = topic
        self.topic = topic.name
        self.topic_id = topic.topic_id
        self.index = index
        self.leader_epoch = leader_epoch
        self.is_internal = topic.is_internal
        self._log: PartitionLog | None = None
        # Bytes of records taken from clients and coordinators, and given to consumers (broker.metrics).
        self.bytes_in = 0
        self.bytes_out = 0
        self._messages_before = 0
        self._messages_from = 0
        # Keyed by who watches: leaving is O(1) however many fetches wait at the same tail.
        self._watchers: dict[Watcher, None] = {}
        self._commit_waiters: list[tuple[int, Deferred[None]]] = []
        self._flushing = False
        # Replicas in sync are behind, or too few: what is appended waits (broker.nodes.replicas). Never with one node.
        self.held = False
        self.under_min_isr = False

    @property
    def log(self) -> PartitionLog:
        """Opened when first asked for. Raises ApiError(KAFKA_STORAGE_ERROR) when it cannot be."""
        opened = self._log
        if opened is None:
            try:
                opened = self._log = self._owner.open_log(self._image, self.index)
            except OSError as error:
                logger.error("cannot open the log of %s-%d: %s", self.topic, self.index, error)
                raise ApiError(ErrorCode.KAFKA_STORAGE_ERROR, str(error)) from error
            self._messages_from = opened.log_end_offset - self._messages_before
            if self.held or opened.commit_rule is CommitRule.HELD:
                self._apply_hold(opened, opened.high_watermark)
        return opened

    @property
    def opened(self) -> PartitionLog | None:
        """The log if it is open."""
        return self._log

    @property
    def messages_in(self) -> int:
        """Records appended since it is led here. Told by the log's end, so that an append costs nothing for it."""
        if self._log is not None:
            self._messages_before = max(self._log.log_end_offset - self._messages_from, self._messages_before)
        return self._messages_before

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

    def append(
        self,
        records: Bytes,
        origin: AppendOrigin = AppendOrigin.CLIENT,
        guard: VerificationGuard | None = None,
        transaction_version: int = -1,
    ) -> AppendInfo:
        """Append; readers see it, and `committed` is done, when the commit rule holds.

        guard: for the first batch of a transaction here (`begin_verification`); transaction_version: for markers.
        Raises RecordsRejectedError, ApiError, CorruptRecordsError.
        """
        partition_log = self.log
        info = partition_log.append_as_leader(
            records,
            leader_epoch=self.leader_epoch,
            now_ms=self._clock.now_ms(),
            origin=origin,
            guard=guard,
            transaction_version=transaction_version,
        )
        self.bytes_in += len(records)
        if partition_log.commit_rule is CommitRule.FSYNC:
            if partition_log.high_watermark <= info.last_offset:
                self.flush_soon()
        else:
            if self._watchers:
                self._wake()
            if partition_log.config.flush_messages <= partition_log.unflushed:
                self.flush_soon()
        return info

    def begin_verification(
        self, producer_id: int, epoch: int, sequence: int, *, must_begin_at_zero: bool
    ) -> VerificationGuard | None:
        """What to show with the first batch of a transaction, taken before its coordinator is asked (KIP-890).

        None: the transaction is open here. Raises ApiError: INVALID_PRODUCER_EPOCH, KAFKA_STORAGE_ERROR.
        """
        return self.log.producers.begin_verification(
            producer_id, epoch, sequence, must_begin_at_zero=must_begin_at_zero, now_ms=self._clock.now_ms()
        )

    def drop_verification(self, producer_id: int, guard: VerificationGuard) -> None:
        """The coordinator says that it is not the transactional id's producer."""
        if self._log is not None:
            self._log.producers.drop_verification(producer_id, guard)

    def committed(self, offset: int, timeout_ms: int | None = None) -> Deferred[None]:
        """Done when the high watermark has reached `offset`; fails with ApiError when it cannot.

        timeout_ms: how long replicas may take (REQUEST_TIMED_OUT).
        """
        done: Deferred[None] = Deferred()
        if self.log.high_watermark >= offset:
            done.resolve(None)
        else:
            self._commit_waiters.append((offset, done))
            if self.held and timeout_ms is not None:
                timer = self._clock.call_later(timeout_ms, lambda: self._time_out(done))
                done.add_callback(lambda _: timer.cancel())
        return done

    def _time_out(self, done: Deferred[None]) -> None:
        self._commit_waiters = [waiter for waiter in self._commit_waiters if waiter[1] is not done]
        done.fail(ApiError(ErrorCode.REQUEST_TIMED_OUT))

    def flush_soon(self) -> None:
        """Fsync in a thread. One at a time: who comes in meanwhile shares the next one (group commit)."""
        partition_log = self._log
        if self._flushing or partition_log is None or partition_log.offline:
            return
        targets = partition_log.flush_targets()
        self._flushing = True

        def finished(done: Deferred[None]) -> None:
            self._flushing = False
            try:
                done.result()
            except OSError as error:
                logger.error("fsync of %s-%d failed, the partition is offline: %s", self.topic, self.index, error)
                self._fail_waiters(partition_log.flush_failed(error))
                return
            self._committed_to(partition_log.flushed(targets, self._clock.now_ms()))
            if self._commit_waiters:
                self.flush_soon()

        storage = partition_log.storage
        self._owner.run_in_thread(lambda: targets.run(storage)).add_callback(finished)

    def _committed_to(self, high_watermark: int) -> None:
        waiters = self._commit_waiters
        if waiters:
            self._commit_waiters = [waiter for waiter in waiters if waiter[0] > high_watermark]
            for offset, done in waiters:
                if offset <= high_watermark:
                    done.resolve(None)
        if self._watchers:
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

    def reopen(self) -> None:
        """The log was closed or replaced: it is opened anew when next used."""
        if self._log is not None and self._log.closed:
            _ = self.messages_in
            self._log = None

    def close(self, why: ErrorCode) -> None:
        """The topic is gone, led elsewhere, or the broker stops: nobody waits any longer."""
        self._fail_waiters(ApiError(why))
        if self._watchers:
            watching = cast("dict[object, None]", self._watchers)
            for parked in [each for each in self._owner.parked if each in watching]:
                parked.finish()

    def new_epoch(self, leader_epoch: int) -> None:
        """Led here as before, in a new epoch: who waits with the old one is told."""
        self.leader_epoch = leader_epoch
        self._wake()

    def lost_tail(self) -> None:
        """The log was cut: who waits for the commit of what is gone waits no longer."""
        end = self.log.log_end_offset
        lost = [done for offset, done in self._commit_waiters if offset > end]
        self._commit_waiters = [waiter for waiter in self._commit_waiters if waiter[0] <= end]
        for done in lost:
            done.fail(ApiError(ErrorCode.NOT_LEADER_OR_FOLLOWER))

    def hold(self, *, held: bool, under_min_isr: bool, replicated_to: int) -> None:
        """What the replicas in sync allow has changed.

        held: readers see nothing above `replicated_to`, which only goes up. under_min_isr: not even up to that, and
        who waits is told NOT_ENOUGH_REPLICAS_AFTER_APPEND.
        """
        if held and not self.held:
            self._owner.forget_shapes()  # requests are looked at one by one from now on
        self.held, self.under_min_isr = held, under_min_isr
        opened = self._log
        if opened is None or opened.closed:
            return
        self._apply_hold(opened, replicated_to)
        if under_min_isr:
            self._fail_waiters(ApiError(ErrorCode.NOT_ENOUGH_REPLICAS_AFTER_APPEND))
        else:
            self._committed_to(opened.high_watermark)

    def _apply_hold(self, opened: PartitionLog, replicated_to: int) -> None:
        if self.held:
            opened.commit_rule = CommitRule.HELD
            if not self.under_min_isr:
                opened.advance_high_watermark(replicated_to)
        elif opened.commit_rule is CommitRule.HELD:
            opened.commit_rule = opened.config.commit_rule
            if opened.commit_rule is CommitRule.PAGE_CACHE:
                opened.advance_high_watermark(opened.log_end_offset)
            else:
                self.flush_soon()


class Partitions:
    """All partitions this node leads, made from the image when first asked for."""

    def __init__(
        self,
        node_id: int,
        image: ClusterImage,
        clock: Clock,
        open_log: OpenLog,
        run_in_thread: Callable[[Callable[[], None]], Deferred[None]],
        fetch_max_bytes: int,
    ) -> None:
        self.node_id = node_id
        self.clock = clock
        self.open_log = open_log
        self.run_in_thread = run_in_thread
        self.fetch_max_bytes = fetch_max_bytes
        # Grows whenever a partition is forgotten: who keeps a Partition has to look whether it still is the one.
        self.generation = 0
        # Fetches that wait, to be answered when the broker stops.
        self.parked: dict[Parked, None] = {}
        # With several nodes: what replicas allow, partitions that others lead, whom clients are told to ask.
        self.replication: Replication | None = None
        self.followers: Followers | None = None
        self.hints: LeaderHints | None = None
        self._image = image
        # Of partitions that are no longer led here: messages and bytes in, bytes out.
        self.counted_before = [0, 0, 0]
        self._by_name: dict[tuple[str, int], Partition] = {}
        self._by_id: dict[tuple[bytes, int], Partition] = {}

    def get(self, topic: str, index: int) -> Partition | None:
        """By name; None when there is no such partition. Raises ApiError when another node leads it."""
        partition = self._by_name.get((topic, index))
        if partition is None:
            found = self._image.topic_by_name(topic)
            if found is not None:
                partition = self._create(found, index)
        return partition

    def get_by_id(self, topic_id: bytes, index: int) -> Partition | None:
        """By topic id, likewise."""
        partition = self._by_id.get((topic_id, index))
        if partition is None:
            found = self._image.topic_by_id(topic_id)
            if found is not None:
                partition = self._create(found, index)
        return partition

    def _create(self, topic: TopicImage, index: int) -> Partition | None:
        if not 0 <= index < len(topic.partitions):
            return None
        described = topic.partitions[index]
        if described.leader != self.node_id:
            raise ApiError(ErrorCode.NOT_LEADER_OR_FOLLOWER)
        partition = Partition(self, topic, index, described.leader_epoch)
        self._by_name[(topic.name, index)] = partition
        self._by_id[(topic.topic_id, index)] = partition
        if self.replication is not None:
            self.replication.begin(partition)
        return partition

    def made(self, topic: str, index: int) -> Partition | None:
        """The same if it is led here and somebody has asked for it."""
        return self._by_name.get((topic, index))

    def all_made(self) -> list[Partition]:
        """Those led here that somebody has asked for."""
        return list(self._by_name.values())

    def knows_topic_id(self, topic_id: bytes) -> bool:
        return self._image.topic_by_id(topic_id) is not None

    def answer_parked(self) -> None:
        """The broker stops: who waits gets what there is."""
        for parked in list(self.parked):
            parked.finish()

    def forget_all(self) -> None:
        """The node stops: nothing is led here any more."""
        for partition in list(self._by_name.values()):
            self._forget(partition, ErrorCode.NOT_LEADER_OR_FOLLOWER)
        if self.followers is not None:
            self.followers.forget_all()

    # -- what the image says

    def leader_changed(self, topic: TopicImage, index: int) -> bool:
        """A partition's state changed: the leader epoch, who leads it, or neither (in which directory it lies).

        False: this node leads it as before.
        """
        partition = self._by_name.get((topic.name, index))
        if partition is None:
            return True
        described = topic.partitions[index]
        if described.leader != self.node_id:
            self._forget(partition, ErrorCode.NOT_LEADER_OR_FOLLOWER)
            return True
        if partition.leader_epoch == described.leader_epoch:
            return False
        partition.new_epoch(described.leader_epoch)
        return True

    def topic_deleted(self, topic: TopicImage) -> None:
        """Nobody finds its partitions any more; their logs are the caller's to delete."""
        for index in range(len(topic.partitions)):
            partition = self._by_name.get((topic.name, index))
            if partition is not None:
                self._forget(partition, ErrorCode.UNKNOWN_TOPIC_OR_PARTITION)

    def forget_shapes(self) -> None:
        """Who keeps a Partition, to take requests a short way to it, has to find it again."""
        self.generation += 1

    def _forget(self, partition: Partition, why: ErrorCode) -> None:
        self.generation += 1
        del self._by_name[(partition.topic, partition.index)]
        del self._by_id[(partition.topic_id, partition.index)]
        for place, count in enumerate((partition.messages_in, partition.bytes_in, partition.bytes_out)):
            self.counted_before[place] += count
        partition.close(why)
