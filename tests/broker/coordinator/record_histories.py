"""Plays the histories on a broker:  python -m tests.broker.coordinator.record_histories HOST:PORT

What Apache Kafka 4.3.1 says (with group.initial.rebalance.delay.ms=0) becomes data/histories.json, which
test_histories.py holds kwire against.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from broker.group.ids import partition_for
from broker.group.record_codec import decode_all
from broker.group.records import CoordinatorRecord
from compat_tests.raw.connection import Connection
from kwire import codec
from kwire.api_keys import ApiKey
from kwire.messages import request_class
from kwire.messages.find_coordinator import FindCoordinatorRequest
from tests.broker.coordinator.histories import HISTORIES, TOPICS, play
from tests.broker.coordinator.transcripts import response_class

GOLDEN = Path(__file__).parent / "data" / "histories.json"
PARTITIONS = 50
NOT_YET = (14, 15, 16)


class WireAnswer:
    def __init__(self, connection: Connection, api: ApiKey, version: int, correlation_id: int) -> None:
        self._connection, self._api, self._version, self._id = connection, api, version, correlation_id

    def get(self) -> Any:
        name = request_class(self._api).__name__.removesuffix("Request")
        body = self._connection.response_body(name, self._version, self._id)
        return codec.decode(response_class(self._api), self._version, body)


class WireDriver:
    """A driver over sockets; it creates the histories' topics."""

    def __init__(self, address: tuple[str, int]) -> None:
        self._address = address
        self._connections: dict[str, Connection] = {}
        admin = self.connection("admin")
        topics = [{"name": name, "num_partitions": count, "replication_factor": 1} for name, count in TOPICS.items()]
        created = admin.ask("CreateTopics", 7, topics=topics, timeout_ms=10_000).topics
        self.topic_ids = {topic.name: bytes(topic.topic_id) for topic in created}

    def connection(self, who: str) -> Connection:
        if who not in self._connections:
            self._connections[who] = Connection(self._address)
        return self._connections[who]

    def send(self, who: str, api: ApiKey, version: int, request: Any, client_id: str | None = "app") -> WireAnswer:
        connection = self.connection(who)
        correlation_id = connection.send_body(
            request_class(api).__name__.removesuffix("Request"),
            version,
            codec.encode(request, version),
            client_id=client_id,
        )
        # What is sent on several connections is to be handled in that order.
        time.sleep(0.05)
        return WireAnswer(connection, api, version, correlation_id)

    def close(self) -> None:
        for connection in self._connections.values():
            connection.close()
        self._connections.clear()

    def wait_for_group(self, group: str) -> None:
        for _ in range(200):
            found = self.send("admin", ApiKey.FIND_COORDINATOR, 4, FindCoordinatorRequest(coordinator_keys=[group]))
            if found.get().coordinators[0].error_code == 0:
                answer = self.connection("admin").ask("DescribeGroups", 5, groups=[group]).groups[0]
                if answer.error_code not in NOT_YET:
                    return
        raise SystemExit(f"no coordinator for {group}")

    def records(self, group: str) -> Iterator[CoordinatorRecord]:
        index = partition_for(group, PARTITIONS)
        partition = {"partition": index, "fetch_offset": 0, "partition_max_bytes": 10_000_000}
        topics = [{"topic": "__consumer_offsets", "partitions": [partition]}]
        answer = self.connection("admin").ask(
            "Fetch", 12, max_wait_ms=100, min_bytes=0, max_bytes=10_000_000, topics=topics
        )
        data = answer.responses[0].partitions[0].records
        return (each for each in decode_all([memoryview(data)]) if getattr(each, "group_id", None) == group)


def main(address: str) -> None:
    host, port = address.rsplit(":", 1)
    driver = WireDriver((host, int(port)))
    played = {}
    for name in HISTORIES:
        driver.wait_for_group(f"golden-{name}")
        played[name] = play(name, driver, driver.records)
        driver.close()
    GOLDEN.parent.mkdir(exist_ok=True)
    GOLDEN.write_text(json.dumps(played, indent=1, ensure_ascii=False) + "\n")
    print(f"{len(played)} histories in {GOLDEN}")


if __name__ == "__main__":
    main(sys.argv[1])
