"""Topics over HTTP."""

from __future__ import annotations

from pathlib import Path

import trio

from tests.broker.http_helpers import running_plane

TOPICS = "/v1/clusters/default/topics"


def test_create_describe_list_delete(tmp_path: Path) -> None:
    async def main() -> None:
        async with running_plane(tmp_path) as plane:
            created = await plane.request(
                "POST", TOPICS, {"name": "orders", "partitions": 3, "configs": {"retention.ms": "1000"}}
            )
            assert created.status == 201
            view = created.json
            assert view["name"] == "orders"
            assert [each["leader"] for each in view["partitions"]] == [1, 1, 1]
            assert view["configs"] == {"retention.ms": "1000"}
            assert view["partitions"][0]["isr"] == [1]
            assert await plane.get(f"{TOPICS}/orders") == view
            (line,) = (await plane.get(TOPICS))["topics"]
            assert (line["name"], line["partitions"], line["internal"]) == ("orders", 3, False)
            assert line["topic_id"] == view["topic_id"]
            deleted = await plane.request("DELETE", f"{TOPICS}/orders")
            assert (deleted.status, deleted.body) == (204, b"")
            assert (await plane.get(TOPICS)) == {"topics": []}

    trio.run(main)


def test_what_is_refused(tmp_path: Path) -> None:
    async def main() -> None:
        async with running_plane(tmp_path) as plane:
            await plane.post(TOPICS, {"name": "a"})
            exists = await plane.request("POST", TOPICS, {"name": "a"})
            assert (exists.status, exists.error["code"]) == (409, "topic_already_exists")
            config = await plane.request("POST", TOPICS, {"name": "b", "configs": {"retention": "1"}})
            assert (config.status, config.error["code"]) == (400, "invalid_config")
            assert "retention" in config.error["message"]
            field = await plane.request("POST", TOPICS, {"name": "b", "partition": 3})
            assert field.status == 400
            assert field.error["allowed"] == ["name", "partitions", "replication_factor", "configs"]
            name = await plane.request("POST", TOPICS, {"name": "b c"})
            assert (name.status, name.error["code"]) == (400, "invalid_body")
            missing = await plane.request("GET", f"{TOPICS}/b")
            assert (missing.status, missing.error["code"]) == (404, "unknown_topic")
            assert missing.error["allowed"] == ["a"]
            cluster = await plane.request("GET", "/v1/clusters/x/topics")
            assert (cluster.status, cluster.error["allowed"]) == (404, ["default"])
            assert [each["name"] for each in (await plane.get(TOPICS))["topics"]] == ["a"]

    trio.run(main)
