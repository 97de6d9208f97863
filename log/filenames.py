"""Names of the files and directories of a log  (Kafka: LogFileUtils, LocalLog, LogManager)."""

from __future__ import annotations

import re

from attrs import define

LOG = ".log"
OFFSET_INDEX = ".index"
TIME_INDEX = ".timeindex"
TRANSACTION_INDEX = ".txnindex"
PRODUCER_SNAPSHOT = ".snapshot"

DELETED = ".deleted"
CLEANED = ".cleaned"
SWAP = ".swap"

DELETE_DIR = "-delete"
STRAY_DIR = "-stray"
FUTURE_DIR = "-future"

LEADER_EPOCHS = "leader-epoch-checkpoint"
PARTITION_METADATA = "partition.metadata"
CLEAN_SHUTDOWN = ".kafka_cleanshutdown"
META_PROPERTIES = "meta.properties"
LOCK = ".lock"
RECOVERY_POINTS = "recovery-point-offset-checkpoint"
HIGH_WATERMARKS = "replication-offset-checkpoint"
LOG_STARTS = "log-start-offset-checkpoint"
CLEANER_OFFSETS = "cleaner-offset-checkpoint"

_MAX_NAME = 255
_OFFSET_NAME = re.compile(r"(\d{20})(\.[a-z]+)(\.[a-z]+)?")
_PARTITION_DIR = re.compile(r"(\S+)-(\d+)")
_MARKED_DIR = re.compile(r"(\S+)-(\d+)\.([0-9a-f]+)(-delete|-stray|-future)")


def offset_name(offset: int, suffix: str) -> str:
    """``00000000000000000042.log``."""
    return f"{offset:020d}{suffix}"


@define(slots=True, frozen=True)
class OffsetFile:
    """A file named by an offset: ``suffix`` is its kind, ``mark`` is ``.deleted``, ``.swap``, ``.cleaned`` or empty."""

    offset: int
    suffix: str
    mark: str


def parse_offset_name(name: str) -> OffsetFile | None:
    """What a segment's file name says, None for any other name."""
    match = _OFFSET_NAME.fullmatch(name)
    if match is None:
        return None
    return OffsetFile(int(match[1]), match[2], match[3] or "")


def partition_dir(topic: str, partition: int) -> str:
    return f"{topic}-{partition}"


def marked_dir(topic: str, partition: int, unique: str, mark: str) -> str:
    """``TOPIC-N.UNIQUE-delete`` with the topic cut so that the name fits in 255 bytes. ``unique``: 32 hex digits."""
    tail = f"-{partition}.{unique}{mark}"
    return f"{topic[: _MAX_NAME - len(tail)]}{tail}"


@define(slots=True, frozen=True)
class PartitionDir:
    """A partition's directory name taken apart; ``mark`` is empty, ``-delete``, ``-stray`` or ``-future``."""

    topic: str
    partition: int
    mark: str


def parse_partition_dir(name: str) -> PartitionDir | None:
    """What a directory's name says, None when it is no partition's."""
    match = _MARKED_DIR.fullmatch(name)
    if match is not None:
        return PartitionDir(match[1], int(match[2]), match[4])
    match = _PARTITION_DIR.fullmatch(name)
    if match is None:
        return None
    return PartitionDir(match[1], int(match[2]), "")
