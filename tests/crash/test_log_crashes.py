"""The process or the machine dies at every single change of a history; what was promised is there afterwards."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.crash.fault_storage import Crash, FaultStorage
from tests.crash.log_history import HISTORY, Promises, World, check, run


def changes_of_the_history() -> int:
    storage = FaultStorage()
    run(storage, HISTORY)
    return storage.steps


CHANGES = changes_of_the_history()


def live_until(crash_at: int, *, torn: bool = False) -> tuple[FaultStorage, dict[tuple[str, int], Promises]]:
    """The storage as the crash left it, and what had been promised."""
    storage = FaultStorage()
    storage.crash_at = crash_at
    storage.torn = torn
    world = World(storage)
    try:
        world.start()
        for step in HISTORY:
            step(world)
    except Crash:
        pass
    return storage, world.promises


@pytest.mark.parametrize("torn", [False, True])
def test_a_killed_process_loses_nothing_that_was_acknowledged(torn: bool, long_form: bool) -> None:
    for crash_at in range(1, CHANGES + 1, 3 if torn and not long_form else 1):
        storage, promises = live_until(crash_at, torn=torn)
        try:
            check(storage.after_kill(), promises, power_loss=False)
        except BaseException as error:
            error.add_note(f"killed at change {crash_at}: {storage.trace[-1]}")
            raise


@pytest.mark.parametrize("keep", [0.0, 1.0])
def test_a_power_loss_at_every_change_loses_nothing_that_was_synced(keep: float, long_form: bool) -> None:
    for crash_at in range(1, CHANGES + 1, 3 if keep and not long_form else 1):
        storage, promises = live_until(crash_at)
        try:
            check(storage.after_power_loss(Random(crash_at), keep=keep), promises, power_loss=True)
        except BaseException as error:
            error.add_note(f"power lost at change {crash_at}: {storage.trace[-1]}")
            raise


@given(
    crash_at=st.integers(1, CHANGES),
    seed=st.integers(0, 2**32),
    keep=st.floats(0, 1),
    torn=st.booleans(),
)
def test_any_subset_of_unsynced_changes_may_be_lost_or_torn(crash_at: int, seed: int, keep: float, torn: bool) -> None:
    storage, promises = live_until(crash_at, torn=torn)
    check(storage.after_power_loss(Random(seed), keep=keep), promises, power_loss=True)


@given(
    first=st.integers(1, CHANGES),
    second=st.integers(1, 40),
    seed=st.integers(0, 2**32),
)
def test_a_second_power_loss_during_recovery(first: int, second: int, seed: int) -> None:
    random = Random(seed)
    storage, promises = live_until(first)
    again = storage.after_power_loss(random)
    again.crash_at = second
    world = World(again)
    try:
        world.start()
        for key in promises:
            world.log(key)
    except Crash:
        pass
    check(again.after_power_loss(random), promises, power_loss=True)
