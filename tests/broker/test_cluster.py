"""Clusters put together: two in one process, restarts clean and unclean, deleting, parked fetches, hooks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import trio

from broker.clock import ManualClock
from broker.context import RequestContext
from broker.start_error import StartError
from kwire.error_codes import ErrorCode
from kwire.messages.api_versions import ApiVersionsRequest, ApiVersionsResponse
from kwire.messages.delete_topics import DeleteTopicsRequest
from kwire.messages.fetch import FetchRequest
from kwire.messages.heartbeat import HeartbeatRequest
from kwire.messages.join_group import JoinGroupRequest, JoinGroupRequestProtocol
from kwire.messages.metadata import MetadataRequest, MetadataRequestTopic
from kwire.messages.sync_group import SyncGroupRequest
from tests.broker.cluster_helpers import Client, fetch_request, running_server
from tests.broker.server_helpers import settled


def test_two_clusters_with_two_clocks_in_one_process(tmp_path: Path) -> None:
    """One clock stands still, the other is advanced: sessions expire and fetches time out in that cluster only."""

    async def main() -> None:
        async with running_server(tmp_path) as running:
            clocks = {"frozen": ManualClock(), "moving": ManualClock()}
            clusters = {name: running.add(name, clock=clock) for name, clock in clocks.items()}
            clients = {name: await running.connect(cluster) for name, cluster in clusters.items()}
            members: dict[str, str] = {}
            for name, client in clients.items():
                await client.create_topic("t")
                await client.produce("t", name.encode())
                members[name] = await _join(client)
            assert clusters["frozen"].controller.image.cluster_id != clusters["moving"].controller.image.cluster_id
            for name, client in clients.items():
                assert await client.values("t") == [name.encode()], "a cluster sees its own records only"

            parked = {name: await running.connect(cluster) for name, cluster in clusters.items()}
            for client in parked.values():
                await client.send_only(fetch_request("t", 1, max_wait_ms=30_000), 12)
            # Whatever was sent before is handled before this is answered.
            for cluster in clusters.values():
                await (await running.connect(cluster)).send(ApiVersionsRequest(), 0)
            clocks["moving"].advance(60_000)
            response = await parked["moving"].receive(FetchRequest, 12)
            assert response.responses[0].partitions[0].records == b""
            assert await _heartbeat(clients["moving"], members["moving"]) == ErrorCode.UNKNOWN_MEMBER_ID
            assert await _heartbeat(clients["frozen"], members["frozen"]) == ErrorCode.NONE
            await clients["frozen"].produce("t", b"more")
            response = await parked["frozen"].receive(FetchRequest, 12)
            assert len(response.responses[0].partitions[0].records) > 0, "the parked fetch waits for data, not for time"

    trio.run(main)


async def _join(client: Client) -> str:
    protocol = JoinGroupRequestProtocol(name="range", metadata=b"m")
    request = JoinGroupRequest(
        group_id="g", session_timeout_ms=10_000, rebalance_timeout_ms=10_000, protocol_type="consumer",
        protocols=[protocol],
    )  # fmt: skip
    while True:
        response = await client.send(request, 3)
        if response.error_code not in (ErrorCode.NOT_COORDINATOR, ErrorCode.COORDINATOR_LOAD_IN_PROGRESS):
            break
        await client.send(MetadataRequest(topics=[MetadataRequestTopic(name="__consumer_offsets")]), 4)
    assert response.error_code == 0, response
    member_id: str = response.member_id
    synced = await client.send(
        SyncGroupRequest(group_id="g", generation_id=response.generation_id, member_id=member_id), 3
    )
    assert synced.error_code == 0, synced
    return member_id


async def _heartbeat(client: Client, member_id: str) -> int:
    response = await client.send(HeartbeatRequest(group_id="g", generation_id=1, member_id=member_id), 3)
    return int(response.error_code)


@pytest.mark.parametrize("clean", [True, False])
def test_a_restart_keeps_topics_records_and_groups(tmp_path: Path, clean: bool) -> None:
    async def main() -> None:
        async with running_server(tmp_path, clean=clean) as running:
            client = await running.connect(running.add())
            await client.create_topic("kept", 3, retention_ms="12345")
            await client.create_topic("gone")
            for number in range(5):
                await client.produce("kept", b"%d" % number, partition=number % 3)
            await client.produce("gone", b"x")
            member_id = await _join(client)
            response = await client.send(DeleteTopicsRequest(topic_names=["gone"], timeout_ms=1000), 5)
            assert response.responses[0].error_code == 0
        async with running_server(tmp_path) as running:
            cluster = running.add()
            assert cluster.manager.unrecovered() == [], "every log is checked before anybody is served"
            client = await running.connect(cluster)
            image = cluster.controller.image
            assert [topic.name for topic in image.topics()] == ["__consumer_offsets", "kept"]
            kept = image.topic_by_name("kept")
            assert kept is not None
            assert kept.configs == {"retention.ms": "12345"}
            assert [await client.values("kept", index) for index in range(3)] == [[b"0", b"3"], [b"1", b"4"], [b"2"]]
            assert await _heartbeat(client, member_id) == ErrorCode.NONE
            assert cluster.controller.leader_epoch == 2

    trio.run(main)


def test_the_epoch_is_above_that_of_a_start_that_wrote_nothing_else(tmp_path: Path) -> None:
    """A crash may come between quorum-state and the first record of its epoch."""

    async def main() -> None:
        async with running_server(tmp_path) as running:
            running.add("one")
        (state,) = tmp_path.rglob("quorum-state")
        text = state.read_text()
        assert '"leaderEpoch":1,' in text
        state.write_text(text.replace('"leaderEpoch":1,', '"leaderEpoch":7,'))
        async with running_server(tmp_path) as running:
            assert running.add("one").controller.leader_epoch == 8
        state.write_text("{")
        async with running_server(tmp_path) as running:
            with pytest.raises(StartError, match="quorum-state is not readable"):
                running.add("one")

    trio.run(main)


def test_a_directory_is_used_by_one_broker_at_a_time(tmp_path: Path) -> None:
    async def main() -> None:
        async with running_server(tmp_path) as running:
            running.add("same")
            with pytest.raises(StartError, match="lock"):
                running.add("same")

    trio.run(main)


def test_a_taken_port_is_named(tmp_path: Path) -> None:
    async def main() -> None:
        async with running_server(tmp_path) as running:
            port = running.server.addresses(running.add("one"))[0].port
            with pytest.raises(StartError, match=str(port)):
                running.add("two", listeners=f"PLAINTEXT://127.0.0.1:{port}")
            client = await running.connect(running.add("two"))
            await client.create_topic("the-directory-is-free-again")

    trio.run(main)


def test_a_deleted_topic_answers_those_who_wait_for_it(tmp_path: Path) -> None:
    async def main() -> None:
        async with running_server(tmp_path) as running:
            cluster = running.add()
            client, waiting = await running.connect(cluster), await running.connect(cluster)
            await client.create_topic("t")
            await client.produce("t", b"x")
            await waiting.send_only(fetch_request("t", 1, max_wait_ms=10_000), 12)
            await (await running.connect(cluster)).send(ApiVersionsRequest(), 0)
            await client.send(DeleteTopicsRequest(topic_names=["t"], timeout_ms=1000), 5)
            response = await waiting.receive(FetchRequest, 12)
            assert response.responses[0].partitions[0].error_code == ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
            assert not cluster.partitions.parked, "nothing of it is kept"
            assert (await client.produce("t", b"y")).error_code == ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
            await client.create_topic("t")
            assert (await client.produce("t", b"z")).base_offset == 0
            assert await client.values("t") == [b"z"]

    trio.run(main)


def test_a_parked_fetch_ends_with_its_connection(tmp_path: Path) -> None:
    """Its client may have asked to wait for weeks, and come again and again."""

    async def main() -> None:
        async with running_server(tmp_path) as running:
            cluster = running.add()
            client, gone = await running.connect(cluster), await running.connect(cluster)
            await client.create_topic("t")
            await gone.send_only(fetch_request("t", 0, max_wait_ms=2**31 - 1), 12)
            partition = cluster.partitions.get("t", 0)
            assert partition is not None
            await settled(running.server.reactor, lambda: bool(partition._watchers), "the fetch waits")
            await gone.stream.aclose()
            await settled(running.server.reactor, lambda: not partition._watchers, "nobody waits")
            assert not cluster.partitions.parked, "nothing of it is kept"
            await client.produce("t", b"x")

    trio.run(main)


class _Quota:
    """Refuses what it is told to, and mutes who it answered."""

    def __init__(self) -> None:
        self.seen: list[str | None] = []
        self.refuse = False
        self.mute_ms = 1.0

    def before(self, request: Any, ctx: RequestContext) -> Any | None:
        self.seen.append(ctx.client_id)
        return ApiVersionsResponse(error_code=ErrorCode.CLUSTER_AUTHORIZATION_FAILED) if self.refuse else None

    def after(self, request: Any, ctx: RequestContext, response: Any) -> float:
        response.throttle_time_ms = 50
        return self.mute_ms if ctx.client_id == "greedy" else 0.0


def test_hooks_stand_around_every_handler_and_mute_the_connection(tmp_path: Path) -> None:
    async def main() -> None:
        async with running_server(tmp_path) as running:
            quota = _Quota()
            cluster = running.add(hooks=quota)
            client, other = await running.connect(cluster), await running.connect(cluster)
            client.client_id, other.client_id = "greedy", "modest"
            first = await client.send(ApiVersionsRequest(), 1)
            assert (first.error_code, first.throttle_time_ms) == (0, 50)
            quota.refuse, quota.mute_ms = True, 3_600_000.0
            second = await client.send(ApiVersionsRequest(), 1)
            assert second.error_code == ErrorCode.CLUSTER_AUTHORIZATION_FAILED, "answered once the pause is over"
            await client.send_only(ApiVersionsRequest(), 1)
            for _ in range(5):
                await other.send(ApiVersionsRequest(), 1)
            assert quota.seen.count("greedy") == 2, "while it is muted the connection is not read"

    trio.run(main)


def test_produce_by_shape_gives_the_same_answers(tmp_path: Path) -> None:
    """The second of two like requests takes the short way: every version, acks and error must look the same."""
    from kwire.messages.produce import PartitionProduceData, ProduceRequest, TopicProduceData
    from tests.broker.cluster_helpers import batch

    async def main() -> None:
        async with running_server(tmp_path) as running:
            cluster = running.add()
            setup = await running.connect(cluster)
            await setup.create_topic("t", 2)
            topic = cluster.controller.image.topic_by_name("t")
            assert topic is not None
            offset = 0
            for version in range(3, 14):
                client = await running.connect(cluster)
                answers = []
                for number in range(4):
                    data = PartitionProduceData(index=0, records=batch(b"x" * (100 if number < 3 else 20_000)))
                    wanted = TopicProduceData(name="t", topic_id=topic.topic_id, partition_data=[data])
                    if version >= 13:
                        wanted.name = ""
                    answer = await client.send(ProduceRequest(acks=1, timeout_ms=9, topic_data=[wanted]), version)
                    part = answer.responses[0].partition_responses[0]
                    assert part.base_offset == offset, f"version {version}, request {number}"
                    offset += 1
                    part.base_offset = 0
                    answers.append(answer)
                assert answers == [answers[0]] * 4, f"version {version}"
                broken = bytearray(batch(b"y" * 100))
                broken[-1] ^= 1
                data.records = bytes(broken)
                answer = await client.send(ProduceRequest(acks=1, timeout_ms=9, topic_data=[wanted]), version)
                assert answer.responses[0].partition_responses[0].error_code == ErrorCode.CORRUPT_MESSAGE
            await client.send_only(ProduceRequest(acks=0, timeout_ms=9, topic_data=[wanted]), version)
            with pytest.raises(EOFError):
                await client.send(ApiVersionsRequest(), 0)

    trio.run(main)


def test_a_replica_moves_to_another_directory_while_it_is_used(tmp_path: Path) -> None:
    from kwire.messages.alter_replica_log_dirs import (
        AlterReplicaLogDir,
        AlterReplicaLogDirsRequest,
        AlterReplicaLogDirTopic,
    )
    from kwire.messages.describe_log_dirs import DescribeLogDirsRequest

    async def main() -> None:
        dirs = [str(tmp_path / name) for name in ("a", "b")]
        async with running_server(tmp_path) as running:
            cluster = running.add(log_dirs=",".join(dirs))
            client = await running.connect(cluster)
            await client.create_topic("t", segment_bytes="1048576")
            sent = []
            for number in range(6):
                sent.append(b"%d" % number * 400_000)
                await client.produce("t", sent[-1])

            async def where() -> list[str]:
                found = await client.send(DescribeLogDirsRequest(topics=None), 4)
                return [each.log_dir for each in found.results if any(t.name == "t" for t in each.topics)]

            (before,) = await where()
            (after,) = set(dirs) - {before}
            wanted = AlterReplicaLogDir(path=after, topics=[AlterReplicaLogDirTopic(name="t", partitions=[0])])
            answer = await client.send(AlterReplicaLogDirsRequest(dirs=[wanted]), 2)
            assert answer.results[0].partitions[0].error_code == 0
            while await where() != [after]:
                sent.append(b"meanwhile")
                await client.produce("t", sent[-1])
            await client.produce("t", b"after")
            assert await client.values("t") == [*sent, b"after"]
            lies = cluster.manager.directory_of("t", 0)
            described = cluster.controller.image.partition("t", 0)
            assert lies is not None
            assert lies.properties is not None
            assert described is not None
            assert described.directories == (lies.properties.directory_id,), "the image knows where it lies"
        async with running_server(tmp_path) as running:
            client = await running.connect(running.add(log_dirs=",".join(dirs)))
            assert await client.values("t") == [*sent, b"after"]
            assert not [path for path in Path(before).iterdir() if path.name.startswith("t-0")]

    trio.run(main)


def test_each_listener_tells_its_own_address(tmp_path: Path) -> None:
    """Untold, the address the client reached; told, the advertised one, also with another port in front of it."""

    async def main() -> None:
        async with running_server(tmp_path) as running:
            cluster = running.add(
                listeners="INSIDE://127.0.0.1:0,OUTSIDE://0.0.0.0:0",
                listener_security_protocol_map="INSIDE:PLAINTEXT,OUTSIDE:PLAINTEXT",
                advertised_listeners="INSIDE://127.0.0.1:0,OUTSIDE://kafka.example:19092",
                inter_broker_listener_name="INSIDE",
            )
            inside, outside = running.server.addresses(cluster)
            for address, expected in ((inside, ("127.0.0.1", inside.port)), (outside, ("kafka.example", 19092))):
                client = Client(await trio.open_tcp_stream("127.0.0.1", address.port))
                running.clients.append(client)
                response = await client.send(MetadataRequest(topics=[]), 9)
                assert [(node.host, node.port) for node in response.brokers] == [expected], address.name

    trio.run(main)


def test_who_waits_is_answered_when_the_broker_stops(tmp_path: Path) -> None:
    async def main() -> None:
        async with running_server(tmp_path) as running:
            cluster = running.add()
            client, waiting = await running.connect(cluster), await running.connect(cluster)
            await client.create_topic("t")
            await waiting.send_only(fetch_request("t", 0, max_wait_ms=10_000), 12)
            await (await running.connect(cluster)).send(ApiVersionsRequest(), 0)
            running.server.stop_serving()
            response = await waiting.receive(FetchRequest, 12)
            assert response.responses[0].partitions[0].error_code == 0

    trio.run(main)
