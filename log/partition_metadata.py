"""``partition.metadata``: the topic id a partition's directory belongs to  (Kafka: PartitionMetadataFile, KIP-516).

Two lines, no newline at the end. It is written before the first data and made durable with the first flush.
"""

from __future__ import annotations

from kwire import uuids
from log.filenames import PARTITION_METADATA
from log.storage import Storage, read_file, write_file


def write_topic_id(storage: Storage, directory: str, topic_id: bytes) -> None:
    """Write the file (not synced: the log's flush does that)."""
    data = f"version: 0\ntopic_id: {uuids.to_string(topic_id)}".encode()
    write_file(storage, f"{directory}/{PARTITION_METADATA}", data, sync=False)


def read_topic_id(storage: Storage, directory: str) -> bytes | None:
    """The topic id; None when the file is missing or does not hold one."""
    raw = read_file(storage, f"{directory}/{PARTITION_METADATA}")
    if raw is None:
        return None
    values = dict(line.split(": ", 1) for line in raw.decode("ascii", "replace").splitlines() if ": " in line)
    if values.get("version") != "0":
        return None
    try:
        topic_id = uuids.from_string(values.get("topic_id", ""))
    except ValueError:
        return None
    return topic_id if topic_id != uuids.ZERO else None
