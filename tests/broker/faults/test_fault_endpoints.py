"""Fault rules over HTTP: added, shown, removed; what is wrong is told, and nothing is half done."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import trio
from attrs import fields

from broker.control.faults import FaultRule
from broker.faults.faults import MOST_RULES
from broker.faults.spec import RuleSpec
from broker.virtual.spec import ClusterSpec
from kwire.messages.api_versions import ApiVersionsRequest
from tests.broker.http_helpers import Plane, running_plane

PATH = "/v1/clusters/one/faults"


def with_cluster(directory: Path, scene: Callable[[Plane], Awaitable[None]]) -> None:
    async def main() -> None:
        async with running_plane(directory) as plane:
            plane.clusters.create(ClusterSpec(name="one"))
            await scene(plane)

    trio.run(main)


def test_added_shown_and_removed(tmp_path: Path) -> None:
    async def scene(plane: Plane) -> None:
        answer = await plane.request("POST", PATH, {"api": "ApiVersions", "error": "unknown_server_error", "times": 2})
        assert answer.status == 201
        added = answer.json
        assert (added["id"], added["state"], added["matched"], added["fired"]) == (1, "active", 0, 0)
        assert added["rule"] == {"api": ["ApiVersions"], "error": "UNKNOWN_SERVER_ERROR", "times": 2}
        await plane.post(PATH, {"name": "slow", "delay_ms": [1, 2], "partition": [3, 1], "topic": "x*"})
        virtual = plane.clusters.get("one")
        client = await plane.running.connect(virtual.cluster)
        assert (await client.send(ApiVersionsRequest(), 1)).error_code == -1
        shown = await plane.get(f"{PATH}/1")
        assert (shown["matched"], shown["fired"], shown["state"]) == (1, 1, "active")
        assert [seen["outcome"] for seen in shown["recent"]] == ["fired"]
        assert (await plane.get(f"{PATH}/slow"))["rule"]["partition"] == [1, 3]
        assert [rule["id"] for rule in (await plane.get(PATH))["rules"]] == [1, 2]
        assert (await plane.request("DELETE", f"{PATH}/slow")).json["name"] == "slow"
        gone = await plane.request("GET", f"{PATH}/slow")
        assert (gone.status, gone.error["code"], gone.error["allowed"]) == (404, "unknown_rule", ["1"])
        assert len((await plane.request("DELETE", PATH)).json["rules"]) == 1
        assert (await client.send(ApiVersionsRequest(), 1)).error_code == 0
        assert not virtual.cluster.interception._interceptors

    with_cluster(tmp_path, scene)


@pytest.mark.parametrize(
    ("rule", "named", "allowed"),
    [
        ({"api": "Produce", "eror": "NOT_LEADER_OR_FOLLOWER"}, "eror", "error"),
        ({"api": "Prodcue", "error": "NOT_LEADER_OR_FOLLOWER"}, "Prodcue", "Produce"),
        ({"api": "Produce", "error": "NOT_A_LEADER"}, "NOT_A_LEADER", "NOT_LEADER_OR_FOLLOWER"),
        ({"api": "Produce", "version": "0-2", "error": "NOT_LEADER_OR_FOLLOWER"}, "0-2", "Produce: 3-13"),
        ({"api": "Produce", "version": "x", "drop_reply": True}, "version", None),
        ({"api": "Heartbeat", "topic": "orders", "drop_reply": True}, "topic", "Produce"),
        ({"api": "Produce"}, "nothing", "drop_reply"),
        ({"api": "Produce", "drop_reply": True, "drop_connection": True}, "exclude", None),
        ({"probability": 1.5, "drop_reply": True}, "probability", None),
        ({"times": 0, "drop_reply": True}, "times", None),
        ({"delay_ms": [5, 1]}, "delay_ms", None),
        ({"delay_ms": -1}, "delay_ms", None),
        ({"disk_full": True, "api": "Produce"}, "api", None),
        ({"disk_error": "write"}, "disk_error", "append"),
        ({"connect": "refuse", "topic": "t"}, "connect", None),
        ({"node": 7, "drop_reply": True}, "node", 1),
        ({"name": "17", "drop_reply": True}, "name", None),
        ({"until_ms": 5, "drop_reply": True}, "until_ms", None),
        ({"for_ms": 5, "until_ms": 5, "drop_reply": True}, "until_ms", None),
        ({"drop_request": True, "when": "after"}, "drop_request", "before"),
        ({"message": "x", "drop_reply": True}, "message", None),
        ({"stall": 0}, "stall", None),
        ({"topic": "x" * 1001, "drop_reply": True}, "topic", None),
    ],
)
def test_what_is_wrong_is_told(tmp_path: Path, rule: dict[str, Any], named: str, allowed: object) -> None:
    async def scene(plane: Plane) -> None:
        answer = await plane.request("POST", PATH, rule)
        assert answer.status == 400, answer.body
        assert named in answer.error["message"]
        if allowed is not None:
            assert allowed in answer.error["allowed"]
        assert (await plane.get(PATH))["rules"] == [], "nothing half done"

    with_cluster(tmp_path, scene)


def test_a_cluster_that_is_not_there_and_a_bound(tmp_path: Path) -> None:
    async def scene(plane: Plane) -> None:
        assert (await plane.request("GET", "/v1/clusters/none/faults")).error["code"] == "unknown_cluster"
        assert (await plane.request("POST", "/v1/clusters/none/faults", {"drop_reply": True})).status == 404
        faults = plane.clusters.get("one").faults
        for _ in range(MOST_RULES):
            faults.add({"api": "ElectLeaders", "drop_reply": True})
        answer = await plane.request("POST", PATH, {"drop_reply": True})
        assert (answer.status, answer.error["code"]) == (409, "too_many_rules")
        twice = {"name": "a", "drop_reply": True, "api": "ElectLeaders"}
        faults.remove(1)
        await plane.post(PATH, twice)
        faults.remove(2)
        answer = await plane.request("POST", PATH, twice)
        assert answer.status == 400
        assert "already" in answer.error["message"]

    with_cluster(tmp_path, scene)


def test_rules_stay_when_the_cluster_is_restored(tmp_path: Path) -> None:
    async def scene(plane: Plane) -> None:
        virtual = plane.clusters.get("one")
        virtual.faults.add({"api": "ApiVersions", "error": "UNKNOWN_SERVER_ERROR", "for_ms": 60_000})
        plane.clusters.take_snapshot("one", "s")
        plane.clusters.restore("one", "s")
        client = await plane.running.connect(virtual.cluster)
        assert (await client.send(ApiVersionsRequest(), 1)).error_code == -1
        await plane.post("/v1/clusters/one/clock/advance", {"ms": 60_000})
        assert (await client.send(ApiVersionsRequest(), 1)).error_code == 0
        assert (await plane.get(PATH))["rules"][0]["state"] == "expired"

    with_cluster(tmp_path, scene)


def test_the_endpoint_knows_every_field() -> None:
    known = {field.name for field in fields(RuleSpec)} - {"keys", "versions"}
    assert set(FaultRule.__struct_fields__) == known
