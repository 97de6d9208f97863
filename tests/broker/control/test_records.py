"""Records over HTTP: what is produced is read, by HTTP and by Kafka's protocol."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import trio

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
                {"value_base64": base64.b64encode(raw).decode(), "headers": [["h", 1], ["h", 2]]},
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
            assert [each["value"] for each in found["records"][3]["headers"]] == ["1", "2"]
            assert found["next"] == "0:5"
            as_text = await plane.get(f"{RECORDS}?value_format=text&from=1&limit=1")
            assert as_text["records"][0]["value"] == '{"a":[1,null,"ü"]}'
            assert as_text["next"] == "0:2"

    trio.run(main)


def test_partitions_by_key_as_a_java_producer(tmp_path: Path) -> None:
    async def main() -> None:
        async with running_plane(tmp_path) as plane:
            await _topic(plane, 3)
            # Measured with Kafka's BuiltInPartitioner on 3 partitions.
            keys = ["a", "b", "abcd", "key-1", "key-2"]
            placed = await _produce(plane, *({"key": key, "value": key} for key in keys))
            from broker.contents.partitioning import partition_for_key

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
