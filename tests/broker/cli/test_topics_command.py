"""`kwire topics` and `kwire configs` against a broker."""

from __future__ import annotations

import socket
from datetime import UTC, datetime

import pytest

from tests.broker.cli.conftest import STOCK_CLIENT, Command

pytestmark = STOCK_CLIENT


@pytest.fixture(autouse=True)
def _no_topics(command: Command) -> None:
    """Each test begins without topics."""
    names = [row["topic"] for row in command.rows("topics", "list")]
    if names:
        command.run("topics", "delete", *names)


def test_create_list_describe_delete(command: Command) -> None:
    (made,) = command.rows("topics", "create", "orders", "-p", "3", "-c", "cleanup.policy=compact")
    assert (made["topic"], made["created"], made["partitions"], made["replication_factor"]) == ("orders", True, 3, 1)
    assert len(made["topic_id"]) > 20
    command.run("topics", "create", "--topic", "a.b", "--partitions", "1", "--replication-factor", "1")
    assert command.rows("topics", "list") == [
        {"topic": "a.b", "partitions": 1, "replication_factor": 1, "internal": False},
        {"topic": "orders", "partitions": 3, "replication_factor": 1, "internal": False},
    ]
    assert [row["topic"] for row in command.rows("topics", "list", "or.*", "-r")] == ["orders"]
    (described,) = command.rows("topics", "describe", "orders")
    assert described["configs"] == {"cleanup.policy": "compact"}
    assert [each["partition"] for each in described["partitions"]] == [0, 1, 2]
    assert described["partitions"][0] == {
        "partition": 0,
        "leader": 1,
        "leader_epoch": 0,
        "replicas": [1],
        "isr": [1],
        "offline": [],
        "start_offset": 0,
        "end_offset": 0,
    }
    assert [each["topic"] for each in command.rows("topics", "describe", "--topics-with-overrides")] == ["orders"]
    assert command.rows("topics", "describe", "--under-replicated-partitions") == []
    assert command.rows("topics", "delete", "orders,a.b") == [
        {"topic": "orders", "deleted": True},
        {"topic": "a.b", "deleted": True},
    ]
    assert command.rows("topics", "list") == []


def test_tables(command: Command) -> None:
    command.run("topics", "create", "orders", "-p", "2", "-c", "retention.ms=5")
    listed = command.run("topics", "list", "--table").stdout.splitlines()
    assert listed[0].split() == ["Topic", "Partitions", "Replicas"]
    assert listed[2].split() == ["orders", "2", "1"]
    described = command.run("topics", "describe", "--table").stdout
    assert "orders: 2 partitions, 1 replica, id " in described
    assert "  retention.ms=5" in described


def test_alter_and_add_partitions(command: Command) -> None:
    command.run("topics", "create", "orders", "-p", "2")
    command.run(
        "topics", "alter", "orders", "-c", "retention.ms=5", "--config", "cleanup.policy=compact,delete", "-p", "3"
    )
    (described,) = command.rows("topics", "describe", "orders", "--no-offsets")
    assert described["configs"] == {"retention.ms": "5", "cleanup.policy": "compact,delete"}
    assert described["partition_count"] == 3
    command.run("topics", "alter", "orders", "--delete-config", "retention.ms")
    assert command.rows("topics", "add-partitions", "orders", "--num", "2") == [{"topic": "orders", "partitions": 5}]
    assert command.rows("topics", "add-partitions", "orders", "--partitions", "6") == [
        {"topic": "orders", "partitions": 6}
    ]
    (described,) = command.rows("topics", "describe", "orders")
    assert described["configs"] == {"cleanup.policy": "compact,delete"}


def test_offsets_and_trim(command: Command) -> None:
    command.run("topics", "create", "orders", "-p", "2")
    command.run("produce", "orders", "-p", "0", "--timestamp", "1000", input="a\nb\n")
    command.run("produce", "orders", "-p", "0", "--timestamp", "2000-01-01T00:00:00", input="c\n")
    rows = command.rows("topics", "offsets", "orders")
    assert [(row["start_offset"], row["end_offset"], row["records"]) for row in rows] == [(0, 3, 3), (0, 0, 0)]
    at = datetime(2000, 1, 1, tzinfo=UTC).timestamp() * 1000
    (row,) = command.rows("topics", "offsets", "orders", "--time", "1999-06-01", "-p", "0")
    assert (row["offset"], row["timestamp_ms"]) == (2, at)
    assert [row["offset"] for row in command.rows("topics", "offsets", "orders", "--time", "latest")] == [3, 0]
    assert [row["offset"] for row in command.rows("topics", "offsets", "orders", "--time", "2099-01-01")] == [
        None,
        None,
    ]
    trimmed = command.rows("topics", "trim", "orders", "-p", "0", "-o", "2", "-y")
    assert trimmed == [{"topic": "orders", "partition": 0, "start_offset": 2}]
    assert command.rows("topics", "offsets", "orders", "-p", "0")[0]["records"] == 1
    for arguments in (["trim", "orders", "-p", "7", "-o", "1", "-y"], ["offsets", "orders", "-p", "7"]):
        assert "orders has partitions 0 to 1, not 7" in command.refused("topics", *arguments)


