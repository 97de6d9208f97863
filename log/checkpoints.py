"""The offset checkpoints of a log directory  (Kafka: OffsetCheckpointFile, CheckpointFile).

Text: version 0, number of entries, then ``topic partition offset`` a line; an empty file is an empty checkpoint.
Replaced whole, synced.
"""

from __future__ import annotations

from collections.abc import Mapping
from threading import Lock
from typing import TypeAlias

from attrs import define

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

    __slots__ = ("_last", "_lock", "_newest", "_storage", "_written", "path")

    def __init__(self, storage: Storage, path: str) -> None:
        self._storage = storage
        self.path = path
        self._last: dict[TopicPartition, int] | None = None
        self._lock = Lock()
        self._newest = 0
        self._written = 0

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

    def holds(self, offsets: Mapping[TopicPartition, int]) -> None:
        """The file says this already: writing the same is no change."""
        self._last = dict(offsets)

    def prepare(self, offsets: Mapping[TopicPartition, int]) -> CheckpointWrite | None:
        """The replacement of the file as work for a thread, None when it would not change.

        Of several the one prepared last wins, in whatever order they run.
        """
        if offsets == self._last:
            return None
        self._last = dict(offsets)
        self._newest += 1
        return CheckpointWrite(self, self._last, self._newest)

    def write(self, offsets: Mapping[TopicPartition, int]) -> bool:
        """Replace the file now, synced; nothing is written when it would not change. Returns whether it was."""
        work = self.prepare(offsets)
        if work is None and self._written == self._newest:
            return False
        if work is None:
            work = CheckpointWrite(self, dict(offsets), self._newest)
        work.run(self._storage)
        return True

    def replace(self, offsets: Mapping[TopicPartition, int], number: int) -> None:
        """Do the ``number``-th write, unless a later one has been done. Raises ``OSError``."""
        lines = [f"0\n{len(offsets)}\n"]
        lines += [f"{topic} {partition} {offset}\n" for (topic, partition), offset in offsets.items()]
        with self._lock:
            if number < self._written:
                return
            try:
                write_file(self._storage, self.path, "".join(lines).encode(), sync=True)
            except OSError:
                self._last = None  # so that the next one is not taken for no change
                raise
            self._written = number


@define(slots=True)
class CheckpointWrite:
    """A checkpoint file to be replaced; ``run`` may be called in any thread."""

    checkpoint: OffsetCheckpoint
    offsets: dict[TopicPartition, int]
    number: int
    delay_ms: int = 0

    def run(self, storage: Storage) -> None:
        """Replace the file, synced. Raises ``OSError``."""
        self.checkpoint.replace(self.offsets, self.number)
