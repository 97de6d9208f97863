"""20,000 partitions on one kwire: creation, a record to each, memory, descriptors; starts after a clean and a hard stop

Every partition's end offset is asked for after each start: one record a round, none lost. After a hard stop each log is
checked before requests are answered, as Kafka does it; that start is told, and has no threshold.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from bench import process, wire
from bench.rows import random_values
from bench.scenarios.common import Outcome, raise_file_limit
from bench.targets import ROOT

_A_TOPIC = 1000
_AT_ONCE = 100
_DESCRIPTORS = 4096  # a limit as of small machines, far below a descriptor per file
_START_LIMIT_S = 5.0
_MEMORY_LIMIT_MB = 400.0


class _Broker:
    """A `kwire serve` on a directory that outlives it."""

    def __init__(self, directory: Path) -> None:
        ready = directory / "ready"
        ready.unlink(missing_ok=True)
        began = time.monotonic()
        command = [sys.executable, "-m", "kwire", "serve", "--port", "0", "--data-dir", str(directory / "data")]
        with open(directory / "broker.log", "ab") as log:
            self.process = subprocess.Popen(
                ["prlimit", f"--nofile={_DESCRIPTORS}", *command, "--ready-file", str(ready)],
                cwd=ROOT,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        while not ready.exists():
            if self.process.poll() is not None:
                raise RuntimeError((directory / "broker.log").read_text()[-2000:])
            time.sleep(0.002)
        self.bootstrap = ready.read_text().strip()
        wire.is_ready(self.bootstrap)
        self.start_seconds = time.monotonic() - began

    def stop(self, number: signal.Signals) -> float:
        began = time.monotonic()
        self.process.send_signal(number)
        self.process.wait()
        return time.monotonic() - began

    def figures(self) -> dict[str, float]:
        return {
            "rss_mb": round(process.memory_mb(self.process.pid), 1),
            "descriptors": len(os.listdir(f"/proc/{self.process.pid}/fd")),
        }


def _pipelined(bootstrap: str, frames: Iterator[bytes]) -> Iterator[bytes]:
    """The answers, some requests in flight."""
    with wire.connect(bootstrap, 60) as sock:
        waiting = 0
        for each in frames:
            sock.sendall(each)
            waiting += 1
            if waiting == _AT_ONCE:
                yield wire.read_frame(sock)
                waiting -= 1
        for _ in range(waiting):
            yield wire.read_frame(sock)


def _produce_to_all(bootstrap: str, topics: list[str]) -> tuple[int, float]:
    """(errors, seconds)"""
    batch = wire.record_batch(random_values(100, 1))
    began, errors = time.monotonic(), 0
    for topic in topics:
        at = wire.produce_error_offset(topic) - 4
        frames = (wire.produce_frame(topic, index, batch) for index in range(_A_TOPIC))
        errors += sum(struct.unpack_from(">h", answer, at)[0] != 0 for answer in _pipelined(bootstrap, frames))
    return errors, time.monotonic() - began


def _ends(bootstrap: str, topics: list[str]) -> set[int]:
    ends: set[int] = set()
    for topic in topics:
        frames = (wire.list_offsets_frame(topic, index) for index in range(_A_TOPIC))
        ends.update(struct.unpack_from(">q", answer, len(answer) - 8)[0] for answer in _pipelined(bootstrap, frames))
    return ends


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--partitions", type=int, default=20_000)
    count = parser.parse_args().partitions // _A_TOPIC
    topics = [f"many-{number:03}" for number in range(count)]
    raise_file_limit(20_000)
    outcome = Outcome({"partitions": count * _A_TOPIC})
    with tempfile.TemporaryDirectory(prefix="kwire-many-") as name:
        directory = Path(name)
        broker = _Broker(directory)
        try:
            outcome.figures["empty"] = {"start_s": round(broker.start_seconds, 3), **broker.figures()}
            began = time.monotonic()
            for topic in topics:
                wire.create_topic(broker.bootstrap, topic, _A_TOPIC)
            outcome.figures["created"] = {"seconds": round(time.monotonic() - began, 2), **broker.figures()}
            made = [path.name for path in (directory / "data").iterdir() if path.name.startswith("many-")]
            outcome.holds("nothing_on_disk_before_it_is_used", not made)
            for round_number, number in enumerate((signal.SIGTERM, signal.SIGKILL), 1):
                errors, seconds = _produce_to_all(broker.bootstrap, topics)
                produced = {"records_per_s": round(count * _A_TOPIC / seconds), **broker.figures()}
                outcome.at_most(f"errors_{round_number}", errors, 0)
                stopped = broker.stop(number)
                broker = _Broker(directory)
                outcome.figures[f"round_{round_number}"] = {
                    "produced": produced,
                    number.name.lower(): round(stopped, 2),
                    "started_again": broker.figures(),
                }
                if number is signal.SIGTERM:
                    outcome.at_most("start_s_after_sigterm", broker.start_seconds, _START_LIMIT_S)
                else:
                    outcome.figures["start_s_after_sigkill"] = round(broker.start_seconds, 2)
                ends = _ends(broker.bootstrap, topics)
                outcome.holds(f"one_record_a_round_{round_number}", ends == {round_number})
            outcome.at_most("rss_mb", broker.figures()["rss_mb"], _MEMORY_LIMIT_MB)
            outcome.at_most("descriptors", broker.figures()["descriptors"], _DESCRIPTORS)
        finally:
            broker.stop(signal.SIGKILL)
    print(json.dumps({"passed": not outcome.missed, "missed": outcome.missed, **outcome.figures}, indent=1))
    return 1 if outcome.missed else 0


if __name__ == "__main__":
    sys.exit(main())
