"""ListOffsets, OffsetForLeaderEpoch, DeleteRecords."""

from typing import Any

import pytest

from compat_tests.raw.batches import Batch, Rec, batch, now_ms
from compat_tests.raw.wire import Wire

LATEST, EARLIEST, MAX_TIMESTAMP, EARLIEST_LOCAL, LATEST_TIERED, EARLIEST_PENDING = -1, -2, -3, -4, -5, -6


def seen(partition: Any) -> tuple[int, int, int]:
    """(error, timestamp, offset)"""
    return partition.error_code, partition.timestamp, partition.offset


@pytest.fixture
def base() -> int:
    return now_ms() - 100_000


@pytest.fixture
def filled(wire: Wire, topic: str, base: int) -> str:
    """Offsets 0 to 5: two batches of three, timestamps base + 0, 10, 20 and base + 50, 40, 30."""
    wire.create(topic)
    for deltas in ((0, 10, 20), (50, 40, 30)):
        records = [Rec(timestamp_delta=d) for d in deltas]
        data = Batch(records=records, base_timestamp=base, max_timestamp=base + max(deltas)).encode()
        assert wire.produce(topic, data).error_code == 0
    return topic


@pytest.fixture
def empty(wire: Wire, topic: str) -> str:
    wire.create(topic)
    return topic


@pytest.mark.parametrize("version", range(1, 12))
def test_latest_and_earliest_in_every_version(wire: Wire, filled: str, version: int) -> None:
    for timestamp, offset in ((LATEST, 6), (EARLIEST, 0)):
        got = wire.list_offset(filled, timestamp, version=version)
        assert seen(got) == (0, -1, offset)
        if version >= 4:
            assert got.leader_epoch == 0


@pytest.mark.parametrize("version", [8, 9, 11])
def test_earliest_local(wire: Wire, filled: str, version: int) -> None:
    got = wire.list_offset(filled, EARLIEST_LOCAL, version=version)
    assert (seen(got), got.leader_epoch) == ((0, -1, 0), 0)


@pytest.mark.parametrize("timestamp", [LATEST, EARLIEST, EARLIEST_LOCAL])
def test_special_timestamps_of_an_empty_partition(wire: Wire, empty: str, timestamp: int) -> None:
    got = wire.list_offset(empty, timestamp, version=8)
    assert (seen(got), got.leader_epoch) == ((0, -1, 0), 0)


@pytest.mark.parametrize("version", range(7, 12))
def test_max_timestamp(wire: Wire, filled: str, base: int, version: int) -> None:
    assert seen(wire.list_offset(filled, MAX_TIMESTAMP, version=version)) == (0, base + 50, 3)


def test_max_timestamp_of_an_empty_partition(wire: Wire, empty: str) -> None:
    assert seen(wire.list_offset(empty, MAX_TIMESTAMP)) == (0, -1, -1)


def test_max_timestamp_after_all_records_were_deleted(wire: Wire, filled: str, base: int) -> None:
    assert wire.delete_records(filled, -1).error_code == 0
    assert wire.start_and_end(filled) == (6, 6)
    assert seen(wire.list_offset(filled, MAX_TIMESTAMP)) == (0, base + 50, 3), "still the old one, below log start"


@pytest.mark.parametrize(("timestamp", "version"), [(LATEST_TIERED, 9), (LATEST_TIERED, 11), (EARLIEST_PENDING, 11)])
def test_remote_storage_timestamps_without_remote_storage(
    wire: Wire, filled: str, timestamp: int, version: int
) -> None:
    got = wire.list_offset(filled, timestamp, version=version)
    assert (seen(got), got.leader_epoch) == ((0, -1, -1), -1)


@pytest.mark.parametrize(
    ("timestamp", "version"),
    [(MAX_TIMESTAMP, 6), (EARLIEST_LOCAL, 7), (LATEST_TIERED, 8), (EARLIEST_PENDING, 10),
     (-7, 11), (-8, 11), (-100, 11)],
)  # fmt: skip
def test_special_timestamp_that_the_version_lacks(wire: Wire, filled: str, timestamp: int, version: int) -> None:
    assert wire.list_offset(filled, timestamp, version=version).error_code == 35


@pytest.mark.parametrize(
    ("after", "expected_after", "offset"), [(-50, 0, 0), (0, 0, 0), (1, 10, 1), (20, 20, 2), (21, 50, 3), (50, 50, 3)]
)
def test_by_time(wire: Wire, filled: str, base: int, after: int, expected_after: int, offset: int) -> None:
    got = wire.list_offset(filled, base + after)
    assert (seen(got), got.leader_epoch) == ((0, base + expected_after, offset), 0)


def test_time_past_the_last_record(wire: Wire, filled: str, base: int) -> None:
    got = wire.list_offset(filled, base + 51)
    assert (seen(got), got.leader_epoch) == ((0, -1, -1), -1)


def test_by_time_of_an_empty_partition(wire: Wire, empty: str) -> None:
    assert seen(wire.list_offset(empty, 0)) == (0, -1, -1)


def test_by_time_skips_deleted_records(wire: Wire, filled: str, base: int) -> None:
    wire.delete_records(filled, 2)
    assert seen(wire.list_offset(filled, 0)) == (0, base + 20, 2)


def test_list_offsets_unknown(wire: Wire, filled: str) -> None:
    for name, index in ((filled, 1), (filled, -1), (f"{filled}-missing", 0)):
        got = wire.list_offset(name, LATEST, partition=index)
        assert seen(got) == (3, -1, -1)
    assert wire.metadata(f"{filled}-missing").error_code == 3, "ListOffsets must not create the topic"


