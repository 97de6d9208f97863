"""Whether the records of the internal topics can be read by their coordinators."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable

from broker.group.record_batches import unpack_pairs
from broker.group.record_codec import decode_record
from broker.inspect.reading import Batch
from broker.inspect.record_kinds import COORDINATOR_TOPICS
from kwire.errors import KwireError
from kwire.internal import CONSUMER_OFFSETS, UnknownRecordTypeError, decode_key, decode_value
from kwire.records import HEADER_SIZE, read_records


def internal_consumer(topic: str) -> Callable[[Batch], str | None] | None:
    """What reads the topic's batches and says what is wrong with the first record that cannot be read; None for
    topics whose records are the users' own."""
    if topic not in COORDINATOR_TOPICS:
        return None
    has_offsets = topic == CONSUMER_OFFSETS

    def read_one(key: bytes | None, value: bytes | None) -> None:
        if key is None:
            raise KwireError("it has no key")
        if has_offsets and decode_record(key, value) is not None:
            return  # committed offsets are nearly all there is, and have a quick reader
        try:
            decoded = decode_key(key, topic)
        except UnknownRecordTypeError:
            return  # of a later version: passed over by coordinators too
        if value is not None:
            decode_value(decoded, value)

    def read(batch: Batch) -> str | None:
        header = batch.header
        if header.is_control:
            return None
        pairs: Iterable[tuple[bytes | None, bytes | None]]
        if header.is_compressed:
            pairs = ((record.key, record.value) for record in read_records(batch.data))
        else:
            pairs = unpack_pairs(bytes(batch.data[HEADER_SIZE:]), header.record_count)
        number = 0
        try:
            for key, value in pairs:
                read_one(key, value)
                number += 1
        except (KwireError, ValueError, IndexError, struct.error) as error:
            return f"record {number} of the batch at offset {header.base_offset} cannot be read: {error}"
        return None

    return read
