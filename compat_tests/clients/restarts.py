"""Long-running clients over a restart of the broker: one writes numbers, one reads them in a group.

Each runs in a thread of its own and is told to go on until it has written (or read) what the test asks for. The
interface is the same for all clients, so that one restart serves them all.
"""

import asyncio
import logging
import threading
import time
from collections.abc import Callable
from typing import Any, Protocol

from attrs import define, field

from compat_tests.clients.support import Endpoint

PATIENCE_S = 60.0


class Client(Protocol):
    """Writes and reads with one client library. Both run until ``going()`` is False."""

    def write(self, endpoint: Endpoint, topic: str, acknowledged: list[int], going: Callable[[], bool]) -> None:
        """Send 0, 1, 2, ... to partition 0 with an idempotent producer; append each acknowledged number."""

    def read(self, endpoint: Endpoint, topic: str, group: str, seen: list[int], going: Callable[[], bool]) -> None:
        """Consume as a member of ``group`` and append the numbers that come."""


class KafkaPython:
    def write(self, endpoint: Endpoint, topic: str, acknowledged: list[int], going: Callable[[], bool]) -> None:
        from kafka import KafkaProducer

        producer = KafkaProducer(
            bootstrap_servers=endpoint.bootstrap,
            enable_idempotence=True,
            reconnect_backoff_max_ms=200,
            request_timeout_ms=5000,
            max_block_ms=60000,
        )
        number = 0
        pending: list[tuple[int, Any]] = []
        while going() or pending:
            while going() and len(pending) < 20:
                pending.append((number, producer.send(topic, b"%d" % number, partition=0)))
                number += 1
            sent, future = pending.pop(0)
            future.get(PATIENCE_S)
            acknowledged.append(sent)
            time.sleep(0.001)
        producer.close(10)

    def read(self, endpoint: Endpoint, topic: str, group: str, seen: list[int], going: Callable[[], bool]) -> None:
        from kafka import KafkaConsumer
        from kafka.errors import KafkaConnectionError

        consumer = KafkaConsumer(
            bootstrap_servers=endpoint.bootstrap,
            group_id=group,
            auto_offset_reset="earliest",
            reconnect_backoff_max_ms=200,
            retry_backoff_ms=50,
            fetch_max_wait_ms=100,
            request_timeout_ms=5000,
        )
        while not consumer.partitions_for_topic(topic):
            time.sleep(0.01)
        consumer.subscribe([topic])
        while going():
            try:
                batches = consumer.poll(timeout_ms=500)
            except KafkaConnectionError:  # kafka-python leaves it to its user to try again
                continue
            for records in batches.values():
                seen.extend(int(r.value) for r in records)
        consumer.close(autocommit=False)


class Confluent:
    def write(self, endpoint: Endpoint, topic: str, acknowledged: list[int], going: Callable[[], bool]) -> None:
        from confluent_kafka import Producer

        logger = logging.getLogger("librdkafka")
        settings = {
            "bootstrap.servers": endpoint.bootstrap,
            "enable.idempotence": True,
            "linger.ms": 0,
            "reconnect.backoff.max.ms": 200,
        }
        producer = Producer(settings, logger=logger)
        number = 0

        def delivered(error: Any, message: Any) -> None:
            assert error is None, f"delivery failed: {error}"
            acknowledged.append(int(message.value()))

        while going():
            producer.produce(topic, b"%d" % number, partition=0, on_delivery=delivered)
            number += 1
            producer.poll(0.001)
            while len(producer) > 20:
                producer.poll(0.05)
        assert producer.flush(PATIENCE_S) == 0, "messages are left that nobody acknowledged"

    def read(self, endpoint: Endpoint, topic: str, group: str, seen: list[int], going: Callable[[], bool]) -> None:
        from confluent_kafka import Consumer

        settings = {
            "bootstrap.servers": endpoint.bootstrap,
            "group.id": group,
            "auto.offset.reset": "earliest",
            "reconnect.backoff.max.ms": 200,
            "fetch.wait.max.ms": 100,
        }
        consumer = Consumer(settings, logger=logging.getLogger("librdkafka"))
        consumer.subscribe([topic])
        while going():
            seen.extend(int(m.value()) for m in consumer.consume(100, timeout=0.1) if m.error() is None)
        consumer.close()


