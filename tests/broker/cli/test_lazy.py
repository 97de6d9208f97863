"""The table of commands: what --help shows, what it loads, what is said about names that are none."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from broker.cli.lazy import LazyCommand, LazyGroup, Section
from broker.cli.main import cli

ROOT = Path(__file__).parents[3]
HEAVY = ("kafka", "rich", "trio", "yaml", "msgspec", "h11", "http.client", "broker.server", "kwire.testing")


def test_help_loads_no_command() -> None:
    code = (
        "import sys\n"
        "from broker.cli.main import cli\n"
        "try: cli(['--help'], prog_name='kwire')\n"
        "except SystemExit: pass\n"
        f"print('LOADED', [name for name in {HEAVY!r} if name in sys.modules], "
        "[name for name in sys.modules if name.startswith('broker.cli.')])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert "LOADED [] ['broker.cli.lazy', 'broker.cli.main']" in done.stdout


def test_help_of_a_command_loads_no_client() -> None:
    code = (
        "import sys\n"
        "from broker.cli.main import cli\n"
        "for name in ['topics', 'groups', 'lag', 'produce', 'consume', 'configs', 'top', 'completion']:\n"
        "    try: cli([name, '--help'], prog_name='kwire')\n"
        "    except SystemExit: pass\n"
        f"    print('LOADED', [heavy for heavy in {HEAVY!r} if heavy in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.count("LOADED []") == 8
    assert done.stdout.count("Usage: kwire") == 8


def all_commands(command: click.Command, path: tuple[str, ...] = ()) -> list[tuple[tuple[str, ...], click.Command]]:
    found = [(path, command)]
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            assert inner is not None
            found += all_commands(inner, (*path, name))
    return found


def test_each_command_is_there_once_and_can_be_loaded() -> None:
    context = click.Context(cli)
    names = cli.list_commands(context)
    assert max(Counter(names).values()) == 1
    for path, command in all_commands(cli):
        result = CliRunner().invoke(cli, [*path, "--help"])
        assert result.exit_code == 0, (path, result.output)
        assert command.help or command.callback is None, f"{path} has no help"
        examples = {line.strip() for line in (command.epilog or "").splitlines()}
        told = [line for line in result.output.splitlines() if not line.startswith("  kwire ")]
        long = [line for line in told if len(line) > 80 and line.strip() not in examples]
        assert not long, f"{path}: wider than a terminal"


def test_help_is_grouped() -> None:
    output = CliRunner().invoke(cli, ["--help"]).output
    places = [output.index(text) for text in ("Broker:", "serve", "Any Kafka", "topics", "Shell:", "completion")]
    assert places == sorted(places)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["topcs"], "No such command 'topcs'; did you mean topics"),
        (["xyzzy"], "No such command 'xyzzy'; there are serve, dump, check"),
        (["topics", "lst"], "Did you mean 'list'?"),
        (["topics", "list", "--regx"], "Did you mean '--regex'?"),
    ],
)
def test_names_that_are_none(arguments: list[str], said: str) -> None:
    result = CliRunner().invoke(cli, arguments)
    assert result.exit_code == 2
    assert said in result.output


def test_aliases_are_not_listed() -> None:
    assert CliRunner().invoke(cli, ["topic", "--help"]).exit_code == 0
    assert "topic" not in cli.list_commands(click.Context(cli))


def test_a_command_whose_module_is_not_there_is_left_out() -> None:
    sections = (Section("Some", (LazyCommand("gone", "broker.cli.no_such_module:x", "Gone."),)),)
    group = LazyGroup("kwire", sections=sections)
    assert group.list_commands(click.Context(group)) == []
    assert CliRunner().invoke(group, ["gone"]).exit_code == 2


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_printed(shell: str) -> None:
    result = CliRunner().invoke(cli, ["completion", shell])
    assert result.exit_code == 0
    assert "_KWIRE_COMPLETE" in result.output


def test_completion_completes_commands() -> None:
    environment = {"COMP_WORDS": "kwire to", "COMP_CWORD": "1", "_KWIRE_COMPLETE": "bash_complete"}
    result = CliRunner().invoke(cli, prog_name="kwire", env=environment, complete_var="_KWIRE_COMPLETE")
    assert [line.split(",")[1] for line in result.output.split()] == ["topics", "top"]
