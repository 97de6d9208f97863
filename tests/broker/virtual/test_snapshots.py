"""Snapshots and forks: what they hold, that no side sees the other's changes, restore."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

from broker.driven_clock import DrivenClock
from broker.nodes import lifecycle
from broker.virtual.errors import VirtualError
from broker.virtual.storage import MemoryStorage
from kwire.messages.delete_records import DeleteRecordsPartition, DeleteRecordsRequest, DeleteRecordsTopic
from kwire.messages.delete_topics import DeleteTopicsRequest
from kwire.messages.find_coordinator import FindCoordinatorRequest
from kwire.messages.offset_commit import (
    OffsetCommitRequest,
    OffsetCommitRequestPartition,
    OffsetCommitRequestTopic,
)
from kwire.messages.offset_fetch import OffsetFetchRequest, OffsetFetchRequestTopic
from tests.broker.cluster_helpers import Client
from tests.broker.server_helpers import settled
from tests.broker.virtual.helpers import Plane, fingerprint, plane


async def commit(client: Client, offset: int) -> None:
    topic = OffsetCommitRequestTopic(
        name="t", partitions=[OffsetCommitRequestPartition(partition_index=0, committed_offset=offset)]
    )
    while (await client.send(FindCoordinatorRequest(key="g"), 2)).error_code:
        await trio.testing.wait_all_tasks_blocked(0.005)
    while True:  # the coordinator may be loading
        answer = await client.send(OffsetCommitRequest(group_id="g", topics=[topic]), 7)
        if answer.topics[0].partitions[0].error_code != 14:
            break
    assert answer.topics[0].partitions[0].error_code == 0, answer


async def committed(client: Client) -> int:
    wanted = OffsetFetchRequest(group_id="g", topics=[OffsetFetchRequestTopic(name="t", partition_indexes=[0])])
    while (answer := await client.send(wanted, 5)).error_code:
        await trio.testing.wait_all_tasks_blocked(0.005)
    offset: int = answer.topics[0].partitions[0].committed_offset
    return offset


async def delete_records(client: Client, offset: int) -> None:
    partition = DeleteRecordsPartition(partition_index=0, offset=offset)
    topic = DeleteRecordsTopic(name="t", partitions=[partition])
    answer = await client.send(DeleteRecordsRequest(topics=[topic], timeout_ms=1000), 2)
    assert answer.topics[0].partitions[0].error_code == 0


async def seeded(p: Plane, monkeypatch: pytest.MonkeyPatch | None = None) -> tuple[Any, Client]:
    virtual = p.create("seed", topics={"t": {"partitions": 1, "configs": {"segment.bytes": 1048576}}, "other": 1})
    client = await p.connect(virtual)
    for number in range(12):
        await client.produce("t", bytes([number]) * 200_000)
    await client.produce("other", b"small")
    await commit(client, 3)
    return virtual, client


def test_whatever_is_done_to_a_fork_the_parent_and_the_snapshot_stay(tmp_path: Path) -> None:
    """Appends, rolls, deletions, truncated and rewritten files, topics made and deleted, a clean and a dirty end."""

    async def main() -> None:
        async with plane(tmp_path) as p:
            seed, client = await seeded(p)
            taken = p.clusters.take_snapshot("seed", "s")
            before = fingerprint(seed)
            fork = p.clusters.fork("seed", snapshot="s")
            sibling = p.clusters.fork("seed", snapshot="s")
            sibling_before = await (await p.connect(sibling)).values("t")
            held = fingerprint(p.clusters.fork("seed", snapshot="s"))
            other = await p.connect(fork)
            assert [v and v[0] for v in await other.values("t")] == list(range(12))
            assert await other.values("other") == [b"small"]
            assert await committed(other) == 3
            for _ in range(8):
                await other.produce("t", b"f" * 200_000)
            await other.produce("other", b"in the fork")
            await commit(other, 9)
            await delete_records(other, 7)
            await other.create_topic("new")
            await other.produce("new", b"x")
            log = fork.cluster.manager.opened("other", 0)
            assert log is not None
            log.truncate_to(1, fork.clock.now_ms())
            await other.send(DeleteTopicsRequest(topic_names=["other"], timeout_ms=1000), 3)
            fork.cluster.close()
            storage = fork.storage
            assert isinstance(storage, MemoryStorage)
            for name in storage.list_dir("/virtual/t-0"):
                opened = storage.open(f"/virtual/t-0/{name}", create=False)
                opened.pwrite(b"scribble", 0)
                opened.truncate(3)
            assert fingerprint(seed) == before
            assert fingerprint(p.clusters.fork("seed", snapshot="s", as_name="late")).keys() == held.keys()
            assert await (await p.connect(sibling)).values("t") == sibling_before
            assert [v and v[0] for v in await client.values("t")] == list(range(12))
            assert await committed(client) == 3
            assert taken.forks == 4

    trio.run(main)


def test_the_parent_goes_on_and_its_snapshot_stays(tmp_path: Path) -> None:
    async def main() -> None:
        async with plane(tmp_path) as p:
            _seed, client = await seeded(p)
            p.clusters.take_snapshot("seed", "s")
            await client.produce("other", b"after")
            await commit(client, 11)
            await delete_records(client, 10)
            late = p.clusters.fork("seed")
            first = late.cluster.partitions.get("t", 0)
            assert first is not None
            assert first.log.log_start_offset == 10
            fork = await p.connect(p.clusters.fork("seed", snapshot="s"))
            now = await p.connect(p.clusters.fork("seed"))
            assert await fork.values("other") == [b"small"]
            assert await now.values("other") == [b"small", b"after"]
            assert await committed(fork) == 3
            assert await committed(now) == 11
            p.clusters.delete("seed")
            assert len(await fork.values("t")) == 12
            await fork.produce("t", b"more")

    trio.run(main)


def test_what_is_the_same_in_a_fork(tmp_path: Path) -> None:
    async def main() -> None:
        async with plane(tmp_path) as p:
            virtual = p.create(
                "three", topics={"t": {"partitions": 6, "replication_factor": 3}}, nodes=3, racks=["a", "b"]
            )
            fork = p.clusters.fork("three", as_name="copy")
            one, two = virtual.cluster.controller.image, fork.cluster.controller.image
            assert one.cluster_id == two.cluster_id
            assert one.topic_by_name("t").topic_id == two.topic_by_name("t").topic_id  # type: ignore[union-attr]
            partitions = one.topic_by_name("t").partitions  # type: ignore[union-attr]
            assert two.topic_by_name("t").partitions == partitions  # type: ignore[union-attr]
            assert [node.rack for node in fork.cluster.nodes.values()] == ["a", "b", "a"]
            ports = {each.rpartition(":")[2] for each in virtual.bootstrap_servers.split(",")}
            assert ports.isdisjoint(each.rpartition(":")[2] for each in fork.bootstrap_servers.split(","))
            assert fork.forked_from == "three"

    trio.run(main)


def test_restore_keeps_the_addresses_and_puts_all_else_back(tmp_path: Path) -> None:
    async def main() -> None:
        async with plane(tmp_path) as p:
            seed, client = await seeded(p)
            clock = seed.clock
            assert isinstance(clock, DrivenClock)
            clock.freeze()
            servers = seed.bootstrap_servers
            p.clusters.take_snapshot("seed", "s")
            clock.advance(3_600_000)
            now_ms = clock.now_ms()
            await client.produce("t", b"after")
            await client.create_topic("after")
            replaced: list[Any] = []
            seed.on_replaced(lambda old, new: replaced.append((old, new)))
            old = seed.cluster
            p.clusters.restore("seed", "s")
            assert replaced == [(old, seed.cluster)]
            with pytest.raises((EOFError, trio.BrokenResourceError)):
                await client.create_topic("x")
            assert seed.bootstrap_servers == servers
            again = await p.connect(seed)
            assert len(await again.values("t")) == 12
            assert seed.cluster.controller.image.topic_by_name("after") is None
            assert seed.clock.now_ms() == now_ms
            assert isinstance(seed.clock, DrivenClock)
            assert seed.clock.frozen
            await again.produce("t", b"after again")
            p.clusters.restore("seed", "s")
            assert len(await (await p.connect(seed)).values("t")) == 12

    trio.run(main)


def test_a_fork_s_clock_goes_on_where_the_snapshot_was(tmp_path: Path) -> None:
    async def main() -> None:
        async with plane(tmp_path) as p:
            virtual = p.create("c", now_ms=1_000_000)
            assert isinstance(virtual.clock, DrivenClock)
            virtual.clock.freeze()
            virtual.clock.advance(500)
            at_ms = virtual.clock.now_ms()
            p.clusters.take_snapshot("c", "s")
            virtual.clock.advance(100_000)
            fork = p.clusters.fork("c", snapshot="s")
            assert fork.clock.now_ms() == at_ms
            assert fork.clock.stands_still

    trio.run(main)


def test_refusals(tmp_path: Path) -> None:
    async def main() -> None:
        async with plane(tmp_path) as p:
            p.create("c")
            p.clusters.take_snapshot("c", "s")
            named = p.clusters.take_snapshot("c")
            assert named.name.startswith("s-")
            for told, refused in (
                ("has a snapshot 's' already", lambda: p.clusters.take_snapshot("c", "s")),
                ("cannot name a snapshot", lambda: p.clusters.take_snapshot("c", "a b")),
                ("has no snapshot 'x'", lambda: p.clusters.fork("c", snapshot="x")),
                ("has no snapshot 'x'", lambda: p.clusters.restore("c", "x")),
                ("has no snapshot 'x'", lambda: p.clusters.delete_snapshot("c", "x")),
                ("there is a cluster 'c' already", lambda: p.clusters.fork("c", as_name="c")),
                ("there is no cluster 'd'", lambda: p.clusters.fork("d")),
            ):
                with pytest.raises(VirtualError, match=told):
                    refused()
            p.clusters.delete_snapshot("c", "s")
            assert list(p.clusters.get("c").snapshots) == [named.name]

    trio.run(main)


def test_a_range_on_its_way_to_a_socket_keeps_its_bytes(tmp_path: Path) -> None:
    """A fetch that its client has not read yet, while the fork it is of is written to and the parent is deleted."""

    async def main() -> None:
        async with plane(tmp_path) as p:
            seed = p.create("seed", topics={"t": 1})
            client = await p.connect(seed)
            value = os.urandom(900_000)
            for _ in range(10):
                await client.produce("t", value)
            fork = p.clusters.fork("seed")
            reader = await p.connect(fork)
            from tests.broker.cluster_helpers import fetch_request

            wanted = fetch_request("t", 0)
            wanted.topics[0].partitions[0].partition_max_bytes = 9_500_000
            wanted.max_bytes = 9_500_000
            await reader.send_only(wanted, 12)
            await trio.testing.wait_all_tasks_blocked(0.01)
            writer = await p.connect(fork)
            await writer.produce("t", b"later")
            p.clusters.delete("seed")
            answer = await reader.receive(type(wanted), 12)
            records = bytes(answer.responses[0].partitions[0].records)
            assert records.count(value) == 10

    trio.run(main)


def test_all_nodes_of_a_fork_run_and_catch_up(tmp_path: Path) -> None:
    """A node is down and behind when the snapshot is taken; the fork and the restored cluster have it back."""

    async def main() -> None:
        async with plane(tmp_path) as p:
            topics = {"t": {"partitions": 3, "replication_factor": 3, "configs": {"min.insync.replicas": 2}}}
            virtual = await p.made("three", topics=topics, nodes=3)
            lifecycle.stop(virtual.cluster.nodes[2])
            leader = virtual.cluster.controller.image.partition("t", 0).leader  # type: ignore[union-attr]
            client = Client(
                await trio.open_tcp_stream("127.0.0.1", virtual.cluster.nodes[leader].addresses[0].bound_port)
            )
            assert (await client.produce("t", b"while it was down")).error_code == 0
            await trio.aclose_forcefully(client.stream)
            p.clusters.take_snapshot("three", "s")
            fork = p.clusters.fork("three", snapshot="s")
            lifecycle.start(virtual.cluster.nodes[2])
            for node_id in (1, 3, 1):  # leaders move, epochs rise
                lifecycle.stop(virtual.cluster.nodes[node_id])
                lifecycle.start(virtual.cluster.nodes[node_id])
            seen = [each.leader_epoch for each in virtual.cluster.controller.image.topic_by_name("t").partitions]  # type: ignore[union-attr]
            p.clusters.restore("three", "s")
            now = [each.leader_epoch for each in virtual.cluster.controller.image.topic_by_name("t").partitions]  # type: ignore[union-attr]
            assert max(seen) > 1
            assert all(after > before for after, before in zip(now, seen, strict=True)), (seen, now)
            for each in (fork, virtual):
                assert [node.state for node in each.cluster.nodes.values()] == ["running"] * 3
                image = each.cluster.controller.image

                def in_sync(image: Any = image) -> bool:
                    return all(set(image.partition("t", index).isr) == {1, 2, 3} for index in range(3))

                await settled(p.running.server.reactor, in_sync, "all replicas are in sync")
                leader = image.partition("t", 0).leader  # type: ignore[union-attr]
                client = Client(
                    await trio.open_tcp_stream("127.0.0.1", each.cluster.nodes[leader].addresses[0].bound_port)
                )
                assert await client.values("t") == [b"while it was down"]
                assert (await client.produce("t", b"more")).error_code == 0
                await trio.aclose_forcefully(client.stream)

    trio.run(main)


def test_large_segments_are_shared_for_good(tmp_path: Path) -> None:
    """Neither the parent's nor the fork's next append copies them."""

    async def main() -> None:
        async with plane(tmp_path) as p:
            virtual = p.create("c", topics={"t": 1})
            client = await p.connect(virtual)
            for _ in range(8):
                await client.produce("t", os.urandom(900_000))
            p.clusters.take_snapshot("c", "s")
            fork = p.clusters.fork("c", snapshot="s")
            other = await p.connect(fork)
            for each in (client, other):
                await each.produce("t", b"small")
                assert len(await each.values("t")) == 9
            found = []
            for each in (virtual, fork):
                log = each.cluster.manager.opened("t", 0)
                assert log is not None
                found.append([segment.file.opened().fd for segment in log.segments])
            assert found[0][0] == found[1][0] >= 0
            assert [len(each) for each in found] == [2, 2]

    trio.run(main)
