"""What the scenarios share: arguments, the probe, thresholds."""

from __future__ import annotations

import argparse
import contextlib
import json
import resource
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from bench import process, targets, wire
from bench.load import programs
from bench.load.programs import Generator
from bench.rows import random_values, topic
from bench.targets import Target

PROBE_P99_MS = 5.0


@dataclass
class Outcome:
    """Figures, and the thresholds they were held against."""

    figures: dict[str, Any] = field(default_factory=dict)
    missed: list[str] = field(default_factory=list)

    def at_most(self, name: str, value: float, limit: float) -> None:
        """Record a figure that must not exceed `limit`."""
        self.figures[name] = round(value, 3)
        self.figures[f"{name}_limit"] = limit
        if value > limit:
            self.missed.append(f"{name} is {value:.3f}, at most {limit} is allowed")

    def holds(self, name: str, value: bool) -> None:
        """Record a condition that must hold."""
        self.figures[name] = value
        if not value:
            self.missed.append(f"not so: {name}")


def raise_file_limit(wanted: int) -> int:
    """Allow as many open files as possible, up to `wanted`; what is allowed now. Children inherit it."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    allowed = min(wanted, hard) if hard != resource.RLIM_INFINITY else wanted
    resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
    return allowed


@contextlib.contextmanager
def probe(target: Target, seconds: float, interval_us: int = 5000) -> Iterator[Generator]:
    """A client that produces one record each `interval_us` to a topic of its own and times the answers."""
    with topic(target, "probe") as name:
        frame = wire.produce_frame(name, 0, wire.record_batch(random_values(100, 1)))
        offset = wire.produce_error_offset(name)
        with programs.raw(target, frame, seconds=seconds, interval_us=interval_us, error_offset=offset) as made:
            yield made


def run(
    description: str,
    scenario: Callable[[Target, argparse.Namespace, Outcome], None],
    *,
    settings: dict[str, str] | None = None,
    options: Callable[[argparse.ArgumentParser], None] | None = None,
    given: list[str] | None = None,
) -> int:
    """Start the target, run the scenario, print the outcome; 0 when every threshold held."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--target", default="kwire", help="kwire, kafka or host:port")
    parser.add_argument("--nice", type=int, default=0, help="niceness of clients and broker, e.g. -20")
    if options is not None:
        options(parser)
    arguments = parser.parse_args(given)
    raise_file_limit(20_000)
    if arguments.nice:
        process.set_niceness(arguments.nice)
    outcome = Outcome()
    with targets.start(arguments.target, settings=settings) as target:
        outcome.figures["target"] = target.name
        with probe(target, 1.0) as alone:
            alone.begin()
            outcome.figures["probe_alone_p99_ms"] = alone.finish()["p99_ms"]
        scenario(target, arguments, outcome)
        outcome.holds("still_serving", wire.is_ready(target.bootstrap))
    print(json.dumps({"passed": not outcome.missed, "missed": outcome.missed, **outcome.figures}, indent=1))
    sys.stdout.flush()
    return 1 if outcome.missed else 0
