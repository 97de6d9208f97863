"""`kwire transcript`: requests and answers of a cluster, decoded; kept ones, or as they come."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import click

from broker.cli.control import ControlDoor, control_options
from broker.cli.output import Column, Output, dumps, output_options, shown_ms


def _time(began_ms: int) -> str:
    return datetime.fromtimestamp(began_ms / 1000, UTC).strftime("%H:%M:%S.%f")[:-3]


_COLUMNS = (
    Column("sequence", "#", right=True),
    Column("began_ms", "Time (UTC)", show=_time),
    Column("client_id", "Client id"),
    Column("node", "Node", right=True),
    Column("request", "Request"),
    Column("about", "About"),
    Column("answer", "Answer"),
    Column("latency_ms", "Took", right=True, show=shown_ms),
)


def _row(exchange: Mapping[str, Any]) -> dict[str, Any]:
    errors = [name if count == 1 else f"{name} x {count}" for name, count in exchange["errors"].items()]
    outcome = "ok" if exchange["outcome"] == "answered" else exchange["outcome"]
    answer = ", ".join(errors) or outcome
    return {
        **exchange,
        "request": f"{exchange['api']} v{exchange['version']}",
        "about": " ".join([*exchange["topics"], *(f"group={group}" for group in exchange["groups"])]),
        "answer": answer + "".join(f" [{note}]" for note in exchange["notes"]),
        "latency_ms": None if exchange["outcome"] == "open" else exchange["latency_ms"],
    }


@click.command()
@click.option("--follow", "-f", is_flag=True, help="Go on with what comes, until Ctrl-C.")
@click.option("--api", multiple=True, metavar="NAME", help="Kafka's name of an API; may be repeated.")
@click.option("--client-id", metavar="ID")
@click.option("--group", metavar="GROUP")
@click.option("--topic", metavar="TOPIC")
@click.option("--node", type=click.IntRange(0))
@click.option("--error", multiple=True, metavar="CODE", help="NOT_COORDINATOR, any or none; may be repeated.")
@click.option("--faults", is_flag=True, help="Only what a fault was done to.")
@click.option("--since", type=click.IntRange(0), metavar="NUMBER", help="From this number on.")
@click.option("--limit", "-n", type=click.IntRange(1), default=50, show_default=True, help="The last so many.")
@click.option("--bodies", is_flag=True, help="With the fields of requests and answers (always with --json).")
@click.option("--on/--off", "turned", default=None, help="Turn the transcript on or off, and show nothing.")
@click.option("--samples", type=click.IntRange(0, 100), help="With --on: keep so many records of each partition.")
@click.option("--entries", type=click.IntRange(1), help="With --on: keep so many exchanges.")
@click.option("--clear", is_flag=True, help="Forget what is kept, and show nothing.")
@control_options
@output_options
def transcript(
    follow: bool,
    since: int | None,
    limit: int,
    bodies: bool,
    turned: bool | None,
    samples: int | None,
    entries: int | None,
    clear: bool,
    door: ControlDoor,
    output: Output,
    **wanted: Any,
) -> None:
    """Requests and answers of a cluster, decoded.

    \b
    kwire transcript --cluster t-1 --api Produce --api Fetch --topic orders
    kwire transcript --follow --error any
    kwire transcript --json --bodies | jq .response
    kwire transcript --on --samples 3         the broker's own cluster has it off until asked
    """
    if (samples is not None or entries is not None) and not turned:
        raise click.UsageError("--samples and --entries go with --on")
    if turned is not None:
        settings = {"enabled": turned, "samples": samples, "entries": entries}
        door.put("transcript", body={key: value for key, value in settings.items() if value is not None})
        output.say(f"the transcript of {door.cluster} is {'on' if turned else 'off'}")
    if clear:
        door.delete("transcript")
        output.say(f"the transcript of {door.cluster} is empty")
    if turned is not None or clear:
        return
    query: dict[str, Any] = {name: value for name, value in wanted.items() if value not in (None, (), False)}
    query |= {"api": list(wanted["api"]), "error": list(wanted["error"]), "bodies": bodies or output.as_json}
    if since is not None:
        query["since"] = since
    if follow:
        with contextlib.suppress(KeyboardInterrupt):
            _follow(door, output, query, bodies=bodies)
        return
    answer = door.get("transcript", query={**query, "limit": limit})
    if not answer["enabled"] and not answer["exchanges"]:
        output.say(f"the transcript of {door.cluster} is off; kwire transcript --on turns it on")
        return
    exchanges = answer["exchanges"] + answer["open"]
    if bodies and not output.as_json:
        for each in exchanges:
            _print(output, each, bodies=True)
        return
    output.rows((_row(each) if not output.as_json else each for each in exchanges), _COLUMNS, empty="nothing was seen")


def _follow(door: ControlDoor, output: Output, query: Mapping[str, Any], *, bodies: bool) -> None:
    """Until the cluster is gone."""
    for event in door.events("transcript", "events", query=query):
        if event.event == "dropped":
            output.say(f"({event.data['dropped']} are lost)")
            continue
        _print(output, event.data, bodies=bodies)
        sys.stdout.flush()


def _print(output: Output, exchange: Mapping[str, Any], *, bodies: bool) -> None:
    """One exchange, at once."""
    if output.as_json:
        output.rows([exchange], _COLUMNS)
        return
    row = _row(exchange)
    took = "" if row["latency_ms"] is None else f" in {shown_ms(row['latency_ms'])}"
    about = f" {row['about']}" if row["about"] else ""
    output.line(
        f"{row['sequence']} {_time(row['began_ms'])} {row['client_id'] or '-'} -> {row['node']} "
        f"{row['request']}{about} = {row['answer']}{took}"
    )
    if bodies:
        output.line(f"    request  {dumps(exchange['request'])}")
        output.line(f"    response {dumps(exchange['response'])}")
