"""Produce: errors, what is in the answer, what a batch may look like."""

import gzip
import struct
import uuid
import zlib
from collections.abc import Callable
from typing import Any

import pytest

from compat_tests.differences import expected
from compat_tests.raw.batches import Batch, Rec, batch, headers, now_ms
from compat_tests.raw.wire import Wire
from compat_tests.targets import Broker

Connect = Callable[[], Wire]

HOUR_MS = 3_600_000
COMPACTED = {"cleanup.policy": "compact"}
THREE = Batch(records=[Rec(b"a"), Rec(b"b"), Rec(b"c")])
GZIP = 1


@pytest.fixture
def existing(wire: Wire, topic: str) -> str:
    wire.create(topic)
    return topic


def messages_of(answer: Any) -> list[tuple[int, str | None]]:
    return [(e.batch_index, e.batch_index_error_message) for e in answer.record_errors]


# Versions, and the answer


@pytest.mark.parametrize("version", range(3, 13))
def test_by_name_in_every_version(wire: Wire, existing: str, version: int) -> None:
    wire.produce(existing, batch(b"one", b"two"))
    got = wire.produce(existing, version=version)
    assert (got.error_code, got.base_offset, got.log_append_time_ms) == (0, 2, -1)
    if version >= 5:
        assert got.log_start_offset == 0
    if version >= 8:
        assert (got.record_errors, got.error_message) == ([], None)


def test_by_topic_id_in_v13(wire: Wire, topic: str) -> None:
    topic_id = wire.create(topic)
    data = [{"topic_id": topic_id, "partition_data": [{"index": 0, "records": batch()}]}]
    answer = wire.ask("Produce", 13, acks=-1, timeout_ms=5000, topic_data=data)
    assert bytes(answer.responses[0].topic_id) == topic_id
    assert answer.responses[0].partition_responses[0].error_code == 0


def test_unknown_topic_id(wire: Wire) -> None:
    data = [{"topic_id": uuid.uuid4().bytes, "partition_data": [{"index": 0, "records": batch()}]}]
    got = wire.ask("Produce", 13, acks=-1, timeout_ms=5000, topic_data=data).responses[0].partition_responses[0]
    assert (got.error_code, got.base_offset) == (100, -1)


@pytest.mark.parametrize("version", [3, 9, 12])
def test_unknown_topic_is_not_created(wire: Wire, topic: str, version: int) -> None:
    got = wire.produce(topic, version=version)
    assert (got.error_code, got.base_offset) == (3, -1)
    assert wire.metadata(topic).error_code == 3, "Produce must not create the topic"


@pytest.mark.parametrize("partition", [1, -1, 99])
def test_unknown_partition(wire: Wire, existing: str, partition: int) -> None:
    got = wire.produce(existing, partition=partition)
    assert (got.error_code, got.index, got.base_offset) == (3, partition, -1)


@pytest.mark.parametrize("name", ["bad name", "", "x" * 300])
def test_invalid_topic_name(wire: Wire, name: str) -> None:
    got = wire.produce(name)
    assert (got.error_code, got.base_offset) == (3, -1)


def test_log_append_time(wire: Wire, topic: str) -> None:
    wire.create(topic, configs={"message.timestamp.type": "LogAppendTime"})
    before = now_ms()
    got = wire.produce(topic, batch(base_timestamp=1000))
    assert before <= got.log_append_time_ms <= now_ms()
    (stored,) = headers(wire.fetch(topic, 0).records)
    assert stored.max_timestamp == got.log_append_time_ms
    assert stored.attributes & 8
    assert stored.crc_ok


def test_log_start_offset_is_the_partitions(wire: Wire, existing: str) -> None:
    wire.produce(existing, batch(b"a", b"b"))
    wire.delete_records(existing, 1)
    assert wire.produce(existing).log_start_offset == 1


def test_no_topics(wire: Wire) -> None:
    assert wire.ask("Produce", 9, acks=-1, timeout_ms=1000, topic_data=[]).responses == []


def test_one_bad_and_one_good_partition(wire: Wire, topic: str) -> None:
    wire.create(topic, partitions=2)
    partitions = [
        {"index": 0, "records": batch(crc=1)},
        {"index": 1, "records": batch()},
        {"index": 7, "records": batch()},
    ]
    data = [{"name": topic, "partition_data": partitions}]
    answer = wire.ask("Produce", 9, acks=-1, timeout_ms=5000, topic_data=data).responses[0].partition_responses
    assert {p.index: p.error_code for p in answer} == {0: 2, 1: 0, 7: 3}


