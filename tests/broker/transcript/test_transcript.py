"""The transcript over HTTP: what is kept, how it is found, followed and bounded."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import trio

from broker.clock import ManualClock
from broker.interception import Exchange
from broker.transcript.transcript import Transcript, TranscriptSettings
from kwire import uuids
from kwire.messages.fetch import FetchRequest
from kwire.messages.find_coordinator import FindCoordinatorRequest
from kwire.messages.metadata import MetadataRequest, MetadataRequestTopic
from kwire.messages.produce import PartitionProduceData, ProduceRequest, TopicProduceData
from kwire.messages.sasl_authenticate import SaslAuthenticateRequest
from tests.broker.cluster_helpers import Client, batch, fetch_request
from tests.broker.http_helpers import Plane, running_plane


async def _cluster(plane: Plane) -> tuple[str, Client]:
    """The path of a fresh virtual cluster's transcript, and a client of the cluster."""
    made = await plane.post("/v1/clusters", {"topics": {"t": 1}})
    port = int(made["bootstrap_servers"].rpartition(":")[2])
    client = Client(await trio.open_tcp_stream("127.0.0.1", port))
    plane.running.clients.append(client)
    return f"/v1/clusters/{made['name']}/transcript", client


async def _found(plane: Plane, path: str, query: str = "") -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await plane.get(f"{path}?{query}"))["exchanges"]
    return found


def test_what_an_entry_says(tmp_path: Path) -> None:
    async def main() -> None:
        async with running_plane(tmp_path) as plane:
            path, client = await _cluster(plane)
            await client.produce("t", b"one", b"two")
            await client.fetch("t")
            produce, fetch = await _found(plane, path)
            assert (produce["api"], produce["version"], produce["client_id"]) == ("Produce", 9, "test")
            assert (produce["sequence"], produce["correlation_id"], produce["node"]) == (0, 1, 1)
            assert (produce["topics"], produce["errors"], produce["outcome"]) == (["t"], {}, "answered")
            (data,) = produce["request"]["topic_data"][0]["partition_data"]
            assert data["index"] == 0
            (batch,) = data["records"]["batches"]
            assert (batch["records"], batch["size"], batch["codec"]) == (2, data["records"]["size"], "none")
            assert produce["response"]["responses"][0]["partition_responses"][0]["base_offset"] == 0
            assert produce["request_bytes"] > data["records"]["size"]
            (read,) = fetch["response"]["responses"][0]["partitions"]
            assert read["records"]["batches"][0]["last_offset"] == 1
            assert read["high_watermark"] == 2
            assert fetch["connection"] == produce["connection"]
            assert fetch["connection"].startswith("127.0.0.1:")

    trio.run(main)


def test_filters(tmp_path: Path) -> None:
    async def main() -> None:
        async with running_plane(tmp_path) as plane:
            path, client = await _cluster(plane)
            await client.produce("t", b"1")
            await client.send(MetadataRequest(topics=[MetadataRequestTopic(name="none")]), 9)
            await client.send(FindCoordinatorRequest(coordinator_keys=["g"]), 4)
            other = Client(await trio.open_tcp_stream("127.0.0.1", client.stream.socket.getpeername()[1]), "other")
            plane.running.clients.append(other)
            await other.produce("t", b"2", partition=7)

            async def apis(query: str) -> list[str]:
                return [each["api"] for each in await _found(plane, path, query)]

            assert await apis("") == ["Produce", "Metadata", "FindCoordinator", "Produce"]
            assert await apis("api=produce&api=METADATA") == ["Produce", "Metadata", "Produce"]
            assert await apis("api=3") == ["Metadata"]
            assert await apis("topic=none") == ["Metadata"]
            assert await apis("group=g") == ["FindCoordinator"]
            assert await apis("client_id=other") == ["Produce"]
            assert await apis("error=UNKNOWN_TOPIC_OR_PARTITION") == ["Metadata", "Produce"]
            assert await apis("error=none") == ["Produce", "FindCoordinator"]
            assert await apis("error=any&api=produce") == ["Produce"]
            assert await apis("since=2") == ["FindCoordinator", "Produce"]
            assert await apis("limit=1") == ["Produce"]
            assert await apis("node=2") == []
            assert await apis("outcome=unanswered") == []
            assert await apis("faults=true") == []
            assert (await _found(plane, path, "bodies=false"))[0]["request"] is None
            refused = await plane.request("GET", f"{path}?api=Produced")
            assert (refused.status, "Produce" in refused.error["allowed"]) == (400, True)
            refused = await plane.request("GET", f"{path}?error=NONSENSE")
            assert (refused.status, "UNKNOWN_TOPIC_OR_PARTITION" in refused.error["allowed"]) == (400, True)

    trio.run(main)


def test_json_lines(tmp_path: Path) -> None:
    async def main() -> None:
        async with running_plane(tmp_path) as plane:
            path, client = await _cluster(plane)
            await client.produce("t", b"1")
            await client.produce("t", b"2")
            answer = await plane.client.request("GET", path, headers=[("Accept", "application/x-ndjson")])
            assert answer.headers["content-type"] == "application/x-ndjson"
            assert [json.loads(line)["sequence"] for line in answer.body.splitlines()] == [0, 1]

    trio.run(main)


