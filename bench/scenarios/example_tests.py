"""What a person waits for: the tests of examples/orders on kwire and on Kafka, the broker's start included.

    python -m bench.scenarios.example_tests [--runs 3]

kwire: pytest starts a broker and makes a cluster for each test. Kafka: it is formatted and started, then pytest runs
the same tests on it, with topics of their own each. The test that needs faults is left out on both.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from pathlib import Path

from bench.targets import start

ROOT = Path(__file__).resolve().parents[2]
_TESTS = ["examples/orders", "-q", "-p", "no:randomly", "-p", "no:cacheprovider", "-k", "not lost"]


def run_tests(*more: str) -> float:
    """Seconds pytest took. SystemExit with its output when a test failed."""
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *_TESTS, *more], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise SystemExit(done.stdout + done.stderr)
    return time.monotonic() - began


def on_kafka(settings: dict[str, str]) -> tuple[float, float]:
    """Seconds of format and start, seconds of the tests."""
    with start("kafka", settings=settings) as target:
        return target.format_seconds + target.start_seconds, run_tests("--kafka", target.bootstrap)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=3)
    runs = parser.parse_args().runs
    ours: list[float] = []
    theirs: list[float] = []
    quick: list[float] = []
    for number in range(runs):
        ours.append(run_tests())
        begun, tested = on_kafka({})
        theirs.append(begun + tested)
        quick_begun, quick_tested = on_kafka({"group.initial.rebalance.delay.ms": "0"})
        quick.append(quick_begun + quick_tested)
        print(
            f"run {number + 1}: kwire {ours[-1]:.1f} s; Kafka {theirs[-1]:.1f} s ({begun:.1f} of it to start);"
            f" without the first rebalance's delay {quick[-1]:.1f} s",
            flush=True,
        )
    mine, default, undelayed = (statistics.median(each) for each in (ours, theirs, quick))
    print(
        f"median: kwire {mine:.1f} s; Kafka {default:.1f} s ({mine / default:.2f}x);"
        f" without the delay {undelayed:.1f} s ({mine / undelayed:.2f}x)"
    )


if __name__ == "__main__":
    main()
