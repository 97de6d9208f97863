"""What is declared. Nothing here has met a cluster yet."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from attrs import field, frozen

EARLIEST: Final = -2
LATEST: Final = -1
"""Places of a committed offset that are known only when the log is there; the numbers are those of ListOffsets."""

Path = tuple[str | int, ...]


@frozen
class Problem:
    """One mistake. path: where, from the top of the declaration; line and column from 1, 0 when not known."""

    path: Path
    message: str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        place = shown_path(self.path)
        if self.line:
            place = f"line {self.line}, column {self.column}" + (f" ({place})" if place else "")
        return f"{place}: {self.message}" if place else self.message


class ContentsError(ValueError):
    """A declaration that cannot be used; `problems` are all the mistakes that were found, in their order."""

    def __init__(self, problems: list[Problem], source: str = "") -> None:
        self.problems = problems
        self.source = source
        before = f"{source}: " if source else ""
        super().__init__("\n".join(f"{before}{problem}" for problem in problems))


def shown_path(path: Path) -> str:
    """``topics.orders.records[2]``"""
    text = ""
    for each in path:
        text += f"[{each}]" if isinstance(each, int) else f".{each}" if text else each
    return text


@frozen
class SeedRecord:
    """A record to begin with. timestamp_ms None: the time at which it is written; partition None: by the key."""

    value: bytes | None
    key: bytes | None = None
    headers: tuple[tuple[str, bytes | None], ...] = ()
    partition: int | None = None
    timestamp_ms: int | None = None


@frozen
class TopicContents:
    """A topic. partitions, replication_factor: -1 for the cluster's default."""

    name: str
    partitions: int = -1
    replication_factor: int = -1
    configs: Mapping[str, str] = field(factory=dict)
    records: tuple[SeedRecord, ...] = ()


@frozen
class CommittedOffset:
    """Of one group. partition None: of every partition; offset: a number, EARLIEST or LATEST."""

    topic: str
    partition: int | None
    offset: int


@frozen
class GroupContents:
    """A consumer group without members that has committed offsets."""

    group_id: str
    offsets: tuple[CommittedOffset, ...]


@frozen
class Contents:
    """All that is declared."""

    topics: tuple[TopicContents, ...] = ()
    groups: tuple[GroupContents, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.topics or self.groups)

    def joined(self, other: Contents) -> Contents:
        """Both together. Raises ContentsError when a topic or group is declared in both."""
        topics = {topic.name for topic in self.topics}
        groups = {group.group_id for group in self.groups}
        problems = [
            Problem(("topics", topic.name), "is declared twice; declare it once")
            for topic in other.topics
            if topic.name in topics
        ]
        problems += [
            Problem(("groups", group.group_id), "is declared twice; declare it once")
            for group in other.groups
            if group.group_id in groups
        ]
        if problems:
            raise ContentsError(problems)
        return Contents(self.topics + other.topics, self.groups + other.groups)
