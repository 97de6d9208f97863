"""A transactional producer, driven request by request, in both generations of the protocol."""

import struct
from collections.abc import Callable
from typing import Any

from attrs import define, field, frozen

from compat_tests.raw.batches import batch, headers
from compat_tests.raw.groups import LOADING
from compat_tests.raw.wire import Wire, eventually
from kwire.records import read_records

CONCURRENT = 51  # another change of the transaction is under way; clients ask again
NO_PRODUCER = -1

TRANSACTIONAL = 0x10  # bits of a batch's attributes
CONTROL = 0x20

Partition = tuple[str, int]


@frozen
class Generation:
    """The versions a client uses; ``joins``: Produce and TxnOffsetCommit add what they write to by themselves."""

    name: str
    produce: int
    offsets: int
    end: int
    joins: bool


CLASSIC = Generation("classic", produce=11, offsets=4, end=4, joins=False)
CURRENT = Generation("current", produce=12, offsets=5, end=5, joins=True)
GENERATIONS = {g.name: g for g in (CLASSIC, CURRENT)}


@define
class Txn:
    """A producer with a transactional id. ``init`` and ``end`` keep the id and epoch of their answers.

    What starts with ``ask_`` is one request and its answer, whatever it is; the others ask again while the
    coordinator is loading or still completes the last transaction, and fail on any other error.
    """

    wire: Wire
    id: str
    generation: Generation = CLASSIC
    timeout_ms: int = 60000
    producer_id: int = NO_PRODUCER
    epoch: int = -1
    sequences: dict[Partition, int] = field(factory=dict)

    # Producer ids

    def ask_init(self, version: int = 5, **more: Any) -> Any:
        fields: dict[str, Any] = {"transactional_id": self.id, "transaction_timeout_ms": self.timeout_ms}
        return self.wire.ask("InitProducerId", version, **fields | more)

    def init(self, **more: Any) -> "Txn":
        """A new epoch; an open transaction is aborted."""
        answer = settled(lambda: self.ask_init(**more), f"InitProducerId {self.id}")
        assert answer.error_code == 0, f"InitProducerId {self.id}: {answer.error_code}"
        self.producer_id, self.epoch = answer.producer_id, answer.producer_epoch
        self.sequences.clear()
        return self

    @property
    def me(self) -> dict[str, Any]:
        return {"transactional_id": self.id, "producer_id": self.producer_id, "producer_epoch": self.epoch}

    # Partitions and offsets

    def ask_add(self, *partitions: Partition, version: int = 3, **more: Any) -> dict[Partition, int]:
        """AddPartitionsToTxn as clients send it: the error of each partition."""
        fields = {f"v3_and_below_{name}": value for name, value in (self.me | more).items()}
        answer = self.wire.ask("AddPartitionsToTxn", version, v3_and_below_topics=by_topic(partitions), **fields)
        return partition_errors(answer.results_by_topic_v3_and_below)

    def add(self, *partitions: Partition) -> None:
        errors = settled_errors(lambda: self.ask_add(*partitions), f"AddPartitionsToTxn {self.id}")
        assert set(errors.values()) == {0}, f"AddPartitionsToTxn {self.id}: {errors}"

    def ask_add_offsets(self, group: str, version: int = 4, **more: Any) -> int:
        return int(self.wire.ask("AddOffsetsToTxn", version, **self.me | {"group_id": group} | more).error_code)

    def add_offsets(self, group: str) -> None:
        error = settled_errors(lambda: {"": self.ask_add_offsets(group)}, f"AddOffsetsToTxn {self.id}")[""]
        assert error == 0, f"AddOffsetsToTxn {self.id}: {error}"

    def ask_commit_offset(
        self, group: str, topic: str, offset: int, partition: int = 0, version: int | None = None, **more: Any
    ) -> int:
        """TxnOffsetCommit of one partition: its error."""
        partitions = [{"partition_index": partition, "committed_offset": offset, "committed_metadata": "t"}]
        fields = self.me | {"group_id": group, "topics": [{"name": topic, "partitions": partitions}]} | more
        answer = self.wire.ask("TxnOffsetCommit", self.generation.offsets if version is None else version, **fields)
        return int(answer.topics[0].partitions[0].error_code)

    def commit_offset(self, group: str, topic: str, offset: int, partition: int = 0) -> None:
        """Within the transaction, which the group joins."""
        if not self.generation.joins:
            self.add_offsets(group)
        errors = settled_errors(
            lambda: {"": self.ask_commit_offset(group, topic, offset, partition)}, "TxnOffsetCommit"
        )
        assert errors[""] == 0, f"TxnOffsetCommit {self.id}: {errors['']}"

    # Records

    def ask_produce(
        self,
        topic: str,
        *values: bytes,
        partition: int = 0,
        version: int | None = None,
        sequence: int | None = None,
        plain: bool = False,
        transactional_id: Any = ...,
    ) -> Any:
        """Produce's entry for one batch of one record a value, within the transaction unless ``plain``."""
        values = values or (b"v",)
        first = self.sequences.get((topic, partition), 0) if sequence is None else sequence
        data = batch(
            *values,
            attributes=0 if plain else 0x10,
            producer_id=self.producer_id,
            producer_epoch=self.epoch,
            base_sequence=first,
        )
        answer = self.wire.produce(
            topic,
            data,
            partition=partition,
            version=self.generation.produce if version is None else version,
            transactional_id=self.id if transactional_id is ... else transactional_id,
        )
        if answer.error_code == 0 and sequence is None:
            self.sequences[topic, partition] = first + len(values)
        return answer

    def produce(self, topic: str, *values: bytes, partition: int = 0) -> int:
        """Within the transaction, which the partition joins; the base offset."""
        if not self.generation.joins:
            self.add((topic, partition))
        answer = settled(lambda: self.ask_produce(topic, *values, partition=partition), f"Produce {self.id}")
        assert answer.error_code == 0, f"Produce {self.id}: {answer.error_code}"
        return int(answer.base_offset)

    # The end

    def ask_end(self, committed: bool, version: int | None = None, **more: Any) -> Any:
        version = self.generation.end if version is None else version
        return self.wire.ask("EndTxn", version, **self.me | {"committed": committed} | more)

    def end(self, committed: bool) -> None:
        """Until the markers are written."""
        answer = settled(lambda: self.ask_end(committed), f"EndTxn {self.id}")
        assert answer.error_code == 0, f"EndTxn {self.id}: {answer.error_code}"
        if self.generation.joins:
            if (answer.producer_id, answer.producer_epoch) != (self.producer_id, self.epoch):
                self.sequences.clear()
            self.producer_id, self.epoch = answer.producer_id, answer.producer_epoch
        self.wait_for_end()

    def commit(self) -> None:
        self.end(True)

    def abort(self) -> None:
        self.end(False)

    # What the coordinator says of it

    def described(self) -> Any:
        (entry,) = self.wire.ask("DescribeTransactions", 0, transactional_ids=[self.id]).transaction_states
        return entry

    @property
    def state(self) -> str:
        return str(self.described().transaction_state)

    def wait_for_end(self) -> None:
        eventually(lambda: self.state, lambda s: not s.startswith(("Ongoing", "Prepare")), f"the end of {self.id}")


