"""The rules that docs/testing/faults.md shows are rules, and the commands it shows work."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

from attrs import fields
from click.testing import CliRunner

from broker.cli.main import cli
from broker.faults.spec import RuleSpec, parse
from broker.routes import table
from kwire.testing import Broker
from tests.broker.faults.filled import served_routes

PAGE = (Path(__file__).parents[3] / "docs/testing/faults.md").read_text()


def _blocks(kind: str) -> list[str]:
    return [
        line
        for block in re.findall(rf"^```{kind}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
        for line in block.splitlines()
    ]


def test_every_rule_is_one() -> None:
    routes = table(served_routes())
    rules = _blocks("json")
    assert len(rules) >= 7
    for rule in rules:
        assert parse(json.loads(rule), routes)


def test_every_field_is_told() -> None:
    for field in fields(RuleSpec):
        assert field.name in ("keys", "versions", "name") or f"`{field.name}`" in PAGE, field.name


def test_every_command_works() -> None:
    with Broker.start() as broker:
        for line in _blocks("sh"):
            arguments = shlex.split(line)[1:]
            found = CliRunner().invoke(cli, [*arguments, "--http", broker.http.url])
            assert found.exit_code == 0, (line, found.output)
