"""Records over HTTP: what is produced is read, by HTTP and by Kafka's protocol."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from broker.contents.partitioning import partition_for_key
from broker.control.record_values import as_bytes, shown
from kwire.records import ControlType, RecordBatchBuilder, end_transaction_marker
from log.append_validation import AppendOrigin
from tests.broker.http_helpers import Plane, running_plane

TOPICS = "/v1/clusters/default/topics"
RECORDS = f"{TOPICS}/t/records"


async def _topic(plane: Plane, partitions: int = 1, **configs: str) -> None:
    settings = {name.replace("_", "."): value for name, value in configs.items()}
    await plane.post(TOPICS, {"name": "t", "partitions": partitions, "configs": settings})


async def _produce(plane: Plane, *records: dict[str, Any]) -> list[dict[str, Any]]:
    placed: list[dict[str, Any]] = (await plane.post(RECORDS, {"records": list(records)}))["records"]
    return placed


def test_values_both_ways(tmp_path: Path) -> None:
    async def main() -> None:
        async with running_plane(tmp_path) as plane:
            await _topic(plane)
            raw = b"\xff\x00"
            placed = await _produce(
                plane,
                {"value": "text"},
                {"key": "42", "value": {"a": [1, None, "ü"]}, "headers": {"h": "x", "n": None}, "timestamp_ms": 5},
                {"key": {"id": 1}, "value": None},
                {
                    "value_base64": base64.b64encode(raw).decode(),
                    "headers": [["h", 1], {"name": "h", "value_base64": "/wA="}],
                },
                {"value": 12345678901234567890123},
            )
            assert [each["offset"] for each in placed] == [0, 1, 2, 3, 4]
            assert placed[1]["timestamp_ms"] == 5
            assert placed[0]["timestamp_ms"] == plane.default.clock.now_ms()
            client = await plane.running.connect(plane.default)
            assert await client.values("t") == [
                b"text",
                '{"a":[1,null,"ü"]}'.encode(),
                None,
                raw,
                b"12345678901234567890123",
            ]
            found = await plane.get(RECORDS)
            seen = [(each["key"], each["value"], each["value_encoding"]) for each in found["records"]]
            assert seen == [
                (None, "text", "text"),
                ("42", {"a": [1, None, "ü"]}, "json"),
                ({"id": 1}, None, "null"),
                (None, base64.b64encode(raw).decode(), "base64"),
                (None, 12345678901234567890123, "json"),
            ]
            assert found["records"][1]["headers"] == [
                {"name": "h", "value": "x", "encoding": "text"},
                {"name": "n", "value": None, "encoding": "null"},
            ]
            assert [each["value"] for each in found["records"][3]["headers"]] == ["1", "/wA="]
            assert found["next"] == "0:5"
            as_text = await plane.get(f"{RECORDS}?value_format=text&from=1&limit=1")
            assert as_text["records"][0]["value"] == '{"a":[1,null,"ü"]}'
            assert as_text["next"] == "0:2"

    trio.run(main)


def test_partitions_by_key_as_a_java_producer(tmp_path: Path) -> None:
    async def main() -> None:
        async with running_plane(tmp_path) as plane:
            await _topic(plane, 3)
            keys = ["a", "b", "abcd", "key-1", "key-2"]
            placed = await _produce(plane, *({"key": key, "value": key} for key in keys))
            assert [each["partition"] for each in placed] == [partition_for_key(key.encode(), 3) for key in keys]
            placed = await _produce(plane, *({"value": n} for n in range(6)))
            assert sorted(each["partition"] for each in placed) == [0, 0, 1, 1, 2, 2]
            (chosen,) = await _produce(plane, {"key": "a", "value": 1, "partition": 2})
            assert chosen["partition"] == 2
            whole = await plane.get(RECORDS)
            assert len(whole["records"]) == 12
            more = await plane.get(f"{RECORDS}?from={whole['next']}")
            assert more["records"] == []
            one = await plane.get(f"{RECORDS}?partition=2")
            assert {each["partition"] for each in one["records"]} == {2}

    trio.run(main)


def test_nothing_is_written_when_something_is_refused(tmp_path: Path) -> None:
    async def main() -> None:
        async with running_plane(tmp_path) as plane:
            await _topic(plane, 2, cleanup_policy="compact", max_message_bytes="1000")

            async def refused(*records: dict[str, Any]) -> dict[str, Any]:
                answer = await plane.request("POST", RECORDS, {"records": list(records)})
                assert 400 <= answer.status < 500, answer
                return answer.error

            good = {"key": "k", "value": "v"}
            assert (await refused(good, {"value": "no key"}))["code"] == "invalid_record"
            assert (await refused(good, {"key": "k", "value": "x" * 1000}))["code"] == "message_too_large"
            assert (await refused(good, {"key": "k", "partition": 2}))["allowed"] == [0, 1]
            assert (await refused(good, {"key": "k", "value_base64": "??"}))["code"] == "invalid_record"
            assert (await refused(good, {"key": "k", "value": "", "value_base64": ""}))["code"] == "invalid_record"
            header = {"key": "k", "headers": [{"name": "h", "value_base64": "?"}]}
            assert "records[1].headers.h_base64 is not" in (await refused(good, header))["message"]
            assert (await refused(good, {"key": "k", "headers": [["h"]]}))["code"] == "invalid_body"
            far = {"key": "k", "timestamp_ms": plane.default.clock.now_ms() + 10**7}
            assert (await refused(good, far))["code"] == "invalid_timestamp"
            assert (await refused(good, {"k": 1}))["code"] == "invalid_body"
            assert (await refused())["code"] == "invalid_body"
            assert (await plane.get(RECORDS))["records"] == []

    trio.run(main)


def test_more_than_a_batch(tmp_path: Path) -> None:
    async def main() -> None:
        async with running_plane(tmp_path) as plane:
            await _topic(plane, max_message_bytes="500")
            placed = await _produce(plane, *({"value": "x" * 100} for _ in range(10)))
            assert [each["offset"] for each in placed] == list(range(10))
            assert len((await plane.get(RECORDS))["records"]) == 10
            part = await plane.get(f"{RECORDS}?limit=7")
            rest = await plane.get(f"{RECORDS}?from={part['next']}")
            assert [each["offset"] for each in part["records"] + rest["records"]] == list(range(10))

    trio.run(main)


def test_reading_waits(tmp_path: Path) -> None:
    async def main() -> None:
        async with running_plane(tmp_path) as plane:
            await _topic(plane, 2)
            answers: list[Any] = []

            async def wait(query: str) -> None:
                answers.append((await plane.door.request("GET", f"{RECORDS}?{query}")).json)

            async with trio.open_nursery() as nursery:
                nursery.start_soon(wait, "from=latest&timeout_ms=20000&at_least=2")
                client = await plane.running.connect(plane.default)
                while not plane.default.partitions.get("t", 1)._watchers:  # type: ignore[union-attr]
                    await trio.lowlevel.checkpoint()
                await client.produce("t", b"1", partition=1)
                await client.produce("t", b"2", partition=0)
            assert sorted(each["value"] for each in answers[0]["records"]) == [1, 2]
            assert not plane.default.partitions.get("t", 1)._watchers  # type: ignore[union-attr]
            await wait("from=latest&timeout_ms=30")
            assert answers[1]["records"] == []

    trio.run(main)


@pytest.mark.parametrize("what", ["cluster", "topic", "restore"])
def test_what_is_read_goes_away(tmp_path: Path, what: str) -> None:
    async def main() -> None:
        async with running_plane(tmp_path) as plane:
            await plane.post("/v1/clusters", {"name": "c", "topics": {"t": 1}})
            records = "/v1/clusters/c/topics/t/records"
            await plane.post("/v1/clusters/c/snapshots", {"name": "s"})
            await plane.post(records, {"records": [{"value": 1}]})
            answers: list[Any] = []

            async def wait() -> None:
                answers.append(await plane.door.request("GET", f"{records}?from=latest&timeout_ms=20000"))

            async with trio.open_nursery() as nursery:
                nursery.start_soon(wait)
                partition = plane.clusters.get("c").cluster.partitions.get("t", 0)
                assert partition is not None
                while not partition._watchers:
                    await trio.lowlevel.checkpoint()
                if what == "restore":
                    await plane.post("/v1/clusters/c/restore", {"snapshot": "s"})
                else:
                    path = "/v1/clusters/c" if what == "cluster" else "/v1/clusters/c/topics/t"
                    await plane.request("DELETE", path)
            (answer,) = answers
            expected = {
                "cluster": (404, "unknown_cluster"),
                "topic": (404, "unknown_topic"),
                "restore": (400, "offset_out_of_range"),
            }
            assert (answer.status, answer.error["code"]) == expected[what]

    trio.run(main)


def test_bad_positions(tmp_path: Path) -> None:
    async def main() -> None:
        async with running_plane(tmp_path) as plane:
            await _topic(plane, 2)
            for query, code in (
                ("from=7&partition=0", "offset_out_of_range"),
                ("from=0", "invalid_query"),
                ("from=0:0,5:1", "unknown_partition"),
                ("from=soon", "invalid_query"),
                ("partition=2", "unknown_partition"),
                ("limit=0", "invalid_query"),
                ("limit=a", "invalid_query"),
                ("isolation=none", "invalid_query"),
                ("form=0", "invalid_query"),
                ("from=1:0&partition=0", "invalid_query"),
            ):
                answer = await plane.request("GET", f"{RECORDS}?{query}")
                assert answer.status in (400, 404), query
                assert answer.error["code"] == code, (query, answer.error)

    trio.run(main)


def test_read_committed(tmp_path: Path) -> None:
    async def main() -> None:
        async with running_plane(tmp_path) as plane:
            await _topic(plane)
            partition = plane.default.partitions.get("t", 0)
            assert partition is not None

            def append(producer: int, *values: bytes, sequence: int = 0) -> None:
                builder = RecordBatchBuilder(
                    producer_id=producer, producer_epoch=0, base_sequence=sequence, transactional=True
                )
                for value in values:
                    builder.append(None, value, timestamp=1)
                guard = partition.begin_verification(producer, 0, sequence, must_begin_at_zero=True)
                partition.append(memoryview(bytes(builder.build())), guard=guard)

            def end(producer: int, committed: ControlType) -> None:
                marker = end_transaction_marker(
                    committed, producer_id=producer, producer_epoch=0, coordinator_epoch=0, timestamp=1
                )
                partition.append(memoryview(bytes(marker)), AppendOrigin.COORDINATOR)

            append(1, b'"a"', b'"b"')
            append(2, b'"c"')
            end(1, ControlType.ABORT)
            append(1, b'"d"', sequence=2)
            end(2, ControlType.COMMIT)
            end(1, ControlType.COMMIT)
            append(3, b'"open"')

            async def values(query: str) -> list[Any]:
                return [each["value"] for each in (await plane.get(f"{RECORDS}?{query}"))["records"]]

            assert await values("isolation=read_uncommitted") == ["a", "b", "c", "d", "open"]
            assert await values("isolation=read_committed") == ["c", "d"]
            assert await values("isolation=read_committed&from=1&partition=0") == ["c", "d"]
            assert await values("from=1&limit=1") == ["b"]
            answer = await plane.get(f"{RECORDS}?isolation=read_committed")
            (progress,) = answer["partitions"]
            assert (progress["last_stable_offset"], progress["high_watermark"]) == (7, 8)
            assert answer["next"] == "0:7"

    trio.run(main)


def test_a_topic_is_made_when_asked_for(tmp_path: Path) -> None:
    async def main() -> None:
        async with running_plane(tmp_path) as plane:
            body = {"records": [{"value": 1}]}
            refused = await plane.request("POST", RECORDS, body)
            assert (refused.status, refused.error["code"]) == (404, "unknown_topic")
            assert (await plane.post(RECORDS, {**body, "create": True}))["records"][0]["offset"] == 0
            refused = await plane.request("POST", f"{TOPICS}/a%20b/records", {**body, "create": True})
            assert (refused.status, refused.error["code"]) == (400, "invalid_topic_exception")

    trio.run(main)


def test_clusters_of_several_nodes(tmp_path: Path) -> None:
    async def main() -> None:
        async with running_plane(tmp_path) as plane:
            spec = {"name": "c", "nodes": 3, "topics": {"t": {"partitions": 6, "replication_factor": 2}}}
            await plane.post("/v1/clusters", spec)
            path = "/v1/clusters/c/topics/t"
            placed = (await plane.post(f"{path}/records", {"records": [{"value": n} for n in range(12)]}))["records"]
            assert sorted(each["partition"] for each in placed) == sorted([0, 1, 2, 3, 4, 5] * 2)
            leaders = {each["leader"] for each in (await plane.get(path))["partitions"]}
            assert len(leaders) == 3
            await plane.post("/v1/clusters/c/nodes/2/stop")
            view = await plane.get(path)
            assert 2 not in {each["leader"] for each in view["partitions"]}
            found = await plane.get(f"{path}/records")
            assert sorted(each["value"] for each in found["records"]) == list(range(12))

    trio.run(main)


def test_too_few_replicas_in_sync(tmp_path: Path) -> None:
    async def main() -> None:
        async with running_plane(tmp_path) as plane:
            configs = {"min.insync.replicas": "2"}
            topic = {"partitions": 1, "replication_factor": 3, "configs": configs}
            await plane.post("/v1/clusters", {"name": "c", "nodes": 3, "topics": {"t": topic}})
            leader = (await plane.get("/v1/clusters/c/topics/t"))["partitions"][0]["leader"]
            others = [node for node in (1, 2, 3) if node != leader]
            for node in others:
                await plane.request("PUT", f"/v1/clusters/c/nodes/{node}/replication", {"state": "frozen"})
            path = "/v1/clusters/c/topics/t/records"
            waiting = await plane.request("POST", path, {"records": [{"value": 1}], "timeout_ms": 10})
            assert (waiting.status, waiting.error["code"]) == (503, "request_timed_out")
            assert (await plane.get(path))["records"] == []
            for node in others:
                await plane.post(f"/v1/clusters/c/nodes/{node}/stop")
            refused = await plane.request("POST", path, {"records": [{"value": 2}]})
            assert (refused.status, refused.error["code"]) == (503, "not_enough_replicas")

    trio.run(main)


def test_without_a_leader(tmp_path: Path) -> None:
    async def main() -> None:
        async with running_plane(tmp_path) as plane:
            spec = {"name": "c", "nodes": 2, "topics": {"t": {"partitions": 2, "replication_factor": 1}}}
            await plane.post("/v1/clusters", spec)
            await plane.post("/v1/clusters/c/nodes/2/stop")
            view = await plane.get("/v1/clusters/c/topics/t")
            assert sorted(each["leader"] for each in view["partitions"]) == [-1, 1]
            answer = await plane.request("GET", "/v1/clusters/c/topics/t/records")
            assert (answer.status, answer.error["code"]) == (503, "leader_not_available")
            body = {"records": [{"value": 1, "partition": 0}, {"value": 2, "partition": 1}]}
            answer = await plane.request("POST", "/v1/clusters/c/topics/t/records", body)
            assert answer.status == 503
            living = next(each["partition"] for each in view["partitions"] if each["leader"] == 1)
            found = await plane.get(f"/v1/clusters/c/topics/t/records?partition={living}")
            assert found["records"] == [], "nothing half done"

    trio.run(main)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False)
        | st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
        max_leaves=10,
    )
)  # fmt: skip
def test_any_json_is_written_and_shown_again(value: Any) -> None:
    data = as_bytes(value, None, "value")
    if value is None:
        assert data is None
        return
    assert data is not None
    if isinstance(value, str):
        assert data.decode() == value
        assert shown(data, "text") == (value, "text")
        return
    found, encoding = shown(data, "auto")
    assert encoding == "json"
    assert json.loads(bytes(found)) == value


@given(st.binary(max_size=100), st.sampled_from(["auto", "json", "text", "base64"]), st.booleans())
def test_any_bytes_can_be_shown(data: bytes, wanted: Any, is_key: bool) -> None:
    found, encoding = shown(data, wanted, is_key=is_key)
    if encoding == "base64":
        assert as_bytes(None, found, "value") == data
    elif encoding == "text":
        assert found.encode() == data
    else:
        assert bytes(found) == data
        json.loads(data)


def test_what_is_nested_deeply_is_text() -> None:
    assert shown(b"[" * 100_000, "auto")[1] == "text"
