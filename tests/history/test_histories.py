"""Histories of simulated worlds, one seed after the other until the time is over: every check holds in each.

HISTORY_SECONDS: for how long (default 10). HISTORY_SEED: the first seed (default 1).
"""

from __future__ import annotations

import os
import time

import pytest

from tests.history.checker import check, report
from tests.history.world import KINDS, SimulatedWorld

SHARDS = 2
STRIDE = 1_000_000


def seconds_each() -> float:
    """What each test gets of the time, by how many run side by side."""
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    return float(os.environ.get("HISTORY_SECONDS", "10")) * workers / (len(KINDS) * SHARDS)


@pytest.mark.parametrize("shard", range(SHARDS))
@pytest.mark.parametrize("kind", KINDS)
def test_histories(kind: str, shard: int) -> None:
    seed = int(os.environ.get("HISTORY_SEED", "1")) + shard * STRIDE
    end = time.monotonic() + seconds_each()
    lived = operations = faults = 0
    while lived == 0 or time.monotonic() < end:
        result = SimulatedWorld(seed, KINDS[kind]).run()
        found = check(result.history)
        assert not found, f"seed {seed} of {kind} (python -m tests.history {kind} --seed {seed}):\n" + report(
            result.history, found
        )
        lived += 1
        operations += len(result.history.operations)
        faults += sum(result.faults.values())
        seed += 1
    print(f"{kind}: {lived} histories, {operations} operations, {faults} faults")


@pytest.mark.parametrize("kind", KINDS)
def test_the_seed_makes_the_history(kind: str) -> None:
    told = []
    for _ in range(2):
        history = SimulatedWorld(77, KINDS[kind]).run().history
        told.append([(o.number, o.process, o.invoked, o.answered, o.at_ms, o.outcome) for o in history.operations])
    assert told[0] == told[1]
