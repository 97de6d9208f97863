"""`kwire check`: every invariant of a broker's log directories, of one partition's directory, or of several of these.

    check(["kwire-data"], report=print)

Nothing is changed. The metadata log is read first: it says which topics there are, their ids and whether they are
compacted. Then every partition is read once.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from attrs import define, field

from broker.controller.image import ClusterImage
from broker.controller.ports import RESOURCE_BROKER, RESOURCE_TOPIC
from broker.inspect.files import BOOTSTRAP, METADATA_TOPIC, is_partition_dir, partition_of
from broker.inspect.findings import Finding, Progress, Report, Severity, Totals
from broker.inspect.internal_check import internal_consumer
from broker.inspect.log_dir import LogDir, check_duplicates, check_identities, read_log_dir
from broker.inspect.metadata_check import check_bootstrap, check_quorum_state, replay_snapshots
from broker.inspect.partition_check import NOT_SERVED, PartitionCheck, PartitionFacts
from broker.inspect.read_only import ReadOnlyStorage
from broker.inspect.record_kinds import COORDINATOR_TOPICS
from kwire import uuids
from log.checkpoints import TopicPartition
from log.filenames import (
    CLEAN_SHUTDOWN,
    CLEANER_OFFSETS,
    HIGH_WATERMARKS,
    LOG,
    LOG_STARTS,
    PARTITION_METADATA,
    RECOVERY_POINTS,
)
from log.partition_metadata import read_topic_id


def no_progress(_bytes: int, _file: str) -> None:
    pass


@define(slots=True)
class Checker:
    """One check. live: a broker may be writing meanwhile."""

    report: Report
    progress: Progress = no_progress
    live: bool = False
    totals: Totals = field(factory=Totals)
    _to_recover: int = 0

    def check(self, paths: Sequence[str]) -> Totals:
        """Look at log directories and partition directories. Raises OSError for one that cannot be listed."""
        paths = [os.path.abspath(path) for path in paths]
        directories = [read_log_dir(path, self.report) for path in paths if not is_partition_dir(path)]
        if directories:
            self._check_directories(directories)
        for path in paths:
            if is_partition_dir(path):
                self._check_alone(path)
        return self.totals

    def _check_alone(self, path: str) -> None:
        """A partition without anything around it."""
        topic, partition = partition_of(path)
        assert topic is not None
        facts = PartitionFacts(f"{topic}-{partition}", _compact_by_name(topic), live=self.live)
        if topic == METADATA_TOPIC:
            self._check_metadata(path, facts, "")
            return
        check = PartitionCheck(path, facts, self.report, self.totals, self.progress, internal_consumer(topic))
        check.run()

    def _check_directories(self, directories: list[LogDir]) -> None:
        cluster_id = check_identities(directories, self.report)
        check_duplicates(directories, self.report)
        image = self._find_metadata(directories, cluster_id)
        for directory in directories:
            check_bootstrap(f"{directory.path}/{BOOTSTRAP}", self.report, self.totals)
            for (topic, partition), path in directory.partitions.items():
                if topic != METADATA_TOPIC:
                    self._check_partition(directory, topic, partition, path, image)
            if not directory.clean and directory.partitions and not self.live:
                self._tell_unclean(directory)
        self._check_missing(directories, image)

    def _tell_unclean(self, directory: LogDir) -> None:
        megabytes = self._to_recover / 1e6
        self.report(
            Finding(
                "clean-shutdown",
                Severity.INFO,
                f"{directory.path}/{CLEAN_SHUTDOWN}",
                "there is no marker of a clean stop",
                f"the next start checks {megabytes:.1f} MB of log from the recovery points on",
            )
        )
        self._to_recover = 0

    # Metadata

    def _find_metadata(self, directories: list[LogDir], cluster_id: str) -> ClusterImage | None:
        key = (METADATA_TOPIC, 0)
        for directory in directories:
            if key in directory.partitions:
                facts = PartitionFacts(
                    f"{METADATA_TOPIC}-0",
                    compact=False,
                    clean=directory.clean,
                    live=self.live,
                    recovery_point=directory.checkpoint(RECOVERY_POINTS, key),
                    log_start_offset=directory.checkpoint(LOG_STARTS, key),
                )
                return self._check_metadata(directory.partitions[key], facts, cluster_id)
        self.report(
            Finding(
                "missing-metadata",
                Severity.WARNING,
                f"{directories[0].path}/{METADATA_TOPIC}-0",
                "none of the directories has the metadata log",
                "given alone, such a directory is checked without it; a broker that starts on it sets all partitions "
                "aside as strays",
            )
        )
        return None

    def _check_metadata(self, path: str, facts: PartitionFacts, cluster_id: str) -> ClusterImage | None:
        replay, snapshot_end = replay_snapshots(path, cluster_id, self.report, self.totals)
        check = PartitionCheck(path, facts, self.report, self.totals, self.progress, replay.take, "metadata")
        result = check.run()
        self._to_recover += result.bytes_to_recover
        if (snapshot_end >= 0 and result.first_offset > snapshot_end) or snapshot_end < 0 < result.first_offset:
            had = "there is no snapshot" if snapshot_end < 0 else f"the latest snapshot ends at {snapshot_end}"
            self.report(
                Finding(
                    "metadata",
                    Severity.ERROR,
                    path,
                    f"the log begins at offset {result.first_offset}, {had}",
                    "the next start does not know the records between and does not start, or knows no topics",
                    -1,
                    max(snapshot_end, 0),
                )
            )
            replay.failed = True
        if result.end_offset is None:
            replay.failed = True  # what it would say of topics and directories is not known
        check_quorum_state(path, replay.last_epoch, self.report)
        self._check_checkpoints_of(facts, result.end_offset, path)
        return replay.image if replay.usable else None

    # Partitions

    def _check_partition(
        self, directory: LogDir, topic: str, partition: int, path: str, image: ClusterImage | None
    ) -> None:
        key = (topic, partition)
        facts = PartitionFacts(
            f"{topic}-{partition}",
            self._compacted(directory, key, image),
            directory.clean,
            self.live,
            directory.checkpoint(RECOVERY_POINTS, key),
            directory.checkpoint(LOG_STARTS, key),
        )
        check = PartitionCheck(path, facts, self.report, self.totals, self.progress, internal_consumer(topic))
        try:
            result = check.run()
            if image is not None and not self.live:
                self._check_owner(path, topic, partition, image)
        except OSError as error:
            if not self.live:
                self.report(
                    Finding(
                        "unreadable",
                        Severity.ERROR,
                        error.filename or path,
                        f"it cannot be read: {error.strerror}",
                        NOT_SERVED,
                    )
                )
            return
        self._to_recover += result.bytes_to_recover
        self._check_checkpoints_of(facts, result.end_offset, path, directory)

    def _compacted(self, directory: LogDir, key: TopicPartition, image: ClusterImage | None) -> bool | None:
        if key in directory.checkpoints.get(CLEANER_OFFSETS, {}):
            return True
        if image is None:
            return _compact_by_name(key[0])
        if image.topic_by_name(key[0]) is None:
            return None
        policy = image.configs(RESOURCE_TOPIC, key[0]).get("cleanup.policy")
        if policy is None:
            policy = image.configs(RESOURCE_BROKER, "").get("log.cleanup.policy", "delete")
        return "compact" in policy

    def _check_owner(self, path: str, topic: str, partition: int, image: ClusterImage) -> None:
        """That the image knows the partition, under the topic id that the directory names."""
        described = image.topic_by_name(topic)
        metadata = f"{path}/{PARTITION_METADATA}"
        if described is None or not 0 <= partition < len(described.partitions):
            what = "the cluster has no such topic" if described is None else f"the topic has no partition {partition}"
            repair = "the next start renames it to ...-stray; it is kept and not looked at"
            self.report(Finding("stray", Severity.WARNING, path, what, repair))
            return
        stored = read_topic_id(ReadOnlyStorage(), path)
        if stored is None:
            exists = os.path.exists(metadata)
            self.report(
                Finding(
                    "topic-id",
                    Severity.ERROR if exists else Severity.WARNING,
                    metadata,
                    "it holds no topic id" if exists else "the file is missing",
                    "the next start takes the id of the topic with this name: fine unless the topic was deleted and "
                    "made again",
                )
            )
        elif stored != described.topic_id:
            self.report(
                Finding(
                    "topic-id",
                    Severity.ERROR,
                    metadata,
                    f"its topic id is {uuids.to_string(stored)}, the cluster's topic {topic} has "
                    f"{uuids.to_string(described.topic_id)}",
                    "the next start renames the directory to ...-stray and begins an empty one",
                )
            )

    def _check_checkpoints_of(
        self, facts: PartitionFacts, end: int | None, path: str, directory: LogDir | None = None
    ) -> None:
        """That no checkpoint is beyond the log's end."""
        if self.live or end is None:
            return  # where the log ends now is not known
        parent = os.path.dirname(path)
        found = [(RECOVERY_POINTS, facts.recovery_point), (LOG_STARTS, facts.log_start_offset)]
        if directory is not None:
            topic, partition = partition_of(path)
            key = (topic or "", partition or 0)
            found += [(name, directory.checkpoint(name, key)) for name in (HIGH_WATERMARKS, CLEANER_OFFSETS)]
        repairs = {
            RECOVERY_POINTS: "the next start goes by the end of the log; records that were synced are gone",
            LOG_STARTS: "the next start removes everything in the partition and begins at this offset",
            HIGH_WATERMARKS: "the next start goes by the end of the log; records that were acknowledged are gone",
            CLEANER_OFFSETS: "compaction begins again at the start of the log",
        }
        for name, offset in found:
            if offset > end:
                what = f"{facts.name} has {offset}, its log ends at {end}"
                self.report(Finding("checkpoint", Severity.ERROR, f"{parent}/{name}", what, repairs[name], -1, offset))

    def _check_missing(self, directories: list[LogDir], image: ClusterImage | None) -> None:
        """Partitions that have no directory, though records of theirs were here."""
        have = {key for directory in directories for key in directory.partitions}
        nodes = {each.properties.node_id for each in directories if each.properties is not None}
        told = set()
        for directory in directories:
            for name in (RECOVERY_POINTS, HIGH_WATERMARKS):
                for key, offset in directory.checkpoints.get(name, {}).items():
                    if key in have or key in told or offset == 0:
                        continue
                    told.add(key)
                    topic, partition = key
                    exists = image is None or image.partition(topic, partition) is not None
                    self.report(
                        Finding(
                            "missing-directory" if exists else "checkpoint",
                            Severity.ERROR if exists else Severity.INFO,
                            f"{directory.path}/{name}",
                            f"it names {topic}-{partition} up to offset {offset}, which has no directory"
                            + ("" if exists else " and no topic"),
                            "the next start begins the partition anew, empty: what it held is lost"
                            if exists
                            else "the line goes with the next checkpoint",
                            -1,
                            offset,
                        )
                    )
        if image is None or self.live or not nodes:
            return
        unused = [
            f"{topic.name}-{index}"
            for topic in image.topics()
            for index, partition in enumerate(topic.partitions)
            if nodes & set(partition.replicas) and (topic.name, index) not in have | told
        ]
        if unused:
            names = ", ".join(unused[:5]) + (", ..." if len(unused) > 5 else "")
            self.report(
                Finding(
                    "missing-directory",
                    Severity.INFO,
                    directories[0].path,
                    f"{len(unused)} partitions have no directory and no checkpoint: {names}",
                    "kwire makes a partition's directory when it is first used, Kafka at its start",
                )
            )


def _compact_by_name(topic: str) -> bool | None:
    """Of topics whose settings are not known."""
    if topic == METADATA_TOPIC:
        return False
    return True if topic in COORDINATOR_TOPICS else None


def log_bytes(paths: Sequence[str]) -> int:
    """Bytes that a check of these directories reads: the sum of the `.log` files."""
    total = 0
    for path in paths:
        for directory, _, names in os.walk(path):
            for name in names:
                if name.endswith(LOG):
                    try:
                        total += os.stat(f"{directory}/{name}").st_size
                    except FileNotFoundError:
                        continue
    return total
