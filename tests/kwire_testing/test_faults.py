"""Fault rules by the Python door and by the command, against a broker of its own process."""

from __future__ import annotations

import inspect
import json

import pytest
from attrs import fields
from click.testing import CliRunner

from broker.cli.main import cli
from broker.faults.spec import RuleSpec
from kwire.testing import Broker, Cluster, ControlRequestError
from kwire.testing.faults import Faults

ADD = {"api": "Metadata", "error": "LEADER_NOT_AVAILABLE"}


def test_a_rule_for_a_block(cluster: Cluster) -> None:
    with cluster.faults.add(**ADD, topic="orders", times=2, name="twice") as rule:
        assert (rule.hits, rule.matched, rule.name) == (0, 0, "twice")
        assert [each.id for each in cluster.faults] == [rule.id]
        assert cluster.faults.get("twice").id == rule.id
        with pytest.raises(AssertionError, match=r"fired 0 times, not at least once.*\nno request of its APIs"):
            rule.assert_fired()
        rule.assert_fired(0)
    assert cluster.faults.list() == []
    assert rule.hits == 0, "what it had counted can still be asked"
    with cluster.faults.add(topic="orders", partition=range(3), api=("Produce", "Fetch"), truncate=0) as rule:
        assert rule.state.rule == {
            "topic": "orders",
            "partition": [0, 1, 2],
            "api": ["Produce", "Fetch"],
            "truncate": 0,
        }
    with pytest.raises(ControlRequestError) as refused:
        cluster.faults.add(api="Produce", error="NOT_LEADER")
    assert "NOT_LEADER_OR_FOLLOWER" in (refused.value.allowed or [])
    cluster.faults.add(**ADD)
    assert [state.fired for state in cluster.faults.clear()] == [0]


def test_the_door_knows_every_field() -> None:
    known = {field.name for field in fields(RuleSpec)} - {"keys", "versions"}
    assert set(inspect.signature(Faults.add).parameters) - {"self"} == known


def test_the_command(broker: Broker, cluster: Cluster) -> None:
    def kwire(*arguments: str) -> str:
        options = ["--http", broker.http.url, "--cluster", cluster.name]
        found = CliRunner().invoke(cli, ["faults", *arguments, *options])
        assert found.exit_code == 0, found.output
        return found.output

    added = json.loads(
        kwire("add", "--api", "Produce", "--topic", "orders", "--error", "NOT_LEADER_OR_FOLLOWER", "--times", "2")
    )
    assert added["rule"] == {"api": ["Produce"], "topic": "orders", "error": "NOT_LEADER_OR_FOLLOWER", "times": 2}
    kwire("add", "--delay", "100ms..2s", "--after", "--for", "5m", "--partition", "1", "--partition", "2")
    kwire("add", "--json-rule", '{"corrupt": [1, 2], "name": "flips"}')
    lines = [json.loads(line) for line in kwire("list").splitlines()]
    assert [line["rule"] for line in lines][1:] == [
        {"partition": [1, 2], "for_ms": 300_000, "when": "after", "delay_ms": [100, 2000]},
        {"name": "flips", "corrupt": [1, 2]},
    ]
    table = kwire("list", "--table")
    assert "error=NOT_LEADER_OR_FOLLOWER" in table
    assert "no request of its APIs came yet" in kwire("show", "1", "--table")
    assert json.loads(kwire("remove", "flips"))["id"] == 3
    assert kwire("clear", "--table") == "removed 2 rules\n"
    assert kwire("list", "--table") == "no fault rules\n"
    refused = CliRunner().invoke(cli, ["faults", "add", "--error", "NO", "--http", broker.http.url])
    assert refused.exit_code == 1
    assert "Allowed:" in refused.output
