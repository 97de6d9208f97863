"""`/v1/clusters/{cluster}/topics/{topic}/records`: produce and read, for helpers in any language."""

from __future__ import annotations

import re
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

from broker.cluster import Cluster
from broker.control.plane import cluster_of
from broker.control.producing import NewRecord, produce
from broker.control.reading import Budget, read_partition
from broker.control.record_values import Encoding, Format, as_bytes, headers_as_bytes, shown
from broker.control.topics import led_partition, topic_named
from broker.controller.model import TopicImage
from broker.deferred import Deferred
from broker.http.endpoint import Call, ControlError, Endpoint
from broker.partitions import Partition
from kwire.errors import CorruptRecordsError
from kwire.records import Record

MAX_RECORDS: Final = 10_000
MAX_WAIT_MS: Final = 300_000
_ANSWER_BYTES: Final = 16 * 1024 * 1024
# A poll looks at least this often whether leaders have moved.
_LOOK_MS: Final = 1_000
_POSITION: Final = re.compile(r"(\d{1,10}):(\d{1,19})")


class HeaderBody(msgspec.Struct, forbid_unknown_fields=True):
    """A header of any bytes, or as the short forms have it."""

    name: str
    value: Any = None
    value_base64: str | None = None


class RecordBody(msgspec.Struct, forbid_unknown_fields=True):
    """A record. Text is written as UTF-8, other JSON as its compact text, null as null.

    key_base64, value_base64: for other bytes. headers: by name; or a list of [name, value], or of objects, which can
    have a value_base64. partition: null to go by the key as Kafka's producers do, without a key round all of them.
    timestamp_ms: null for the cluster's time.
    """

    key: Any = None
    value: Any = None
    key_base64: str | None = None
    value_base64: str | None = None
    headers: dict[str, Any] | list[tuple[str, Any] | HeaderBody] = {}
    partition: Annotated[int, Meta(ge=0, le=2**31 - 1)] | None = None
    timestamp_ms: Annotated[int, Meta(ge=0, le=2**63 - 1)] | None = None


class ProduceBody(msgspec.Struct, forbid_unknown_fields=True):
    """Records to append. create: make a topic that is not there, as auto.create.topics.enable would. timeout_ms: how
    long to wait, by the machine's clock, for in-sync replicas that are held back.
    """

    records: Annotated[list[RecordBody], Meta(min_length=1, max_length=MAX_RECORDS)]
    create: bool = False
    timeout_ms: Annotated[int, Meta(ge=0, le=MAX_WAIT_MS)] = 30_000


class PlacedView(msgspec.Struct):
    """Where a record is, once it is committed."""

    partition: int
    offset: int
    timestamp_ms: int


class ProduceAnswer(msgspec.Struct):
    """In the order of the request's records."""

    records: list[PlacedView]


class HeaderView(msgspec.Struct):
    """One header."""

    name: str
    value: Any
    encoding: Encoding


class RecordView(msgspec.Struct):
    """A record as a consumer gets it. key_encoding, value_encoding: how the bytes are shown."""

    partition: int
    offset: int
    timestamp_ms: int
    key: Any
    key_encoding: Encoding
    value: Any
    value_encoding: Encoding
    headers: list[HeaderView]


class PartitionProgress(msgspec.Struct):
    """Where reading came in a partition."""

    partition: int
    next_offset: int
    log_start_offset: int
    high_watermark: int
    last_stable_offset: int


class RecordsAnswer(msgspec.Struct):
    """next: to be given as `from` to go on.  Records of a partition are in order."""

    records: list[RecordView]
    next: str
    partitions: list[PartitionProgress]


