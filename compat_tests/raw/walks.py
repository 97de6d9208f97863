"""Random walks over all that transactions are asked with, so that two brokers' answers can be compared.

An operation is a list of plain values: its kind, then what ``Walk`` takes for it. A producer is told as [name, k,
offset]: the k-th producer id and epoch that the broker gave to that transactional id (from the end when negative), its
epoch raised by ``offset``; offset "other" is a producer id that was never given. Producer ids in answers are told as
"P0", "P1", ... in the order in which they came.
"""

from random import Random
from typing import Any

from attrs import define, field

from compat_tests.raw.batches import batch, headers
from compat_tests.raw.groups import wait_for_coordinator
from compat_tests.raw.transactions import NO_PRODUCER, TRANSACTIONAL, Txn, by_topic, partition_errors
from compat_tests.raw.wire import Wire, eventually

IDS, TOPICS, GROUPS, PARTITIONS = "xyz", "ab", "gh", (0, 1)


@define
class Walk:
    """Operations on one broker, with names that begin with ``name``. All answers are JSON."""

    wire: Wire
    name: str
    _given: dict[str, list[tuple[int, int]]] = field(factory=dict)
    _symbols: dict[int, str] = field(factory=dict)

    def begin(self) -> None:
        for topic in TOPICS:
            self.wire.create(self._full(topic), len(PARTITIONS))
        for group in GROUPS:
            wait_for_coordinator(self.wire, self._full(group))

    def run(self, operation: list[Any]) -> Any:
        """The answer; transactions that are being ended are so when it returns."""
        kind, *arguments = operation
        answer = getattr(self, f"_{kind}")(*arguments)
        if kind in ("init", "end"):
            for name in IDS:
                txn = Txn(self.wire, self._full(name))
                eventually(
                    lambda txn=txn: txn.state, lambda state: not state.startswith("Prepare"), f"the end of {name}"
                )
        return answer

    def producer(self, reference: list[Any]) -> tuple[int, int]:
        name, number, offset = reference
        given = self._given.get(name, [(NO_PRODUCER, -1)])
        producer_id, epoch = given[number % len(given)]
        if offset == "other":
            return producer_id + 100000, epoch
        return producer_id, max(-1, min(32767, epoch + offset))

    # Operations

    def _init(self, name: str, version: int, reference: list[Any] | None, timeout_ms: int) -> Any:
        fields: dict[str, Any] = {"transactional_id": self._full(name), "transaction_timeout_ms": timeout_ms}
        if version >= 3 and reference is not None:
            fields["producer_id"], fields["producer_epoch"] = self.producer(reference)
        return self._gave(name, self.wire.ask("InitProducerId", version, **fields))

    def _produce(
        self, name: str | None, version: int, reference: list[Any], topic: str, partition: int, *batch_fields: int
    ) -> Any:
        sequence, count, attributes = batch_fields
        producer_id, epoch = self.producer(reference)
        data = batch(
            *[b"v"] * count,
            attributes=attributes,
            producer_id=producer_id,
            producer_epoch=epoch,
            base_sequence=sequence,
        )
        full = None if name is None else self._full(name)
        got = self.wire.produce(self._full(topic), data, partition=partition, version=version, transactional_id=full)
        return [got.error_code, got.base_offset, got.log_start_offset]

    def _add(self, name: str, version: int, reference: list[Any], partitions: list[list[Any]]) -> Any:
        fields = {f"v3_and_below_{key}": value for key, value in self._who(name, reference).items()}
        answer = self.wire.ask("AddPartitionsToTxn", version, v3_and_below_topics=self._by_topic(partitions), **fields)
        return self._errors(answer.results_by_topic_v3_and_below)

    def _add_batch(
        self, name: str, version: int, reference: list[Any], partitions: list[list[Any]], verify: bool
    ) -> Any:
        one = self._who(name, reference) | {"verify_only": verify, "topics": self._by_topic(partitions)}
        answer = self.wire.ask("AddPartitionsToTxn", version, transactions=[one])
        return [answer.error_code, *(self._errors(each.topic_results) for each in answer.results_by_transaction)]

    def _add_offsets(self, name: str, version: int, reference: list[Any], group: str) -> Any:
        who = self._who(name, reference)
        return self.wire.ask("AddOffsetsToTxn", version, **who, group_id=self._full(group)).error_code

    def _commit(
        self, name: str, version: int, reference: list[Any], group: str, topic: str, partition: int, offset: int
    ) -> Any:
        partitions = [{"partition_index": partition, "committed_offset": offset, "committed_metadata": "m"}]
        answer = self.wire.ask(
            "TxnOffsetCommit",
            version,
            **self._who(name, reference),
            group_id=self._full(group),
            topics=[{"name": self._full(topic), "partitions": partitions}],
        )
        return answer.topics[0].partitions[0].error_code

    def _end(self, name: str, version: int, reference: list[Any], committed: bool) -> Any:
        answer = self.wire.ask("EndTxn", version, **self._who(name, reference), committed=committed)
        if version >= 5:
            return self._gave(name, answer)
        return answer.error_code

    def _marker(
        self, version: int, reference: list[Any], topic: str, partition: int, committed: bool, transaction_version: int
    ) -> Any:
        producer_id, epoch = self.producer(reference)
        marker = {
            "producer_id": producer_id,
            "producer_epoch": epoch,
            "transaction_result": committed,
            "topics": [{"name": self._full(topic), "partition_indexes": [partition]}],
            "coordinator_epoch": 0,
            "transaction_version": transaction_version,
        }
        (answer,) = self.wire.ask("WriteTxnMarkers", version, markers=[marker]).markers
        return answer.topics[0].partitions[0].error_code

    # What is to be seen afterwards

    def look(self) -> dict[str, Any]:
        """All partitions as read at both levels, producers, transactions, offsets."""
        seen: dict[str, Any] = {}
        for topic in TOPICS:
            for partition in PARTITIONS:
                seen[f"{topic}{partition}"] = self._read(topic, partition)
        topics = [{"name": self._full(topic), "partition_indexes": list(PARTITIONS)} for topic in TOPICS]
        for told in self.wire.ask("DescribeProducers", 0, topics=topics).topics:
            for part in told.partitions:
                seen[f"producers {told.name[len(self.name) + 1 :]}{part.partition_index}"] = sorted(
                    [
                        str(self._symbol(p.producer_id)),
                        p.producer_epoch,
                        p.last_sequence,
                        p.coordinator_epoch,
                        p.current_txn_start_offset,
                    ]
                    for p in part.active_producers
                )
        for name in IDS:
            told = Txn(self.wire, self._full(name)).described()
            parts = sum(len(t.partitions) for t in told.topics)
            seen[f"transaction {name}"] = [
                told.error_code,
                told.transaction_state,
                self._symbol(told.producer_id),
                told.producer_epoch,
                told.transaction_timeout_ms,
                parts,
            ]
        for stable in (False, True):
            groups = [{"group_id": self._full(group), "topics": None} for group in GROUPS]
            for told in self.wire.ask("OffsetFetch", 8, groups=groups, require_stable=stable).groups:
                seen[f"offsets {told.group_id[len(self.name) + 1 :]} stable={stable}"] = sorted(
                    [t.name[len(self.name) + 1 :], p.partition_index, p.error_code, p.committed_offset]
                    for t in told.topics
                    for p in t.partitions
                )
        return seen

    def _read(self, topic: str, partition: int) -> Any:
        everything, committed = (
            self.wire.fetch(self._full(topic), 0, partition=partition, isolation_level=level) for level in (0, 1)
        )
        return {
            "stable": [everything.last_stable_offset, everything.high_watermark],
            "batches": [
                [h.base_offset, h.attributes, self._symbol(h.producer_id), h.producer_epoch, h.base_sequence, h.count]
                for h in headers(everything.records)
            ],
            "committed": [h.base_offset for h in headers(committed.records)],
            "aborted": [[self._symbol(a.producer_id), a.first_offset] for a in committed.aborted_transactions],
        }

    # Names

    def _full(self, name: str) -> str:
        return f"{self.name}-{name}"

    def _who(self, name: str, reference: list[Any]) -> dict[str, Any]:
        producer_id, epoch = self.producer(reference)
        return {"transactional_id": self._full(name), "producer_id": producer_id, "producer_epoch": epoch}

    def _gave(self, name: str, answer: Any) -> Any:
        if answer.error_code == 0:
            self._given.setdefault(name, []).append((answer.producer_id, answer.producer_epoch))
        return [answer.error_code, self._symbol(answer.producer_id), answer.producer_epoch]

    def _symbol(self, producer_id: int) -> str | int:
        return producer_id if producer_id < 0 else self._symbols.setdefault(producer_id, f"P{len(self._symbols)}")

    def _by_topic(self, partitions: list[list[Any]]) -> list[dict[str, Any]]:
        return by_topic(tuple((self._full(topic), partition) for topic, partition in partitions))

    def _errors(self, topics: list[Any]) -> list[Any]:
        errors = partition_errors(topics)
        return sorted([topic[len(self.name) + 1 :], index, error] for (topic, index), error in errors.items())


