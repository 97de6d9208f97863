"""Nodes stop, start, are isolated and heal: leaders and coordinators move, clients are told, nothing is lost."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
import trio
import trio.testing

from broker.nodes import lifecycle
from kwire.error_codes import ErrorCode
from kwire.messages.describe_cluster import DescribeClusterRequest
from kwire.messages.describe_configs import DescribeConfigsRequest, DescribeConfigsResource
from kwire.messages.describe_log_dirs import DescribeLogDirsRequest
from kwire.messages.describe_producers import DescribeProducersRequest, TopicRequest
from kwire.messages.describe_quorum import DescribeQuorumRequest, RequestPartitionData, RequestTopicData
from kwire.messages.describe_topic_partitions import DescribeTopicPartitionsRequest
from kwire.messages.describe_topic_partitions import TopicRequest as DescribedTopic
from kwire.messages.fetch import FetchRequest
from kwire.messages.find_coordinator import FindCoordinatorRequest
from kwire.messages.list_offsets import ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic
from kwire.messages.metadata import MetadataRequest, MetadataRequestTopic
from kwire.messages.write_txn_markers import WritableTxnMarker, WritableTxnMarkerTopic, WriteTxnMarkersRequest
from tests.broker.nodes.node_world import in_trio, nodes, told


@in_trio
async def test_clients_see_every_node(tmp_path: Path) -> None:
    async with nodes(tmp_path, 3, ["a", "b"]) as world:
        await world.create("t", [[1, 2, 3], [2, 3, 1]])
        client = await world.at(2)
        answer = await client.send(MetadataRequest(topics=[MetadataRequestTopic(name="t")]), 12)
        assert [(each.node_id, each.rack) for each in answer.brokers] == [(1, "a"), (2, "b"), (3, "a")]
        assert len({each.port for each in answer.brokers}) == 3
        (topic,) = answer.topics
        assert [(each.leader_id, each.replica_nodes, each.isr_nodes) for each in topic.partitions] == [
            (1, [1, 2, 3], [1, 2, 3]),
            (2, [2, 3, 1], [2, 3, 1]),
        ]


@pytest.mark.parametrize("kill", [False, True])
@in_trio
async def test_a_stop_moves_leaders_and_a_start_brings_replicas_back(tmp_path: Path, kill: bool) -> None:
    async with nodes(tmp_path) as world:
        await world.create("t", [[1, 2, 3]], at=2)
        assert told(await world.produce(1, "t", b"a")).error_code == 0
        port = world.node(1).addresses[0].bound_port
        world.stop(1, kill=kill)
        described = world.partition("t")
        assert (described.leader, described.isr) == (2, (2, 3))
        assert described.leader_epoch >= 1
        with pytest.raises(OSError, match="failed"):
            await trio.open_tcp_stream("127.0.0.1", port)
        assert told(await world.produce(2, "t", b"b")).error_code == 0
        answer = await (await world.at(2)).send(MetadataRequest(topics=[MetadataRequestTopic(name="t")]), 12)
        assert answer.topics[0].partitions[0].offline_replicas == [1]
        assert [each.node_id for each in answer.brokers] == [2, 3]
        world.start(1)
        assert world.node(1).addresses[0].bound_port == port
        assert sorted(world.partition("t").isr) == [1, 2, 3]
        assert world.partition("t").leader == 2
        assert await world.values("t") == [b"a", b"b"]
        refused = await world.produce(1, "t", b"c")
        assert told(refused).error_code == ErrorCode.NOT_LEADER_OR_FOLLOWER
        leader = told(refused).current_leader
        assert (leader.leader_id, leader.leader_epoch) == (2, world.partition("t").leader_epoch)
        assert [(each.node_id, each.port) for each in refused.node_endpoints] == [
            (2, world.node(2).addresses[0].bound_port)
        ]


@in_trio
async def test_a_connection_to_a_stopped_node_is_cut(tmp_path: Path) -> None:
    async with nodes(tmp_path) as world:
        await world.create("t", [[2, 3, 1]])
        client = await world.at(2)
        await world.begin_fetch(2, "t", max_wait_ms=10_000)
        other = await world.at(3)
        await other.send(MetadataRequest(), 12)
        world.stop(2)
        with pytest.raises(EOFError):
            await client.receive(FetchRequest, 12)
        await other.send(MetadataRequest(), 12)


@in_trio
async def test_an_isolated_node_leads_nothing_and_says_so(tmp_path: Path) -> None:
    async with nodes(tmp_path) as world:
        await world.create("t", [[1, 2, 3]])
        await world.produce(1, "t", b"a")
        await world.begin_fetch(1, "t", 1, max_wait_ms=60_000, version=16)
        world.isolate(1)
        parked = await (await world.at(1)).receive(FetchRequest, 16)
        assert told(parked).error_code == ErrorCode.NOT_LEADER_OR_FOLLOWER
        assert told(parked).current_leader.leader_id == 2
        assert [each.node_id for each in parked.node_endpoints] == [2]
        assert told(await world.produce(1, "t", b"x")).error_code == ErrorCode.NOT_LEADER_OR_FOLLOWER
        assert told(await world.produce(2, "t", b"b")).error_code == 0
        assert world.partition("t").isr == (2, 3)
        world.heal(1)
        assert sorted(world.partition("t").isr) == [1, 2, 3]
        assert await world.values("t") == [b"a", b"b"]


@in_trio
async def test_parked_fetches_learn_of_a_new_leader(tmp_path: Path) -> None:
    async with nodes(tmp_path) as world:
        await world.create("t", [[1, 2, 3]])
        await world.begin_fetch(1, "t", 0, max_wait_ms=60_000, version=16, epoch=0)
        await trio.testing.wait_all_tasks_blocked()
        lifecycle.elect(world.cluster, "t", 0, 2)
        answer = await (await world.at(1)).receive(FetchRequest, 16)
        assert told(answer).error_code == ErrorCode.FENCED_LEADER_EPOCH
        assert told(answer).current_leader.leader_id == 2


@in_trio
async def test_coordinators_move_with_their_partitions(tmp_path: Path) -> None:
    async with nodes(tmp_path, offsets_topic_num_partitions="3") as world:
        client = await world.at(1)
        ask = FindCoordinatorRequest(key_type=0, coordinator_keys=["g"])
        await client.send(ask, 4)
        found = (await client.send(ask, 4)).coordinators[0]
        assert found.error_code == 0
        others = [each for each in (1, 2, 3) if each != found.node_id]
        world.stop(found.node_id)
        moved = (await (await world.at(others[0])).send(ask, 4)).coordinators[0]
        assert moved.error_code == 0
        assert moved.node_id in others
        assert len(world.partition("__consumer_offsets").replicas) == 3


@in_trio
async def test_nobody_leads_when_all_replicas_are_gone(tmp_path: Path) -> None:
    async with nodes(tmp_path) as world:
        await world.create("t", [[1, 2]])
        await world.produce(1, "t", b"a")
        world.stop(2)
        await world.produce(1, "t", b"b")
        world.stop(1)
        answer = await (await world.at(3)).send(MetadataRequest(topics=[MetadataRequestTopic(name="t")]), 12)
        described = answer.topics[0].partitions[0]
        assert (described.error_code, described.leader_id) == (ErrorCode.LEADER_NOT_AVAILABLE, -1)
        asked = DescribeTopicPartitionsRequest(topics=[DescribedTopic(name="t")])
        shown = (await (await world.at(3)).send(asked, 0)).topics[0].partitions[0]
        assert (shown.error_code, shown.leader_id, shown.last_known_elr, shown.offline_replicas) == (0, -1, [1], [1, 2])
        world.start(2)  # it lacks b"b" and was not in sync
        assert world.partition("t").leader == -1
        world.start(1)
        assert world.partition("t").leader == 1
        assert sorted(world.partition("t").isr) == [1, 2]
        assert await world.values("t") == [b"a", b"b"]


@in_trio
async def test_the_active_controller_is_a_node_that_runs(tmp_path: Path) -> None:
    async with nodes(tmp_path) as world:
        world.stop(1)
        asked = RequestTopicData(topic_name="__cluster_metadata", partitions=[RequestPartitionData(partition_index=0)])
        client = await world.at(3)
        quorum = (await client.send(DescribeQuorumRequest(topics=[asked]), 2)).topics[0].partitions[0]
        assert (quorum.leader_id, [each.replica_id for each in quorum.current_voters]) == (2, [1, 2, 3])
        assert quorum.high_watermark == quorum.current_voters[0].log_end_offset
        assert (await client.send(MetadataRequest(), 12)).controller_id == 2
        cluster = await client.send(DescribeClusterRequest(include_fenced_brokers=True), 2)
        assert [(each.broker_id, each.is_fenced) for each in cluster.brokers] == [(1, True), (2, False), (3, False)]


@in_trio
async def test_each_node_answers_for_itself(tmp_path: Path) -> None:
    async with nodes(tmp_path) as world:
        await world.create("t", [[1, 2]])
        await world.produce(1, "t", b"a")
        for node_id, held in ((1, ["t"]), (2, ["t"]), (3, [])):
            client = await world.at(node_id)
            (directory,) = (await client.send(DescribeLogDirsRequest(topics=None), 4)).results
            assert [topic.name for topic in directory.topics] == held
            for asked in (1, 2, 3):
                resource = DescribeConfigsResource(resource_type=4, resource_name=str(asked))
                (answer,) = (await client.send(DescribeConfigsRequest(resources=[resource]), 4)).results
                assert answer.error_code == (0 if asked == node_id else ErrorCode.INVALID_REQUEST)
            listed = ListOffsetsTopic(name="t", partitions=[ListOffsetsPartition(partition_index=0, timestamp=-1)])
            found = (await client.send(ListOffsetsRequest(replica_id=-1, topics=[listed]), 7)).topics[0].partitions[0]
            assert found.error_code == (0 if node_id == 1 else ErrorCode.NOT_LEADER_OR_FOLLOWER)
            producers = DescribeProducersRequest(topics=[TopicRequest(name="t", partition_indexes=[0])])
            described = (await client.send(producers, 0)).topics[0].partitions[0]
            assert described.error_code == (ErrorCode.NOT_LEADER_OR_FOLLOWER if node_id == 3 else 0)
            marker = WritableTxnMarker(
                producer_id=9_000, topics=[WritableTxnMarkerTopic(name="t", partition_indexes=[0])]
            )
            written = (await client.send(WriteTxnMarkersRequest(markers=[marker]), 1)).markers[0]
            assert (
                written.topics[0].partitions[0].error_code
                == {
                    1: ErrorCode.NONE,
                    2: ErrorCode.NOT_LEADER_OR_FOLLOWER,
                    3: ErrorCode.UNKNOWN_TOPIC_OR_PARTITION,
                }[node_id]
            )


@in_trio
async def test_a_cluster_of_several_nodes_is_opened_again(tmp_path: Path) -> None:
    async with nodes(tmp_path) as world:
        await world.create("t", [[2, 3, 1]])
        await world.produce(2, "t", b"a")
    async with nodes(tmp_path) as world:
        assert sorted(world.partition("t").isr) == [1, 2, 3]
        assert await world.values("t") == [b"a"]


@pytest.mark.parametrize("kill", [False, True])
@in_trio
async def test_the_only_node_stops_and_comes_back(tmp_path: Path, kill: bool) -> None:
    async with nodes(tmp_path, 1) as world:
        await world.create("t", [[1]])
        await world.produce(1, "t", b"a")
        world.stop(1, kill=kill)
        assert world.partition("t").leader == -1
        world.start(1)
        assert world.partition("t").leader == 1
        assert told(await world.produce(1, "t", b"b")).error_code == 0
        assert await world.values("t") == [b"a", b"b"]
        world.isolate(1)
        assert told(await world.produce(1, "t", b"c")).error_code == ErrorCode.NOT_LEADER_OR_FOLLOWER
        world.heal(1)
        assert await world.values("t") == [b"a", b"b"]


@in_trio
async def test_all_nodes_stop_and_come_back(tmp_path: Path) -> None:
    async with nodes(tmp_path) as world:
        await world.create("t", [[1, 2, 3]])
        await world.produce(1, "t", b"a")
        for node_id in (1, 2, 3):
            world.stop(node_id, kill=True)
        for node_id in (1, 2, 3):
            world.start(node_id)
        assert world.partition("t").leader == 3  # the last one that was in sync
        assert sorted(world.partition("t").isr) == [1, 2, 3]
        assert await world.values("t") == [b"a"]


@in_trio
async def test_a_port_is_kept_while_its_node_is_stopped(tmp_path: Path) -> None:
    async with nodes(tmp_path) as world:
        host, port = world.node(2).addresses[0].bound_host, world.node(2).addresses[0].bound_port
        world.stop(2)
        with socket.socket() as other, pytest.raises(OSError, match="in use"):
            other.bind((host, port))
        world.start(2)
        await (await world.at(2)).send(MetadataRequest(), 12)
