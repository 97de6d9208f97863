"""What obeys a cluster's clock when it is frozen and pushed on, through a whole broker."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import trio
import trio.testing

from broker.clock import TimerQueue
from broker.cluster import Cluster
from broker.driven_clock import DrivenClock
from kwire.messages.describe_groups import DescribeGroupsRequest
from kwire.messages.fetch import FetchRequest
from kwire.messages.join_group import JoinGroupRequest
from kwire.messages.list_transactions import ListTransactionsRequest
from kwire.messages.offset_fetch import OffsetFetchRequest
from tests.broker.cluster_helpers import Client, fetch_request, running_server
from tests.broker.group_client import Member
from tests.broker.test_transactions import Producer

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS
OFFSET_OUT_OF_RANGE = 1
UNKNOWN_MEMBER_ID = 25
INVALID_PRODUCER_EPOCH = 47


def with_frozen_clock(
    directory: Path,
    scene: Callable[[Client, DrivenClock, Cluster], Awaitable[None]],
    timers: TimerQueue | None = None,
    **settings: str,
) -> None:
    async def main() -> None:
        clock = DrivenClock(frozen=True)
        if timers is not None:
            clock.timers = timers
        async with running_server(directory) as running:
            cluster = running.add(clock=clock, **{"group_initial_rebalance_delay_ms": "0", **settings})
            await scene(await running.connect(cluster), clock, cluster)

    trio.run(main)


async def state_of(client: Client, group_id: str) -> str:
    described = await client.send(DescribeGroupsRequest(groups=[group_id]), 5)
    state: str = described.groups[0].group_state
    return state


async def committed(client: Client, group_id: str) -> int:
    answer = await client.send(OffsetFetchRequest(group_id=group_id, topics=None), 7)
    return sum(len(topic.partitions) for topic in answer.topics)


def test_a_fetch_that_waits(tmp_path: Path) -> None:
    async def scene(client: Client, clock: DrivenClock, _cluster: Cluster) -> None:
        await client.create_topic("t")
        await client.send_only(fetch_request("t", 0, max_wait_ms=30_000), 12)
        await trio.testing.wait_all_tasks_blocked()
        clock.advance(29_999)
        with trio.move_on_after(0):  # not a byte yet
            await client.stream.receive_some(1)
            raise AssertionError("the fetch was answered too early")
        clock.advance(1)
        assert not (await client.receive(FetchRequest, 12)).responses[0].partitions[0].records

    with_frozen_clock(tmp_path, scene)


def test_the_loop_learns_of_another_rate(tmp_path: Path) -> None:
    """It sleeps until the next timer of the machine's time, which is another one then."""

    async def scene(client: Client, clock: DrivenClock, _cluster: Cluster) -> None:
        await client.create_topic("t")
        await client.send_only(fetch_request("t", 0, max_wait_ms=600_000), 12)
        await trio.testing.wait_all_tasks_blocked()
        clock.resume()
        await trio.testing.wait_all_tasks_blocked()
        clock.set_rate(10_000)
        assert not (await client.receive(FetchRequest, 12)).responses[0].partitions[0].records

    with_frozen_clock(tmp_path, scene)


def test_a_join_that_waits_for_more_members(tmp_path: Path) -> None:
    async def scene(client: Client, clock: DrivenClock, _cluster: Cluster) -> None:
        await client.create_topic("t")
        member = Member(client, "g")
        await member.find()
        await member.get_id()
        await client.send_only(member.join_request(), 7)
        await trio.testing.wait_all_tasks_blocked()
        clock.advance(2_999)
        with trio.move_on_after(0):
            await client.stream.receive_some(1)
            raise AssertionError("the join was answered too early")
        clock.advance(1)
        member.joined(await client.receive(JoinGroupRequest, 7))

    with_frozen_clock(tmp_path, scene, group_initial_rebalance_delay_ms="3000")


