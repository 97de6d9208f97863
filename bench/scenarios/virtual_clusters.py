"""Virtual clusters: what making, keeping and deleting them costs, and what a thousand idle ones cost the hot path.

`python -m bench.scenarios.virtual_clusters`: 200 clusters made and deleted one after the other over HTTP, each with
three topics; 1,000 kept at the same time; produce requests by turns to the broker that has them and to one without (its
own cluster each time), as the machine may be busy with other things.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path

from bench import process, wire
from bench.load import programs
from bench.rows import random_values, topic
from bench.scenarios import common
from bench.targets import SETTINGS, Target
from kwire.testing import Broker, Cluster

CREATE_MS = 10.0
AT_REST_KB = 1024.0
COME_AND_GO_S = 3.0
ALL_MB = 1024.0
HOT_PATH_SHARE = 0.98
TOPICS = {"a": 3, "b": 1, "c": 1}


def come_and_go(broker: Broker, count: int) -> tuple[float, list[float]]:
    """Seconds for all, and each creation's milliseconds as the client sees it."""
    creations = []
    began = time.perf_counter()
    for _ in range(count):
        before = time.perf_counter()
        cluster = broker.create_cluster(topics=TOPICS)
        creations.append((time.perf_counter() - before) * 1000)
        cluster.delete()
    return time.perf_counter() - began, creations


def use(cluster: Cluster) -> None:
    """What a small test does: a record, and a group that commits."""
    cluster.produce("a", "one", partition=0)


def throughput(target: Target, seconds: float) -> tuple[float, float]:
    """Produce requests a second, and a CPU second of the broker."""
    with topic(target, "hot") as name:
        frame = wire.produce_frame(name, 0, wire.record_batch(random_values(100, 1)))
        offset = wire.produce_error_offset(name)
        with programs.raw(target, frame, connections=10, seconds=seconds, error_offset=offset) as load:
            load.begin()
            found = load.finish()
    return float(found["per_second"]), float(found["requests"]) / max(found.broker_cpu_seconds, 0.01)


def measure(arguments: argparse.Namespace, outcome: common.Outcome) -> None:
    options = [each for name, value in SETTINGS.items() for each in ("--set", f"{name}={value}")]
    with Broker.start(options=options, log_level="WARN") as broker, tempfile.TemporaryDirectory() as directory:
        assert broker.pid is not None
        target = Target("kwire", broker.cluster().bootstrap_servers, broker.pid, Path(directory))
        come_and_go(broker, 5)
        cpu = target.cpu_seconds()
        took, creations = come_and_go(broker, 200)
        outcome.at_most("come_and_go_200_s", took, COME_AND_GO_S)
        outcome.figures["come_and_go_200_broker_cpu_s"] = round(target.cpu_seconds() - cpu, 2)
        outcome.at_most("create_p50_ms", statistics.median(creations), CREATE_MS)
        outcome.figures["create_p99_ms"] = round(sorted(creations)[int(len(creations) * 0.99)], 2)
        before = process.memory_mb(broker.pid)
        outcome.figures["rss_before_mb"] = round(before, 1)
        clusters = [broker.create_cluster(topics=TOPICS) for _ in range(arguments.clusters)]
        after = process.memory_mb(broker.pid)
        outcome.figures["clusters"] = arguments.clusters
        outcome.at_most("at_rest_kb", (after - before) * 1024 / arguments.clusters, AT_REST_KB)
        outcome.at_most("rss_mb", after, ALL_MB * arguments.clusters / 1000)
        cpu = target.cpu_seconds()
        time.sleep(3.0)
        outcome.figures["idle_cpu_percent"] = round((target.cpu_seconds() - cpu) / 3 * 100, 1)
        _beside(target, options, arguments, outcome)
        for cluster in clusters[: arguments.clusters // 10]:
            use(cluster)
        used = process.memory_mb(broker.pid)
        outcome.figures["used_kb"] = round((used - after) * 1024 / max(arguments.clusters // 10, 1), 1)
        began = time.perf_counter()
        for cluster in clusters:
            cluster.delete()
        outcome.figures["delete_ms"] = round((time.perf_counter() - began) * 1000 / arguments.clusters, 2)
        outcome.figures["rss_after_deleting_mb"] = round(process.memory_mb(broker.pid), 1)
        _forks(broker, arguments, outcome)


def _beside(target: Target, options: list[str], arguments: argparse.Namespace, outcome: common.Outcome) -> None:
    """Requests a second, and a CPU second, of the broker with all the clusters and of one without, by turns."""
    found: dict[str, list[tuple[float, float]]] = {"beside": [], "alone": []}
    with Broker.start(options=options, log_level="WARN") as other:
        assert other.pid is not None
        alone = Target("kwire", other.cluster().bootstrap_servers, other.pid, target.directory)
        for number in range(2 * arguments.rounds):
            pair = ("beside", "alone") if number % 2 else ("alone", "beside")
            for name in pair:
                found[name].append(throughput(target if name == "beside" else alone, arguments.seconds))
    for name, runs in found.items():
        outcome.figures[f"{name}_per_s"] = round(statistics.median(each[0] for each in runs))
        outcome.figures[f"{name}_per_cpu_s"] = round(statistics.median(each[1] for each in runs))
    share = outcome.figures["beside_per_cpu_s"] / outcome.figures["alone_per_cpu_s"]
    outcome.figures["hot_path_share"] = round(share, 3)
    outcome.figures["hot_path_share_wanted"] = HOT_PATH_SHARE


def _forks(broker: Broker, arguments: argparse.Namespace, outcome: common.Outcome) -> None:
    """A cluster with so many megabytes, kept in a snapshot and forked."""
    seed = broker.create_cluster(topics={"t": 1})
    for _ in range(arguments.megabytes):
        seed.produce("t", "x" * 500_000, "y" * 500_000, partition=0)
    took = []
    for step in (lambda: seed.snapshots.take("s"), lambda: seed.snapshots.fork("s"), lambda: seed.snapshots.fork("s")):
        began = time.perf_counter()
        step()
        took.append(round((time.perf_counter() - began) * 1000, 2))
    outcome.figures["forked_mb"] = arguments.megabytes
    outcome.figures["snapshot_ms"], outcome.figures["first_fork_ms"], outcome.figures["next_fork_ms"] = took


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clusters", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=1.0, help="of each throughput")
    parser.add_argument("--rounds", type=int, default=4, help="of two throughputs of each broker")
    parser.add_argument("--megabytes", type=int, default=20, help="in the cluster that is forked")
    arguments = parser.parse_args()
    common.raise_file_limit(20_000)
    outcome = common.Outcome()
    measure(arguments, outcome)
    print(json.dumps({"passed": not outcome.missed, "missed": outcome.missed, **outcome.figures}, indent=1))
    return 1 if outcome.missed else 0


if __name__ == "__main__":
    sys.exit(main())
