"""`kwire groups`: consumer groups of any Kafka."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import click

from broker.cli.client import Kafka, kafka_options, reason
from broker.cli.completion import complete_groups, complete_topics
from broker.cli.group_control import COMMANDS as CONTROL_COMMANDS
from broker.cli.group_details import READ_TYPES, committed, described_groups, lag_rows, listed_groups
from broker.cli.lazy import KafkaStyleGroup
from broker.cli.metadata import topic_names
from broker.cli.output import Column, CommandError, Output, counted, output_options

_SETTINGS: Final = {"help_option_names": ["-h", "--help"], "max_content_width": 100}
_OFFSET_COLUMNS: Final = (
    Column("topic", "Topic"),
    Column("partition", "Partition", right=True),
    Column("current_offset", "Current", right=True),
    Column("end_offset", "End", right=True),
    Column("lag", "Lag", right=True),
    Column("client_id", "Client"),
    Column("host", "Host"),
)
_MEMBER_COLUMNS: Final = (
    Column("member_id", "Member"),
    Column("instance_id", "Instance"),
    Column("client_id", "Client"),
    Column("host", "Host"),
    Column("assignment", "Partitions"),
)


@click.group(
    cls=KafkaStyleGroup,
    short_help="Consumer groups: members, offsets, resets.",
    epilog="""\b
Examples:
  kwire groups list
  kwire groups describe billing
  kwire groups members billing
  kwire groups reset-offsets billing --topic orders --to-earliest --execute
  kwire groups reset-offsets billing --all-topics --to-datetime 2026-01-31T12:00:00
  kwire groups delete-offsets billing --topic orders:0
  kwire groups delete billing
  kwire groups rebalance billing --http 127.0.0.1:9380
  kwire groups evict billing MEMBER
  kwire groups move-coordinator billing --node 2
