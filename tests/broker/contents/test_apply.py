"""Declared contents in a cluster: made once, checked before, kept at the next start."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import trio

from broker.cluster import Cluster
from broker.contents.apply import Applied, apply
from broker.contents.model import ContentsError
from broker.contents.parse import parse_contents
from broker.contents.partitioning import murmur2, partition_for_key
from broker.deferred import start
from broker.nodes.spec import NodeSpec
from kwire.messages.offset_fetch import OffsetFetchRequestTopics
from tests.broker.cluster_helpers import running_server

SHOP = {
    "topics": {
        "orders": 6,
        "customers": {
            "partitions": 3,
            "configs": {"cleanup.policy": "compact", "segment.bytes": 2000000},
            "records": [
                {"key": "c-1", "value": {"name": "Ann"}, "headers": {"source": "import"}, "timestamp_ms": 5},
                {"key": "c-2", "value": None},
                {"key": "c-3", "value": "plain", "partition": 1},
            ],
        },
        "events": {"partitions": 2, "records": ["a", "b", "c"]},
    },
    "groups": {"billing": {"events": "latest", "orders": {"0": 0, "5": 0}}},
}


async def made(cluster: Cluster, declared: Any) -> Applied:
    done = start(apply(cluster, parse_contents(declared)))
    while not done.done:
        await trio.lowlevel.checkpoint()
        cluster.clock.advance(1)  # type: ignore[attr-defined]
    return done.result()


def topics_of(cluster: Cluster) -> dict[str, int]:
    topics = cluster.controller.image.topics()
    return {topic.name: len(topic.partitions) for topic in topics if not topic.name.startswith("__")}


def test_everything_is_made(tmp_path: Path) -> None:
    async def main() -> None:
        async with running_server(tmp_path) as running:
            cluster = running.add()
            applied = await made(cluster, SHOP)
            assert applied.created == ("orders", "customers", "events")
            assert (applied.kept, applied.differences, applied.records) == ((), (), 6)
            assert topics_of(cluster) == {"orders": 6, "customers": 3, "events": 2}
            client = await running.connect(cluster)
            assert [await client.values("events", index) for index in (0, 1)] == [[b"a", b"c"], [b"b"]]
            assert b"plain" in await client.values("customers", 1)
            keyed = partition_for_key(b"c-1", 3)
            assert b'{"name":"Ann"}' in await client.values("customers", keyed)
            committed = start(
                cluster.groups.fetch_offsets(
                    "billing", [OffsetFetchRequestTopics(name="events", partition_indexes=[0, 1])]
                )
            ).result()
            assert [each.committed_offset for each in committed[0].partitions] == [2, 1]
            assert applied.offsets == 4

    trio.run(main)


def test_a_second_time_nothing_changes_and_differences_are_told(tmp_path: Path) -> None:
    async def main() -> None:
        async with running_server(tmp_path) as running:
            first = running.add()
            await made(first, SHOP)
        async with running_server(tmp_path) as running:
            cluster = running.add()
            again = await made(cluster, SHOP)
            assert (again.created, again.records, again.offsets, again.differences) == ((), 0, 0, ())
            client = await running.connect(cluster)
            assert await client.values("events", 0) == [b"a", b"c"]
            other = {"topics": {"orders": {"partitions": 9, "configs": {"retention.ms": 5}}, "events": 2}}
            applied = await made(cluster, other)
            assert applied.kept == ("orders", "events")
            assert applied.differences == (
                "topic orders has 6 partitions, declared are 9",
                "topic orders has retention.ms=its default, declared is 5",
            )

    trio.run(main)


def test_an_empty_topic_of_a_start_that_was_cut_short_gets_its_records(tmp_path: Path) -> None:
    async def main() -> None:
        async with running_server(tmp_path) as running:
            cluster = running.add()
            await made(cluster, {"topics": {"events": 2}})
            applied = await made(cluster, {"topics": {"events": {"partitions": 2, "records": ["a"]}}})
            assert (applied.kept, applied.records) == (("events",), 1)

    trio.run(main)


def test_in_a_cluster_of_nodes_each_leader_gets_its_records(tmp_path: Path) -> None:
    declared = {
        "topics": {"orders": {"partitions": 6, "replication_factor": 3, "records": [str(n) for n in range(12)]}},
        "groups": {f"g{number}": {"orders": "latest"} for number in range(6)},
    }

    async def main() -> None:
        async with running_server(tmp_path) as running:
            cluster = running.add(nodes=[NodeSpec(1), NodeSpec(2), NodeSpec(3)])
            applied = await made(cluster, declared)
            assert (applied.records, applied.offsets) == (12, 36)
            partitions = cluster.controller.image.topic_by_name("orders").partitions  # type: ignore[union-attr]
            assert {partition.leader for partition in partitions} == {1, 2, 3}
            for index, partition in enumerate(partitions):
                client = await running.connect(cluster, partition.leader)
                assert await client.values("orders", index) == [str(index).encode(), str(index + 6).encode()]

    trio.run(main)


@pytest.mark.parametrize(
    ("declared", "said"),
    [
        ({"topics": {"a": {"configs": {"retention.msx": 1}}}}, "topics.a: Unknown topic config name: retention.msx"),
        ({"topics": {"a": {"replication_factor": 3}}}, "topics.a: Unable to replicate the partition 3 time"),
        ({"topics": {"a": {"records": [{"value": 1, "partition": 4}]}}}, r"topics.a.records\[0\].partition: the topic"),
        (
            {"topics": {"a": {"configs": {"cleanup.policy": "compact"}, "records": ["x"]}}},
            r"topics.a.records\[0\].key: the topic is compacted",
        ),
        (
            {"topics": {"a": {"configs": {"max.message.bytes": 200}, "records": ["x" * 200]}}},
            r"topics.a.records\[0\]: takes about",
        ),
        ({"groups": {"g": {"none": 1}}}, "groups.g.none: there is no topic 'none'"),
        # Only the log knows: what was begun is undone.
        ({"topics": {"a": {"records": [{"value": 1, "timestamp": "2999-01-01"}]}}}, "topics.a.records: .* refused"),
    ],
)
def test_nothing_is_made_when_something_is_wrong(tmp_path: Path, declared: dict[str, Any], said: str) -> None:
    declared.setdefault("topics", {})["fine"] = 1

    async def main() -> None:
        async with running_server(tmp_path) as running:
            cluster = running.add()
            with pytest.raises(ContentsError, match=said):
                await made(cluster, declared)
            assert topics_of(cluster) == {}

    trio.run(main)


def test_many_topics_and_large_seeds(tmp_path: Path) -> None:
    topics: dict[str, Any] = {f"t{index}": 20 for index in range(300)}
    topics["big"] = {"records": ["x" * 1000] * 3000}

    async def main() -> None:
        async with running_server(tmp_path) as running:
            cluster = running.add()
            applied = await made(cluster, {"topics": topics})
            assert len(applied.created) == 301
            log = cluster.partitions.get("big", 0)
            assert log is not None
            assert log.log.log_end_offset == 3000

    trio.run(main)


@pytest.mark.parametrize(
    ("text", "expected"),
    # Kafka's own test of Utils.murmur2.
    [(b"21", -973932308), (b"foobar", -790332482), (b"a-little-bit-long-string", -985981536), (b"abc", 479470107)],
)
def test_keys_go_where_a_java_producer_sends_them(text: bytes, expected: int) -> None:
    assert murmur2(text) == expected & 0xFFFFFFFF
