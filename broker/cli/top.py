"""`kwire top`: a live view of topics by rate, groups by lag, and brokers, of any Kafka."""

from __future__ import annotations

import threading
from typing import Any, Final

import click

from broker.cli.client import Kafka, kafka_options
from broker.cli.output import Column, Output, counted, output_options, table
from broker.cli.sampling import Sample, sample, snapshot

# What the lines of titles and of the brokers take.
_MIN_ROWS: Final = 3
_TOPICS: Final = (
    Column("topic", "Topic", fold=False),
    Column("partitions", "Partitions", right=True),
    Column("records", "Records", right=True, show=lambda each: f"{each:,}"),
    Column("records_per_s", "In/s", right=True, show=lambda each: f"{each:,.1f}"),
    Column("under_replicated", "Under-repl.", right=True),
)
_GROUPS: Final = (
    Column("group", "Group", fold=False),
    Column("state", "State"),
    Column("members", "Members", right=True),
    Column("lag", "Lag", right=True, show=lambda each: f"{each:,}"),
    Column("records_per_s", "Out/s", right=True, show=lambda each: f"{each:,.1f}"),
)
_BROKERS: Final = (
    Column("broker", "Broker", right=True),
    Column("address", "Address", fold=False),
    Column("rack", "Rack"),
    Column("leads", "Leads", right=True),
    Column("controller", "Controller", show=lambda each: "yes" if each else ""),
    Column("fenced", "Fenced", show=lambda each: "yes" if each else ""),
)


@click.command(
    short_help="A live view of topics, groups and brokers.",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.option(
    "-n",
    "--interval",
    type=click.FloatRange(0.2, 3600),
    default=2.0,
    show_default=True,
    metavar="SECONDS",
    help="Between two looks.",
)
@click.option("--once", is_flag=True, help="Print one view, with rates over one interval, and exit.")
@click.option("--no-rates", is_flag=True, help="With --once: do not wait an interval for rates.")
@click.option("-c", "--count", type=click.IntRange(min=1), help="Stop after so many views.")
@click.option("-i", "--internal", is_flag=True, help="Internal topics too.")
@kafka_options
@output_options
def top(
    interval: float, once: bool, no_rates: bool, count: int | None, internal: bool, kafka: Kafka, output: Output
) -> None:
    """Topics by records per second, groups by lag, brokers; until Ctrl-C. With --json a line for each view."""
    from broker.clock import SystemClock

    clock = SystemClock()
    pause = threading.Event()
    most = 1 if once else count
    with kafka.admin() as admin:

        def look() -> Sample:
            return sample(admin, clock.monotonic_ms(), internal=internal)

        before = None
        if once and not no_rates:
            before = look()
            pause.wait(interval)
        try:
            if output.as_json or once:
                _print(look, before, most, interval, pause, output)
            else:
                _live(look, most, interval, pause, output)
        except KeyboardInterrupt:
            return


def _print(
    look: Any, before: Sample | None, most: int | None, interval: float, pause: threading.Event, output: Output
) -> None:
    shown = 0
    while True:
        now = look()
        view = snapshot(now, before)
        if output.as_json:
            output.rows([view], ())
        else:
            output.console().print(drawn(view, None))
        shown += 1
        if shown == most:
            return
        before = now
        pause.wait(interval)


def _live(look: Any, most: int | None, interval: float, pause: threading.Event, output: Output) -> None:
    from rich.live import Live

    console = output.console()
    before = None
    shown = 0
    with Live(console=console, screen=most is None, auto_refresh=False) as live:
        while True:
            now = look()
            live.update(drawn(snapshot(now, before), console.size.height), refresh=True)
            shown += 1
            if shown == most:
                return
            before = now
            pause.wait(interval)


def drawn(view: dict[str, Any], height: int | None) -> Any:
    """The three tables beneath each other, cut to what a terminal of `height` lines shows."""
    from rich.console import Group
    from rich.text import Text

    brokers, topics, groups = view["brokers"], view["topics"], view["groups"]
    heading = (
        f"cluster {view['cluster_id']}: {counted(len(brokers), 'broker')}, {counted(len(topics), 'topic')}, "
        f"{counted(len(groups), 'group')}"
    )
    parts: list[Any] = [Text(heading, style="bold")]
    left = None if height is None else max(height - 2 - 3 * 4, 3 * _MIN_ROWS)
    for rows, columns, share in ((topics, _TOPICS, 2), (groups, _GROUPS, 2), (brokers, _BROKERS, 1)):
        most = len(rows) if left is None else max(left * share // 5, _MIN_ROWS)
        if rows:
            parts += [Text(""), table(rows[:most], columns)]
        if len(rows) > most:
            parts.append(Text(f"  and {len(rows) - most} more", style="dim"))
    return Group(*parts)
