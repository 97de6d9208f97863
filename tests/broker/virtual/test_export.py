"""Exported snapshots: written and read again, refused when they are another version's or damaged."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest
import trio

from broker.cli.version import kwire_version
from broker.config.broker_config import BrokerConfig
from broker.contents.apply import apply
from broker.contents.parse import parse_contents
from broker.deferred import start
from broker.inspect.check import Checker
from broker.inspect.findings import Finding, Severity
from broker.nodes.spec import node_specs
from broker.virtual.errors import ExportError, SnapshotRefusedError
from broker.virtual.export import MANIFEST, of_one_node, read_snapshot, write_kafka, write_snapshot
from broker.virtual.registry import VirtualClusters
from kwire.messages.metadata import MetadataRequest
from tests.broker.cluster_helpers import Client
from tests.broker.server_helpers import settled
from tests.broker.virtual.helpers import Plane, plane

VALUES = ["first", "b" * 900_000, "c" * 900_000]


async def make(p: Plane) -> None:
    records = [{"value": value, "partition": 1, "timestamp_ms": 1_700_000_000_000} for value in VALUES]
    topic = {"partitions": 2, "replication_factor": 3, "records": records, "configs": {"min.insync.replicas": 2}}
    await p.made("c", topics={"t": topic, "u": {"partitions": 4}}, nodes=3, racks=["a", "b", "c"], seed=5)


async def values_of(p: Plane, name: str) -> list[str]:
    virtual = p.clusters.get(name)
    partition = virtual.cluster.controller.image.partition("t", 1)
    assert partition is not None
    port = virtual.cluster.nodes[partition.leader].addresses[0].bound_port
    client = Client(await trio.open_tcp_stream("127.0.0.1", port))
    p.running.clients.append(client)
    return [(value or b"").decode() for value in await client.values("t", 1)]


def test_what_is_exported_is_imported_again(tmp_path: Path) -> None:
    async def main() -> None:
        async with plane(tmp_path) as p:
            await make(p)
            written = write_snapshot(p.clusters.taken("c", None), str(tmp_path / "out"))
            assert written.files > 5
            assert sorted(os.listdir(tmp_path / "out")) == ["data", MANIFEST]
            p.clusters.delete("c")
            taken = read_snapshot(str(tmp_path / "out"), p.clusters.empty_storage())
            again = p.clusters.open_snapshot(taken, as_name="again")
            assert await values_of(p, "again") == VALUES
            assert [node.rack for node in again.cluster.nodes.values()] == ["a", "b", "c"]
            assert again.spec is not None
            twice = p.clusters.open_snapshot(taken)
            assert await values_of(p, twice.name) == VALUES

    trio.run(main)


def test_for_kafka_it_is_one_node_without_faults(tmp_path: Path) -> None:
    async def main() -> None:
        async with plane(tmp_path) as p:
            await make(p)
            taken = p.clusters.taken("c", None)
            run = p.running.server.reactor.run_in_thread
            one = of_one_node(taken, p.clusters.config_of(taken), p.clusters.spill_directory, run)
            target = tmp_path / "kafka"
            target.mkdir()
            write_kafka(one, str(target))
            found: list[Finding] = []
            Checker(found.append, lambda *_: None).check([str(target)])
            assert [each for each in found if each.severity is not Severity.INFO] == []
            cluster = p.running.add("kafka")
            client = await p.running.connect(cluster)
            answer = await client.send(MetadataRequest(topics=None), 9)
            assert [each.node_id for each in answer.brokers] == [1]
            for topic in answer.topics:
                for each in topic.partitions:
                    assert (each.leader_id, each.replica_nodes, each.isr_nodes) == (1, [1], [1])
            assert [(value or b"").decode() for value in await client.values("t", 1)] == VALUES
            assert cluster.controller.image.config_value("t", "min.insync.replicas") == "1"
            # the cluster it comes from is still three nodes
            image = p.clusters.get("c").cluster.controller.image
            assert len(image.brokers) == 3
            assert len(image.topic_by_name("t").partitions[0].replicas) == 3  # type: ignore[union-attr]

    trio.run(main)


def test_the_process_s_own_cluster_is_copied_while_it_serves(tmp_path: Path) -> None:
    """Three nodes on the disk, exported for Kafka: one node; what is written afterwards is not in it."""

    async def main() -> None:
        async with plane(tmp_path) as p:
            texts = {"listeners": "PLAINTEXT://127.0.0.1:0", "log.dirs": str(tmp_path / "own"), "node.id": "4"}
            nodes = node_specs(3, ["a", "b", "c"], first_id=4)
            own = p.running.server.add(BrokerConfig(texts), random=Random(1), nodes=nodes)
            clusters = VirtualClusters(p.running.server, own, BrokerConfig(texts))
            records = [{"value": value, "partition": 0} for value in VALUES]
            contents = parse_contents({"topics": {"t": {"partitions": 1, "replication_factor": 3, "records": records}}})
            done = start(apply(own, contents))
            await settled(p.running.server.reactor, lambda: done.done, "the records are there")
            done.result()
            taken = clusters.taken("default", None)
            run = p.running.server.reactor.run_in_thread
            one = of_one_node(taken, clusters.config_of(taken), clusters.spill_directory, run)
            write_kafka(one, str(tmp_path / "kafka"))
            found: list[Finding] = []
            Checker(found.append, lambda *_: None).check([str(tmp_path / "kafka")])
            assert [each for each in found if each.severity is not Severity.INFO] == []
            texts["log.dirs"] = str(tmp_path / "kafka")
            again = p.running.server.add(BrokerConfig(texts), random=Random(2))
            client = await p.running.connect(again)
            assert [(value or b"").decode() for value in await client.values("t")] == VALUES
            assert list(again.controller.image.brokers) == [4]

    trio.run(main)


def test_a_cluster_goes_on_soundly_after_each_snapshot(tmp_path: Path) -> None:
    """What a snapshot makes the logs write (indexes cut to size, producers) is no end to them."""

    async def main() -> None:
        async with plane(tmp_path) as p:
            settings = {"index.interval.bytes": "100", "segment.bytes": "1048576", "segment.index.bytes": "4096"}
            virtual = await p.made("c", topics={"t": {"partitions": 1, "configs": settings}})
            client = await p.connect(virtual)
            written: list[bytes] = []
            for number in range(60):
                values = [f"{number}.{each}".encode() * 20 for each in range(5)]
                await client.produce("t", *values, timestamp=1_700_000_000_000 + number)
                written += values
                if number % 7 == 0:
                    assert p.clusters.take_snapshot("c").clean
                if number % 20 == 0:
                    fork = await p.connect(p.clusters.fork("c", as_name=f"t-{number}"))
                    assert await fork.values("t") == written
            assert await client.values("t") == written
            for offset in (0, 1, 77, 299):
                records = (await client.fetch("t", offset)).records
                assert offset in range(int.from_bytes(bytes(records)[:8], "big"), 300)
            for name, taken in (("now", p.clusters.taken("c", None)), ("fork", p.clusters.taken("t-0", None))):
                found: list[Finding] = []
                write_kafka(taken, str(tmp_path / name))
                Checker(found.append, lambda *_: None).check([str(tmp_path / name)])
                assert [each for each in found if each.severity is not Severity.INFO] == []

    trio.run(main)


def change(**fields: Any) -> Callable[[Path], None]:
    def apply(path: Path) -> None:
        manifest = json.loads((path / MANIFEST).read_text())
        (path / MANIFEST).write_text(json.dumps({**manifest, **fields}))

    return apply


def flip(path: Path) -> None:
    log = path / "data/t-1/00000000000000000000.log"
    data = bytearray(log.read_bytes())
    data[5000] ^= 1
    log.write_bytes(data)


def pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def escape(path: Path) -> None:
    manifest = json.loads((path / MANIFEST).read_text())
    manifest["files"][0]["path"] = "../../etc/passwd"
    (path / MANIFEST).write_text(json.dumps(manifest))


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (change(format=2), r"format 2 by kwire .*reads format 1"),
        (change(kwire="99.0.0"), "newer than this one"),
        (change(kwire=None), "does not tell which kwire"),
        (change(kwire="9" * 5000), "does not tell which kwire"),
        (change(format=True), "no manifest"),
        (change(nodes=[{"node_id": 1, "rack": 5}]), "5 is no text"),
        (change(nodes=[{"node_id": each, "rack": None} for each in range(101)]), "1 to 100 nodes, not 101"),
        (change(nodes=[{"node_id": 1, "rack": "r" * 40_000}]), "1 to 1000 characters"),
        (change(configs={"metadata.log.dir": "/tmp"}), "metadata.log.dir cannot be set"),
        (change(as_version="99"), "no release of Kafka"),
        (change(as_version=5), "5 is no text"),
        (change(clock={"now_ms": None, "frozen": False, "rate": 0}), "cannot run at 0 times"),
        (change(clock={"now_ms": 10**30, "frozen": True, "rate": 1}), "now_ms"),
        (change(files=[]), "meta.properties is missing"),
        (lambda path: pipe(path / "data/meta.properties"), "no regular file"),
        (lambda path: pipe(path / MANIFEST), "no regular file"),
        (change(files=3), "damaged"),
        (change(nodes=[]), "damaged"),
        (change(clock={}), "damaged"),
        (change(taken_ms=-1), "damaged"),
        (escape, "no name of a file"),
        (flip, "CRC-32"),
        (lambda path: (path / "data/t-1/00000000000000000000.log").write_bytes(b""), "0 bytes and was written with"),
        (lambda path: (path / "data/meta.properties").unlink(), "cannot read the snapshot"),
        (lambda path: (path / MANIFEST).write_text("[]"), "no manifest"),
        (lambda path: (path / MANIFEST).write_text("{"), "cannot read"),
        (lambda path: (path / MANIFEST).unlink(), "holds no exported snapshot"),
    ],
)
def test_what_cannot_be_read_is_refused_with_a_reason(
    tmp_path: Path, damage: Callable[[Path], None], told: str
) -> None:
    async def main() -> None:
        async with plane(tmp_path) as p:
            await make(p)
            write_snapshot(p.clusters.taken("c", None), str(tmp_path / "out"))
            damage(tmp_path / "out")
            with pytest.raises(SnapshotRefusedError, match=told):
                read_snapshot(str(tmp_path / "out"), p.clusters.empty_storage())

    trio.run(main)


def test_an_older_kwire_s_is_read(tmp_path: Path) -> None:
    async def main() -> None:
        async with plane(tmp_path) as p:
            await make(p)
            write_snapshot(p.clusters.taken("c", None), str(tmp_path / "out"))
            assert kwire_version() != "0.0.1"
            change(kwire="0.0.1")(tmp_path / "out")
            read_snapshot(str(tmp_path / "out"), p.clusters.empty_storage())

    trio.run(main)


def test_a_directory_is_written_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        async with plane(tmp_path) as p:
            await make(p)
            taken = p.clusters.taken("c", None)
            (tmp_path / "full").mkdir()
            (tmp_path / "full/file").touch()
            for path, told in (
                ("relative", "no absolute path"),
                (str(tmp_path / "full"), "not empty"),
                (str(tmp_path / "full/file"), "no directory"),
                (str(tmp_path / "none/below"), "not there"),
            ):
                with pytest.raises(ExportError, match=told):
                    write_snapshot(taken, path)

            def full(*_: Any, **__: Any) -> None:
                raise OSError(28, "No space left on device")

            monkeypatch.setattr("broker.virtual.export.json.dump", full)
            with pytest.raises(ExportError, match="No space left"):
                write_snapshot(taken, str(tmp_path / "out"))
            assert sorted(os.listdir(tmp_path)) == ["full"]

    trio.run(main)
