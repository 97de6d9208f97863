"""The options of `kwire serve`."""

from __future__ import annotations

import gc
import sys
from pathlib import Path

import click


def _pairs(_ctx: click.Context, _param: click.Parameter, values: tuple[str, ...]) -> dict[str, str]:
    settings: dict[str, str] = {}
    for text in values:
        key, separator, value = text.partition("=")
        if not separator or not key.strip():
            raise click.BadParameter(f"{text!r} must be KEY=VALUE, for example num.partitions=6")
        settings[key.strip()] = value
    return settings


@click.command(short_help="Start a broker and run it until SIGTERM or Ctrl-C.")
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
    "--as-version",
    metavar="RELEASE",
    help="Advertise and serve what that Kafka did, 0.11 to 4.3, for old clients (docs/testing/versions.md).",
)
@click.option(
    "--topic",
    "topics",
    multiple=True,
    metavar="NAME[:PARTITIONS[:REPLICATION]][:KEY=VALUE,...]",
    help="A topic to begin with, for example orders:6:cleanup.policy=compact; may be given many times.",
)
@click.option(
    "--contents",
    multiple=True,
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="A YAML or JSON file with topics, configs, records and offsets to begin with (docs/COMMAND.md).",
)
@click.option(
    "--http",
    is_flag=False,
    flag_value="",
    metavar="[HOST:]PORT",
    help="Serve the control plane over HTTP; 0 takes a free port.  [default of HOST: 127.0.0.1, of PORT: 9380]",
)
@click.option(
    "--http-token",
    envvar="KWIRE_HTTP_TOKEN",
    metavar="TOKEN",
    help="What HTTP requests must show (Authorization: Bearer TOKEN); must be given to listen beyond loopback.",
)
@click.option(
    "--ready-file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Written with host:port once requests are answered; with --http, its URL on a second line.",
)
@click.option(
    "--stop-with-stdin",
    is_flag=True,
    help="Stop when standard input ends: a broker that goes with the process that started it, however that ends.",
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
    as_version: str | None,
    topics: tuple[str, ...],
    contents: tuple[Path, ...],
    http: str | None,
    http_token: str | None,
    ready_file: Path | None,
    stop_with_stdin: bool,
    log_level: str,
) -> None:
    """Start a broker and run it until it is told to stop.

    Settings come from the --config file, then from environment variables (KAFKA_NUM_PARTITIONS=6 sets num.partitions,
    as in the official Kafka images), then from --set, --port, --host and --data-dir; the later one wins. Every broker
    setting of Kafka 4.3 is known; a mistyped key is warned of with the nearest one there is.

    What --topic, --contents and KAFKA_CREATE_TOPICS (name:partitions:replication, ...) declare is there before the
    broker says it is ready; topics that exist already are kept as they are.

    SIGTERM or Ctrl-C stops it cleanly: parked requests are answered, data is synced to disk, and the next start needs
    no recovery. A second one leaves at once.
    """
    if ephemeral and data_dir is not None:
        raise click.UsageError("--ephemeral and --data-dir exclude each other")
    if as_version is not None:
        settings["kwire.as.version"] = as_version
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
                topics=topics,
                contents=contents,
                http=http,
                http_token=http_token,
                ready_file=ready_file,
                stop_with_stdin=stop_with_stdin,
                log_level=log_level.upper(),
            )
        )
    )