class RecordsQuery(msgspec.Struct, forbid_unknown_fields=True, rename={"from_": "from"}):
    """What to read.

    partition: none for all of them. from: "earliest", "latest", an offset, or what `next` was. limit: of records.
    at_least: the answer waits for so many, timeout_ms at most, by the machine's clock (a frozen cluster's records can
    be waited for too). key_format, value_format: "auto" shows JSON as JSON (of keys only objects and arrays), then
    text, then base64.
    """

    partition: Annotated[int, Meta(ge=0, le=2**31 - 1)] | None = None
    from_: str = "earliest"
    limit: Annotated[int, Meta(ge=1, le=MAX_RECORDS)] = 100
    at_least: Annotated[int, Meta(ge=1, le=MAX_RECORDS)] = 1
    timeout_ms: Annotated[int, Meta(ge=0, le=MAX_WAIT_MS)] = 0
    isolation: Literal["read_uncommitted", "read_committed"] = "read_uncommitted"
    key_format: Format = "auto"
    value_format: Format = "auto"


async def produce_records(call: Call, body: ProduceBody) -> ProduceAnswer:
    cluster = cluster_of(call).cluster
    records = [_record(each, f"records[{index}]") for index, each in enumerate(body.records)]
    name = call.path["topic"]
    if body.create and cluster.controller.image.topic_by_name(name) is None:
        (created,) = await call.wait(cluster.controller.create_missing_topic(name))
        if created.error is not None:
            raise created.error
    placed = await produce(call, cluster, topic_named(cluster, name), records, body.timeout_ms)
    return ProduceAnswer([PlacedView(each.partition, each.offset, each.timestamp_ms) for each in placed])


def _record(body: RecordBody, where: str) -> NewRecord:
    return NewRecord(
        key=as_bytes(body.key, body.key_base64, f"{where}.key"),
        value=as_bytes(body.value, body.value_base64, f"{where}.value"),
        headers=headers_as_bytes(_headers(body.headers), f"{where}.headers"),
        partition=body.partition,
        timestamp_ms=body.timestamp_ms,
    )


def _headers(given: dict[str, Any] | list[tuple[str, Any] | HeaderBody]) -> list[tuple[str, Any, str | None]]:
    """(name, value, value_base64)."""
    if isinstance(given, dict):
        return [(name, value, None) for name, value in given.items()]
    return [
        (each.name, each.value, each.value_base64) if isinstance(each, HeaderBody) else (*each, None) for each in given
    ]


async def read_topic(call: Call) -> RecordsAnswer:
    query: RecordsQuery = call.query
    cluster = cluster_of(call).cluster
    topic = topic_named(cluster, call.path["topic"])
    positions = _positions(cluster, topic, query)
    found: list[tuple[int, Record]] = []
    budget = Budget(query.limit, _ANSWER_BYTES)
    left_ms = float(query.timeout_ms)
    wanted = min(query.at_least, query.limit)
    while True:
        _read_all(cluster, topic, positions, budget, found, committed=query.isolation == "read_committed")
        if len(found) >= wanted or budget.spent or left_ms <= 0 or call.over:
            break
        wait_ms = min(left_ms, float(_LOOK_MS))
        watch = _Watch()
        watched = [led_partition(cluster, topic, index) for index in positions]
        for partition in watched:
            partition.watch(watch)
        try:
            # Nothing awaits between the reading and the watching: what comes after is seen.
            timed_out = not await call.wait_at_most(watch.grew, wait_ms)
        finally:
            for partition in watched:
                partition.unwatch(watch)
        if timed_out:
            left_ms -= wait_ms
        # The cluster may be gone by now, put back to a snapshot, or led by other nodes.
        cluster = cluster_of(call).cluster
        topic = topic_named(cluster, topic.name)
    return RecordsAnswer(
        records=[_view(index, record, query) for index, record in found],
        next=",".join(f"{index}:{offset}" for index, offset in positions.items()),
        partitions=[_progress(led_partition(cluster, topic, index), offset) for index, offset in positions.items()],
    )


class _Watch:
    """Sees a partition grow."""

    def __init__(self) -> None:
        self.grew: Deferred[None] = Deferred()

    def grown(self, _partition: Partition) -> None:
        if not self.grew.done:
            self.grew.resolve(None)


