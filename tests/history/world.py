"""One simulated history from beginning to end: topics, clients, faults, the last word of the logs."""

from __future__ import annotations

import contextlib
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine
from random import Random
from typing import Any

from attrs import define, field

from broker.cluster import Cluster
from kwire.messages.create_topics import CreatableTopic, CreatableTopicConfig, CreateTopicsRequest
from kwire.messages.find_coordinator import FindCoordinatorRequest
from tests.history.clients.base import Client
from tests.history.clients.group import Committer, Member, read_offsets
from tests.history.clients.idempotent import IdempotentProducer
from tests.history.clients.reader import Reader
from tests.history.clients.transactional import TransactionalProducer
from tests.history.clients.transformer import Transformer
from tests.history.model import FinalLog, History, Place, Seen
from tests.history.nemesis import Nemesis
from tests.history.network import DisconnectedError, Link, Network
from tests.history.simulated_broker import SimulatedBroker
from tests.history.simulation import EPOCH_MS, Simulation

Mutate = Callable[[Cluster], None]
PARTITIONS = 2
_END_MS = 400_000.0


def no_mutation(_cluster: Cluster) -> None:
    """The broker as it is."""


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

    def __init__(self, seed: int, shape: Shape, mutate: Mutate = no_mutation) -> None:
        self.seed = seed
        self.shape = shape
        self.simulation = Simulation(seed)
        self.random = Random(self.simulation.random.getrandbits(64))
        self.history = History(now_ms=lambda: self.simulation.now_ms)
        self.stopping = False
        self.topic_ids: dict[str, bytes] = {}
        self.broker = SimulatedBroker(self.simulation, self._settings(), mutate)
        self.network = Network(self.simulation, self.broker)
        self.nemesis = Nemesis(self, self.broker, self.network, synced=shape.synced)

    def _settings(self) -> dict[str, str]:
        settings = {
            "listeners": "PLAINTEXT://127.0.0.1:0",
            "log.dirs": "/data",
            "offsets.topic.num.partitions": "2",
            "transaction.state.log.num.partitions": "2",
            "offsets.retention.minutes": str(10**6),
            "log.retention.ms": "-1",
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
        with CapturedErrors(history.broker_errors):
            if not self.broker.start():
                raise AssertionError("the broker does not start")
            self._finish("creating topics", self._create_topics())
            tasks = [simulation.spawn(client) for client in self._clients()]
            if self.shape.faults:
                tasks.append(simulation.spawn(self.nemesis.run()))
            simulation.run(lambda: len(history.operations) >= self.shape.operations, within_ms=float("inf"))
            self.stopping = True
            if not simulation.run(lambda: all(task.done for task in tasks), within_ms=_END_MS):
                history.unfinished.append(f"{sum(not task.done for task in tasks)} clients go on")
            self._finish("healing", self.nemesis.heal())
            # Transactions that nobody ends are aborted by the broker.
            self._finish("waiting", self._wait(150_000.0))
            self._finish("the last reading", self._last_word())
        return Result(
            history,
            self.nemesis.counts,
            self.network.requests,
            self.network.dropped_before + self.network.dropped_after,
            self.broker.starts,
        )

    def _finish(self, what: str, work: Coroutine[Any, None, None]) -> None:
        task = self.simulation.spawn(work)
        if not self.simulation.run(lambda: task.done, within_ms=_END_MS):
            self.history.unfinished.append(f"{what} goes on for ever")

    async def _wait(self, ms: float) -> None:
        await self.simulation.sleep(ms)

    @property
    def places(self) -> list[Place]:
        return [(topic, index) for topic in self.topic_ids for index in range(PARTITIONS)]

    async def _create_topics(self) -> None:
        admin = Client(self, "admin")
        for topic in ("t", "o"):
            configs = [CreatableTopicConfig(name="internal.segment.bytes", value="3000")]
            wanted = CreatableTopic(name=topic, num_partitions=PARTITIONS, replication_factor=1, configs=configs)
            request = CreateTopicsRequest(topics=[wanted], timeout_ms=1_000)
            response, code, _ = await admin.call_until(request, 7, lambda answer: answer.topics[0].error_code)
            assert code == 0, response
            self.topic_ids[topic] = response.topics[0].topic_id
        kinds = (0, 1) if self.shape.transactions else (0,)
        for kind in kinds:  # this makes the internal topics
            find = FindCoordinatorRequest(key_type=kind, coordinator_keys=["g"])
            response, code, _ = await admin.call_until(find, 4, lambda answer: answer.coordinators[0].error_code)
            assert code == 0, response

    def _clients(self) -> list[Coroutine[Any, None, None]]:
        t = [("t", index) for index in range(PARTITIONS)]
        o = [("o", index) for index in range(PARTITIONS)]
        both = t + o
        clients: list[Any] = [
            IdempotentProducer(self, "p1", t, 12),
            Reader(self, "r1", self.places, committed_only=False),
            Reader(self, "r2", self.places, committed_only=True),
            Committer(self, "c1", "g", t),
            Committer(self, "c2", "g", t),
        ]
        if not self.shape.transactions:
            clients.append(IdempotentProducer(self, "p2", t, 13))
            return [client.run() for client in clients]
        generations = self.random.choice(((1, 2), (1, 1), (2, 2), (2, 1)))
        clients += [
            TransactionalProducer(self, "x1", "x", generations[0], both),
            TransactionalProducer(self, "x2", "x", generations[1], both),
            TransactionalProducer(self, "y1", "y", 2, both),
            TransactionalProducer(self, "z1", "z", 1, both),
        ]
        for number in (1, 2):
            name = f"e{number}"
            clients.append(Transformer(self, name, "e", 3 - number, group="one", inputs=t, outputs=o))
        for number in (1, 2):
            name = f"f{number}"
            member = Member(self, f"{name}.m", "two", t)
            clients.append(Transformer(self, name, name, number, group="two", inputs=t, outputs=o, member=member))
        self.history.transforms |= {"one", "two"}
        return [client.run() for client in clients]

    async def _last_word(self) -> None:
        """Read everything there is, as both kinds of readers, and every group's offsets."""
        for committed_only in (False, True):
            reader = Reader(
                self, "final committed" if committed_only else "final", self.places, committed_only=committed_only
            )
            for place in self.places:
                log = self.history.final.setdefault(place, FinalLog())
                while True:
                    try:
                        entries = (await reader.poll([place], max_bytes=100_000))[place]
                    except DisconnectedError:
                        await reader.pause()
                        continue
                    poll = self.history.operations[-1]
                    if committed_only:
                        log.committed += [
                            Seen(e.offset, e.value, e.producer_id, e.epoch, e.transactional)
                            for e in entries
                            if e.marker is None
                        ]
                    else:
                        log.entries += entries
                    if poll.acknowledged and poll.position == poll.offset:  # type: ignore[attr-defined]
                        log.high_watermark = poll.high_watermark  # type: ignore[attr-defined]
                        log.last_stable_offset = poll.last_stable_offset  # type: ignore[attr-defined]
                        break
                    if not poll.acknowledged:
                        await reader.pause()
        client = Client(self, "final")
        groups = ["g", *sorted(self.history.transforms)]
        for group in groups:
            left = set(self.places)
            while left:
                with contextlib.suppress(DisconnectedError):
                    left -= set(await read_offsets(client, group, sorted(left)))
                await client.pause()


class CapturedErrors:
    """Errors with a traceback that the broker logs meanwhile: each is a bug."""

    def __init__(self, into: list[str]) -> None:
        self._handler = _ErrorHandler(into)

    def __enter__(self) -> None:
        logging.getLogger().addHandler(self._handler)

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
