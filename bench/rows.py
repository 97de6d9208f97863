"""What is measured: one entry a row of the table.

A row is a context manager that prepares a broker and yields a function; each call of that function is one run and gives
one figure per metric. Volumes are sized for runs of one to three seconds on two cores.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import random
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass

from bench import targets, wire
from bench.load import programs
from bench.load.programs import Result
from bench.targets import Target

Figures = dict[str, float]
Measure = Callable[[], Figures]


@dataclass(frozen=True)
class Metric:
    """One figure of a row. `goal`: the wanted ratio kwire / Kafka, at least when `higher` is better, else at most."""

    key: str
    title: str
    unit: str
    higher: bool = True
    goal: float | None = None


@dataclass(frozen=True)
class Row:
    """`prepare(target, scale)`: scale 1.0 is full volume, less for warm-up and --quick. `tls`: on brokers with TLS."""

    key: str
    metrics: tuple[Metric, ...]
    prepare: Callable[[Target, float], AbstractContextManager[Measure]]
    tls: bool = False


_counter = itertools.count(1)


@contextlib.contextmanager
def topic(target: Target, name: str, partitions: int = 1) -> Iterator[str]:
    """A new topic that takes records; deleted afterwards."""
    name = f"{name}-{os.getpid()}-{next(_counter)}"
    wire.create_topic(target.bootstrap, name, partitions)
    try:
        _wait_for_leaders(target, name, partitions)
        yield name
    finally:
        wire.delete_topic(target.bootstrap, name)


def _wait_for_leaders(target: Target, name: str, partitions: int) -> None:
    """Until the last partition takes an empty probe: Kafka answers 6 for a moment after CreateTopics."""
    deadline = time.monotonic() + 30
    request = wire.list_offsets_frame(name, partitions - 1)
    while (code := wire.list_offsets_error(wire.ask(target.bootstrap, request), name)) != 0:
        if time.monotonic() > deadline:
            raise RuntimeError(f"{target.name}: topic {name} has no leader after 30 s, error {code}")
        time.sleep(0.01)


def random_values(size: int, count: int = 512) -> list[bytes]:
    """Values that no codec makes smaller."""
    source = random.Random(7)
    return [source.randbytes(size) for _ in range(count)]


def json_values(size: int, count: int = 512) -> list[bytes]:
    """Values like an application's events, padded to one size: lz4 makes them about 4 times smaller."""
    source = random.Random(7)
    made = []
    for number in range(count):
        items: list[dict[str, object]] = []
        while len(text := json.dumps({"order": number, "items": items})) < size:
            items.append(
                {"sku": source.randrange(10**6), "name": f"article {number % 50}", "quantity": 1, "price": 9.5}
            )
        made.append(text[:size].encode())
    return made


def _throughput(result: Result) -> Figures:
    gigabytes = result["bytes"] / 1e9
    return {
        "mb_per_s": result["mb_per_second"],
        "krec_per_s": result["records_per_second"] / 1e3,
        "cpu_s_per_gb": result.broker_cpu_seconds / gigabytes,
    }


def produce(
    size: int, count: int, *, codec: str = "none", partitions: int = 1, tls: bool = False, idempotent: bool = False
) -> Callable[[Target, float], AbstractContextManager[Measure]]:
    """librdkafka, acks=all, linger 5 ms, as fast as it goes."""

    @contextlib.contextmanager
    def prepare(target: Target, scale: float) -> Iterator[Measure]:
        values = json_values(size) if codec != "none" else random_values(size)
        settings = {"acks": "all", "linger.ms": "5", "compression.type": codec}
        if idempotent:
            settings["enable.idempotence"] = "true"
        records = int(count * scale)

        def measure() -> Figures:
            with (
                topic(target, f"produce-{size}", partitions) as name,
                programs.rdkafka(
                    target,
                    "produce",
                    name,
                    count=records,
                    warmup=records // 10,
                    values=values,
                    partitions=partitions,
                    settings=settings,
                    tls=tls,
                ) as load,
            ):
                load.begin()
                return _throughput(load.finish())

        yield measure

    return prepare


def consume(
    size: int, count: int, *, partitions: int = 1, tls: bool = False
) -> Callable[[Target, float], AbstractContextManager[Measure]]:
    """librdkafka reading from the beginning what librdkafka wrote, from the page cache."""

    @contextlib.contextmanager
    def prepare(target: Target, scale: float) -> Iterator[Measure]:
        values = random_values(size)
        records = int(count * scale)
        with topic(target, f"consume-{size}", partitions) as name:
            filled = int(records * 1.1) + 1
            with programs.rdkafka(
                target, "produce", name, count=filled, warmup=0, values=values, partitions=partitions
            ) as load:
                load.begin()
                load.finish()

            def measure() -> Figures:
                with programs.rdkafka(
                    target,
                    "consume",
                    name,
                    count=records,
                    warmup=records // 10,
                    values=values,
                    partitions=partitions,
                    tls=tls,
                ) as load:
                    load.begin()
                    return _throughput(load.finish())

            yield measure

    return prepare


