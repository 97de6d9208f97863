"""`kwire`: the names of its commands. Each is in a module of its own, loaded when it is called."""

from __future__ import annotations

from typing import Final

import click

from broker.cli.lazy import LazyCommand, LazyGroup, Section

_EPILOG: Final = """\b
Start a broker on 127.0.0.1:9092 with its data in ./kwire-data:
  kwire serve
A throw-away broker on any free port, for a test:
  kwire serve --port 0 --ephemeral --ready-file ready.txt
Use it, or any Kafka (-b HOST:PORT, or KWIRE_BOOTSTRAP):
  kwire topics create orders -p 6
  echo hello | kwire produce orders
  kwire consume orders -o beginning -e
What a data directory holds, and whether it is sound:
  kwire dump kwire-data/orders-0 --records
  kwire check kwire-data
"""

_SECTIONS: Final = (
    Section(
        "Broker",
        (
            LazyCommand(
                "serve", "broker.cli.serve_command:serve", "Start a broker and run it until SIGTERM or Ctrl-C."
            ),
            LazyCommand("dump", "broker.cli.inspect_commands:dump", "Print what the files of a data directory hold."),
            LazyCommand("check", "broker.cli.inspect_commands:check", "Say whether a data directory is sound."),
            LazyCommand("version", "broker.cli.version:version", "Print the version."),
        ),
    ),
    Section(
        "Any Kafka (-b HOST:PORT)",
        (
            LazyCommand(
                "topics", "broker.cli.topics:topics", "List, create, describe, change and delete topics.", ("topic",)
            ),
            LazyCommand("groups", "broker.cli.groups:groups", "Consumer groups: members, offsets, resets.", ("group",)),
            LazyCommand("lag", "broker.cli.lag:lag", "How far consumer groups are behind."),
            LazyCommand("produce", "broker.cli.produce:produce", "Write records from standard input or files."),
            LazyCommand("consume", "broker.cli.consume:consume", "Print records of topics.", ("cat",)),
            LazyCommand(
                "configs", "broker.cli.configs:configs", "Show and change configs of topics, brokers, ...", ("config",)
            ),
            LazyCommand("top", "broker.cli.top:top", "A live view of topics, groups and brokers."),
        ),
    ),
    Section(
        "kwire only (--http URL)",
        (
            LazyCommand(
                "cluster", "broker.cli.cluster:cluster", "Virtual clusters: create, fork, snapshot.", ("clusters",)
            ),
            LazyCommand("nodes", "broker.cli.nodes:nodes", "Simulated nodes: stop, start, isolate, freeze.", ("node",)),
            LazyCommand("faults", "broker.cli.faults:faults", "Errors, delays and losses on purpose.", ("fault",)),
            LazyCommand("clock", "broker.cli.clock:clock", "A cluster's time: freeze, advance, rate."),
            LazyCommand("transcript", "broker.cli.transcript:transcript", "Requests and answers, decoded."),
            LazyCommand("export", "broker.cli.cluster:export", "Write a virtual cluster's data for Apache Kafka."),
        ),
    ),
    Section(
        "Shell",
        (
            LazyCommand(
                "completion",
                "broker.cli.completion:completion",
                "Print completion for bash, zsh or fish, to be sourced.",
            ),
        ),
    ),
)


def _print_version(ctx: click.Context, _param: click.Parameter, wanted: bool) -> None:
    if wanted:
        from broker.cli.version import version_text

        click.echo(version_text())
        ctx.exit()


@click.group(
    cls=LazyGroup,
    sections=_SECTIONS,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog=_EPILOG,
)
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=_print_version, help="Print the version."
)
def cli() -> None:
    """A broker that speaks Apache Kafka's protocol and writes its files, and a command for any Kafka."""


def main() -> None:
    """Run the command line with the process's arguments."""
    cli(prog_name="kwire")
