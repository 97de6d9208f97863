"""What each action does to requests, through a client's connection."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import trio

from kwire.error_codes import ErrorCode
from kwire.messages.api_versions import ApiVersionsRequest
from kwire.messages.fetch import FetchPartition, FetchRequest, FetchTopic
from kwire.messages.find_coordinator import FindCoordinatorRequest
from kwire.messages.heartbeat import HeartbeatRequest
from kwire.messages.metadata import MetadataRequest, MetadataRequestTopic
from kwire.messages.produce import PartitionProduceData, ProduceRequest, TopicProduceData
from tests.broker.cluster_helpers import Client, batch, fetch_request, produce_request
from tests.broker.faults.fault_helpers import Faulty, faulty
from tests.broker.server_helpers import LIMIT_S

NOT_LEADER = int(ErrorCode.NOT_LEADER_OR_FOLLOWER)


async def _answered(client: Client, *, within_s: float = 0.05) -> bool:
    """Whether the connection answers."""
    with trio.move_on_after(within_s):
        await client.send(ApiVersionsRequest(), 1)
        return True
    return False


async def _turns(plane: Faulty, count: int = 3) -> None:
    """Let the broker do what waits."""
    other = await plane.connect()
    for _ in range(count):
        await other.send(ApiVersionsRequest(), 1)


def _produce_request(*partitions: tuple[str, int], acks: int = -1) -> ProduceRequest:
    topics: dict[str, TopicProduceData] = {}
    for topic, index in partitions:
        data = PartitionProduceData(index=index, records=batch(b"v"))
        topics.setdefault(topic, TopicProduceData(name=topic)).partition_data.append(data)
    return ProduceRequest(acks=acks, timeout_ms=1000, topic_data=list(topics.values()))


def _codes(answer: Any) -> dict[tuple[str, int], int]:
    return {(t.name, p.index): p.error_code for t in answer.responses for p in t.partition_responses}


def test_an_error_twice_then_as_ever_and_nothing_stays(tmp_path: Path) -> None:
    async def main() -> None:
        async with faulty(tmp_path) as plane:
            rule = plane.faults.add({"api": "Produce", "topic": "t", "error": "NOT_LEADER_OR_FOLLOWER", "times": 2})
            codes = [(await plane.client.produce("t", b"%d" % number)).error_code for number in range(3)]
            assert codes == [NOT_LEADER, NOT_LEADER, 0]
            assert (rule.matched, rule.fired, rule.state) == (2, 2, "spent")
            assert (await plane.client.produce("other", b"x")).error_code == 0
            assert await plane.client.values("t") == [b"2"]
            plane.clock.advance(0)
            assert not plane.cluster.interception.active, "a spent rule costs nothing"
            assert plane.faults.get(1) is rule, "but can be asked"

    trio.run(main)


def test_an_error_for_some_partitions_the_others_are_handled(tmp_path: Path) -> None:
    async def main() -> None:
        async with faulty(tmp_path) as plane:
            plane.faults.add({"api": "produce", "topic": "t", "partition": 1, "error": "not_leader_or_follower"})
            request = _produce_request(("other", 0), ("t", 0), ("t", 1))
            answer = await plane.client.send(request, 9)
            assert _codes(answer) == {("other", 0): 0, ("t", 0): 0, ("t", 1): NOT_LEADER}
            assert [topic.name for topic in answer.responses] == ["other", "t"], "in the request's order"
            assert await plane.client.values("t", 1) == []
            assert len(await plane.client.values("t", 0)) == 1
            described = plane.cluster.controller.image.topic_by_name("t")
            assert described is not None
            by_id = _produce_request(("", 0), ("", 1))
            by_id.topic_data[0].topic_id = described.topic_id
            answer = await plane.client.send(by_id, 13)
            assert [p.error_code for p in answer.responses[0].partition_responses] == [0, NOT_LEADER]
            assert answer.responses[0].topic_id == described.topic_id

    trio.run(main)


def test_an_error_after_the_state_changed(tmp_path: Path) -> None:
    async def main() -> None:
        async with faulty(tmp_path) as plane:
            plane.faults.add(
                {"api": "Produce", "error": "NOT_ENOUGH_REPLICAS_AFTER_APPEND", "when": "after", "times": 1}
            )
            answer = await plane.client.produce("t", b"appended")
            assert answer.error_code == ErrorCode.NOT_ENOUGH_REPLICAS_AFTER_APPEND
            assert answer.base_offset == -1
            assert await plane.client.values("t") == [b"appended"]

    trio.run(main)


def test_an_error_for_acks_0_closes_the_connection(tmp_path: Path) -> None:
    async def main() -> None:
        async with faulty(tmp_path) as plane:
            plane.faults.add({"api": "Produce", "topic": "t", "error": "NOT_LEADER_OR_FOLLOWER"})
            await plane.client.send_only(_produce_request(("t", 0), ("other", 0), acks=0), 9)
            with pytest.raises(EOFError):
                await plane.client.send(ApiVersionsRequest(), 1)
            client = await plane.connect()
            assert len(await client.values("other")) == 1, "what had no fault was appended"
            assert await client.values("t") == []

    trio.run(main)


def test_fetches_fail_at_once_in_a_session_or_not(tmp_path: Path) -> None:
    async def main() -> None:
        async with faulty(tmp_path) as plane:
            client = plane.client
            await client.produce("other", b"there")
            wanted = [
                FetchTopic(topic=name, partitions=[FetchPartition(partition=0, partition_max_bytes=1 << 20)])
                for name in ("t", "other")
            ]
            full = FetchRequest(max_wait_ms=60_000, min_bytes=1, session_epoch=0, topics=wanted)
            first = await client.send(full, 12)
            assert first.session_id != 0
            rule = plane.faults.add({"api": "Fetch", "topic": "t", "error": "FENCED_LEADER_EPOCH"})
            again = FetchRequest(
                max_wait_ms=60_000, min_bytes=1 << 20, session_id=first.session_id, session_epoch=1, topics=[]
            )
            answer = await client.send(again, 12)
            assert answer.session_id == first.session_id
            codes = {topic.topic: topic.partitions[0].error_code for topic in answer.responses}
            assert codes["t"] == ErrorCode.FENCED_LEADER_EPOCH, "the clock stands still: it did not wait"
            plane.faults.clear()
            again.session_epoch, again.max_wait_ms = 2, 0
            answer = await client.send(again, 12)
            assert answer.error_code == 0, "the session went on in step"
            assert rule.fired == 1
            plane.faults.add({"api": "Fetch", "error": "FETCH_SESSION_ID_NOT_FOUND", "times": 1})
            again.session_epoch = 3
            answer = await client.send(again, 12)
            assert (answer.error_code, answer.responses) == (ErrorCode.FETCH_SESSION_ID_NOT_FOUND, [])

    trio.run(main)


def test_metadata_of_all_topics_and_of_one_partition(tmp_path: Path) -> None:
    async def main() -> None:
        async with faulty(tmp_path) as plane:
            rule = plane.faults.add({"api": "Metadata", "topic": "t", "error": "LEADER_NOT_AVAILABLE", "times": 2})
            for request in (MetadataRequest(topics=None), MetadataRequest(topics=[MetadataRequestTopic(name="t")])):
                answer = await plane.client.send(request, 9)
                codes = {topic.name: topic.error_code for topic in answer.topics}
                assert codes["t"] == ErrorCode.LEADER_NOT_AVAILABLE
                assert codes.get("other", 0) == 0
            assert rule.state == "spent"
            plane.faults.add({"api": "Metadata", "topic": "t", "partition": 1, "error": "LEADER_NOT_AVAILABLE"})
            answer = await plane.client.send(MetadataRequest(topics=None), 9)
            (topic,) = [topic for topic in answer.topics if topic.name == "t"]
            assert [(p.partition_index, p.error_code, p.leader_id) for p in topic.partitions] == [(0, 0, 1), (1, 5, -1)]
            assert topic.partitions[1].replica_nodes == [1]

    trio.run(main)


def test_groups_and_transactional_ids(tmp_path: Path) -> None:
    async def main() -> None:
        async with faulty(tmp_path) as plane:
            plane.faults.add({"api": "FindCoordinator", "group": "g-*", "error": "COORDINATOR_NOT_AVAILABLE"})
            plane.faults.add({"group": "g-2", "api": ["Heartbeat", "JoinGroup"], "error": "NOT_COORDINATOR"})
            found = await plane.client.send(FindCoordinatorRequest(coordinator_keys=["a", "g-1"], key_type=0), 4)
            assert [(c.key, c.error_code == 15) for c in found.coordinators] == [("a", False), ("g-1", True)]
            found = await plane.client.send(FindCoordinatorRequest(key="g-1", key_type=0), 3)
            assert (found.error_code, found.node_id) == (15, -1)
            found = await plane.client.send(FindCoordinatorRequest(coordinator_keys=["g-1"], key_type=1), 4)
            assert found.coordinators[0].error_code != 15 or found.coordinators[0].error_message is None
            beat = await plane.client.send(HeartbeatRequest(group_id="g-2", member_id="m"), 4)
            assert beat.error_code == ErrorCode.NOT_COORDINATOR

    trio.run(main)


def test_delays_on_the_clusters_clock(tmp_path: Path) -> None:
    async def main() -> None:
        async with faulty(tmp_path) as plane:
            rule = plane.faults.add({"api": "Produce", "delay_ms": [100, 200], "seed": 3})
            late = plane.faults.add({"api": "Produce", "delay_ms": 1000, "when": "after"})
            other = await plane.connect()
            plane.faults.get(1)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(plane.client.produce, "t", b"slow")
                while not late.fired:
                    await _turns(plane, 1)
                assert await other.values("t") == []
                plane.clock.advance(99)
                assert await other.values("t") == []
                plane.clock.advance(101)
                assert await other.values("t") == [b"slow"], "handled, not yet answered"
                assert len(nursery.child_tasks) == 1
                plane.clock.advance(1000)
            assert rule.fired == 1

    trio.run(main)


def test_a_stall_lasts_until_its_rule_goes_or_its_time_is_over(tmp_path: Path) -> None:
    async def main() -> None:
        async with faulty(tmp_path) as plane:
            rule = plane.faults.add({"client_id": "stuck", "stall": True})
            stuck, timed = await plane.connect(), await plane.connect()
            stuck.client_id, timed.client_id = "stuck", "timed"
            async with trio.open_nursery() as nursery:
                nursery.start_soon(stuck.produce, "t", b"held back")
                while not rule.fired:
                    await _turns(plane, 1)
                assert await plane.client.values("t") == []
                plane.faults.remove(rule.id)
            assert await plane.client.values("t") == [b"held back"]
            timed_rule = plane.faults.add({"client_id": "timed", "stall": 500, "when": "after"})
            async with trio.open_nursery() as nursery:
                nursery.start_soon(timed.produce, "t", b"late answer")
                while not timed_rule.fired:
                    await _turns(plane, 1)
                assert len(await plane.client.values("t")) == 2
                plane.clock.advance(500)
            gone = plane.faults.add({"client_id": "stuck", "stall": True})
            await stuck.send_only(ApiVersionsRequest(), 1)
            while not gone.fired:
                await _turns(plane, 1)
            await stuck.stream.aclose()
            await _turns(plane)
            assert not gone.stalled, "nothing is kept for who is gone"

    trio.run(main)


def test_nothing_is_kept_by_any_of_the_rules_that_held_back_who_is_gone(tmp_path: Path) -> None:
    async def main() -> None:
        async with faulty(tmp_path) as plane:
            client = await plane.connect()
            client.client_id = "stuck"
            given = {"client_id": "stuck"}
            stalls = [plane.faults.add({**given, "stall": stall}) for stall in (True, 2, True)]
            plane.faults.add({**given, "delay_ms": 1})
            await client.send_only(ApiVersionsRequest(), 1)
            while not all(rule.fired for rule in stalls):
                await _turns(plane, 1)
            assert plane.clock.timers.next_due_ms() == plane.clock.monotonic_ms() + 1
            await client.stream.aclose()
            await _turns(plane)
            assert [len(rule.stalled) for rule in stalls] == [0, 0, 0]
            assert (plane.clock.timers.next_due_ms() or 3) > plane.clock.monotonic_ms() + 2, "their timers are gone"

    trio.run(main)


def test_drops_and_cuts(tmp_path: Path) -> None:
    async def main() -> None:
        async with faulty(tmp_path) as plane:
            for number, (action, when, lives) in enumerate(
                [
                    ("drop_connection", "before", False),
                    ("drop_connection", "after", False),
                    ("drop_request", "before", True),
                    ("drop_reply", "before", True),
                ]
            ):
                plane.faults.add({"api": "Produce", action: True, "when": when, "times": 1})
                client = await plane.connect()
                await client.send_only(produce_request("t", b"%d" % number), 9)
                if lives:
                    await client.send(ApiVersionsRequest(), 1)
                    assert client.answered_id == client.correlation_id, "the one before has no answer"
                else:
                    with pytest.raises(EOFError):
                        await client.receive(ProduceRequest, 9)
            assert await plane.client.values("t") == [b"1", b"3"]
            plane.faults.add({"api": "ApiVersions", "truncate": 10, "times": 1})
            plane.faults.add({"api": "ApiVersions", "truncate": -1, "times": 1, "skip": 1})
            client = await plane.connect()
            await client.send_only(ApiVersionsRequest(), 1)
            assert len(await _until_closed(client)) == 10
            client = await plane.connect()
            await client.send_only(ApiVersionsRequest(), 1)
            data = await _until_closed(client)
            assert int.from_bytes(data[:4], "big") == len(data) - 4 + 1

    trio.run(main)


async def _until_closed(client: Client) -> bytes:
    data = b""
    while part := await client.stream.receive_some(65536):
        data += part
    return data


def test_corruption_is_the_same_for_the_same_seed(tmp_path: Path) -> None:
    async def main() -> None:
        async with faulty(tmp_path) as plane:
            await plane.client.produce("t", b"x" * 1000)
            answers = []
            for seed in (1, 1, 2, None):
                given: dict[str, Any] = {"api": "Fetch", "topic": "t", "corrupt": 1, "times": 1}
                if seed is not None:
                    plane.faults.add(given | {"seed": seed})
                client = await plane.connect()
                await client.send_only(fetch_request("t", 0), 12)
                answers.append(await client._exactly(4 + int.from_bytes(await client._exactly(4), "big") - 4))
            first, same, other, sound = answers
            assert first == same
            assert len({first, other, sound}) == 3
            assert sum(a != b for a, b in zip(first, sound, strict=True)) == 1
            plane.faults.add({"api": "Fetch", "corrupt": [0, 2, 10**6], "times": 1})
            client = await plane.connect()
            await client.send_only(fetch_request("t", 0), 12)
            data = await client._exactly(int.from_bytes(await client._exactly(4), "big"))
            assert [i for i, (a, b) in enumerate(zip(data, sound, strict=True)) if a != b] == [5, 7]

    trio.run(main)


def test_throttling_tells_and_mutes(tmp_path: Path) -> None:
    async def main() -> None:
        async with faulty(tmp_path) as plane:
            plane.faults.add({"api": "Produce", "throttle_ms": 3_600_000, "times": 1})
            answer = await plane.client.send(_produce_request(("t", 0)), 9)
            assert answer.throttle_time_ms == 3_600_000
            assert _codes(answer) == {("t", 0): 0}
            assert not await _answered(plane.client), "its connection is not read meanwhile (KIP-219)"
            assert await _answered(await plane.connect(), within_s=LIMIT_S)

    trio.run(main)


def test_matching_from_outside(tmp_path: Path) -> None:
    async def main() -> None:
        async with faulty(tmp_path) as plane:
            error = {"error": "CLUSTER_AUTHORIZATION_FAILED", "api": "ApiVersions"}
            for given, fits in (
                ({"version": "0-1"}, True),
                ({"version": "2+"}, False),
                ({"version": 1}, True),
                ({"client_id": "t?st"}, True),
                ({"client_id": "other"}, False),
                ({"listener": "PLAINTEXT", "node": 1}, True),
                ({"listener": "INSIDE"}, False),
                ({"client_software": "*"}, True),
                ({"client_software": "apache-kafka-java"}, False),
            ):
                rule = plane.faults.add(error | given)
                answer = await plane.client.send(ApiVersionsRequest(), 1)
                assert (answer.error_code != 0) is fits, given
                assert (rule.matched == 1) is fits
                plane.faults.clear()

    trio.run(main)


def test_another_cluster_of_the_process_knows_nothing_of_it(tmp_path: Path) -> None:
    async def main() -> None:
        async with faulty(tmp_path) as plane:
            second = plane.running.add("two")
            client = await plane.running.connect(second)
            await client.create_topic("t")
            plane.faults.add({"drop_connection": True})
            plane.faults.add({"topic": "*", "disk_full": True})
            plane.faults.add({"connect": "refuse"})
            assert (await client.produce("t", b"fine")).error_code == 0
            assert await (await plane.running.connect(second)).values("t") == [b"fine"]
            with pytest.raises(EOFError):
                await plane.client.produce("t", b"not")

    trio.run(main)


def test_connections_are_refused_or_reset(tmp_path: Path) -> None:
    async def main() -> None:
        async with faulty(tmp_path) as plane:
            rule = plane.faults.add({"connect": "refuse", "times": 1})
            with pytest.raises((EOFError, trio.BrokenResourceError)):
                await (await plane.connect()).send(ApiVersionsRequest(), 1)
            assert rule.fired == 1
            plane.faults.add({"connect": "reset", "listener": "PLAINTEXT", "times": 1})
            with pytest.raises((OSError, trio.BrokenResourceError)):
                await (await plane.connect()).send(ApiVersionsRequest(), 1)
            assert await _answered(await plane.connect(), within_s=LIMIT_S)
            assert await _answered(plane.client, within_s=LIMIT_S), "who is connected stays"

    trio.run(main)
