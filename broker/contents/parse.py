"""Plain objects, as JSON and YAML decode to, into Contents. Pure: no file, no cluster.

The shape (YAML here; JSON and the HTTP door take the same):

    topics:
      orders: 6                                  # partitions
      audit: {}                                  # the cluster's defaults
      customers:
        partitions: 3
        replication_factor: 1
        configs: {cleanup.policy: compact, retention.ms: 86400000}
        records:
          - plain value
          - {key: c-1, value: {name: Ann}, headers: {source: import}, partition: 0, timestamp: 2026-01-31T12:00:00Z}
          - {key: c-2, value: null}              # a tombstone
          - {key_base64: AAE=, value_base64: /w==, timestamp_ms: 1700000000000}
    groups:
      billing:
        orders: earliest                         # every partition; or latest, or a number
        customers: {0: 5, 1: latest}

`topics` may also be a list, of `orders:6:cleanup.policy=compact` or of mappings with a `name`.
"""

from __future__ import annotations

from typing import Any, Final

from broker.contents.checking import Checker, described
from broker.contents.flags import topic_of
from broker.contents.model import (
    EARLIEST,
    LATEST,
    CommittedOffset,
    Contents,
    ContentsError,
    GroupContents,
    Path,
    SeedRecord,
    TopicContents,
)
from broker.contents.records import read_record
from broker.controller.names import CLUSTER_METADATA_TOPIC, collision_key, is_internal, name_problem

MAX_TOPICS: Final = 10_000
MAX_PARTITIONS: Final = 10_000
MAX_REPLICATION_FACTOR: Final = 32_767
MAX_RECORDS: Final = 1_000_000
MAX_GROUPS: Final = 10_000
MAX_CONFIGS: Final = 1_000
MAX_VALUES: Final = 20_000_000
"""How many values a declaration may hold, an alias counted as often as it is used."""
MAX_DEPTH: Final = 100
_SMALL: Final = 16

_TOP: Final = ("topics", "groups")
_TOPIC: Final = ("partitions", "replication_factor", "configs", "records")
_WORDS: Final = {"earliest": EARLIEST, "latest": LATEST}


def parse_contents(value: Any) -> Contents:
    """The whole declaration; None and {} declare nothing. Raises ContentsError with every mistake found."""
    check = Checker()
    if value is None:
        return Contents()
    size = _size(value)
    if size is None or size > MAX_VALUES:
        reason = f"is nested more than {MAX_DEPTH} deep" if size is None else f"holds more than {MAX_VALUES} values"
        check.note((), f"the declaration {reason}")
        check.finish()
    found = check.mapping(value, (), _TOP)
    topics = _topics(check, found.get("topics"), ("topics",))
    groups = _groups(check, found.get("groups"), ("groups",), {topic.name: topic for topic in topics})
    check.finish()
    return Contents(tuple(topics), tuple(groups))


def _topics(check: Checker, value: Any, path: Path) -> list[TopicContents]:
    if value is None:
        return []
    declared: list[tuple[str, Any, Path]] = []
    if isinstance(value, dict):
        declared = [(name, each, (*path, name)) for name, each in check.names(value, path)]
    elif isinstance(value, list):
        for index, each in enumerate(value):
            declared += _listed_topic(check, each, (*path, index))
    else:
        check.note(path, f"must be a mapping of names, or a list, not {described(value)}")
    if len(declared) > MAX_TOPICS:
        check.note(path, f"{len(declared)} topics are more than {MAX_TOPICS}")
        return []
    topics: dict[str, TopicContents] = {}
    collisions: dict[str, str] = {}
    records = 0
    for name, each, place in declared:
        if name in topics:
            check.note(place, f"topic {name!r} is declared twice; declare it once")
            continue
        topic = each if isinstance(each, TopicContents) else _topic(check, name, each, place)
        check_name(check, name, place)
        other = collisions.setdefault(collision_key(name), name)
        if other != name:
            check.note(place, f"topic {name!r} collides with {other!r}: '.' and '_' are the same in names of metrics")
        topics[name] = topic
        records += len(topic.records)
        if records > MAX_RECORDS:
            check.note(place, f"more than {MAX_RECORDS} records are declared")
            break
    return list(topics.values())


def _listed_topic(check: Checker, value: Any, path: Path) -> list[tuple[str, Any, Path]]:
    if isinstance(value, str):
        try:
            topic = topic_of(value)
        except ContentsError as error:
            for problem in error.problems:
                check.note(path, problem.message)
            return []
        return [(topic.name, topic, path)]
    if isinstance(value, dict) and isinstance(value.get("name"), str):
        return [(value["name"], {key: each for key, each in value.items() if key != "name"}, path)]
    check.note(path, f"must be NAME:PARTITIONS or a mapping with a name, not {described(value)}")
    return []


def check_name(check: Checker, name: str, path: Path) -> None:
    """Note what makes it no topic's name, or one of the broker's own."""
    problem = name_problem(name)
    if problem is not None:
        check.note(path, problem)
    elif is_internal(name) or name == CLUSTER_METADATA_TOPIC:
        check.note(path, f"{name} is the broker's own topic and cannot be declared")


