"""Tables and JSON lines."""

from __future__ import annotations

import json
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from collections.abc import Iterator
from fcntl import ioctl
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from broker.cli.output import (
    Column,
    CommandError,
    NoBrokerError,
    Output,
    counted,
    output_options,
    plain_text,
    shown_bytes,
    shown_ms,
)

ROOT = Path(__file__).parents[3]
ROWS = [{"name": "a" * 100, "count": 5, "more": [1, 2]}, {"name": "b", "count": None, "more": {"x": True}}]
COLUMNS = [Column("name", "Name"), Column("count", "Count", right=True)]


@click.command()
@output_options
def listed(output: Output) -> None:
    output.rows(ROWS, COLUMNS)


def test_json_lines_where_no_terminal_is() -> None:
    result = CliRunner().invoke(listed)
    assert [json.loads(line) for line in result.stdout.splitlines()] == ROWS


def test_a_table_when_asked_for() -> None:
    result = CliRunner().invoke(listed, ["--table"])
    assert result.stdout.splitlines()[0].split() == ["Name", "Count"]
    assert "{" not in result.stdout


def test_nothing_to_show_is_said_to_the_person_only() -> None:
    @click.command()
    @output_options
    def nothing(output: Output) -> None:
        output.rows([], COLUMNS, empty="There is none.")

    table = CliRunner().invoke(nothing, ["--table"])
    assert (table.stdout, table.stderr) == ("", "There is none.\n")
    assert CliRunner().invoke(nothing).output == ""


def test_records_and_outcomes(capsys: pytest.CaptureFixture[str]) -> None:
    Output(as_json=True).record({"a": 1})
    Output(as_json=True).done("Made it.", {"made": True})
    assert capsys.readouterr().out == '{"a":1}\n{"made":true}\n'
    Output(as_json=False).record({"some_name": [1, 2], "on": True})
    Output(as_json=False).done("Made it.", {"made": True})
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines == [["some", "name", "1,", "2"], ["on", "yes"], ["Made", "it."]]


def test_errors_say_what_to_do() -> None:
    @click.command()
    @click.argument("kind")
    def failing(kind: str) -> None:
        raise {"refused": CommandError, "nobody": NoBrokerError}[kind]("It did not go.", hint="Try that.")

    refused = CliRunner().invoke(failing, ["refused"])
    assert (refused.exit_code, refused.stderr) == (1, "kwire: It did not go.\n  Try that.\n")
    assert CliRunner().invoke(failing, ["nobody"]).exit_code == 3


def test_values_as_text() -> None:
    assert [plain_text(each) for each in (None, True, False, 5, "x", [1, "y"], {"a": None, "b": 2})] == [
        "",
        "yes",
        "no",
        "5",
        "x",
        "1, y",
        "a=, b=2",
    ]
    assert [shown_bytes(each) for each in (0, 1023, 1536, 5 << 30)] == ["0 B", "1023 B", "1.5 KiB", "5.0 GiB"]
    assert [shown_ms(each) for each in (5, 999, 1000, 90_000, 3_600_000, 3_605_000, 90_061_000, -5_000)] == [
        "5ms",
        "999ms",
        "1s",
        "1m 30s",
        "1h",
        "1h",
        "1d 1h",
        "-5s",
    ]
    assert [counted(each, "topic") for each in (0, 1, 2)] == ["0 topics", "1 topic", "2 topics"]


def on_terminal(code: str, columns: int) -> str:
    """What a program prints on a terminal of this width, without escape sequences."""
    own, theirs = pty.openpty()
    ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    environment = {key: value for key, value in os.environ.items() if key not in ("COLUMNS", "NO_COLOR")}
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=ROOT,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=environment | {"TERM": "xterm"},
    )
    os.close(theirs)
    data = b"".join(_read_all(own))
    os.close(own)
    assert process.wait() == 0, data
    return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", data.decode()).replace("\r", "")


def _read_all(fd: int) -> Iterator[bytes]:
    while True:
        try:
            data = os.read(fd, 65536)
        except OSError:  # the other end is closed
            return
        if not data:
            return
        yield data


@pytest.mark.parametrize("columns", [80, 40])
def test_tables_keep_to_the_terminal(columns: int) -> None:
    rows: list[Any] = [{"name": f"orders-{'x' * 120}", "count": 1_000_000, "more": "y" * 60}]
    code = (
        "from broker.cli.output import *\n"
        f"Output(False).rows({rows!r}, [Column('name', 'Name'), Column('count', 'Count', right=True), "
        "Column('more', 'More')])"
    )
    shown = on_terminal(code, columns)
    assert max(map(len, shown.splitlines())) <= columns
    # Nothing is lost: names go on in the next line, numbers stay whole.
    assert shown.count("x") == 120
    assert "1000000" in shown


def test_a_reader_that_goes_away_is_no_error() -> None:
    code = (
        "import click\n"
        "from broker.cli.output import *\n"
        "@click.command()\n@output_options\ndef many(output):\n"
        "    output.rows(({'n': n} for n in range(1000000)), [])\n"
        "many()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stderr is not None
    assert process.stdout.readline() == '{"n":0}\n'
    process.stdout.close()
    assert (process.wait(), process.stderr.read()) == (0, "")
    process.stderr.close()