def test_same_partition_twice_gives_one_answer_and_one_batch(wire: Wire, existing: str) -> None:
    partitions = [{"index": 0, "records": batch(b"first")}, {"index": 0, "records": batch(b"second")}]
    data = [{"name": existing, "partition_data": partitions}]
    answer = wire.ask("Produce", 9, acks=-1, timeout_ms=5000, topic_data=data).responses[0].partition_responses
    assert [(p.index, p.error_code) for p in answer] == [(0, 0)]
    assert wire.start_and_end(existing) == (0, 1)
    assert b"second" in bytes(wire.fetch(existing, 0).records)


def test_same_topic_twice_is_merged(wire: Wire, topic: str) -> None:
    wire.create(topic, partitions=2)
    data = [{"name": topic, "partition_data": [{"index": i, "records": batch()}]} for i in range(2)]
    answer = wire.ask("Produce", 9, acks=-1, timeout_ms=5000, topic_data=data).responses
    assert [(t.name, sorted((p.index, p.error_code) for p in t.partition_responses)) for t in answer] == [
        (topic, [(0, 0), (1, 0)])
    ]


# acks


def test_acks_0_is_not_answered(wire: Wire, existing: str) -> None:
    wire.send("Produce", 9, **wire.produce_fields(existing, batch(), acks=0))
    wire.assert_alive()  # the next answer is to the next request
    assert wire.start_and_end(existing) == (0, 1)


@pytest.mark.parametrize(("what", "partition", "crc"), [("unknown partition", 5, None), ("bad CRC", 0, 1)])
def test_acks_0_with_an_error_closes(wire: Wire, existing: str, what: str, partition: int, crc: int | None) -> None:
    fields = wire.produce_fields(existing, batch(crc=crc), acks=0, partition=partition)
    wire.send("Produce", 9, **fields)
    wire.assert_closed(f"acks 0 with {what}")


@pytest.mark.parametrize("acks", [2, -2])
def test_acks_other_than_0_1_all(wire: Wire, existing: str, acks: int) -> None:
    assert wire.produce(existing, acks=acks).error_code == 21
    assert wire.start_and_end(existing) == (0, 0)


def test_acks_1(wire: Wire, existing: str) -> None:
    assert wire.produce(existing, acks=1).error_code == 0


def test_acks_all_with_more_min_insync_replicas_than_replicas(wire: Wire, topic: str) -> None:
    wire.create(topic, configs={"min.insync.replicas": "2"})
    assert wire.produce(topic, acks=-1).error_code == 0


# Batches that are refused


def test_wrong_crc(wire: Wire, existing: str) -> None:
    assert wire.produce(existing, batch(crc=12345)).error_code == 2


@pytest.mark.parametrize("magic", [0, 1])
def test_old_magic(wire: Wire, existing: str, magic: int) -> None:
    assert wire.produce(existing, batch(magic=magic)).error_code == 87


@pytest.mark.parametrize("magic", [0, 1])
def test_message_set_of_old_magic(wire: Wire, existing: str, magic: int) -> None:
    """A message set as clients before 0.11 sent it, not a batch with another magic byte."""
    time = b"" if magic == 0 else struct.pack(">q", now_ms())
    crced = struct.pack(">bb", magic, 0) + time + struct.pack(">i", -1) + struct.pack(">i", 1) + b"v"
    message = struct.pack(">I", zlib.crc32(crced)) + crced
    got = wire.produce(existing, struct.pack(">qi", 0, len(message)) + message)
    assert got.error_code == 87


def test_magic_3(wire: Wire, existing: str) -> None:
    got = wire.produce(existing, batch(magic=3))
    assert (got.error_code, got.error_message) == (2, "Invalid magic found in record: 3")


def test_records_null(connect: Connect, broker: Broker, topic: str) -> None:
    wire = connect()
    wire.create(topic)
    sent = wire.send("Produce", 9, **wire.produce_fields(topic, None))
    if expected("Produce with null records", broker.kind) == "no answer, ever":
        wire.assert_silent("null records")
    else:
        answer = wire.answer("Produce", 9, sent)
        assert answer.responses[0].partition_responses[0].error_code == 87
        wire.assert_alive()
    assert connect().start_and_end(topic) == (0, 0)


def test_records_empty(wire: Wire, existing: str) -> None:
    assert wire.produce(existing, b"").error_code == 87


def test_two_batches(wire: Wire, existing: str) -> None:
    assert wire.produce(existing, batch() + batch()).error_code == 87
    assert wire.start_and_end(existing) == (0, 0)


@pytest.mark.parametrize("keep", [10, 17, 40, 61, -1])
def test_batch_cut_short(wire: Wire, existing: str, keep: int) -> None:
    data = batch(b"a value that is long enough")
    assert wire.produce(existing, data[:keep]).error_code == 87


def test_size_field_below_the_least(wire: Wire, existing: str) -> None:
    got = wire.produce(existing, bytes(8) + bytes(4) + bytes(60))
    assert got.error_code == 2
    assert got.error_message == "Record size 0 is less than the minimum record overhead (14)"


