"""The codec beside those of kafka-python and kio: decode and encode of a few typical messages.

    python -m bench.codec_bench [--repeat 30] [--json FILE]

Every codec decodes the same bytes, and encodes what it decoded; one that lacks a message has no figure. Shown is the
least CPU time of many short runs, which is the one least disturbed by others on the machine.
"""

from __future__ import annotations

import argparse
import gc
import json
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

from kwire import codec
from kwire.messages.consumer_group_heartbeat import (
    ConsumerGroupHeartbeatRequest,
    ConsumerGroupHeartbeatResponse,
    TopicPartitions,
)
from kwire.messages.fetch import FetchableTopicResponse, FetchResponse, PartitionData
from kwire.messages.metadata import (
    MetadataResponse,
    MetadataResponseBroker,
    MetadataResponsePartition,
    MetadataResponseTopic,
)
from kwire.messages.produce import PartitionProduceData, ProduceRequest, TopicProduceData
from kwire.schema import Struct


class Case(NamedTuple):
    name: str
    message: Struct
    version: int
    kafka_python: tuple[str, str] | None  # module, class
    kio: tuple[str, str]


class Timing(NamedTuple):
    decode_us: float | None
    encode_us: float | None


def cases() -> list[Case]:
    return [
        Case(
            "Metadata v12 response",
            metadata_response(),
            12,
            ("kafka.protocol.metadata", "MetadataResponse"),
            ("kio.schema.metadata.v12.response", "MetadataResponse"),
        ),
        Case(
            "Produce v9 request, 1 KB",
            ProduceRequest(acks=-1, timeout_ms=30000, topic_data=[produced("topic", 1, 1100)]),
            9,
            ("kafka.protocol.producer", "ProduceRequest"),
            ("kio.schema.produce.v9.request", "ProduceRequest"),
        ),
        Case(
            "Produce v9 request, 10 x 10 partitions",
            ProduceRequest(acks=-1, timeout_ms=30000, topic_data=[produced(f"topic-{i}", 10, 200) for i in range(10)]),
            9,
            ("kafka.protocol.producer", "ProduceRequest"),
            ("kio.schema.produce.v9.request", "ProduceRequest"),
        ),
        Case(
            "Fetch v12 response, 10 x 10 partitions",
            FetchResponse(session_id=7, responses=[fetched(f"topic-{i}") for i in range(10)]),
            12,
            ("kafka.protocol.consumer", "FetchResponse"),
            ("kio.schema.fetch.v12.response", "FetchResponse"),
        ),
        Case(
            "ConsumerGroupHeartbeat v0 request",
            heartbeat_request(),
            0,
            None,
            ("kio.schema.consumer_group_heartbeat.v0.request", "ConsumerGroupHeartbeatRequest"),
        ),
        Case(
            "ConsumerGroupHeartbeat v0 response",
            ConsumerGroupHeartbeatResponse(member_id="m" * 22, member_epoch=5, heartbeat_interval_ms=5000),
            0,
            None,
            ("kio.schema.consumer_group_heartbeat.v0.response", "ConsumerGroupHeartbeatResponse"),
        ),
    ]


def metadata_response() -> MetadataResponse:
    """3 brokers, 50 topics of 25 partitions with 3 replicas: 54 KB."""
    brokers = [MetadataResponseBroker(node_id=i, host=f"broker-{i}.example.com", port=9092, rack="a") for i in range(3)]
    topics = []
    for number in range(50):
        partitions = [
            MetadataResponsePartition(
                partition_index=index,
                leader_id=index % 3,
                leader_epoch=number,
                replica_nodes=[0, 1, 2],
                isr_nodes=[0, 1, 2],
            )
            for index in range(25)
        ]
        topic_id = number.to_bytes(16, "big")
        topics.append(MetadataResponseTopic(name=f"topic-{number:04}", topic_id=topic_id, partitions=partitions))
    return MetadataResponse(brokers=brokers, cluster_id="c" * 22, controller_id=1, topics=topics)


def produced(name: str, partitions: int, size: int) -> TopicProduceData:
    data = [PartitionProduceData(index=index, records=bytes(size)) for index in range(partitions)]
    return TopicProduceData(name=name, partition_data=data)


