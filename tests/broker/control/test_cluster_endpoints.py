"""Virtual clusters and their snapshots over HTTP."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import trio

from tests.broker.cluster_helpers import Client
from tests.broker.http_helpers import running_plane


async def to(view: dict[str, Any]) -> Client:
    host, _, port = view["bootstrap_servers"].split(",")[0].rpartition(":")
    return Client(await trio.open_tcp_stream(host, int(port)))


def test_create_show_list_delete(tmp_path: Path) -> None:
    async def main() -> None:
        async with running_plane(tmp_path) as plane:
            wanted = {
                "name": "orders",
                "nodes": 3,
                "racks": ["a", "b"],
                "topics": {"orders": {"partitions": 2, "records": ["seeded"]}, "plain": 4},
                "groups": {"billing": {"plain": "earliest"}},
                "configs": {"num.partitions": "5"},
                "seed": 3,
                "now_ms": 1_700_000_000_000,
            }
            created = await plane.request("POST", "/v1/clusters", wanted)
            assert created.status == 201, created.body
            view = created.json
            assert [(each["node_id"], each["rack"], each["state"]) for each in view["nodes"]] == [
                (1, "a", "running"),
                (2, "b", "running"),
                (3, "a", "running"),
            ]
            assert len(view["bootstrap_servers"].split(",")) == 3
            assert (view["seed"], view["configs"], view["snapshots"]) == (3, {"num.partitions": "5"}, [])
            assert view["created_ms"] >= 1_700_000_000_000
            assert view["storage_bytes"] > 0
            listed = (await plane.get("/v1/clusters"))["clusters"]
            assert [each["name"] for each in listed] == ["default", "orders"]
            assert listed[0]["storage_bytes"] is None
            assert (await plane.get("/v1/clusters/orders"))["topics"] == 3  # one is __consumer_offsets
            assert (await plane.request("DELETE", "/v1/clusters/orders")).status == 204
            gone = await plane.request("GET", "/v1/clusters/orders")
            assert (gone.status, gone.error["code"], gone.error["allowed"]) == (404, "unknown_cluster", ["default"])
            with pytest.raises(OSError, match="127"):
                await to(view)

    trio.run(main)


@pytest.mark.parametrize(
    ("body", "status", "code", "told"),
    [
        ({"name": "default"}, 409, "cluster_exists", "already"),
        ({"name": "no/slash"}, 400, "invalid_body", "name"),
        ({"nodes": 0}, 400, "invalid_body", "nodes"),
        ({"node": 3}, 400, "invalid_body", "node"),
        ({"topics": {"a b": 1}}, 400, "invalid_contents", "a b"),
        ({"topics": {"a": {"configs": {"retention": "1"}}}}, 400, "invalid_contents", "retention"),
        ({"topics": {"a": {"replication_factor": 3}}}, 400, "invalid_contents", "eplication"),
        ({"configs": {"num.partitions": "x"}}, 400, "invalid_cluster", "num.partitions"),
        ({"configs": {"listeners": "PLAINTEXT://:1"}}, 400, "invalid_cluster", "listeners cannot be set"),
        ({"as_version": "7"}, 400, "invalid_cluster", "no release"),
        ({"host": "192.0.2.1"}, 400, "cannot_start", "cannot listen"),
        ({"ports": [1, 2]}, 400, "invalid_cluster", "2 ports for 1 nodes"),
    ],
)
def test_a_cluster_that_cannot_be_is_refused_and_not_begun(
    tmp_path: Path, body: Any, status: int, code: str, told: str
) -> None:
    async def main() -> None:
        async with running_plane(tmp_path) as plane:
            answer = await plane.request("POST", "/v1/clusters", body)
            assert (answer.status, answer.error["code"]) == (status, code), answer.body
            assert told in answer.error["message"]
            assert [each["name"] for each in (await plane.get("/v1/clusters"))["clusters"]] == ["default"]

    trio.run(main)


def test_snapshot_fork_restore(tmp_path: Path) -> None:
    async def main() -> None:
        async with running_plane(tmp_path) as plane:
            base = await plane.post("/v1/clusters", {"name": "base", "topics": {"t": {"records": ["one"]}}})
            taken = await plane.request("POST", "/v1/clusters/base/snapshots", {"name": "s"})
            assert (taken.status, taken.json["topics"], taken.json["nodes"]) == (201, 1, 1)
            client = await to(base)
            await client.produce("t", b"two")
            fork = await plane.post("/v1/clusters/base/fork", {"snapshot": "s", "name": "copy"})
            assert (fork["name"], fork["forked_from"], fork["cluster_id"]) == ("copy", "base", base["cluster_id"])
            other = await to(fork)
            assert await other.values("t") == [b"one"]
            restored = await plane.post("/v1/clusters/base/restore", {"snapshot": "s"})
            assert restored["bootstrap_servers"] == base["bootstrap_servers"]
            again = await to(restored)
            assert await again.values("t") == [b"one"]
            (line,) = (await plane.get("/v1/clusters/base/snapshots"))["snapshots"]
            assert (line["name"], line["forks"]) == ("s", 1)
            assert await plane.get("/v1/clusters/base/snapshots/s") == line
            twice = await plane.request("POST", "/v1/clusters/base/snapshots", {"name": "s"})
            assert (twice.status, twice.error["code"]) == (409, "snapshot_exists")
            missing = await plane.request("POST", "/v1/clusters/base/fork", {"snapshot": "x"})
            assert (missing.status, missing.error["code"], missing.error["allowed"]) == (404, "unknown_snapshot", ["s"])
            assert (await plane.request("DELETE", "/v1/clusters/base/snapshots/s")).status == 204
            assert (await plane.request("GET", "/v1/clusters/base/snapshots/s")).status == 404
            own = await plane.request("POST", "/v1/clusters/default/snapshots", {})
            assert (own.status, own.error["code"]) == (409, "default_cluster")
            for each in (client, other, again):
                await trio.aclose_forcefully(each.stream)

    trio.run(main)


def test_export_and_import(tmp_path: Path) -> None:
    async def main() -> None:
        async with running_plane(tmp_path / "data") as plane:
            await plane.post("/v1/clusters", {"name": "base", "nodes": 3, "topics": {"t": {"records": ["one"]}}})
            out, kafka = str(tmp_path / "out"), str(tmp_path / "kafka")
            written = await plane.post("/v1/clusters/base/export", {"path": out})
            assert (written["path"], written["format"]) == (out, "kwire")
            await plane.post("/v1/clusters/base/export", {"path": kafka, "format": "kafka"})
            assert (Path(kafka) / "meta.properties").exists()
            again = await plane.request("POST", "/v1/snapshots/import", {"path": out, "name": "again"})
            assert (again.status, again.json["name"], len(again.json["nodes"])) == (201, "again", 3)
            manifest = Path(out) / "manifest.json"
            manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "format": 9}))
            for path, body, status, code in (
                ("/v1/clusters/base/export", {"path": out}, 400, "cannot_export"),
                ("/v1/clusters/base/export", {"path": "out"}, 400, "cannot_export"),
                ("/v1/clusters/base/export", {"path": f"{out}2", "snapshot": "x"}, 404, "unknown_snapshot"),
                ("/v1/clusters/default/export", {"path": f"{out}2", "snapshot": "x"}, 409, "default_cluster"),
                ("/v1/clusters/base/export", {"path": f"{out}2", "format": "tar"}, 400, "invalid_body"),
                ("/v1/snapshots/import", {"path": out}, 400, "snapshot_refused"),
                ("/v1/snapshots/import", {"path": kafka}, 400, "snapshot_refused"),
                ("/v1/snapshots/import", {"path": out, "name": "base"}, 409, "cluster_exists"),
            ):
                answer = await plane.request("POST", path, body)
                assert (answer.status, answer.error["code"]) == (status, code), (path, body, answer.body)
            names = [each["name"] for each in (await plane.get("/v1/clusters"))["clusters"]]
            assert names == ["default", "base", "again"]

    trio.run(main)