def test_sessions_and_then_offsets_end(tmp_path: Path) -> None:
    async def scene(client: Client, clock: DrivenClock, _cluster: Cluster) -> None:
        await client.create_topic("t")
        member = Member(client, "g")
        await member.enter()
        assert await member.commit(3) == 0
        clock.advance(44_000)
        assert await member.heartbeat() == 0
        clock.advance(44_000)
        assert await state_of(client, "g") == "Stable"
        clock.advance(1_000)
        assert await state_of(client, "g") == "Empty"
        assert await member.heartbeat() == UNKNOWN_MEMBER_ID
        clock.advance(DAY_MS - HOUR_MS)
        assert await committed(client, "g") == 1
        clock.advance(2 * HOUR_MS)
        assert await committed(client, "g") == 0
        assert await state_of(client, "g") == "Dead"

    with_frozen_clock(tmp_path, scene, offsets_retention_minutes="1440")


def test_a_transaction_ends_at_its_timeout_and_its_id_expires(tmp_path: Path) -> None:
    async def scene(client: Client, clock: DrivenClock, _cluster: Cluster) -> None:
        await client.create_topic("t")
        producer = await Producer(client, "x").init()
        assert (await producer.produce("t", b"a")).error_code == 0
        clock.advance(50_000)
        assert await states(client) == ["Ongoing"]
        clock.advance(20_000)
        assert await states(client) == ["CompleteAbort"]
        assert (await producer.produce("t", b"b")).error_code == INVALID_PRODUCER_EPOCH
        clock.advance(8 * DAY_MS)
        assert await states(client) == []

    async def states(client: Client) -> list[str]:
        found = await client.send(ListTransactionsRequest(), 1)
        return [state.transaction_state for state in found.transaction_states]

    with_frozen_clock(tmp_path, scene)


def test_records_go_with_their_retention(tmp_path: Path) -> None:
    async def scene(client: Client, clock: DrivenClock, cluster: Cluster) -> None:
        await client.create_topic("t", retention_ms=str(3 * DAY_MS))
        await client.produce("t", b"a", timestamp=clock.now_ms())
        clock.advance(2 * DAY_MS)
        assert await client.values("t") == [b"a"]
        await client.produce("t", b"b", timestamp=clock.now_ms())
        clock.advance(7 * DAY_MS)
        assert (await client.fetch("t", 0)).error_code == OFFSET_OUT_OF_RANGE
        start = cluster.manager.opened("t", 0)
        assert start is not None
        assert start.log_start_offset == start.log_end_offset == 2

    with_frozen_clock(tmp_path, scene)


class CountingQueue(TimerQueue):
    """Counts what it hands out to be called."""

    __slots__ = ("fired",)

    def __init__(self) -> None:
        super().__init__()
        self.fired = 0

    def pop_due(self, now_ms: float) -> Callable[[], None] | None:
        fn = super().pop_due(now_ms)
        self.fired += fn is not None
        return fn


def test_a_week_with_many_groups_takes_few_turns(tmp_path: Path, long_form: bool) -> None:
    """What its speed rests upon: 40,000 looks of the cleaner alone fall out. With --long: a thousand groups, in less
    than a second.
    """
    groups = 1000 if long_form else 20
    timers = CountingQueue()

    async def scene(client: Client, clock: DrivenClock, cluster: Cluster) -> None:
        await client.create_topic("t", cleanup_policy="compact")
        for number in range(groups):
            member = Member(client, f"g{number}")
            await member.enter()
            assert await member.commit(1) == 0
        shards = len({cluster.groups.partition_of(f"g{number}") for number in range(groups)})
        timers.fired = 0
        began_s = time.perf_counter()
        clock.advance(7 * DAY_MS)
        assert not long_form or time.perf_counter() - began_s < 1.0
        assert {await state_of(client, f"g{number}") for number in range(groups)} == {"Dead"}
        # sessions, each shard's expiry, and a dozen other rounds with the steps they are made of
        assert timers.fired <= 2 * groups + 35 * (shards + 24)

    with_frozen_clock(tmp_path, scene, timers=timers, offsets_retention_minutes="1440")