""",
    context_settings=_SETTINGS,
)
def groups() -> None:
    """Consumer groups of any Kafka, with the flags of kafka-consumer-groups.sh."""


for _command in CONTROL_COMMANDS:
    groups.add_command(_command)


def groups_argument(command: Callable[..., Any]) -> Callable[..., Any]:
    """GROUP... and --group/-g, together."""
    command = click.option(
        "-g", "--group", "options", multiple=True, metavar="GROUP", help="A group.", shell_complete=complete_groups
    )(command)
    return click.argument("positional", nargs=-1, metavar="[GROUP]...", shell_complete=complete_groups)(command)


def _one(positional: tuple[str, ...], options: tuple[str, ...]) -> str:
    names = topic_names(positional, options)
    if len(names) != 1:
        raise click.UsageError("name one group")
    return names[0]


def _needed(positional: tuple[str, ...], options: tuple[str, ...]) -> list[str]:
    names = topic_names(positional, options)
    if not names:
        raise click.UsageError("name a group; `kwire groups list` shows them")
    return names


@groups.command("list")
@click.option("--state", "states", multiple=True, metavar="STATE", help="Only these: Stable, Empty, ...")
@click.option("--type", "types", multiple=True, metavar="TYPE", help="Only these: classic, consumer, share, streams.")
@kafka_options
@output_options
def list_groups(states: tuple[str, ...], types: tuple[str, ...], kafka: Kafka, output: Output) -> None:
    """All groups and their states."""
    with kafka.admin() as admin:
        rows = listed_groups(admin, topic_names((), states), topic_names((), types))
    columns = [
        Column("group", "Group"),
        Column("type", "Type"),
        Column("state", "State"),
    ]
    output.rows(rows, columns, empty="There is no such group.")


@groups.command()
@groups_argument
@click.option("--all-groups", is_flag=True, help="Every group.")
@click.option("--members", "only_members", is_flag=True, help="The members instead of the offsets.")
@click.option("--state", "only_state", is_flag=True, help="State, assignor and number of members only.")
@click.option("--offsets", "only_offsets", is_flag=True, help="Offsets and lag (the default).")
@kafka_options
@output_options
def describe(
    positional: tuple[str, ...],
    options: tuple[str, ...],
    all_groups: bool,
    only_members: bool,
    only_state: bool,
    only_offsets: bool,
    kafka: Kafka,
    output: Output,
) -> None:
    """State, members, offsets and lag of groups."""
    if only_members + only_state + only_offsets > 1:
        raise click.UsageError("--members, --state and --offsets exclude each other")
    with kafka.admin() as admin:
        if all_groups:
            names = [group["group"] for group in listed_groups(admin) if group["type"] in READ_TYPES]
        else:
            names = _needed(positional, options)
        found = described_groups(admin, names)
        rows = {group["group"]: [] if only_state or only_members else lag_rows(admin, group) for group in found}
    for group in found:
        _print_group(group, rows[group["group"]], output, only_members, only_state)


def _print_group(
    group: dict[str, Any], rows: list[dict[str, Any]], output: Output, only_members: bool, only_state: bool
) -> None:
    members = [
        each | {"partitions": [{"topic": topic, "partition": index} for topic, index in each["partitions"]]}
        for each in group["members"]
    ]
    if output.as_json:
        shown = group | {"members": members}
        if not (only_members or only_state):
            shown["offsets"] = [{key: value for key, value in row.items() if key != "group"} for row in rows]
        output.rows([shown], ())
        return
    how = f", {group['assignor']}" if group["assignor"] else ""
    output.line(f"{group['group']}: {group['state']}, {counted(len(members), 'member')}{how}")
    if only_state:
        return
    if only_members:
        _print_members(group["members"], output)
    else:
        output.rows(rows, _OFFSET_COLUMNS, empty="  no offset committed")
    output.line("")


def _print_members(members: list[dict[str, Any]], output: Output) -> None:
    rows = [
        each | {"assignment": [f"{topic}-{index}" for topic, index in sorted(each["partitions"])]} for each in members
    ]
    with_instances = any(each["instance_id"] for each in members)
    columns = [column for column in _MEMBER_COLUMNS if column.key != "instance_id" or with_instances]
    output.rows(rows, columns, empty="  no member")


@groups.command()
@groups_argument
@kafka_options
@output_options
def members(positional: tuple[str, ...], options: tuple[str, ...], kafka: Kafka, output: Output) -> None:
    """The members of groups and what they are assigned."""
    with kafka.admin() as admin:
        found = described_groups(admin, _needed(positional, options))
    if output.as_json:
        for group in found:
            for each in group["members"]:
                partitions = [{"topic": topic, "partition": index} for topic, index in each["partitions"]]
                output.rows([{"group": group["group"]} | each | {"partitions": partitions}], ())
        return
    for group in found:
        output.line(f"{group['group']}: {group['state']}, {counted(len(group['members']), 'member')}")
        _print_members(group["members"], output)


@groups.command()
@groups_argument
@kafka_options
@output_options
def offsets(positional: tuple[str, ...], options: tuple[str, ...], kafka: Kafka, output: Output) -> None:
    """Committed offsets of groups and how far they are behind."""
    with kafka.admin() as admin:
        found = described_groups(admin, _needed(positional, options))
        rows = [row for group in found for row in lag_rows(admin, group)]
    columns = list(_OFFSET_COLUMNS[:5])
    if len(found) > 1:
        columns.insert(0, Column("group", "Group"))
    output.rows(rows, columns, empty="No offset is committed.")


@groups.command()
@groups_argument
@click.option("--all-groups", is_flag=True, help="Every group without members.")
@kafka_options
@output_options
def delete(
    positional: tuple[str, ...], options: tuple[str, ...], all_groups: bool, kafka: Kafka, output: Output
) -> None:
    """Delete groups and their offsets. Groups with members are refused."""
    with kafka.admin() as admin:
        if all_groups:
            names = [group["group"] for group in listed_groups(admin, states=["Empty", "Dead"])]
        else:
            names = _needed(positional, options)
        if not names:
            raise CommandError("there is no group without members")
        if not all_groups:
            described_groups(admin, names)  # says which are not there, with near names
        answers = dict(admin.delete_groups(names))
    failures = []
    for name in names:
        said = answers.get(name, "OK")
        if said == "OK":
            output.done(f"Deleted group {name}.", {"group": name, "deleted": True})
        else:
            failures.append(f"{name}: {_in_words(said)}")
    if failures:
        raise CommandError("; ".join(failures))


def _in_words(error_class: str) -> str:
    if error_class == "NonEmptyGroupError":
        return "NON_EMPTY_GROUP: it has members; stop them first"
    if error_class == "GroupIdNotFoundError":
        return "GROUP_ID_NOT_FOUND"
    return error_class


@groups.command("delete-offsets")
@groups_argument
@click.option(
    "-t",
    "--topic",
    "topics",
    multiple=True,
    required=True,
    metavar="TOPIC[:N,N]",
    help="Of which topics, or partitions of them; many times.",
    shell_complete=complete_topics,
)
@kafka_options
@output_options
def delete_offsets(
    positional: tuple[str, ...], options: tuple[str, ...], topics: tuple[str, ...], kafka: Kafka, output: Output
) -> None:
    """Delete committed offsets of topics the group does not read now."""
    from broker.cli.group_reset import topic_partitions

    name = _one(positional, options)
    wanted = topic_partitions(topics)
    with kafka.admin() as admin:
        from kafka import TopicPartition

        described_groups(admin, [name])
        found = [
            place
            for place in committed(admin, name)
            if place[0] in wanted and (not wanted[place[0]] or place[1] in wanted[place[0]])
        ]
        if not found:
            raise CommandError(f"group {name} has committed no such offset")
        answers = admin.delete_group_offsets(name, [TopicPartition(*place) for place in found])
    failures = []
    for place, error in sorted(answers.items()):
        if error.errno:
            failures.append(f"{place.topic}-{place.partition}: {reason(error.errno)}")
        else:
            said = {"group": name, "topic": place.topic, "partition": place.partition, "deleted": True}
            output.done(f"Deleted the offset of {place.topic}-{place.partition}.", said)
    if failures:
        raise CommandError("; ".join(failures), hint="Offsets of topics that members subscribe to stay.")


@groups.command("reset-offsets")
@groups_argument
@click.option(
    "-t",
    "--topic",
    "topics",
    multiple=True,
    metavar="TOPIC[:N,N]",
    help="Of which topics, or partitions of them; many times.",
    shell_complete=complete_topics,
)
@click.option("--all-topics", is_flag=True, help="Of every topic the group has committed offsets of.")
@click.option("--to-earliest", is_flag=True, help="To the first record.")
@click.option("--to-latest", is_flag=True, help="To the end.")
@click.option("--to-current", is_flag=True, help="To the committed offset.")
@click.option("--to-offset", type=click.IntRange(min=0), metavar="N", help="To this offset.")
@click.option("--shift-by", type=int, metavar="N", help="Forward by N records, back with a negative N.")
@click.option("--to-datetime", metavar="TIME", help="To the first record at or after, for example 2026-01-31T12:00:00.")
@click.option("--by-duration", metavar="TIME", help="To the first record of the last PT1H30M (or 90m, 7d).")
@click.option(
    "--from-file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="To the offsets of a CSV file: TOPIC,PARTITION,OFFSET.",
)
@click.option("--execute", is_flag=True, help="Do it.")
@click.option("--dry-run", is_flag=True, help="Only show what would be committed (the default).")
@click.option("--export", is_flag=True, help="Print the offsets as CSV for --from-file; commit nothing.")
@kafka_options
@output_options
def reset_offsets(
    positional: tuple[str, ...],
    options: tuple[str, ...],
    topics: tuple[str, ...],
    all_topics: bool,
    to_earliest: bool,
    to_latest: bool,
    to_current: bool,
    to_offset: int | None,
    shift_by: int | None,
    to_datetime: str | None,
    by_duration: str | None,
    from_file: Path | None,
    execute: bool,
    dry_run: bool,
    export: bool,
    kafka: Kafka,
    output: Output,
) -> None:
    """Commit other offsets for a group without members. Without --execute it only shows them."""
    from broker.cli.group_reset import ResetTo, new_offsets, read_plan, topic_partitions
    from broker.cli.when import duration_ms, moment_ms, now_ms

    name = _one(positional, options)
    if execute + dry_run + export > 1:
        raise click.UsageError("--execute, --dry-run and --export exclude each other")
    words = [
        word for word, given in (("earliest", to_earliest), ("latest", to_latest), ("current", to_current)) if given
    ]
    others = (to_offset, shift_by, to_datetime, by_duration, from_file)
    if len(words) + sum(each is not None for each in others) != 1:
        raise click.UsageError(
            "say where to: one of --to-earliest, --to-latest, --to-current, --to-offset, --shift-by, --to-datetime, "
            "--by-duration, --from-file"
        )
    if from_file is None and bool(topics) == all_topics:
        raise click.UsageError("say of which topics: --topic TOPIC (many times) or --all-topics")
    timestamp_ms = None
    if to_datetime is not None:
        timestamp_ms = moment_ms(to_datetime)
    elif by_duration is not None:
        timestamp_ms = now_ms() - duration_ms(by_duration)
    plan = None if from_file is None else read_plan(from_file.read_text(encoding="utf-8"), name)
    to = ResetTo(words[0] if words else None, to_offset, shift_by, timestamp_ms, plan)
    with kafka.admin() as admin:
        known = {group["group"]: group for group in listed_groups(admin)}
        state = known.get(name, {}).get("state")
        if name in known and state not in (None, "Empty", "Dead"):
            raise CommandError(
                f"group {name} is {state}: its members would go on from where they are", hint="Stop them first."
            )
        current = committed(admin, name)
        wanted = {topic: set[int]() for topic, _ in current} if all_topics else topic_partitions(topics)
        if all_topics and not wanted:
            raise CommandError(f"group {name} has committed no offset", hint="Name topics with --topic.")
        found = new_offsets(admin, current, wanted, to)
        if execute:
            _commit(admin, name, found)
    if export:
        for (topic, index), offset in sorted(found.items()):
            output.line(f'"{topic}",{index},{offset}')
        return
    rows = [
        {
            "group": name,
            "topic": topic,
            "partition": index,
            "current_offset": current.get((topic, index)),
            "new_offset": offset,
            "committed": execute,
        }
        for (topic, index), offset in sorted(found.items())
    ]
    columns = [
        Column("topic", "Topic"),
        Column("partition", "Partition", right=True),
        Column("current_offset", "Was" if execute else "Is", right=True),
        Column("new_offset", "Is now" if execute else "Would be", right=True),
    ]
    output.rows(rows, columns, empty="No partition.")
    if not execute:
        output.say("Nothing was committed: --execute does it.")


def _commit(admin: Any, name: str, offsets: dict[tuple[str, int], int]) -> None:
    from kafka import TopicPartition
    from kafka.structs import OffsetAndMetadata

    wanted = {TopicPartition(*place): OffsetAndMetadata(offset, "", -1) for place, offset in offsets.items()}
    answers = admin.alter_group_offsets(name, wanted)
    failures = [
        f"{place.topic}-{place.partition}: {reason(error.errno)}"
        for place, error in sorted(answers.items())
        if error.errno
    ]
    if failures:
        raise CommandError("; ".join(failures))
