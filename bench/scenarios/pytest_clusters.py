"""200 tests with a fresh cluster each: what the broker adds to them, how long the session's broker takes to start.

The same tests are run without and with `kafka_cluster`, in a pytest of their own; then with forks of a seeded cluster.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from importlib.metadata import entry_points
from pathlib import Path

from bench.scenarios import common
from kwire.testing import Broker

LIMIT_S = 3.0
ROOT = Path(__file__).resolve().parents[2]

_TESTS = """
import pytest

@pytest.fixture(scope="session")
def seeded(kafka_broker):
    with kafka_broker.create_cluster(topics={{"orders": 6}}) as cluster:
        cluster.produce("orders", *range(1000))
        yield cluster

{mark}
@pytest.mark.parametrize("n", range({tests}))
def test_it({fixtures}):
    pass
"""
_FORM = {
    "without": ("", "n"),
    "fresh": ("", "n, kafka_cluster"),
    "fresh_with_topics": ("@pytest.mark.kafka(nodes=3, topics={'orders': 6})", "n, kafka_cluster"),
    "forked": ("@pytest.mark.kafka(snapshot='seeded')", "n, kafka_cluster"),
}


def _seconds(form: str, tests: int, url: str) -> float:
    """The time pytest says that the tests took."""
    mark, fixtures = _FORM[form]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:randomly", "-p", "no:cacheprovider", "--kwire-url", url]
    if not any(each.value == "pytest_kwire.plugin" for each in entry_points(group="pytest11")):
        command += ["-p", "pytest_kwire.plugin"]
    with tempfile.TemporaryDirectory() as directory:
        Path(directory, "test_it.py").write_text(_TESTS.format(mark=mark, tests=tests, fixtures=fixtures))
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        done = subprocess.run(command, cwd=directory, env=environment, capture_output=True, text=True)
    said = re.search(rf"{tests} passed in ([0-9.]+)s", done.stdout)
    if said is None:
        raise RuntimeError(done.stdout + done.stderr)
    return float(said[1])


def _start_s() -> float:
    began = time.monotonic()
    with Broker.start():
        return time.monotonic() - began


def main() -> int:
    """Print the figures; 1 when a threshold was missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tests", type=int, default=200)
    parser.add_argument("--runs", type=int, default=3, help="the best of so many counts")
    arguments = parser.parse_args()
    outcome = common.Outcome()
    outcome.figures["session_start_s"] = round(min(_start_s() for _ in range(arguments.runs)), 3)
    with Broker.start() as broker:
        best = {form: min(_seconds(form, arguments.tests, broker.url) for _ in range(arguments.runs)) for form in _FORM}
        outcome.figures["pytest_alone_s"] = best["without"]
        for form in list(_FORM)[1:]:
            outcome.at_most(f"{form}_s", best[form] - best["without"], LIMIT_S)
    print(json.dumps({"passed": not outcome.missed, "missed": outcome.missed, **outcome.figures}, indent=1))
    return 1 if outcome.missed else 0


if __name__ == "__main__":
    sys.exit(main())
