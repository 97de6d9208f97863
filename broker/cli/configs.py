"""`kwire configs`: show and change the configs of topics, brokers, groups, loggers and client metrics of any Kafka."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import click

from broker.cli.client import Kafka, kafka_options
from broker.cli.completion import complete_topics
from broker.cli.config_requests import (
    BROKER,
    BROKER_LOGGER,
    CLIENT_METRICS,
    GROUP,
    RESOURCE_NAMES,
    TOPIC,
    Resource,
    alter,
    describe,
)
from broker.cli.lazy import KafkaStyleGroup
from broker.cli.metadata import all_topics, config_pairs, found_topics, topic_names
from broker.cli.output import Column, CommandError, Output, output_options, plain_text

_TYPES: Final = {
    "topics": TOPIC,
    "brokers": BROKER,
    "broker-loggers": BROKER_LOGGER,
    "client-metrics": CLIENT_METRICS,
    "groups": GROUP,
}
_LISTED_TYPES: Final = {CLIENT_METRICS: "CLIENT_METRICS", GROUP: "GROUP"}


@click.group(
    cls=KafkaStyleGroup,
    short_help="Show and change configs of topics, brokers, ...",
    epilog="""\b
Examples:
  kwire configs describe --topic orders
  kwire configs describe --entity-type brokers --entity-name 1 --all
  kwire configs alter --topic orders --add-config retention.ms=86400000,cleanup.policy=[compact,delete]
  kwire configs alter --entity-type brokers --entity-default --delete-config log.retention.ms