def one_by_one(mode: str, count: int) -> Callable[[Target, float], AbstractContextManager[Measure]]:
    """librdkafka, 100 B, no linger; "one": until acknowledged, "through": until a consumer has it."""

    @contextlib.contextmanager
    def prepare(target: Target, scale: float) -> Iterator[Measure]:
        records = max(int(count * scale), 200)

        def measure() -> Figures:
            with (
                topic(target, mode) as name,
                programs.rdkafka(
                    target,
                    mode,
                    name,
                    count=records,
                    warmup=records // 5,
                    values=random_values(100),
                    settings={"producer.linger.ms": "0", "producer.acks": "all"},
                ) as load,
            ):
                load.begin()
                result = load.finish()
                return {"p50_ms": result["p50_ms"], "p99_ms": result["p99_ms"]}

        yield measure

    return prepare


def transactions(client: str) -> Callable[[Target, float], AbstractContextManager[Measure]]:
    """librdkafka or Kafka's own producer, one transaction after the other: 10 records of 100 B over 2 partitions."""

    @contextlib.contextmanager
    def prepare(target: Target, scale: float) -> Iterator[Measure]:
        count = max(int(1000 * scale), 50)

        def measure() -> Figures:
            with contextlib.ExitStack() as stack:
                name = stack.enter_context(topic(target, "txn", 2))
                if client == "java":
                    program = programs.java_transactions(
                        target, name, count=count, warmup=count // 2, value_size=100, partitions=2
                    )
                else:
                    program = programs.rdkafka(
                        target,
                        "txn",
                        name,
                        count=count,
                        warmup=count // 5,
                        values=random_values(100),
                        partitions=2,
                        settings={"transactional.id": name, "linger.ms": "0"},
                    )
                load = stack.enter_context(program)
                load.begin()
                result = load.finish()
                return {
                    "per_s": result["per_second"],
                    "p50_ms": result["p50_ms"],
                    "p99_ms": result["p99_ms"],
                    "cpu_ms": result.broker_cpu_seconds / result["transactions"] * 1e3,
                }

        yield measure

    return prepare


def raw_produce(
    connections: int, in_flight: int, seconds: float = 2.0
) -> Callable[[Target, float], AbstractContextManager[Measure]]:
    """One 100 B record a Produce v10 request, acks=all, one partition, by a C client that only patches an id."""

    @contextlib.contextmanager
    def prepare(target: Target, scale: float) -> Iterator[Measure]:
        with topic(target, "raw") as name:
            frame = wire.produce_frame(name, 0, wire.record_batch(random_values(100, 1)))

            def measure() -> Figures:
                with programs.raw(
                    target,
                    frame,
                    connections=connections,
                    in_flight=in_flight,
                    seconds=seconds * scale,
                    warmup_seconds=0.5,
                    error_offset=wire.produce_error_offset(name),
                ) as load:
                    load.begin()
                    result = load.finish()
                    return {
                        "k_per_s": result["per_second"] / 1e3,
                        "p50_ms": result["p50_ms"],
                        "p99_ms": result["p99_ms"],
                        "cpu_us": result.broker_cpu_seconds / result["requests"] * 1e6,
                    }

            yield measure

    return prepare


@contextlib.contextmanager
def probe_under_load(target: Target, scale: float) -> Iterator[Measure]:
    """One record every 2 ms on its own connection and topic, while librdkafka produces 1 KB as fast as it goes."""

    def measure() -> Figures:
        with topic(target, "flood") as flooded, topic(target, "probe") as name:
            frame = wire.produce_frame(name, 0, wire.record_batch(random_values(100, 1)))
            with programs.rdkafka(
                target,
                "flood",
                flooded,
                count=0,
                warmup=20_000,
                values=random_values(1024),
                settings={"acks": "all", "linger.ms": "5"},
            ) as flood:
                flood.begin()
                with programs.raw(
                    target,
                    frame,
                    seconds=3.0 * scale,
                    warmup_seconds=0.3,
                    interval_us=2000,
                    error_offset=wire.produce_error_offset(name),
                ) as probe:
                    probe.begin()
                    result = probe.finish()
                produced = flood.finish()
        return {"p50_ms": result["p50_ms"], "p99_ms": result["p99_ms"], "flood_mb_per_s": produced["mb_per_second"]}

    yield measure


