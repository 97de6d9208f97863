"""A cluster's clock over HTTP."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import trio

from broker.virtual.spec import ClusterSpec
from tests.broker.http_helpers import Plane, running_plane

NOW_MS = 1_800_000_000_000
PATH = "/v1/clusters/one/clock"


def with_cluster(directory: Path, scene: Callable[[Plane], Awaitable[None]]) -> None:
    async def main() -> None:
        async with running_plane(directory) as plane:
            plane.clusters.create(ClusterSpec(name="one", now_ms=NOW_MS))
            await scene(plane)

    trio.run(main)


def test_freeze_advance_and_resume(tmp_path: Path) -> None:
    async def scene(plane: Plane) -> None:
        frozen = await plane.post(f"{PATH}/freeze")
        assert frozen["state"] == "frozen"
        assert frozen["driven"]
        now_ms = frozen["now_ms"]
        assert NOW_MS <= now_ms < NOW_MS + 60_000
        advanced = await plane.post(f"{PATH}/advance", {"ms": 86_400_000})
        assert advanced["now_ms"] == now_ms + 86_400_000
        assert advanced["state"] == "frozen"
        arrived = await plane.post(f"{PATH}/advance", {"to_ms": NOW_MS + 10 * 86_400_000})
        assert arrived["now_ms"] == NOW_MS + 10 * 86_400_000
        shown = await plane.get(PATH)
        assert abs(shown.pop("ahead_ms") - arrived.pop("ahead_ms")) < 20_000  # the machine's clock goes on
        assert shown == arrived
        assert (await plane.post(f"{PATH}/rate", {"rate": 2.5}))["rate"] == 2.5
        assert (await plane.post(f"{PATH}/resume"))["state"] == "running"

    with_cluster(tmp_path, scene)


@pytest.mark.parametrize(
    ("order", "body", "named"),
    [
        ("advance", {"ms": -1}, "does not go back"),
        ("advance", {"to_ms": NOW_MS - 1}, "does not go back"),
        ("advance", {"ms": 1e300}, "100 years"),
        ("advance", {}, "either"),
        ("advance", {"ms": 1, "to_ms": NOW_MS * 2}, "either"),
        ("advance", {"by": 1}, "by"),
        ("rate", {"rate": 0}, "0.001 to 10000"),
        ("rate", {"rate": "fast"}, "rate"),
    ],
)
def test_what_is_refused_changes_nothing(tmp_path: Path, order: str, body: Any, named: str) -> None:
    async def scene(plane: Plane) -> None:
        before = await plane.post(f"{PATH}/freeze")
        answer = await plane.request("POST", f"{PATH}/{order}", body)
        assert answer.status == 400, answer.body
        assert named in answer.error["message"]
        after = await plane.get(PATH)
        assert (after["now_ms"], after["rate"]) == (before["now_ms"], before["rate"])

    with_cluster(tmp_path, scene)


def test_a_clock_that_is_a_programs_own(tmp_path: Path) -> None:
    """The test's default cluster has one that only the test moves."""

    async def scene(plane: Plane) -> None:
        answer = await plane.request("GET", "/v1/clusters/default/clock")
        assert (answer.status, answer.error["code"]) == (409, "clock_not_driven")
        answer = await plane.request("GET", "/v1/clusters/two/clock")
        assert (answer.status, answer.error["code"]) == (404, "unknown_cluster")
        assert "one" in answer.error["allowed"]

    with_cluster(tmp_path, scene)


def test_all_who_advance_at_once_arrive_one_after_the_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Others are served after every timer, as they are on a slow machine; who orders something else waits too."""
    monkeypatch.setattr("broker.driven_clock._SLICE_MS", -1.0)

    async def scene(plane: Plane) -> None:
        frozen = await plane.post(f"{PATH}/freeze")
        answers: list[int] = []

        async def advance() -> None:
            answer = await plane.door.request("POST", f"{PATH}/advance", {"ms": 7 * 86_400_000})
            assert answer.status == 200, answer.body
            answers.append(answer.json["now_ms"] - frozen["now_ms"])

        async def order(name: str, body: Any) -> None:
            answer = await plane.door.request("POST", f"{PATH}/{name}", body)
            assert answer.status == 200, answer.body

        async with trio.open_nursery() as nursery:
            for _ in range(4):
                nursery.start_soon(advance)
            nursery.start_soon(order, "freeze", {})
            nursery.start_soon(order, "rate", {"rate": 2})
        assert sorted(answers) == [each * 7 * 86_400_000 for each in (1, 2, 3, 4)]

    with_cluster(tmp_path, scene)


def test_what_threads_have_in_hand_is_done_before_and_after(tmp_path: Path) -> None:
    """Files that retention has set aside are gone when the advance is answered."""

    async def scene(plane: Plane) -> None:
        await plane.post(f"{PATH}/freeze")
        cluster = plane.clusters.get("one").cluster
        client = await plane.running.connect(cluster)
        await client.create_topic("t", retention_ms="60000")
        await client.produce("t", b"x", timestamp=NOW_MS)
        directory = "/virtual/t-0"
        assert "00000000000000000000.log" in cluster.storage.list_dir(directory)
        await plane.post(f"{PATH}/advance", {"ms": 86_400_000})
        names = cluster.storage.list_dir(directory)
        assert [name for name in names if name.startswith("00000000000000000000")] == []
        assert cluster.threads.running == 0

    with_cluster(tmp_path, scene)


def test_a_cluster_is_deleted_while_its_clock_is_on_its_way(tmp_path: Path) -> None:
    async def scene(plane: Plane) -> None:
        cluster = plane.clusters.get("one").cluster
        client = await plane.running.connect(cluster)
        await client.create_topic("t")
        turns = 0

        def again() -> None:
            nonlocal turns
            turns += 1
            if turns < 1_000_000:
                cluster.clock.call_later(1, again)

        again()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(plane.door.request, "POST", f"{PATH}/advance", {"ms": 10_000_000})
            while turns < 2:
                await trio.lowlevel.checkpoint()
            assert (await plane.request("DELETE", "/v1/clusters/one")).status == 204
        assert turns < 1_000_000

    with_cluster(tmp_path, scene)
