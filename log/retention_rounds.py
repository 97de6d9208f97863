"""Retention over all logs of a broker, some of them a step, so that requests are answered in between
(Kafka: LogManager.cleanupLogs, LogCleanerManager.deletableLogs).

A log that fails is offline then; the others go on.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

from kwire.errors import ApiError
from log.checkpoints import TopicPartition
from log.closed_logs import has_old_segments
from log.filenames import partition_dir
from log.log_manager import LogManager
from log.partition_log import PartitionLog
from log.results import DeferredDelete


def delete_old_segments(manager: LogManager, now_ms: int, *, at_once: int = 500) -> Iterator[list[DeferredDelete]]:
    """Retention of the open logs (``log.retention.check.interval.ms``), ``at_once`` of them a step: the files that may
    go.

    Those that are compacted are not among them: their cleaner does that (``retention_of_compacted``), so that the two
    do not meet.
    """
    return _retention([log for log in manager.open_logs() if not log.config.compact], now_ms, at_once)


def retention_of_compacted(manager: LogManager, now_ms: int, *, at_once: int = 500) -> Iterator[list[DeferredDelete]]:
    """The same for those that are compacted."""
    return _retention([log for log in manager.open_logs() if log.config.compact], now_ms, at_once)


def closed_with_old_segments(manager: LogManager, now_ms: int, *, at_once: int = 50) -> Iterator[list[TopicPartition]]:
    """Those among the logs that are not open of which retention would delete something; ``at_once`` looked at a step.

    What cannot be looked at is left to who opens it.
    """
    closed = [key for key in manager.partitions() if manager.opened(*key) is None]
    for start in range(0, len(closed), at_once):
        yield [key for key in closed[start : start + at_once] if _has_old_segments(manager, key, now_ms)]


def _retention(logs: list[PartitionLog], now_ms: int, at_once: int) -> Iterator[list[DeferredDelete]]:
    for start in range(0, len(logs), at_once):
        work: list[DeferredDelete] = []
        for log in logs[start : start + at_once]:
            if not log.offline and not log.closed and log.cleaning is None:
                with suppress(ApiError):
                    work += log.delete_old_segments(now_ms)
        yield work


def _has_old_segments(manager: LogManager, key: TopicPartition, now_ms: int) -> bool:
    directory = manager.directory_of(*key)
    if directory is None or manager.opened(*key) is not None:
        return False  # deleted or opened since the step before
    with suppress(OSError):
        return has_old_segments(
            manager.storage,
            f"{directory.path}/{partition_dir(*key)}",
            manager.config_for(key[0]),
            log_start_offset=directory.log_starts.get(key, 0),
            now_ms=now_ms,
        )
    return False