@pytest.mark.parametrize(
    ("what", "changed"),
    [
        ("record count above lastOffsetDelta", THREE.but(count=4)),
        ("record count below lastOffsetDelta", THREE.but(count=2)),
        ("lastOffsetDelta too large", THREE.but(last_offset_delta=7)),
        ("count 0", THREE.but(count=0)),
        ("base offset 5", THREE.but(base_offset=5)),
        ("control bit", THREE.but(attributes=0x20)),
    ],
)
def test_header_that_is_refused(wire: Wire, existing: str, what: str, changed: Batch) -> None:
    got = wire.produce(existing, changed.encode())
    assert got.error_code == 87, what
    assert wire.start_and_end(existing) == (0, 0), "nothing is stored"


@pytest.mark.parametrize(
    ("what", "changed"),
    [
        ("offset deltas 0, 5, 2", THREE.but(records=[Rec(), Rec(offset_delta=5), Rec()])),
        ("maxTimestamp too small", THREE.but(base_timestamp=5000, max_timestamp=1)),
        ("timestamps -1", THREE.but(base_timestamp=-1, max_timestamp=-1)),
        ("timestamps -2", THREE.but(base_timestamp=-2, max_timestamp=-2)),
        ("partitionLeaderEpoch 99", THREE.but(leader_epoch=99)),
        ("unused attribute 0x80", THREE.but(attributes=0x80)),
        ("LogAppendTime bit on a CreateTime topic", THREE.but(attributes=0x08)),
    ],
)
def test_header_or_record_oddity_that_is_accepted(wire: Wire, existing: str, what: str, changed: Batch) -> None:
    got = wire.produce(existing, changed.encode())
    assert (got.error_code, got.base_offset) == (0, 0), what
    assert wire.start_and_end(existing) == (0, 3)
    (stored,) = headers(wire.fetch(existing, 0).records)
    assert stored.crc_ok, "the stored batch has a valid CRC"


def test_leader_epoch_is_set_by_the_broker(wire: Wire, existing: str) -> None:
    wire.produce(existing, batch(leader_epoch=99))
    (stored,) = headers(wire.fetch(existing, 0).records)
    assert stored.leader_epoch == 0


def test_max_timestamp_that_lies_is_corrected(wire: Wire, existing: str) -> None:
    """Kafka stores the true maximum and a new CRC; with a header ahead of the records, too."""
    base = now_ms()
    for lie in (1, base + 10 * HOUR_MS):
        end = wire.start_and_end(existing)[1]
        records = [Rec(timestamp_delta=0), Rec(timestamp_delta=7)]
        got = wire.produce(existing, Batch(records=records, base_timestamp=base, max_timestamp=lie).encode())
        assert got.error_code == 0
        (stored,) = headers(wire.fetch(existing, end).records)
        assert (stored.max_timestamp, stored.crc_ok) == (base + 7, True)


# Compression


def test_unknown_codec(wire: Wire, existing: str) -> None:
    assert wire.produce(existing, batch(attributes=5)).error_code == -1


def test_gzip_bit_over_bytes_that_are_not_gzip(wire: Wire, existing: str) -> None:
    assert wire.produce(existing, batch(attributes=GZIP)).error_code == -1


def test_gzip_offset_deltas_with_a_gap(wire: Wire, existing: str) -> None:
    records = Batch(records=[Rec(), Rec(offset_delta=5)])
    packed = records.but(attributes=GZIP, body=gzip.compress(records.encode_records()))
    assert wire.produce(existing, packed.encode()).error_code == -1


def test_gzip_with_more_records_than_the_count(wire: Wire, existing: str) -> None:
    packed = THREE.but(attributes=GZIP, body=gzip.compress(THREE.encode_records()), count=2, last_offset_delta=1)
    assert wire.produce(existing, packed.encode()).error_code == 87


def test_gzip_is_accepted_and_stored_as_sent(wire: Wire, existing: str) -> None:
    data = THREE.but(attributes=GZIP, body=gzip.compress(THREE.encode_records())).encode()
    assert wire.produce(existing, data).error_code == 0
    assert bytes(wire.fetch(existing, 0).records)[61:] == data[61:]


@pytest.mark.long
def test_small_gzip_that_expands_to_300_mb(wire: Wire, existing: str) -> None:
    huge = Batch(records=[Rec(value=bytes(300_000_000))])
    packed = huge.but(attributes=GZIP, body=gzip.compress(huge.encode_records(), 9))
    wire.socket.settimeout(60)
    assert wire.produce(existing, packed.encode()).error_code == 0


# Keys, sizes, timestamps


