"""The config APIs on a whole broker; expectations are Kafka 4.3.1's answers to the same requests."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import trio

from broker.cluster import Cluster
from kwire.messages import alter_configs as legacy
from kwire.messages import incremental_alter_configs as incremental
from kwire.messages.describe_configs import DescribeConfigsRequest, DescribeConfigsResource
from kwire.messages.list_config_resources import ListConfigResourcesRequest
from tests.broker.cluster_helpers import Client, running_server

TOPIC, BROKER, LOGGER, METRICS, GROUP = 2, 4, 8, 16, 32
SET, DELETE, APPEND, SUBTRACT = 0, 1, 2, 3

Change = tuple[str, int, str | None]
Resource = tuple[int, str, list[Change]]
Answer = tuple[int, str | None]


async def describe(client: Client, kind: int, name: str, *keys: str, version: int = 4) -> Any:
    request = DescribeConfigsRequest(
        resources=[DescribeConfigsResource(kind, name, list(keys) or None)], include_synonyms=True
    )
    (result,) = (await client.send(request, version)).results
    return result


async def rows(client: Client, kind: int, name: str, *keys: str) -> dict[str, tuple[str | None, int]]:
    """Value and source by name."""
    result = await describe(client, kind, name, *keys)
    assert result.error_code == 0, result
    return {row.name: (row.value, row.config_source) for row in result.configs}


async def alter(client: Client, *resources: Resource, validate_only: bool = False) -> list[Answer]:
    request = incremental.IncrementalAlterConfigsRequest(
        resources=[
            incremental.AlterConfigsResource(
                kind, name, [incremental.AlterableConfig(key, operation, value) for key, operation, value in changes]
            )
            for kind, name, changes in resources
        ],
        validate_only=validate_only,
    )
    response = await client.send(request, 1)
    return [(each.error_code, each.error_message) for each in response.responses]


async def replace(client: Client, kind: int, name: str, **settings: str | None) -> Answer:
    configs = [legacy.AlterableConfig(key.replace("_", "."), value) for key, value in settings.items()]
    request = legacy.AlterConfigsRequest(resources=[legacy.AlterConfigsResource(kind, name, configs)])
    (each,) = (await client.send(request, 2)).responses
    return each.error_code, each.error_message


def on_a_broker(tmp_path: Path, test: Callable[[Cluster, Client], Awaitable[None]]) -> None:
    async def main() -> None:
        async with running_server(tmp_path) as running:
            cluster = running.add()
            await test(cluster, await running.connect(cluster))

    trio.run(main)


def test_topics(tmp_path: Path) -> None:
    async def test(_cluster: Cluster, client: Client) -> None:
        await client.create_topic("plain", retention_ms="1000")
        result = await describe(client, TOPIC, "plain")
        assert (result.error_code, result.error_message) == (0, "")
        assert len(result.configs) == 33
        found = await rows(client, TOPIC, "plain", "retention.ms", "segment.ms", "min.insync.replicas", "nope")
        assert found == {"min.insync.replicas": ("1", 3), "retention.ms": ("1000", 1), "segment.ms": ("604800000", 5)}

        policy: list[tuple[Change, str]] = [
            (("cleanup.policy", APPEND, "compact"), "delete,compact"),
            (("cleanup.policy", APPEND, "compact"), "delete,compact"),
            (("cleanup.policy", SUBTRACT, "delete"), "compact"),
            (("cleanup.policy", SUBTRACT, "compact"), ""),
            (("cleanup.policy", DELETE, None), "delete"),
        ]
        for change, expected in policy:
            assert await alter(client, (TOPIC, "plain", [change])) == [(0, None)]
            value, _ = (await rows(client, TOPIC, "plain"))["cleanup.policy"]
            assert value == expected, change

    on_a_broker(tmp_path, test)


@pytest.mark.parametrize(
    ("resource", "answer"),
    [
        ((TOPIC, "plain", [("nope", SET, "1")]), (40, "Unknown topic config name: nope")),
        (
            (TOPIC, "plain", [("segment.bytes", APPEND, "1")]),
            (40, "Can't APPEND to key segment.bytes because its type is not LIST."),
        ),
        ((TOPIC, "plain", [("nope", DELETE, None)]), (0, None)),
        ((TOPIC, "plain", [("segment.ms", SET, None)]), (42, "Null value not supported for : segment.ms")),
        (
            (TOPIC, "plain", [("segment.ms", SET, "1"), ("segment.ms", SET, "2")]),
            (42, "Error due to duplicate config keys"),
        ),
        ((TOPIC, "plain", [("segment.ms", 9, "1")]), (-1, None)),
        ((BROKER, "1", [("log.cleaner.threads", 9, "1")]), (42, "Unknown operations type 9")),
        ((TOPIC, "nope", [("segment.ms", SET, "1")]), (3, "The topic 'nope' does not exist.")),
        ((TOPIC, "..", [("segment.ms", SET, "1")]), (17, "Topic name is invalid: '..' is not allowed")),
        ((TOPIC, "", [("segment.ms", SET, "1")]), (42, "Default topic resources are not allowed.")),
        ((TOPIC, "plain", []), (0, None)),
        (
            (BROKER, "1", [("num.partitions", SET, "2")]),
            (42, "Cannot update these configs dynamically: [num.partitions]"),
        ),
        (
            (BROKER, "2", [("log.cleaner.threads", SET, "1")]),
            (42, "Unexpected broker id, expected 1, but received 2"),
        ),
        (
            (BROKER, "abc", [("log.cleaner.threads", SET, "1")]),
            (42, "Node id must be an integer, but it is: abc"),
        ),
        ((BROKER, "1", [("foo.baz", SET, "1")]), (0, None)),
        (
            (BROKER, "1", [("min.insync.replicas", SET, "1")]),
            (40, "Broker-level min.insync.replicas cannot be altered while ELR is enabled."),
        ),
        (
            (BROKER, "", [("min.insync.replicas", DELETE, None)]),
            (40, "Cluster-level min.insync.replicas cannot be removed while ELR is enabled."),
        ),
        (
            (BROKER, "1", [("log.cleaner.threads", APPEND, "2")]),
            (40, "Config value append is not allowed for config key: log.cleaner.threads"),
        ),
        ((BROKER, "1", [("foo", APPEND, "2")]), (40, "Unknown config name: foo")),
        ((LOGGER, "2", [("root", SET, "INFO")]), (42, "Unexpected node id. Expected 1, but received 2")),
        ((LOGGER, "", [("root", SET, "INFO")]), (42, "Node id must be an integer, but it is: ")),
        ((LOGGER, "1", [("no.such", SET, "INFO")]), (40, "Logger no.such does not exist!")),
        ((METRICS, "c", [("foo", SET, "1")]), (42, "Unknown client metrics configuration: foo")),
        ((GROUP, "g", [("foo", SET, "1")]), (40, "Unknown group config name: foo")),
        ((GROUP, "", []), (42, "Default group resources are not allowed.")),
        ((5, "x", [("a", SET, "1")]), (42, "Unknown resource type 5")),
    ],
)
def test_one_change(tmp_path: Path, resource: Resource, answer: Answer) -> None:
    async def test(_cluster: Cluster, client: Client) -> None:
        await client.create_topic("plain")
        assert await alter(client, resource) == [answer]

    on_a_broker(tmp_path, test)


def test_resources_that_come_twice_are_refused_and_others_done(tmp_path: Path) -> None:
    async def test(_cluster: Cluster, client: Client) -> None:
        await client.create_topic("plain")
        await client.create_topic("other")
        twice: Resource = (TOPIC, "plain", [("segment.ms", SET, "1")])
        answers = await alter(client, twice, (TOPIC, "other", [("segment.ms", SET, "7")]), twice)
        refused = (42, "Each resource must appear at most once.")
        assert answers == [refused, (0, None), refused]
        assert (await rows(client, TOPIC, "other"))["segment.ms"] == ("7", 1)
        assert (await rows(client, TOPIC, "plain"))["segment.ms"] == ("604800000", 5)

    on_a_broker(tmp_path, test)


def test_validate_only_changes_nothing(tmp_path: Path) -> None:
    async def test(_cluster: Cluster, client: Client) -> None:
        await client.create_topic("plain")
        change: Resource = (TOPIC, "plain", [("segment.ms", SET, "7")])
        assert await alter(client, change, validate_only=True) == [(0, None)]
        assert (await rows(client, TOPIC, "plain"))["segment.ms"] == ("604800000", 5)

    on_a_broker(tmp_path, test)


def test_the_older_way_replaces_everything(tmp_path: Path) -> None:
    async def test(_cluster: Cluster, client: Client) -> None:
        await client.create_topic("plain", retention_ms="1000")
        assert await replace(client, TOPIC, "plain", segment_ms="7") == (0, None)
        found = await rows(client, TOPIC, "plain", "retention.ms", "segment.ms")
        assert found == {"retention.ms": ("604800000", 5), "segment.ms": ("7", 1)}
        assert await replace(client, TOPIC, "plain", segment_ms=None) == (
            42,
            "Null value not supported for : segment.ms",
        )
        assert await replace(client, LOGGER, "1", root="INFO") == (42, "Unknown resource type 8")
        assert await replace(client, BROKER, "", log_cleaner_threads="1") == (
            40,
            "Cluster-level min.insync.replicas cannot be removed while ELR is enabled.",
        )
        assert await replace(client, TOPIC, "nope") == (3, "The topic 'nope' does not exist.")

    on_a_broker(tmp_path, test)


def test_broker_settings_take_effect_and_survive_a_restart(tmp_path: Path) -> None:
    async def main() -> None:
        for start in range(2):
            async with running_server(tmp_path) as running:
                cluster = running.add()
                client = await running.connect(cluster)
                if start == 0:
                    await client.create_topic("plain")
                    defaults: Resource = (BROKER, "", [("log.retention.ms", SET, "5"), ("message.max.bytes", SET, "6")])
                    own: Resource = (BROKER, "1", [("message.max.bytes", SET, "7")])
                    assert await alter(client, defaults, own) == [(0, None), (0, None)]
                assert cluster.config.get("message.max.bytes") == 7
                found = await rows(client, TOPIC, "plain", "retention.ms", "max.message.bytes")
                assert found == {"max.message.bytes": ("7", 2), "retention.ms": ("5", 3)}
                assert await rows(client, BROKER, "") == {
                    "log.retention.ms": ("5", 3),
                    "message.max.bytes": ("6", 3),
                    "min.insync.replicas": ("1", 3),
                }
                found = await rows(client, BROKER, "1", "message.max.bytes", "log.retention.ms")
                assert found == {"log.retention.ms": ("5", 3), "message.max.bytes": ("7", 2)}

    trio.run(main)


def test_unreadable_values_in_the_log_are_passed_over(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def test(cluster: Cluster, client: Client) -> None:
        settings = cluster.services.configs
        assert settings._usable({"num.io.threads": "x", "num.network.threads": "2", "who.knows": "3"}) == {
            "num.network.threads": "2",
            "who.knows": "3",
        }
        assert "Invalid value x for configuration num.io.threads" in caplog.text
        assert await rows(client, BROKER, "")

    on_a_broker(tmp_path, test)


@pytest.mark.parametrize(
    ("kind", "name", "answer"),
    [
        (TOPIC, "nope", (3, "")),
        (TOPIC, "..", (17, "Topic name is invalid: '..' is not allowed")),
        (BROKER, "2", (42, "Unexpected broker id, expected 1 or empty string, but received 2")),
        (BROKER, "abc", (42, "Broker id must be an integer, but it is: abc")),
        (LOGGER, "", (42, "Broker id must not be empty")),
        (LOGGER, "2", (42, "Unexpected broker id, expected 1 but received 2")),
        (METRICS, "", (42, "Client metrics subscription name must not be empty")),
        (GROUP, "", (42, "Group name must not be empty")),
    ],
)
def test_what_cannot_be_described(tmp_path: Path, kind: int, name: str, answer: Answer) -> None:
    async def test(_cluster: Cluster, client: Client) -> None:
        result = await describe(client, kind, name)
        assert (result.error_code, result.error_message) == answer
        assert result.configs == []

    on_a_broker(tmp_path, test)


def test_versions_of_describe(tmp_path: Path) -> None:
    async def test(_cluster: Cluster, client: Client) -> None:
        for version in range(1, 5):
            request = DescribeConfigsRequest(
                resources=[DescribeConfigsResource(BROKER, "1", ["num.partitions"])],
                include_synonyms=version > 1,
                include_documentation=version > 2,
            )
            (result,) = (await client.send(request, version)).results
            (row,) = result.configs
            assert (row.name, row.value, row.config_source, row.read_only) == ("num.partitions", "1", 5, True)
            assert len(row.synonyms) == (1 if version > 1 else 0)
            assert row.config_type == (3 if version > 2 else 0)
            assert bool(row.documentation) is (version > 2)

    on_a_broker(tmp_path, test)


def test_listing(tmp_path: Path) -> None:
    async def listed(client: Client, version: int, *types: int) -> Any:
        response = await client.send(ListConfigResourcesRequest(resource_types=list(types)), version)
        return response.error_code, sorted(
            (each.resource_type, each.resource_name) for each in response.config_resources
        )

    async def test(_cluster: Cluster, client: Client) -> None:
        await client.create_topic("plain")
        changes: list[Resource] = [
            (GROUP, "g", [("consumer.session.timeout.ms", SET, "46000")]),
            (METRICS, "c", [("interval.ms", SET, "1000")]),
        ]
        assert await alter(client, *changes) == [(0, None), (0, None)]
        everything = [(TOPIC, "plain"), (BROKER, "1"), (LOGGER, "1"), (METRICS, "c"), (GROUP, "g")]
        assert await listed(client, 1) == (0, everything)
        assert await listed(client, 1, TOPIC, GROUP, TOPIC) == (0, [(TOPIC, "plain"), (GROUP, "g")])
        assert await listed(client, 1, 5) == (35, [])
        assert await listed(client, 0) == (0, [(METRICS, "c")])
        assert (await rows(client, GROUP, "g"))["consumer.session.timeout.ms"] == ("46000", 8)
        assert (await rows(client, METRICS, "c"))["interval.ms"] == ("1000", 7)

    on_a_broker(tmp_path, test)
