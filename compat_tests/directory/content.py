"""What is written before a move, leg by leg, and what a client does after it as if nothing had happened."""

from typing import Any

from attrs import define, field

from compat_tests.raw.batches import now_ms
from compat_tests.raw.groups import Member, stable
from compat_tests.raw.transactions import CLASSIC, CURRENT, Txn, warm_up_transactions
from compat_tests.raw.wire import Wire, eventually
from kwire.records import Codec, RecordBatchBuilder

GROUPS = ["commits", "members", "in-transactions"]
# Its open transaction is ended by the broker when its time is over, perhaps while the census is taken.
TIMEOUTS = "timeouts"
OFFSETS = "__consumer_offsets"
OUT_OF_ORDER_SEQUENCE = 45


@define
class Content:
    """Keeps what clients would keep over a move: producer ids with their sequences, transactions that are open."""

    leg: int = 0
    foreign: dict[str, Any] | None = None
    """Groups on Kafka that kwire does not serve."""
    idempotent: tuple[int, int] | None = field(default=None)  # producer id, next sequence
    _last_batch: bytes = b""
    _last_offset: int = -1
    _open: list[Txn] = field(factory=list)
    _late: Txn | None = None

    def write(self, wire: Wire, kind: str) -> None:
        """One leg's worth of everything."""
        self.leg += 1
        wire.producer_id()  # once producer ids are given, a new broker is ready
        if self.leg == 1:
            self._topics(wire)
        warm_up_transactions(wire)
        self._records(wire)
        self._idempotent_records(wire)
        self._keys(wire)
        self._offsets(wire)
        self._transactions(wire, kind)
        self._configs(wire)
        if kind == "kafka":
            self._what_kwire_does_not_serve(wire)

    def _topics(self, wire: Wire) -> None:
        wire.create("codecs", 3, {"retention.ms": "-1"})
        wire.create("idempotent", 1)
        wire.create("compacted", 1, {"cleanup.policy": "compact", "segment.ms": "50", "min.cleanable.dirty.ratio": "0"})
        wire.create("txn.classic", 2)
        wire.create("txn.current", 2, {"min.insync.replicas": "1"})
        wire.create(TIMEOUTS, 1)
        wire.create("empty", 5)

    def _records(self, wire: Wire) -> None:
        made = f"made-in-leg-{self.leg}"
        wire.create(made, 1, {"message.timestamp.type": "LogAppendTime"})
        assert wire.produce(made, _batch(self.leg)).error_code == 0
        wire.create(f"deleted-in-leg-{self.leg}", 2)
        topics = [{"name": f"deleted-in-leg-{self.leg}"}]
        assert wire.ask("DeleteTopics", 6, topics=topics, timeout_ms=5000).responses[0].error_code == 0
        for partition in range(3):
            for codec in Codec:
                answer = wire.produce("codecs", _batch(self.leg, codec), partition=partition)
                assert answer.error_code == 0, (codec, answer)
        start, end = wire.start_and_end("codecs", 2)
        assert wire.delete_records("codecs", (start + end) // 2, 2).error_code == 0

    def _idempotent_records(self, wire: Wire) -> None:
        producer_id, sequence = self.idempotent or (wire.producer_id(), 0)
        for _ in range(3):
            self._last_batch = _batch(self.leg, producer_id=producer_id, base_sequence=sequence, producer_epoch=0)
            answer = wire.produce("idempotent", self._last_batch)
            assert answer.error_code == 0, answer
            self._last_offset = answer.base_offset
            sequence += _COUNT
        self.idempotent = (producer_id, sequence)

    def _keys(self, wire: Wire) -> None:
        for number in range(20):
            batch = RecordBatchBuilder()
            value = None if number % 7 == 6 else f"{self.leg}/{number}".encode()
            batch.append(f"key-{number % 5}".encode(), value, timestamp=now_ms())
            assert wire.produce("compacted", bytes(batch.build())).error_code == 0

    def _offsets(self, wire: Wire) -> None:
        member = Member(wire, "commits")
        wire.ask("FindCoordinator", 3, key="commits", key_type=0)
        if self.leg == 1:
            eventually(lambda: member.commit("codecs", 0), lambda e: e == 0, "the first commit")
            # Both compact it in every leg, with what only Kafka serves in it. (Journey.leg waits for it.)
            change(wire, 2, OFFSETS, "segment.ms", "50")
            change(wire, 2, OFFSETS, "min.cleanable.dirty.ratio", "0")
        for partition in range(3):
            eventually(lambda p=partition: member.commit("codecs", 3 * self.leg + p, partition=p), lambda e: e == 0, "")
        joined = stable(wire, "members", session_timeout_ms=6000, protocol_type="something")
        assert joined.commit("idempotent", self.leg) == 0
        if self.leg % 2:
            joined.leave()  # else it is gone when its session is over

    def _transactions(self, wire: Wire, kind: str) -> None:
        # transaction.version 2 is what both format with; clients of either generation are served.
        for generation, topic in ((CLASSIC, "txn.classic"), (CURRENT, "txn.current")):
            producer = Txn(wire, f"ends-{generation.name}", generation).init()
            for committed in (True, False, True):
                producer.produce(topic, b"first", b"second")
                producer.produce(topic, b"third", partition=1)
                producer.commit_offset("in-transactions", topic, self.leg)
                producer.end(committed)
        finished_later = Txn(wire, f"open-{self.leg}", CLASSIC).init()
        finished_later.produce("txn.classic", b"open", b"over", b"the move")
        finished_later.commit_offset("in-transactions", "codecs", 100 + self.leg)
        self._open = [finished_later]
        self._late = Txn(wire, f"late-{self.leg}", CLASSIC, timeout_ms=1500).init()
        self._late.produce(TIMEOUTS, b"never committed")

    def _configs(self, wire: Wire) -> None:
        change(wire, 2, "empty", "retention.bytes", str(1000 + self.leg))
        change(wire, 2, f"made-in-leg-{self.leg}", "max.message.bytes", "77777")
        change(wire, 4, "", "log.retention.ms", str(86400000 + self.leg))
        change(wire, 4, "1", "log.cleaner.delete.retention.ms", str(5000 + self.leg))
        change(wire, 32, "commits", "consumer.session.timeout.ms", str(46000 + self.leg))
        change(wire, 16, "metrics", "interval.ms", str(1000 * self.leg))

    def _what_kwire_does_not_serve(self, wire: Wire) -> None:
        # Above what kwire knows, where it is kwire that made the directory.
        levels = [{"feature": name, "max_version_level": 1, "upgrade_type": 1} for name in _NEW_FEATURES]
        answer = wire.ask("UpdateFeatures", 1, feature_updates=levels, timeout_ms=5000)
        assert answer.error_code == 0, answer
        quota = [
            {
                "entity": [{"entity_type": "client-id", "entity_name": "slow"}],
                "ops": [{"key": "producer_byte_rate", "value": 1e9 + self.leg}],
            }
        ]
        assert wire.ask("AlterClientQuotas", 1, entries=quota).entries[0].error_code == 0
        user = {
            "name": "u",
            "mechanism": 1,
            "iterations": 4096 + self.leg,
            "salt": b"salt",
            "salted_password": b"p" * 32,
        }
        assert wire.ask("AlterUserScramCredentials", 0, upsertions=[user]).results[0].error_code == 0
        fields = {"member_epoch": 0, "subscribed_topic_names": ["codecs"], "member_id": "AAAAAAAAAAAAAAAAAAAAAB"}
        for api, group, more in (
            ("ConsumerGroupHeartbeat", "new-protocol", {"rebalance_timeout_ms": 1000, "topic_partitions": []}),
            ("ShareGroupHeartbeat", "shared", {}),
        ):
            wire.ask("FindCoordinator", 3, key=group, key_type=0)
            sent = {"group_id": group} | fields | more
            eventually(lambda api=api, sent=sent: wire.ask(api, 1, **sent), lambda a: a.error_code == 0, api)
        wire.wait_for_topic("__share_group_state", 1)
        self.foreign = self.foreign_groups(wire)

    # After the move

    def carry_on(self, wire: Wire, *, kafka_recovers: bool) -> None:
        """Producers send on, what was open is ended: as far as they can tell the broker was away for a moment.

        kafka_recovers: Kafka was started after a kill -9. Its coordinator may then time out a transaction while its
        partitions have no leader, and leave the marker out ("likely deleted already and hence can be skipped").
        """
        assert self.idempotent is not None
        producer_id, sequence = self.idempotent
        wire.producer_id()
        again = wire.produce("idempotent", self._last_batch)
        assert (again.error_code, again.base_offset) == (0, self._last_offset), f"sent twice: {again}"
        gap = _batch(0, producer_id=producer_id, base_sequence=sequence + 7, producer_epoch=0)
        assert wire.produce("idempotent", gap).error_code == OUT_OF_ORDER_SEQUENCE
        self._last_batch = _batch(0, producer_id=producer_id, base_sequence=sequence, producer_epoch=0)
        answer = wire.produce("idempotent", self._last_batch)
        assert answer.error_code == 0, answer
        self._last_offset = answer.base_offset
        self.idempotent = (producer_id, sequence + _COUNT)
        warm_up_transactions(wire)
        for number, producer in enumerate(self._open):
            producer.wire = wire
            assert producer.state == "Ongoing"
            producer.end((self.leg + number) % 2 == 0)
        if self._late is not None:
            self._late.wire = wire
            eventually(lambda: self._late and self._late.state, lambda s: s == "CompleteAbort", "the timeout")
            if kafka_recovers:
                _abort_hanging(wire, TIMEOUTS)
            eventually(
                lambda: wire.fetch(TIMEOUTS, 0, isolation_level=1),
                lambda got: got.last_stable_offset == got.high_watermark,
                "the end of what is committed",
            )
        self._open, self._late = [], None

    def foreign_groups(self, wire: Wire) -> dict[str, Any]:
        """On Kafka: those that kwire does not serve, with type, epoch and members."""
        listed = wire.ask("ListGroups", 5, states_filter=[], types_filter=[]).groups
        found = {group.group_id: [group.group_type] for group in listed if group.group_id in _FOREIGN}
        for group_id, api in _FOREIGN.items():
            fields = {"group_ids": [group_id], "include_authorized_operations": False}
            described = wire.ask(api, 1, **fields).groups[0]
            members = [(each.member_id, each.subscribed_topic_names) for each in described.members]
            found[group_id] = [*found.get(group_id, []), described.error_code, described.group_epoch, members]
        return found


def _abort_hanging(wire: Wire, topic: str) -> None:
    """As `kafka-transactions.sh abort` does it."""
    described = wire.ask("DescribeProducers", 0, topics=[{"name": topic, "partition_indexes": [0]}])
    for producer in described.topics[0].partitions[0].active_producers:
        if producer.current_txn_start_offset >= 0:
            marker = {
                "producer_id": producer.producer_id,
                "producer_epoch": producer.producer_epoch,
                "transaction_result": False,
                "topics": [{"name": topic, "partition_indexes": [0]}],
                "coordinator_epoch": max(producer.coordinator_epoch, 0),
            }
            wire.ask("WriteTxnMarkers", 1, markers=[marker])


_COUNT = 4
_FOREIGN = {"new-protocol": "ConsumerGroupDescribe", "shared": "ShareGroupDescribe"}
_NEW_FEATURES = ("group.version", "share.version", "streams.version")


def _batch(leg: int, codec: Codec = Codec.NONE, **fields: Any) -> bytes:
    """Four records: with headers, without a key, without a value, empty."""
    at = now_ms() - 60_000
    batch = RecordBatchBuilder(codec=codec, **fields)
    batch.append(b"key", f"leg {leg} {codec.name}".encode() * 50, timestamp=at, headers=[("a", b"1"), ("a", None)])
    batch.append(None, b"no key", timestamp=at + 5)
    batch.append(b"no value", None, timestamp=at - 5)
    batch.append(b"", b"", timestamp=at + 1, headers=[("", b"")])
    return bytes(batch.build())


def change(wire: Wire, resource_type: int, name: str, key: str, value: str) -> None:
    """Set one config."""
    resource = {
        "resource_type": resource_type,
        "resource_name": name,
        "configs": [{"name": key, "config_operation": 0, "value": value}],
    }
    answer = wire.ask("IncrementalAlterConfigs", 1, resources=[resource], validate_only=False).responses[0]
    assert answer.error_code == 0, (name, key, answer.error_message)
