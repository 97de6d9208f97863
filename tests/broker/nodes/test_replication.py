"""Frozen replicas, min.insync.replicas, unclean elections, lost tails, consumers in racks, reassignments."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from broker.nodes import lifecycle
from kwire.error_codes import ErrorCode
from kwire.errors import ApiError
from kwire.messages.alter_partition_reassignments import (
    AlterPartitionReassignmentsRequest,
    ReassignablePartition,
    ReassignableTopic,
)
from kwire.messages.create_topics import CreatableTopic, CreateTopicsRequest
from kwire.messages.elect_leaders import ElectLeadersRequest, TopicPartitions
from kwire.messages.fetch import FetchRequest
from kwire.messages.offset_for_leader_epoch import (
    OffsetForLeaderEpochRequest,
    OffsetForLeaderPartition,
    OffsetForLeaderTopic,
)
from kwire.messages.produce import ProduceRequest
from tests.broker.nodes.node_world import Nodes, in_trio, nodes, told, values_of

_LAG_MS = 30_000
_RACKS = {"replica_selector_class": "org.apache.kafka.common.replica.RackAwareReplicaSelector"}


@in_trio
async def test_acks_all_waits_for_a_frozen_replica(tmp_path: Path) -> None:
    async with nodes(tmp_path) as world:
        await world.create("t", [[1, 2, 3]])
        await world.produce(1, "t", b"a")
        world.freeze(3)
        assert told(await world.produce(1, "t", b"b", acks=1)).error_code == 0
        assert await world.values("t") == [b"a"]  # not committed: nobody sees it
        await world.begin_produce(1, "t", b"c", timeout_ms=5_000)
        await (await world.at(2)).send(CreateTopicsRequest(), 5)  # it has been read by now
        world.run(3)
        assert told(await (await world.at(1)).receive(ProduceRequest, 11)).error_code == 0
        assert await world.values("t") == [b"a", b"b", b"c"]


@in_trio
async def test_acks_all_times_out(tmp_path: Path) -> None:
    async with nodes(tmp_path) as world:
        await world.create("t", [[1, 2]])
        world.freeze(2)
        await world.begin_produce(1, "t", b"a", timeout_ms=5_000)
        await (await world.at(2)).send(CreateTopicsRequest(), 5)
        world.clock.advance(5_000)
        answer = told(await (await world.at(1)).receive(ProduceRequest, 11))
        assert (answer.error_code, answer.base_offset) == (ErrorCode.REQUEST_TIMED_OUT, 0)


@in_trio
async def test_a_frozen_replica_falls_out_of_the_isr(tmp_path: Path) -> None:
    async with nodes(tmp_path) as world:
        await world.create("t", [[1, 2, 3]])
        world.freeze(3)
        world.clock.advance(2 * _LAG_MS)
        assert world.partition("t").isr == (1, 2, 3)  # it has all there is
        await world.begin_produce(1, "t", b"a", timeout_ms=10 * _LAG_MS)
        await (await world.at(2)).send(CreateTopicsRequest(), 5)
        world.clock.advance(_LAG_MS)
        assert world.partition("t").isr == (1, 2)
        assert told(await (await world.at(1)).receive(ProduceRequest, 11)).error_code == 0
        assert told(await world.produce(1, "t", b"b")).error_code == 0
        world.run(3)
        assert world.partition("t").isr == (1, 2, 3)


@in_trio
async def test_leaders_report_isrs_by_id(tmp_path: Path) -> None:
    async with nodes(tmp_path) as world:
        await world.create("t", [[3, 1, 2]])
        assert world.partition("t").isr == (3, 1, 2)
        world.stop(2)
        assert world.partition("t").isr == (3, 1)
        world.start(2)
        assert world.partition("t").isr == (1, 2, 3)


@in_trio
async def test_too_few_in_sync(tmp_path: Path) -> None:
    async with nodes(tmp_path) as world:
        await world.create("t", [[1, 2, 3]], min_insync_replicas="2")
        assert told(await world.produce(1, "t", b"a")).error_code == 0
        world.stop(2)
        assert told(await world.produce(1, "t", b"b")).error_code == 0
        world.stop(3)
        refused = told(await world.produce(1, "t", b"c"))
        assert (refused.error_code, refused.base_offset, refused.log_start_offset) == (
            ErrorCode.NOT_ENOUGH_REPLICAS,
            -1,
            0,
        )
        assert told(await world.produce(1, "t", b"d", acks=1)).error_code == 0
        assert await world.values("t") == [b"a", b"b"]
        world.start(3)
        assert await world.values("t") == [b"a", b"b", b"d"]
        assert told(await world.produce(1, "t", b"e")).error_code == 0


@in_trio
async def test_too_few_in_sync_after_the_append(tmp_path: Path) -> None:
    async with nodes(tmp_path) as world:
        await world.create("t", [[1, 2]], min_insync_replicas="2")
        world.freeze(2)
        await world.begin_produce(1, "t", b"a", timeout_ms=10 * _LAG_MS)
        await (await world.at(2)).send(CreateTopicsRequest(), 5)
        world.clock.advance(_LAG_MS)
        answer = told(await (await world.at(1)).receive(ProduceRequest, 11))
        assert answer.error_code == ErrorCode.NOT_ENOUGH_REPLICAS_AFTER_APPEND


@in_trio
async def test_an_unclean_election_loses_what_the_replica_did_not_have(tmp_path: Path) -> None:
    async with nodes(tmp_path) as world:
        await world.create("t", [[1, 2]], min_insync_replicas="1")
        await world.produce(1, "t", b"a")
        world.freeze(2)
        world.clock.advance(_LAG_MS)
        await world.produce(1, "t", b"b", acks=1)
        world.clock.advance(_LAG_MS)
        assert world.partition("t").isr == (1,)
        await world.produce(1, "t", b"c")
        with pytest.raises(ApiError, match="not in sync"):
            lifecycle.elect(world.cluster, "t", 0, 2)
        world.stop(1, kill=True)
        assert world.partition("t").leader == -1
        client = await world.at(2)
        ask = ElectLeadersRequest(
            election_type=1, topic_partitions=[TopicPartitions(topic="t", partitions=[0])], timeout_ms=1000
        )
        answer = await client.send(ask, 2)
        assert answer.replica_election_results[0].partition_result[0].error_code == 0
        assert world.partition("t").leader == 2
        assert await world.values("t") == [b"a"]
        assert told(await world.produce(2, "t", b"x")).error_code == 0
        world.start(1)
        assert sorted(world.partition("t").isr) == [1, 2]  # 2 is frozen still, but leads; 1 follows
        assert await world.values("t") == [b"a", b"x"]


@in_trio
async def test_unclean_elections_where_the_topic_allows_them(tmp_path: Path) -> None:
    async with nodes(tmp_path) as world:
        await world.create("t", [[1, 2]], unclean_leader_election_enable="true")
        await world.produce(1, "t", b"a")
        world.stop(2)
        await world.produce(1, "t", b"b")
        world.start(2)
        world.freeze(2)
        await world.produce(1, "t", b"c", acks=1)
        world.clock.advance(_LAG_MS)
        world.stop(1)
        assert world.partition("t").leader == 2
        assert await world.values("t") == [b"a", b"b"]


@in_trio
async def test_a_lost_tail_is_found_by_epoch(tmp_path: Path) -> None:
    async with nodes(tmp_path) as world:
        await world.create("t", [[1, 2, 3]])
        for value in (b"a", b"b", b"c"):
            await world.produce(1, "t", value)
        assert lifecycle.lose_tail(world.cluster, "t", 0, 2) == 1
        epoch = world.partition("t").leader_epoch
        assert epoch == 1
        refused = told(await world.fetch(1, "t", 3, epoch=0))
        assert refused.error_code == ErrorCode.FENCED_LEADER_EPOCH
        unknown = told(await world.fetch(1, "t", 3, epoch=7))
        assert unknown.error_code == ErrorCode.UNKNOWN_LEADER_EPOCH
        diverging = told(await world.fetch(1, "t", 3, epoch=epoch, last_epoch=0)).diverging_epoch
        assert (diverging.epoch, diverging.end_offset) == (0, 1)
        asked = OffsetForLeaderTopic(
            topic="t", partitions=[OffsetForLeaderPartition(partition=0, current_leader_epoch=1, leader_epoch=0)]
        )
        answer = await (await world.at(1)).send(OffsetForLeaderEpochRequest(replica_id=-1, topics=[asked]), 4)
        ended = answer.topics[0].partitions[0]
        assert (ended.error_code, ended.leader_epoch, ended.end_offset) == (0, 0, 1)
        elsewhere = await (await world.at(2)).send(OffsetForLeaderEpochRequest(replica_id=-1, topics=[asked]), 4)
        assert elsewhere.topics[0].partitions[0].error_code == ErrorCode.NOT_LEADER_OR_FOLLOWER
        await world.produce(1, "t", b"d")
        assert await world.values("t") == [b"a", b"d"]


@in_trio
async def test_a_consumer_is_sent_to_the_replica_in_its_rack(tmp_path: Path) -> None:
    async with nodes(tmp_path, 3, ["a", "b", "c"], **_RACKS) as world:
        await world.create("t", [[1, 2]])
        await world.produce(1, "t", b"a")
        assert told(await world.fetch(1, "t", rack="a")).preferred_read_replica == -1
        assert told(await world.fetch(1, "t", rack="c")).preferred_read_replica == -1
        sent = told(await world.fetch(1, "t", rack="b", max_wait_ms=10_000))
        assert (sent.preferred_read_replica, bytes(sent.records or b"")) == (2, b"")
        read = told(await world.fetch(2, "t", rack="b"))
        assert (read.error_code, read.high_watermark, values_of(read)) == (0, 1, [b"a"])
        await world.begin_fetch(2, "t", 1, rack="b", max_wait_ms=60_000)
        await (await world.at(3)).send(CreateTopicsRequest(), 5)
        await world.produce(1, "t", b"b")
        assert values_of(told(await (await world.at(2)).receive(FetchRequest, 12))) == [b"b"]
        world.freeze(2)
        await world.produce(1, "t", b"c", acks=1)
        world.clock.advance(_LAG_MS)
        assert told(await world.fetch(1, "t", 2, rack="b")).preferred_read_replica == -1
        behind = told(await world.fetch(2, "t", 2, rack="b"))
        assert (behind.error_code, behind.high_watermark, values_of(behind)) == (0, 2, [])
        assert told(await world.fetch(2, "t", 3, rack="b")).error_code == ErrorCode.OFFSET_OUT_OF_RANGE
        none = told(await world.fetch(3, "t", rack="c"))
        assert none.error_code == ErrorCode.NOT_LEADER_OR_FOLLOWER


async def _reassign(world: Nodes, at: int, replicas: list[int] | None) -> Any:
    wanted = ReassignableTopic(name="t", partitions=[ReassignablePartition(partition_index=0, replicas=replicas)])
    request = AlterPartitionReassignmentsRequest(topics=[wanted], timeout_ms=1000)
    answer = await (await world.at(at)).send(request, 0)
    return answer.responses[0].partitions[0].error_code


@in_trio
async def test_a_reassignment_is_done_at_once(tmp_path: Path) -> None:
    async with nodes(tmp_path) as world:
        await world.create("t", [[1, 2]])
        await world.produce(1, "t", b"a")
        assert await _reassign(world, 1, [3, 2]) == 0
        found = world.partition("t")
        assert (found.replicas, sorted(found.isr), found.is_reassigning) == ((3, 2), [2, 3], False)
        assert found.leader in (2, 3)
        assert await world.values("t") == [b"a"]
        client = await world.at(2)
        await client.send(ElectLeadersRequest(election_type=0, topic_partitions=None, timeout_ms=1000), 2)
        assert world.partition("t").leader == 3


@in_trio
async def test_a_reassignment_waits_for_a_node_that_is_down(tmp_path: Path) -> None:
    async with nodes(tmp_path) as world:
        await world.create("t", [[1, 2]])
        await world.produce(1, "t", b"a")
        world.stop(3)
        assert await _reassign(world, 1, [3, 1]) == 0
        assert world.partition("t").adding_replicas == (3,)
        world.start(3)
        assert world.partition("t").replicas == (3, 1)
        world.freeze(2)
        assert await _reassign(world, 1, [1, 2]) == 0
        assert world.partition("t").is_reassigning
        world.run(2)
        assert world.partition("t").replicas == (1, 2)


@in_trio
async def test_preferred_leaders_lead_again_after_a_while(tmp_path: Path) -> None:
    async with nodes(tmp_path) as world:
        await world.create("t", [[1, 2, 3]])
        world.stop(1)
        world.start(1)
        assert world.partition("t").leader == 2
        world.clock.advance(300_000)
        assert world.partition("t").leader == 1


@pytest.mark.parametrize("lenient", [False, True])
@in_trio
async def test_replication_factors_above_the_number_of_nodes(tmp_path: Path, lenient: bool) -> None:
    async with nodes(tmp_path, 2, kwire_replication_factor_lenient=str(lenient).lower()) as world:
        wanted = CreatableTopic(name="t", num_partitions=1, replication_factor=3)
        answer = await (await world.at(1)).send(CreateTopicsRequest(topics=[wanted], timeout_ms=1000), 5)
        (created,) = answer.topics
        if lenient:
            assert (created.error_code, created.replication_factor) == (0, 2)
        else:
            assert created.error_code == ErrorCode.INVALID_REPLICATION_FACTOR
