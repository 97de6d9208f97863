"""What a broker does on its own from time to time: retention, fsyncs that are due, checkpoints, removing deleted files.

All of it runs on the cluster's clock; what blocks goes to a thread.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, Final, Protocol

from broker.deferred import Deferred
from kwire.errors import ApiError
from log.retention_rounds import closed_with_old_segments, delete_old_segments

if TYPE_CHECKING:
    from broker.clock import Clock, Timer
    from broker.config.broker_config import BrokerConfig
    from broker.partitions import FindsPartitions
    from log.log_manager import LogManager
    from log.results import DeferredDelete
    from log.storage import Storage

logger = logging.getLogger("kwire.maintenance")

# flush.ms is looked at this often, unless log.flush.scheduler.interval.ms asks for more often.
_FLUSH_CHECK_MS: Final = 1_000
# Where nothing outlasts the process a flush does no more than let go of files.
_IN_MEMORY_MS: Final = 60_000
_LONGEST_MS: Final = 2**31
# Where a cluster's clock is pushed on, what is only about a crash is written once on the way.
_TURNS_AN_ADVANCE: Final = 32
_ONCE: Final = 1


class DelayedWork(Protocol):
    """Files or directories to remove after a while."""

    delay_ms: int

    def run(self, storage: Storage) -> None: ...


class Maintenance:
    """Started when the broker serves, stopped before its logs are closed."""

    def __init__(
        self,
        config: BrokerConfig,
        clock: Clock,
        manager: LogManager,
        partitions: FindsPartitions,
        run_in_thread: Callable[[Callable[[], None]], Deferred[None]],
        *,
        lasting: bool = True,
    ) -> None:
        """lasting: whether the data is more than this process's; if not, what is only about a crash is left out."""
        self._config = config
        self._lasting = lasting
        self._clock = clock
        self._manager = manager
        self._partitions = partitions
        self._run_in_thread = run_in_thread
        self._timers: dict[str, Timer] = {}
        self._stopped = False

    def start(self) -> None:
        config, manager = self._config, self._manager
        self._every("log.retention.check.interval.ms", config.get_int("log.initial.task.delay.ms"), self._retention)
        if self._lasting:
            self._write_checkpoints()
        self._every("log.flush.scheduler.interval.ms", None, self._flush, _ONCE)
        self._every(
            "producer.id.expiration.check.interval.ms", None, lambda: manager.expire_producers(self._clock.now_ms())
        )
        self.later(self._manager.unfinished_deletes())

    def _write_checkpoints(self) -> None:
        """What the next start after a crash goes by."""
        manager = self._manager
        self._every(
            "log.flush.offset.checkpoint.interval.ms",
            None,
            lambda: self.later(manager.checkpoint_recovery_points()),
            _ONCE,
        )
        self._every(
            "log.flush.start.offset.checkpoint.interval.ms",
            None,
            lambda: self.later(manager.checkpoint_log_starts()),
            _ONCE,
        )
        self._every(
            "replica.high.watermark.checkpoint.interval.ms",
            None,
            lambda: self.later(manager.checkpoint_high_watermarks()),
            _ONCE,
        )

    def stop(self) -> None:
        self._stopped = True
        for timer in self._timers.values():
            timer.cancel()

    def _every(
        self, setting: str, first_ms: int | None, work: Callable[[], None], most: int = _TURNS_AN_ADVANCE
    ) -> None:
        """Do `work` again and again, at the interval the setting has at that time (`most`: Clock.call_again)."""

        def interval_ms() -> int:
            interval = min(self._config.get_int(setting), _LONGEST_MS)
            if setting == "log.flush.scheduler.interval.ms":
                interval = min(interval, _FLUSH_CHECK_MS)
            return interval if self._lasting or most != _ONCE else max(interval, _IN_MEMORY_MS)

        def turn() -> None:
            try:
                work()
            except (ApiError, OSError) as error:
                logger.error("%s: %s", setting, error)
            finally:
                if not self._stopped:
                    self._timers[setting] = self._clock.call_again(interval_ms(), turn, most=most)

        self._timers[setting] = self._clock.call_later(interval_ms() if first_ms is None else first_ms, turn)

    def _retention(self) -> None:
        self._open_step(closed_with_old_segments(self._manager, self._clock.now_ms()))

    def _open_step(self, steps: Iterator[list[tuple[str, int]]]) -> None:
        """Open the logs that nobody has used since the start and that hold what is too old; then delete."""
        if self._stopped:
            return
        found = next(steps, None)
        if found is None:
            self._retention_step(delete_old_segments(self._manager, self._clock.now_ms()))
            return
        for topic, index in found:
            try:
                partition = self._partitions.get(topic, index)
                if partition is not None:
                    _ = partition.log
            except ApiError as error:
                logger.error("cannot open %s-%d for its retention: %s", topic, index, error)
        self._clock.call_later(0, lambda: self._open_step(steps))

    def _retention_step(self, steps: Iterator[list[DeferredDelete]]) -> None:
        """Some hundred logs at a time, so that requests are answered in between."""
        work = next(steps, None)
        if work is not None and not self._stopped:
            self.later(work)
            self._clock.call_later(0, lambda: self._retention_step(steps))

    def _flush(self) -> None:
        for log in self._manager.flush_due(self._clock.now_ms()):
            partition = self._partitions.get(log.topic, log.partition)
            if partition is not None:
                partition.flush_soon()

    def later(self, work: Iterable[Any]) -> None:
        """Do delayed work when its time has come, in a thread. What is left at the end is found at the next start."""
        for each in work:
            self._clock.call_later(each.delay_ms, lambda each=each: self._run(each))  # type: ignore[misc]

    def _run(self, work: DelayedWork) -> None:
        if self._stopped:
            return

        def finished(done: Deferred[None]) -> None:
            try:
                done.result()
            except OSError as error:
                logger.error("cannot remove deleted files: %s", error)

        self._run_in_thread(lambda: work.run(self._manager.storage)).add_callback(finished)
