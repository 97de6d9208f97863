"""`kwire lag`: how far consumer groups are behind."""

from __future__ import annotations

from typing import Any

import click

from broker.cli.client import Kafka, kafka_options
from broker.cli.completion import complete_topics
from broker.cli.group_details import READ_TYPES, described_groups, lag_rows, listed_groups
from broker.cli.groups import groups_argument
from broker.cli.metadata import topic_names
from broker.cli.output import Column, Output, output_options


@click.command(short_help="How far consumer groups are behind.")
@groups_argument
@click.option("-t", "--topic", "topics", multiple=True, help="Only of these topics.", shell_complete=complete_topics)
@click.option("-p", "--per-partition", is_flag=True, help="A row for each partition.")
@click.option("--fail-above", type=click.IntRange(min=0), metavar="N", help="Exit with 1 when any lag is above N.")
@kafka_options
@output_options
def lag(
    positional: tuple[str, ...],
    options: tuple[str, ...],
    topics: tuple[str, ...],
    per_partition: bool,
    fail_above: int | None,
    kafka: Kafka,
    output: Output,
) -> None:
    """How many records groups have not read yet: of those named, or of all."""
    names = topic_names(positional, options)
    only = set(topic_names((), topics))
    with kafka.admin() as admin:
        if not names:
            names = [group["group"] for group in listed_groups(admin) if group["type"] in READ_TYPES]
        found = described_groups(admin, names)
        rows = [row for group in found for row in lag_rows(admin, group) if not only or row["topic"] in only]
    columns = [Column("group", "Group"), Column("topic", "Topic")]
    if per_partition:
        columns.append(Column("partition", "Partition", right=True))
    else:
        rows = _summed(rows)
        columns.append(Column("partitions", "Partitions", right=True))
    columns.append(Column("lag", "Lag", right=True))
    output.rows(rows, columns, empty="No group has committed an offset.")
    worst = max((row["lag"] or 0 for row in rows), default=0)
    if fail_above is not None and worst > fail_above:
        raise SystemExit(1)


def _summed(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for row in rows:
        key = (row["group"], row["topic"])
        total = found.setdefault(key, {"group": key[0], "topic": key[1], "partitions": 0, "lag": 0})
        total["partitions"] += 1
        total["lag"] += row["lag"] or 0
    return list(found.values())
