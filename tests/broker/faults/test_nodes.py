"""Fault rules on a cluster of several nodes: of one node's requests, listeners, and of the disk they share."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio

from broker.virtual.spec import ClusterSpec
from kwire.error_codes import ErrorCode
from kwire.messages.api_versions import ApiVersionsRequest
from tests.broker.cluster_helpers import Client
from tests.broker.http_helpers import Plane, running_plane

BROKEN = (EOFError, OSError, trio.BrokenResourceError)


async def _connect(plane: Plane, servers: str, number: int) -> Client:
    host, _, port = servers.split(",")[number].rpartition(":")
    client = Client(await trio.open_tcp_stream(host, int(port)))
    plane.running.clients.append(client)
    return client


def test_a_rule_of_one_node(tmp_path: Path) -> None:
    async def main() -> None:
        async with running_plane(tmp_path) as plane:
            virtual = plane.clusters.create(ClusterSpec(name="three", nodes=3))
            clients = [await _connect(plane, virtual.bootstrap_servers, number) for number in range(3)]
            ids = list(virtual.cluster.nodes)
            virtual.faults.add({"api": "ApiVersions", "node": ids[1], "error": "UNKNOWN_SERVER_ERROR"})
            codes = [(await client.send(ApiVersionsRequest(), 1)).error_code for client in clients]
            assert codes == [0, ErrorCode.UNKNOWN_SERVER_ERROR, 0]
            virtual.faults.clear()
            codes = [(await client.send(ApiVersionsRequest(), 1)).error_code for client in clients]
            assert codes == [0, 0, 0]
            virtual.faults.add({"connect": "refuse", "node": ids[2]})
            with pytest.raises(BROKEN):
                await (await _connect(plane, virtual.bootstrap_servers, 2)).send(ApiVersionsRequest(), 1)
            assert (await clients[2].send(ApiVersionsRequest(), 1)).error_code == 0
            client = await _connect(plane, virtual.bootstrap_servers, 0)
            assert (await client.send(ApiVersionsRequest(), 1)).error_code == 0

    trio.run(main)


def test_the_disk_is_the_clusters(tmp_path: Path) -> None:
    async def main() -> None:
        async with running_plane(tmp_path) as plane:
            virtual = plane.clusters.create(ClusterSpec(name="two", nodes=2))
            client = await _connect(plane, virtual.bootstrap_servers, 0)
            await client.create_topic("t")
            described = virtual.cluster.controller.image.partition("t", 0)
            assert described is not None
            leader = await _connect(
                plane, virtual.bootstrap_servers, list(virtual.cluster.nodes).index(described.leader)
            )
            virtual.faults.add({"topic": "t", "disk_full": True, "times": 1})
            assert (await leader.produce("t", b"no")).error_code == ErrorCode.KAFKA_STORAGE_ERROR
            assert (await leader.produce("t", b"yes")).error_code == 0
            assert await leader.values("t") == [b"yes"]

    trio.run(main)


def test_a_cluster_is_deleted_while_a_rule_holds_requests_back(tmp_path: Path) -> None:
    async def main() -> None:
        async with running_plane(tmp_path) as plane:
            virtual = plane.clusters.create(ClusterSpec(name="gone"))
            client = await _connect(plane, virtual.bootstrap_servers, 0)
            rule = virtual.faults.add({"stall": True})
            later = virtual.faults.add({"delay_ms": 60_000})
            await client.send_only(ApiVersionsRequest(), 1)
            while not later.fired:
                await plane.get("/v1/clusters/gone/faults")
            plane.clusters.delete("gone")
            with pytest.raises(BROKEN):
                await client.receive(ApiVersionsRequest, 1)
            assert not rule.stalled

    trio.run(main)
