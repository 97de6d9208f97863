"""`kwire topics`: list, create, describe, change and delete topics of any Kafka."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import click

from broker.cli.client import Kafka, kafka_options, reason
from broker.cli.completion import complete_topics
from broker.cli.lazy import KafkaStyleGroup
from broker.cli.metadata import config_hint, config_pairs, selected_topics, topic_names
from broker.cli.output import Column, CommandError, Output, counted, output_options

_SETTINGS: Final = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


@click.group(
    cls=KafkaStyleGroup,
    short_help="List, create, describe, change and delete topics.",
    epilog="""\b
Examples:
  kwire topics list
  kwire topics create orders -p 6 -c cleanup.policy=compact
  kwire topics describe orders
  kwire topics alter orders -c retention.ms=86400000
  kwire topics add-partitions orders --num 2
  kwire topics offsets orders --time 2026-01-31T12:00:00
  kwire topics delete orders payments
""",
    context_settings=_SETTINGS,
)
def topics() -> None:
    """Topics of any Kafka. Names are given as arguments or with --topic, several with commas."""


def names_argument(command: Callable[..., Any]) -> Callable[..., Any]:
    """NAME... and --topic/-t, together."""
    command = click.option(
        "-t", "--topic", "options", multiple=True, metavar="NAME", help="A topic.", shell_complete=complete_topics
    )(command)
    return click.argument("positional", nargs=-1, metavar="[NAME]...", shell_complete=complete_topics)(command)


def _needed(positional: tuple[str, ...], options: tuple[str, ...]) -> list[str]:
    names = topic_names(positional, options)
    if not names:
        raise click.UsageError("name a topic")
    return names


_regex = click.option("-r", "--regex", is_flag=True, help="NAMEs are regular expressions that match whole names.")


@topics.command("list")
@names_argument
@_regex
@click.option("-i", "--internal", is_flag=True, help="Internal topics too.")
@kafka_options
@output_options
def list_topics(
    positional: tuple[str, ...], options: tuple[str, ...], regex: bool, internal: bool, kafka: Kafka, output: Output
) -> None:
    """Names, partitions and replicas of all topics, or of those named."""
    with kafka.admin() as admin:
        found = selected_topics(admin, topic_names(positional, options), regex=regex, internal=internal)
    rows = [
        {
            "topic": topic["name"],
            "partitions": len(topic["partitions"]),
            "replication_factor": max((len(each["replica_nodes"]) for each in topic["partitions"]), default=0),
            "internal": topic["is_internal"],
        }
        for topic in found
    ]
    columns = [
        Column("topic", "Topic"),
        Column("partitions", "Partitions", right=True),
        Column("replication_factor", "Replicas", right=True),
    ]
    output.rows(rows, columns, empty="There is no topic yet. Create one: kwire topics create NAME")


@topics.command()
@names_argument
@click.option("-p", "--partitions", type=click.IntRange(min=1), help="How many.  [default: the broker's]")
@click.option(
    "-r", "--replication-factor", "--replicas", type=click.IntRange(min=1), help="How many.  [default: the broker's]"
)
@click.option(
    "-c",
    "--config",
    "--topic-config",
    "configs",
    multiple=True,
    callback=config_pairs,
    metavar="KEY=VALUE",
    help="A topic config; may be given many times.",
)
@click.option(
    "--replica-assignment",
    metavar="B:B,B:B,...",
    help="Brokers of each partition, its leader first, for example 1:2,2:3.",
)
@click.option("--if-not-exists", is_flag=True, help="A topic that exists already is no failure.")
@click.option("--validate-only", "--dry-run", is_flag=True, help="Say what would be made, make nothing.")
@kafka_options
@output_options
def create(
    positional: tuple[str, ...],
    options: tuple[str, ...],
    partitions: int | None,
    replication_factor: int | None,
    configs: Mapping[str, str],
    replica_assignment: str | None,
    if_not_exists: bool,
    validate_only: bool,
    kafka: Kafka,
    output: Output,
) -> None:
    """Create topics."""
    names = _needed(positional, options)
    wanted: dict[str, Any] = {"configs": dict(configs)}
    if replica_assignment is not None:
        if partitions is not None or replication_factor is not None:
            raise click.UsageError("--replica-assignment says both: leave out --partitions and --replication-factor")
        wanted["assignments"] = _assignments(replica_assignment)
    else:
        wanted |= {"num_partitions": partitions or -1, "replication_factor": replication_factor or -1}
    with kafka.admin() as admin:
        answers = admin.create_topics(dict.fromkeys(names, wanted), validate_only=validate_only, raise_errors=False)
    failures = []
    hint = None
    for topic in answers["topics"]:
        name, code = topic["name"], topic["error_code"]
        if code == _ALREADY_EXISTS and if_not_exists:
            output.done(f"Topic {name} exists already.", {"topic": name, "created": False})
        elif code:
            failures.append(f"{name}: {reason(code, topic['error_message'])}")
            hint = hint or config_hint(topic["error_message"])
            if code == _ALREADY_EXISTS:
                hint = hint or "--if-not-exists accepts that."
        else:
            made: dict[str, Any] = {
                "topic": name,
                "created": not validate_only,
                "partitions": topic.get("num_partitions"),
                "replication_factor": topic.get("replication_factor"),
                "topic_id": None if topic.get("topic_id") is None else str(topic["topic_id"]),
            }
            verb = "Would create" if validate_only else "Created"
            output.done(f"{verb} topic {name}: {counted(made['partitions'], 'partition')}.", made)
    _fail(failures, hint)


_ALREADY_EXISTS: Final = 36
_UNKNOWN: Final = 3


def _assignments(text: str) -> dict[int, list[int]]:
    try:
        return {
            index: [int(broker) for broker in part.split(":")] for index, part in enumerate(text.strip().split(","))
        }
    except ValueError:
        raise click.BadParameter(
            f"{text!r} must be broker ids such as 1:2,2:3", param_hint="--replica-assignment"
        ) from None


def _fail(failures: list[str], hint: str | None = None) -> None:
    if failures:
        raise CommandError("; ".join(failures), hint=hint)


@topics.command()
@names_argument
@_regex
@click.option("--if-exists", is_flag=True, help="A topic that does not exist is no failure.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask, where --regex would.")
@kafka_options
@output_options
def delete(
    positional: tuple[str, ...],
    options: tuple[str, ...],
    regex: bool,
    if_exists: bool,
    yes: bool,
    kafka: Kafka,
    output: Output,
) -> None:
    """Delete topics with all their records."""
    names = _needed(positional, options)
    with kafka.admin() as admin:
        if regex:
            names = [topic["name"] for topic in selected_topics(admin, names, regex=True)]
            if not yes:
                click.confirm(f"Delete {len(names)} topics: {', '.join(names)}?", abort=True, err=True)
        answers = admin.delete_topics(names, raise_errors=False)
        failures = []
        for topic in answers["topics"]:
            if not topic["error_code"]:
                output.done(f"Deleted topic {topic['name']}.", {"topic": topic["name"], "deleted": True})
            elif topic["error_code"] == _UNKNOWN and if_exists:
                output.done(f"There is no topic {topic['name']}.", {"topic": topic["name"], "deleted": False})
            elif topic["error_code"] == _UNKNOWN:
                selected_topics(admin, [topic["name"]])  # says so, with near names
            else:
                failures.append(f"{topic['name']}: {reason(topic['error_code'], topic.get('error_message'))}")
    _fail(failures)


@topics.command()
@names_argument
@click.option(
    "-c",
    "--config",
    "--add-config",
    "configs",
    multiple=True,
    callback=config_pairs,
    metavar="KEY=VALUE",
    help="Set a config; may be given many times.",
)
@click.option(
    "-d", "--delete-config", "deleted", multiple=True, metavar="KEY", help="Back to the default; many times, or commas."
)
@click.option("-p", "--partitions", type=click.IntRange(min=1), help="Have this many partitions in all.")
@kafka_options
@output_options
def alter(
    positional: tuple[str, ...],
    options: tuple[str, ...],
    configs: Mapping[str, str],
    deleted: tuple[str, ...],
    partitions: int | None,
    kafka: Kafka,
    output: Output,
) -> None:
    """Change configs of topics, or raise their number of partitions."""
    names = _needed(positional, options)
    removed = topic_names((), deleted)
    if not configs and not removed and partitions is None:
        raise click.UsageError("say what to change: --config KEY=VALUE, --delete-config KEY or --partitions N")
    from broker.cli.config_requests import TOPIC
    from broker.cli.config_requests import alter as alter_configs

    with kafka.admin() as admin:
        selected_topics(admin, names)
        if configs or removed:
            alter_configs(admin, [(TOPIC, name) for name in names], configs, removed)
            for name in names:
                output.done(f"Changed topic {name}.", {"topic": name, "set": dict(configs), "deleted": sorted(removed)})
        if partitions is not None:
            _grow(admin, dict.fromkeys(names, partitions), output)


@topics.command("add-partitions")
@names_argument
@click.option("-n", "--num", type=click.IntRange(min=1), help="How many to add.")
@click.option(
    "-p", "--partitions", type=click.IntRange(min=1), help="How many there should be in all, instead of --num."
)
@kafka_options
@output_options
def add_partitions(
    positional: tuple[str, ...],
    options: tuple[str, ...],
    num: int | None,
    partitions: int | None,
    kafka: Kafka,
    output: Output,
) -> None:
    """Add partitions to topics. Keys then go elsewhere than before."""
    names = _needed(positional, options)
    if (num is None) == (partitions is None):
        raise click.UsageError("give --num (how many more) or --partitions (how many in all)")
    with kafka.admin() as admin:
        found = selected_topics(admin, names)
        wanted = {topic["name"]: len(topic["partitions"]) + num if num else partitions or 0 for topic in found}
        _grow(admin, wanted, output)


def _grow(admin: Any, wanted: Mapping[str, int], output: Output) -> None:
    answer = admin.create_partitions(dict(wanted), raise_errors=False)
    failures = []
    for result in answer.results:
        if result.error_code:
            failures.append(f"{result.name}: {reason(result.error_code, result.error_message)}")
        else:
            count = wanted[result.name]
            output.done(
                f"Topic {result.name} has {counted(count, 'partition')} now.",
                {"topic": result.name, "partitions": count},
            )
    _fail(failures)


@topics.command()
@names_argument
@_regex
@click.option("-i", "--internal", is_flag=True, help="Internal topics too, where no name is given.")
@click.option("--under-replicated-partitions", is_flag=True, help="Only partitions with a replica out of sync.")
@click.option("--unavailable-partitions", is_flag=True, help="Only partitions without a leader.")
@click.option(
    "--under-min-isr-partitions", is_flag=True, help="Only partitions with fewer in sync than they must have."
)
@click.option("--topics-with-overrides", is_flag=True, help="Only topics with configs of their own.")
@click.option("--no-offsets", is_flag=True, help="Do not ask for offsets.")
@kafka_options
@output_options
def describe(
    positional: tuple[str, ...],
    options: tuple[str, ...],
    regex: bool,
    internal: bool,
    under_replicated_partitions: bool,
    unavailable_partitions: bool,
    under_min_isr_partitions: bool,
    topics_with_overrides: bool,
    no_offsets: bool,
    kafka: Kafka,
    output: Output,
) -> None:
    """Partitions, leaders, replicas, offsets and configs of topics: of those named, or of all."""
    from broker.cli.topic_details import PartitionFilter, details, print_details

    wanted = PartitionFilter(under_replicated_partitions, unavailable_partitions, under_min_isr_partitions)
    names = topic_names(positional, options)
    with kafka.admin() as admin:
        found = selected_topics(admin, names, regex=regex, internal=internal)
        described = details(admin, found, wanted, offsets=not no_offsets)
    if topics_with_overrides:
        described = [each for each in described if each["configs"]]
    if any((under_replicated_partitions, unavailable_partitions, under_min_isr_partitions)):
        described = [each for each in described if each["partitions"]]
    print_details(described, output)


@topics.command()
@names_argument
@click.option(
    "-p", "--partitions", "--partition", "only", multiple=True, metavar="N", help="Only these; commas, many times."
)
@click.option(
    "--time",
    default=None,
    metavar="WHEN",
    help="earliest, latest, max-timestamp, milliseconds, or a time such as 2026-01-31T12:00:00; the first offset at "
    "or after it.  [default: earliest and latest]",
)
@click.option("-i", "--internal", is_flag=True, help="Internal topics too, where no name is given.")
@kafka_options
@output_options
def offsets(
    positional: tuple[str, ...],
    options: tuple[str, ...],
    only: tuple[str, ...],
    time: str | None,
    internal: bool,
    kafka: Kafka,
    output: Output,
) -> None:
    """First and last offsets of partitions, or the offsets at a time."""
    from broker.cli.topic_details import offset_rows
    from broker.cli.when import timestamp_of

    numbers = partition_numbers(only)
    timestamp = None if time is None else timestamp_of(time)
    with kafka.admin() as admin:
        found = selected_topics(admin, topic_names(positional, options), internal=internal)
        rows, columns = offset_rows(admin, found, numbers, timestamp)
    output.rows(rows, columns, empty="There is no partition.")


def partition_numbers(texts: tuple[str, ...]) -> set[int]:
    """`0,2` and `3-5`. Raises click.UsageError."""
    numbers: set[int] = set()
    for part in topic_names((), texts):
        low, dash, high = part.partition("-")
        if not low.isdigit() or (dash and not high.isdigit()) or len(part) > 20:
            raise click.UsageError(f"{part!r} is no partition: 3, 0,2 or 0-5")
        end = int(high) if dash else int(low)
        if end - int(low) > 100_000:
            raise click.UsageError(f"{part!r} are too many partitions")
        numbers.update(range(int(low), end + 1))
    return numbers


@topics.command()
@names_argument
@click.option("-o", "--offset", default="latest", show_default=True, help="The first offset to keep, or latest.")
@click.option("-p", "--partitions", "--partition", "only", multiple=True, metavar="N", help="Only these.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@kafka_options
@output_options
def trim(
    positional: tuple[str, ...],
    options: tuple[str, ...],
    offset: str,
    only: tuple[str, ...],
    yes: bool,
    kafka: Kafka,
    output: Output,
) -> None:
    """Delete the records before an offset (DeleteRecords)."""
    if offset != "latest" and not offset.isdigit():
        raise click.UsageError(f"--offset must be a number or latest, not {offset!r}")
    names = _needed(positional, options)
    numbers = partition_numbers(only)
    from broker.cli.topic_details import trim_rows

    with kafka.admin() as admin:
        found = selected_topics(admin, names)
        if not yes and output.interactive:
            click.confirm(f"Delete records of {', '.join(names)} before offset {offset}?", abort=True, err=True)
        rows: Iterator[dict[str, Any]] = trim_rows(admin, found, numbers, None if offset == "latest" else int(offset))
        columns = [
            Column("topic", "Topic"),
            Column("partition", "Partition", right=True),
            Column("start_offset", "First offset", right=True),
        ]
        output.rows(rows, columns)
