"""The options of `kwire dump` and `kwire check`."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click


@click.command(
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


@click.command(
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