def test_list_offsets_leader_epoch_ahead(wire: Wire, filled: str) -> None:
    assert wire.list_offset(filled, LATEST, current_leader_epoch=5).error_code == 75
    assert wire.list_offset(filled, LATEST, current_leader_epoch=0).error_code == 0


def test_list_offsets_partition_twice(wire: Wire, filled: str) -> None:
    inner = [{"partition_index": 0, "timestamp": t} for t in (LATEST, EARLIEST)]
    answer = wire.ask("ListOffsets", 7, replica_id=-1, topics=[{"name": filled, "partitions": inner}])
    assert [seen(p) for p in answer.topics[0].partitions] == [(42, -1, -1)]


def test_read_committed_latest_without_transactions(wire: Wire, filled: str) -> None:
    inner = [{"partition_index": 0, "timestamp": LATEST}]
    topics = [{"name": filled, "partitions": inner}]
    answer = wire.ask("ListOffsets", 7, replica_id=-1, isolation_level=1, topics=topics)
    assert seen(answer.topics[0].partitions[0]) == (0, -1, 6)


# OffsetForLeaderEpoch


def end_of_epoch(wire: Wire, topic: str, epoch: int, version: int = 4, partition: int = 0, **more: Any) -> Any:
    inner = {"partition": partition, "leader_epoch": epoch} | more
    answer = wire.ask("OffsetForLeaderEpoch", version, topics=[{"topic": topic, "partitions": [inner]}])
    return answer.topics[0].partitions[0]


@pytest.mark.parametrize("version", [2, 3, 4])
def test_current_epoch_ends_at_the_log_end(wire: Wire, filled: str, version: int) -> None:
    got = end_of_epoch(wire, filled, 0, version)
    assert (got.error_code, got.leader_epoch, got.end_offset) == (0, 0, 6)


@pytest.mark.parametrize("epoch", [1, -1])
def test_unknown_epoch(wire: Wire, filled: str, epoch: int) -> None:
    got = end_of_epoch(wire, filled, epoch)
    assert (got.error_code, got.leader_epoch, got.end_offset) == (0, -1, -1)


def test_epoch_of_an_empty_partition(wire: Wire, empty: str) -> None:
    got = end_of_epoch(wire, empty, 0)
    assert (got.error_code, got.leader_epoch, got.end_offset) == (0, 0, 0)


def test_epoch_request_from_the_future_and_unknown_partition(wire: Wire, filled: str) -> None:
    assert end_of_epoch(wire, filled, 0, current_leader_epoch=5).error_code == 75
    got = end_of_epoch(wire, filled, 0, partition=9)
    assert (got.error_code, got.leader_epoch, got.end_offset) == (3, -1, -1)


# DeleteRecords


@pytest.mark.parametrize("version", [0, 1, 2])
def test_delete_records_in_every_version(wire: Wire, filled: str, version: int) -> None:
    topics = [{"name": filled, "partitions": [{"partition_index": 0, "offset": 4}]}]
    got = wire.ask("DeleteRecords", version, topics=topics, timeout_ms=5000).topics[0].partitions[0]
    assert (got.error_code, got.low_watermark) == (0, 4)
    assert wire.start_and_end(filled) == (4, 6)


def test_delete_records_below_the_start_changes_nothing(wire: Wire, filled: str) -> None:
    wire.delete_records(filled, 4)
    got = wire.delete_records(filled, 2)
    assert (got.error_code, got.low_watermark) == (0, 4)


def test_delete_records_up_to_the_high_watermark(wire: Wire, filled: str) -> None:
    got = wire.delete_records(filled, -1)
    assert (got.error_code, got.low_watermark) == (0, 6)
    assert wire.start_and_end(filled) == (6, 6)
    assert wire.produce(filled).base_offset == 6


@pytest.mark.parametrize("offset", [7, -2])
def test_delete_records_out_of_range(wire: Wire, filled: str, offset: int) -> None:
    got = wire.delete_records(filled, offset)
    assert (got.error_code, got.low_watermark) == (1, -1)
    assert wire.start_and_end(filled) == (0, 6)


def test_delete_records_of_a_compacted_topic(wire: Wire, topic: str) -> None:
    wire.create(topic, configs={"cleanup.policy": "compact"})
    wire.produce(topic, batch())
    assert wire.delete_records(topic, 1).error_code == 44


def test_delete_records_of_a_compacted_and_deleted_topic(wire: Wire, topic: str) -> None:
    wire.create(topic, configs={"cleanup.policy": "compact,delete"})
    wire.produce(topic, batch())
    assert wire.delete_records(topic, 1).error_code == 0


def test_delete_records_of_an_internal_topic(wire: Wire, group: str) -> None:
    wire.ask("FindCoordinator", 3, key=group, key_type=0)
    wire.wait_for_topic("__consumer_offsets", 50)
    assert wire.delete_records("__consumer_offsets", 0).error_code == 17


def test_delete_records_unknown(wire: Wire, filled: str) -> None:
    assert wire.delete_records(filled, 0, partition=9).error_code == 3
    assert wire.delete_records(f"{filled}-missing", 0).error_code == 3


@pytest.mark.parametrize("isolation_level", [-1, 2, 127])
def test_isolation_level_that_is_none(wire: Wire, topic: str, isolation_level: int) -> None:
    wire.create(topic)
    partitions = [{"partition_index": index, "timestamp": -1} for index in (0, 0, 9)]
    topics = [{"name": topic, "partitions": partitions}]
    answer = wire.ask("ListOffsets", 7, replica_id=-1, isolation_level=isolation_level, topics=topics)
    found = [
        (p.partition_index, p.error_code, p.timestamp, p.offset, p.leader_epoch) for p in answer.topics[0].partitions
    ]
    assert found == [(index, -1, -1, -1, -1) for index in (0, 0, 9)]
