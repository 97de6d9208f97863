"""The shop around the service: orders go in, invoices come out. On kwire, or with --kafka HOST:PORT on any broker."""

from __future__ import annotations

import json
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import pytest
from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import AdminClient, NewTopic
from invoicing.orders import TaxRate
from invoicing.service import Service, Settings

WAIT_S = 20


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--kafka", metavar="HOST:PORT", help="run against this broker instead of a kwire of our own")


@dataclass
class Shop:
    settings: Settings
    tax_rate: TaxRate

    def order(self, order_id: str, cents: int = 1000, country: str = "DE") -> None:
        lines = [{"sku": "book", "quantity": 1, "unit_price_cents": cents}]
        self.send(order_id, json.dumps({"order_id": order_id, "country": country, "lines": lines}).encode())

    def send(self, key: str, value: bytes) -> None:
        producer = Producer({"bootstrap.servers": self.settings.bootstrap_servers, "linger.ms": 0})
        producer.produce(self.settings.orders, value, key)
        assert producer.flush(WAIT_S) == 0, "the order was not taken"

    def invoices(self, count: int) -> list[dict[str, Any]]:
        """The first `count` invoices that readers of committed records see, and any more that follow at once."""
        return [json.loads(message.value()) for message in self._read(self.settings.invoices, count)]

    def dead(self, count: int) -> list[Any]:
        return self._read(self.settings.dead, count)

    def _read(self, topic: str, count: int) -> list[Any]:
        consumer = Consumer(
            {
                "bootstrap.servers": self.settings.bootstrap_servers,
                "group.id": f"reader-{uuid.uuid4()}",
                "auto.offset.reset": "earliest",
                "isolation.level": "read_committed",
                "enable.auto.commit": False,
                "enable.partition.eof": True,
            }
        )
        consumer.subscribe([topic])
        found: list[Any] = []
        deadline = time.monotonic() + WAIT_S
        try:
            while time.monotonic() < deadline:
                message = consumer.poll(0.2)
                if message is not None and message.error() is None:
                    found.append(message)
                elif message is not None and len(found) >= count:  # the end of the partition
                    return found
        finally:
            consumer.close()
        raise AssertionError(f"{len(found)} of {count} records in {topic} after {WAIT_S} s")

    @contextmanager
    def service(self, make: Callable[..., Service] = Service, **settings: Any) -> Iterator[Service]:
        """The service in a thread of its own; its failure is the test's."""
        service = make(replace(self.settings, **settings), self.tax_rate)
        failed: list[BaseException] = []

        def run() -> None:
            try:
                service.run()
            except BaseException as error:
                failed.append(error)

        thread = threading.Thread(target=run)
        thread.start()
        try:
            yield service
        finally:
            service.stop()
            thread.join(WAIT_S)
        if failed:
            raise failed[0]


@pytest.fixture
def shop(request: pytest.FixtureRequest) -> Shop:
    """A shop with topics of its own."""
    running = request.config.getoption("--kafka")
    if running:
        prefix = f"{uuid.uuid4().hex[:8]}."
        settings = Settings(
            running,
            f"{prefix}orders",
            f"{prefix}retry",
            f"{prefix}dead",
            f"{prefix}invoices",
            f"{prefix}g",
            f"{prefix}i",
        )
    else:
        settings = Settings(request.getfixturevalue("kafka_cluster").bootstrap_servers)
    admin = AdminClient({"bootstrap.servers": settings.bootstrap_servers})
    names = (settings.orders, settings.retries, settings.dead, settings.invoices)
    for made in admin.create_topics([NewTopic(name, 1, 1) for name in names]).values():
        made.result(WAIT_S)
    return Shop(settings, lambda country: {"DE": 0.19}.get(country, 0.0))


@pytest.fixture
def kwire_only(request: pytest.FixtureRequest) -> Any:
    """The cluster, for tests that make it fail."""
    if request.config.getoption("--kafka"):
        pytest.skip("faults are kwire's")
    return request.getfixturevalue("kafka_cluster")