def operation(random: Random) -> list[Any]:
    """One that often makes sense."""
    name = random.choice("xxxxxxxyyyz")
    owner = name if random.random() < 0.95 else random.choice(IDS)
    offset = "other" if random.random() < 0.04 else random.choice([0] * 16 + [1, -1])
    reference = [owner, random.choice([-1] * 9 + [-2, -2, 0]), offset]
    topic, partition = random.choice("aab"), random.choice([0, 0, 1])
    kind = random.choices(
        ["init", "produce", "add", "add_batch", "add_offsets", "commit", "end", "marker"],
        [17, 32, 10, 4, 4, 9, 21, 3],
    )[0]
    match kind:
        case "init":
            timeout_ms = random.choice([60000] * 12 + [0, 900001])
            known = None if random.random() < 0.6 else reference
            return [kind, name, random.randrange(6), known, timeout_ms]
        case "produce":
            version = random.choice([12] * 6 + [11] * 4 + [3, 9, 10])
            told = name if random.random() < 0.95 else None
            attributes = TRANSACTIONAL if random.random() < 0.9 else 0
            fields = [random.choice([0, 0, 0, 0, 1, 1, 2, 3, 4, 5, 7]), random.choice([1, 1, 2]), attributes]
            return [kind, told, version, reference, topic, partition, *fields]
        case "add":
            indexes = [0, 1, 1, 7] if random.random() < 0.2 else PARTITIONS
            some = [[random.choice(TOPICS), random.choice(indexes)] for _ in range(random.randrange(1, 3))]
            return [kind, name, random.randrange(4), reference, some]
        case "add_batch":
            verify = random.random() < 0.6
            return [kind, name, random.choice([4, 5]), reference, [[topic, partition]], verify]
        case "add_offsets":
            return [kind, name, random.randrange(5), reference, random.choice(GROUPS)]
        case "commit":
            version = random.choice([5, 5, 5, 4, 4, 3, 0])
            return [kind, name, version, reference, random.choice(GROUPS), topic, partition, random.randrange(9)]
        case "end":
            version = random.choice([5] * 8 + [4, 4, 4, 3, 2, 1, 0])
            return [kind, name, version, reference, random.random() < 0.6]
        case _:
            version = random.choice([1, 2])
            return [kind, version, reference, topic, partition, random.random() < 0.5, random.choice([0, 1, 2])]


