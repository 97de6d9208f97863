"""The kwire command against the target: what it does is the same on kwire and on Apache Kafka."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from click.testing import CliRunner
from confluent_kafka import Consumer

from broker.cli.main import cli
from compat_tests.clients.support import Endpoint, until
from compat_tests.raw.wire import Wire
from compat_tests.targets import Broker
from kwire.api_keys import ApiKey

capability = pytest.mark.capability
pytestmark = pytest.mark.client("kwire command")

Run = Callable[..., list[Any]]


@pytest.fixture
def run(any_endpoint: Endpoint) -> Run:
    """`run("topics", "list", input="...", code=0)`: the lines of JSON it prints."""
    connection = ["-b", any_endpoint.bootstrap]
    if any_endpoint.ca is not None:
        connection += ["-X", "security.protocol=SSL", "-X", f"ssl.ca.location={any_endpoint.ca}"]

    def command(*arguments: str, input: str | None = None, code: int = 0) -> list[Any]:
        result = CliRunner().invoke(cli, [*arguments, *connection], input=input, catch_exceptions=False)
        assert result.exit_code == code, f"{arguments}: exit code {result.exit_code}\n{result.output}"
        return [json.loads(line) for line in result.stdout.splitlines()] if code == 0 else result.stderr.splitlines()

    return command


@pytest.fixture
def created(run: Run, fresh_name: Callable[[str], str]) -> str:
    """A topic with two partitions that has leaders."""
    name = fresh_name("topic")
    run("topics", "create", name, "-p", "2", "-r", "1", "-c", "cleanup.policy=compact,delete")
    until(
        lambda: run("topics", "describe", name),
        lambda found: all(each["leader"] is not None for each in found[0]["partitions"]),
        "leaders",
    )
    return name


@capability("admin: topics and configs")
def test_topics_and_configs(run: Run, created: str) -> None:
    (described,) = run("topics", "describe", created)
    assert described["partition_count"] == 2
    assert described["configs"] == {"cleanup.policy": "compact,delete"}
    assert [each["end_offset"] for each in described["partitions"]] == [0, 0]
    assert created in {row["topic"] for row in run("topics", "list")}
    assert "TOPIC_ALREADY_EXISTS" in run("topics", "create", created, code=1)[0]
    assert "INVALID_CONFIG" in run("topics", "create", f"{created}-b", "-c", "retenton.ms=1", code=1)[0]
    assert f"did you mean {created}" in run("topics", "describe", created[:-1] + "x", code=1)[0]
    run(
        "configs", "alter", "--topic", created, "--add-config", "retention.ms=5000", "--delete-config", "cleanup.policy"
    )
    until(
        lambda: {row["name"]: row["value"] for row in run("configs", "describe", "--topic", created)},
        lambda found: found.get("retention.ms") == "5000" and "cleanup.policy" not in found,
        "the changed configs",
    )
    run("topics", "add-partitions", created, "--num", "1")
    assert run("topics", "list", created)[0]["partitions"] == 3
    assert run("topics", "delete", created) == [{"topic": created, "deleted": True}]


@capability("produce and consume")
def test_records_there_and_back(run: Run, created: str) -> None:
    run("produce", created, "-p", "0", "-K", ":", "-H", "h=1", "-z", "zstd", input="a:1\nb:2\nc:3\n")
    rows = run("consume", created, "-e", "-o", "1")
    assert [(row["offset"], row["key"], row["value"], row["headers"]) for row in rows] == [
        (1, "b", "2", {"h": "1"}),
        (2, "c", "3", {"h": "1"}),
    ]
    assert [row["offset"] for row in run("consume", created, "-o", "-1", "-e", "-p", "0")] == [2]
    offsets = run("topics", "offsets", created)
    assert [(row["start_offset"], row["end_offset"]) for row in offsets] == [(0, 3), (0, 0)]
    assert run("topics", "trim", created, "-p", "0", "-o", "2", "-y")[0]["start_offset"] == 2


@capability("groups")
def test_groups(run: Run, created: str, group: str) -> None:
    run("produce", created, "-p", "0", "-K", ":", input="a:1\nb:2\nc:3\n")
    assert len(run("consume", created, "-g", group, "-c", "2")) == 2
    assert run("lag", group) == [{"group": group, "topic": created, "partitions": 2, "lag": 1}]
    reset = ["groups", "reset-offsets", group, "--topic", created, "--to-earliest"]
    assert [row["new_offset"] for row in run(*reset)] == [0, 0]
    run(*reset, "--execute")
    offsets = {row["partition"]: row["current_offset"] for row in run("groups", "offsets", group)}
    assert offsets == {0: 0, 1: 0}
    (described,) = run("groups", "describe", group)
    assert (described["state"], described["members"]) == ("Empty", [])
    run("groups", "delete-offsets", group, "--topic", f"{created}:1")
    run("groups", "delete", group)
    assert "there is no group" in run("groups", "describe", group, code=1)[0]


@capability("groups")
def test_groups_of_the_new_protocol(run: Run, created: str, group: str, endpoint: Endpoint, broker: Broker) -> None:
    with Wire(broker.address) as wire:
        served = {each.api_key for each in wire.ask("ApiVersions", 0).api_keys}
        if ApiKey.CONSUMER_GROUP_DESCRIBE not in served:
            pytest.skip("the target has no groups of the new protocol (KIP-848)")
    settings = {"bootstrap.servers": endpoint.bootstrap, "group.id": group, "group.protocol": "consumer"}
    member = Consumer(settings | {"client.id": "c1", "auto.offset.reset": "earliest"})
    try:
        member.subscribe([created])
        until(lambda: member.poll(0.1) or member.assignment(), bool, "an assignment")
        (described,) = run("groups", "describe", group)
        assert described["type"] == "consumer"
        (found,) = described["members"]
        assert found["client_id"] == "c1"
        assert {each["partition"] for each in found["partitions"]} == {0, 1}
    finally:
        member.close()
