"""A cluster's clock and its groups through the Python door and the command, with members that speak the protocol."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime, timedelta

import pytest
import trio
from click.testing import CliRunner

from broker.cli.main import cli
from kwire.messages.join_group import JoinGroupRequest
from kwire.testing import Broker, Cluster, ControlRequestError, WaitTimeoutError
from tests.broker.cluster_helpers import Client
from tests.broker.group_client import Member

START = datetime(2030, 1, 1, tzinfo=UTC)
UNKNOWN_MEMBER_ID = 25
REBALANCE_IN_PROGRESS = 27


@pytest.fixture
def quick(broker: Broker) -> Iterator[Cluster]:
    """Groups do not wait for more members."""
    with broker.create_cluster(topics={"orders": 2}, configs={"group.initial.rebalance.delay.ms": "0"}, seed=7) as made:
        yield made


Connect = Callable[[Cluster, str], Awaitable[Client]]


def with_clients(scene: Callable[[Connect], Awaitable[None]]) -> None:
    """Run `scene(connect)`; what it has connected is closed."""
    clients: list[Client] = []

    async def connect(cluster: Cluster, client_id: str) -> Client:
        host, port = cluster.bootstrap_servers.rsplit(":", 1)
        clients.append(Client(await trio.open_tcp_stream(host, int(port)), client_id))
        return clients[-1]

    async def main() -> None:
        try:
            with trio.fail_after(90):
                await scene(connect)
        finally:
            for client in clients:
                await trio.aclose_forcefully(client.stream)

    trio.run(main)


async def rejoin(leader: Member, *others: Member) -> None:
    """All join again, which the leader did first; each gets a partition."""
    await leader.client.send_only(leader.join_request(), 7)
    for member in others:
        await member.client.send_only(member.join_request(), 7)
    for member in (leader, *others):
        member.joined(await member.client.receive(JoinGroupRequest, 7))
    assert leader.leader == leader.member_id
    shares = {member.member_id: {"orders": [index]} for index, member in enumerate((leader, *others))}
    await leader.sync(shares)
    for member in others:
        await member.sync()


def test_the_clock_from_python(broker: Broker) -> None:
    with broker.create_cluster(now_ms=int(START.timestamp() * 1000)) as cluster:
        clock = cluster.clock
        with clock.frozen():
            frozen = clock.show()
            assert frozen.state == "frozen"
            assert START <= frozen.now < START + timedelta(minutes=1)
            assert clock.advance(days=7, seconds=1.5).now - frozen.now == timedelta(days=7, seconds=1.5)
            assert clock.advance(timedelta(hours=1)).state == "frozen"
            assert clock.advance_to(START + timedelta(days=30)).now == START + timedelta(days=30)
            with pytest.raises(ControlRequestError, match="does not go back") as refused:
                clock.advance_to(START)
            assert refused.value.code == "clock_refused"
            assert clock.now_ms == clock.show().now_ms
        assert clock.set_rate(2).rate == 2


def test_the_clock_by_command(cluster: Cluster) -> None:
    def kwire(*arguments: str) -> dict[str, object]:
        options = ["--http", cluster.http.url, "--cluster", cluster.name, "--json"]
        ran = CliRunner().invoke(cli, ["clock", *arguments, *options])
        assert ran.exit_code == 0, ran.output
        shown: dict[str, object] = json.loads(ran.stdout)
        return shown

    before = kwire("freeze")["now_ms"]
    assert isinstance(before, int)
    assert kwire("advance", "1h30m")["now_ms"] == before + 5_400_000
    assert kwire("advance", "--to", str(before + 6_000_000))["now_ms"] == before + 6_000_000
    assert kwire("rate", "0.5")["rate"] == 0.5
    assert kwire("show")["state"] == "frozen"
    assert kwire("resume")["state"] == "running"
    refused = CliRunner().invoke(
        cli, ["clock", "advance", "--to", "2020-01-01", "--http", cluster.http.url, "--cluster", cluster.name]
    )
    assert refused.exit_code == 1
    assert "does not go back" in refused.output
    for wrong in (["advance", "5"], ["advance", "1x"], ["advance"], ["advance", "1s", "--to", "2030-01-01"]):
        assert CliRunner().invoke(cli, ["clock", *wrong]).exit_code == 2, wrong


def test_a_group_rebalances_loses_a_member_and_its_coordinator(quick: Cluster) -> None:
    async def scene(connect: Connect) -> None:
        group = quick.groups["billing"]
        quick.produce("orders", {"order": 1}, partition=0)
        one = Member(await connect(quick, "one"), "billing", ["orders"])
        two = Member(await connect(quick, "two"), "billing", ["orders"])
        await one.enter()
        await two.get_id()
        await rejoin(one, two)
        state = group.wait_for("Stable", members=2)
        assert {member.client_id: member.assignment for member in state.members} == {
            "one": {"orders": [0]},
            "two": {"orders": [1]},
        }
        assert group.lag() == group.lag("orders") == 1
        assert await one.commit(1) == 0
        assert group.wait_for_lag(0).generation == 2
        assert group.committed() == {("orders", 0): 1}

        assert group.rebalance()
        assert not group.rebalance()
        assert await two.heartbeat() == REBALANCE_IN_PROGRESS
        await rejoin(one, two)
        assert group.show().generation == 3

        assert group.evict(group.members[1]) == two.member_id
        assert await two.heartbeat() == UNKNOWN_MEMBER_ID
        await rejoin(one)
        assert group.move_coordinator() == state.coordinator
        await one.find()
        assert await one.heartbeat() == 0
        assert [found.group_id for found in quick.groups] == ["billing"]
        assert group.evict(one.member_id) == one.member_id
        group.delete()
        assert "billing" not in quick.groups

    with_clients(scene)


def test_groups_are_controlled_by_command(quick: Cluster) -> None:
    def kwire(*arguments: str) -> dict[str, object]:
        options = ["--http", quick.http.url, "--cluster", quick.name, "--json"]
        ran = CliRunner().invoke(cli, ["groups", *arguments, *options])
        assert ran.exit_code == 0, ran.output
        shown: dict[str, object] = json.loads(ran.stdout)
        return shown

    async def scene(connect: Connect) -> None:
        one = Member(await connect(quick, "one"), "billing", ["orders"])
        await one.enter()
        assert kwire("rebalance", "billing") == {
            "group": "billing",
            "begun": True,
            "state": "PreparingRebalance",
            "generation": 1,
        }
        assert await one.heartbeat() == REBALANCE_IN_PROGRESS
        await rejoin(one)
        assert kwire("move-coordinator", "billing")["leader_epoch"] == 1
        assert kwire("evict", "billing", one.member_id)["members"] == 0
        assert await one.heartbeat() == UNKNOWN_MEMBER_ID
        refused = CliRunner().invoke(
            cli, ["groups", "evict", "billing", "x", "--http", quick.http.url, "--cluster", quick.name]
        )
        assert (refused.exit_code, "no member x" in refused.output) == (1, True)

    with_clients(scene)


def test_a_member_that_is_not_heard_of_goes_with_the_clock(quick: Cluster) -> None:
    """The machine's clock: milliseconds. The cluster's: the session timeout, then the offsets' retention."""

    async def scene(connect: Connect) -> None:
        group = quick.groups["billing"]
        with quick.clock.frozen() as clock:
            member = Member(await connect(quick, "one"), "billing", ["orders"])
            await member.enter()
            await member.commit(0)
            clock.advance(ms=member.session_timeout_ms - 1)
            assert group.state == "Stable"
            clock.advance(ms=1)
            assert group.wait_for("Empty").members == []
            clock.advance(days=8)
            with pytest.raises(ControlRequestError) as gone:
                group.show()
            assert gone.value.code == "unknown_group"

    with_clients(scene)


def test_what_is_waited_for_in_vain_is_told(quick: Cluster) -> None:
    with pytest.raises(WaitTimeoutError, match="there is no group 'nobody'"):
        quick.groups["nobody"].wait_for("Stable", timeout_s=0)
    with pytest.raises(ValueError, match="CompletingRebalance"):
        quick.groups["nobody"].wait_for("Steady")
    assert quick.groups.names() == []


def test_the_same_seed_gives_the_same_members_whoever_comes_first(broker: Broker) -> None:
    async def member_ids(connect: Connect, order: tuple[str, ...]) -> dict[str, str]:
        with broker.create_cluster(topics={"orders": 4}, seed=42) as cluster:
            found = {}
            for client_id in order:
                member = Member(await connect(cluster, client_id), "billing", ["orders"])
                await member.find()
                await member.get_id()
                found[client_id] = member.member_id
            return found

    async def scene(connect: Connect) -> None:
        first = await member_ids(connect, ("a", "b", "c"))
        assert await member_ids(connect, ("c", "a", "b")) == first
        assert len(set(first.values())) == 3

    with_clients(scene)