def test_what_create_refuses(command: Command) -> None:
    command.run("topics", "create", "orders")
    said = command.refused("topics", "create", "orders")
    assert "TOPIC_ALREADY_EXISTS" in said
    assert "--if-not-exists" in said
    assert command.rows("topics", "create", "orders", "--if-not-exists") == [{"topic": "orders", "created": False}]
    said = command.refused("topics", "create", "new", "-c", "retenton.ms=4")
    assert "INVALID_CONFIG: Unknown topic config name: retenton.ms" in said
    assert "Did you mean retention.ms" in said
    assert "INVALID_REPLICATION_FACTOR" in command.refused("topics", "create", "new", "-r", "3")
    assert "INVALID_TOPIC_EXCEPTION" in command.refused("topics", "create", "not legal")
    (row,) = command.rows("topics", "create", "new", "--dry-run", "-p", "2")
    assert (row["created"], row["partitions"]) == (False, 2)
    assert [row["topic"] for row in command.rows("topics", "list")] == ["orders"]
    command.run("topics", "create", "placed", "--replica-assignment", "1,1,1")
    assert command.rows("topics", "list", "placed")[0]["partitions"] == 3


@pytest.mark.parametrize(
    "arguments",
    [
        ["topics", "describe", "ordes"],
        ["topics", "delete", "ordes"],
        ["topics", "alter", "ordes", "-c", "retention.ms=1"],
        ["topics", "add-partitions", "ordes", "-n", "1"],
        ["topics", "offsets", "ordes"],
        ["configs", "describe", "--topic", "ordes"],
        ["produce", "ordes"],
        ["consume", "ordes", "-e"],
    ],
)
def test_an_unknown_topic_is_named_with_near_ones(command: Command, arguments: list[str]) -> None:
    command.run("topics", "create", "orders")
    said = command.refused(*arguments, input="x\n")
    assert "there is no topic 'ordes' (did you mean orders?)" in said
    assert "There are: orders" in said


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["topics", "create"], "name a topic"),
        (["topics", "create", "a", "-p", "0"], "0 is not in the range x>=1"),
        (["topics", "create", "a", "-c", "novalue"], "'novalue' must be KEY=VALUE"),
        (["topics", "create", "a", "-p", "2", "--replica-assignment", "1"], "leave out --partitions"),
        (["topics", "create", "a", "--replica-assignment", "x"], "must be broker ids"),
        (["topics", "alter", "a"], "say what to change"),
        (["topics", "add-partitions", "a"], "give --num"),
        (["topics", "offsets", "--time", "yesterday"], "'yesterday' is no time"),
        (["topics", "offsets", "-p", "x"], "'x' is no partition"),
        (["topics", "list", "(", "-r"], "no regular expression"),
        (["topics", "list", "-b", "nohost:port"], "must be HOST:PORT"),
        (["topics", "list", "-X", "nothing"], "must be KEY=VALUE"),
        (["topics", "list", "-X", "securty.protocol=SSL"], "did you mean security.protocol?"),
        (["topics", "list", "-X", "sasl.username=u"], "no security.protocol"),
        (["configs", "describe"], "say whose configs"),
        (["configs", "describe", "--topic", "a", "--broker", "1"], "one kind only"),
        (["configs", "alter", "--topic", "a"], "say what to change"),
        (["configs", "alter", "--topic", "a", "-s", "x=1", "-d", "x"], "set and deleted at once"),
        (["configs", "alter", "--broker", "one", "-s", "x=1"], "a broker's id is a number"),
    ],
)
def test_wrong_usage(command: Command, arguments: list[str], said: str) -> None:
    assert said in command.refused(*arguments, code=2)


