"""`kwire groups`, `kwire lag` against a broker."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.broker.cli.conftest import STOCK_CLIENT, Command

pytestmark = STOCK_CLIENT


@pytest.fixture(scope="module", autouse=True)
def _topic(command: Command) -> None:
    command.run("topics", "create", "orders", "-p", "2")
    command.run("produce", "orders", "-p", "0", "--timestamp", "1000", input="a\nb\n")
    command.run("produce", "orders", "-p", "0", "--timestamp", "5000", input="c\nd\n")
    command.run("produce", "orders", "-p", "1", input="x\n")


@pytest.fixture
def group(command: Command, request: pytest.FixtureRequest) -> str:
    """A group that has read two records of the first partition and the second one to its end."""
    name = f"g-{request.node.name}"
    command.run("groups", "reset-offsets", name, "--from-file", _plan(request, "orders,0,2\norders,1,1\n"), "--execute")
    return name


def _plan(request: pytest.FixtureRequest, text: str) -> str:
    path: Path = request.getfixturevalue("tmp_path") / "plan.csv"
    path.write_text(text)
    return str(path)


@contextmanager
def member(command: Command, group: str) -> Iterator[Any]:
    from kafka import KafkaConsumer

    consumer = KafkaConsumer(
        bootstrap_servers=command.address, group_id=group, client_id="c1", enable_auto_commit=False
    )
    try:
        # Known before the group is joined: kafka-python may else assign nothing and not notice.
        _until(lambda: consumer.partitions_for_topic("orders"))
        consumer.subscribe(["orders"])
        _until(lambda: consumer.poll(50) or consumer.assignment())
        yield consumer
    finally:
        consumer.close()


def _until(ask: Callable[[], Any]) -> None:
    for _ in range(200):
        if ask():
            return
    raise AssertionError("it never came true")


def offsets(command: Command, group: str) -> dict[int, int]:
    return {row["partition"]: row["current_offset"] for row in command.rows("groups", "offsets", group)}


def test_offsets_and_lag(command: Command, group: str) -> None:
    rows = command.rows("groups", "offsets", group)
    assert [(row["partition"], row["current_offset"], row["end_offset"], row["lag"]) for row in rows] == [
        (0, 2, 4, 2),
        (1, 1, 1, 0),
    ]
    assert command.rows("lag", group) == [{"group": group, "topic": "orders", "partitions": 2, "lag": 2}]
    assert [row["lag"] for row in command.rows("lag", group, "-p")] == [2, 0]
    assert command.rows("lag", "-g", group, "--topic", "other") == []
    command.run("lag", group, "--fail-above", "2")
    command.run("lag", group, "--fail-above", "1", code=1)
    listed = [row for row in command.rows("groups", "list") if row["group"] == group]
    assert listed == [{"group": group, "type": "classic", "state": "Empty", "protocol_type": None}]


def test_members_and_describe(command: Command, group: str) -> None:
    with member(command, group):
        (described,) = command.rows("groups", "describe", group)
        assert (described["state"], described["assignor"], len(described["members"])) == ("Stable", "range", 1)
        assert [row["client_id"] for row in described["offsets"]] == ["c1", "c1"]
        (shown,) = command.rows("groups", "members", group)
        assert shown["partitions"] == [{"topic": "orders", "partition": 0}, {"topic": "orders", "partition": 1}]
        table = command.run("groups", "describe", group, "--members", "--table").stdout
        assert f"{group}: Stable, 1 member, range" in table
        assert "orders-0, orders-1" in table
        said = command.refused("groups", "delete", group)
        assert "NON_EMPTY_GROUP" in said
        said = command.refused("groups", "reset-offsets", group, "-t", "orders", "--to-latest", "--execute")
        assert "is Stable" in said
        said = command.refused("groups", "delete-offsets", group, "-t", "orders")
        assert "GROUP_SUBSCRIBED_TO_TOPIC" in said
    assert "--all-groups" in command.run("groups", "describe", "--help").stdout
    assert command.run("groups", "describe", "--all-groups", "--state", "--table").stdout.count("Empty") >= 1


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--to-earliest"], {0: 0, 1: 0}),
        (["--to-latest"], {0: 4, 1: 1}),
        (["--to-current"], {0: 2, 1: 1}),
        (["--to-offset", "3"], {0: 3, 1: 1}),
        (["--shift-by", "1"], {0: 3, 1: 1}),
        (["--shift-by", "-1"], {0: 1, 1: 0}),
        (["--shift-by", "-9"], {0: 0, 1: 0}),
        (["--to-datetime", "1970-01-01T00:00:02"], {0: 2, 1: 0}),
        (["--to-datetime", "2099-01-01"], {0: 4, 1: 1}),
        (["--by-duration", "PT1H"], {0: 4, 1: 0}),
    ],
)
def test_reset(command: Command, group: str, arguments: list[str], expected: dict[int, int]) -> None:
    before = offsets(command, group)
    rows = command.rows("groups", "reset-offsets", group, "--all-topics", *arguments)
    assert {row["partition"]: row["new_offset"] for row in rows} == expected
    assert {row["partition"]: row["current_offset"] for row in rows} == before == offsets(command, group)
    rows = command.rows("groups", "reset-offsets", group, "--topic", "orders", *arguments, "--execute")
    assert all(row["committed"] for row in rows)
    assert offsets(command, group) == expected


def test_reset_of_one_partition_and_of_a_new_group(command: Command, group: str) -> None:
    command.run("groups", "reset-offsets", group, "--topic", "orders:0", "--to-earliest", "--execute")
    assert offsets(command, group) == {0: 0, 1: 1}
    command.run("groups", "reset-offsets", "--group", "brand-new", "-t", "orders", "--to-latest", "--execute")
    assert offsets(command, "brand-new") == {0: 4, 1: 1}


def test_export_and_from_file(command: Command, group: str, tmp_path: Path) -> None:
    exported = command.run("groups", "reset-offsets", group, "--all-topics", "--to-current", "--export").stdout
    assert exported == '"orders",0,2\n"orders",1,1\n'
    command.run("groups", "reset-offsets", group, "--all-topics", "--to-latest", "--execute")
    (tmp_path / "kept.csv").write_text(exported)
    command.run("groups", "reset-offsets", group, "--from-file", str(tmp_path / "kept.csv"), "--execute")
    assert offsets(command, group) == {0: 2, 1: 1}
    (tmp_path / "groups.csv").write_text(f"other,orders,0,1\n{group},orders,0,3\n")
    command.run("groups", "reset-offsets", group, "--from-file", str(tmp_path / "groups.csv"), "--execute")
    assert offsets(command, group) == {0: 3, 1: 1}


def test_delete_offsets_and_groups(command: Command, group: str) -> None:
    command.run("groups", "delete-offsets", group, "--topic", "orders:1")
    assert offsets(command, group) == {0: 2}
    assert command.rows("groups", "delete", group) == [{"group": group, "deleted": True}]
    assert group not in {row["group"] for row in command.rows("groups", "list")}


@pytest.mark.parametrize("action", ["describe", "offsets", "members", "delete"])
def test_an_unknown_group_is_named_with_near_ones(command: Command, group: str, action: str) -> None:
    said = command.refused("groups", action, group[:-1])
    assert f"there is no group {group[:-1]!r} (did you mean" in said


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["describe"], "name a group"),
        (["describe", "g", "--members", "--state"], "exclude each other"),
        (["reset-offsets", "g", "--to-latest"], "say of which topics"),
        (["reset-offsets", "g", "-t", "orders"], "say where to"),
        (["reset-offsets", "g", "-t", "orders", "--to-latest", "--to-earliest"], "say where to"),
        (["reset-offsets", "g", "-t", "orders", "--to-latest", "--execute", "--dry-run"], "exclude each other"),
        (["reset-offsets", "g", "-t", "orders", "--to-datetime", "soon"], "'soon' is no time"),
        (["reset-offsets", "g", "-t", "orders", "--by-duration", "long"], "'long' is no duration"),
        (["reset-offsets", "g", "h", "-t", "orders", "--to-latest"], "name one group"),
        (["reset-offsets", "g", "-t", "orders:x", "--to-latest"], "'x' is no partition"),
        (["delete-offsets", "g"], "Missing option"),
    ],
)
def test_wrong_usage(command: Command, arguments: list[str], said: str) -> None:
    assert said in command.refused("groups", *arguments, code=2)


def test_what_a_reset_refuses(command: Command, group: str, tmp_path: Path) -> None:
    reset = ["groups", "reset-offsets", group]
    assert "orders has partitions 0 to 1, not 7" in command.refused(*reset, "-t", "orders:7", "--to-latest")
    assert "there is no topic 'ordrs'" in command.refused(*reset, "-t", "ordrs", "--to-latest")
    fresh = ["groups", "reset-offsets", "fresh"]
    assert "has committed no offset" in command.refused(*fresh, "--all-topics", "--to-latest")
    assert "nothing to shift" in command.refused(*fresh, "-t", "orders", "--shift-by", "1")
    bad = tmp_path / "bad.csv"
    bad.write_text("orders,0,1\norders,zero,1\n")
    assert "line 2 must be TOPIC,PARTITION,OFFSET" in command.refused(*reset, "--from-file", str(bad), code=2)
    bad.write_text("")
    assert "no offsets for group" in command.refused(*reset, "--from-file", str(bad), code=2)
