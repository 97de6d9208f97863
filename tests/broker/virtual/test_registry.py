"""Clusters made and deleted: isolation, limits, refusals, and that nothing of a deleted one stays."""

from __future__ import annotations

import contextlib
import gc
import os
import resource
import tempfile
import weakref
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

from broker.start_error import StartError
from broker.virtual.errors import VirtualError
from broker.virtual.spec import ClusterSpec
from kwire.messages.find_coordinator import FindCoordinatorRequest
from kwire.messages.metadata import MetadataRequest
from tests.broker.virtual.helpers import plane


def test_clusters_know_nothing_of_each_other(tmp_path: Path) -> None:
    async def main() -> None:
        async with plane(tmp_path) as p:
            one = p.create("one", topics={"t": 2, "only-here": 1})
            two = p.create(topics={"t": 5}, configs={"num.partitions": "7"})
            first, second = await p.connect(one), await p.connect(two)
            await first.produce("t", b"in one")
            await second.produce("t", b"in two", b"again")
            assert await first.values("t") == [b"in one"]
            assert await second.values("t") == [b"in two", b"again"]
            named = {t.name: len(t.partitions) for t in (await second.send(MetadataRequest(topics=None), 9)).topics}
            assert named == {"t": 5}
            await second.create_topic("of-the-default", partitions=-1)
            assert len(two.cluster.controller.image.topic_by_name("of-the-default").partitions) == 7  # type: ignore[union-attr]
            assert one.cluster.controller.image.cluster_id != two.cluster.controller.image.cluster_id
            assert [each.name for each in p.clusters.all()] == ["one", two.name]
            assert two.name.startswith("t-")
            assert one.bootstrap_servers != two.bootstrap_servers

    trio.run(main)


def nameless(directory: Path) -> int:
    """Open files of this process that are on the disk there and have no name."""
    found = 0
    for each in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            found += os.readlink(f"/proc/self/fd/{each}").startswith(f"{directory}/")
    return found


def test_nothing_is_on_the_disk_until_a_file_is_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spill = tmp_path / "spill"
    spill.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(spill))

    async def main() -> None:
        async with plane(tmp_path / "data") as p:
            virtual = p.create(topics={"t": 1})
            client = await p.connect(virtual)
            for _ in range(4):
                await client.produce("t", os.urandom(200_000))
            assert nameless(spill) == 0
            for _ in range(4):
                await client.produce("t", os.urandom(200_000))
            assert nameless(spill) == 1
            assert [len(value or b"") for value in await client.values("t")] == [200_000] * 8
            assert list(tmp_path.rglob("*")) == [spill]
            p.clusters.delete(virtual.name)
            assert nameless(spill) == 0

    trio.run(main)


def test_of_a_deleted_cluster_nothing_is_left(tmp_path: Path) -> None:
    async def main() -> None:
        async with plane(tmp_path) as p:
            reactor = p.running.server.reactor
            clocks = len(reactor._scheduled)
            virtual = p.create(topics={"t": 3}, nodes=2)
            gone = [weakref.ref(each) for each in (virtual, virtual.cluster, virtual.cluster.node)]
            client = await p.connect(virtual)
            port = client.stream.socket.getpeername()[1]
            await client.produce("t", b"x")
            await client.send(FindCoordinatorRequest(key="g"), 2)
            p.clusters.take_snapshot(virtual.name, "s")
            p.clusters.delete(virtual.name)
            with pytest.raises(OSError, match="127"):
                await trio.open_tcp_stream("127.0.0.1", port)
            with pytest.raises((EOFError, trio.BrokenResourceError)):
                await client.receive(MetadataRequest, 9)
            assert len(reactor._scheduled) == clocks
            del virtual, client
            for _ in range(50):  # threads may be at work for it still
                reactor.call_soon(lambda: None)  # the loop holds on to the event it had last
                await trio.testing.wait_all_tasks_blocked(0.01)
                gc.collect()
                if not any(each() for each in gone):
                    break
            assert [each() for each in gone] == [None, None, None]

    trio.run(main)


