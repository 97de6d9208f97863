"""Topics in one line of text: `kwire serve --topic`, and KAFKA_CREATE_TOPICS as some images take it."""

from __future__ import annotations

import re
from typing import Final

from broker.contents.model import Contents, ContentsError, Problem, TopicContents
from broker.controller.names import CLUSTER_METADATA_TOPIC, is_internal, name_problem

_NUMBER: Final = re.compile(r"[0-9]{1,9}")
# A comma between two configs, not one inside a list: `cleanup.policy=compact,delete,retention.ms=5`.
_NEXT_CONFIG: Final = re.compile(r",(?=\s*[a-z][a-z0-9._]*=)")
_POLICIES: Final = ("compact", "delete", "compact,delete", "delete,compact")
_SYNTAX: Final = "NAME[:PARTITIONS[:REPLICATION]][:KEY=VALUE,...], for example orders:6:cleanup.policy=compact"


def topic_of(text: str) -> TopicContents:
    """``orders``, ``orders:6``, ``orders:6:1``, ``orders:6:cleanup.policy=compact,retention.ms=1000``.

    Raises ContentsError.
    """
    name, *rest = text.strip().split(":")
    name = name.strip()
    _check_name(text, name)
    numbers: list[int] = []
    configs: dict[str, str] = {}
    for index, part in enumerate(rest):
        if "=" in part:
            # A config's value may hold a colon: all that is left are configs.
            _add_configs(text, ":".join(rest[index:]), configs)
            break
        if len(numbers) == 2:
            raise _wrong(text, f"{part!r} is no KEY=VALUE; it must be {_SYNTAX}")
        numbers.append(_number(text, part.strip(), ("partitions", "replication factor")[len(numbers)]))
    numbers += [-1] * (2 - len(numbers))
    return TopicContents(name, numbers[0], numbers[1], configs)


def topics_of_environment(text: str, separator: str = ",") -> Contents:
    """KAFKA_CREATE_TOPICS: ``name:partitions:replication[:cleanup]``, separated by commas (or `separator`) and lines.

    The form of the wurstmeister image; what `topic_of` takes is taken as well. Raises ContentsError.
    """
    entries = [entry.strip() for line in text.splitlines() for entry in _split(line, separator)]
    topics: dict[str, TopicContents] = {}
    problems: list[Problem] = []
    for entry in filter(None, entries):
        try:
            topic = _of_environment(entry)
            if topic.name in topics:
                raise _wrong(entry, f"topic {topic.name!r} is declared twice; declare it once")
            topics[topic.name] = topic
        except ContentsError as error:
            problems += error.problems
    if problems:
        raise ContentsError(problems, "KAFKA_CREATE_TOPICS")
    return Contents(tuple(topics.values()))


def _split(line: str, separator: str) -> list[str]:
    if separator != ",":
        return line.split(separator) if separator.strip() else [line]
    # `a:1:1:compact,delete,b:1:1` is a with both policies, then b: what has no colon and is a policy goes on.
    entries: list[str] = []
    for part in line.split(","):
        goes_on = part.strip() in ("compact", "delete") and entries and entries[-1].count(":") >= 3
        if goes_on or (entries and "=" in part and "=" in entries[-1] and ":" not in part.partition("=")[0]):
            entries[-1] += f",{part.strip()}"
        else:
            entries.append(part)
    return entries


def _of_environment(entry: str) -> TopicContents:
    fields = [field.strip() for field in entry.split(":")]
    if len(fields) == 4 and "=" not in fields[3] and fields[3]:
        policy = fields[3]
        if policy not in _POLICIES:
            raise _wrong(entry, f"{policy!r} is no cleanup policy: compact, delete or compact,delete")
        topic = topic_of(":".join(fields[:3]))
        return TopicContents(topic.name, topic.partitions, topic.replication_factor, {"cleanup.policy": policy})
    return topic_of(":".join(fields).rstrip(":"))


def _add_configs(text: str, configs: str, found: dict[str, str]) -> None:
    for part in _NEXT_CONFIG.split(configs):
        # After a colon comes another config too: orders:6:a=1:b=2.
        for each in re.split(r":(?=\s*[a-z][a-z0-9._]*=)", part):
            key, separator, value = each.partition("=")
            if not separator or not key.strip():
                raise _wrong(text, f"{each!r} must be KEY=VALUE")
            if key.strip() in found:
                raise _wrong(text, f"config {key.strip()!r} is given twice")
            found[key.strip()] = value.strip()


def _check_name(text: str, name: str) -> None:
    problem = name_problem(name)
    if problem is not None:
        raise _wrong(text, f"{problem}; it must be {_SYNTAX}")
    if is_internal(name) or name == CLUSTER_METADATA_TOPIC:
        raise _wrong(text, f"{name} is the broker's own topic and cannot be declared")


def _number(text: str, part: str, what: str) -> int:
    if not part or part == "-1":
        return -1
    high = 10_000 if what == "partitions" else 32_767
    if _NUMBER.fullmatch(part) is None or not 1 <= int(part) <= high:
        raise _wrong(text, f"{what} must be a whole number from 1 to {high}, not {part!r}")
    return int(part)


def _wrong(text: str, message: str) -> ContentsError:
    shown = text if len(text) <= 80 else f"{text[:77]}..."
    return ContentsError([Problem((shown,), message)])
