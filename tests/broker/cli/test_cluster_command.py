"""`kwire cluster` and `kwire export`, against a kwire in a process of its own."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from broker.cli.main import cli
from kwire.testing import Broker


@pytest.fixture(scope="module")
def broker() -> Iterator[Broker]:
    with Broker.start() as broker:
        yield broker


def run(broker: Broker, *arguments: str) -> Result:
    return CliRunner().invoke(cli, arguments, env={"KWIRE_HTTP": broker.url})


def lines(broker: Broker, *arguments: str) -> list[dict[str, Any]]:
    done = run(broker, *arguments)
    assert done.exit_code == 0, done.output
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_a_cluster_s_life(broker: Broker, tmp_path: Path) -> None:
    contents = tmp_path / "contents.yaml"
    contents.write_text("topics:\n  audit: {partitions: 2, records: [a, b]}\n  plain: 3\n")
    (made,) = lines(
        broker,
        *["cluster", "create", "orders", "--nodes", "3", "--rack", "a", "--topic", "orders:6:cleanup.policy=compact"],
        *["--contents", str(contents), "--set", "num.partitions=4", "--seed", "1"],
    )
    assert (made["name"], made["topics"], made["configs"]) == ("orders", 3, {"num.partitions": "4"})
    assert [each["rack"] for each in made["nodes"]] == ["a", "a", "a"]
    (taken,) = lines(broker, "cluster", "snapshot", "orders", "s")
    assert taken["name"] == "s"
    (fork,) = lines(broker, "cluster", "fork", "orders", "copy", "--snapshot", "s")
    assert fork["forked_from"] == "orders"
    assert [each["name"] for each in lines(broker, "cluster", "snapshot", "orders", "--list")] == ["s"]
    (restored,) = lines(broker, "cluster", "restore", "orders", "s")
    assert restored["bootstrap_servers"] == made["bootstrap_servers"]
    (described,) = lines(broker, "cluster", "describe", "orders")
    assert described["snapshots"] == ["s"]
    (exported,) = lines(broker, "export", "orders", "--kafka", str(tmp_path / "kafka"))
    assert (tmp_path / "kafka/meta.properties").exists()
    assert exported["format"] == "kafka"
    lines(broker, "cluster", "export", "orders", "--to", str(tmp_path / "out"), "--snapshot", "s")
    (again,) = lines(broker, "cluster", "import", str(tmp_path / "out"), "again")
    assert again["topics"] == 3
    lines(broker, "cluster", "snapshot", "orders", "s", "--delete")
    table = run(broker, "cluster", "list", "--table").stdout
    assert "orders" in table
    assert "Bootstrap servers" in table
    lines(broker, "cluster", "delete", "orders", "copy", "again")
    assert [each["name"] for each in lines(broker, "cluster", "list")] == ["default"]


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["cluster", "describe", "none"], 1, "there is no cluster 'none'"),
        (["cluster", "create", "a/b"], 1, "name"),
        (["cluster", "create", "--set", "num.partitions"], 2, "KEY=VALUE"),
        (["cluster", "delete", "default"], 1, "cannot be deleted"),
        (["cluster", "export", "default"], 2, "--kafka DIR"),
        (["cluster", "snapshot", "default", "--delete"], 2, "which snapshot"),
        (["cluster", "import", "/nowhere"], 1, "holds no exported snapshot"),
    ],
)
def test_what_is_refused_says_what_to_do(broker: Broker, arguments: list[str], code: int, told: str) -> None:
    done = run(broker, *arguments)
    assert done.exit_code == code, done.output
    assert told in done.output
