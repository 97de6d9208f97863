"""`kwire faults`: errors, delays and losses on purpose."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import click

from broker.cli.clock import duration_ms, moment_ms
from broker.cli.control import ControlDoor, control_options
from broker.cli.output import Column, CommandError, Output, output_options

R = TypeVar("R")

_COLUMNS = (
    Column("id", "Id", right=True),
    Column("name", "Name"),
    Column("what", "Rule"),
    Column("state", "State"),
    Column("matched", "Matched", right=True),
    Column("fired", "Fired", right=True),
)
_SEEN = (
    Column("outcome", "Outcome"),
    Column("api", "Api"),
    Column("version", "Version", right=True),
    Column("client_id", "Client id"),
    Column("about", "About"),
)


@click.group()
def faults() -> None:
    """Fault rules of a cluster.

    \b
    kwire faults add --api Produce --topic orders --error NOT_LEADER_OR_FOLLOWER --times 2
    kwire faults add --client-id billing --delay 200ms..2s --probability 0.1
    kwire faults add --topic orders --disk-full --for 30s
    kwire faults list
    kwire faults clear
    """


def _milliseconds(ctx: click.Context, param: click.Parameter, text: str | None) -> int | None:
    found = duration_ms(ctx, param, text)
    return None if found is None else round(found)


def _span(ctx: click.Context, param: click.Parameter, text: str | None) -> list[int] | None:
    """`200ms`, or `100ms..2s`: least and most."""
    if text is None:
        return None
    least, _, most = text.partition("..")
    found = [_milliseconds(ctx, param, each) for each in (least, most or least)]
    return [each for each in found if each is not None]


def _corruption(_ctx: click.Context, _param: click.Parameter, text: str | None) -> int | list[int] | None:
    """`3`: so many bytes; `@0,17`: these offsets."""
    if text is None:
        return None
    try:
        return [int(each) for each in text[1:].split(",")] if text.startswith("@") else int(text)
    except ValueError:
        raise click.BadParameter(f"{text!r}: a number of bytes (3), or offsets (@0,17)") from None


def _stalling(ctx: click.Context, param: click.Parameter, text: str | None) -> bool | int | None:
    if text is None:
        return None
    return True if text == "removed" else _milliseconds(ctx, param, text)


def _filters(command: Callable[..., R]) -> Callable[..., R]:
    for option in reversed(
        (
            click.option("--api", multiple=True, help="Kafka's name of an API, or a pattern; may be repeated."),
            click.option("--api-version", "version", metavar="RANGE", help="9, 3-7 or 9+"),
            click.option("--client-id", metavar="PATTERN", help="Exact, or with *, ? and [...]."),
            click.option("--client-software", metavar="PATTERN", help="Name, or name and version."),
            click.option("--group", metavar="PATTERN"),
            click.option("--transactional-id", metavar="PATTERN"),
            click.option("--topic", metavar="PATTERN"),
            click.option("--partition", type=click.IntRange(0), multiple=True),
            click.option("--node", type=click.IntRange(0), multiple=True),
            click.option("--listener", metavar="PATTERN"),
        )
    ):
        command = option(command)
    return command


def _occasions(command: Callable[..., R]) -> Callable[..., R]:
    for option in reversed(
        (
            click.option("--skip", type=click.IntRange(0), help="Let so many matches pass first."),
            click.option("--every", type=click.IntRange(1), help="Of the rest, each n-th."),
            click.option("--times", type=click.IntRange(1), help="Act so often at most."),
            click.option("--probability", type=click.FloatRange(0, 1)),
            click.option("--seed", type=int, help="Of the chance: the same seed, the same course."),
            click.option(
                "--for", "for_ms", callback=_milliseconds, metavar="DURATION", help="Of the cluster's time: 30s, 5m."
            ),
            click.option(
                "--until", "until_ms", callback=moment_ms, metavar="TIME", help="ISO 8601, or milliseconds since 1970."
            ),
            click.option("--after", is_flag=True, help="Act after the state has changed, not before."),
        )
    ):
        command = option(command)
    return command


def _actions(command: Callable[..., R]) -> Callable[..., R]:
    for option in reversed(
        (
            click.option("--error", metavar="NAME", help="Answer with this error of Kafka's."),
            click.option("--message", help="With --error, where the answer has a place for it."),
            click.option("--delay", "delay_ms", callback=_span, metavar="DURATION", help="200ms, or 100ms..2s."),
            click.option(
                "--throttle", "throttle_ms", callback=_milliseconds, metavar="DURATION", help="Tell to wait, and mute."
            ),
            click.option("--drop-connection", is_flag=True),
            click.option("--drop-request", is_flag=True, help="Neither handled nor answered."),
            click.option("--drop-reply", is_flag=True, help="Handled, not answered."),
            click.option("--corrupt", callback=_corruption, metavar="COUNT|@OFFSETS", help="Flip bytes of the answer."),
            click.option("--truncate", type=int, help="Send so many bytes of the answer (below 0: fewer), then close."),
            click.option(
                "--stall", callback=_stalling, metavar="removed|DURATION", help="Hold back till the rule is removed."
            ),
            click.option("--disk-error", multiple=True, type=click.Choice(["append", "read", "sync"])),
            click.option("--disk-full", is_flag=True),
            click.option("--connect", type=click.Choice(["refuse", "reset"]), help="Turn new connections away."),
        )
    ):
        command = option(command)
    return command


@faults.command()
@click.option("--name", help="To find it again by.")
@click.option("--json-rule", "given", metavar="JSON", help="The rule as JSON (- reads it); instead of options.")
@_filters
@_occasions
@_actions
@control_options
@output_options
def add(door: ControlDoor, output: Output, given: str | None, after: bool, **options: Any) -> None:
    """Add a rule: what it matches, when it acts, and one action."""
    rule = _rule_of(options, after=after)
    if given is not None:
        if rule:
            raise click.UsageError("give the rule as JSON, or with options, not both")
        try:
            rule = json.loads(sys.stdin.read() if given == "-" else given)
        except ValueError as error:
            raise CommandError(f"the rule is not JSON: {error}") from None
    added = door.post("faults", body=rule)
    output.done(f"rule {added['id']}: {_what(added['rule'])}", added)


def _rule_of(options: Mapping[str, Any], *, after: bool) -> dict[str, Any]:
    """What was given, as a rule's fields."""
    rule: dict[str, Any] = {"when": "after"} if after else {}
    for name, value in options.items():
        if value is None or value is False or value == ():
            continue
        rule[name] = list(value) if isinstance(value, tuple) else value
    return rule


