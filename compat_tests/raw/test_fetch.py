"""Fetch without sessions: offsets, sizes, waiting, errors, isolation."""

import time
import uuid
from collections.abc import Callable

import pytest

from compat_tests.raw.batches import batch, headers
from compat_tests.raw.wire import NO_TOPIC_ID, Wire


@pytest.fixture
def filled(wire: Wire, topic: str) -> str:
    """A topic whose only partition holds batches of three records at offsets 0, 3, 6, 9."""
    wire.create(topic)
    for _ in range(4):
        assert wire.produce(topic, batch(b"a" * 60, b"b" * 60, b"c" * 60)).error_code == 0
    return topic


def base_offsets(partition: object) -> list[int]:
    return [h.base_offset for h in headers(partition.records)]  # type: ignore[attr-defined]


@pytest.mark.parametrize("version", range(4, 13))
def test_by_name_in_every_version(wire: Wire, filled: str, version: int) -> None:
    got = wire.fetch(filled, 0, version=version)
    assert (got.error_code, got.high_watermark, got.last_stable_offset) == (0, 12, 12)
    if version >= 5:
        assert got.log_start_offset == 0
    assert base_offsets(got) == [0, 3, 6, 9]
    assert all(h.crc_ok and h.leader_epoch == 0 for h in headers(got.records))


@pytest.mark.parametrize("version", range(13, 19))
def test_by_topic_id_in_every_version(wire: Wire, filled: str, version: int) -> None:
    got = wire.fetch(wire.topic_id(filled), 0, version=version)
    assert (got.error_code, got.high_watermark) == (0, 12)
    assert base_offsets(got) == [0, 3, 6, 9]


@pytest.mark.parametrize("offset", [13, 10**12, -1, -2])
def test_out_of_range(wire: Wire, filled: str, offset: int) -> None:
    got = wire.fetch(filled, offset)
    assert (got.error_code, got.high_watermark, got.last_stable_offset, got.log_start_offset) == (1, -1, -1, -1)
    assert len(got.records or b"") == 0


def test_below_log_start(wire: Wire, filled: str) -> None:
    wire.delete_records(filled, 3)
    got = wire.fetch(filled, 0)
    assert (got.error_code, got.high_watermark, got.log_start_offset) == (1, -1, -1)
    assert base_offsets(wire.fetch(filled, 3)) == [3, 6, 9]


def test_at_the_end_gives_empty_records_after_the_wait(wire: Wire, filled: str) -> None:
    started = time.monotonic()
    got = wire.fetch(filled, 12, max_wait_ms=60, min_bytes=1)
    waited = time.monotonic() - started
    assert (got.error_code, got.high_watermark) == (0, 12)
    assert got.records is not None, "empty, not null"
    assert len(got.records) == 0
    assert waited >= 0.055, f"max wait is 60 ms, answered after {waited * 1000:.0f}"


def test_at_the_end_with_min_bytes_0_answers_at_once(wire: Wire, filled: str) -> None:
    started = time.monotonic()
    assert wire.fetch(filled, 12, max_wait_ms=5000, min_bytes=0).error_code == 0
    assert time.monotonic() - started < 2


def test_waiting_fetch_is_answered_by_a_produce(wire: Wire, filled: str, connect: Callable[[], Wire]) -> None:
    sent = wire.send("Fetch", 12, **wire.fetch_fields(filled, 12, max_wait_ms=8000, min_bytes=1))
    wire.assert_silent("a fetch at the end", 0.05)
    started = time.monotonic()
    connect().produce(filled)
    got = wire.answer("Fetch", 12, sent).responses[0].partitions[0]
    assert base_offsets(got) == [12]
    assert time.monotonic() - started < 3


def test_middle_of_a_batch_gives_the_whole_batch(wire: Wire, filled: str) -> None:
    assert base_offsets(wire.fetch(filled, 4)) == [3, 6, 9]
    assert base_offsets(wire.fetch(filled, 5)) == [3, 6, 9]


def test_log_start_in_the_middle_of_a_batch(wire: Wire, filled: str) -> None:
    wire.delete_records(filled, 4)
    got = wire.fetch(filled, 4)
    assert got.log_start_offset == 4
    assert base_offsets(got) == [3, 6, 9]


@pytest.mark.parametrize("limit", [0, 1])
@pytest.mark.parametrize("field", ["partition_max_bytes", "max_bytes"])
def test_tiny_limits_give_one_whole_batch(wire: Wire, filled: str, field: str, limit: int) -> None:
    got = wire.fetch(filled, 0, **{field: limit})
    (only,) = headers(got.records)
    assert (only.base_offset, len(got.records)) == (0, only.size), "one whole batch and nothing else"


