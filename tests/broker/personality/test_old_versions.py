"""What a cluster with an older personality answers in the versions that 4.0 removed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import trio

from kwire.messages.create_topics import CreatableTopic, CreatableTopicConfig, CreateTopicsRequest
from kwire.messages.fetch import FetchPartition, FetchRequest, FetchTopic
from kwire.messages.find_coordinator import FindCoordinatorRequest
from kwire.messages.offset_commit import (
    OffsetCommitRequest,
    OffsetCommitRequestPartition,
    OffsetCommitRequestTopic,
)
from kwire.messages.offset_fetch import OffsetFetchRequest, OffsetFetchRequestTopic
from kwire.messages.produce import PartitionProduceData, ProduceRequest, TopicProduceData
from kwire.records.compression import Codec
from kwire.records.legacy import read_message_set, write_message_set
from kwire.records.record import Record
from tests.broker.cluster_helpers import Client, running_server


def message_set(*values: bytes, magic: int, codec: Codec = Codec.NONE, timestamp: int = 5) -> bytes:
    return write_message_set(
        [Record(at, timestamp if magic else -1, b"k", value) for at, value in enumerate(values)],
        magic=magic,
        codec=codec,
    )


async def create(client: Client, name: str, version: int = 0, **configs: str) -> None:
    topic = CreatableTopic(
        name=name,
        num_partitions=1,
        replication_factor=1,
        configs=[CreatableTopicConfig(name=key.replace("_", "."), value=value) for key, value in configs.items()],
    )
    response = await client.send(CreateTopicsRequest(topics=[topic], timeout_ms=1000), version)
    assert response.topics[0].error_code == 0, response


def request_of(topic: str, records: bytes, acks: int) -> ProduceRequest:
    data = PartitionProduceData(index=0, records=records)
    return ProduceRequest(acks=acks, timeout_ms=1000, topic_data=[TopicProduceData(name=topic, partition_data=[data])])


async def produce(client: Client, topic: str, records: bytes, version: int) -> Any:
    return (await client.send(request_of(topic, records, acks=1), version)).responses[0].partition_responses[0]


async def fetch(client: Client, topic: str, offset: int, version: int, max_bytes: int = 1 << 20) -> Any:
    wanted = FetchPartition(partition=0, fetch_offset=offset, partition_max_bytes=max_bytes)
    request = FetchRequest(max_wait_ms=0, min_bytes=1, topics=[FetchTopic(topic=topic, partitions=[wanted])])
    return (await client.send(request, version)).responses[0].partitions[0]


@pytest.mark.parametrize("codec", [Codec.NONE, Codec.GZIP, Codec.SNAPPY, Codec.LZ4])
@pytest.mark.parametrize("magic", [0, 1])
def test_what_was_produced_in_an_old_format_is_fetched_in_it(tmp_path: Path, magic: int, codec: Codec) -> None:
    async def main() -> None:
        async with running_server(tmp_path) as running:
            client = await running.connect(running.add(kwire_as_version="0.11"))
            await create(client, "t")
            first = await produce(client, "t", message_set(b"a", b"b", magic=magic, codec=codec), magic * 2)
            again = await produce(client, "t", message_set(b"c", magic=magic, codec=codec), magic * 2)
            assert (first.error_code, first.base_offset) == (0, 0)
            assert (again.error_code, again.base_offset) == (0, 2)
            got = await fetch(client, "t", 0, magic * 2)
            found = [
                (record.offset, record.timestamp, record.key, record.value) for record in read_message_set(got.records)
            ]
            time = 5 if magic else -1
            assert found == [(0, time, b"k", b"a"), (1, time, b"k", b"b"), (2, time, b"k", b"c")]
            assert got.records[16] == magic

    trio.run(main)


def test_a_fetch_that_waits_is_converted_when_it_is_answered(tmp_path: Path) -> None:
    async def main() -> None:
        async with running_server(tmp_path) as running:
            cluster = running.add(kwire_as_version="1.0")
            waiting, other = await running.connect(cluster), await running.connect(cluster)
            await create(other, "t")
            wanted = FetchPartition(partition=0, fetch_offset=0, partition_max_bytes=1 << 20)
            topics = [FetchTopic(topic="t", partitions=[wanted])]
            await waiting.send_only(FetchRequest(max_wait_ms=60_000, min_bytes=1, topics=topics), 2)
            assert (await produce(other, "t", message_set(b"a", magic=0), 0)).error_code == 0
            answer = await waiting.receive(FetchRequest, 2)
            records = answer.responses[0].partitions[0].records
            assert [record.value for record in read_message_set(records)] == [b"a"]

    trio.run(main)


@pytest.mark.parametrize("version", [0, 2])
def test_acks_0(tmp_path: Path, version: int) -> None:
    """No answer; the connection closes where it would have been an error."""

    async def main() -> None:
        async with running_server(tmp_path) as running:
            client = await running.connect(running.add(kwire_as_version="0.11"))
            await create(client, "t")
            good = message_set(b"a", magic=version // 2)
            for records in (good, b"", good):
                await client.send_only(request_of("t", records, acks=0), version)
            got = await fetch(client, "t", 0, version)
            assert [record.offset for record in read_message_set(got.records)] == [0, 1]
            await client.send_only(request_of("t", good[:12] + bytes(4) + good[16:], acks=0), version)
            with pytest.raises(EOFError):
                await client.receive(ProduceRequest, version)

    trio.run(main)


def test_what_is_refused_stands_beside_what_is_taken(tmp_path: Path) -> None:
    async def main() -> None:
        async with running_server(tmp_path) as running:
            client = await running.connect(running.add(kwire_as_version="0.11"))
            for name in ("good", "bad", "empty"):
                await create(client, name)
            good = message_set(b"a", magic=0)
            entries = {"bad": good[:12] + bytes(4) + good[16:], "good": good, "empty": b"", "missing": good}
            request = ProduceRequest(
                acks=-1,
                timeout_ms=1000,
                topic_data=[
                    TopicProduceData(name=name, partition_data=[PartitionProduceData(index=0, records=records)])
                    for name, records in entries.items()
                ],
            )
            answer = await client.send(request, 1)
            told = {
                topic.name: [(each.error_code, each.base_offset) for each in topic.partition_responses]
                for topic in answer.responses
            }
            assert told == {"bad": [(2, -1)], "good": [(0, 0)], "empty": [(0, -1)], "missing": [(3, -1)]}

    trio.run(main)


def test_offsets_of_version_0_are_those_of_every_version(tmp_path: Path) -> None:
    async def main() -> None:
        async with running_server(tmp_path) as running:
            client = await running.connect(running.add(kwire_as_version="0.11"))
            await create(client, "t")
            await client.send(FindCoordinatorRequest(key="g"), 0)
            partition = OffsetCommitRequestPartition(partition_index=0, committed_offset=5, committed_metadata="m")
            topics = [OffsetCommitRequestTopic(name="t", partitions=[partition])]
            committed = await client.send(OffsetCommitRequest(group_id="g", topics=topics), 0)
            assert committed.topics[0].partitions[0].error_code == 0
            wanted = OffsetFetchRequest(
                group_id="g", topics=[OffsetFetchRequestTopic(name="t", partition_indexes=[0, 1])]
            )
            for version, without in ((0, 3), (1, 0), (3, 0)):
                answer = await client.send(wanted, version)
                told = [(each.error_code, each.committed_offset) for each in answer.topics[0].partitions]
                assert told == [(0, 5), (without, -1)]

    trio.run(main)


@pytest.mark.parametrize(
    ("release", "brokers", "topics", "code"),
    [
        ("3.9", None, None, 0),
        ("3.9", "false", None, 35),
        ("3.9", "false", "true", 0),
        ("3.9", None, "false", 35),
        ("1.1", "false", None, 0),
    ],
)
def test_who_says_whether_records_are_converted_down(
    tmp_path: Path, release: str, brokers: str | None, topics: str | None, code: int
) -> None:
    async def main() -> None:
        async with running_server(tmp_path) as running:
            settings = {} if brokers is None else {"log_message_downconversion_enable": brokers}
            client = await running.connect(running.add(kwire_as_version=release, **settings))
            await create(client, "t", **({} if topics is None else {"message_downconversion_enable": topics}))
            assert (await produce(client, "t", message_set(b"a", magic=0), 0)).error_code == 0
            assert (await fetch(client, "t", 0, 3)).error_code == code
            assert (await fetch(client, "t", 0, 4)).error_code == 0

    trio.run(main)
