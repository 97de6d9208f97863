"""Reading records with kafka-python's consumer: chosen partitions in a range, or as a member of a group."""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, Final

from attrs import frozen

from broker.cli.metadata import EARLIEST, LATEST, Metadata, list_offsets, partitions_of
from broker.cli.offset_range import OffsetRange, Position
from broker.cli.output import CommandError
from broker.cli.record_format import Consumed
from broker.cli.when import now_ms

Place = tuple[str, int]

_METADATA_TRIES: Final = 250


@frozen
class Plan:
    """Where each partition begins and, where reading ends, ends (without that offset)."""

    begins: Mapping[Place, int]
    ends: Mapping[Place, int] | None

    @classmethod
    def of(
        cls, admin: Any, topics: Sequence[Metadata], only: Collection[int], wanted: OffsetRange, *, committed: bool
    ) -> Plan:
        """Ask for what the range means now. Raises CommandError for partitions that are not there or have no leader."""
        places = partitions_of(topics, only)
        lost = [f"{topic}-{index}" for topic, index, leader in places if leader < 0]
        if lost:
            raise CommandError(f"{', '.join(lost)} has no leader now")
        first = list_offsets(admin, places, EARLIEST)
        last = list_offsets(admin, places, LATEST, committed=committed)
        begins = _resolved(admin, places, wanted.begin, first, last)
        ends = None
        if wanted.end is not None:
            # Never beyond what is the end now: a partition with fewer records would be waited for.
            found = _resolved(admin, places, wanted.end, first, last)
            ends = {place: min(end, last[place]) for place, end in found.items()}
        return cls(begins, ends)


def _resolved(
    admin: Any,
    places: Sequence[tuple[str, int, int]],
    position: Position,
    first: Mapping[Place, int],
    last: Mapping[Place, int],
) -> dict[Place, int]:
    at_time: Mapping[Place, int] = {}
    if position.timestamp_ms is not None:
        moment = position.timestamp_ms if position.timestamp_ms >= 0 else now_ms() + position.timestamp_ms
        at_time = list_offsets(admin, places, moment)
    found = {}
    for topic, index, _ in places:
        place = (topic, index)
        low, high = first[place], last[place]
        if position.offset is not None:
            target = position.offset
        elif position.back is not None:
            target = high - position.back
        elif position.forward is not None:
            target = low + position.forward
        elif position.timestamp_ms is not None:
            target = at_time.get(place, -1)
            target = high if target < 0 else target
        else:
            target = high if position.word == "end" else low
        found[place] = max(target, low)
    return found


def read_partitions(consumer: Any, plan: Plan, poll_ms: int) -> Iterator[list[Consumed]]:
    """Records as they come, in order within a partition, [] when none came; ends where the plan does."""
    from kafka import TopicPartition

    left = {TopicPartition(*place): offset for place, offset in plan.begins.items()}
    ends = None if plan.ends is None else {TopicPartition(*place): offset for place, offset in plan.ends.items()}
    if ends is not None:
        left = {place: offset for place, offset in left.items() if offset < ends[place]}
    if not left:
        return
    consumer.assign(list(left))
    for place, offset in left.items():
        consumer.seek(place, offset)
    while left:
        polled = consumer.poll(poll_ms)
        if not polled:
            yield []
        for place, records in polled.items():
            if place not in left:
                continue
            end = None if ends is None else ends[place]
            batch = [_consumed(record) for record in records if end is None or record.offset < end]
            if batch:
                yield batch
        if ends is not None:
            # The position passes what is not shown: markers, aborted records, what was compacted away.
            for place in [place for place in left if consumer.position(place) >= ends[place]]:
                del left[place]
                consumer.pause(place)


def read_group(
    consumer: Any, topics: Sequence[str], poll_ms: int, *, most: int | None, exit_at_end: bool, commit: bool
) -> Iterator[list[Consumed]]:
    """Records of what the member is assigned, [] when none came.

    What was given is committed when the next is asked for, and at the end. most: never fetch more than so many in all,
    so that what is committed is what was given.
    """
    # Known before the group is joined: kafka-python may else assign nothing and not notice.
    for topic in topics:
        for _ in range(_METADATA_TRIES):
            if consumer.partitions_for_topic(topic):
                break
            threading.Event().wait(0.02)
    consumer.subscribe(list(topics))
    given = 0
    ends: dict[Any, int] | None = None
    try:
        while True:
            limit = None if most is None else most - given
            if limit == 0:
                return
            polled = consumer.poll(poll_ms, max_records=limit)
            if not polled:
                yield []
            for records in polled.values():
                given += len(records)
                yield [_consumed(record) for record in records]
            if polled and commit:
                consumer.commit()
            if not exit_at_end or not consumer.assignment():
                continue
            if ends is None or set(ends) != consumer.assignment():
                ends = consumer.end_offsets(list(consumer.assignment()))
            if all(consumer.position(place) >= end for place, end in ends.items()):
                return
    finally:
        if given and commit:
            consumer.commit()


def _consumed(record: Any) -> Consumed:
    return Consumed(
        record.topic,
        record.partition,
        record.offset,
        record.timestamp,
        record.timestamp_type,
        record.key,
        record.value,
        tuple(record.headers),
    )
