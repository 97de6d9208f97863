"""`/metrics`, `/healthz`, `/readyz`: names, values, and when a broker is not ready."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import trio
from prometheus_client.parser import text_string_to_metric_families

from broker.control import health
from broker.virtual.spec import ClusterSpec
from tests.broker.group_client import Member
from tests.broker.http_helpers import Plane, running_plane

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def with_plane(directory: Path, scene: Callable[[Plane], Awaitable[None]]) -> None:
    async def main() -> None:
        async with running_plane(directory) as plane:
            await scene(plane)

    trio.run(main)


async def scraped(plane: Plane, query: str = "") -> Samples:
    answer = await plane.request("GET", f"/metrics{query}")
    assert answer.status == 200, answer.body
    assert answer.headers["content-type"].startswith("text/plain; version=")
    found: Samples = {}
    for family in text_string_to_metric_families(answer.body.decode()):
        assert family.documentation, family.name
        for sample in family.samples:
            key = (sample.name, frozenset(sample.labels.items()))
            assert key not in found, f"twice: {sample}"
            found[key] = sample.value
    return found


def value(samples: Samples, name: str, **labels: str) -> float:
    return samples[(name, frozenset(labels.items()))]


def test_topics_groups_and_traffic(tmp_path: Path) -> None:
    async def scene(plane: Plane) -> None:
        client = await plane.running.connect(plane.default)
        await client.create_topic("orders", 2)
        for _ in range(5):
            await client.produce("orders", b"x", b"y")
        got = await client.fetch("orders", 0)
        member = Member(client, "billing", ["orders"])
        await member.enter()
        assert await member.commit(4) == 0
        found = await scraped(plane)

        at = {"topic": "orders", "partition": "0"}
        assert value(found, "kafka_brokers") == 1
        assert value(found, "kafka_topic_partitions", topic="orders") == 2
        assert value(found, "kafka_topic_partition_current_offset", **at) == 10
        assert value(found, "kafka_topic_partition_oldest_offset", **at) == 0
        assert value(found, "kafka_topic_partition_leader", **at) == 1
        assert value(found, "kafka_topic_partition_current_offset", topic="orders", partition="1") == 0
        assert value(found, "kafka_consumergroup_current_offset", consumergroup="billing", **at) == 4
        assert value(found, "kafka_consumergroup_lag", consumergroup="billing", **at) == 6
        assert value(found, "kafka_consumergroup_lag_sum", consumergroup="billing", topic="orders") == 6
        assert value(found, "kafka_consumergroup_members", consumergroup="billing") == 1

        topics = "kafka_server_brokertopicmetrics"
        assert value(found, f"{topics}_messagesin_total", topic="orders") == 10
        (log,) = (log for log in plane.default.manager.open_logs() if log.topic == "orders" and log.partition == 0)
        assert value(found, f"{topics}_bytesin_total", topic="orders") == log.segments.size_bytes
        assert value(found, f"{topics}_bytesout_total", topic="orders") == len(got.records)
        assert value(found, f"{topics}_bytesin_total") > log.segments.size_bytes, "internal topics too"
        requests = "kafka_network_requestmetrics_requests_total"
        assert value(found, requests, request="Produce", version="9") == 5
        assert value(found, requests, request="Fetch", version="12") == 1
        assert value(found, f"{topics}_totalproducerequests_total") == 5

        assert value(found, "kafka_server_replicamanager_partitioncount") == 2 + 50
        assert value(found, "kafka_server_replicamanager_underreplicatedpartitions") == 0
        assert value(found, "kafka_controller_kafkacontroller_activecontrollercount") == 1
        assert value(found, "kafka_controller_kafkacontroller_offlinepartitionscount") == 0
        assert value(found, "kafka_log_log_logendoffset", **at) == 10
        assert value(found, "kafka_log_log_size", **at) == log.segments.size_bytes
        assert value(found, "kafka_coordinator_group_groupmetadatamanager_numgroupsstable") == 1
        assert value(found, "process_resident_memory_bytes") > 1e6

    with_plane(tmp_path, scene)


def test_counts_outlive_a_topic_and_an_interception(tmp_path: Path) -> None:
    async def scene(plane: Plane) -> None:
        client = await plane.running.connect(plane.default)
        await client.create_topic("t")
        await client.produce("t", b"x")
        plane.default.dispatcher.intercept(None)
        plane.default.partitions.forget_shapes()
        await client.produce("t", b"x")
        (topic,) = (topic for topic in plane.default.controller.image.topics() if topic.name == "t")
        await plane.request("DELETE", "/v1/clusters/default/topics/t")
        found = await scraped(plane)
        assert value(found, "kafka_server_brokertopicmetrics_messagesin_total") == 2
        assert ("kafka_server_brokertopicmetrics_messagesin_total", frozenset({("topic", topic.name)})) not in found
        assert value(found, "kafka_network_requestmetrics_requests_total", request="Produce", version="9") == 2

    with_plane(tmp_path, scene)


def test_other_clusters_are_asked_for_by_name(tmp_path: Path) -> None:
    async def scene(plane: Plane) -> None:
        plane.clusters.create(ClusterSpec(name="three", nodes=3))
        client = await plane.running.connect(plane.clusters.get("three").cluster)
        await client.create_topic("t", 6)
        assert value(await scraped(plane), "kafka_brokers") == 1
        three = await scraped(plane, "?cluster=three")
        assert value(three, "kafka_brokers") == 3
        assert sum(value(three, "kafka_server_replicamanager_leadercount", node=str(node)) for node in (1, 2, 3)) == 6
        both = await scraped(plane, "?cluster=*")
        assert value(both, "kafka_brokers", cluster="three") == 3
        assert value(both, "kafka_brokers", cluster="default") == 1
        answer = await plane.request("GET", "/metrics?cluster=four")
        assert (answer.status, answer.error["code"]) == (404, "unknown_cluster")

    with_plane(tmp_path, scene)


def test_logs_are_not_opened_for_being_looked_at(tmp_path: Path) -> None:
    async def before(plane: Plane) -> None:
        client = await plane.running.connect(plane.default)
        await client.create_topic("t")
        await client.produce("t", b"x", b"y")

    async def after(plane: Plane) -> None:
        found = await scraped(plane)
        assert value(found, "kafka_topic_partition_current_offset", topic="t", partition="0") == 2
        assert plane.default.manager.opened("t", 0) is None

    with_plane(tmp_path, before)
    with_plane(tmp_path, after)


def test_health_and_readiness(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene(plane: Plane) -> None:
        assert await plane.get("/healthz") == {"status": "ok", "clusters": 1}
        assert await plane.get("/readyz") == {"ready": True, "cluster": "default", "reasons": []}
        monkeypatch.setattr(health, "_LEAST_FREE_BYTES", 2**80)
        answer = await plane.request("GET", "/readyz")
        assert answer.status == 503
        assert not answer.json["ready"]
        assert "room" in answer.json["reasons"][0]
        monkeypatch.undo()
        answer = await plane.request("GET", "/readyz?cluster=other")
        assert answer.status == 404

    with_plane(tmp_path, scene)


def test_a_cluster_whose_nodes_are_stopped_is_not_ready(tmp_path: Path) -> None:
    async def scene(plane: Plane) -> None:
        spec = ClusterSpec(name="two", nodes=2, configs={"min.insync.replicas": "2", "default.replication.factor": "2"})
        plane.clusters.create(spec)
        await plane.post("/v1/clusters/two/topics", {"name": "t"})
        assert (await plane.get("/readyz?cluster=two"))["ready"]
        await plane.post("/v1/clusters/two/nodes/2/stop")
        answer = await plane.request("GET", "/readyz?cluster=two")
        assert answer.status == 503
        (reason,) = answer.json["reasons"]
        assert "min.insync.replicas" in reason
        assert "t-0" in reason
        await plane.post("/v1/clusters/two/nodes/1/stop")
        reasons = (await plane.request("GET", "/readyz?cluster=two")).json["reasons"]
        assert any("no node runs" in reason for reason in reasons)
        assert any("without a leader" in reason for reason in reasons)
        await plane.post("/v1/clusters/two/nodes/1/start")
        await plane.post("/v1/clusters/two/nodes/2/start")
        assert (await plane.get("/readyz?cluster=two"))["ready"]

    with_plane(tmp_path, scene)


def test_while_a_fault_lets_produces_fail_it_is_not_ready(tmp_path: Path) -> None:
    async def scene(plane: Plane) -> None:
        plane.clusters.create(ClusterSpec(name="c"))
        await plane.post("/v1/clusters/c/topics", {"name": "t"})
        rules = "/v1/clusters/c/faults"
        for fails in (
            {"disk_full": True},
            {"disk_error": ["append"], "topic": "t"},
            {"connect": "refuse"},
            {"api": "Produce", "error": "NOT_LEADER_OR_FOLLOWER"},
            {"drop_reply": True, "times": 1},
        ):
            await plane.post(rules, {"name": "mine", **fails})
            answer = await plane.request("GET", "/readyz?cluster=c")
            assert answer.status == 503, fails
            assert "(mine)" in answer.json["reasons"][0]
            await plane.request("DELETE", rules)
            assert (await plane.get("/readyz?cluster=c"))["ready"]
        for passes in (
            {"api": "Fetch", "error": "NOT_LEADER_OR_FOLLOWER"},
            {"api": "Produce", "client_id": "one", "drop_connection": True},
            {"api": "Produce", "delay_ms": 5},
            {"disk_error": ["read"]},
            {"disk_full": True, "probability": 0.5},
        ):
            await plane.post(rules, passes)
            assert (await plane.get("/readyz?cluster=c"))["ready"], passes

    with_plane(tmp_path, scene)


def test_a_partition_whose_disk_failed_is_told(tmp_path: Path) -> None:
    async def scene(plane: Plane) -> None:
        client = await plane.running.connect(plane.default)
        await client.create_topic("t", 1)
        await plane.post("/v1/clusters/default/faults", {"disk_error": ["append"], "topic": "t", "times": 1})
        lost = await plane.request("POST", "/v1/clusters/default/topics/t/records", {"records": [{"value": "x"}]})
        assert lost.status == 503
        answer = await plane.request("GET", "/readyz")
        assert answer.status == 503
        assert answer.json["reasons"] == ["partitions whose disk failed: t-0"]
        await plane.request("DELETE", "/v1/clusters/default/faults")
        assert (await plane.get("/readyz"))["ready"]

    with_plane(tmp_path, scene)


def test_many_partitions_are_told_in_pieces(tmp_path: Path) -> None:
    async def scene(plane: Plane) -> None:
        await (await plane.running.connect(plane.default)).create_topic("wide", 1201)
        text = (await plane.request("GET", "/metrics")).body.decode()
        for name in ("kafka_topic_partition_leader", "kafka_cluster_partition_replicascount"):
            assert text.count(f"# HELP {name} ") == text.count(f"# TYPE {name} ") == 1
            assert text.count(f"\n{name}{{") == 1201
        await scraped(plane)

    with_plane(tmp_path, scene)