def test_clusters_come_and_go_and_nothing_piles_up(tmp_path: Path) -> None:
    async def main() -> None:
        async with plane(tmp_path) as p:

            async def objects() -> int:
                """Of the broker's, once nothing is under way."""
                await trio.testing.wait_all_tasks_blocked(0.01)
                gc.collect()
                return sum(str(type(each).__module__).startswith(("broker.", "log.")) for each in gc.get_objects())

            def come_and_go(rounds: int) -> None:
                for _ in range(rounds):
                    p.clusters.delete(p.create(topics={"t": 3}).name)

            come_and_go(10)
            before = min([await objects() for _ in range(5)])
            come_and_go(60)
            for _ in range(50):
                if (after := await objects()) <= before:
                    break
            assert after <= before

    trio.run(main)


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        (ClusterSpec(name="there"), "there is a cluster 'there' already"),
        (ClusterSpec(name="a/b"), "cannot name a cluster"),
        (ClusterSpec(name="x" * 101), "101 characters"),
        (ClusterSpec(nodes=0), "1 to 100 nodes"),
        (ClusterSpec(racks=["a", "b"]), "2 racks for 1 nodes"),
        (ClusterSpec(racks=["r" * 1001]), "1 to 1000 characters"),
        (ClusterSpec(ports=[0, 0]), "2 ports for 1 nodes"),
        (ClusterSpec(configs={"log.dirs": "/tmp"}), "log.dirs cannot be set"),
        (ClusterSpec(configs={"num.partitions": "many"}), "num.partitions"),
        (ClusterSpec(configs={"num.partition": "3"}), "did you mean num.partitions"),
        (ClusterSpec(configs={"retention.ms": "3"}), "retention.ms is no setting of a broker; did you mean"),
        (ClusterSpec(as_version="0.1"), "no release of Kafka"),
        (ClusterSpec(now_ms=-1), "now_ms"),
        (ClusterSpec(host="example.org"), "no IP address"),
        (ClusterSpec(configs={"kwire.cluster.id": "x"}), "kwire.cluster.id cannot be set"),
        (ClusterSpec(configs={"kwire.virtual.clusters.max": "9"}), "kwire.virtual.clusters.max cannot be set"),
    ],
)
def test_what_cannot_be_is_refused_and_nothing_is_made(tmp_path: Path, spec: ClusterSpec, told: str) -> None:
    async def main() -> None:
        async with plane(tmp_path) as p:
            p.create("there")
            with pytest.raises(VirtualError, match=told):
                p.clusters.create(spec)
            assert [each.name for each in p.clusters.all()] == ["there"]
            assert len(p.running.server._clusters) == 1

    trio.run(main)


def test_a_bound_on_how_many(tmp_path: Path) -> None:
    async def main() -> None:
        async with plane(tmp_path, kwire_virtual_clusters_max="2") as p:
            p.create("a")
            p.create("b")
            with pytest.raises(VirtualError, match=r"kwire\.virtual\.clusters\.max=2"):
                p.create("c")
            p.clusters.delete("a")
            p.create("c")
            with pytest.raises(VirtualError) as raised:
                p.clusters.get("a")
            assert raised.value.allowed == ["b", "c"]

    trio.run(main)


def test_without_descriptors_a_cluster_is_refused_and_nothing_of_it_stays(tmp_path: Path) -> None:
    async def main() -> None:
        async with plane(tmp_path) as p:
            p.clusters.delete(p.create().name)  # all is imported
            gc.collect()
            soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
            used = set(map(int, os.listdir("/proc/self/fd")))
            free = [number for number in range(2000) if number not in used]
            try:
                resource.setrlimit(resource.RLIMIT_NOFILE, (free[5], hard))
                with pytest.raises(StartError, match="Each listener needs a descriptor"):
                    p.create(nodes=20)
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            assert p.clusters.all() == []
            p.create(nodes=2)

    trio.run(main)


def test_one_seed_makes_the_same_cluster(tmp_path: Path) -> None:
    async def main() -> None:
        async with plane(tmp_path) as p:
            found: list[Any] = []
            for _ in range(2):
                virtual = p.create(topics={"t": 4}, nodes=3, seed=11, now_ms=1_700_000_000_000)
                image = virtual.cluster.controller.image
                topic = image.topic_by_name("t")
                assert topic is not None
                found.append((image.cluster_id, topic.topic_id, [each.replicas for each in topic.partitions]))
            assert found[0] == found[1]

    trio.run(main)


def test_the_process_s_own_cluster_is_there_and_stays(tmp_path: Path) -> None:
    async def main() -> None:
        async with plane(tmp_path) as p:
            from broker.config.broker_config import BrokerConfig
            from broker.virtual.registry import VirtualClusters

            own = p.running.add("own")
            clusters = VirtualClusters(p.running.server, own, BrokerConfig({}))
            assert clusters.get("default").cluster is own
            for refused in (
                lambda: clusters.delete("default"),
                lambda: clusters.fork("default"),
                lambda: clusters.take_snapshot("default"),
                lambda: clusters.create(ClusterSpec(name="default")),
            ):
                with pytest.raises(VirtualError, match="default"):
                    refused()
            client = await p.running.connect(own)
            await client.create_topic("still")

    trio.run(main)