@faults.command("list")
@control_options
@output_options
def list_(door: ControlDoor, output: Output) -> None:
    """All rules, with what they have counted."""
    rules = door.get("faults")["rules"]
    rows = rules if output.as_json else [rule | {"what": _what(rule["rule"])} for rule in rules]
    output.rows(rows, _COLUMNS, empty="no fault rules")


@faults.command()
@click.argument("rule")
@control_options
@output_options
def show(door: ControlDoor, output: Output, rule: str) -> None:
    """One RULE, by id or name, and the last requests it was asked about."""
    found = door.get("faults", rule)
    if output.as_json:
        output.record(found)
        return
    output.record({key: value for key, value in found.items() if key not in ("recent", "added_ms")})
    output.rows(found["recent"], _SEEN, empty="no request of its APIs came yet")


@faults.command()
@click.argument("rule")
@control_options
@output_options
def remove(door: ControlDoor, output: Output, rule: str) -> None:
    """Remove a RULE, by id or name. What it held back goes on."""
    removed = door.delete("faults", rule)
    output.done(f"removed rule {removed['id']}; it had fired {removed['fired']} times", removed)


@faults.command()
@control_options
@output_options
def clear(door: ControlDoor, output: Output) -> None:
    """Remove all rules."""
    removed = door.delete("faults")
    count = len(removed["rules"])
    output.done(f"removed {count} {'rule' if count == 1 else 'rules'}", removed)


def _what(rule: Mapping[str, Any]) -> str:
    parts = []
    for key, value in rule.items():
        if key != "name":
            text = ",".join(map(str, value)) if isinstance(value, list) else value
            parts.append(key if value is True else f"{key}={text}")
    return " ".join(parts)