def _read_all(
    cluster: Cluster,
    topic: TopicImage,
    positions: dict[int, int],
    budget: Budget,
    found: list[tuple[int, Record]],
    *,
    committed: bool,
) -> None:
    """Read on in every partition; the one that was read least is read first."""
    for index in sorted(positions, key=lambda index: positions[index]):
        if budget.spent:
            return
        try:
            records, offset = read_partition(
                led_partition(cluster, topic, index), positions[index], budget, committed=committed
            )
        except CorruptRecordsError as error:
            raise ControlError(
                500, "corrupt_records", f"records of partition {index} from {positions[index]} on: {error}"
            ) from None
        positions[index] = offset
        found += [(index, record) for record in records]


def _positions(cluster: Cluster, topic: TopicImage, query: RecordsQuery) -> dict[int, int]:
    """The offset to begin with, by partition. Raises ControlError."""
    count = len(topic.partitions)
    wanted = range(count) if query.partition is None else [query.partition]
    text = query.from_
    if text == "earliest":
        return {index: led_partition(cluster, topic, index).log.log_start_offset for index in wanted}
    if text == "latest":
        return {index: led_partition(cluster, topic, index).log.high_watermark for index in wanted}
    if text.isascii() and text.isdecimal() and len(text) < 20:
        if query.partition is None and count > 1:
            raise ControlError(
                400, "invalid_query", f"from={text} needs a partition; topic {topic.name!r} has {count} of them"
            )
        return {index: _known(cluster, topic, index, int(text)) for index in wanted}
    found: dict[int, int] = {}
    for each in text.split(","):
        match = _POSITION.fullmatch(each)
        if match is None:
            raise ControlError(
                400,
                "invalid_query",
                f"from cannot be {text[:100]!r}",
                allowed=["earliest", "latest", "OFFSET (with partition)", "PARTITION:OFFSET,..."],
            )
        found[int(match[1])] = _known(cluster, topic, int(match[1]), int(match[2]))
    if query.partition is not None and set(found) != {query.partition}:
        raise ControlError(400, "invalid_query", f"from={text[:100]} is not about partition {query.partition} alone")
    return found


def _known(cluster: Cluster, topic: TopicImage, index: int, offset: int) -> int:
    log = led_partition(cluster, topic, index).log
    if not log.log_start_offset <= offset <= log.log_end_offset:
        raise ControlError(
            400,
            "offset_out_of_range",
            f"partition {index} has offsets {log.log_start_offset} to {log.log_end_offset}, not {offset}",
        )
    return offset


def _view(index: int, record: Record, query: RecordsQuery) -> RecordView:
    key, key_encoding = shown(record.key, query.key_format, is_key=True)
    value, value_encoding = shown(record.value, query.value_format)
    return RecordView(
        partition=index,
        offset=record.offset,
        timestamp_ms=record.timestamp,
        key=key,
        key_encoding=key_encoding,
        value=value,
        value_encoding=value_encoding,
        headers=[HeaderView(name, *shown(content, "text")) for name, content in record.headers],
    )


def _progress(partition: Partition, next_offset: int) -> PartitionProgress:
    log = partition.log
    return PartitionProgress(
        partition=partition.index,
        next_offset=next_offset,
        log_start_offset=log.log_start_offset,
        high_watermark=log.high_watermark,
        last_stable_offset=log.last_stable_offset,
    )


_PATH = "/v1/clusters/{cluster}/topics/{topic}/records"
endpoints = [
    Endpoint(
        "POST",
        _PATH,
        produce_records,
        body=ProduceBody,
        answer=ProduceAnswer,
        summary="Produce records",
        description="Answered when they are committed. What can be refused is refused before any is written.",
        tag="topics",
    ),
    Endpoint(
        "GET",
        _PATH,
        read_topic,
        query=RecordsQuery,
        answer=RecordsAnswer,
        summary="Read records",
        description="With timeout_ms the answer waits for records that are still to come.",
        tag="topics",
    ),
]
