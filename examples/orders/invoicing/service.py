"""The service: one loop of consume, decide, produce and commit, each round one Kafka transaction.

    orders ──────┐                        ┌──> invoices
                 ├──> decide each record ─┼──> orders.retry   (the tax service was down; header `attempt`)
    orders.retry ┘                        └──> orders.dead    (bad, or tried too often; header `reason`)

The invoices and the offsets of the orders they were made of are committed together, so a crash at any point invoices
no order twice and forgets none. Readers of `invoices` use isolation.level=read_committed.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition

from invoicing.orders import BadOrderError, TaxRate, TaxServiceDownError, invoice_of, parse_order

logger = logging.getLogger("invoicing")

_POLL_S = 0.1
_BATCH = 100


@dataclass(frozen=True)
class Settings:
    """Where the topics are, and how patient the service is.

    instance: two processes of the same name fence each other; `-1`, `-2`, ... for more than one.
    """

    bootstrap_servers: str
    orders: str = "orders"
    retries: str = "orders.retry"
    dead: str = "orders.dead"
    invoices: str = "invoices"
    group: str = "invoicing"
    instance: str = "invoicing-1"
    attempts: int = 3
    retry_after_s: float = 0.5
    transaction_timeout_ms: int = 10_000
    session_timeout_ms: int = 6_000


@dataclass(frozen=True)
class Outgoing:
    topic: str
    key: bytes | None
    value: bytes | None
    headers: Mapping[str, bytes]


def decide(message: Message, settings: Settings, tax_rate: TaxRate) -> Outgoing:
    """What becomes of one order."""
    key, value = message.key(), message.value()
    headers = dict(message.headers() or [])
    attempt = int(headers.get("attempt", b"0")) + 1
    try:
        invoice = invoice_of(parse_order(value), tax_rate)
    except BadOrderError as error:
        return Outgoing(settings.dead, key, value, headers | {"reason": str(error).encode()})
    except TaxServiceDownError as error:
        if attempt >= settings.attempts:
            return Outgoing(settings.dead, key, value, headers | {"reason": f"tried {attempt} times: {error}".encode()})
        due_s = time.time() + settings.retry_after_s
        return Outgoing(settings.retries, key, value, {"attempt": b"%d" % attempt, "due": b"%f" % due_s})
    return Outgoing(settings.invoices, key, json.dumps(invoice).encode(), {})


class Service:
    """`run()` until `stop()`, from another thread or a signal handler."""

    def __init__(self, settings: Settings, tax_rate: TaxRate) -> None:
        self._settings = settings
        self._tax_rate = tax_rate
        self._stopped = threading.Event()
        self._waiting: dict[tuple[str, int], float] = {}  # partitions of retries whose next record is not due yet
        self._consumer = Consumer(
            {
                "bootstrap.servers": settings.bootstrap_servers,
                "group.id": settings.group,
                "enable.auto.commit": False,
                "auto.offset.reset": "earliest",
                "isolation.level": "read_committed",
                "session.timeout.ms": settings.session_timeout_ms,
                "topic.metadata.refresh.interval.ms": 5_000,
            },
            logger=logger,
        )
        self._producer = Producer(
            {
                "bootstrap.servers": settings.bootstrap_servers,
                "transactional.id": settings.instance,
                "transaction.timeout.ms": settings.transaction_timeout_ms,
                "linger.ms": 0,
            },
            logger=logger,
        )

    def stop(self) -> None:
        self._stopped.set()

    def run(self) -> None:
        """Serve until stopped. Raises KafkaException for what a restart has to mend (e.g. a fenced producer)."""
        try:
            # Ends what a crashed predecessor left open, and fences it if it still lives.
            self._producer.init_transactions()
            self._consumer.subscribe([self._settings.orders, self._settings.retries])
            while not self._stopped.is_set():
                messages = list(self._received())
                if messages:
                    self._in_transaction(messages)
        finally:
            self._consumer.close()

    def _received(self) -> Iterator[Message]:
        now_s = time.time()
        for partition in [each for each, due_s in self._waiting.items() if due_s <= now_s]:
            del self._waiting[partition]
            if partition in self._assigned():
                self._consumer.resume([TopicPartition(*partition)])
        for message in self._consumer.consume(_BATCH, _POLL_S):
            error = message.error()
            if error is None:
                if not self._waits(message):
                    yield message
            elif error.code() != KafkaError.UNKNOWN_TOPIC_OR_PART:  # a topic that is made a moment later
                raise KafkaException(error)

    def _waits(self, message: Message) -> bool:
        """A retry before its time: its partition waits, from this record on."""
        partition = (message.topic(), message.partition())
        if partition in self._waiting:
            return True
        due_s = float(dict(message.headers() or []).get("due", b"0"))
        if due_s <= time.time():
            return False
        self._waiting[partition] = due_s
        self._consumer.pause([TopicPartition(*partition)])
        self._consumer.seek(TopicPartition(*partition, message.offset()))
        return True

    def _assigned(self) -> set[tuple[str, int]]:
        return {(each.topic, each.partition) for each in self._consumer.assignment()}

    def _in_transaction(self, messages: Sequence[Message]) -> None:
        producer = self._producer
        producer.begin_transaction()
        try:
            for message in messages:
                out = decide(message, self._settings, self._tax_rate)
                producer.produce(out.topic, out.value, out.key, headers=dict(out.headers))
                self.produced(out)
            positions = _positions_after(messages)
            producer.send_offsets_to_transaction(positions, self._consumer.consumer_group_metadata())
            producer.commit_transaction()
        except KafkaException as error:
            reason: Any = error.args[0]
            if not reason.txn_requires_abort():
                raise
            logger.warning("the transaction is given up and done again: %s", reason)
            producer.abort_transaction()
            self._rewind(messages)

    def produced(self, out: Outgoing) -> None:
        """Called after each record that was handed to the producer; tests fail here."""

    def _rewind(self, messages: Sequence[Message]) -> None:
        """Back to the first of these: nothing of them was committed."""
        first: dict[tuple[str, int], int] = {}
        for message in messages:
            first.setdefault((message.topic(), message.partition()), message.offset())
        assigned = self._assigned()
        for (topic, partition), offset in first.items():
            if (topic, partition) in assigned:  # else it is another member's by now
                self._consumer.seek(TopicPartition(topic, partition, offset))


def _positions_after(messages: Sequence[Message]) -> list[TopicPartition]:
    last = {(message.topic(), message.partition()): message.offset() for message in messages}
    return [TopicPartition(topic, partition, offset + 1) for (topic, partition), offset in last.items()]
