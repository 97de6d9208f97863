"""What lies in a log directory beside its partitions: identity, checkpoints, marker, directories and their names."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from typing import Final

from attrs import define, field

from broker.inspect.files import OFFSET_CHECKPOINTS
from broker.inspect.findings import Finding, Report, Severity
from broker.inspect.read_only import ReadOnlyStorage
from broker.inspect.reading import ReadFile
from log.checkpoints import TopicPartition, parse_lines
from log.filenames import (
    CLEAN_SHUTDOWN,
    CLEANER_OFFSETS,
    DELETE_DIR,
    FUTURE_DIR,
    HIGH_WATERMARKS,
    LOG_STARTS,
    META_PROPERTIES,
    RECOVERY_POINTS,
    STRAY_DIR,
    parse_partition_dir,
)
from log.meta_properties import MetaProperties, MetaPropertiesError, read_meta_properties, verify

_MARKED: Final = {
    DELETE_DIR: ("its topic was deleted", "the next start removes it"),
    FUTURE_DIR: ("a move from another directory was not finished", "the next start removes it; the original stands"),
    STRAY_DIR: ("it belonged to no topic and was set aside", "it is kept and not looked at"),
}


@define(slots=True)
class LogDir:
    """One of ``log.dirs``. clean: the next start believes what it finds."""

    path: str
    clean: bool = False
    broker_epoch: int = -1
    properties: MetaProperties | None = None
    partitions: dict[TopicPartition, str] = field(factory=dict)
    checkpoints: dict[str, dict[TopicPartition, int]] = field(factory=dict)

    def checkpoint(self, name: str, key: TopicPartition, default: int = 0) -> int:
        return self.checkpoints.get(name, {}).get(key, default)


def read_log_dir(path: str, report: Report) -> LogDir:
    """What is there, with findings about what cannot be read. Raises OSError when it cannot be listed."""
    found = LogDir(path)
    names = sorted(os.listdir(path))
    unreadable = {name for name in OFFSET_CHECKPOINTS if not _read_checkpoint(found, name, report)}
    found.clean = _read_marker(found, report) and not unreadable & {RECOVERY_POINTS, LOG_STARTS}
    try:
        found.properties = read_meta_properties(ReadOnlyStorage(), path)
        if found.properties is None:
            report(
                Finding(
                    "identity",
                    Severity.WARNING,
                    f"{path}/{META_PROPERTIES}",
                    "the file is missing",
                    "kwire writes a new one with a new directory id; Kafka must format the directory first",
                )
            )
    except (MetaPropertiesError, OSError, ValueError) as error:
        text = str(error).removeprefix(f"{path}/{META_PROPERTIES}: ")
        report(
            Finding(
                "identity",
                Severity.ERROR,
                f"{path}/{META_PROPERTIES}",
                text,
                "no broker starts on it until it is mended",
            )
        )
    for name in names:
        parsed = parse_partition_dir(name)
        if parsed is None or not os.path.isdir(f"{path}/{name}"):
            continue
        if parsed.mark:
            what, repair = _MARKED[parsed.mark]
            report(Finding("leftover", Severity.INFO, f"{path}/{name}", what, repair))
        else:
            found.partitions[parsed.topic, parsed.partition] = f"{path}/{name}"
    return found


def _read_marker(found: LogDir, report: Report) -> bool:
    """The clean marker counts by being there; what is in it is only the broker's epoch."""
    path = f"{found.path}/{CLEAN_SHUTDOWN}"
    try:
        with ReadFile(path) as file:
            found.broker_epoch = int(json.loads(file.read_all())["brokerEpoch"])
    except FileNotFoundError:
        return False
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        report(
            Finding(
                "clean-shutdown",
                Severity.WARNING,
                path,
                f"it cannot be read ({error}), though it is there",
                "the stop counts as clean; the broker registers without its previous epoch",
            )
        )
    return True


def _read_checkpoint(found: LogDir, name: str, report: Report) -> bool:
    """False when it is damaged."""
    path = f"{found.path}/{name}"
    entries: dict[TopicPartition, int] = {}
    try:
        with ReadFile(path) as file:
            lines = parse_lines(file.read_all())
        if lines is None:
            raise ValueError("version, number of entries or the last newline is wrong")
        for line in lines:
            topic, partition, offset = line.split(" ")
            key = (topic, int(partition))
            if key in entries:
                raise ValueError(f"{topic}-{partition} is there twice")
            if int(offset) < 0:
                raise ValueError(f"a negative offset in {line!r}")
            entries[key] = int(offset)
    except FileNotFoundError:
        return True
    except (OSError, ValueError) as error:
        repair = {
            RECOVERY_POINTS: "the next start does not believe the clean marker and recovers every log from its start: "
            "slow, but nothing is lost",
            LOG_STARTS: "the next start recovers every log; records that DeleteRecords deleted come back where their "
            "segment is still there",
            HIGH_WATERMARKS: "the next start takes the end of each log",
            CLEANER_OFFSETS: "compaction begins again at the start of each log",
        }[name]
        report(Finding("checkpoint", Severity.ERROR, path, f"it is damaged: {error}", repair))
        return False
    found.checkpoints[name] = entries
    return True


def check_identities(directories: Sequence[LogDir], report: Report) -> str:
    """That all directories belong to one node of one cluster; the cluster's id, "" when there is none."""
    known = [(each.path, each.properties) for each in directories if each.properties is not None]
    if not known:
        return ""
    first = known[0][1]
    assert first is not None
    try:
        verify(known, cluster_id=first.cluster_id, node_id=first.node_id)
    except MetaPropertiesError as error:
        report(
            Finding(
                "identity",
                Severity.ERROR,
                f"{directories[0].path}/{META_PROPERTIES}",
                f"the directories do not belong together: {error}",
                "no broker starts on these directories together",
            )
        )
    return first.cluster_id


def check_duplicates(directories: Sequence[LogDir], report: Report) -> None:
    """A partition that lies in two directories."""
    where: dict[TopicPartition, str] = {}
    for directory in directories:
        for key, path in directory.partitions.items():
            other = where.setdefault(key, path)
            if other != path:
                report(
                    Finding(
                        "duplicate",
                        Severity.ERROR,
                        path,
                        f"{key[0]}-{key[1]} lies in {other} too",
                        "kwire takes the one in the first of log.dirs; Kafka does not start",
                    )
                )
