"""Nodes and partitions over HTTP, and the Python door over that."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trio

from broker.virtual.spec import ClusterSpec
from kwire.testing import Broker, Cluster, KwireError
from tests.broker.http_helpers import Plane, running_plane

NODES = "/v1/clusters/one/nodes"
PARTITION = "/v1/clusters/one/partitions/t/0"


def with_cluster(directory: Path, scene: Callable[[Plane], Awaitable[None]]) -> None:
    async def main() -> None:
        async with running_plane(directory) as plane:
            plane.clusters.create(ClusterSpec(name="one", nodes=3, racks=["a", "b", "c"]))
            await plane.request(
                "POST", "/v1/clusters/one/topics", {"name": "t", "partitions": 1, "replication_factor": 3}
            )
            await scene(plane)

    trio.run(main)


def test_orders(tmp_path: Path) -> None:
    async def scene(plane: Plane) -> None:
        listed = (await plane.get(NODES))["nodes"]
        assert [(each["node"], each["rack"], each["state"]) for each in listed] == [
            (1, "a", "running"),
            (2, "b", "running"),
            (3, "c", "running"),
        ]
        leader = (await plane.get(PARTITION))["leader"]
        stopped = await plane.post(f"{NODES}/{leader}/stop", {"kill": True})
        assert (stopped["state"], stopped["leads"], stopped["listeners"][0]["port"] > 0) == ("stopped", 0, True)
        partition = await plane.get(PARTITION)
        assert partition["leader"] not in (leader, None)
        assert leader not in partition["isr"]
        assert (await plane.post(f"{NODES}/{leader}/stop"))["state"] == "stopped"  # again
        assert (await plane.post(f"{NODES}/{leader}/start"))["state"] == "running"
        assert (await plane.post(f"{NODES}/{leader}/isolate"))["state"] == "isolated"
        assert (await plane.post(f"{NODES}/{leader}/heal"))["in_sync"] == 1
        frozen = await plane.request("PUT", f"{NODES}/{leader}/replication", {"state": "frozen"})
        assert frozen.json["replication"] == "frozen"
        moved = await plane.request("PUT", f"{PARTITION}/leader", {"node": leader})
        assert moved.json["leader"] == leader
        cut = await plane.post(f"{PARTITION}/lose-tail", {"records": 5})
        assert cut["leader_epoch"] == moved.json["leader_epoch"] + 1
        assert [each["log_end_offset"] for each in cut["replicas"]] == [0, 0, 0]

    with_cluster(tmp_path, scene)


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "code"),
    [
        ("POST", f"{NODES}/9/stop", {}, 404, "unknown_node"),
        ("POST", f"{NODES}/two/stop", {}, 400, "invalid_path"),
        ("POST", f"{NODES}/1/stop", {"kil": True}, 400, None),
        ("PUT", f"{NODES}/1/replication", {"state": "paused"}, 400, None),
        ("POST", "/v1/clusters/other/nodes/1/stop", {}, 404, "unknown_cluster"),
        ("GET", "/v1/clusters/one/partitions/t/7", None, 404, "unknown_topic_or_partition"),
        ("POST", f"{PARTITION}/lose-tail", {"records": 0}, 400, None),
        ("PUT", f"{PARTITION}/leader", {"node": 9}, 400, "unknown_node"),
        ("PUT", f"{PARTITION}/leader", {"node": 2, "uncleanly": True}, 400, None),
    ],
)
def test_refusals(tmp_path: Path, method: str, path: str, body: Any, status: int, code: str | None) -> None:
    async def scene(plane: Plane) -> None:
        answer = await plane.request(method, path, body)
        assert answer.status == status, answer.json
        if code is not None:
            assert answer.error["code"] == code

    with_cluster(tmp_path, scene)


def test_orders_a_node_is_in_no_state_for(tmp_path: Path) -> None:
    async def scene(plane: Plane) -> None:
        await plane.post(f"{NODES}/1/stop")
        for order in ("isolate", "heal"):
            answer = await plane.request("POST", f"{NODES}/1/{order}", {})
            assert (answer.status, answer.error["code"]) == (409, "node_state")
            assert "start" in answer.error["message"]
        await plane.post(f"{NODES}/2/isolate")
        answer = await plane.request("POST", f"{NODES}/2/start", {})
        assert (answer.status, "heal" in answer.error["message"]) == (409, True)

    with_cluster(tmp_path, scene)


@pytest.fixture(scope="module")
def broker() -> Iterator[Broker]:
    with Broker.start() as broker:
        yield broker


@pytest.fixture
def cluster(broker: Broker) -> Iterator[Cluster]:
    with broker.create_cluster(nodes=3, racks=["a", "b", "c"]) as cluster:
        cluster.create_topic("t", 1, replication_factor=3)
        yield cluster


def test_the_python_door(cluster: Cluster) -> None:
    assert [node.id for node in cluster.nodes] == [1, 2, 3]
    assert len(cluster.nodes) == 3
    cluster.produce("t", "a", "b", "c")
    leader = cluster.nodes.leader_of("t")
    with leader.stopped():
        assert leader.state == "stopped"
        assert cluster.nodes.leader_of("t").id != leader.id
        assert leader.address == leader.status().address
    with leader.isolated():
        assert leader.state == "isolated"
    with leader.frozen():
        assert leader.status().replication == "frozen"
    assert sorted(cluster.nodes.partition("t").isr) == [1, 2, 3]
    assert cluster.nodes.set_leader("t", 0, leader).leader == leader.id
    cut = cluster.nodes.lose_tail("t", records=1)
    assert cut.high_watermark == cut.log_end_offset
    with pytest.raises(KwireError, match=r"no node 7, its nodes are \[1, 2, 3\]"):
        cluster.nodes[7].stop()