def test_bounds(tmp_path: Path) -> None:
    async def main() -> None:
        async with running_plane(tmp_path) as plane:
            path, client = await _cluster(plane)
            changed = await plane.client.request("PUT", path, {"entries": 3, "body_bytes": 130, "samples": 1})
            assert changed.json["settings"] == {
                "enabled": True,
                "entries": 3,
                "bytes": 1024 * 1024,
                "body_bytes": 130,
                "samples": 1,
            }
            for number in range(5):
                await client.produce("t", b"%d" % number, b"more")
            await client.send(MetadataRequest(topics=[MetadataRequestTopic(name="x" * 200)]), 9)
            view = await plane.get(path)
            assert [each["sequence"] for each in view["exchanges"]] == [3, 4, 5]
            assert (view["first_sequence"], view["next_sequence"], view["dropped"]) == (3, 6, 3)
            (data,) = view["exchanges"][0]["request"]["topic_data"][0]["partition_data"]
            assert data["records"]["first"] == [{"offset": 0, "timestamp_ms": 1, "key": None, "value": "3"}]
            metadata = view["exchanges"][2]
            assert (metadata["omitted"], metadata["request"], metadata["response"]) == (True, None, None)
            assert metadata["errors"] == {"UNKNOWN_TOPIC_OR_PARTITION": 1}
            await plane.client.request("DELETE", path)
            view = await plane.get(path)
            assert (view["kept"], view["bytes"], view["next_sequence"]) == (0, 0, 6)
            await plane.client.request("PUT", path, {"bytes": 10_000})
            for _ in range(40):
                await client.produce("t", b"x")
            view = await plane.get(path)
            assert view["bytes"] <= 10_000
            assert 0 < view["kept"] < 10
            for number in range(50):  # what they note takes memory as well
                rule = {"name": f"{number:x>99}", "api": "Produce", "throttle_ms": 0}
                await plane.post(path.replace("transcript", "faults"), rule)
            await client.produce("t", b"x")
            assert (await plane.get(path))["kept"] == 0

    trio.run(main)


def test_what_waits_is_open(tmp_path: Path) -> None:
    async def main() -> None:
        async with running_plane(tmp_path) as plane:
            path, client = await _cluster(plane)
            await client.send_only(fetch_request("t", 0, 0, 20_000), 12)
            while not (found := (await plane.get(path))["open"]):
                await trio.lowlevel.checkpoint()
            assert (found[0]["api"], found[0]["outcome"], found[0]["sequence"]) == ("Fetch", "open", -1)
            assert found[0]["topics"] == ["t"]
            assert (await plane.get(f"{path}?topic=other"))["open"] == []
            await plane.post(f"{path.removesuffix('/transcript')}/topics/t/records", {"records": [{"value": 1}]})
            answer = await client.receive(FetchRequest, 12)
            assert answer.responses[0].partitions[0].high_watermark == 1
            view = await plane.get(path)
            assert view["open"] == []
            assert [each["api"] for each in view["exchanges"]] == ["Fetch"]

    trio.run(main)


def test_the_processs_own_cluster_is_off_until_asked_for(tmp_path: Path) -> None:
    async def main() -> None:
        async with running_plane(tmp_path) as plane:
            path = "/v1/clusters/default/transcript"
            client = await plane.running.connect(plane.default)
            await client.create_topic("t")
            assert (await plane.get(path))["enabled"] is False
            assert plane.default._interception is None
            refused = await plane.request("GET", f"{path}/events")
            assert (refused.status, refused.error["code"]) == (409, "transcript_off")
            await plane.client.request("PUT", path, {})
            await client.produce("t", b"1")
            assert [each["api"] for each in await _found(plane, path)] == ["Produce"]
            await plane.client.request("PUT", path, {"enabled": False})
            await client.produce("t", b"2")
            assert len(await _found(plane, path)) == 1
            assert not plane.default.interception.active

    trio.run(main)


def test_secrets_are_not_kept(tmp_path: Path) -> None:
    async def main() -> None:
        async with running_plane(tmp_path) as plane:
            path, client = await _cluster(plane)
            await client.send(SaslAuthenticateRequest(auth_bytes=b"\0user\0hunter2"), 2)
            answer = await plane.request("GET", path)
            (entry,) = answer.json["exchanges"]
            assert (entry["api"], entry["request"], entry["omitted"]) == ("SaslAuthenticate", None, True)
            assert entry["errors"] == {"ILLEGAL_SASL_STATE": 1}

    trio.run(main)


