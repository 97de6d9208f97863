"""A cleaner over logs in memory, with a clock, threads and a worker that do what the test says."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from attrs import define, field

from broker.cleaner.cleaner import Cleaner
from broker.cleaner.runner import Message, ThreadRun, WorkerGoneError
from broker.clock import ManualClock
from broker.config.broker_config import BrokerConfig
from broker.deferred import Deferred
from broker.partitions import Partitions
from kwire.records import RecordBatchBuilder
from log.compaction.job import CleaningJob
from log.config import LogConfig
from log.log_manager import LogManager
from log.partition_log import PartitionLog
from tests.crash.fault_storage import FaultStorage

TOPIC_ID = bytes(range(16))
BACKOFF_MS = 15_000


class Threads:
    """Runs work at once; while `held`, keeps it until `let_go`."""

    def __init__(self) -> None:
        self.held = False
        self._waiting: list[Callable[[], None]] = []

    def run(self, fn: Callable[[], Any]) -> Deferred[Any]:
        done: Deferred[Any] = Deferred()

        def work() -> None:
            try:
                value = fn()
            except Exception as error:
                done.fail(error)
            else:
                done.resolve(value)

        if self.held:
            self._waiting.append(work)
        else:
            work()
        return done

    def let_go(self, count: int = 1000) -> int:
        """Do up to `count` pieces of waiting work; how many there were."""
        for number in range(count):
            if not self._waiting:
                return number
            self._waiting.pop(0)()
        return count


@define(eq=False)
class ScriptedRun:
    """A job whose messages the test gives: `work()` does it really, `fail(error)` ends it."""

    job: CleaningJob
    bytes_per_second: float
    real: ThreadRun
    killed: bool = False
    _next: Deferred[Message] | None = None
    _failure: Exception | None = None
    _goes_on: bool = False

    def next(self) -> Deferred[Message]:
        if self._goes_on:
            return self.real.next()
        assert self._next is None
        self._next = Deferred()
        return self._next

    def work(self) -> None:
        """Do the job to its end."""
        self._goes_on = True
        waiting, self._next = self._next, None
        assert waiting is not None
        waiting.resolve(self.real.next().result())

    def fail(self, error: Exception) -> None:
        waiting, self._next = self._next, None
        assert waiting is not None
        waiting.fail(error)

    def kill(self) -> None:
        self.killed = True
        if self._next is not None:
            self.fail(WorkerGoneError("killed"))

    def wait(self) -> None: ...


@define
class World:
    configs: dict[str, LogConfig] = field(factory=dict)
    settings: dict[str, str] = field(factory=dict)
    storage: FaultStorage = field(factory=FaultStorage)
    clock: ManualClock = field(factory=ManualClock)
    threads: Threads = field(factory=Threads)
    runs: list[ScriptedRun] = field(factory=list)
    directories: tuple[str, ...] = ("/data",)
    closed: bool = False
    later: list[Any] = field(factory=list)
    manager: LogManager = field(init=False)
    config: BrokerConfig = field(init=False)
    cleaner: Cleaner = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.manager = LogManager(
            self.storage,
            self.directories,
            lambda topic: self.configs[topic],
            unique=lambda: "0" * 32,
            random_uuid=lambda: TOPIC_ID,
        )
        self.manager.lock()
        self.manager.load()
        self.config = BrokerConfig({"log.cleaner.backoff.ms": str(BACKOFF_MS)} | self.settings)
        self.cleaner = Cleaner(
            self.config,
            self.clock,
            self.manager,
            cast(Partitions, _Opening(self)),
            lambda topic: self.configs[topic],
            self.threads.run,
            self._later,
            self,
        )

    def _later(self, work: Any) -> None:
        for each in work:
            each.run(self.storage)
            self.later.append(each)

    # the runner

    def start(self, job: CleaningJob, bytes_per_second: float) -> ScriptedRun:
        real = ThreadRun(self.storage, job, self.threads.run)
        self.runs.append(ScriptedRun(job, bytes_per_second, real))
        return self.runs[-1]

    def close(self) -> None:
        self.closed = True

    # steps

    def begin(self) -> None:
        self.cleaner.start()
        self.turn()

    def turn(self, ms: float = 0) -> None:
        self.clock.advance(ms)

    def log(self, topic: str) -> PartitionLog:
        return self.manager.get_or_create(topic, 0, topic_id=TOPIC_ID, now_ms=self.clock.now_ms())

    def put(self, topic: str, *keys: int, age_ms: int = 0, size: int = 40) -> None:
        """A batch a key, flushed."""
        log = self.log(topic)
        for key in keys:
            builder = RecordBatchBuilder()
            value = b"%d" % log.log_end_offset
            builder.append(b"%d" % key, value.ljust(size, b"."), timestamp=self.clock.now_ms() - age_ms)
            log.append_as_leader(memoryview(builder.build()), leader_epoch=0, now_ms=self.clock.now_ms())
        log.flush(self.clock.now_ms())

    def jobs(self) -> list[str]:
        """Topics of the jobs begun so far."""
        return [run.job.topic for run in self.runs]

    def names(self, topic: str) -> list[str]:
        return sorted(self.storage.list_dir(f"/data/{topic}-0"))


@define
class _Opening:
    """In the place of ``Partitions``: opens logs."""

    world: World

    def get(self, topic: str, index: int) -> Any:
        return _Partition(self.world.log(topic), self.world)


@define
class _Partition:
    log: PartitionLog
    world: World

    @property
    def opened(self) -> PartitionLog:
        return self.log

    def flush_soon(self) -> None:
        self.world.clock.call_later(1, lambda: self.log.flush(self.world.clock.now_ms()))


def small(**values: Any) -> LogConfig:
    """A compacted topic; four records of `put` fill a segment."""
    settings: dict[str, Any] = {
        "cleanup_policy": ("compact",),
        "segment_bytes": 500,
        "segment_index_bytes": 1000,
        "file_delete_delay_ms": 0,
        "min_cleanable_dirty_ratio": 0.5,
    }
    return LogConfig(**(settings | values))
