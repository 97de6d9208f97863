"""Snapshots of the metadata and a log that is cut below them, stopped at every change of the disk: nothing is lost."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

from broker.metadata_snapshots import SnapshotFile, SnapshotId
from broker.snapshot_generator import SnapshotSettings
from tests.broker.snapshot_world import World
from tests.crash.fault_storage import Crash, FaultStorage

# A snapshot after each change, the older of them and the log below them away at once.
BUSY = SnapshotSettings(max_bytes=1, interval_ms=0, retention_bytes=0, retention_ms=-1)
TOPICS = 7
SEGMENT_BYTES = 3000


def history(storage: FaultStorage, done: list[str], *, clean: bool = True) -> World:
    """Topics one after the other; `done` gets each name once the controller has answered."""
    world = World(Path("/data"), BUSY, SEGMENT_BYTES, storage=storage, clean=clean)
    for number in range(TOPICS):
        name = f"t{number}"
        world.create(name)
        done.append(name)
        world.settle()
    world.clock.advance(60_000)
    return world


def new_storage() -> FaultStorage:
    storage = FaultStorage()
    storage.mkdir("/data")
    storage.sync_dir("/")
    return storage


def steps_of_a_whole_history() -> int:
    storage = new_storage()
    world = history(storage, [])
    assert world.log.segments.first.base_offset > 0, "segments were deleted"
    return storage.steps


@pytest.mark.parametrize("keep", [0.0, 0.5])
def test_a_finished_snapshot_outlives_a_power_loss(keep: float) -> None:
    storage = new_storage()
    storage.sync_dir("/data")
    file = SnapshotFile(storage, "/data", SnapshotId(7, 1))
    file.write(b"first")
    file.write(b"second")
    file.finish()
    for seed in range(5):
        after = storage.after_power_loss(Random(seed), keep=keep)
        assert {name: bytes(data) for name, data in after.files()} == {
            f"/data/{SnapshotId(7, 1).file_name}": b"firstsecond"
        }


@pytest.mark.parametrize("power_loss", [False, True], ids=["kill", "power loss"])
def test_what_was_answered_is_there_after_a_stop_at_any_change(
    request: pytest.FixtureRequest, power_loss: bool
) -> None:
    random = Random(7)
    step = 1 if request.config.getoption("--long", default=False) else 9
    first = new_storage().steps + 1 + int(power_loss)
    for crash_at in range(first, steps_of_a_whole_history(), step):
        storage = new_storage()
        storage.crash_at = crash_at
        storage.torn = bool(crash_at % 2)
        done: list[str] = []
        with pytest.raises(Crash):
            history(storage, done)
        after = storage.after_power_loss(random) if power_loss else storage.after_kill()
        again = World(Path("/data"), BUSY, SEGMENT_BYTES, storage=after, clean=False)
        names = sorted(topic.name for topic in again.controller.image.topics())
        asked = [f"t{number}" for number in range(len(done) + 1)]
        assert names in (done, asked), f"stopped at change {crash_at}: {names}, answered were {done}"
        assert all(len(topic.partitions) == 3 for topic in again.controller.image.topics())
        again.create("more")
        again.settle()
        assert again.controller.image.topic_by_name("more") is not None
