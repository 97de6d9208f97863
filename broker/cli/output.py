"""What every command prints: tables on a terminal, JSON lines elsewhere or with --json; and how a command fails.

Exit codes: 0 done, 1 refused or failed, 2 wrong usage, 3 nobody answers where a broker should be. What a program may
read goes to standard output, what is said to a person to standard error. rich is loaded when a table is drawn.
"""

from __future__ import annotations

import functools
import json
import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, TypeVar

import click
from attrs import frozen

R = TypeVar("R")

EXIT_FAILED: Final = 1
EXIT_NO_BROKER: Final = 3

# A table on something that is no terminal (--table in a pipe) is as wide as this.
_PLAIN_WIDTH: Final = 120


class CommandError(click.ClickException):
    """Refused or failed; the message says what happened, why, and what to do."""

    exit_code = EXIT_FAILED

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint

    def show(self, file: Any = None) -> None:
        """`kwire: MESSAGE` and the hint, on standard error."""
        click.echo(f"{click.style('kwire:', fg='red', bold=True)} {self.message}", err=True)
        if self.hint:
            click.echo(f"  {self.hint}", err=True)


class NoBrokerError(CommandError):
    """Nobody answers there."""

    exit_code = EXIT_NO_BROKER


@frozen
class Column:
    """A column of a table. key: what of a row it shows; right: for numbers; show: the value as text (given the value).

    fold: long text is broken over lines instead of being cut; style: rich's.
    """

    key: str
    title: str
    right: bool = False
    show: Callable[[Any], str] | None = None
    fold: bool = True
    style: str | None = None

    def text(self, row: Mapping[str, Any]) -> str:
        """The row's cell: empty for None."""
        value = row.get(self.key)
        if self.show is not None and value is not None:
            return self.show(value)
        return plain_text(value)


def plain_text(value: Any) -> str:
    """How a value stands in a table: numbers with thin groups, lists with commas, None as nothing."""
    if value is None:
        return ""
    if value is True:
        return "yes"
    if value is False:
        return "no"
    if isinstance(value, (list, tuple)):
        return ", ".join(map(plain_text, value))
    if isinstance(value, Mapping):
        return ", ".join(f"{key}={plain_text(each)}" for key, each in value.items())
    return str(value)


def counted(number: int, what: str) -> str:
    """``1 partition``, ``2 partitions``"""
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def shown_bytes(count: int) -> str:
    """1536 -> ``1.5 KiB``."""
    value = float(count)
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if abs(value) < 1024 or unit == "TiB":
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    raise AssertionError("there is a last unit")


def shown_ms(duration_ms: float) -> str:
    """90_000 -> ``1m 30s``; two units at most, milliseconds below a second."""
    if abs(duration_ms) < 1000:
        return f"{duration_ms:.0f}ms"
    sign, left = ("-", -duration_ms) if duration_ms < 0 else ("", duration_ms)
    parts = []
    seconds = int(left // 1000)
    for unit, size in (("d", 86_400), ("h", 3600), ("m", 60), ("s", 1)):
        if seconds >= size:
            parts.append(f"{seconds // size}{unit}")
            seconds %= size
        elif parts:
            parts.append("")
    return sign + " ".join(part for part in parts[:2] if part)


def dumps(value: Any) -> str:
    """One line of JSON."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=plain_text)


@frozen
class Output:
    """Where and in which form a command prints."""

    as_json: bool

    @property
    def interactive(self) -> bool:
        """Whether a person is there to be asked."""
        return sys.stdin.isatty() and sys.stdout.isatty()

    def rows(
        self,
        rows: Iterable[Mapping[str, Any]],
        columns: Sequence[Column],
        *,
        title: str | None = None,
        empty: str = "nothing",
    ) -> None:
        """A table with these columns, or a line of JSON for each row with all it has."""
        if self.as_json:
            for row in rows:
                self.line(dumps(row))
            return
        kept = list(rows)
        if not kept:
            self.say(empty)
            return
        self.console().print(table(kept, columns, title))

    def record(self, value: Mapping[str, Any], *, title: str | None = None) -> None:
        """One object: names and values beneath each other, or a line of JSON."""
        if self.as_json:
            self.line(dumps(value))
            return
        from rich.table import Table
        from rich.text import Text

        drawn = Table(box=None, show_header=False, title=title, title_justify="left", pad_edge=False)
        drawn.add_column(style="bold", no_wrap=True)
        drawn.add_column(overflow="fold")
        for key, each in value.items():
            drawn.add_row(key.replace("_", " "), Text(plain_text(each)))
        self.console().print(drawn)

    def done(self, text: str, value: Mapping[str, Any]) -> None:
        """What a change has led to: the sentence for a person, or the object as a line of JSON."""
        self.line(dumps(value) if self.as_json else text)

    def line(self, text: str) -> None:
        """One line of standard output."""
        sys.stdout.write(f"{text}\n")

    def say(self, text: str) -> None:
        """A remark for a person, on standard error, never part of the output."""
        click.echo(text, err=True)

    def console(self) -> Any:
        """rich's console on standard output; colours on a terminal only."""
        from rich.console import Console

        return Console(
            file=sys.stdout, width=None if sys.stdout.isatty() else _PLAIN_WIDTH, highlight=False, soft_wrap=False
        )


def table(rows: Iterable[Mapping[str, Any]], columns: Sequence[Column], title: str | None = None) -> Any:
    """rich's table. Columns of numbers keep their width; names are broken over lines when the terminal is narrow."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    drawn = Table(
        box=box.SIMPLE_HEAD, show_edge=False, title=title, title_justify="left", pad_edge=False, header_style="bold"
    )
    for column in columns:
        drawn.add_column(
            column.title,
            justify="right" if column.right else "left",
            no_wrap=column.right,
            overflow="fold" if column.fold else "ellipsis",
            style=column.style,
        )
    for row in rows:
        drawn.add_row(*[Text(column.text(row), style=row.get("_style", "")) for column in columns])
    return drawn


def output_options(command: Callable[..., R]) -> Callable[..., R]:
    """Gives a command `--json` and `--table`, and an argument `output`."""

    @click.option(
        "--json/--table",
        "as_json",
        default=None,
        help="JSON lines, or a table.  [default: a table on a terminal, JSON lines elsewhere]",
    )
    @functools.wraps(command)
    def with_output(*args: Any, as_json: bool | None, **kwargs: Any) -> R:
        chosen = not sys.stdout.isatty() if as_json is None else as_json
        kwargs["output"] = Output(chosen)
        try:
            result = command(*args, **kwargs)
            sys.stdout.flush()
        except BrokenPipeError:
            # Who reads has seen enough. Nothing may be written at exit either.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise SystemExit(0) from None
        return result

    return with_output
