"""The files of a data directory: what each is by its name, and which ones a path given by a person stands for."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from enum import Enum
from typing import Final

from attrs import define

from log.filenames import (
    CLEAN_SHUTDOWN,
    CLEANER_OFFSETS,
    HIGH_WATERMARKS,
    LEADER_EPOCHS,
    LOG,
    LOG_STARTS,
    META_PROPERTIES,
    OFFSET_INDEX,
    PARTITION_METADATA,
    PRODUCER_SNAPSHOT,
    RECOVERY_POINTS,
    TIME_INDEX,
    TRANSACTION_INDEX,
    parse_offset_name,
    parse_partition_dir,
)


class Kind(Enum):
    """What a file holds. The values are what `--json` and `--type` call it."""

    LOG = "log"
    OFFSET_INDEX = "index"
    TIME_INDEX = "timeindex"
    TRANSACTION_INDEX = "txnindex"
    PRODUCER_SNAPSHOT = "snapshot"
    METADATA_SNAPSHOT = "checkpoint"
    LEADER_EPOCHS = "leader-epochs"
    OFFSET_CHECKPOINT = "offset-checkpoint"
    PARTITION_METADATA = "partition-metadata"
    META_PROPERTIES = "meta-properties"
    QUORUM_STATE = "quorum-state"
    CLEAN_SHUTDOWN = "clean-shutdown"


METADATA_TOPIC: Final = "__cluster_metadata"
QUORUM_STATE: Final = "quorum-state"
BOOTSTRAP: Final = "bootstrap.checkpoint"
OFFSET_CHECKPOINTS: Final = (RECOVERY_POINTS, HIGH_WATERMARKS, LOG_STARTS, CLEANER_OFFSETS)

_BY_SUFFIX: Final = {
    LOG: Kind.LOG,
    OFFSET_INDEX: Kind.OFFSET_INDEX,
    TIME_INDEX: Kind.TIME_INDEX,
    TRANSACTION_INDEX: Kind.TRANSACTION_INDEX,
    PRODUCER_SNAPSHOT: Kind.PRODUCER_SNAPSHOT,
}
_BY_NAME: Final = {
    LEADER_EPOCHS: Kind.LEADER_EPOCHS,
    PARTITION_METADATA: Kind.PARTITION_METADATA,
    META_PROPERTIES: Kind.META_PROPERTIES,
    QUORUM_STATE: Kind.QUORUM_STATE,
    CLEAN_SHUTDOWN: Kind.CLEAN_SHUTDOWN,
    **dict.fromkeys(OFFSET_CHECKPOINTS, Kind.OFFSET_CHECKPOINT),
}
_OF_LOG_DIRECTORY: Final = (Kind.META_PROPERTIES, Kind.OFFSET_CHECKPOINT, Kind.CLEAN_SHUTDOWN)
_SNAPSHOT_NAME: Final = re.compile(r"(\d{20})-(\d{10})\.checkpoint(\.part|\.deleted)?")
_MARKED_DIR: Final = re.compile(r"(.+)\.[0-9a-f]{32}-(?:delete|stray|future)")
_ORDER: Final = list(Kind)


@define(slots=True, frozen=True)
class DataFile:
    """A file and what its name says.

    topic, partition: of the directory around it, None for a file of the log directory itself. offset: the number in
    the name, -1 without one. epoch: of a metadata snapshot, else -1. mark: ``.deleted``, ``.cleaned``, ``.swap`` or
    ``.part``.
    """

    path: str
    kind: Kind
    topic: str | None = None
    partition: int | None = None
    offset: int = -1
    epoch: int = -1
    mark: str = ""


def data_file(path: str) -> DataFile | None:
    """What the file at `path` is by its name and its directory's, None for what Kafka does not know."""
    directory, _, name = os.path.abspath(path).rpartition("/")
    topic, partition = partition_of(directory)
    found = parse_offset_name(name)
    if found is not None:
        kind = _BY_SUFFIX.get(found.suffix)
        return None if kind is None else DataFile(path, kind, topic, partition, found.offset, -1, found.mark)
    match = _SNAPSHOT_NAME.fullmatch(name)
    if match is not None:
        return DataFile(path, Kind.METADATA_SNAPSHOT, topic, partition, int(match[1]), int(match[2]), match[3] or "")
    if name == BOOTSTRAP:
        return DataFile(path, Kind.METADATA_SNAPSHOT, METADATA_TOPIC, 0)
    kind = _BY_NAME.get(name)
    if kind is None:
        return None
    return DataFile(path, kind) if kind in _OF_LOG_DIRECTORY else DataFile(path, kind, topic, partition)


def partition_of(directory: str) -> tuple[str | None, int | None]:
    """Topic and partition by a directory's name; one marked ``-delete`` or ``-stray`` counts too."""
    name = directory.rpartition("/")[2]
    found = parse_partition_dir(name)
    return (None, None) if found is None else (found.topic, found.partition)


def is_partition_dir(path: str) -> bool:
    """Whether the name is a partition's and the content is not a whole log directory's."""
    return partition_of(os.path.abspath(path))[0] is not None and not os.path.exists(f"{path}/{META_PROPERTIES}")


def files_of(path: str, on_error: Callable[[OSError], None] | None = None) -> Iterator[DataFile]:
    """The known files at and below `path`, a partition's in the order of their offsets.

    A directory that cannot be listed is passed over with `on_error`; without it OSError is raised.
    """
    if not os.path.isdir(path):
        found = data_file(path)
        if found is not None:
            yield found
        return
    try:
        names = sorted(os.listdir(path))
    except OSError as error:
        if on_error is None:
            raise
        on_error(error)
        return
    files = [found for name in names if (found := data_file(f"{path}/{name}")) and not os.path.isdir(found.path)]
    files.sort(key=lambda file: (file.offset, _ORDER.index(file.kind), file.path))
    yield from files
    for name in names:
        child = f"{path}/{name}"
        if partition_of(child)[0] is not None and os.path.isdir(child):
            yield from files_of(child, on_error)
