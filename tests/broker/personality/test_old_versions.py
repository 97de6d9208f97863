"""What a cluster with an older personality answers in the versions that 4.0 removed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import trio

from kwire.messages.create_topics import CreatableTopic, CreatableTopicConfig, CreateTopicsRequest
from kwire.messages.fetch import FetchPartition, FetchRequest, FetchTopic
from kwire.messages.list_offsets import ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic
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


async def produce(client: Client, topic: str, records: bytes, version: int, acks: int = 1) -> Any:
    data = PartitionProduceData(index=0, records=records)
    request = ProduceRequest(
        acks=acks, timeout_ms=1000, topic_data=[TopicProduceData(name=topic, partition_data=[data])]
    )
    return (await client.send(request, version)).responses[0].partition_responses[0]


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
