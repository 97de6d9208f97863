"""What `kwire groups reset-offsets` works out: which partitions, which offsets. As kafka-consumer-groups.sh does it."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping
from typing import Any

import click
from attrs import frozen

from broker.cli.metadata import EARLIEST, LATEST, found_topics, list_offsets, partitions_of
from broker.cli.output import CommandError

Place = tuple[str, int]


@frozen
class ResetTo:
    """One of them: what offsets are wanted.

    word: earliest, latest or current; offset: this one; shift: committed plus this; timestamp_ms: the first record at
    or after it; plan: as a file says.
    """

    word: str | None = None
    offset: int | None = None
    shift: int | None = None
    timestamp_ms: int | None = None
    plan: Mapping[Place, int] | None = None


def topic_partitions(texts: Iterable[str]) -> dict[str, set[int]]:
    """`orders` and `orders:0,2` as Kafka's tool takes them; no partitions: all. Raises click.UsageError."""
    from broker.cli.topics import partition_numbers

    wanted: dict[str, set[int]] = {}
    for text in texts:
        name, colon, numbers = text.partition(":")
        if not name:
            raise click.UsageError(f"{text!r} names no topic: TOPIC or TOPIC:0,2")
        only = partition_numbers((numbers,)) if colon else set()
        if name in wanted and (not only or not wanted[name]):
            wanted[name] = set()
        else:
            wanted.setdefault(name, set()).update(only)
    return wanted


def read_plan(text: str, group: str) -> dict[Place, int]:
    """Of a CSV file with topic,partition,offset or group,topic,partition,offset. Raises click.UsageError."""
    plan: dict[Place, int] = {}
    for number, fields in enumerate(csv.reader(io.StringIO(text)), 1):
        row = [field.strip() for field in fields]
        if not any(row):
            continue
        if len(row) == 4:
            if row[0] != group:
                continue
            row = row[1:]
        if len(row) != 3 or not row[1].isdigit() or not row[2].isdigit():
            raise click.UsageError(f"line {number} must be TOPIC,PARTITION,OFFSET, not {','.join(fields)[:80]!r}")
        plan[(row[0], int(row[1]))] = int(row[2])
    if not plan:
        raise click.UsageError(f"the file has no offsets for group {group}")
    return plan


def new_offsets(
    admin: Any, committed: Mapping[Place, int], wanted: Mapping[str, set[int]], to: ResetTo
) -> dict[Place, int]:
    """The offset each partition would get; those outside a log's ends are moved to its nearer end.

    wanted: topic -> partitions, empty for all. Raises CommandError.
    """
    places = _places(admin, wanted if to.plan is None else _of_plan(to.plan))
    first, last = list_offsets(admin, places, EARLIEST), list_offsets(admin, places, LATEST)
    at_time: Mapping[Place, int] = {}
    if to.timestamp_ms is not None:
        at_time = list_offsets(admin, places, to.timestamp_ms)
    found = {}
    for topic, index, leader in places:
        place = (topic, index)
        if leader < 0:
            raise CommandError(f"{topic}-{index} has no leader now, so its offsets are not known")
        low, high = first[place], last[place]
        if to.word == "earliest":
            target = low
        elif to.word == "latest":
            target = high
        elif to.timestamp_ms is not None:
            target = at_time.get(place, -1)
            target = high if target < 0 else target
        elif to.plan is not None:
            target = to.plan[place]
        elif to.offset is not None:
            target = to.offset
        elif place not in committed:
            if to.shift is not None:
                raise CommandError(
                    f"the group has committed no offset of {topic}-{index}, so there is nothing to shift"
                )
            target = high
        else:
            target = committed[place] + (to.shift or 0)
        found[place] = min(max(target, low), high)
    return found


def _of_plan(plan: Mapping[Place, int]) -> dict[str, set[int]]:
    wanted: dict[str, set[int]] = {}
    for topic, index in plan:
        wanted.setdefault(topic, set()).add(index)
    return wanted


def _places(admin: Any, wanted: Mapping[str, set[int]]) -> list[tuple[str, int, int]]:
    places = []
    for topic in found_topics(admin, list(wanted)) if wanted else []:
        places += partitions_of([topic], wanted[topic["name"]])
    return places
