"""A node with two log directories: in which one a partition lies is noted when it is made, and nobody notices."""

from __future__ import annotations

from pathlib import Path

import trio

from broker.clock import ManualClock
from kwire.messages.find_coordinator import FindCoordinatorRequest
from kwire.messages.join_group import JoinGroupRequest, JoinGroupRequestProtocol
from tests.broker.cluster_helpers import running_server

MEMBER_ID_REQUIRED = 79


def test_a_members_id_outlives_the_note_where_the_groups_partition_lies(tmp_path: Path) -> None:
    async def run() -> None:
        async with running_server(tmp_path) as running:
            clock = ManualClock()
            cluster = running.add(log_dirs=f"{tmp_path}/a,{tmp_path}/b", clock=clock)
            client = await running.connect(cluster)
            request = JoinGroupRequest(
                group_id="g",
                session_timeout_ms=10_000,
                rebalance_timeout_ms=10_000,
                protocol_type="consumer",
                protocols=[JoinGroupRequestProtocol(name="range", metadata=b"")],
            )
            await client.send(FindCoordinatorRequest(key="g"), 3)
            for _ in range(100):
                answer = await client.send(request, 9)
                if answer.error_code == MEMBER_ID_REQUIRED:
                    break
                clock.advance(1)
                await trio.sleep(0.001)
            assert answer.error_code == MEMBER_ID_REQUIRED
            clock.advance(1)
            topic = cluster.controller.image.topic_by_name("__consumer_offsets")
            assert topic is not None
            lies_in = {partition.directory_of(cluster.node_id) for partition in topic.partitions}
            assert lies_in - {bytes(16)}, "where the group's partition lies was noted"
            request.member_id = answer.member_id
            assert (await client.send(request, 9)).error_code == 0

    trio.run(run)
