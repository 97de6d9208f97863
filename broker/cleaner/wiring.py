"""A cluster's cleaner: with worker processes, or with threads where no other process can see the storage."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from broker.cleaner.cleaner import Cleaner
from broker.cleaner.process import ProcessRunner
from broker.cleaner.runner import Runner, ThreadRunner
from broker.deferred import Deferred
from log.storage import RealStorage

if TYPE_CHECKING:
    from broker.clock import Clock
    from broker.config.broker_config import BrokerConfig
    from broker.partitions import FindsPartitions
    from log.config import LogConfig
    from log.log_manager import LogManager


def make_cleaner(
    config: BrokerConfig,
    clock: Clock,
    manager: LogManager,
    partitions: FindsPartitions,
    config_for: Callable[[str], LogConfig],
    run_in_thread: Callable[[Callable[[], Any]], Deferred[Any]],
    later: Callable[[Iterable[Any]], None],
) -> Cleaner:
    storage = manager.storage
    runner: Runner
    if isinstance(storage, RealStorage):
        runner = ProcessRunner(clock, run_in_thread)
    else:
        runner = ThreadRunner(storage, run_in_thread)
    return Cleaner(config, clock, manager, partitions, config_for, run_in_thread, later, runner)