@contextlib.contextmanager
def start_and_idle(target: Target, scale: float) -> Iterator[Measure]:
    """A broker of its own each time: start to the first answer, resident memory two seconds later."""

    def measure() -> Figures:
        with targets.start(target.name) as fresh:
            time.sleep(2.0)
            return {
                "start_s": fresh.start_seconds,
                "format_s": fresh.format_seconds,
                "idle_mb": fresh.rss_mb(),
            }

    yield measure


def _rate(title: str, goal: float | None = None, unit: str = "MB/s", key: str = "mb_per_s") -> Metric:
    return Metric(key, title, unit, goal=goal)


def _cpu(title: str, goal: float | None = None) -> Metric:
    return Metric("cpu_s_per_gb", f"{title}, broker CPU", "s/GB", higher=False, goal=goal)


def _raw_row(connections: int, in_flight: int, goal: float) -> Row:
    title = f"one-record produces, {connections} connection{'s' if connections > 1 else ''}, {in_flight} in flight"
    metrics = (
        Metric("k_per_s", title, "k/s", goal=goal),
        Metric("cpu_us", f"{title}, broker CPU", "us/request", higher=False),
        Metric("p99_ms", f"{title}, p99", "ms", higher=False),
    )
    return Row(f"raw_{connections}x{in_flight}", metrics, raw_produce(connections, in_flight))


def _latency(title: str, p50: float | None = None, p99: float | None = None) -> tuple[Metric, Metric]:
    return (
        Metric("p50_ms", f"{title}, p50", "ms", higher=False, goal=p50),
        Metric("p99_ms", f"{title}, p99", "ms", higher=False, goal=p99),
    )


def _transaction_row(key: str, title: str, client: str) -> Row:
    metrics = (
        Metric("per_s", f"transactions of 10 records, {title}", "1/s", goal=1.0),
        *_latency(f"commit of a transaction, {title}", p50=1.0, p99=1.0),
        Metric("cpu_ms", f"transactions of 10 records, {title}, broker CPU", "ms each", higher=False),
    )
    return Row(key, metrics, transactions(client))


ROWS = (
    Row("produce_1k", (_rate("produce 1 KB", 1.8), _cpu("produce 1 KB", 0.4)), produce(1024, 600_000)),
    Row(
        "produce_100b",
        (_rate("produce 100 B", 1.0, "krec/s", "krec_per_s"), _cpu("produce 100 B")),
        produce(100, 3_000_000),
    ),
    Row("produce_lz4", (_rate("produce 1 KB lz4", 0.9), _cpu("produce 1 KB lz4")), produce(1024, 600_000, codec="lz4")),
    Row(
        "produce_idempotent",
        (_rate("produce 1 KB, idempotent", 1.8), _cpu("produce 1 KB, idempotent", 0.4)),
        produce(1024, 600_000, idempotent=True),
    ),
    _transaction_row("transactions", "librdkafka", "rdkafka"),
    _transaction_row("transactions_java", "Java client", "java"),
    Row("consume_1k", (_rate("consume 1 KB", 0.9), _cpu("consume 1 KB")), consume(1024, 800_000)),
    Row("one_at_a_time", _latency("one record at a time, acks=all", p50=1.1), one_by_one("one", 10_000)),
    Row("end_to_end", _latency("produce to consume", p99=0.7), one_by_one("through", 5_000)),
    _raw_row(1, 1, 1.5),
    _raw_row(10, 1, 1.0),
    _raw_row(100, 1, 0.8),
    _raw_row(1, 16, 2.0),
    Row(
        "probe",
        (
            *_latency("probe beside full produce", p99=1.0),
            Metric("flood_mb_per_s", "the full produce beside the probe", "MB/s"),
        ),
        probe_under_load,
    ),
    Row(
        "partitions_1000",
        (_rate("produce 1 KB to 1,000 partitions"), _cpu("produce 1 KB to 1,000 partitions")),
        produce(1024, 200_000, partitions=1000),
    ),
    Row("consume_1000", (_rate("consume 1 KB from 1,000 partitions"),), consume(1024, 300_000, partitions=1000)),
    Row(
        "tls_produce",
        (_rate("produce 1 KB over TLS"), _cpu("produce 1 KB over TLS")),
        produce(1024, 300_000, tls=True),
        tls=True,
    ),
    Row(
        "tls_consume",
        (_rate("consume 1 KB over TLS"), _cpu("consume 1 KB over TLS")),
        consume(1024, 300_000, tls=True),
        tls=True,
    ),
    Row(
        "start",
        (
            Metric("start_s", "start to ready", "s", higher=False, goal=0.1),
            Metric("idle_mb", "resident memory idle", "MB", higher=False, goal=0.1),
        ),
        start_and_idle,
    ),
)
AFTER_RUNS = Metric("after_mb", "resident memory after the runs", "MB", higher=False, goal=0.1)
