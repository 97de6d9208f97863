"""Plays the histories on Apache Kafka 4.3.1:  python -m tests.broker.txn.record_histories HOST:PORT

The broker needs transaction.abort.timed.out.transaction.cleanup.interval.ms=200. What it says becomes
data/histories.json, which test_histories.py holds kwire against.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from broker.group.ids import partition_for
from broker.txn.record_codec import decode_pairs, encode_key
from compat_tests.raw.connection import Connection
from kwire import codec
from kwire.api_keys import ApiKey
from kwire.messages.describe_transactions import DescribeTransactionsRequest
from kwire.messages.init_producer_id import InitProducerIdRequest
from tests.broker.coordinator.transcripts import response_class
from tests.broker.txn.histories import HISTORIES, TOPICS, play, transactional_id

GOLDEN = Path(__file__).parent / "data" / "histories.json"
PARTITIONS = 50
COMPLETING = ("PrepareCommit", "PrepareAbort")


class WireDriver:
    def __init__(self, address: tuple[str, int]) -> None:
        self._connection = Connection(address)
        topics = [{"name": name, "num_partitions": count, "replication_factor": 1} for name, count in TOPICS.items()]
        self._connection.ask("CreateTopics", 7, topics=topics, timeout_ms=10_000)
        self._wait(lambda: self._find(0, "g").error_code == 0)
        self._wait(lambda: self._find(1, "x").error_code == 0)
        self._wait(lambda: self._connection.ask("InitProducerId", 5, transactional_id=None).error_code == 0)

    def _find(self, key_type: int, key: str) -> Any:
        return self._connection.ask("FindCoordinator", 4, key_type=key_type, coordinator_keys=[key]).coordinators[0]

    def _wait(self, good: Any) -> None:
        for _ in range(400):
            if good():
                return
            time.sleep(0.05)
        raise SystemExit("it does not come about")

    def set_level(self, level: int) -> None:
        """Raised or lowered, whatever that loses."""
        answer = self._connection.ask(
            "UpdateFeatures",
            1,
            timeout_ms=10_000,
            feature_updates=[{"feature": "transaction.version", "max_version_level": level, "upgrade_type": 3}],
            validate_only=False,
        )
        if answer.error_code:
            answer = self._connection.ask(
                "UpdateFeatures",
                1,
                timeout_ms=10_000,
                feature_updates=[{"feature": "transaction.version", "max_version_level": level, "upgrade_type": 1}],
                validate_only=False,
            )
        print(f"transaction.version {level}: {answer.error_code} {answer.error_message}")
        time.sleep(1)

    def ask(self, request: Any, version: int) -> Any:
        stem = type(request).__module__.rpartition(".")[2]
        api = ApiKey[stem.upper()]
        name = type(request).__name__.removesuffix("Request")
        sent = self._connection.send_body(name, version, codec.encode(request, version), client_id="app")
        return codec.decode(response_class(api), version, self._connection.response_body(name, version, sent))

    def settle(self, transactional_id: str) -> None:
        def complete() -> bool:
            request = DescribeTransactionsRequest(transactional_ids=[transactional_id])
            (found,) = self.ask(request, 0).transaction_states
            return found.error_code not in (14, 16) and found.transaction_state not in COMPLETING

        self._wait(complete)
        time.sleep(0.02)

    def skip_epochs(self, transactional_id: str, times: int) -> int:
        request = InitProducerIdRequest(transactional_id=transactional_id, transaction_timeout_ms=60_000)
        for _ in range(times):
            answer = self.ask(request, 5)
        return int(answer.producer_epoch)

    def pass_time(self, ms: int) -> None:
        time.sleep(ms / 1000)

    def records(self, transactional_id: str) -> Iterator[tuple[bytes, bytes | None]]:
        index = partition_for(transactional_id, PARTITIONS)
        wanted = encode_key(transactional_id)
        offset = 0
        while True:
            partition = {"partition": index, "fetch_offset": offset, "partition_max_bytes": 10_000_000}
            topics = [{"topic": "__transaction_state", "partitions": [partition]}]
            answer = self._connection.ask(
                "Fetch", 12, max_wait_ms=100, min_bytes=0, max_bytes=10_000_000, topics=topics
            )
            found = answer.responses[0].partitions[0]
            pairs = list(decode_pairs(memoryview(found.records or b"")))
            yield from ((key, value) for key, value in pairs if key == wanted)
            offset += len(pairs)
            if not pairs or offset >= found.high_watermark:
                return


def main(address: str) -> None:
    host, port = address.rsplit(":", 1)
    driver = WireDriver((host, int(port)))
    played = {}
    current = None
    for level, name in HISTORIES:
        if level != current:
            driver.set_level(level)
            current = level
        print(level, name, flush=True)
        driver.settle(transactional_id(level, name))
        played[f"{level} {name}"] = play(level, name, driver)
    GOLDEN.parent.mkdir(exist_ok=True)
    GOLDEN.write_text(json.dumps(played, indent=None, ensure_ascii=False).replace('}, "', '},\n "') + "\n")
    print(f"{len(played)} histories in {GOLDEN}")


if __name__ == "__main__":
    main(sys.argv[1])
