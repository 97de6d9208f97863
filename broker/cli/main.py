"""`kwire`: the commands and their options. What a command does is in a module of its own, loaded when it runs."""

from __future__ import annotations

import gc
import os
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
What a data directory holds, and whether it is sound:
  kwire dump kwire-data/orders-0 --records
  kwire check kwire-data
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


@cli.command(
    short_help="Print what the files of a data directory hold.",
    epilog="""\b
Examples:
  kwire dump kwire-data/orders-0                       segments, indexes, snapshots of one partition
  kwire dump orders-0 --records --offset 100..120      the same by name, with the records, from ./kwire-data
  kwire dump orders --json --records | jq .value       every partition of a topic as JSON lines
  kwire dump __consumer_offsets --records --type OffsetCommit
  kwire dump __cluster_metadata-0 --records --type TopicRecord --type PartitionRecord
  kwire dump kwire-data --type offset-checkpoint --topic orders
  kwire dump 00000000000000000000.log.deleted --max 10
""",
)
@click.argument("paths", nargs=-1, required=True, metavar="PATH...")
@click.option(
    "--data-dir",
    "data_dirs",
    multiple=True,
    type=click.Path(file_okay=False),
    help="Where a PATH that is no file is looked for as a topic or TOPIC-PARTITION.  [default: ./kwire-data]",
)
@click.option("--records", is_flag=True, help="The records of each batch too.")
@click.option("--raw", is_flag=True, help="With --records: the stored bytes of decoded records too.")
@click.option("--offset", "offsets", metavar="A..B", help="Only these offsets: 5, 5..9, 5.. or ..9.")
@click.option("--max", "most", type=click.IntRange(0), metavar="N", help="Stop after N entries.")
@click.option("--topic", help="Only this topic's files and checkpoint lines.")
@click.option("--partition", type=click.IntRange(0), help="Only this partition's.")
@click.option(
    "--type",
    "types",
    multiple=True,
    metavar="NAME",
    help="Only entries of this type (batch, record, damage, producer, ...), files of this kind (log, index, snapshot, "
    "...), or records of this kind (OffsetCommit, TopicRecord, ...). May be given many times.",
)
@click.option("--json", "as_json", is_flag=True, help="JSON lines: one object for each batch, record or entry.")
def dump(
    paths: tuple[str, ...],
    data_dirs: tuple[str, ...],
    records: bool,
    raw: bool,
    offsets: str | None,
    most: int | None,
    topic: str | None,
    partition: int | None,
    types: tuple[str, ...],
    as_json: bool,
) -> None:
    """Print what the files of a data directory hold: kwire's or Apache Kafka's.

    PATH is a file, a partition's directory, a whole data directory, or the name of a topic or TOPIC-PARTITION below
    --data-dir. Files left by deletion or compaction (.deleted, .cleaned, .swap) are read like any other.

    Nothing is changed and no lock is taken, so a running broker may use the directory. What is damaged is named with
    its byte and the reason, and the rest is printed. The exit code is 1 when there was damage.
    """
    from broker.cli.dump import Selection, find, holds_files, parse_range, run
    from broker.inspect.entries import EVERYTHING, DumpOptions

    found = []
    directories = data_dirs or ("kwire-data",)
    for path in paths:
        matches = find(path, directories)
        if not matches:
            below = " or ".join(directories)
            raise click.UsageError(f"{path} is no file or directory, and no topic or partition below {below}")
        if not any(map(holds_files, matches)):
            what = "holds nothing that a broker writes" if os.path.isdir(path) else "is none of a broker's files"
            raise click.UsageError(f"{path} {what}")
        found += matches
    try:
        wanted = EVERYTHING if offsets is None else parse_range(offsets)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--offset") from None
    names = frozenset(name.lower() for name in types)
    options = DumpOptions(records, raw, wanted)
    sys.exit(
        run(
            found,
            Selection(options, most, topic, partition, names),
            as_json=as_json,
            colours=sys.stdout.isatty() and not as_json,
        )
    )


@cli.command(
    short_help="Say whether a data directory is sound.",
    epilog="""\b
Examples:
  kwire check                                  ./kwire-data
  kwire check /data/1 /data/2                  all log.dirs of one broker, together
  kwire check kwire-data/orders-0              one partition
  kwire check --live kwire-data                while the broker runs
  kwire check --json kwire-data | jq 'select(.severity == "error")'

\b
Exit code: 0 when nothing of severity ERROR was found, 1 when there was, 2 for wrong usage.
""",
)
@click.argument("directories", nargs=-1, type=click.Path(exists=True, file_okay=False), metavar="[DIR]...")
@click.option("--live", is_flag=True, help="A broker may be running on it: what is being written is not judged.")
@click.option("--json", "as_json", is_flag=True, help="JSON lines: one object for each finding, and a summary.")
@click.option("--quiet", "-q", is_flag=True, help="No progress.")
def check(directories: tuple[str, ...], live: bool, as_json: bool, quiet: bool) -> None:
    """Say whether a data directory, kwire's or Apache Kafka's, is sound, without changing it.

    Looked at are: each batch's CRC and records, offsets in and across segments, indexes, leader epochs, producers'
    states (compared with what the batches lead to), aborted transactions, checkpoints, the identity of directories,
    the metadata log and its snapshots (replayed as a controller does), the records of internal topics, and what does
    not belong there.

    Each finding says where it is, why it matters, and what the next start of a broker would do or lose. Give all
    directories of log.dirs together: some things are told only by comparing them.
    """
    from broker.cli.check import run

    paths = directories or ("kwire-data",)
    if not directories and not Path("kwire-data").is_dir():
        raise click.UsageError("there is no ./kwire-data; name the data directory")
    colours = sys.stdout.isatty() and not as_json
    sys.exit(run(paths, live=live, as_json=as_json, quiet=quiet, colours=colours))


@cli.command(short_help="Print the version.")
def version() -> None:
    """Print kwire's version, and that of the Kafka it is compatible with."""
    from broker.cli.version import version_text

    click.echo(version_text())


def main() -> None:
    """Run the command line with the process's arguments."""
    cli(prog_name="kwire")
