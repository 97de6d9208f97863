"""docs/COMMAND.md: each command in it is one that kwire understands."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest

from broker.cli.main import cli
from broker.contents.files import parse_text

DOCUMENT = (Path(__file__).parents[3] / "docs" / "COMMAND.md").read_text(encoding="utf-8")
LINES = [
    line
    for block in re.findall(r"```sh\n(.*?)```", DOCUMENT, re.DOTALL)
    for line in block.splitlines()
    if "kwire " in line
]


@pytest.mark.parametrize("line", LINES)
def test_it_is_understood(line: str) -> None:
    # What stands around it is the shell's.
    text = re.split(r"\bkwire ", line, maxsplit=1)[1]
    arguments = shlex.split(re.split(r"\)$|\s[<>]", text)[0])
    command: click.Command = cli
    context = click.Context(cli, info_name="kwire")
    while isinstance(command, click.Group):
        name = arguments.pop(0).removeprefix("--")
        found = command.get_command(context, name)
        assert found is not None, f"no command {name}"
        command = found
    try:
        command.make_context(name, arguments, parent=context)
    except click.BadParameter as error:
        # The files in the examples are not there.
        if "does not exist" not in error.message:
            raise


def test_the_contents_are_understood() -> None:
    (text,) = re.findall(r"```yaml\n(.*?)```", DOCUMENT, re.DOTALL)
    contents = parse_text(text)
    assert [topic.name for topic in contents.topics] == ["orders", "audit", "customers", "lines"]
    assert sum(len(topic.records) for topic in contents.topics) == 6
