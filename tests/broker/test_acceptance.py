"""Which data directories are refused, with which reason, and that a refused one is left as it was."""

from __future__ import annotations

import hashlib
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import trio

from broker.acceptance import DirectoryRefusedError, check_image, check_level
from broker.controller.image import ClusterImage
from broker.controller.records import FeatureLevelRecord, Record, RegisterBrokerRecord, UnregisterBrokerRecord
from broker.metadata_log import MetadataLogFile
from broker.metadata_snapshots import QuorumRecords, SnapshotBatches, SnapshotFiles, SnapshotId
from broker.start_error import StartError
from kwire import uuids
from kwire.internal.control_records import VotersRecord, VotersVoter
from log.config import LogConfig
from log.partition_log import PartitionLog
from log.storage import RealStorage
from tests.broker.cluster_helpers import running_server
from tests.broker.snapshot_world import here_and_now

METADATA = "__cluster_metadata-0"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two directories of a node that was stopped cleanly, with a topic of four partitions."""
    base = tmp_path_factory.mktemp("whole")

    async def fill() -> None:
        async with running_server(base) as running:
            cluster = running.add("one", log_dirs=f"{base}/one,{base}/two", node_id="1")
            client = await running.connect(cluster)
            await client.create_topic("t", 4)
            for partition in range(4):
                await client.produce("t", b"v", partition=partition)
            await trio.sleep(0.05)

    trio.run(fill)
    return base


@pytest.fixture
def base(whole: Path, tmp_path: Path) -> Path:
    target = tmp_path / "copy"
    shutil.copytree(whole, target)
    return target


def start(base: Path, *names: str, **settings: str) -> str | None:
    """Start and stop; the reason when it was refused."""
    directories = ",".join(f"{base}/{name}" for name in names or ("one", "two"))

    async def run() -> str | None:
        async with running_server(base) as running:
            try:
                running.add("x", log_dirs=directories, **({"node_id": "1"} | settings))
            except StartError as error:
                return str(error)
            return None

    return trio.run(run)


def state(base: Path) -> dict[str, str]:
    return {
        str(path.relative_to(base)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(base.rglob("*"))
        if path.is_file() and path.name != ".lock"
    }


def refused(base: Path, *names: str, **settings: str) -> str:
    """The reason; the directories are as they were, the clean marker included."""
    before = state(base)
    reason = start(base, *names, **settings)
    assert reason is not None, "it was accepted"
    after = state(base)
    changed = {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
    # Checkpoints that were never written are made empty, a superfluous snapshot of producers goes.
    assert not {name for name in changed if not name.endswith(("-checkpoint", ".snapshot"))}, changed
    return reason


def append(base: Path, *records: Record, quorum: QuorumRecords | None = None) -> None:
    """Records at the end of the metadata log, as another broker might have left them."""
    directory = base / "one" / METADATA
    storage = RealStorage()
    log = PartitionLog.open(
        storage,
        str(directory),
        "__cluster_metadata",
        0,
        LogConfig(cleanup_policy=(), max_message_bytes=2**31 - 1),
        now_ms=1,
    )
    metadata = MetadataLogFile(log, storage, 1, here_and_now)
    metadata._epoch = log.leader_epoch
    if records:
        metadata.append(records, 1)
    log.close(1)
    if quorum is not None:
        snapshot_id = SnapshotId(metadata.end_offset, metadata.epoch)
        batches = SnapshotBatches(snapshot_id, 1)
        file = SnapshotFiles(storage, str(directory)).new(snapshot_id)
        file.write(batches.header(1, quorum) + batches.footer())
        file.finish()


def voters(*ids: int, directory_id: bytes = uuids.ZERO) -> QuorumRecords:
    listed = [VotersVoter(voter_id=each, voter_directory_id=directory_id) for each in ids]
    return QuorumRecords(1, VotersRecord(voters=listed))


def replace_in(path: Path, change: Callable[[str], str]) -> None:
    path.write_text(change(path.read_text()))


def test_the_whole_directory_is_accepted(base: Path) -> None:
    assert start(base) is None


def test_a_missing_directory_of_several(base: Path) -> None:
    reason = refused(base, "one")
    assert re.match(r"t-\d, t-\d lie in the directory with", reason)
    assert "none of log.dirs" in reason
    lines = (base / "two" / "meta.properties").read_text().splitlines()
    directory_id = next(line for line in lines if line.startswith("directory.id=")).partition("=")[2]
    assert directory_id in reason


def test_an_empty_directory_in_the_place_of_a_lost_one(base: Path) -> None:
    (base / "two").rename(base / "lost")
    assert "none of log.dirs" in str(start(base))
    # What the reason says to do, for partitions that may begin empty:
    properties = (base / "lost" / "meta.properties").read_text()
    (base / "new").mkdir()
    (base / "new" / "meta.properties").write_text(properties)
    assert start(base, "one", "new") is None


def test_the_directory_without_the_metadata_log(base: Path) -> None:
    assert f"none of log.dirs holds {METADATA}" in refused(base, "two")


def test_the_metadata_log_twice(base: Path) -> None:
    shutil.copytree(base / "one" / METADATA, base / "two" / METADATA)
    assert f"{METADATA} is in {base}/one and in {base}/two" in refused(base)


def test_partitions_without_meta_properties(base: Path) -> None:
    (base / "two" / "meta.properties").unlink()
    assert f"{base}/two holds t-" in refused(base)


def test_another_node_id(base: Path) -> None:
    assert "Stored node id 1 doesn't match previous node id 7" in refused(base, node_id="7")


def test_another_cluster_id(base: Path) -> None:
    assert "Invalid cluster.id in" in refused(base, kwire_cluster_id="AAAAAAAAAAAAAAAAAAAAAQ")
    replace_in(base / "two" / "meta.properties", lambda text: text.replace("cluster.id=", "cluster.id=x"))
    assert "Invalid cluster.id in" in refused(base)


def test_one_directory_id_twice(base: Path) -> None:
    shutil.copy(base / "one" / "meta.properties", base / "two" / "meta.properties")
    assert "is in both" in refused(base)


def test_a_broker_with_zookeeper(base: Path) -> None:
    replace_in(
        base / "one" / "meta.properties",
        lambda text: text.replace("version=1", "version=0").replace("node.id", "broker.id"),
    )
    assert "ZooKeeper" in refused(base)


def test_a_newer_metadata_version(base: Path) -> None:
    append(base, FeatureLevelRecord(name="metadata.version", feature_level=31))
    assert "metadata.version 31, written by a newer Kafka" in refused(base)


def test_a_metadata_version_before_features() -> None:
    image = ClusterImage("x")
    image.replay(FeatureLevelRecord(name="metadata.version", feature_level=3))
    with pytest.raises(DirectoryRefusedError, match="at least 7"):
        check_level(image, (7, 30))


def quorum_state(*ids: int) -> Callable[[str], str]:
    listed = ",".join(f'{{"voterId":{each}}}' for each in ids)
    return lambda text: text[: text.index('"currentVoters"')] + f'"currentVoters":[{listed}],"data_version":0}}'


def test_one_of_several_controllers(base: Path) -> None:
    replace_in(base / "one" / METADATA / "quorum-state", quorum_state(1, 2, 3))
    assert "one of several controllers (1, 2, 3)" in refused(base)


def test_a_broker_only(base: Path) -> None:
    replace_in(base / "one" / METADATA / "quorum-state", quorum_state(3000))
    assert "a broker only: its controllers are 3000" in refused(base)


def test_several_voters_in_the_log(base: Path) -> None:
    append(base, quorum=voters(1, 2))
    assert "one of several controllers (1, 2)" in refused(base)


def test_a_broker_only_by_the_voters_in_the_log(base: Path) -> None:
    append(base, quorum=voters(3000))
    assert "a broker only: its controllers are 3000" in refused(base)


def test_the_voters_directory_is_another(base: Path) -> None:
    append(base, quorum=voters(1, directory_id=b"e" * 16))
    assert "was changed, or it is a copy for another node" in refused(base)


def test_a_controller_only(base: Path) -> None:
    epoch = 0
    image = ClusterImage("x")
    image.replay(RegisterBrokerRecord(broker_id=2, broker_epoch=epoch))
    with pytest.raises(DirectoryRefusedError, match="a controller only: the brokers of its cluster are 2"):
        check_image(image, 1, set(), all_there=True)
    image.replay(UnregisterBrokerRecord(broker_id=2, broker_epoch=epoch))
    check_image(image, 1, set(), all_there=True)


def test_more_brokers(base: Path) -> None:
    append(base, RegisterBrokerRecord(broker_id=2, broker_epoch=99), RegisterBrokerRecord(broker_id=3, broker_epoch=99))
    assert "more brokers than this one: 2, 3" in refused(base)


def test_settings_of_a_node_of_several(base: Path) -> None:
    assert "process.roles is broker: kwire is broker and controller" in refused(base, process_roles="broker")
    assert "process.roles is controller" in refused(base, process_roles="controller")
    several = "1@a:9093,2@b:9093"
    assert "one of several controllers (1, 2)" in refused(base, controller_quorum_voters=several)
    assert "a broker only: its controllers are 2" in refused(base, controller_quorum_voters="2@b:9093")
    assert start(base, process_roles="controller,broker", controller_quorum_voters="1@a:9093") is None


def test_a_damaged_quorum_state(base: Path) -> None:
    (base / "one" / METADATA / "quorum-state").write_text("{")
    assert "quorum-state is not readable" in refused(base)