def by_topic(partitions: tuple[Partition, ...]) -> list[dict[str, Any]]:
    topics: dict[str, list[int]] = {}
    for name, index in partitions:
        topics.setdefault(name, []).append(index)
    return [{"name": name, "partitions": indexes} for name, indexes in topics.items()]


def partition_errors(topics: list[Any]) -> dict[Partition, int]:
    return {(t.name, p.partition_index): p.partition_error_code for t in topics for p in t.results_by_partition}


def settled(ask: Callable[[], Any], what: str) -> Any:
    """The answer once its error is none of those that pass."""
    return eventually(ask, lambda a: a.error_code not in (*LOADING, CONCURRENT), what)


def settled_errors(ask: Callable[[], dict[Any, int]], what: str) -> dict[Any, int]:
    return eventually(ask, lambda errors: not {*LOADING, CONCURRENT}.intersection(errors.values()), what)  # type: ignore[no-any-return]


def warm_up_transactions(wire: Wire) -> None:
    """Return when the coordinators of all transactional ids answer."""
    eventually(
        lambda: wire.ask("FindCoordinator", 3, key="warm-up", key_type=1),
        lambda a: a.error_code != 15,
        "the coordinator of a transactional id",
    )
    ids = [f"warm-up-{number}" for number in range(1000)]  # some in each of the 50 partitions
    eventually(
        lambda: {s.error_code for s in wire.ask("DescribeTransactions", 0, transactional_ids=ids).transaction_states},
        lambda errors: not errors.intersection(LOADING),
        "the coordinators of all transactional ids",
    )


