"""A metadata log with its snapshots and its controller, on a real directory: what the tests of snapshots share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from broker.clock import ManualClock
from broker.controller.controller import AlterOp, ConfigResource, Controller, NewTopic
from broker.controller.image import ClusterImage
from broker.controller.records import (
    AccessControlEntryRecord,
    ClientQuotaRecord,
    DelegationTokenRecord,
    Record,
    UserScramCredentialRecord,
)
from broker.deferred import Deferred, resolved
from broker.metadata_log import (
    METADATA_TOPIC_ID,
    MetadataLogFile,
)
from broker.metadata_snapshots import (
    QuorumRecords,
    SnapshotBatches,
    SnapshotFiles,
    SnapshotId,
)
from broker.snapshot_generator import SnapshotGenerator, SnapshotSettings
from kwire.internal import decode_metadata_record
from kwire.internal.control_records import KRaftVersionFeature, VotersRecord, VotersVoter
from kwire.internal.metadata_records import EntityData
from kwire.records import iter_batches, read_records
from log.config import LogConfig
from log.partition_log import PartitionLog
from log.storage import RealStorage, Storage
from tests.broker.controller.controller_world import FewRules, counted_uuids, registration, run, settings

NOW_MS = 1_700_000_000_000
EVERY = SnapshotSettings(max_bytes=1, interval_ms=0, retention_bytes=-1, retention_ms=-1)
NEVER = SnapshotSettings(max_bytes=2**62, interval_ms=0, retention_bytes=-1, retention_ms=-1)
VOTERS = VotersRecord(
    voters=[
        VotersVoter(
            voter_id=1,
            voter_directory_id=b"d" * 16,
            kraft_version_feature=KRaftVersionFeature(min_supported_version=0, max_supported_version=1),
        )
    ]
)


KEPT: list[Record] = [
    DelegationTokenRecord(owner="u", requester="u", token_id="t"),
    UserScramCredentialRecord(name="u", mechanism=1, salt=b"s", stored_key=b"k", server_key=b"v", iterations=4096),
    AccessControlEntryRecord(id=b"i" * 16, resource_name="r", principal="User:u", host="*"),
    ClientQuotaRecord(entity=[EntityData("client-id", "c")], key="producer_byte_rate", value=1.5),
]


def here_and_now(fn: Callable[[], None]) -> Deferred[None]:
    try:
        fn()
    except OSError as error:
        failed: Deferred[None] = Deferred()
        failed.fail(error)
        return failed
    return resolved(None)


class World:
    """A controller over a real directory, its clock moved by hand; `restart` opens the directory again."""

    def __init__(
        self,
        directory: Path,
        generate: SnapshotSettings = NEVER,
        segment_bytes: int = 2**30,
        first_records: Sequence[Record] = (),
        storage: Storage | None = None,
        *,
        clean: bool = True,
    ) -> None:
        self.first_records = first_records
        self.storage: Storage = RealStorage() if storage is None else storage
        self.clean = clean
        self.directory = directory / "__cluster_metadata-0"
        self.generate = generate
        self.segment_bytes = segment_bytes
        self.clock = ManualClock()
        self.hold = False
        self.held: list[Callable[[], None]] = []
        self.start()

    def in_thread(self, fn: Callable[[], None]) -> Deferred[None]:
        if not self.hold:
            return here_and_now(fn)
        self.held.append(fn)
        return Deferred()

    def start(self) -> None:
        self.log = PartitionLog.open(
            self.storage,
            str(self.directory),
            "__cluster_metadata",
            0,
            LogConfig(cleanup_policy=(), segment_bytes=self.segment_bytes, max_message_bytes=2**31 - 1),
            now_ms=NOW_MS,
            topic_id=METADATA_TOPIC_ID,
            clean_shutdown=self.clean,
        )
        self.metadata = MetadataLogFile(self.log, self.storage, 1, here_and_now)
        uuids = counted_uuids(1000 + self.log.log_end_offset * 1000)
        self.controller = Controller(
            settings(),
            self.metadata,
            FewRules(),
            now_ms=lambda: NOW_MS,
            new_uuid=lambda: next(uuids),
            below=lambda _limit: 0,
        )
        self.controller.load()
        self.loaded = self.controller.image.contents()
        self.controller.become_leader(self.first_records)
        before = self.controller.image.brokers.get(1)
        self.controller.register_broker(registration(1, previous_epoch=before.epoch if before else -1))
        self.generator = SnapshotGenerator(
            self.metadata, self.controller, self.clock, self.storage, self.in_thread, self.generate
        )
        self.generator.start()

    def restart(self) -> None:
        self.generator.stop()
        self.log.close(NOW_MS)
        self.start()

    def settle(self) -> None:
        for _ in range(50):
            self.clock.advance(0)

    def create(self, *names: str) -> None:
        run(self.controller.create_topics([NewTopic(name, 3) for name in names]))

    def configure(self, topic: str, value: str) -> None:
        change = {ConfigResource(2, topic): [("retention.ms", AlterOp.SET, value)]}
        run(self.controller.incremental_alter_configs(change))

    def names(self) -> list[str]:
        return sorted(path.name for path in self.directory.glob("*.checkpoint*"))


def replayed(values: list[bytes]) -> ClusterImage:
    image = ClusterImage("x")
    for value in values:
        image.replay(decode_metadata_record(value)[0])
    return image


def contents(image: ClusterImage) -> Any:
    """What two images are compared by: without the order in which things came up."""
    found = image.contents()
    return (
        found.features,
        set(found.brokers and [(b.broker_id, b.epoch, b.fenced, b.directories) for b in found.brokers]),
        [(c.controller_id, c.incarnation_id) for c in found.controllers],
        sorted(found.topics),
        sorted((tuple(resource), dict(configs)) for resource, configs in found.configs),
        found.next_producer_id,
        found.kept,
    )


# The image as records


def formatted_for_a_dynamic_quorum(directory: Path) -> None:
    """As `kafka-storage format --standalone` leaves it."""
    storage = RealStorage()
    path = directory / "__cluster_metadata-0"
    path.mkdir()
    batches = SnapshotBatches(SnapshotId(0, 0), NOW_MS)
    file = SnapshotFiles(storage, str(path)).new(SnapshotId(0, 0))
    file.write(batches.header(0, QuorumRecords(1, VOTERS)) + batches.footer())
    file.finish()


def control_kinds(world: World) -> list[int]:
    data = world.log.read(0, 2**20, up_to=world.log.log_end_offset).file_range.read()  # type: ignore[union-attr]
    return [
        int.from_bytes(record.key[2:4], "big")  # type: ignore[index]
        for header in iter_batches(data)
        if header.is_control
        for record in read_records(data, header.position)
    ]
