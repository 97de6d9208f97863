"""What the commands ask any Kafka about topics, partitions and offsets; and how they say what is not there."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterable, Sequence
from typing import Any, Final

import click

from broker.cli.client import reason
from broker.cli.output import CommandError, plain_text

Metadata = dict[str, Any]
Partitions = dict[tuple[str, int], int]
"""(topic, partition) -> offset"""

_UNKNOWN_TOPIC: Final = 3
EARLIEST: Final = -2
LATEST: Final = -1
MAX_TIMESTAMP: Final = -3


def topic_names(positional: Iterable[str], options: Iterable[str]) -> list[str]:
    """Those of the arguments and of --topic, each once; several may stand in one, with commas."""
    names = [name.strip() for text in (*positional, *options) for name in text.split(",")]
    return list(dict.fromkeys(filter(None, names)))


def pattern(text: str) -> re.Pattern[str]:
    """A regular expression a person gave. Raises click.UsageError."""
    try:
        return re.compile(text)
    except re.error as error:
        raise click.UsageError(f"{text!r} is no regular expression: {error}") from None


def all_topics(admin: Any) -> list[Metadata]:
    """Metadata of every topic, by name."""
    return sorted(admin.describe_topics(), key=lambda topic: str(topic["name"]))


def found_topics(admin: Any, names: Sequence[str]) -> list[Metadata]:
    """Metadata of these topics. Raises CommandError that names the ones that are not there, and near names."""
    topics: list[Metadata] = admin.describe_topics(list(names))
    missing = [topic["name"] for topic in topics if topic["error_code"] == _UNKNOWN_TOPIC]
    if missing:
        raise unknown_topics(missing, admin.list_topics())
    refused = [topic for topic in topics if topic["error_code"] and topic["error_code"] != 5]
    if refused:
        raise CommandError("; ".join(f"{topic['name']}: {reason(topic['error_code'])}" for topic in refused))
    by_name = {topic["name"]: topic for topic in topics}
    return [by_name[name] for name in names]


def selected_topics(admin: Any, names: Sequence[str], *, regex: bool = False, internal: bool = False) -> list[Metadata]:
    """Those of the names, or that match them (whole) with `regex`; all when there are none.

    internal: internal topics too where no name says so.
    """
    if names and not regex:
        return found_topics(admin, names)
    topics = [topic for topic in all_topics(admin) if internal or not topic["is_internal"]]
    if not names:
        return topics
    patterns = [pattern(name) for name in names]
    matching = [topic for topic in topics if any(each.fullmatch(topic["name"]) for each in patterns)]
    if not matching:
        raise CommandError(
            f"no topic matches {' or '.join(names)}", hint=f"There are: {_some(topic['name'] for topic in topics)}"
        )
    return matching


def unknown_topics(missing: Sequence[str], known: Collection[str]) -> CommandError:
    """An error with near names for each."""
    parts = []
    for name in missing:
        near = difflib.get_close_matches(name, list(known), n=3, cutoff=0.6)
        hint = f" (did you mean {' or '.join(near)}?)" if near else ""
        parts.append(f"{name!r}{hint}")
    one = "there is no topic" if len(parts) == 1 else "there are no topics"
    visible = [name for name in known if not name.startswith("__")]
    return CommandError(
        f"{one} {', '.join(parts)}",
        hint=f"There are: {_some(visible)}" if visible else "There is none yet: kwire topics create NAME",
    )


def _some(names: Iterable[str], most: int = 8) -> str:
    listed = sorted(names)
    more = f" and {len(listed) - most} more" if len(listed) > most else ""
    return ", ".join(listed[:most]) + more


def partitions_of(topics: Iterable[Metadata], only: Collection[int] = ()) -> list[tuple[str, int, int]]:
    """(topic, partition, leader), in order; of `only` these partitions. leader -1: there is none.

    Raises CommandError where a topic has no partition of such a number.
    """
    topics = list(topics)
    for topic in topics:
        missing = set(only) - {each["partition_index"] for each in topic["partitions"]}
        if missing:
            highest = len(topic["partitions"]) - 1
            raise CommandError(f"{topic['name']} has partitions 0 to {highest}, not {plain_text(sorted(missing))}")
    return [
        (topic["name"], partition["partition_index"], partition["leader_id"])
        for topic in topics
        for partition in sorted(topic["partitions"], key=lambda each: int(each["partition_index"]))
        if not only or partition["partition_index"] in only
    ]


def list_offsets(
    admin: Any, partitions: Iterable[tuple[str, int, int]], timestamp: int, *, committed: bool = False
) -> Partitions:
    """The offset at a time in ms, or EARLIEST, LATEST, MAX_TIMESTAMP; -1 where no record is that late.

    Partitions without a leader are left out. committed: LATEST is then the last stable offset.
    """
    return {
        key: offset for key, (offset, _) in offsets_and_times(admin, partitions, timestamp, committed=committed).items()
    }


def offsets_and_times(
    admin: Any, partitions: Iterable[tuple[str, int, int]], timestamp: int, *, committed: bool = False
) -> dict[tuple[str, int], tuple[int, int]]:
    """The same with the timestamp of the record in ms, -1 without."""
    from kafka import TopicPartition
    from kafka.protocol.consumer import IsolationLevel

    asked = {TopicPartition(topic, index): timestamp for topic, index, leader in partitions if leader >= 0}
    if not asked:
        return {}
    level = IsolationLevel.READ_COMMITTED if committed else IsolationLevel.READ_UNCOMMITTED
    answers = admin.list_partition_offsets(asked, isolation_level=level)
    return {(each.topic, each.partition): (found.offset, found.timestamp) for each, found in answers.items()}


def config_pairs(_ctx: click.Context, _param: click.Parameter, values: tuple[str, ...]) -> dict[str, str]:
    """Callback of options that take KEY=VALUE, many times; as in Kafka's tools also `a=1,b=[x,y]` in one."""
    pairs: dict[str, str] = {}
    for text in values:
        for part in re.split(r",(?=\s*[a-z][a-zA-Z0-9._-]*=)", text):
            key, separator, value = part.partition("=")
            if not separator or not key.strip():
                raise click.BadParameter(f"{part!r} must be KEY=VALUE, for example retention.ms=86400000")
            value = value.strip()
            pairs[key.strip()] = value[1:-1] if value.startswith("[") and value.endswith("]") else value
    return pairs


def config_hint(message: str | None) -> str | None:
    """Near names where the broker knows no config of a name."""
    match = re.search(r"Unknown topic config name: (\S+)", message or "")
    if match is None:
        return None
    from broker.config.definitions import topic_definitions

    near = difflib.get_close_matches(match[1], list(topic_definitions()), n=3)
    return f"Did you mean {' or '.join(near)}?" if near else None
