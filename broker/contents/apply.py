"""Contents into a cluster. All is checked before anything is made; topics that are there already stay as they are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final

from attrs import define, field, frozen

from broker.contents.model import (
    Contents,
    ContentsError,
    GroupContents,
    Path,
    Problem,
    SeedRecord,
    TopicContents,
)
from broker.contents.offsets import commit, led, next_turn
from broker.contents.partitioning import partition_for_key
from broker.controller.decisions.topics import CreatedTopic, NewTopic
from broker.controller.ports import RESOURCE_TOPIC
from broker.deferred import Deferred
from kwire.errors import ApiError, KwireError
from kwire.records import RecordBatchBuilder

if TYPE_CHECKING:
    from broker.cluster import Cluster

# The controller refuses more than 10,000 partitions, or records, at once.
_PARTITIONS_AT_ONCE: Final = 4_000
_BATCH_BYTES: Final = 512 << 10
_BATCH_RECORDS: Final = 10_000
# Of a record: lengths, deltas, attributes; of a batch: its header. Upper bounds.
_RECORD_OVERHEAD: Final = 40
_HEADER_OVERHEAD: Final = 12
_BATCH_OVERHEAD: Final = 61
_MAX_MESSAGE: Final = "max.message.bytes"
_CLEANUP: Final = "cleanup.policy"


@frozen
class Applied:
    """What came of it. differences: where a topic that was there already is not as declared, as sentences."""

    created: tuple[str, ...]
    kept: tuple[str, ...]
    differences: tuple[str, ...]
    records: int
    offsets: int


@define
class _Planned:
    """A declared topic with its place in the declaration, and what the cluster would make or has made of it."""

    topic: TopicContents
    path: Path
    partitions: int
    seeded: bool = True
    configs: dict[str, str] = field(factory=dict)


async def apply(cluster: Cluster, contents: Contents) -> Applied:
    """Make what is declared and not there yet; done when all of it is committed. Awaits Deferreds only.

    Raises ContentsError when anything cannot be made: then nothing is, what was begun is deleted again. A topic that
    exists keeps its partitions, configs and records; it gets the declared records only if it never had any, so that a
    start after a crash ends what the one before it began. A committed offset that exists stays.
    """
    planned, new = await _plan(cluster, contents)
    problems = [problem for each in planned for problem in _record_problems(each)]
    problems += _group_problems(cluster, contents.groups, planned)
    if problems:
        raise ContentsError(problems)
    created = await _create(cluster, new)
    try:
        records = await _seed(cluster, [each for each in planned if each.seeded])
        offsets = 0
        for group in contents.groups:
            offsets += await commit(cluster, group)
    except Exception:  # not where the cluster itself is gone
        await cluster.controller.delete_topics([topic_id for _, topic_id in created])
        raise
    names = {name for name, _ in created}
    kept = [each for each in planned if each.topic.name not in names]
    differences = [text for each in kept for text in _differences(cluster, each.topic)]
    return Applied(
        tuple(name for name, _ in created),
        tuple(each.topic.name for each in kept),
        tuple(differences),
        records,
        offsets,
    )


# -- before anything is made


async def _plan(cluster: Cluster, contents: Contents) -> tuple[list[_Planned], list[_Planned]]:
    """All topics, and those of them that are to be created. Raises ContentsError for what cannot be."""
    planned = []
    new = []
    for topic in contents.topics:
        path = ("topics", topic.name)
        found = cluster.controller.image.topic_by_name(topic.name)
        if found is None:
            each = _Planned(topic, path, topic.partitions)
            new.append(each)
        else:
            each = _Planned(topic, path, len(found.partitions), seeded=_never_written(cluster, topic))
            each.configs = dict(found.configs)
        planned.append(each)
    problems = []
    for part in _portions(new):
        answers = await cluster.controller.create_topics([_new_topic(each.topic) for each in part], validate_only=True)
        for each, answer in zip(part, answers, strict=True):
            if answer.error is not None:
                problems.append(Problem(each.path, _explained(answer.error)))
            else:
                each.partitions = answer.num_partitions
                each.configs = {entry.name: entry.value for entry in answer.configs if entry.value is not None}
    if problems:
        raise ContentsError(problems)
    return planned, new


def _portions(topics: Sequence[_Planned]) -> Iterator[list[_Planned]]:
    part: list[_Planned] = []
    total = 0
    for each in topics:
        # The controller counts a record for each config too.
        size = max(each.topic.partitions, 1) + len(each.topic.configs)
        if part and total + size > _PARTITIONS_AT_ONCE:
            yield part
            part, total = [], 0
        part.append(each)
        total += size
    if part:
        yield part


def _new_topic(topic: TopicContents) -> NewTopic:
    return NewTopic(topic.name, topic.partitions, topic.replication_factor, (), list(topic.configs.items()))


def _explained(error: ApiError) -> str:
    return error.message or error.code.name


def _never_written(cluster: Cluster, topic: TopicContents) -> bool:
    """Whether there are records to be seeded, and the topic has never had any."""
    if not topic.records:
        return False
    found = cluster.controller.image.topic_by_name(topic.name)
    count = 0 if found is None else len(found.partitions)
    partitions = [led(cluster, topic.name, index) for index in range(count)]
    return all(each is not None and each.log.log_end_offset == 0 for each in partitions)


def _record_problems(planned: _Planned) -> Iterator[Problem]:
    topic = planned.topic
    largest = int(planned.configs.get(_MAX_MESSAGE, 1_048_588))
    compacted = "compact" in planned.configs.get(_CLEANUP, "delete")
    for index, record in enumerate(topic.records):
        path = (*planned.path, "records", index)
        if record.partition is not None and record.partition >= planned.partitions:
            yield Problem(
                (*path, "partition"), f"the topic has partitions 0 to {planned.partitions - 1}, not {record.partition}"
            )
        if compacted and record.key is None:
            yield Problem((*path, "key"), "the topic is compacted (cleanup.policy), so each record needs a key")
        size = _record_bytes(record) + _BATCH_OVERHEAD
        if size > largest:
            yield Problem(path, f"takes about {size} bytes; {_MAX_MESSAGE} of the topic allows {largest}")


def _group_problems(
    cluster: Cluster, groups: Sequence[GroupContents], planned: Sequence[_Planned]
) -> Iterator[Problem]:
    counts = {each.topic.name: each.partitions for each in planned}
    for group in groups:
        for wanted in group.offsets:
            path = ("groups", group.group_id, wanted.topic)
            found = cluster.controller.image.topic_by_name(wanted.topic)
            count = counts.get(wanted.topic, 0 if found is None else len(found.partitions))
            if not count:
                yield Problem(path, f"there is no topic {wanted.topic!r}; declare it below topics")
            elif wanted.partition is not None and wanted.partition >= count:
                last = count - 1
                yield Problem((*path, str(wanted.partition)), f"the topic has partitions 0 to {last}")


# -- making it


async def _create(cluster: Cluster, new: Sequence[_Planned]) -> list[tuple[str, bytes]]:
    """Names and ids of what was created. Raises ContentsError; nothing is left then."""
    created: list[tuple[str, bytes]] = []
    for part in _portions(new):
        answers: list[CreatedTopic] = await cluster.controller.create_topics([_new_topic(each.topic) for each in part])
        created += [(answer.name, answer.topic_id) for answer in answers if answer.error is None]
        problems = [
            Problem(each.path, _explained(answer.error))
            for each, answer in zip(part, answers, strict=True)
            if answer.error is not None
        ]
        if problems:
            await cluster.controller.delete_topics([topic_id for _, topic_id in created])
            raise ContentsError(problems)
    return created


async def _seed(cluster: Cluster, planned: Sequence[_Planned]) -> int:
    """Write the records; how many. Raises ContentsError."""
    written = 0
    waiting: list[Deferred[None]] = []
    for each in planned:
        largest = int(each.configs.get(_MAX_MESSAGE, 1_048_588))
        for index, records in sorted(_by_partition(each).items()):
            partition = led(cluster, each.topic.name, index)
            if partition is None:
                raise ContentsError([Problem(each.path, f"partition {index} has no leader to write records to")])
            for batch in _batches(records, cluster.clock.now_ms(), min(largest, _BATCH_BYTES)):
                if waiting:
                    await next_turn(cluster)  # others are served meanwhile
                try:
                    info = partition.append(memoryview(batch))
                except KwireError as error:
                    message = f"records of partition {index} are refused: {error}"
                    raise ContentsError([Problem((*each.path, "records"), message)]) from None
                waiting.append(partition.committed(info.last_offset + 1))
            written += len(records)
    for done in waiting:
        await done
    return written


def _by_partition(planned: _Planned) -> dict[int, list[SeedRecord]]:
    """By their own partition, else by their key as a producer does it, else in turns."""
    found: dict[int, list[SeedRecord]] = {}
    turn = 0
    for record in planned.topic.records:
        index = record.partition
        if index is None and record.key is not None:
            index = partition_for_key(record.key, planned.partitions)
        elif index is None:
            index = turn % planned.partitions
            turn += 1
        found.setdefault(index, []).append(record)
    return found


def _batches(records: Sequence[SeedRecord], now_ms: int, most_bytes: int) -> Iterator[bytearray]:
    builder = RecordBatchBuilder()
    size = _BATCH_OVERHEAD
    for record in records:
        more = _record_bytes(record)
        if builder.record_count and (size + more > most_bytes or builder.record_count == _BATCH_RECORDS):
            yield builder.build()
            builder = RecordBatchBuilder()
            size = _BATCH_OVERHEAD
        timestamp_ms = now_ms if record.timestamp_ms is None else record.timestamp_ms
        builder.append(record.key, record.value, timestamp=timestamp_ms, headers=record.headers)
        size += more
    if builder.record_count:
        yield builder.build()


def _record_bytes(record: SeedRecord) -> int:
    """At most this many bytes in a batch."""
    size = _RECORD_OVERHEAD + len(record.key or b"") + len(record.value or b"")
    for name, value in record.headers:
        size += _HEADER_OVERHEAD + len(name.encode()) + len(value or b"")
    return size


# -- what is told


def _differences(cluster: Cluster, topic: TopicContents) -> Iterator[str]:
    found = cluster.controller.image.topic_by_name(topic.name)
    if found is None:
        return
    if topic.partitions not in (-1, len(found.partitions)):
        yield f"topic {topic.name} has {len(found.partitions)} partitions, declared are {topic.partitions}"
    factor = len(found.partitions[0].replicas)
    if topic.replication_factor not in (-1, factor):
        yield f"topic {topic.name} has replication factor {factor}, declared is {topic.replication_factor}"
    configs = cluster.controller.image.configs(RESOURCE_TOPIC, topic.name)
    for name, value in topic.configs.items():
        if configs.get(name) != value:
            has = configs.get(name)
            yield f"topic {topic.name} has {name}={'its default' if has is None else has}, declared is {value}"