def test_null_key_on_a_compacted_topic(wire: Wire, topic: str) -> None:
    wire.create(topic, configs=COMPACTED)
    mixed = Batch(records=[Rec(), Rec(key=None), Rec()]).encode()
    got = wire.produce(topic, mixed)
    assert got.error_code == 87
    text = f"Compacted topic cannot accept message without key in topic partition {topic}-0"
    assert messages_of(got) == [(1, text)]
    assert wire.start_and_end(topic) == (0, 0), "the rest of the batch is refused too"
    assert wire.produce(topic, mixed, version=7).error_code == 87


def test_null_value_on_a_compacted_topic_is_a_tombstone(wire: Wire, topic: str) -> None:
    wire.create(topic, configs=COMPACTED)
    assert wire.produce(topic, batch(None)).error_code == 0


def test_largest_batch(wire: Wire, existing: str) -> None:
    """max.message.bytes (1048588) counts the whole batch."""
    room = 1048588 - len(batch(bytes(1_000_000))) + 1_000_000
    assert len(batch(bytes(room))) == 1048588
    assert wire.produce(existing, batch(bytes(room))).error_code == 0
    assert wire.produce(existing, batch(bytes(room + 1))).error_code == 10


def test_max_message_bytes_of_the_topic(wire: Wire, topic: str) -> None:
    size = len(batch(bytes(500)))
    wire.create(topic, configs={"max.message.bytes": str(size)})
    assert wire.produce(topic, batch(bytes(500))).error_code == 0
    assert wire.produce(topic, batch(bytes(501))).error_code == 10


def test_timestamp_too_far_ahead(wire: Wire, existing: str) -> None:
    ahead = now_ms() + 10 * HOUR_MS
    got = wire.produce(existing, batch(b"a", b"b", base_timestamp=ahead))
    assert got.error_code == 32
    assert [e.batch_index for e in got.record_errors] == [0, 1], "each record has its error"
    assert all(e.batch_index_error_message for e in got.record_errors)
    assert got.error_message
    assert got.log_start_offset == 0


def test_timestamp_too_old(wire: Wire, topic: str) -> None:
    wire.create(topic, configs={"message.timestamp.before.max.ms": "1000"})
    got = wire.produce(topic, batch(base_timestamp=now_ms() - HOUR_MS))
    assert got.error_code == 32
    assert [e.batch_index for e in got.record_errors] == [0]


def test_record_too_far_ahead_under_a_header_of_now(wire: Wire, existing: str) -> None:
    now = now_ms()
    lying = Batch(records=[Rec(timestamp_delta=10 * HOUR_MS)], base_timestamp=now, max_timestamp=now)
    got = wire.produce(existing, lying.encode())
    assert got.error_code == 32


# Internal topics, transactions


def test_to_consumer_offsets(wire: Wire) -> None:
    wire.ask("FindCoordinator", 3, key="any", key_type=0)
    wire.wait_for_topic("__consumer_offsets", 50)
    assert wire.produce("__consumer_offsets", partition=49).error_code == 17


def test_to_consumer_offsets_by_the_admin_client(wire: Wire, group: str) -> None:
    """The client id alone decides. The record is a tombstone for an offset that does not exist."""
    name = group.encode()
    key = b"\0\1" + len(name).to_bytes(2, "big") + name + b"\0\1t" + bytes(4)
    wire.ask("FindCoordinator", 3, key=group, key_type=0)
    wire.wait_for_topic("__consumer_offsets", 50)
    tombstone = Batch(records=[Rec(key=key, value=None)]).encode()
    got = wire.produce("__consumer_offsets", tombstone, partition=49, client_id="__admin_client")
    assert got.error_code == 0


def test_transactional_id_over_a_plain_batch(wire: Wire, existing: str) -> None:
    assert wire.produce(existing, transactional_id="some-id").error_code == 0


def test_transactional_batch_without_transactional_id(wire: Wire, existing: str) -> None:
    data = batch(attributes=0x10, producer_id=wire.producer_id(), producer_epoch=0, base_sequence=0)
    answer = wire.ask("Produce", 9, **wire.produce_fields(existing, data))
    assert answer.responses[0].partition_responses[0].error_code == 53


@pytest.mark.usefixtures("transaction_coordinators")
def test_transactional_batch_of_a_transaction_nobody_knows(wire: Wire, existing: str) -> None:
    """Refused, and readers of committed records are not held up by it."""
    data = batch(attributes=0x10, producer_id=wire.producer_id(), producer_epoch=0, base_sequence=0)
    got = wire.produce(existing, data, transactional_id="nobody-knows")
    assert got.error_code == 49
    assert wire.produce(existing).error_code == 0
    committed = wire.ask(
        "ListOffsets",
        7,
        replica_id=-1,
        isolation_level=1,
        topics=[{"name": existing, "partitions": [{"partition_index": 0, "timestamp": -1}]}],
    )
    assert committed.topics[0].partitions[0].offset == wire.start_and_end(existing)[1]
