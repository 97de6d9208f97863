"""Garbage in `__transaction_state` is passed over with a line in the log, as if it had never been written."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.coordinator.shard import ShardStatus
from broker.group.record_batches import pack_batch
from broker.txn.record_codec import encode_key
from kwire.records import HEADER_SIZE, Codec, RecordBatchBuilder
from tests.broker.coordinator.group_world import MemoryLog
from tests.broker.txn.txn_world import TxnWorld

GARBAGE = [b"", b"\0\x63junk", b"\0\1\0", b"\0\0\0"]


@pytest.fixture
def world() -> TxnWorld:
    return TxnWorld(partitions=1)


def log_of(world: TxnWorld) -> MemoryLog:
    return world.topic.logs[0]


@pytest.mark.parametrize("values", [GARBAGE[:1], GARBAGE[1:2], GARBAGE])
def test_what_an_id_had_before_a_damaged_value_stays_in_force(
    world: TxnWorld, values: list[bytes], caplog: pytest.LogCaptureFixture
) -> None:
    producer_id, epoch = world.open()
    before = world.transaction()
    for value in values:
        log_of(world).append(pack_batch([(encode_key("x"), value)], 0))
    world.restart()
    assert world.transaction() == before
    assert len([each for each in caplog.records if "passed over" in each.message]) == len(values)
    assert world.end(producer_id, epoch).error_code == 0


def test_a_decision_before_a_damaged_value_is_carried_out(world: TxnWorld) -> None:
    producer_id, epoch = world.open()
    world.markers.hold = True
    world.end_later(producer_id, epoch)
    log_of(world).append(pack_batch([(encode_key("x"), b"\0\x63")], 0))
    world.markers.hold = False
    world.markers.written.clear()
    world.restart()
    world.settle()
    assert world.markers.written[0][:3] == (producer_id, epoch, True)
    assert world.state().name == "COMPLETE_COMMIT"


def test_an_id_that_was_forgotten_before_a_damaged_value_stays_forgotten(world: TxnWorld) -> None:
    world.init()
    log_of(world).append(pack_batch([(encode_key("x"), None)], 0))
    log_of(world).append(pack_batch([(encode_key("x"), b"\0\x63")], 0))
    world.restart()
    assert world.describe().error_code == 105


@pytest.mark.parametrize("compressed", [False, True])
def test_a_batch_whose_records_do_not_parse_takes_no_other_with_it(
    world: TxnWorld, compressed: bool, caplog: pytest.LogCaptureFixture
) -> None:
    first = world.open("a")
    builder = RecordBatchBuilder(codec=Codec.GZIP if compressed else Codec.NONE)
    builder.append(encode_key("b"), b"\0\1" * 50, timestamp=0)
    batch = bytearray(builder.build())
    batch[HEADER_SIZE:] = b"\x01" * (len(batch) - HEADER_SIZE)
    log_of(world).append(batch)
    second = world.open("c")
    world.restart()
    assert len([each for each in caplog.records if "passed over" in each.message]) == 1
    assert world.end(*first, name="a").error_code == 0
    assert world.end(*second, name="c").error_code == 0


@given(data=st.data())
def test_any_damage_within_a_batch(data: st.DataObject) -> None:
    world = TxnWorld(partitions=1)
    for name in ("a", "b"):
        world.end(*world.open(name), name=name)
    world.open("c")
    log = log_of(world)
    number = data.draw(st.integers(0, len(log.batches) - 1))
    batch = bytearray(log.batches[number])
    for _ in range(data.draw(st.integers(1, 4))):
        batch[data.draw(st.integers(HEADER_SIZE, len(batch) - 1))] = data.draw(st.integers(0, 255))
    log.batches[number] = bytes(batch)
    world.restart()
    assert world.coordinator._shards[0].status is ShardStatus.ACTIVE
    assert {"a", "b", "c"} - set(world.coordinator._shards[0].state.transactions) in (set(), {"a"}, {"b"}, {"c"})