def transaction_version(wire: Wire) -> int:
    """The finalized level that ApiVersions tells, 0 when there is none."""
    answer = wire.ask("ApiVersions", 4, client_software_name="raw", client_software_version="1")
    return {f.name: int(f.max_version_level) for f in answer.finalized_features}.get("transaction.version", 0)


def last_stable(wire: Wire, topic: str, partition: int = 0) -> int:
    """The end of what read_committed reads, by ListOffsets."""
    topics = [{"name": topic, "partitions": [{"partition_index": partition, "timestamp": -1}]}]
    answer = wire.ask("ListOffsets", 7, replica_id=-1, isolation_level=1, topics=topics)
    entry = answer.topics[0].partitions[0]
    assert entry.error_code == 0, f"ListOffsets {topic}: {entry.error_code}"
    return int(entry.offset)


@frozen
class Read:
    """What a fetch with read_committed from some offset gives."""

    last_stable_offset: int
    high_watermark: int
    aborted: list[tuple[int, int]]  # producer id, first offset
    batches: list[tuple[int, int, int, int]]  # base offset, attributes, producer id, producer epoch


def read(wire: Wire, topic: str, offset: int = 0, *, committed: bool = True, **more: Any) -> Read:
    got = wire.fetch(topic, offset, isolation_level=int(committed), **more)
    assert got.error_code == 0, f"Fetch {topic}: {got.error_code}"
    aborted = [(a.producer_id, a.first_offset) for a in got.aborted_transactions or ()]
    batches = [(h.base_offset, h.attributes, h.producer_id, h.producer_epoch) for h in headers(got.records)]
    return Read(got.last_stable_offset, got.high_watermark, aborted, batches)


def committed_values(wire: Wire, topic: str, partition: int = 0) -> list[bytes]:
    """What a reader of committed records sees: aborted ones are left out by the broker's list, as clients do it."""
    got = wire.fetch(topic, 0, partition=partition, isolation_level=1)
    aborted = sorted((a.first_offset, a.producer_id) for a in got.aborted_transactions or ())
    ignored: set[int] = set()
    values: list[bytes] = []
    data = bytes(got.records)
    for position, header in zip(starts(data), headers(data), strict=True):
        while aborted and aborted[0][0] <= header.last_offset:
            ignored.add(aborted.pop(0)[1])
        records = list(read_records(data, position))
        if header.attributes & CONTROL:
            if marker_type(records[0]) == "abort":
                ignored.discard(header.producer_id)
        elif not (header.attributes & TRANSACTIONAL and header.producer_id in ignored):
            values += [bytes(record.value or b"") for record in records]
    return values


def starts(data: bytes) -> list[int]:
    """Where the whole batches of ``data`` start."""
    found, position = [], 0
    for header in headers(data):
        found.append(position)
        position += header.size
    return found


def marker_type(record: Any) -> str:
    version, kind = struct.unpack(">hh", record.key)
    assert version == 0
    return {0: "abort", 1: "commit"}[kind]
