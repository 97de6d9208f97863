"""The offset checkpoints of a log directory  (Kafka: OffsetCheckpointFile, CheckpointFile).

Text: version 0, number of entries, then ``topic partition offset`` a line; an empty file is an empty checkpoint.
Replaced whole, synced.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

from log.storage import Storage, read_file, write_file

TopicPartition: TypeAlias = tuple[str, int]


def parse_lines(raw: bytes) -> list[str] | None:
    """The entry lines of a checkpoint file; None when version, count or the last newline say it is damaged."""
    if not raw:
        return []
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        return None
    if not text.endswith("\n"):
        return None
    lines = text.split("\n")[:-1]
    if len(lines) < 2 or lines[0] != "0" or not lines[1].isdigit() or int(lines[1]) != len(lines) - 2:
        return None
    return lines[2:]


class OffsetCheckpoint:
    """One checkpoint file of a log directory."""

    __slots__ = ("_last", "_storage", "path")

    def __init__(self, storage: Storage, path: str) -> None:
        self._storage = storage
        self.path = path
        self._last: bytes | None = None

    def ensure_exists(self) -> None:
        """An empty file from the first start on, as Kafka leaves it."""
        if not self._storage.exists(self.path):
            self._storage.open(self.path, create=True)

    def read(self) -> dict[TopicPartition, int]:
        """The entries. A missing file is empty. Raises ``ValueError`` for a damaged one."""
        raw = read_file(self._storage, self.path)
        if raw is None:
            return {}
        lines = parse_lines(raw)
        if lines is None:
            raise ValueError(f"Malformed checkpoint file {self.path}")
        found: dict[TopicPartition, int] = {}
        for line in lines:
            try:
                topic, partition, offset = line.split(" ")
                found[topic, int(partition)] = int(offset)
            except ValueError:
                raise ValueError(f"Malformed line in checkpoint file [{self.path}]: {line}") from None
        return found

    def write(self, offsets: Mapping[TopicPartition, int]) -> bool:
        """Replace the file, synced; nothing is written when it would not change. Returns whether it was."""
        lines = [f"0\n{len(offsets)}\n"]
        lines += [f"{topic} {partition} {offset}\n" for (topic, partition), offset in offsets.items()]
        data = "".join(lines).encode()
        if data == self._last:
            return False
        write_file(self._storage, self.path, data, sync=True)
        self._last = data
        return True
