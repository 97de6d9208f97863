"""Errors of the disk by rule: on the file system and in memory, what clients get, and that it passes."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
import trio

from broker.faults.disk import AskingFile, subject_of
from kwire.error_codes import ErrorCode
from kwire.messages.find_coordinator import FindCoordinatorRequest
from kwire.messages.offset_commit import (
    OffsetCommitRequest,
    OffsetCommitRequestPartition,
    OffsetCommitRequestTopic,
)
from log.storage import RealFile
from tests.broker.faults.fault_helpers import Faulty, faulty

STORAGE_ERROR = int(ErrorCode.KAFKA_STORAGE_ERROR)
STORAGES = pytest.mark.parametrize("in_memory", [False, True], ids=["files", "memory"])


@STORAGES
def test_a_full_disk_refuses_appends_until_there_is_room(tmp_path: Path, in_memory: bool) -> None:
    async def main() -> None:
        async with faulty(tmp_path, in_memory=in_memory) as plane:
            client = plane.client
            assert (await client.produce("t", b"before")).error_code == 0
            rule = plane.faults.add({"topic": "t", "partition": 0, "disk_full": True})
            for _ in range(3):
                assert (await client.produce("t", b"no room")).error_code == STORAGE_ERROR
            assert rule.fired == 3
            assert (await client.produce("t", b"elsewhere", partition=1)).error_code == 0
            assert await client.values("t") == [b"before"], "what is there can be read"
            plane.faults.remove(rule.id)
            answer = await client.produce("t", b"after")
            assert (answer.error_code, answer.base_offset) == (0, 1)
            assert await client.values("t") == [b"before", b"after"]

    trio.run(main)


@STORAGES
def test_a_failing_disk_puts_the_partition_offline_until_it_is_opened_again(tmp_path: Path, in_memory: bool) -> None:
    async def main() -> None:
        async with faulty(tmp_path, in_memory=in_memory) as plane:
            client = plane.client
            for number in range(3):
                await client.produce("t", b"%d" % number)
            rule = plane.faults.add({"topic": "t", "disk_error": "append", "times": 1})
            assert (await client.produce("t", b"lost")).error_code == STORAGE_ERROR
            assert rule.fired == 1
            assert (await client.produce("t", b"3")).error_code == STORAGE_ERROR, "offline, whatever the disk does now"
            assert (await client.fetch("t")).error_code == STORAGE_ERROR
            plane.faults.remove(rule.id)
            assert (await client.produce("t", b"3")).error_code == 0, "the log was opened again, from the disk"
            assert await client.values("t") == [b"0", b"1", b"2", b"3"]

    trio.run(main)


@STORAGES
def test_reads_fail(tmp_path: Path, in_memory: bool) -> None:
    async def main() -> None:
        async with faulty(tmp_path, in_memory=in_memory) as plane:
            client = plane.client
            await client.produce("t", b"there")
            await client.produce("other", b"there too")
            rule = plane.faults.add({"topic": "t", "disk_error": ["read"]})
            await _fails_to_fetch(plane, "t")
            assert rule.fired > 0
            assert (await client.fetch("other")).error_code == 0
            plane.faults.clear()
            assert await (await plane.connect()).values("t") == [b"there"]

    trio.run(main)


async def _fails_to_fetch(plane: Faulty, topic: str) -> None:
    """An error, or, where the bytes were to be sent already, a connection that breaks."""
    client = await plane.connect()
    with contextlib.suppress(EOFError, trio.BrokenResourceError):
        assert (await client.fetch(topic)).error_code == STORAGE_ERROR


def test_nothing_of_it_stays_in_the_file_system(tmp_path: Path) -> None:
    async def main() -> None:
        async with faulty(tmp_path) as plane:
            await plane.client.produce("t", b"before")
            plane.faults.add({"topic": "*", "disk_error": "sync", "times": 1})
            await plane.client.produce("t", b"meanwhile")
            log = plane.cluster.manager.opened("t", 0)
            assert log is not None
            assert type(log.segments.active.file.opened()) is AskingFile
            plane.faults.clear()
            assert (await plane.client.produce("t", b"after")).error_code == 0
            assert type(log.segments.active.file.opened()) is RealFile
            assert log.segments.active.file.opened().fd >= 0
            assert await plane.client.values("t") == [b"before", b"meanwhile", b"after"]

    trio.run(main)


def test_a_sync_that_fails(tmp_path: Path) -> None:
    """With flush.messages=1 an append is answered once it is synced: the error is the producer's."""

    async def main() -> None:
        async with faulty(tmp_path) as plane:
            await plane.client.create_topic("synced", flush_messages="1")
            assert (await plane.client.produce("synced", b"0")).error_code == 0
            rule = plane.faults.add({"topic": "synced", "disk_error": "sync", "times": 1})
            answer = await plane.client.produce("synced", b"1")
            assert answer.error_code == STORAGE_ERROR, "never acknowledged: what is on the disk nobody knows"
            assert rule.fired == 1
            plane.faults.clear()
            again = await plane.client.produce("synced", b"2")
            assert again.error_code == 0

    trio.run(main)


def test_whose_file_it_is() -> None:
    assert subject_of("/d/orders-7/00000000000000000000.log") is not None
    found = subject_of("/d/a-b-12/00000000000000000000.log")
    assert found is not None
    assert (found.topic, found.partition) == ("a-b", 12)
    assert subject_of("/d/meta.properties") is None
    assert subject_of("/d/orders-7.aa-delete/x.log") is None


def test_offsets_when_the_disk_of_the_coordinator_is_full_or_broken(tmp_path: Path) -> None:
    """A commit is refused with something that clients ask again after, and goes through once the disk is sound."""

    async def main() -> None:
        async with faulty(tmp_path) as plane:
            partition = OffsetCommitRequestPartition(partition_index=0, committed_offset=5)
            commit = OffsetCommitRequest(
                group_id="g", topics=[OffsetCommitRequestTopic(name="t", partitions=[partition])]
            )

            async def code() -> int:
                answer = await plane.client.send(commit, 8)
                return answer.topics[0].partitions[0].error_code

            await plane.client.send(FindCoordinatorRequest(key="g"), 3)  # makes the topic
            while (first := await code()) in (ErrorCode.COORDINATOR_NOT_AVAILABLE, ErrorCode.NOT_COORDINATOR):
                plane.clock.advance(1)
            assert first == 0
            for action in ({"disk_full": True}, {"disk_error": "append"}):
                rule = plane.faults.add({"topic": "__consumer_offsets", **action})
                failed = ErrorCode(await code())
                assert failed.retriable, failed
                assert rule.fired >= 1
                plane.faults.clear()
                for _ in range(20):
                    if (last := await code()) == 0:
                        break
                    plane.clock.advance(100)
                assert last == 0

    trio.run(main)