""",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
def configs() -> None:
    """Configs of any Kafka, with the flags of kafka-configs.sh."""


def _entity_options(command: Callable[..., Any]) -> Callable[..., Any]:
    options = [
        click.option("--entity-type", type=click.Choice(sorted(_TYPES)), help="Whose configs."),
        click.option("--entity-name", "names", multiple=True, metavar="NAME", help="Which one; many times, or commas."),
        click.option("--entity-default", is_flag=True, help="Of brokers: the default of all."),
        click.option("-t", "--topic", "topic", multiple=True, metavar="NAME", shell_complete=complete_topics),
        click.option("--broker", multiple=True, metavar="ID"),
        click.option("--broker-logger", multiple=True, metavar="ID"),
        click.option("--group", multiple=True, metavar="ID"),
        click.option("--client-metrics", multiple=True, metavar="NAME"),
    ]
    for option in reversed(options):
        command = option(command)
    return command


def _resources(
    entity_type: str | None, names: tuple[str, ...], entity_default: bool, short: Mapping[int, tuple[str, ...]]
) -> tuple[int, list[Resource]]:
    """The kind, and the resources named; none when only the kind was. Raises click.UsageError."""
    kinds = {kind for kind, given in short.items() if given}
    if entity_type is not None:
        kinds.add(_TYPES[entity_type])
    if len(kinds) != 1:
        what = "one kind only" if kinds else "--entity-type and --entity-name, or --topic NAME, --broker ID, ..."
        raise click.UsageError(f"say whose configs: {what}")
    (kind,) = kinds
    named = topic_names(names, short.get(kind, ()))
    if entity_default:
        if kind != BROKER:
            raise click.UsageError("--entity-default is for brokers")
        if named:
            raise click.UsageError("--entity-default and a name exclude each other")
        return kind, [(BROKER, "")]
    for name in named:
        if kind in (BROKER, BROKER_LOGGER) and not name.isdigit():
            raise click.UsageError(f"a broker's id is a number, not {name!r}")
    return kind, [(kind, name) for name in named]


@configs.command("describe")
@_entity_options
@click.option("-a", "--all", "everything", is_flag=True, help="Defaults too, not only what was set.")
@kafka_options
@output_options
def describe_command(
    entity_type: str | None,
    names: tuple[str, ...],
    entity_default: bool,
    topic: tuple[str, ...],
    broker: tuple[str, ...],
    broker_logger: tuple[str, ...],
    group: tuple[str, ...],
    client_metrics: tuple[str, ...],
    everything: bool,
    kafka: Kafka,
    output: Output,
) -> None:
    """Configs that were set, or all of them. Without a name: those of every topic, broker, ..."""
    short = {TOPIC: topic, BROKER: broker, BROKER_LOGGER: broker_logger, GROUP: group, CLIENT_METRICS: client_metrics}
    kind, resources = _resources(entity_type, names, entity_default, short)
    with kafka.admin() as admin:
        if not resources:
            resources = _all_of(admin, kind)
        else:
            _check(admin, kind, resources)
        rows = describe(admin, resources, everything=everything or kind == BROKER_LOGGER)
    columns = [Column("name", "Config"), Column("value", "Value"), Column("source", "Set by")]
    if len(resources) != 1:
        columns.insert(0, Column("entity_name", RESOURCE_NAMES[kind].title(), show=str))
    if not output.as_json:
        rows = [row | {"entity_name": row["entity_name"] or "(default)"} for row in rows]
        rows = [row | {"value": "(hidden)"} if row["sensitive"] else row for row in rows]
    what = RESOURCE_NAMES[kind]
    output.rows(rows, columns, empty=f"Nothing is set for the {what}. --all shows defaults too.")


def _check(admin: Any, kind: int, resources: list[Resource]) -> None:
    """Raises CommandError for topics and brokers that are not there, with those that are."""
    if kind == TOPIC:
        found_topics(admin, [name for _, name in resources])
    elif kind in (BROKER, BROKER_LOGGER):
        ids = sorted(int(each["broker_id"]) for each in admin.describe_cluster()["brokers"])
        for _, name in resources:
            if name and int(name) not in ids:
                raise CommandError(f"there is no broker {name}; there are {plain_text(ids)}")


def _all_of(admin: Any, kind: int) -> list[Resource]:
    if kind == TOPIC:
        return [(TOPIC, topic["name"]) for topic in all_topics(admin) if not topic["is_internal"]]
    if kind in (BROKER, BROKER_LOGGER):
        brokers = [str(each["broker_id"]) for each in admin.describe_cluster()["brokers"]]
        return [(kind, broker) for broker in brokers] + ([(BROKER, "")] if kind == BROKER else [])
    listed = admin.list_config_resources([_LISTED_TYPES[kind]])
    return [(kind, name) for names in listed.values() for name in sorted(names)]


@configs.command("alter")
@_entity_options
@click.option(
    "--add-config",
    "--set",
    "-s",
    "values",
    multiple=True,
    callback=config_pairs,
    metavar="KEY=VALUE,...",
    help="Set configs; a value with commas in brackets: cleanup.policy=[compact,delete].",
)
@click.option("--delete-config", "-d", "deleted", multiple=True, metavar="KEY,...", help="Back to the default.")
@click.option("--validate-only", "--dry-run", is_flag=True, help="Only ask whether it would be taken.")
@kafka_options
@output_options
def alter_command(
    entity_type: str | None,
    names: tuple[str, ...],
    entity_default: bool,
    topic: tuple[str, ...],
    broker: tuple[str, ...],
    broker_logger: tuple[str, ...],
    group: tuple[str, ...],
    client_metrics: tuple[str, ...],
    values: dict[str, str],
    deleted: tuple[str, ...],
    validate_only: bool,
    kafka: Kafka,
    output: Output,
) -> None:
    """Set configs, or put them back to their defaults."""
    short = {TOPIC: topic, BROKER: broker, BROKER_LOGGER: broker_logger, GROUP: group, CLIENT_METRICS: client_metrics}
    kind, resources = _resources(entity_type, names, entity_default, short)
    removed = topic_names((), deleted)
    if not resources:
        raise click.UsageError("name what is to be changed: --entity-name NAME, or --entity-default")
    if not values and not removed:
        raise click.UsageError("say what to change: --add-config KEY=VALUE or --delete-config KEY")
    both = sorted(set(values) & set(removed))
    if both:
        raise click.UsageError(f"{', '.join(both)}: set and deleted at once")
    with kafka.admin() as admin:
        _check(admin, kind, resources)
        alter(admin, resources, values, removed, validate_only=validate_only)
    verb = "Would change" if validate_only else "Changed"
    for _, name in resources:
        said = {"entity_type": RESOURCE_NAMES[kind], "entity_name": name or None, "set": values, "deleted": removed}
        output.done(
            f"{verb} configs of {RESOURCE_NAMES[kind]} {name or 'default'}.", said | {"changed": not validate_only}
        )
