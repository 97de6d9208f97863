"""A real broker process is killed with `kill -9` again and again while the clients of the histories are at work."""

from __future__ import annotations

from pathlib import Path

import trio

from tests.history.checker import check, report
from tests.history.model import End, Write
from tests.history.real_world import RealWorld

SECONDS = 8.0
LONG_SECONDS = 120.0


def test_a_real_process_killed_again_and_again(tmp_path: Path, long_form: bool) -> None:
    world = RealWorld(1, tmp_path)
    trio.run(world.run, LONG_SECONDS if long_form else SECONDS)
    history = world.history
    found = check(history)
    assert not found, report(history, found)
    assert "Traceback" not in world.broker.log(), world.broker.log()
    written = sum(write.acknowledged for write in history.of(Write))
    ended = sum(end.acknowledged for end in history.of(End))
    print(
        f"{len(history.operations)} operations, {written} writes and {ended} transactions acknowledged, "
        f"{dict(world.faults)}, {world.dropped} connections dropped"
    )
    assert written
    assert ended
