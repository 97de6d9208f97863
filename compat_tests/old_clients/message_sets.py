"""Message sets of magic 0 and 1 made by hand, and requests that carry them."""

from __future__ import annotations

import struct
import zlib
from typing import Any

from compat_tests.raw.wire import Wire
from kwire.records.compression import Codec, compress
from kwire.records.legacy import read_message_set

Found = list[tuple[int, int, bytes | None, bytes | None]]
"""(offset, timestamp, key, value) of records."""


def message(
    value: bytes | None,
    *,
    magic: int,
    key: bytes | None = b"k",
    offset: int = 0,
    attributes: int = 0,
    timestamp: int = 5,
    crc: int | None = None,
    tail: bytes = b"",
    value_size: int | None = None,
) -> bytes:
    """One message. `tail`: bytes behind its value that do not belong there; `value_size`: what it says the size is."""
    body = bytes((magic, attributes)) + (struct.pack(">q", timestamp) if magic else b"")
    for blob, said in ((key, None), (value, value_size)):
        size = -1 if blob is None else len(blob)
        body += struct.pack(">i", size if said is None else said) + (blob or b"")
    body += tail
    return struct.pack(">qiI", offset, len(body) + 4, zlib.crc32(body) if crc is None else crc) + body


def wrapper(inner: bytes, codec: Codec, *, magic: int, offset: int = 0) -> bytes:
    """A message whose value is a packed message set."""
    return message(compress(codec, inner, magic=magic), magic=magic, key=None, offset=offset, attributes=codec)


def message_set(*values: bytes, magic: int, codec: Codec = Codec.NONE, key: bytes | None = b"k") -> bytes:
    """As an old producer sends it: offsets from 0."""
    plain = b"".join(message(value, magic=magic, key=key, offset=at) for at, value in enumerate(values))
    return plain if codec is Codec.NONE else wrapper(plain, codec, magic=magic, offset=len(values) - 1)


def produce(wire: Wire, topic: str, records: bytes, version: int, *, acks: int = 1) -> tuple[int, int]:
    """(error code, base offset)."""
    answer = wire.produce(topic, records, version=version, acks=acks)
    return answer.error_code, answer.base_offset


def fetch(wire: Wire, topic: str, offset: int, version: int, max_bytes: int = 1 << 20) -> Any:
    """Fetch's entry for one partition."""
    wanted = {"partition": 0, "fetch_offset": offset, "partition_max_bytes": max_bytes}
    answer = wire.ask(
        "Fetch", version, replica_id=-1, max_wait_ms=0, min_bytes=0, topics=[{"topic": topic, "partitions": [wanted]}]
    )
    return answer.responses[0].partitions[0]


def records_of(data: Any) -> Found:
    """What a consumer makes of it: a message cut short at the end does not count."""
    return [
        (record.offset, record.timestamp, record.key, record.value)
        for record in read_message_set(bytes(data.records or b""), partial_tail=True)
    ]