def test_following_and_coming_again(tmp_path: Path) -> None:
    async def main() -> None:
        async with running_plane(tmp_path) as plane:
            path, client = await _cluster(plane)
            await client.produce("t", b"0")
            follower = await plane.door.connect()
            target = f"GET {path}/events?api=Produce&bodies=false HTTP/1.1\r\nHost: localhost\r\n"
            follower.h11.send(_get(f"{path}/events"))
            await follower.stream.send_all(f"{target}\r\n".encode())
            assert (await follower.head()).headers["content-type"] == "text/event-stream"
            await client.fetch("t")
            await client.produce("t", b"1")
            await client.produce("t", b"2")
            events = follower.events()
            assert [(id_, name) for id_, name, _ in [await anext(events), await anext(events)]] == [
                ("2", "exchange"),
                ("3", "exchange"),
            ]
            await events.aclose()
            await trio.aclose_forcefully(follower.stream)
            await client.produce("t", b"3")
            again = await plane.door.connect()
            plane.running.clients.append(Client(again.stream))
            again.h11.send(_get(f"{path}/events"))
            await again.stream.send_all(f"{target}Last-Event-ID: 2\r\n\r\n".encode())
            await again.head()
            events = again.events()
            assert [(await anext(events))[0] for _ in range(2)] == ["3", "4"]
            transcript = plane.clusters.all()[1]
            while len(_followers(plane, transcript)) != 1:
                await trio.lowlevel.checkpoint()
            plane.clusters.delete(transcript.name)
            assert [event async for event in events] == []

    trio.run(main)


def _followers(plane: Plane, virtual: Any) -> list[Any]:
    return plane.control.transcripts.of(virtual)._followers


def _get(target: str) -> Any:
    import h11

    return h11.Request(method="GET", target=target, headers=[("Host", "localhost")])


def test_a_restored_cluster_is_still_written_down(tmp_path: Path) -> None:
    async def main() -> None:
        async with running_plane(tmp_path) as plane:
            path, client = await _cluster(plane)
            cluster = path.removesuffix("/transcript")
            taken = await plane.post(f"{cluster}/snapshots", {})
            await client.produce("t", b"0")
            await plane.post(f"{cluster}/restore", {"snapshot": taken["name"]})
            again = Client(await trio.open_tcp_stream("127.0.0.1", client.stream.socket.getpeername()[1]), "again")
            plane.running.clients.append(again)
            await again.produce("t", b"1")
            assert [each["client_id"] for each in await _found(plane, path)] == ["test", "again"]

    trio.run(main)


def test_what_ends_on_the_cluster_before_a_restore_is_not_taken_for_a_request_of_the_new_one() -> None:
    connection = SimpleNamespace(peer_host="127.0.0.1", peer_port=1, listener="PLAINTEXT", node_id=1)
    ctx: Any = SimpleNamespace(api_key=3, api_version=9, correlation_id=1, client_id="c", connection=connection)
    cluster: Any = SimpleNamespace(controller=Mock(), interception=Mock())
    transcript = Transcript(cluster, TranscriptSettings())
    before, after = (Exchange(1, ctx, MetadataRequest(), 20, ManualClock()) for _ in range(2))
    transcript.began(before)
    transcript.moved(cluster)
    transcript.began(after)
    transcript.ended(before)
    assert not transcript.entries
    transcript.ended(after)
    transcript.ended(after)
    assert len(transcript.entries) == 1
    assert transcript.open_ones == []


def test_requests_without_an_answer(tmp_path: Path) -> None:
    async def main() -> None:
        async with running_plane(tmp_path) as plane:
            path, client = await _cluster(plane)
            data = PartitionProduceData(index=0, records=batch(b"1"))
            request = ProduceRequest(acks=0, topic_data=[TopicProduceData(name="t", partition_data=[data])])
            await client.send_only(request, 9)
            await client.fetch("t")
            (entry,) = await _found(plane, path, "outcome=unanswered")
            assert (entry["api"], entry["response"], entry["response_bytes"]) == ("Produce", None, 0)
            cluster = path.removesuffix("/transcript")
            await plane.post(f"{cluster}/faults", {"api": ["Fetch"], "error": "NOT_LEADER_OR_FOLLOWER", "name": "x"})
            await client.fetch("t")
            (entry,) = await _found(plane, path, "faults=true")
            assert entry["errors"] == {"NOT_LEADER_OR_FOLLOWER": 1}
            assert "NOT_LEADER_OR_FOLLOWER" in entry["notes"][0]

    trio.run(main)


def test_topics_that_are_gone_keep_their_names(tmp_path: Path) -> None:
    async def main() -> None:
        async with running_plane(tmp_path) as plane:
            path, client = await _cluster(plane)
            topics = f"{path.removesuffix('/transcript')}/topics"
            topic_id = uuids.from_string((await plane.get(f"{topics}/t"))["topic_id"])
            data = PartitionProduceData(index=0, records=batch(b"1"))
            topic = TopicProduceData(topic_id=topic_id, partition_data=[data])
            await client.send(ProduceRequest(acks=-1, topic_data=[topic]), 13)
            await plane.request("DELETE", f"{topics}/t")
            (entry,) = await _found(plane, path, "topic=t")
            assert (entry["api"], entry["version"]) == ("Produce", 13)

    trio.run(main)
