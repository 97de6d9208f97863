"""Every mutation of the broker is caught, by a check that is made for it, within a few histories."""

from __future__ import annotations

import time

import pytest

from tests.history.checker import check
from tests.history.mutations import MUTATIONS, Mutation
from tests.history.world import SimulatedWorld

MOST_HISTORIES = 12


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.name.replace(" ", "-"))
def test_a_mutation_is_caught(mutation: Mutation) -> None:
    began = time.monotonic()
    names: list[str] = []
    for seed in range(1, MOST_HISTORIES + 1):
        with mutation.in_force():
            history = SimulatedWorld(seed, mutation.shape).run().history
        found = check(history)
        names = sorted({anomaly.check for anomaly in found})
        if names:
            print(f"{mutation.name}: {', '.join(names)} (history {seed}, {time.monotonic() - began:.1f} s)")
        if mutation.caught_by.intersection(names):
            return
    raise AssertionError(f"none of {sorted(mutation.caught_by)} in {MOST_HISTORIES} histories; last: {names}")