class Aiokafka:
    def write(self, endpoint: Endpoint, topic: str, acknowledged: list[int], going: Callable[[], bool]) -> None:
        asyncio.run(self._write(endpoint, topic, acknowledged, going))

    async def _write(self, endpoint: Endpoint, topic: str, acknowledged: list[int], going: Callable[[], bool]) -> None:
        from aiokafka import AIOKafkaProducer

        # Its request timeout is also what it gives a batch to be delivered.
        producer = AIOKafkaProducer(
            bootstrap_servers=endpoint.bootstrap, enable_idempotence=True, request_timeout_ms=int(PATIENCE_S * 1000)
        )
        await producer.start()
        number = 0
        pending: list[tuple[int, Any]] = []
        while going() or pending:
            while going() and len(pending) < 20:
                pending.append((number, await producer.send(topic, b"%d" % number, partition=0)))
                number += 1
            sent, future = pending.pop(0)
            await asyncio.wait_for(future, PATIENCE_S)
            acknowledged.append(sent)
            await asyncio.sleep(0.001)
        await producer.stop()

    def read(self, endpoint: Endpoint, topic: str, group: str, seen: list[int], going: Callable[[], bool]) -> None:
        asyncio.run(self._read(endpoint, topic, group, seen, going))

    async def _read(
        self, endpoint: Endpoint, topic: str, group: str, seen: list[int], going: Callable[[], bool]
    ) -> None:
        from aiokafka import AIOKafkaConsumer

        consumer = AIOKafkaConsumer(
            topic,
            bootstrap_servers=endpoint.bootstrap,
            group_id=group,
            auto_offset_reset="earliest",
            fetch_max_wait_ms=100,
            request_timeout_ms=5000,
        )
        await consumer.start()
        while going():
            for records in (await consumer.getmany(timeout_ms=100)).values():
                seen.extend(int(r.value) for r in records)
        await consumer.stop()


CLIENTS: dict[str, Client] = {"kafka-python": KafkaPython(), "confluent-kafka": Confluent(), "aiokafka": Aiokafka()}


@define
class Run:
    """One client's writer and reader, and what became of them."""

    name: str
    topic: str
    group: str
    acknowledged: list[int] = field(factory=list)
    seen: list[int] = field(factory=list)
    stored: list[int] = field(factory=list)
    failures: list[str] = field(factory=list)
    _writing: bool = True
    _reading: bool = True
    _threads: list[threading.Thread] = field(factory=list)

    def start(self, endpoint: Endpoint) -> None:
        client = CLIENTS[self.name]

        def guarded(what: str, run: Callable[[], None]) -> threading.Thread:
            def body() -> None:
                try:
                    run()
                except Exception as error:
                    self.failures.append(f"{what}: {type(error).__name__}: {error}")

            return threading.Thread(target=body, name=f"{self.name} {what}", daemon=True)

        self._threads = [
            guarded("writer", lambda: client.write(endpoint, self.topic, self.acknowledged, lambda: self._writing)),
            guarded("reader", lambda: client.read(endpoint, self.topic, self.group, self.seen, lambda: self._reading)),
        ]
        for thread in self._threads:
            thread.start()

    def wait_for(self, count: int, what: str) -> None:
        """Until ``count`` more numbers are acknowledged and as many read, or a failure."""
        written, read = len(self.acknowledged) + count, len(self.seen) + count
        self._wait(lambda: len(self.acknowledged) >= written and len(self.seen) >= read, what)

    def stop(self) -> None:
        """Stop writing, let the reader come to the end, stop it."""
        self._writing = False
        self._threads[0].join(PATIENCE_S)
        self._wait(lambda: bool(self.acknowledged) and self.acknowledged[-1] in self.seen[-200:], "reading to the end")
        self._reading = False
        self._threads[1].join(PATIENCE_S)
        if any(thread.is_alive() for thread in self._threads):
            self.failures.append("the client did not stop")

    def _wait(self, good: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not good() and not self.failures:
            if time.monotonic() > deadline:
                state = f"{len(self.acknowledged)} acknowledged, {len(self.seen)} read"
                self.failures.append(f"{what}: not within {PATIENCE_S} s ({state})")
            time.sleep(0.02)
