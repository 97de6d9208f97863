"""``Wire``: a connection with the few requests that most tests need, each one line."""

import time
from collections.abc import Callable, Mapping
from typing import Any

from compat_tests.raw.batches import batch
from compat_tests.raw.connection import Connection

PATIENCE_S = 30.0
NO_TOPIC_ID = bytes(16)


def eventually(ask: Callable[[], Any], good: Callable[[Any], bool], what: str) -> Any:
    """Ask until ``good``; for answers Kafka gives only some milliseconds after the change was acknowledged."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        answer = ask()
        if good(answer):
            return answer
        assert time.monotonic() < deadline, f"{what}: still {answer} after {PATIENCE_S} s"
        time.sleep(0.005)


class Wire(Connection):
    """Requests about one topic or partition, which return the one entry that matters of the response."""

    def create(self, name: str, partitions: int = 1, configs: Mapping[str, str] | None = None, **fields: Any) -> bytes:
        """Create a topic and wait until it can be used; its id."""
        topic = {
            "name": name,
            "num_partitions": partitions,
            "replication_factor": 1,
            "configs": [{"name": k, "value": v} for k, v in (configs or {}).items()],
            **fields,
        }
        created = self.ask("CreateTopics", 7, topics=[topic], timeout_ms=10000).topics[0]
        assert created.error_code == 0, f"CreateTopics {name}: {created.error_code} {created.error_message}"
        self.wait_for_topic(name, partitions)
        return bytes(created.topic_id)

    def wait_for_topic(self, name: str, partitions: int) -> None:
        for index in range(partitions):
            eventually(
                lambda index=index: self.list_offset(name, -1, index), lambda p: p.error_code == 0, f"topic {name}"
            )

    def metadata(self, name: str, version: int = 12, create: bool = False) -> Any:
        """Metadata's entry for one topic."""
        answer = self.ask("Metadata", version, topics=[{"name": name}], allow_auto_topic_creation=create)
        assert len(answer.topics) == 1, f"one topic was asked for, answered: {answer.topics}"
        return answer.topics[0]

    def topic_id(self, name: str) -> bytes:
        return bytes(self.metadata(name).topic_id)

    def produce(
        self,
        topic: str,
        records: bytes | None = None,
        *,
        partition: int = 0,
        acks: int = -1,
        version: int = 9,
        **more: Any,
    ) -> Any:
        """Produce's entry for one partition; ``records`` default to one record."""
        data = batch() if records is None else records
        body = self.produce_fields(topic, data, partition=partition, acks=acks) | more
        return self.ask("Produce", version, **body).responses[0].partition_responses[0]

    @staticmethod
    def produce_fields(topic: str, records: bytes | None, *, partition: int = 0, acks: int = -1) -> dict[str, Any]:
        partitions = [{"index": partition, "records": records}]
        return {
            "acks": acks,
            "timeout_ms": 5000,
            "topic_data": [{"name": topic, "partition_data": partitions}],
        }

    def fetch(self, topic: str | bytes, offset: int, *, partition: int = 0, version: int = 12, **more: Any) -> Any:
        """Fetch's entry for one partition, without a session. ``more`` goes to the request or, when it is a field
        of the partition (``partition_max_bytes``, ``current_leader_epoch``, ``last_fetched_epoch``), there."""
        answer = self.ask("Fetch", version, **self.fetch_fields(topic, offset, partition=partition, **more))
        assert answer.error_code == 0, f"Fetch: {answer.error_code}"
        return answer.responses[0].partitions[0]

    @staticmethod
    def fetch_fields(topic: str | bytes, offset: int, *, partition: int = 0, **more: Any) -> dict[str, Any]:
        inner = {"partition": partition, "fetch_offset": offset, "partition_max_bytes": 1 << 20}
        for name in ("partition_max_bytes", "current_leader_epoch", "last_fetched_epoch"):
            if name in more:
                inner[name] = more.pop(name)
        named: dict[str, Any] = {"topic_id": topic} if isinstance(topic, bytes) else {"topic": topic}
        defaults = {"max_wait_ms": 0, "min_bytes": 0, "max_bytes": 1 << 25, "session_id": 0, "session_epoch": -1}
        return {"replica_id": -1, **defaults, "topics": [named | {"partitions": [inner]}]} | more

    def list_offset(self, topic: str, timestamp: int, partition: int = 0, version: int = 7, **more: Any) -> Any:
        """ListOffsets' entry for one partition."""
        inner = {"partition_index": partition, "timestamp": timestamp} | more
        answer = self.ask(
            "ListOffsets", version, replica_id=-1, topics=[{"name": topic, "partitions": [inner]}], isolation_level=0
        )
        return answer.topics[0].partitions[0]

    def start_and_end(self, topic: str, partition: int = 0) -> tuple[int, int]:
        """Log start and log end offset."""
        return self.list_offset(topic, -2, partition).offset, self.list_offset(topic, -1, partition).offset

    def delete_records(self, topic: str, offset: int, partition: int = 0) -> Any:
        topics = [{"name": topic, "partitions": [{"partition_index": partition, "offset": offset}]}]
        return self.ask("DeleteRecords", 2, topics=topics, timeout_ms=5000).topics[0].partitions[0]

    def producer_id(self) -> int:
        """A new producer id (epoch 0)."""
        fields = {"transactional_id": None, "transaction_timeout_ms": 60000, "producer_id": -1, "producer_epoch": -1}
        got = eventually(
            lambda: self.ask("InitProducerId", 4, **fields), lambda a: a.error_code not in (14, 16), "InitProducerId"
        )
        assert got.error_code == 0, f"InitProducerId: {got.error_code}"
        return int(got.producer_id)
