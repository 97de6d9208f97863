"""The same requests give the same answers and the same records as on Apache Kafka 4.3.1.

What Kafka said is in data/histories.json, made by record_histories.py.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from broker.txn.config import TransactionConfig
from broker.txn.record_codec import decode_record, encode_key, encode_value
from broker.txn.transaction import TransactionRecord
from tests.broker.txn.histories import HISTORIES, TIMEOUT_CHECK_MS, TOPICS, play, readable
from tests.broker.txn.txn_world import TxnWorld

KAFKA: dict[str, Any] = json.loads((Path(__file__).parent / "data" / "histories.json").read_text())


class WorldDriver:
    """Histories on kwire's coordinator; time passes with every request."""

    def __init__(self, world: TxnWorld) -> None:
        self.world = world

    def ask(self, request: Any, version: int) -> Any:
        return self.world.ask(request, version)

    def records(self, transactional_id: str) -> Iterable[tuple[bytes, bytes | None]]:
        return self.world.raw_records(transactional_id)

    def settle(self, transactional_id: str) -> None:
        self.world.settle()

    def skip_epochs(self, transactional_id: str, times: int) -> int:
        shard = self.world.shard_of(transactional_id)
        found = shard.state.transactions[transactional_id]
        later = evolve(found, producer_epoch=found.producer_epoch + times, last_producer_epoch=-1)
        shard.run(lambda decision: decision.records.append(TransactionRecord(transactional_id, later)))
        return later.producer_epoch

    def pass_time(self, ms: int) -> None:
        self.world.clock.advance(ms)


@pytest.mark.parametrize(("level", "name"), HISTORIES)
def test_as_on_kafka(level: int, name: str) -> None:
    config = TransactionConfig(transaction_abort_timed_out_transaction_cleanup_interval_ms=TIMEOUT_CHECK_MS)
    world = TxnWorld(config, level, 50, **TOPICS, __consumer_offsets=50)
    # Through JSON, as Kafka's were.
    ours = json.loads(json.dumps(play(level, name, WorldDriver(world))))
    theirs = KAFKA[f"{level} {name}"]
    for position, (answer, expected) in enumerate(zip(ours["answers"], theirs["answers"], strict=True)):
        assert answer == expected, f"answer {position}"
    records, wanted = readable(ours), readable(theirs)
    for position, (record, expected) in enumerate(zip(records, wanted, strict=False)):
        assert record == expected, f"record {position}"
    assert len(records) == len(wanted)


@pytest.mark.parametrize("name", KAFKA)
def test_kafkas_records_are_packed_as_they_were(name: str) -> None:
    """Every byte, the order of the partitions included."""
    for key, value in KAFKA[name]["records"]:
        raw = bytes.fromhex(value)
        record = decode_record(bytes.fromhex(key), raw)
        assert record.value is not None
        assert encode_key(record.transactional_id) == bytes.fromhex(key)
        assert encode_value(record.value, int.from_bytes(raw[:2], "big")) == raw