def test_nobody_answers(command: Command) -> None:
    with socket.socket() as held:  # and does not listen
        held.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{held.getsockname()[1]}"
        said = command.refused("topics", "list", "-b", address, code=3)
        assert f"no broker answers at {address}: Connection refused" in said
        assert "kwire serve" in said
        # One that answers is enough.
        assert command.rows("topics", "list", "-b", f"{address},{command.address}") == []


def test_configs_of_topics(command: Command) -> None:
    command.run("topics", "create", "orders")
    command.run(
        "configs", "alter", "--entity-type", "topics", "--entity-name", "orders",
        "--add-config", "retention.ms=7,cleanup.policy=[compact,delete]",
    )  # fmt: skip
    rows = command.rows("configs", "describe", "--topic", "orders")
    own = {row["name"]: row["value"] for row in rows if row["source"] == "topic"}
    assert own == {"retention.ms": "7", "cleanup.policy": "compact,delete"}
    everything = command.rows("configs", "describe", "-t", "orders", "--all")
    assert len(everything) > 25
    assert {"name", "value", "source", "synonyms", "read_only"} <= everything[0].keys()
    command.run("configs", "alter", "-t", "orders", "--delete-config", "retention.ms,cleanup.policy")
    assert not [row for row in command.rows("configs", "describe", "--topic", "orders") if row["source"] == "topic"]
    said = command.refused("configs", "alter", "-t", "orders", "-s", "retention.msx=1")
    assert "Did you mean retention.ms" in said


def test_configs_of_brokers(command: Command) -> None:
    alter = ["configs", "alter", "--entity-type", "brokers"]
    command.run(*alter, "--entity-default", "--add-config", "log.cleaner.threads=2")
    command.run(*alter, "--entity-name", "1", "--add-config", "log.retention.ms=5000")
    rows = command.rows("configs", "describe", "--broker", "1")
    sources = {row["name"]: row["source"] for row in rows}
    assert sources["log.cleaner.threads"] == "all brokers"
    assert sources["log.retention.ms"] == "broker"
    names = {row["name"] for row in command.rows("configs", "describe", "--entity-type", "brokers", "--entity-default")}
    assert "log.cleaner.threads" in names
    for arguments in (["configs", "describe", "--broker", "9"], [*alter, "--entity-name", "9", "--delete-config", "x"]):
        assert "there is no broker 9; there are 1" in command.refused(*arguments)
    # A dry run changes nothing.
    command.run(*alter, "--entity-name", "1", "--add-config", "log.retention.ms=9", "--dry-run")
    command.run(*alter, "--entity-name", "1", "--delete-config", "log.retention.ms")
    command.run(*alter, "--entity-default", "--delete-config", "log.cleaner.threads")
    left = {row["name"] for row in command.rows("configs", "describe", "--broker", "1")}
    assert not left & {"log.cleaner.threads", "log.retention.ms"}


def test_top(command: Command) -> None:
    command.run("topics", "create", "orders", "-p", "2")
    command.run("produce", "orders", input="a\nb\nc\n")
    (view,) = command.rows("top", "--once", "-n", "0.2")
    assert [(each["topic"], each["records"], each["records_per_s"]) for each in view["topics"]] == [("orders", 3, 0.0)]
    assert view["brokers"][0]["leads"] == 2
    assert command.rows("top", "--once", "--no-rates")[0]["topics"][0]["records_per_s"] is None
    drawn = command.run("top", "--once", "--no-rates", "--table").stdout
    assert "1 broker, 1 topic" in drawn
    assert all(len(line) <= 80 for line in drawn.splitlines())


def test_actions_as_kafkas_scripts_name_them(command: Command) -> None:
    command.run("topics", "--create", "--topic", "orders", "--partitions", "2", "--replication-factor", "1")
    assert [row["topic"] for row in command.rows("topics", "--list")] == ["orders"]
    alter = ["configs", "--alter", "--entity-type", "topics", "--entity-name", "orders"]
    command.run(*alter, "--add-config", "retention.ms=5")
    (described,) = command.rows("topics", "--describe", "--topic", "orders")
    assert described["configs"] == {"retention.ms": "5"}
    reset = ["groups", "--reset-offsets", "--group", "g", "--topic", "orders", "--to-latest", "--execute"]
    assert len(command.rows(*reset)) == 2
    assert command.rows("groups", "--delete", "--group", "g") == [{"group": "g", "deleted": True}]
    command.run("topics", "--delete", "--topic", "orders")
