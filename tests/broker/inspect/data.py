"""Data directories for the tests of `dump` and `check`, made by a broker in the test's process."""

from __future__ import annotations

import shutil
from pathlib import Path

import trio
from attrs import evolve

from kwire.messages.find_coordinator import FindCoordinatorRequest
from kwire.messages.offset_commit import (
    OffsetCommitRequest,
    OffsetCommitRequestPartition,
    OffsetCommitRequestTopic,
)
from kwire.records import BatchHeader, Codec, ControlType, RecordBatchBuilder, end_transaction_marker
from kwire.records.batch import ATTRIBUTES_POSITION, CRC_POSITION
from kwire.records.crc import crc32c
from log.append_validation import AppendOrigin
from log.config import LogConfig
from log.filenames import LOG
from log.partition_log import PartitionLog
from log.storage import RealStorage
from tests.broker.cluster_helpers import running_server

NOW = 1_700_000_000_000
SMALL = LogConfig(segment_bytes=12_000, index_interval_bytes=512, segment_index_bytes=1200)


def fill(log: PartitionLog) -> None:
    """Batches of every codec, idempotent and transactional ones, aborted transactions, three leader epochs."""

    def add(count: int, **options: object) -> None:
        builder = RecordBatchBuilder(**options)  # type: ignore[arg-type]
        for _ in range(count):
            number = log.log_end_offset + builder.record_count
            builder.append(
                b"key-%d" % number, bytes(number % 300), timestamp=NOW + (number * 7919) % 5000, headers=(("h", b"v"),)
            )
        log.append_as_leader(memoryview(builder.build()), leader_epoch=log.leader_epoch, now_ms=NOW)

    for turn in range(30):
        if turn in (9, 20):
            log.assign_epoch(log.leader_epoch + 1)
        add(1 + turn % 9, codec=Codec(turn % 5))
    for turn in range(4):
        add(5, producer_id=1, producer_epoch=0, base_sequence=turn * 5)
        add(3, producer_id=2, producer_epoch=turn, base_sequence=0, transactional=True)
        marker = end_transaction_marker(
            ControlType.ABORT if turn % 2 else ControlType.COMMIT,
            producer_id=2,
            producer_epoch=turn,
            coordinator_epoch=0,
            timestamp=NOW + turn,
        )
        log.append_as_leader(
            memoryview(marker), leader_epoch=log.leader_epoch, now_ms=NOW, origin=AppendOrigin.COORDINATOR
        )
        for _ in range(12):
            add(4)


def fill_partition(directory: Path) -> int:
    """A partition's directory alone, cleanly closed; the end of its log."""
    log = PartitionLog.open(
        RealStorage(),
        str(directory),
        "rich",
        0,
        SMALL,
        now_ms=NOW,
        topic_id=bytes(range(16)),
        clean_shutdown=True,
        recovery_point=0,
        log_start_offset=0,
    )
    log.assign_epoch(0)
    fill(log)
    log.close(NOW)
    return log.log_end_offset


def make_data_dir(parent: Path, *, clean: bool) -> Path:
    """A broker's data directory with the topics `rich` (small segments, all kinds of batches), `plain` (2 partitions)
    and committed offsets."""

    async def main() -> None:
        async with running_server(parent, clean=clean) as running:
            cluster = running.add("data", offsets_topic_num_partitions="2")
            client = await running.connect(cluster)
            for topic, partitions in (("plain", 2), ("rich", 1)):
                await client.create_topic(topic, partitions)
            for partition in range(2):
                for number in range(5):
                    answer = await client.produce("plain", b"a%d" % number, b"b", partition=partition)
                    assert answer.error_code == 0, answer
            await client.produce("rich", b"first")
            described = cluster.controller.image.topic_by_name("rich")
            assert described is not None
            log = cluster.manager.get_or_create("rich", 0, topic_id=described.topic_id, now_ms=NOW)
            log.config = evolve(SMALL)
            fill(log)
            await client.send(FindCoordinatorRequest(coordinator_keys=["g"], key_type=0), 4)
            for offset in range(3):
                partition_data = OffsetCommitRequestPartition(partition_index=0, committed_offset=offset)
                topic_data = OffsetCommitRequestTopic(name="plain", partitions=[partition_data])
                request = OffsetCommitRequest(group_id="g", topics=[topic_data])
                response = await client.send(request, 8)
                assert response.topics[0].partitions[0].error_code == 0, response

    trio.run(main)
    return parent / "data"


def copy(source: Path, target: Path) -> Path:
    shutil.copytree(source, target)
    return target


def segments(directory: Path) -> list[Path]:
    return sorted(directory.glob(f"*{LOG}"))


def batches(path: Path) -> list[BatchHeader]:
    """The headers of a sound `.log` file, with their positions."""
    data = path.read_bytes()
    found = []
    position = 0
    while position < len(data):
        found.append(BatchHeader.peek(data, position))
        position = found[-1].end
    return found


def flip(path: Path, position: int, bit: int = 0) -> None:
    """Turn one bit over."""
    data = bytearray(path.read_bytes())
    data[position] ^= 1 << bit
    path.write_bytes(data)


def overwrite(path: Path, position: int, data: bytes) -> None:
    whole = bytearray(path.read_bytes())
    whole[position : position + len(data)] = data
    path.write_bytes(whole)


def reseal(path: Path, position: int) -> None:
    """Give the batch at `position` the CRC of what is in it."""
    data = bytearray(path.read_bytes())
    header = BatchHeader.peek(data, position)
    crc = crc32c(memoryview(data)[position + ATTRIBUTES_POSITION : header.end])
    data[position + CRC_POSITION : position + ATTRIBUTES_POSITION] = crc.to_bytes(4, "big")
    path.write_bytes(data)