def recorded(walk: Walk, seed: int, steps: int, look_every: int) -> list[Any]:
    """What a broker answers to a new walk: [[operation, answer, what is seen or None], ...].

    Where kwire is different on purpose (docs/DIFFERENCES.md) the walk does not go: a producer whose batch was refused
    with INVALID_PRODUCER_ID_MAPPING writes no more, and with an epoch that is over EndTxn v5 is asked only after an
    EndTxn v5.
    """
    random = Random(seed)
    refused: set[int] = set()
    raised: set[str] = set()  # the transactional ids whose last end was one that raised the epoch
    found: list[Any] = []
    walk.begin()
    while len(found) < steps:
        chosen = operation(random)
        if chosen[0] == "produce" and walk.producer(chosen[3])[0] in refused:
            continue
        if chosen[0] == "end" and chosen[2] >= 5 and chosen[1] not in raised:
            chosen[3] = [chosen[1], -1, 0]
        answer = walk.run(chosen)
        if chosen[0] == "end" and chosen[2] >= 5:
            if answer[0] == 0:
                raised.add(chosen[1])
        elif chosen[0] in ("init", "end"):
            raised.discard(chosen[1])
        if chosen[0] == "produce" and answer[0] == 49:
            refused.add(walk.producer(chosen[3])[0])
        found.append([chosen, answer, walk.look() if len(found) % look_every == look_every - 1 else None])
    return found
