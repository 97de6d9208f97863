"""`kill -9` under load, again and again: every acknowledged record is there afterwards, once, in order.

Idempotent producers write numbered records to several partitions, small segments among them, while the broker is killed
at random moments and started again on the same directory. What was in flight is sent again with the same sequence
number, as a client does. A consumer group commits an offset per round. At the end everything is read back.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from random import Random
from typing import Final

import pytest
import trio
from attrs import define, field

from kwire.error_codes import ErrorCode
from kwire.messages.init_producer_id import InitProducerIdRequest
from kwire.messages.metadata import MetadataRequest
from kwire.messages.offset_commit import (
    OffsetCommitRequest,
    OffsetCommitRequestPartition,
    OffsetCommitRequestTopic,
)
from kwire.messages.offset_fetch import OffsetFetchRequest, OffsetFetchRequestTopic
from kwire.messages.produce import PartitionProduceData, ProduceRequest, TopicProduceData
from kwire.records import RecordBatchBuilder
from tests.broker.cluster_helpers import Client

ROOT: Final = Path(__file__).parents[2]
PARTITIONS: Final = 4
RETRIABLE: Final = frozenset(
    {
        ErrorCode.NOT_LEADER_OR_FOLLOWER,
        ErrorCode.UNKNOWN_TOPIC_OR_PARTITION,
        ErrorCode.COORDINATOR_LOAD_IN_PROGRESS,
        ErrorCode.COORDINATOR_NOT_AVAILABLE,
        ErrorCode.NOT_COORDINATOR,
    }
)


@define
class Broker:
    """The process under test: always on the same directory, each time on another port."""

    directory: Path
    settings: list[str]
    process: subprocess.Popen[bytes] | None = None
    port: int = 0

    def start(self) -> None:
        ready = self.directory / "ready"
        ready.unlink(missing_ok=True)
        log = (self.directory / "broker.log").open("ab")
        self.process = subprocess.Popen(
            [
                *(sys.executable, "-m", "kwire", "serve", "--port", "0", "--data-dir", str(self.directory / "data")),
                *("--ready-file", str(ready), *self.settings),
            ],
            cwd=self.directory,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=log,
            stderr=log,
        )
        log.close()
        deadline = time.monotonic() + 120
        while not ready.exists() or not ready.read_text().strip():
            assert self.process.poll() is None, f"the broker ended:\n{self.log()}"
            assert time.monotonic() < deadline, f"the broker is not ready after 120 s:\n{self.log()}"
            time.sleep(0.01)
        self.port = int(ready.read_text().rpartition(":")[2])

    def stop(self, number: int) -> None:
        assert self.process is not None
        self.process.send_signal(number)
        self.process.wait(timeout=30)

    def log(self) -> str:
        return (self.directory / "broker.log").read_text()[-5000:]

    async def connect(self) -> Client:
        return Client(await trio.open_tcp_stream("127.0.0.1", self.port))


@define
class Writer:
    """One idempotent producer of one partition. `acknowledged` counts from 0: record n has the value b"n"."""

    partition: int
    producer_id: int = -1
    next_sequence: int = 0
    acknowledged: int = 0
    offsets: list[int] = field(factory=list)
    unanswered: int = 0  # records of the batch that was in flight when the connection broke

    async def run(self, client: Client, random: Random) -> None:
        """Write until the connection breaks."""
        if self.producer_id < 0:
            answer = await client.send(InitProducerIdRequest(transactional_id=None, transaction_timeout_ms=1000), 4)
            if answer.error_code:
                return
            self.producer_id = answer.producer_id
        while True:
            count = self.unanswered or random.randint(1, 20)
            self.unanswered = count
            builder = RecordBatchBuilder(
                producer_id=self.producer_id, producer_epoch=0, base_sequence=self.acknowledged
            )
            for number in range(self.acknowledged, self.acknowledged + count):
                builder.append(None, b"%d" % number, timestamp=1_700_000_000_000 + number)
            data = PartitionProduceData(index=self.partition, records=bytes(builder.build()))
            topic = TopicProduceData(name="t", partition_data=[data])
            response = await client.send(ProduceRequest(acks=-1, timeout_ms=5000, topic_data=[topic]), 9)
            part = response.responses[0].partition_responses[0]
            if part.error_code in RETRIABLE:
                await trio.sleep(0.01)
                continue
            assert part.error_code == 0, f"partition {self.partition}, record {self.acknowledged}: {part}"
            self.offsets.append(part.base_offset)
            self.acknowledged += count
            self.unanswered = 0


async def _write_and_kill(broker: Broker, writers: list[Writer], random: Random) -> None:
    async def write(writer: Writer) -> None:
        # On a slow machine the broker may be gone before the connection is there.
        with contextlib.suppress(EOFError, OSError, trio.BrokenResourceError):
            client = await broker.connect()
            try:
                await writer.run(client, random)
            finally:
                await trio.aclose_forcefully(client.stream)

    async with trio.open_nursery() as nursery:
        for writer in writers:
            nursery.start_soon(write, writer)
        await trio.sleep(random.uniform(0.05, 0.4))
        broker.stop(signal.SIGKILL)


async def _commit(broker: Broker, offset: int) -> None:
    client = await broker.connect()
    partition = OffsetCommitRequestPartition(partition_index=0, committed_offset=offset, committed_metadata="")
    topic = OffsetCommitRequestTopic(name="t", partitions=[partition])
    while True:
        response = await client.send(OffsetCommitRequest(group_id="g", topics=[topic]), 7)
        code = response.topics[0].partitions[0].error_code
        if code not in RETRIABLE:
            break
        await client.send(MetadataRequest(topics=None), 1)
        await _ask_for_coordinator(client)
    assert code == 0
    await trio.aclose_forcefully(client.stream)


async def _ask_for_coordinator(client: Client) -> None:
    from kwire.messages.find_coordinator import FindCoordinatorRequest

    await client.send(FindCoordinatorRequest(key="g", key_type=0), 2)


async def _committed(client: Client) -> int:
    while True:
        topic = OffsetFetchRequestTopic(name="t", partition_indexes=[0])
        response = await client.send(OffsetFetchRequest(group_id="g", topics=[topic]), 5)
        if response.error_code not in RETRIABLE:
            return int(response.topics[0].partitions[0].committed_offset)


async def _check(broker: Broker, writers: list[Writer], last_commit: int) -> None:
    client = await broker.connect()
    for writer in writers:
        values = await client.values("t", writer.partition)
        expected = [b"%d" % number for number in range(writer.acknowledged)]
        differs = next((n for n, (a, b) in enumerate(zip(values, expected, strict=False)) if a != b), -1)
        # The batch in flight at the last kill may or may not have been written.
        assert values[: len(expected)] == expected, (
            f"partition {writer.partition}: {len(values)} records, {len(expected)} acknowledged; at {differs}: "
            f"{values[differs : differs + 3]} instead of {expected[differs : differs + 3]}"
        )
        assert len(values) <= len(expected) + writer.unanswered, "a record is there twice"
        assert writer.offsets == sorted(set(writer.offsets)), "offsets went back"
    assert await _committed(client) == last_commit
    await trio.aclose_forcefully(client.stream)


@pytest.mark.parametrize("flush", ["page-cache", "fsync"])
def test_nothing_acknowledged_is_lost_or_doubled_by_kills(tmp_path: Path, long_form: bool, flush: str) -> None:
    seed = int.from_bytes(os.urandom(4), "big")
    random = Random(seed)
    rounds = 300 if long_form else 6
    settings = ["--set", "offsets.topic.num.partitions=2"]
    if flush == "fsync":
        settings += ["--set", "log.flush.interval.messages=1"]
    broker = Broker(tmp_path, settings)
    writers = [Writer(partition) for partition in range(PARTITIONS)]

    async def main() -> None:
        commits = 0
        # More rounds where the machine is so slow that next to nothing was written before the kills.
        while commits < rounds or (sum(writer.acknowledged for writer in writers) <= 20 and commits < 10 * rounds):
            broker.start()
            if commits == 0:
                client = await broker.connect()
                await client.create_topic("t", PARTITIONS, internal_segment_bytes="65536")
                await trio.aclose_forcefully(client.stream)
            commits += 1
            await _commit(broker, commits)
            await _write_and_kill(broker, writers, random)
        broker.start()
        await _check(broker, writers, commits)
        broker.stop(signal.SIGTERM)
        broker.start()
        await _check(broker, writers, commits)
        broker.stop(signal.SIGTERM)

    try:
        trio.run(main)
    except BaseException:
        print(f"seed {seed}\n{broker.log()}")
        raise
    finally:
        if broker.process is not None and broker.process.poll() is None:
            broker.process.kill()
            broker.process.wait()
    assert sum(writer.acknowledged for writer in writers) > 20, "the test wrote next to nothing"
    assert "Traceback" not in (tmp_path / "broker.log").read_text(), broker.log()
