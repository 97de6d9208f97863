"""Requests that wait for something of a cluster that is not served any more."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import trio

from broker.virtual.cluster import VirtualCluster
from tests.broker.http_helpers import running_plane


@pytest.mark.parametrize("how", ["deleted", "restored"])
def test_who_waits_for_replicas_is_told_that_the_cluster_is_gone(tmp_path: Path, how: str) -> None:
    async def main() -> None:
        async with running_plane(tmp_path) as plane:
            topic = {"partitions": 1, "replication_factor": 2, "configs": {"min.insync.replicas": "2"}}
            await plane.post("/v1/clusters", {"name": "c", "nodes": 2, "topics": {"t": topic}})
            await plane.post("/v1/clusters/c/snapshots", {"name": "s"})
            for node in (1, 2):
                await plane.request("PUT", f"/v1/clusters/c/nodes/{node}/replication", {"state": "frozen"})
            answers: list[Any] = []

            async def produce() -> None:
                body = json.dumps({"records": [{"value": 1}], "timeout_ms": 300_000}).encode()
                answers.append(await plane.door.request("POST", "/v1/clusters/c/topics/t/records", body))

            async with trio.open_nursery() as nursery:
                nursery.start_soon(produce)
                while sum(each["log_end_offset"] for each in await partitions(plane)) == 0:
                    await trio.lowlevel.checkpoint()
                if how == "deleted":
                    await plane.request("DELETE", "/v1/clusters/c")
                else:
                    await plane.post("/v1/clusters/c/restore", {"snapshot": "s"})
            (answer,) = answers
            assert (answer.status, answer.error["code"]) == (409, "cluster_ended")

    async def partitions(plane: Any) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = (await plane.get("/v1/clusters/c/topics/t"))["partitions"]
        return found

    trio.run(main)


def test_a_cluster_that_is_deleted_while_it_is_made(tmp_path: Path) -> None:
    async def main() -> None:
        async with running_plane(tmp_path) as plane:

            def delete_soon(virtual: VirtualCluster) -> None:
                plane.running.server.reactor.call_soon(lambda: plane.clusters.delete(virtual.name))

            plane.clusters.on_created(delete_soon)
            # Records of more than a batch are written in turns, with others in between.
            answer = await plane.request("POST", "/v1/clusters", {"topics": {"t": {"records": ["x"] * 30_000}}})
            assert (answer.status, answer.error["code"]) == (409, "cluster_ended")
            assert [each["name"] for each in (await plane.get("/v1/clusters"))["clusters"]] == ["default"]

    trio.run(main)


def test_a_large_declaration_is_read_beside_the_loop(tmp_path: Path) -> None:
    async def main() -> None:
        async with running_plane(tmp_path) as plane:
            large = {"name": "c", "topics": {"t": {"records": ["x" * 300_000]}, "wrong": -1}}
            refused = await plane.request("POST", "/v1/clusters", large)
            assert (refused.status, refused.error["code"]) == (400, "invalid_contents")
            del large["topics"]["wrong"]  # type: ignore[attr-defined]
            await plane.post("/v1/clusters", large)
            (record,) = (await plane.get("/v1/clusters/c/topics/t/records"))["records"]
            assert len(record["value"]) == 300_000

    trio.run(main)