def _topic(check: Checker, name: str, value: Any, path: Path) -> TopicContents:
    if value is None:
        return TopicContents(name)
    if isinstance(value, int) and not isinstance(value, bool):
        partitions = check.integer(value, path, 1, MAX_PARTITIONS, "partitions")
        return TopicContents(name, -1 if partitions is None else partitions)
    if not isinstance(value, dict):
        check.note(path, f"must be a number of partitions or a mapping, not {described(value)}")
        return TopicContents(name)
    found = check.mapping(value, path, _TOPIC)
    partitions = replication = None
    if found.get("partitions") is not None:
        partitions = check.integer(found["partitions"], (*path, "partitions"), 1, MAX_PARTITIONS, "partitions")
    if found.get("replication_factor") is not None:
        replication = check.integer(
            found["replication_factor"],
            (*path, "replication_factor"),
            1,
            MAX_REPLICATION_FACTOR,
            "the replication factor",
        )
    count = -1 if partitions is None else partitions
    return TopicContents(
        name,
        count,
        -1 if replication is None else replication,
        _configs(check, found.get("configs"), (*path, "configs")),
        _records(check, found.get("records"), (*path, "records"), count),
    )


def _configs(check: Checker, value: Any, path: Path) -> dict[str, str]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        check.note(path, f"must be a mapping of names to values, not {described(value)}")
        return {}
    if len(value) > MAX_CONFIGS:
        check.note(path, f"{len(value)} configs are more than {MAX_CONFIGS}")
        return {}
    configs = {}
    for name, each in check.names(value, path):
        text = config_text(each)
        if text is None:
            check.note(
                (*path, name), f"must be text, a number, true or false, or a list of them, not {described(each)}"
            )
        else:
            configs[name] = text
    return configs


def config_text(value: Any) -> str | None:
    """The value as a config's text: true and false in small letters, lists with commas. None for what has none."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return str(value)
    if isinstance(value, list):
        parts = [config_text(each) for each in value if not isinstance(each, list)]
        if len(parts) == len(value) and None not in parts:
            return ",".join(part for part in parts if part is not None)
    return None


def _records(check: Checker, value: Any, path: Path, partitions: int) -> tuple[SeedRecord, ...]:
    if value is None:
        return ()
    if not isinstance(value, list):
        check.note(path, f"must be a list, not {described(value)}")
        return ()
    if len(value) > MAX_RECORDS:
        check.note(path, f"{len(value)} records are more than {MAX_RECORDS}")
        return ()
    read = (read_record(check, each, (*path, index), partitions) for index, each in enumerate(value))
    return tuple(record for record in read if record is not None)


def _groups(check: Checker, value: Any, path: Path, topics: dict[str, TopicContents]) -> list[GroupContents]:
    if value is None:
        return []
    if not isinstance(value, dict):
        check.note(path, f"must be a mapping of group ids, not {described(value)}")
        return []
    if len(value) > MAX_GROUPS:
        check.note(path, f"{len(value)} groups are more than {MAX_GROUPS}")
        return []
    groups = []
    for group_id, offsets in check.names(value, path):
        place = (*path, group_id)
        if not group_id:
            check.note(place, "a group id must not be empty")
        if not isinstance(offsets, dict):
            check.note(place, f"must be a mapping of topics to offsets, not {described(offsets)}")
            continue
        committed: list[CommittedOffset] = []
        for topic, each in check.names(offsets, place):
            declared = topics.get(topic)
            committed += _committed(
                check, topic, each, (*place, topic), -1 if declared is None else declared.partitions
            )
        groups.append(GroupContents(group_id, tuple(committed)))
    return groups


def _committed(check: Checker, topic: str, value: Any, path: Path, partitions: int) -> list[CommittedOffset]:
    check_name(check, topic, path)
    if not isinstance(value, dict):
        offset = _offset(check, value, path)
        return [] if offset is None else [CommittedOffset(topic, None, offset)]
    committed = []
    for name, each in check.names(value, path):
        place = (*path, name)
        if not (name.isascii() and name.isdigit() and len(name) <= 10):
            check.note(place, f"must be a partition's number, not {described(name)}")
            continue
        partition = int(name)
        if 0 <= partitions <= partition:
            check.note(place, f"the topic has partitions 0 to {partitions - 1}, not {partition}")
        offset = _offset(check, each, place)
        if offset is not None:
            committed.append(CommittedOffset(topic, partition, offset))
    return committed


def _offset(check: Checker, value: Any, path: Path) -> int | None:
    if isinstance(value, str) and value in _WORDS:
        return _WORDS[value]
    if isinstance(value, int) and not isinstance(value, bool):
        return check.integer(value, path, 0, 2**63 - 1, "an offset")
    check.note(path, f"must be an offset, earliest or latest, not {described(value)}")
    return None


def _size(value: Any) -> int | None:
    """How many values there are, shared ones counted each time they stand; None when nested too deep or in a ring.

    Each large object is looked at once, so an alias bomb costs what its text does, times a small number.
    """
    known: dict[int, int] = {}

    def measure(each: Any, depth: int) -> int:
        if not isinstance(each, (dict, list)):
            return 1
        if depth > MAX_DEPTH:
            raise RecursionError
        size = known.get(id(each))
        if size is None:
            inner = each.values() if isinstance(each, dict) else each
            size = 1 + sum(measure(one, depth + 1) for one in inner)
            if size > _SMALL:
                known[id(each)] = size
        return size

    try:
        return measure(value, 0)
    except RecursionError:
        return None
