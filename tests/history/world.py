"""One simulated history from beginning to end: topics, clients, faults, the last word of the logs."""

from __future__ import annotations

import contextlib
import logging
from collections import Counter
from collections.abc import Awaitable, Coroutine, Iterator
from random import Random
from typing import Any, Final
from unittest import mock

from attrs import define, field

import broker.txn.end
import broker.txn.init_producer
import broker.txn.transaction
import log.producer_state
from tests.history.model import History
from tests.history.nemesis import WRONG_BY_MS, Nemesis
from tests.history.network import Chances, Link, Network
from tests.history.simulated_broker import SimulatedBroker
from tests.history.simulation import EPOCH_MS, Simulation
from tests.history.stage import create_topics, last_word, make_clients

_END_MS: Final = 200_000.0


@define
class Shape:
    """What a history is like.

    synced: every record is fsynced before it is acknowledged (`log.flush.interval.messages=1`), and machines lose
    power. operations: about how many are to happen before the end.
    """

    synced: bool = False
    operations: int = 1_500
    faults: bool = True
    transactions: bool = True
    only: frozenset[str] = frozenset()
    max_epoch: int = 32_767


KINDS: Final = {
    "process": Shape(),
    "machine": Shape(synced=True),
    "epochs": Shape(max_epoch=5),
}


@define
class Result:
    """A history, and figures about it."""

    history: History
    faults: Counter[str] = field(factory=Counter)
    requests: int = 0
    dropped: int = 0
    starts: int = 0


class SimulatedWorld:
    """The clients' world (tests.history.clients.base.World)."""

    def __init__(self, seed: int, shape: Shape) -> None:
        self.seed = seed
        self.shape = shape
        self.simulation = Simulation(seed)
        self.random = Random(self.simulation.random.getrandbits(64))
        self.history = History(now_ms=lambda: self.simulation.now_ms)
        self.stopping = False
        self.topic_ids: dict[str, bytes] = {}
        self.broker = SimulatedBroker(self.simulation, self._settings())
        self.network = Network(self.simulation, self.broker)
        self.nemesis = Nemesis(self, self.broker, self.network, synced=shape.synced, only=shape.only)

    def _settings(self) -> dict[str, str]:
        settings = {
            "listeners": "PLAINTEXT://127.0.0.1:0",
            "log.dirs": "/data",
            "offsets.topic.num.partitions": "2",
            "transaction.state.log.num.partitions": "2",
            "offsets.retention.minutes": str(10**6),
            "log.retention.ms": "-1",
            "log.cleaner.enable": "false",  # its workers are processes, which know only real files
            "log.index.size.max.bytes": "4096",
            "group.initial.rebalance.delay.ms": "0",
            "transaction.abort.timed.out.transaction.cleanup.interval.ms": "2000",
            "producer.id.expiration.check.interval.ms": "600000",
        }
        if self.shape.synced:
            settings["log.flush.interval.messages"] = "1"
        return settings

    def now_ms(self) -> float:
        return self.simulation.now_ms

    def wall_ms(self) -> int:
        return int(EPOCH_MS + self.simulation.now_ms)

    def sleep(self, ms: float) -> Awaitable[None]:
        return self.simulation.sleep(ms)

    async def connect(self, client_id: str) -> Link:
        return await self.network.connect(client_id)

    # From beginning to end

    def run(self) -> Result:
        """Live it. The history is complete then, with the final logs."""
        simulation, history = self.simulation, self.history
        with CapturedErrors(history.broker_errors), epochs_up_to(self.shape.max_epoch):
            if not self.broker.start():
                raise AssertionError("the broker does not start")
            self._finish("creating topics", create_topics(self, transactions=self.shape.transactions))
            self.network.chances = Chances()
            tasks = [simulation.spawn(client) for client in make_clients(self, transactions=self.shape.transactions)]
            if self.shape.faults:
                tasks.append(simulation.spawn(self.nemesis.run()))
            simulation.run(lambda: len(history.operations) >= self.shape.operations, within_ms=float("inf"))
            self.stopping = True
            if not simulation.run(lambda: all(task.done for task in tasks), within_ms=_END_MS):
                history.unfinished.append(f"{sum(not task.done for task in tasks)} clients go on")
            self._finish("healing", self.nemesis.heal())
            # Transactions that nobody ends are aborted by the broker; late, where a clock that was ahead began them.
            self._finish("waiting", self._wait(2 * WRONG_BY_MS), 3 * WRONG_BY_MS)
            self._finish("the last reading", last_word(self))
        return Result(
            history,
            self.nemesis.counts,
            self.network.requests,
            self.network.dropped_before + self.network.dropped_after,
            self.broker.starts,
        )

    def _finish(self, what: str, work: Coroutine[Any, None, None], within_ms: float = _END_MS) -> None:
        task = self.simulation.spawn(work)
        if not self.simulation.run(lambda: task.done, within_ms=within_ms):
            self.history.unfinished.append(f"{what} goes on for ever")

    async def _wait(self, ms: float) -> None:
        await self.simulation.sleep(ms)


@contextlib.contextmanager
def epochs_up_to(last: int) -> Iterator[None]:
    """Producer ids are used up after few transactions, so that new ones take their places."""
    with contextlib.ExitStack() as stack:
        for module in (broker.txn.end, broker.txn.init_producer, broker.txn.transaction, log.producer_state):
            stack.enter_context(mock.patch.object(module, "MAX_EPOCH", last))
        yield


class CapturedErrors:
    """Errors with a traceback that the broker logs meanwhile: each is a bug."""

    def __init__(self, into: list[str]) -> None:
        self._handler = _ErrorHandler(into)

    def __enter__(self) -> None:
        root = logging.getLogger()
        root.addHandler(self._handler)
        if root.getEffectiveLevel() > logging.ERROR:
            root.setLevel(logging.ERROR)

    def __exit__(self, *_: object) -> None:
        logging.getLogger().removeHandler(self._handler)


class _ErrorHandler(logging.Handler):
    def __init__(self, into: list[str]) -> None:
        super().__init__(logging.ERROR)
        self._into = into
        self.setFormatter(logging.Formatter("%(name)s: %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info is not None and record.exc_info[1] is not None and len(self._into) < 20:
            self._into.append(self.format(record))