def fetched(name: str) -> FetchableTopicResponse:
    partitions = [
        PartitionData(
            partition_index=i, high_watermark=9, last_stable_offset=9, log_start_offset=0, records=bytes(1000)
        )
        for i in range(10)
    ]
    return FetchableTopicResponse(topic=name, partitions=partitions)


def heartbeat_request() -> ConsumerGroupHeartbeatRequest:
    owned = [TopicPartitions(topic_id=bytes(15) + bytes([i]), partitions=[0, 1, 2]) for i in range(3)]
    return ConsumerGroupHeartbeatRequest(
        group_id="group",
        member_id="m" * 22,
        member_epoch=5,
        rebalance_timeout_ms=300000,
        subscribed_topic_names=["topic-1", "topic-2", "topic-3"],
        topic_partitions=owned,
    )


def best_of(run: Callable[[], Any], repeat: int) -> float:
    """Microseconds a call took at best, over `repeat` runs of about 5 ms."""
    run()
    started = time.thread_time()
    run()
    number = max(1, int(0.005 / (time.thread_time() - started)))
    best = float("inf")
    for _ in range(repeat):
        started = time.thread_time()
        for _ in range(number):
            run()
        best = min(best, (time.thread_time() - started) / number)
    return best * 1e6


def kwire_timing(case: Case, data: bytes, repeat: int) -> Timing:
    cls, version = type(case.message), case.version
    message = codec.decode(cls, version, data)
    frame = memoryview(bytearray(data))
    read, write = codec.decoder(cls, version), codec.encoder(cls, version)
    return Timing(best_of(lambda: read(frame, 0), repeat), best_of(lambda: write(message), repeat))


def kafka_python_timing(case: Case, data: bytes, repeat: int) -> Timing:
    if case.kafka_python is None:
        return Timing(None, None)
    cls = getattr(import_module(case.kafka_python[0]), case.kafka_python[1])
    message = cls.decode(data, version=case.version)
    message._header = None  # which its encode() asks for and its decode() leaves out
    assert message.encode(version=case.version) == data, f"kafka-python writes {case.name} otherwise"
    decode = best_of(lambda: cls.decode(data, version=case.version), repeat)
    return Timing(decode, best_of(lambda: message.encode(version=case.version), repeat))


def kio_timing(case: Case, data: bytes, repeat: int) -> Timing:
    import io

    from kio.serial import entity_reader, entity_writer

    cls = getattr(import_module(case.kio[0]), case.kio[1])
    read, write = entity_reader(cls), entity_writer(cls)
    message, size = read(data, 0)
    assert size == len(data)

    def encode() -> bytes:
        buffer = io.BytesIO()
        write(buffer, message)
        return buffer.getvalue()

    assert encode() == data, f"kio writes {case.name} otherwise"
    return Timing(best_of(lambda: read(data, 0), repeat), best_of(encode, repeat))


CODECS: dict[str, Callable[[Case, bytes, int], Timing]] = {
    "kwire": kwire_timing,
    "kafka-python": kafka_python_timing,
    "kio": kio_timing,
}


def measure(repeat: int) -> list[dict[str, Any]]:
    rows = []
    for case in cases():
        data = codec.encode(case.message, case.version)
        row: dict[str, Any] = {"message": case.name, "bytes": len(data)}
        for name, timing in CODECS.items():
            gc.collect()
            took = timing(case, data, repeat)
            row[name] = {"decode_us": took.decode_us, "encode_us": took.encode_us}
        rows.append(row)
    return rows


def table(rows: list[dict[str, Any]]) -> str:
    lines = ["| message | bytes | " + " | ".join(f"{name} decode / encode, us" for name in CODECS) + " |"]
    lines.append("|---" * (2 + len(CODECS)) + "|")
    for row in rows:
        cells = [row["message"], str(row["bytes"])]
        for name in CODECS:
            decode, encode = row[name]["decode_us"], row[name]["encode_us"]
            cells.append("-" if decode is None else f"{decode:.1f} / {encode:.1f}")
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.codec_bench")
    parser.add_argument("--repeat", type=int, default=30, help="runs of about 5 ms a figure")
    parser.add_argument("--json", type=Path, help="write the figures here too")
    options = parser.parse_args()
    rows = measure(options.repeat)
    print(table(rows))
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
