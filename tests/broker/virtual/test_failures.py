"""What goes wrong while clusters are kept and put back: nothing is left half done, nor on the disk."""

from __future__ import annotations

import gc
import os
import socket
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
import trio

from broker.cluster import Cluster
from broker.controller.controller import Controller
from broker.start_error import StartError
from broker.virtual.cluster import VirtualCluster
from broker.virtual.errors import UnknownClusterError
from kwire.error_codes import ErrorCode
from kwire.errors import ApiError
from tests.broker.virtual.helpers import Plane, plane


def unnamed(directory: Path) -> list[str]:
    """Open files of this process that are on the disk there and have no name."""
    links = []
    for each in os.listdir("/proc/self/fd"):
        try:
            links.append(os.readlink(f"/proc/self/fd/{each}"))
        except OSError:  # the listing's own
            continue
    return [each for each in links if each.startswith(f"{directory}/")]


def test_a_recovered_snapshot_leaves_nothing_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spill = tmp_path / "spill"
    spill.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(spill))
    monkeypatch.setattr("broker.virtual.registry._finish", lambda _cluster, _storage: False)

    async def main() -> None:
        async with plane(tmp_path / "data") as p:
            virtual = p.create("c", topics={"t": 1})
            client = await p.connect(virtual)
            for _ in range(6):
                await client.produce("t", os.urandom(200_000))
            gc.collect()
            gc.disable()
            try:
                p.clusters.take_snapshot("c", "s")
                p.clusters.fork("c", snapshot="s", as_name="f")
                p.clusters.restore("c", "s")
                assert unnamed(spill)
                p.clusters.delete("f")
                p.clusters.delete("c")
                assert unnamed(spill) == []
            finally:
                gc.enable()

    trio.run(main)


def taking(p: Plane, monkeypatch: pytest.MonkeyPatch, take: Callable[[list[int]], None]) -> None:
    """Somebody does something as soon as a cluster's ports are free."""
    remove = p.clusters.server.remove

    def removed(cluster: Cluster) -> bool:
        ports = [node.addresses[0].bound_port for node in cluster.nodes.values()]
        fine = remove(cluster)
        take(ports)
        return fine

    monkeypatch.setattr(p.clusters.server, "remove", removed)


async def kept(p: Plane) -> VirtualCluster:
    virtual = p.create("c", topics={"t": 1})
    p.clusters.take_snapshot("c", "s")
    await (await p.connect(virtual)).produce("t", b"after the snapshot")
    return virtual


def test_a_restore_whose_port_is_taken_leaves_the_cluster_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        async with plane(tmp_path) as p:
            virtual = await kept(p)
            with socket.socket() as thief:
                thief.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)

                def take(ports: list[int]) -> None:
                    thief.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                    thief.bind(("127.0.0.1", ports[0]))
                    thief.listen()

                taking(p, monkeypatch, take)
                with pytest.raises(StartError, match=r"cannot listen.* The cluster is as it was, at 127"):
                    p.clusters.restore("c", "s")
            assert p.clusters.get("c") is virtual
            assert await (await p.connect(virtual)).values("t") == [b"after the snapshot"]
            monkeypatch.undo()
            p.clusters.restore("c", "s")
            assert await (await p.connect(virtual)).values("t") == []
            p.clusters.delete("c")
            assert p.clusters.all() == []

    trio.run(main)


def test_a_restore_that_cannot_write_metadata_leaves_a_cluster_that_is_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> None:
        raise ApiError(ErrorCode.KAFKA_STORAGE_ERROR)

    async def main() -> None:
        async with plane(tmp_path) as p:
            virtual = await kept(p)
            monkeypatch.setattr(Controller, "raise_leader_epochs", refused)
            with pytest.raises(ApiError):
                p.clusters.restore("c", "s")
            assert await (await p.connect(virtual)).values("t") == [], "the snapshot's data, at the cluster's port"
            p.clusters.delete("c")
            assert p.clusters.all() == []

    trio.run(main)


def test_a_cluster_that_cannot_be_served_again_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object, **__: object) -> Cluster:
        raise StartError("no descriptor is left")

    async def main() -> None:
        async with plane(tmp_path) as p:
            await kept(p)
            taking(p, monkeypatch, lambda _ports: monkeypatch.setattr(p.clusters.server, "add", refused))
            with pytest.raises(StartError, match=r"cluster .c. is gone, .*no descriptor is left"):
                p.clusters.restore("c", "s")
            with pytest.raises(UnknownClusterError):
                p.clusters.get("c")
            monkeypatch.undo()
            p.create("c")

    trio.run(main)
