"""Whether the records of the internal topics can be read by their coordinators."""

from __future__ import annotations

from collections.abc import Callable

from broker.inspect.reading import Batch
from broker.inspect.record_kinds import COORDINATOR_TOPICS
from kwire.errors import KwireError
from kwire.internal import UnknownRecordTypeError, decode_key, decode_value
from kwire.records import read_records


def internal_consumer(topic: str) -> Callable[[Batch], str | None] | None:
    """What reads the topic's batches and says what is wrong with the first record that cannot be read; None for
    topics whose records are the users' own."""
    if topic not in COORDINATOR_TOPICS:
        return None

    def read(batch: Batch) -> str | None:
        if batch.header.is_control:
            return None
        offset = batch.header.base_offset
        try:
            for record in read_records(batch.data):
                offset = record.offset
                if record.key is None:
                    return f"the record at offset {offset} has no key"
                try:
                    key = decode_key(record.key, topic)
                except UnknownRecordTypeError:
                    continue  # of a later version: passed over by coordinators too
                if record.value is not None:
                    decode_value(key, record.value)
        except (KwireError, ValueError) as error:
            return f"the record at offset {offset} cannot be read: {error}"
        return None

    return read
