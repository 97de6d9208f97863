"""What is not committed yet is not shown: an append whose sync is still to come."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from broker.handlers.records.delete_records import delete_records
from broker.handlers.records.list_offsets import list_offsets
from kwire.error_codes import ErrorCode
from kwire.messages.delete_records import DeleteRecordsPartition, DeleteRecordsRequest, DeleteRecordsTopic
from kwire.messages.list_offsets import ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic
from kwire.records import RecordBatchBuilder
from log.config import CommitRule, LogConfig
from log.partition_log import PartitionLog
from tests.crash.fault_storage import FaultStorage

NOW = 10_000_000
CONTEXT: Any = SimpleNamespace(api_version=7)


@pytest.fixture
def log() -> PartitionLog:
    """Three records of timestamps NOW to NOW + 2, of which the first is committed."""
    log = PartitionLog.open(FaultStorage(), "/t-0", "t", 0, LogConfig(), now_ms=NOW, commit_rule=CommitRule.FSYNC)
    for index in range(3):
        builder = RecordBatchBuilder()
        builder.append(b"k", b"v", timestamp=NOW + index)
        log.append_as_leader(memoryview(builder.build()), leader_epoch=0, now_ms=NOW)
    log.advance_high_watermark(1)
    assert (log.high_watermark, log.log_end_offset) == (1, 3)
    return log


def _partitions(log: PartitionLog) -> Any:
    partition = SimpleNamespace(
        log=log,
        leader_epoch=0,
        is_internal=False,
        held=False,
        check_leader_epoch=lambda epoch: None,
    )
    return SimpleNamespace(get=lambda topic, index: partition)


@pytest.mark.parametrize("isolation_level", [0, 1])
@pytest.mark.parametrize(("timestamp", "offset"), [(-1, 1), (-2, 0), (-3, -1), (NOW, 0), (NOW + 1, -1)])
def test_list_offsets(log: PartitionLog, timestamp: int, offset: int, isolation_level: int) -> None:
    wanted = ListOffsetsTopic(name="t", partitions=[ListOffsetsPartition(partition_index=0, timestamp=timestamp)])
    request = ListOffsetsRequest(isolation_level=isolation_level, topics=[wanted])
    (found,) = list_offsets(request, CONTEXT, _partitions(log)).topics[0].partitions
    assert (found.error_code, found.offset) == (0, offset)


@pytest.mark.parametrize(("offset", "code", "start"), [(-1, 0, 1), (1, 0, 1), (2, ErrorCode.OFFSET_OUT_OF_RANGE, 0)])
def test_delete_records(log: PartitionLog, offset: int, code: int, start: int) -> None:
    wanted = DeleteRecordsTopic(name="t", partitions=[DeleteRecordsPartition(partition_index=0, offset=offset)])
    (answer,) = delete_records(DeleteRecordsRequest(topics=[wanted]), CONTEXT, _partitions(log)).topics[0].partitions
    assert answer.error_code == code
    assert log.log_start_offset == start
