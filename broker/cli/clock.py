"""`kwire clock`: a cluster's time, shown, frozen, pushed on, run at another rate."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

import click

from broker.cli.control import ControlDoor, control_options
from broker.cli.output import Output, output_options, shown_ms

_UNIT_MS: Final = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000}
_PART: Final = re.compile(r"(\d+(?:\.\d+)?)(ms|[smhdw])")


def duration_ms(_ctx: click.Context, _param: click.Parameter, text: str | None) -> float | None:
    """`90s`, `1h30m`, `7d`. A number alone is refused: of what?"""
    if text is None:
        return None
    plain = text.replace(" ", "").lower()
    parts = _PART.findall(plain)
    if not parts or "".join(number + unit for number, unit in parts) != plain:
        raise click.BadParameter(f"{text!r} is no duration: 250ms, 30s, 5m, 1h30m, 7d and 2w are")
    return sum(float(number) * _UNIT_MS[unit] for number, unit in parts)


def moment_ms(_ctx: click.Context, _param: click.Parameter, text: str | None) -> int | None:
    """Milliseconds since 1970, or ISO 8601 (without a zone: UTC)."""
    if text is None:
        return None
    if text.isascii() and text.isdecimal():
        return int(text)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise click.BadParameter(f"{text!r} is no time: 2026-01-31T12:00:00Z is, and milliseconds since 1970") from None
    return round((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)


@click.group()
def clock() -> None:
    """A cluster's time. Timeouts, retention and expiry obey it; it never goes back.

    \b
    kwire clock freeze
    kwire clock advance 1h30m
    kwire clock rate 60
    kwire clock resume
    """


@clock.command()
@control_options
@output_options
def show(door: ControlDoor, output: Output) -> None:
    """What time it is there."""
    _print(door.get("clock"), output)


@clock.command()
@control_options
@output_options
def freeze(door: ControlDoor, output: Output) -> None:
    """Let it stand still."""
    _print(door.post("clock", "freeze"), output)


@clock.command()
@control_options
@output_options
def resume(door: ControlDoor, output: Output) -> None:
    """Let it go on from where it stands."""
    _print(door.post("clock", "resume"), output)


@clock.command()
@click.argument("by", callback=duration_ms, required=False)
@click.option(
    "--to", "to_ms", callback=moment_ms, metavar="TIME", help="To a time: ISO 8601, or milliseconds since 1970."
)
@control_options
@output_options
def advance(by: float | None, to_ms: int | None, door: ControlDoor, output: Output) -> None:
    """Move it on BY 250ms, 30s, 5m, 1h30m, 7d, 2w; or --to a time. All that comes due on the way is done then."""
    if (by is None) == (to_ms is None):
        raise click.UsageError("by how much (kwire clock advance 30s), or to what time (--to)? One of the two.")
    _print(door.post("clock", "advance", body={"to_ms": to_ms} if by is None else {"ms": by}), output)


@clock.command()
@click.argument("times", type=float)
@control_options
@output_options
def rate(times: float, door: ControlDoor, output: Output) -> None:
    """Let it run at so many TIMES the machine's pace: 60 lets a minute pass in a second."""
    _print(door.post("clock", "rate", body={"rate": times}), output)


def _print(state: Mapping[str, Any], output: Output) -> None:
    if output.as_json:
        output.record(state)
        return
    due_ms = state["next_due_in_ms"]
    shown = {
        "now": datetime.fromtimestamp(state["now_ms"] / 1000, UTC).isoformat(timespec="milliseconds"),
        "state": state["state"],
        "rate": f"{state['rate']:g}",
        "ahead": shown_ms(state["ahead_ms"]) if state["driven"] else "the machine's clock",
        "next_due": "nothing" if due_ms is None else f"in {shown_ms(due_ms)}",
    }
    output.record(shown)
