"""Groups over HTTP: what is shown, and what members see of a forced rebalance, an eviction, a moved coordinator."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

import trio

from broker.virtual.spec import ClusterSpec
from kwire.messages.join_group import JoinGroupRequest
from tests.broker.cluster_helpers import Client
from tests.broker.group_client import Member
from tests.broker.http_helpers import Plane, running_plane

PATH = "/v1/clusters/one/groups"
UNKNOWN_MEMBER_ID = 25
REBALANCE_IN_PROGRESS = 27
NOT_COORDINATOR = 16


def with_cluster(
    directory: Path, scene: Callable[[Plane, Callable[[], Awaitable[Client]]], Awaitable[None]], nodes: int = 1
) -> None:
    async def main() -> None:
        async with running_plane(directory) as plane:
            spec = ClusterSpec(name="one", nodes=nodes, seed=1, configs={"group.initial.rebalance.delay.ms": "0"})
            cluster = plane.clusters.create(spec).cluster

            async def connect() -> Client:
                return await plane.running.connect(cluster)

            await scene(plane, connect)

    trio.run(main)


def test_what_is_shown(tmp_path: Path) -> None:
    async def scene(plane: Plane, connect: Callable[[], Awaitable[Client]]) -> None:
        client = await connect()
        await client.create_topic("t", 2)
        for _ in range(5):
            await client.produce("t", b"x")
        await client.produce("t", b"x", partition=1)
        member = Member(client, "g/1")
        await member.find()
        await member.get_id()
        await member.join()
        await member.sync({member.member_id: {"t": [0, 1]}})
        assert await member.commit(2) == 0
        shown = await plane.get(f"{PATH}/g%2F1")
        assert (shown["state"], shown["generation"], shown["protocol"]) == ("Stable", 1, "range")
        assert shown["leader"] == member.member_id
        (one,) = shown["members"]
        assert one["subscription"] == ["t"]
        assert one["assignment"] == [{"topic": "t", "partitions": [0, 1]}]
        assert (one["client_id"], one["session_timeout_ms"], one["waits"]) == ("test", 45_000, None)
        first, second = shown["offsets"]
        assert (first["committed_offset"], first["high_watermark"], first["lag"]) == (2, 5, 3)
        assert (second["committed_offset"], second["high_watermark"], second["lag"]) == (None, 1, 1)
        assert first["member_id"] == second["member_id"] == member.member_id
        assert shown["lag"] == 4
        listed = await plane.get(PATH)
        assert [(each["group"], each["state"], each["members"]) for each in listed["groups"]] == [("g/1", "Stable", 1)]
        assert (await plane.get(f"{PATH}?state=empty"))["groups"] == []

    with_cluster(tmp_path, scene)


def test_a_forced_rebalance(tmp_path: Path) -> None:
    async def scene(plane: Plane, connect: Callable[[], Awaitable[Client]]) -> None:
        client = await connect()
        await client.create_topic("t")
        member = Member(client, "g")
        await member.enter()
        assert await member.heartbeat() == 0
        assert (await plane.post(f"{PATH}/g/rebalance")) == {
            "begun": True,
            "state": "PreparingRebalance",
            "generation": 1,
        }
        assert not (await plane.post(f"{PATH}/g/rebalance"))["begun"]
        assert await member.heartbeat() == REBALANCE_IN_PROGRESS
        await member.join()
        assert member.generation == 2
        await member.sync({member.member_id: {"t": [0]}})
        assert await member.heartbeat() == 0

    with_cluster(tmp_path, scene)


def test_an_evicted_member_is_unknown_and_the_others_go_on(tmp_path: Path) -> None:
    async def scene(plane: Plane, connect: Callable[[], Awaitable[Client]]) -> None:
        first, second = Member(await connect(), "g"), Member(await connect(), "g", instance_id="two")
        await first.client.create_topic("t")
        await first.enter()
        await second.client.send_only(second.join_request(), 7)
        while await first.heartbeat() != REBALANCE_IN_PROGRESS:
            pass
        await first.join()
        second.joined(await second.client.receive(JoinGroupRequest, 7))
        await first.sync({first.member_id: {"t": [0]}})
        await second.sync()
        assert {each["instance_id"] for each in (await plane.get(f"{PATH}/g"))["members"]} == {None, "two"}
        answer = await plane.request("DELETE", f"{PATH}/g/members/nobody")
        assert (answer.status, answer.error["code"]) == (404, "unknown_member")
        assert first.member_id in answer.error["allowed"]
        assert "two" in answer.error["allowed"]

        answer = await plane.request("DELETE", f"{PATH}/g/members/two")
        assert answer.json["member_id"] == second.member_id
        assert await second.heartbeat() == UNKNOWN_MEMBER_ID
        assert await first.heartbeat() == REBALANCE_IN_PROGRESS
        await first.join()
        await first.sync({first.member_id: {"t": [0]}})
        answer = await plane.request("DELETE", f"{PATH}/g/members/{first.member_id}")
        assert answer.json == {"member_id": first.member_id, "state": "Empty", "members": 0}
        answer = await plane.request("POST", f"{PATH}/g/rebalance")
        assert (answer.status, answer.error["code"]) == (409, "empty_group")

    with_cluster(tmp_path, scene)


def test_a_coordinator_that_is_loaded_anew(tmp_path: Path) -> None:
    """One node: the members stay, what waits is sent to look for the coordinator."""

    async def scene(plane: Plane, connect: Callable[[], Awaitable[Client]]) -> None:
        first, second = Member(await connect(), "g"), Member(await connect(), "g")
        await first.client.create_topic("t")
        await first.enter()
        await first.commit(7)
        await second.get_id()
        await second.client.send_only(second.join_request(), 7)
        while await first.heartbeat() != REBALANCE_IN_PROGRESS:
            pass
        before = await plane.get(f"{PATH}/g")
        moved = await plane.request("PUT", f"{PATH}/g/coordinator", {})
        assert moved.status == 200, moved.body
        assert moved.json["coordinator"] == moved.json["before"] == before["coordinator"]
        assert moved.json["leader_epoch"] == 1
        assert (await second.client.receive(JoinGroupRequest, 7)).error_code == NOT_COORDINATOR
        await first.find()
        assert await first.heartbeat() == 0
        after = await plane.get(f"{PATH}/g")
        assert (after["state"], after["generation"]) == ("Stable", 1)
        assert after["offsets"][0]["committed_offset"] == 7
        answer = await plane.request("PUT", f"{PATH}/g/coordinator", {"node": 77})
        assert (answer.status, answer.error["code"]) == (404, "unknown_node")

    with_cluster(tmp_path, scene)


def test_a_coordinator_moves_to_another_node(tmp_path: Path) -> None:
    async def scene(plane: Plane, connect: Callable[[], Awaitable[Client]]) -> None:
        cluster = plane.clusters.get("one").cluster
        await (await connect()).create_topic("t")
        finder = Member(await connect(), "g")
        await finder.find()
        members = {}
        for node_id, node in cluster.nodes.items():
            stream = await trio.open_tcp_stream("127.0.0.1", node.addresses[0].bound_port)
            members[node_id] = Member(Client(stream), "g")
            plane.running.clients.append(members[node_id].client)
        index = cluster.groups.partition_of("g")
        described = cluster.controller.image.partition("__consumer_offsets", index)
        assert described is not None
        there = members[described.leader]
        await there.enter()
        assert await there.commit(3) == 0
        to = next(node_id for node_id in members if node_id != described.leader)
        moved = await plane.request("PUT", f"{PATH}/g/coordinator", {"node": to})
        assert moved.status == 200, moved.body
        assert (moved.json["before"], moved.json["coordinator"]) == (described.leader, to)
        assert await there.heartbeat() == NOT_COORDINATOR
        here = members[to]
        here.member_id, here.generation = there.member_id, there.generation
        assert await here.heartbeat() == 0
        assert await here.commit(4) == 0
        shown = await plane.get(f"{PATH}/g")
        assert (shown["state"], shown["coordinator"]) == ("Stable", to)

    with_cluster(tmp_path, scene, nodes=3)


def test_a_group_is_deleted_once_it_is_empty(tmp_path: Path) -> None:
    async def scene(plane: Plane, connect: Callable[[], Awaitable[Client]]) -> None:
        answer = await plane.request("GET", f"{PATH}/g")
        assert (answer.status, answer.error["code"]) == (404, "unknown_group")
        member = Member(await connect(), "g")
        await member.client.create_topic("t")
        await member.enter()
        answer = await plane.request("DELETE", f"{PATH}/g")
        assert (answer.status, answer.error["code"]) == (409, "non_empty_group")
        await plane.request("DELETE", f"{PATH}/g/members/{member.member_id}")
        assert (await plane.request("DELETE", f"{PATH}/g")).status == 204
        answer = await plane.request("GET", f"{PATH}/g")
        assert (answer.status, answer.error["code"]) == (404, "unknown_group")

    with_cluster(tmp_path, scene)


def test_the_same_seed_gives_the_same_member_ids(tmp_path: Path) -> None:
    async def main() -> None:
        async with running_plane(tmp_path) as plane:
            ids = []
            for name in ("a", "b"):
                cluster = plane.clusters.create(ClusterSpec(name=name, seed=42)).cluster
                client = await plane.running.connect(cluster)
                await client.create_topic("t")
                found = []
                for group in ("g", "h", "g"):
                    member = Member(client, group)
                    await member.find()
                    await member.get_id()
                    found.append(member.member_id)
                ids.append(found)
            assert ids[0] == ids[1]
            assert len(set(ids[0])) == 3

    trio.run(main)
