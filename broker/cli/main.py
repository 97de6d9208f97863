"""`kwire`: the commands and their options. What a command does is in a module of its own, loaded when it runs."""

from __future__ import annotations

import gc
import sys
from pathlib import Path

import click

_EPILOG = """\b
Start a broker on 127.0.0.1:9092 with its data in ./kwire-data:
  kwire serve
A throw-away broker on any free port, for a test:
  kwire serve --port 0 --ephemeral --ready-file ready.txt
With settings of Kafka's:
  kwire serve --config server.properties --set num.partitions=6
"""


def _print_version(ctx: click.Context, _param: click.Parameter, wanted: bool) -> None:
    if wanted:
        from broker.cli.version import version_text

        click.echo(version_text())
        ctx.exit()


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}, epilog=_EPILOG)
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=_print_version, help="Print the version."
)
def cli() -> None:
    """A broker that speaks Apache Kafka's protocol and writes its files."""


def _pairs(_ctx: click.Context, _param: click.Parameter, values: tuple[str, ...]) -> dict[str, str]:
    settings: dict[str, str] = {}
    for text in values:
        key, separator, value = text.partition("=")
        if not separator or not key.strip():
            raise click.BadParameter(f"{text!r} must be KEY=VALUE, for example num.partitions=6")
        settings[key.strip()] = value
    return settings


@cli.command(short_help="Start a broker and run it until SIGTERM or Ctrl-C.")
@click.option("--port", type=click.IntRange(0, 65535), help="Port to listen on; 0 takes a free one.  [default: 9092]")
@click.option("--host", help="Address to listen on; 0.0.0.0 for all.  [default: 127.0.0.1]")
@click.option(
    "--data-dir",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where topics are kept; made if missing.  [default: ./kwire-data]",
)
@click.option("--ephemeral", is_flag=True, help="Keep data in a private directory that is removed at exit.")
@click.option(
    "--config",
    "properties",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A server.properties file with Kafka's settings.",
)
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="KEY=VALUE",
    callback=_pairs,
    help="One of Kafka's broker settings; may be given many times.",
)
@click.option(
    "--ready-file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Written with host:port once requests are answered.",
)
@click.option(
    "--log-level",
    type=click.Choice(["DEBUG", "INFO", "WARN", "ERROR"], case_sensitive=False),
    default="INFO",
    show_default=True,
    help="How much to log, on standard output.",
)
def serve(
    port: int | None,
    host: str | None,
    data_dir: Path | None,
    ephemeral: bool,
    properties: Path | None,
    settings: dict[str, str],
    ready_file: Path | None,
    log_level: str,
) -> None:
    """Start a broker and run it until it is told to stop.

    Settings come from the --config file, then from environment variables (KAFKA_NUM_PARTITIONS=6 sets num.partitions,
    as in the official Kafka images), then from --set, --port, --host and --data-dir; the later one wins. Every broker
    setting of Kafka 4.3 is known; a mistyped key is warned of with the nearest one there is.

    SIGTERM or Ctrl-C stops it cleanly: parked requests are answered, data is synced to disk, and the next start needs
    no recovery. A second one leaves at once.
    """
    if ephemeral and data_dir is not None:
        raise click.UsageError("--ephemeral and --data-dir exclude each other")
    # Nothing that loading makes is garbage; collecting goes on when the broker is ready.
    gc.disable()
    from broker.cli.serve import ServeOptions, run

    sys.exit(
        run(
            ServeOptions(
                port=port,
                host=host,
                data_dir=data_dir,
                ephemeral=ephemeral,
                properties=properties,
                settings=settings,
                ready_file=ready_file,
                log_level=log_level.upper(),
            )
        )
    )


@cli.command(short_help="Print the version.")
def version() -> None:
    """Print kwire's version, and that of the Kafka it is compatible with."""
    from broker.cli.version import version_text

    click.echo(version_text())


def main() -> None:
    """Run the command line with the process's arguments."""
    cli(prog_name="kwire")