def test_partition_limit_cuts_the_last_batch(wire: Wire, filled: str) -> None:
    size = headers(wire.fetch(filled, 0).records)[0].size
    assert 200 < size < 400
    got = wire.fetch(filled, 0, partition_max_bytes=400)
    assert len(got.records) == 400
    assert base_offsets(got) == [0]


def test_request_limit_spans_partitions(wire: Wire, topic: str) -> None:
    wire.create(topic, partitions=2)
    for index in range(2):
        wire.produce(topic, batch(bytes(5000)), partition=index)
    inner = [{"partition": i, "fetch_offset": 0, "partition_max_bytes": 1 << 20} for i in range(2)]
    topics = [{"topic": topic, "partitions": inner}]
    fields = {"replica_id": -1, "session_id": 0, "session_epoch": -1, "topics": topics}
    answer = wire.ask("Fetch", 12, max_wait_ms=0, min_bytes=1, max_bytes=1000, **fields).responses[0].partitions
    assert [(p.partition_index, len(p.records) > 0) for p in answer] == [(0, True), (1, False)]


def test_min_bytes_above_what_there_is_waits_then_gives_it(wire: Wire, filled: str) -> None:
    started = time.monotonic()
    got = wire.fetch(filled, 0, max_wait_ms=60, min_bytes=1 << 20)
    assert time.monotonic() - started >= 0.055
    assert base_offsets(got) == [0, 3, 6, 9]


def test_no_topics_answers_at_once(wire: Wire) -> None:
    started = time.monotonic()
    fields = {"replica_id": -1, "session_id": 0, "session_epoch": -1, "topics": []}
    answer = wire.ask("Fetch", 12, max_wait_ms=5000, min_bytes=1, max_bytes=1000, **fields)
    assert (answer.error_code, answer.responses) == (0, [])
    assert time.monotonic() - started < 2


# Isolation


def test_aborted_transactions_by_isolation_level(wire: Wire, filled: str) -> None:
    assert wire.fetch(filled, 0, isolation_level=0).aborted_transactions is None
    assert wire.fetch(filled, 0, isolation_level=1).aborted_transactions == []


@pytest.mark.parametrize("isolation_level", [0, 1])
def test_aborted_transactions_of_an_unknown_partition(wire: Wire, filled: str, isolation_level: int) -> None:
    got = wire.fetch(filled, 0, partition=7, isolation_level=isolation_level)
    assert (got.error_code, got.aborted_transactions) == (3, [])


@pytest.mark.parametrize("isolation_level", [0, 1])
def test_aborted_transactions_with_an_error(wire: Wire, filled: str, isolation_level: int) -> None:
    out_of_range = wire.fetch(filled, 99, isolation_level=isolation_level)
    assert (out_of_range.error_code, out_of_range.aborted_transactions) == (1, None)
    wrong_epoch = wire.fetch(filled, 0, current_leader_epoch=9, isolation_level=isolation_level)
    assert (wrong_epoch.error_code, wrong_epoch.aborted_transactions) == (75, None)


def test_unknown_isolation_level(wire: Wire, filled: str) -> None:
    answer = wire.ask("Fetch", 12, **wire.fetch_fields(filled, 0, isolation_level=7))
    assert (answer.error_code, answer.responses[0].partitions[0].error_code) == (-1, -1)


# Errors


def test_unknown_topic_and_partition(wire: Wire, filled: str, topic: str) -> None:
    for name, index in ((f"{topic}-missing", 0), (filled, 1), (filled, -1)):
        got = wire.fetch(name, 0, partition=index)
        assert (got.error_code, got.high_watermark) == (3, -1)
    assert wire.metadata(f"{topic}-missing").error_code == 3, "Fetch must not create the topic"


@pytest.mark.parametrize("topic_id", [NO_TOPIC_ID, uuid.uuid4().bytes], ids=["zero", "unknown"])
def test_unknown_topic_id(wire: Wire, topic_id: bytes) -> None:
    assert wire.fetch(topic_id, 0, version=13).error_code == 100


def test_current_leader_epoch_ahead(wire: Wire, filled: str) -> None:
    assert wire.fetch(filled, 0, current_leader_epoch=5).error_code == 75
    assert wire.fetch(filled, 0, current_leader_epoch=0).error_code == 0


def test_last_fetched_epoch_ahead(wire: Wire, filled: str) -> None:
    assert wire.fetch(filled, 0, last_fetched_epoch=5).error_code == 1


@pytest.mark.parametrize("replica_id", [1, 5])
def test_replica_that_is_no_follower(wire: Wire, filled: str, replica_id: int) -> None:
    assert wire.fetch(filled, 0, replica_id=replica_id).error_code == 6


def test_replica_id_of_a_debugging_consumer(wire: Wire, filled: str) -> None:
    got = wire.fetch(filled, 0, replica_id=-2)
    assert (got.error_code, base_offsets(got)) == (0, [0, 3, 6, 9])
