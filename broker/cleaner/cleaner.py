"""Compacts logs: which one next, one cleaning for each of ``log.cleaner.threads``, the swap of what it made  (Kafka:
LogCleaner, LogCleanerManager).

The work itself is done elsewhere (``Runner``); here, on the loop, happens only what is short: choosing, taking the
job's facts from the log, and the in-memory part of a swap. What blocks goes to threads.

A cleaning ends early when its topic is deleted, moved or no longer compacted, when its log goes offline, and when the
worker dies: then what it left is removed, what was swapped in stays, and the log is looked at again after
``log.cleaner.backoff.ms``; after twice as long each time it fails again. A log that the cleaner does not understand is
left out from then on (uncleanable).
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from attrs import define, field

from broker.cleaner.runner import Run, Runner, WorkerGoneError
from broker.cleaner.settings import CleanerSettings
from broker.cleaner.stats import CleanerStats, LastCleaning
from broker.deferred import Deferred, resolved, start
from kwire.errors import ApiError
from log.compaction.cleanable import LogToClean
from log.compaction.job import CleanedGroup, CleaningError, CleaningResult
from log.filenames import LOG, partition_dir
from log.log_cleaning import Cleanable, Cleaning, SwapAbortedError
from log.retention_rounds import retention_of_compacted

if TYPE_CHECKING:
    from broker.clock import Clock
    from broker.config.broker_config import BrokerConfig
    from broker.partitions import FindsPartitions
    from log.checkpoints import TopicPartition
    from log.config import LogConfig
    from log.log_manager import LogManager
    from log.partition_log import PartitionLog
    from log.results import DeferredDelete

logger = logging.getLogger("kwire.cleaner")

# Logs looked at, and directories of logs that are not open, before other work has its turn.
_LOGS_AT_ONCE: Final = 25
_DIRECTORIES_AT_ONCE: Final = 10
_MOST_DOUBLINGS: Final = 6


@define(slots=True, eq=False)
class _Active:
    """A cleaning under way."""

    log: PartitionLog
    cleaning: Cleaning
    done: Deferred[None] = field(factory=Deferred)
    run: Run | None = None
    aborted: bool = False

    def abort(self) -> None:
        self.aborted = True
        if self.run is not None:
            self.run.kill()


class Cleaner:
    """Started when the broker serves, stopped before its logs are closed."""

    def __init__(
        self,
        config: BrokerConfig,
        clock: Clock,
        manager: LogManager,
        partitions: FindsPartitions,
        config_for: Callable[[str], LogConfig],
        run_in_thread: Callable[[Callable[[], Any]], Deferred[Any]],
        later: Callable[[Iterable[Any]], None],
        runner: Runner,
    ) -> None:
        """``later`` does delayed work (checkpoints, removal of files) in threads: ``Maintenance.later``."""
        self._config = config
        self._clock = clock
        self._manager = manager
        self._partitions = partitions
        self._config_for = config_for
        self._run_in_thread = run_in_thread
        self._later = later
        self._runner = runner
        self._active: dict[TopicPartition, _Active] = {}
        self._paused: dict[TopicPartition, int] = {}
        self._failures: dict[TopicPartition, int] = {}
        """How often in a row."""
        self._retry_at_ms: dict[TopicPartition, float] = {}
        self._unopened: deque[TopicPartition] = deque()
        self._slots: set[int] = set()
        self._resting: set[Callable[[], None]] = set()
        self._stopped = False
        self._unsubscribe: Callable[[], None] = lambda: None
        self.stats = CleanerStats()

    # -- start and stop

    @property
    def settings(self) -> CleanerSettings:
        return CleanerSettings.of(self._config)

    def start(self) -> None:
        if not self.settings.enabled:
            logger.info("log.cleaner.enable=false: compacted topics keep every record")
            self._stopped = True
            return
        self._unopened.extend(self._manager.partitions())
        self._unsubscribe = self._config.on_change(lambda _config: self._settings_changed())
        self._fill_slots()

    def stop(self) -> None:
        """No further cleaning; the workers are killed."""
        self._stopped = True
        self._unsubscribe()
        for active in list(self._active.values()):
            active.abort()
        self._runner.close()

    def _settings_changed(self) -> None:
        self._fill_slots()
        for wake in tuple(self._resting):
            wake()

    def _fill_slots(self) -> None:
        for slot in range(self.settings.threads):
            if slot not in self._slots and not self._stopped:
                self._slots.add(slot)
                self._clock.call_later(0, partial(self._start_slot, slot))

    def _start_slot(self, slot: int) -> None:
        start(self._work(slot))

    async def _work(self, slot: int) -> None:
        """What one of Kafka's cleaner threads does."""
        while not self._stopped and slot < self.settings.threads:
            cleaned = False
            try:
                candidate = await self._choose()
                cleaned = candidate is not None and await self._clean(*candidate)
                await self._retention()
            except Exception:
                logger.exception("unexpected error in the cleaner; it goes on after log.cleaner.backoff.ms")
            if not cleaned:
                await self._rest(self.settings.backoff_ms)
        self._slots.discard(slot)

    def _pause(self, ms: float) -> Deferred[None]:
        done: Deferred[None] = Deferred()
        self._clock.call_later(ms, lambda: done.resolve(None))
        return done

    def _rest(self, ms: float) -> Deferred[None]:
        """The back-off, which ends when settings change."""
        done: Deferred[None] = Deferred()

        def wake() -> None:
            timer.cancel()
            self._resting.discard(wake)
            done.resolve(None)

        timer = self._clock.call_again(ms, wake)
        self._resting.add(wake)
        return done

    async def _retention(self) -> None:
        """Old segments of compacted logs go here, so that no cleaning meets it (``compact,delete``, DeleteRecords)."""
        steps: Iterator[list[DeferredDelete]] = retention_of_compacted(
            self._manager, self._clock.now_ms(), at_once=_LOGS_AT_ONCE
        )
        for work in steps:
            if self._stopped:
                return
            self._later(work)
            await self._pause(0)

    # -- which log next

    async def _choose(self) -> tuple[PartitionLog, LogToClean] | None:
        """The dirtiest log that is dirty enough or overdue. (LogCleanerManager.grabFilthiestCompactedLog)"""
        await self._open_some()
        stats = self.stats
        stats.last_run_ms = now_ms = self._clock.now_ms()
        best: PartitionLog | None = None
        most = highest = 0.0
        longest_ms = 0
        for number, log in enumerate(self._manager.open_logs(), 1):
            if number % _LOGS_AT_ONCE == 0:
                await self._pause(0)
            found = self._look_at(log, now_ms)
            if found is None:
                continue
            ratio = found.wanted.cleanable_ratio
            highest = max(highest, ratio)
            longest_ms = max(longest_ms, found.overdue_ms)
            if found.wanted.needs_cleaning(log.config.min_cleanable_dirty_ratio) and (best is None or ratio > most):
                best, most = log, ratio
        stats.max_dirty_percent = int(100 * highest)
        stats.max_compaction_delay_ms = longest_ms
        if best is None or self._stopped:
            return None
        # it may have changed while the others were looked at
        chosen = self._look_at(best, now_ms)
        if chosen is None or not chosen.wanted.needs_cleaning(best.config.min_cleanable_dirty_ratio):
            return None
        return best, chosen.wanted

    def _look_at(self, log: PartitionLog, now_ms: int) -> Cleanable | None:
        """None: not to be cleaned now."""
        key = (log.topic, log.partition)
        if (
            not log.config.compact
            or len(log.segments) < 2
            or log.offline
            or log.closed
            or log.cleaning is not None
            or key in self._active
            or key in self._paused
            or key in self.stats.uncleanable
            or self._retry_at_ms.get(key, 0.0) > self._clock.monotonic_ms()
            or self._manager.opened(*key) is not log
        ):
            return None
        try:
            if log.recovery_point < log.segments.active.base_offset:
                self._flush(log)
            found = log.to_clean(self._manager.cleaned_to(*key), now_ms)
        except ApiError as error:
            logger.error("cannot look at %s: %s", log.name, error)
            return None
        if found.checkpoint_invalid:
            if not log.config.delete:
                logger.warning("%s: the cleaner checkpoint lies outside of the log, it is cleaned anew", log.name)
            self._later(self._manager.checkpoint_cleaner(*key, found.wanted.first_dirty_offset))
        return found

    def _flush(self, log: PartitionLog) -> None:
        """Only what is known to be on the disk is compacted."""
        partition = self._partitions.get(log.topic, log.partition)
        if partition is not None and partition.opened is log:
            partition.flush_soon()

    async def _open_some(self) -> None:
        """Logs that nobody has used since the start may have something to clean: those with more than one segment."""
        looked_at = 0
        while self._unopened and not self._stopped:
            topic, index = self._unopened.popleft()
            if self._manager.opened(topic, index) is not None or not self._config_for(topic).compact:
                continue
            looked_at += 1
            if looked_at % _DIRECTORIES_AT_ONCE == 0:
                await self._pause(0)
            directory = self._manager.directory_of(topic, index)
            if directory is None:
                continue
            try:
                names = self._manager.storage.list_dir(f"{directory.path}/{partition_dir(topic, index)}")
                if sum(name.endswith(LOG) for name in names) > 1:
                    partition = self._partitions.get(topic, index)
                    if partition is not None:
                        _ = partition.log
            except (ApiError, OSError) as error:
                logger.error("cannot look at %s-%d: %s", topic, index, error)

    # -- cleaning

    async def _clean(self, log: PartitionLog, wanted: LogToClean) -> bool:
        """One cleaning, to its end; whether it got on. (LogCleaner.CleanerThread.cleanLog)"""
        settings = self.settings
        key = (log.topic, log.partition)
        try:
            active = _Active(log, log.begin_cleaning())
        except ApiError as error:
            logger.error("cannot clean %s: %s", log.name, error)
            return False
        self._active[key] = active
        started_ms = self._clock.monotonic_ms()
        got_on = False
        try:
            result = await self._run(active, wanted, settings)
            if not active.cleaning.aborted:
                for write in self._manager.checkpoint_cleaner(*key, result.end_offset):
                    await self._run_in_thread(partial(write.run, self._manager.storage))
            self._note(log, wanted, result, self._clock.monotonic_ms() - started_ms)
            self._failures.pop(key, None)
            got_on = result.end_offset > wanted.first_dirty_offset
        except CleaningError as error:
            logger.warning("%s cannot be compacted, it is left out from now on: %s", log.name, error)
            self.stats.uncleanable[key] = str(error)
        except Exception as error:
            if active.aborted or active.cleaning.aborted:
                self.stats.aborted += 1
            else:
                expected = isinstance(error, (WorkerGoneError, OSError, ApiError))
                logger.error("the cleaning of %s failed, it is tried again: %s", log.name, error, exc_info=not expected)
                self.stats.failed += 1
                self._try_later(key, settings.backoff_ms)
        # no `finally`: where the broker has stopped meanwhile, nothing here goes on, and closing the log cleans up
        if active.run is not None:
            active.run.kill()
            await self._in_thread_quietly(active.run.wait)
        if not got_on and not (log.closed or log.offline) and self._manager.opened(*key) is log:
            await self._in_thread_quietly(log.remove_cleaning_leftovers)
        active.cleaning.end()
        if self._active.get(key) is active:
            del self._active[key]
        active.done.resolve(None)
        return got_on

    def _try_later(self, key: TopicPartition, backoff_ms: int) -> None:
        """After the back-off, and after twice as long each time: a full disk is not read again and again."""
        failures = self._failures[key] = self._failures.get(key, 0) + 1
        wait_ms = backoff_ms * 2 ** min(failures - 1, _MOST_DOUBLINGS)
        self._retry_at_ms[key] = self._clock.monotonic_ms() + wait_ms

    async def _run(self, active: _Active, wanted: LogToClean, settings: CleanerSettings) -> CleaningResult:
        log, manager = active.log, self._manager
        # recovery must not begin below what is compacted: it would take the holes for lost records
        for write in manager.checkpoint_recovery_points():
            await self._run_in_thread(partial(write.run, manager.storage))
        if active.aborted or active.cleaning.aborted:
            raise SwapAbortedError(log.name)
        complete = log.cleaning_job(
            wanted,
            self._clock.now_ms(),
            map_bytes=settings.map_bytes,
            map_load_factor=settings.map_load_factor,
            io_buffer_bytes=settings.io_buffer_bytes,
        )
        job = await self._run_in_thread(complete)
        if active.aborted or active.cleaning.aborted:
            raise SwapAbortedError(log.name)
        active.run = self._runner.start(job, settings.bytes_per_second)
        while True:
            message = await active.run.next()
            if isinstance(message, CleaningResult):
                return message
            await self._swap(active.cleaning, log, message)

    async def _swap(self, cleaning: Cleaning, log: PartitionLog, group: CleanedGroup) -> None:
        """Put a cleaned segment in its place. From the moment readers see it a failure takes the log offline: it is
        opened again from what the disk holds."""
        swap = cleaning.swap(group.base_offset, group.sources)
        for blocks, step in swap.steps:
            try:
                if blocks:
                    await self._run_in_thread(step)
                else:
                    step()
            except OSError as error:
                if swap.adopted:
                    raise log.fail(error) from error
                raise
        if swap.deleted is not None:
            self._later([swap.deleted])

    async def _in_thread_quietly(self, fn: Callable[[], None]) -> None:
        try:
            await self._run_in_thread(fn)
        except OSError as error:
            logger.warning("after a cleaning: %s", error)

    def _note(self, log: PartitionLog, wanted: LogToClean, result: CleaningResult, took_ms: float) -> None:
        stats, done = self.stats, result.stats
        stats.cleanings += 1
        stats.bytes_read += done.bytes_read
        stats.bytes_written += done.bytes_written
        stats.last = LastCleaning(log.topic, log.partition, wanted.first_dirty_offset, result.end_offset, took_ms, done)
        logger.info(
            "compacted %s, dirty from %d to %d: %.1f MB with %d records became %.1f MB with %d, in %.1f s",
            log.name,
            wanted.first_dirty_offset,
            result.end_offset,
            done.bytes_read / 1e6,
            done.records_read,
            done.bytes_written / 1e6,
            done.records_written,
            took_ms / 1000.0,
        )

    # -- what others ask for

    def abort(self, partitions: Iterable[TopicPartition]) -> None:
        """These are deleted: what is under way ends, what is remembered of them goes."""
        for key in partitions:
            active = self._active.get(key)
            if active is not None:
                active.abort()
            self.stats.uncleanable.pop(key, None)
            self._retry_at_ms.pop(key, None)
            self._failures.pop(key, None)

    def pause(self, topic: str, partition: int) -> Deferred[None]:
        """Leave the partition alone until ``resume``; done when nothing of it is under way any more."""
        key = (topic, partition)
        self._paused[key] = self._paused.get(key, 0) + 1
        active = self._active.get(key)
        if active is None:
            return resolved(None)
        active.abort()
        return active.done

    def resume(self, topic: str, partition: int) -> None:
        key = (topic, partition)
        left = self._paused.get(key, 0) - 1
        if left > 0:
            self._paused[key] = left
        else:
            self._paused.pop(key, None)

    def config_changed(self, topics: Collection[str]) -> None:
        """Settings changed: what is no longer compacted is left alone, what is now is looked at."""
        for key, active in list(self._active.items()):
            if key[0] in topics and not self._config_for(key[0]).compact:
                active.abort()
        compacted = {topic for topic in topics if self._config_for(topic).compact}
        if compacted:
            known = (key for key in self._manager.partitions() if key[0] in compacted)
            self._unopened.extend(key for key in known if self._manager.opened(*key) is None)
