"""Snapshots of the metadata: their files, when they are made; a start from one is a start from the whole log."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.controller.image import ClusterImage
from broker.controller.image_records import image_records
from broker.controller.records import (
    AccessControlEntryRecord,
    ClientQuotaRecord,
    DelegationTokenRecord,
    FeatureLevelRecord,
    ProducerIdsRecord,
    Record,
    RemoveAccessControlEntryRecord,
    RemoveDelegationTokenRecord,
    RemoveUserScramCredentialRecord,
    UserScramCredentialRecord,
)
from broker.metadata_log import (
    DamagedMetadataError,
    read_bootstrap,
    write_bootstrap,
)
from broker.metadata_snapshots import (
    DamagedSnapshotError,
    QuorumRecords,
    SnapshotBatches,
    SnapshotFiles,
    SnapshotId,
    parse,
)
from broker.quorum_state import DamagedQuorumStateError, read_quorum_state, write_quorum_state
from broker.snapshot_generator import SnapshotSettings
from kwire import codec
from kwire.internal import decode_metadata_record
from kwire.internal.metadata_records import EntityData
from kwire.records import ControlType, iter_batches, read_records
from log.storage import RealStorage
from tests.broker.controller.controller_world import run
from tests.broker.snapshot_world import (
    EVERY,
    KEPT,
    NEVER,
    NOW_MS,
    VOTERS,
    World,
    contents,
    control_kinds,
    formatted_for_a_dynamic_quorum,
    replayed,
)


def test_an_image_made_from_its_records_is_the_same(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.create("a", "b", "c")
    world.configure("b", "77")
    run(world.controller.delete_topics([world.controller.image.topic_by_name("a").topic_id]))  # type: ignore[union-attr]
    run(world.controller.allocate_producer_ids(1))
    image = world.controller.image
    again = replayed(list(image_records(image.contents())))
    assert contents(again) == contents(image)
    assert again.brokers == image.brokers
    assert again.controllers == image.controllers


def test_the_records_come_in_kafkas_order(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.create("a")
    world.configure("a", "5")
    run(world.controller.allocate_producer_ids(1))
    for record in KEPT:
        world.controller.image.replay(record)
    values = list(image_records(world.controller.image.contents()))
    kinds = [type(decode_metadata_record(value)[0]).__name__ for value in values]
    assert list(dict.fromkeys(kinds)) == [
        "FeatureLevelRecord",
        "RegisterBrokerRecord",
        "RegisterControllerRecord",
        "TopicRecord",
        "PartitionRecord",
        "ConfigRecord",
        "ClientQuotaRecord",
        "ProducerIdsRecord",
        "AccessControlEntryRecord",
        "UserScramCredentialRecord",
        "DelegationTokenRecord",
    ]
    first: Any = decode_metadata_record(values[0])[0]
    assert first.name == "metadata.version"


def test_what_was_removed_is_in_no_snapshot() -> None:
    image = ClusterImage("x")
    for record in KEPT:
        image.replay(record)
    image.replay(RemoveAccessControlEntryRecord(id=b"i" * 16))
    image.replay(
        ClientQuotaRecord(entity=[EntityData("client-id", "c")], key="producer_byte_rate", value=0, remove=True)
    )
    assert {type(record).__name__ for record in image.other_records} == {
        "DelegationTokenRecord",
        "UserScramCredentialRecord",
    }


def test_each_of_the_records_that_are_kept_goes_alone() -> None:
    """What differs from the removed one in one part of its name stays."""
    image = ClusterImage("x")
    rate = "producer_byte_rate"
    kept: list[Record] = [
        ClientQuotaRecord(entity=[EntityData("client-id", "d")], key=rate, value=2.5),
        ClientQuotaRecord(entity=[EntityData("user", "c")], key=rate, value=2.5),
        ClientQuotaRecord(entity=[EntityData("client-id", "c"), EntityData("user", "c")], key=rate, value=2.5),
        ClientQuotaRecord(entity=[EntityData("client-id", "c")], key="consumer_byte_rate", value=2.5),
        DelegationTokenRecord(owner="u", requester="u", token_id="other"),
        UserScramCredentialRecord(name="u", mechanism=2, salt=b"s", stored_key=b"k", server_key=b"v", iterations=4096),
        UserScramCredentialRecord(name="v", mechanism=1, salt=b"s", stored_key=b"k", server_key=b"v", iterations=4096),
        AccessControlEntryRecord(id=b"j" * 16, resource_name="r", principal="User:u", host="*"),
    ]
    for record in (*KEPT, *kept):
        image.replay(record)
    image.replay(RemoveAccessControlEntryRecord(id=b"i" * 16))
    image.replay(RemoveDelegationTokenRecord(token_id="t"))
    image.replay(RemoveUserScramCredentialRecord(name="u", mechanism=1))
    image.replay(ClientQuotaRecord(entity=[EntityData("client-id", "c")], key=rate, value=0, remove=True))
    left = list(image.other_records)
    assert len(left) == len(kept)
    assert all(record in left for record in kept)


def test_contents_stay_when_the_image_goes_on(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.create("a")
    noted = world.controller.image.contents()
    before = list(image_records(noted))
    world.configure("a", "9")
    world.create("b")
    run(world.controller.delete_topics([world.controller.image.topic_by_name("a").topic_id]))  # type: ignore[union-attr]
    assert list(image_records(noted)) == before


# When they are made, and starts from them


def test_a_start_from_a_snapshot_is_a_start_from_the_whole_log(tmp_path: Path) -> None:
    world = World(tmp_path, EVERY)
    world.create("a", "b")
    world.configure("a", "5")
    world.settle()
    assert len(world.names()) == 1
    world.generator.stop()
    world.create("c")
    expected = contents(world.controller.image)
    world.generate = NEVER
    world.restart()
    assert sorted(world.loaded.topics) == expected[3]
    expected = contents(world.controller.image)
    for path in world.directory.glob("*.checkpoint"):
        path.unlink()
    world.restart()
    assert sorted(world.loaded.topics) == expected[3]


def test_the_log_below_a_snapshot_is_not_read(tmp_path: Path) -> None:
    world = World(tmp_path, EVERY)
    for number in range(50):
        world.configure("a", str(number)) if number else world.create("a")
    world.settle()
    world.generator.stop()
    world.generate = NEVER
    world.restart()
    assert world.controller.image.revision < 40
    assert world.metadata.bytes_since_snapshot < 1500


def test_one_is_made_when_enough_was_written(tmp_path: Path) -> None:
    world = World(tmp_path, SnapshotSettings(20_000, 0, -1, -1))
    world.create("a")
    world.settle()
    assert not world.names()
    for number in range(250):
        world.configure("a", str(number))
        assert world.metadata.bytes_since_snapshot
    world.settle()
    assert len(world.names()) == 1
    assert world.metadata.bytes_since_snapshot == 0


def test_one_is_made_after_a_while_when_something_was_written(tmp_path: Path) -> None:
    world = World(tmp_path, SnapshotSettings(2**40, 1000, -1, -1))
    world.clock.advance(999)
    world.settle()
    assert not world.names()
    world.clock.advance(1)
    world.settle()
    assert len(world.names()) == 1
    world.clock.advance(100_000)
    world.settle()
    assert len(world.names()) == 1, "nothing was written since"
    world.create("a")
    world.clock.advance(1000)
    world.settle()
    assert len(world.names()) == 2


def test_bytes_count_over_restarts(tmp_path: Path) -> None:
    world = World(tmp_path, SnapshotSettings(6_000, 0, -1, -1))
    for _ in range(12):
        world.restart()
        world.settle()
    assert world.names(), "each start writes some hundred bytes"


def test_its_name_is_the_offset_and_the_epoch_of_what_it_covers(tmp_path: Path) -> None:
    world = World(tmp_path, EVERY)
    end = world.metadata.end_offset
    world.settle()
    assert world.names() == [f"{end:020d}-{1:010d}.checkpoint"]
    snapshot = world.metadata.files.read(SnapshotId(end, 1))
    assert snapshot.timestamp_ms == NOW_MS


def test_what_is_appended_while_it_is_written_is_not_in_it(tmp_path: Path) -> None:
    world = World(tmp_path, EVERY)
    world.hold = True
    world.settle()
    world.create("late")
    world.hold = False
    for work in world.held:
        work()
    (name,) = world.names()
    first = world.metadata.files.read(SnapshotId(int(name[:20]), 1))
    assert replayed(list(first.values())).topic_by_name("late") is None
    world.restart()
    assert world.controller.image.topic_by_name("late")


def test_a_snapshot_that_cannot_be_written_leaves_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(tmp_path, EVERY)

    def full(self: object, path: str) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(RealStorage, "sync_dir", full)
    with caplog.at_level(logging.ERROR):
        world.clock.advance(0)
        world.clock.advance(0)
    monkeypatch.undo()
    assert "No space left" in caplog.text
    world.restart()
    assert world.controller.image.brokers


def test_a_stop_in_the_middle_leaves_nothing(tmp_path: Path) -> None:
    world = World(tmp_path, EVERY)
    world.hold = True
    world.create("a")
    world.settle()
    assert world.held, "it is being written"
    world.generator.stop()
    for work in world.held:
        work()
    world.hold = False
    world.restart()
    assert world.controller.image.topic_by_name("a")
    assert not [name for name in world.names() if name.endswith(".part")]


# Damage


def snapshots_of(world: World, count: int) -> None:
    for number in range(count):
        world.create(f"t{number}")
        world.settle()
    world.generator.stop()
    world.generate = NEVER


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty"])
def test_a_damaged_newest_snapshot_gives_way_to_the_one_before(
    tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    world = World(tmp_path, EVERY)
    snapshots_of(world, 3)
    newest = world.directory / world.names()[-1]
    data = bytearray(newest.read_bytes())
    if damage == "flipped":
        data[len(data) // 2] ^= 0x40
    newest.write_bytes(b"" if damage == "empty" else data[:-20] if damage == "cut" else data)
    with caplog.at_level(logging.ERROR):
        world.restart()
    assert {topic.name for topic in world.controller.image.topics()} == {"t0", "t1", "t2"}
    assert newest.name in caplog.text
    assert newest.name not in world.names()
    assert newest.with_name(newest.name + ".damaged").exists()
    world.restart()
    assert {topic.name for topic in world.controller.image.topics()} == {"t0", "t1", "t2"}


def test_all_snapshots_damaged_and_the_log_cut_below_them(tmp_path: Path) -> None:
    world = World(tmp_path, EVERY)
    snapshots_of(world, 3)
    world.metadata.begin_before(world.metadata.snapshots[-1], NOW_MS)
    world.log.roll(NOW_MS)
    world.metadata.begin_before(world.metadata.snapshots[-1], NOW_MS)
    (world.directory / world.metadata.snapshots[-1].file_name).write_bytes(b"")
    with pytest.raises(DamagedMetadataError, match="nothing tells what was before"):
        list(world.metadata.read_all())


@given(st.data())
def test_no_cut_and_no_flipped_bit_is_taken_for_a_snapshot(data: st.DataObject) -> None:
    snapshot_id = SnapshotId(10, 2)
    batches = SnapshotBatches(snapshot_id, NOW_MS)
    whole = batches.header(NOW_MS, QuorumRecords())
    whole += batches.data(list(image_records(ClusterImage("x").contents())) or [b"value"])
    whole += batches.footer()
    assert parse(snapshot_id, bytes(whole)).timestamp_ms == NOW_MS
    kept = data.draw(st.integers(0, len(whole) - 1))
    files = bytes(whole[:kept])
    with pytest.raises(Exception, match=r".") as caught:
        parse(snapshot_id, files)
    assert type(caught.value).__name__ in {"CorruptRecordsError", "ValueError"}


def test_leftovers_are_removed_at_the_start(tmp_path: Path) -> None:
    world = World(tmp_path, EVERY)
    snapshots_of(world, 2)
    sound = world.names()
    (world.directory / f"{999:020d}-{1:010d}-8812.checkpoint.part").write_bytes(b"half")
    (world.directory / f"{1:020d}-{1:010d}.checkpoint.deleted").write_bytes(b"old")
    world.restart()
    assert world.names() == sound


def test_a_log_that_ends_before_its_snapshot_begins_anew_there(tmp_path: Path) -> None:
    world = World(tmp_path, EVERY)
    snapshots_of(world, 2)
    end, epoch = world.metadata.snapshots[-1]
    world.log.truncate_to(5, NOW_MS)
    world.restart()
    assert world.log.log_start_offset == end
    assert world.metadata.end_offset > end
    assert world.metadata.epoch > epoch
    assert {topic.name for topic in world.controller.image.topics()} == {"t0", "t1"}
    world.restart()
    assert {topic.name for topic in world.controller.image.topics()} == {"t0", "t1"}


# Old ones


def test_by_size_the_old_go_but_two_stay(tmp_path: Path) -> None:
    world = World(tmp_path, SnapshotSettings(1, 0, 0, -1), segment_bytes=2000)
    for number in range(6):
        world.create(f"t{number}")
        world.settle()
    assert len([name for name in world.names() if name.endswith(".checkpoint")]) == 2
    assert world.log.log_start_offset == world.metadata.snapshots[0].offset
    assert world.log.segments.first.base_offset > 0, "segments below the first snapshot are gone"
    world.clock.advance(60_000)
    world.settle()
    assert not [path for path in world.directory.iterdir() if path.name.endswith(".deleted")]
    world.restart()
    assert len(world.controller.image.topics()) == 6


def test_by_age_the_old_go(tmp_path: Path) -> None:
    world = World(tmp_path, SnapshotSettings(1, 0, -1, 1000))
    for number in range(4):
        world.create(f"t{number}")
        world.settle()
    # The clock by which age is told stands far before the records' time here, so nothing is old.
    assert len(world.metadata.snapshots) == 4
    world.clock.advance(NOW_MS + 10_000)
    world.create("more")
    world.settle()
    assert len(world.metadata.snapshots) == 2


# The quorum


def test_a_dynamic_quorum_stays_one(tmp_path: Path) -> None:
    formatted_for_a_dynamic_quorum(tmp_path)
    world = World(tmp_path, EVERY)
    assert world.metadata.quorum.kraft_version == 1
    # The first leader writes the voters that were formatted into the log, later ones do not again.
    assert control_kinds(world) == [ControlType.LEADER_CHANGE, ControlType.KRAFT_VERSION, ControlType.KRAFT_VOTERS]
    state = read_quorum_state(world.storage, str(world.directory))
    assert state is not None
    assert (state.data_version, state.leader_epoch, state.voters) == (1, 1, None)
    world.settle()
    world.restart()
    assert world.metadata.quorum == QuorumRecords(1, VOTERS)
    assert control_kinds(world)[3:] == [ControlType.LEADER_CHANGE]
    newest = world.metadata.files.read(world.metadata.snapshots[-1])
    assert codec.encode(newest.quorum.voters, 0) == codec.encode(VOTERS, 0)


def test_a_static_quorum_has_no_control_records_of_voters(tmp_path: Path) -> None:
    world = World(tmp_path, EVERY)
    world.settle()
    assert control_kinds(world) == [ControlType.LEADER_CHANGE]
    assert world.metadata.files.read(world.metadata.snapshots[-1]).quorum == QuorumRecords()
    state = read_quorum_state(world.storage, str(world.directory))
    assert state is not None
    assert (state.data_version, state.voters, state.leader_id) == (0, (1,), 1)


def test_quorum_state_in_both_forms(tmp_path: Path) -> None:
    storage = RealStorage()
    for version in (0, 1):
        write_quorum_state(storage, str(tmp_path), leader_id=4, leader_epoch=9, kraft_version=version)
        state = read_quorum_state(storage, str(tmp_path))
        assert state is not None
        assert (state.leader_id, state.leader_epoch, state.data_version) == (4, 9, version)
    (tmp_path / "quorum-state").write_text("{")
    with pytest.raises(DamagedQuorumStateError, match="quorum-state is not readable"):
        read_quorum_state(storage, str(tmp_path))


# bootstrap.checkpoint


def test_bootstrap_records_are_read_as_they_were_written(tmp_path: Path) -> None:
    records = [*KEPT, ProducerIdsRecord(next_producer_id=5)]
    write_bootstrap(RealStorage(), str(tmp_path), records, NOW_MS)
    again = read_bootstrap(RealStorage(), str(tmp_path))
    assert [type(record) for record in again] == [type(record) for record in records]
    (tmp_path / "bootstrap.checkpoint").write_bytes(b"nonsense")
    with pytest.raises(DamagedMetadataError, match=r"bootstrap\.checkpoint is damaged"):
        read_bootstrap(RealStorage(), str(tmp_path))


def test_a_snapshot_that_is_not_there_is_said_to_be_damaged(tmp_path: Path) -> None:
    with pytest.raises(DamagedSnapshotError, match="is not there"):
        SnapshotFiles(RealStorage(), str(tmp_path)).read(SnapshotId(3, 1))


# Directories of an older metadata.version


@pytest.mark.parametrize("level", [7, 14, 16, 20, 24, 29])
def test_an_older_level_gets_the_records_that_it_knows(tmp_path: Path, level: int) -> None:
    """What is written, live and in snapshots, is what MetadataVersion of Kafka 4.3 says for that level."""
    write_bootstrap(
        RealStorage(), str(tmp_path), [FeatureLevelRecord(name="metadata.version", feature_level=level)], NOW_MS
    )
    world = World(tmp_path, first_records=read_bootstrap(RealStorage(), str(tmp_path)))
    world.create("a")
    world.configure("a", "5")
    data = world.log.read(0, 2**20, up_to=world.log.log_end_offset).file_range.read()  # type: ignore[union-attr]
    values = [
        record.value
        for header in iter_batches(data)
        if not header.is_control
        for record in read_records(data, header.position)
    ]
    values += list(image_records(world.controller.image.contents()))
    versions = {}
    for value in values:
        record, version = decode_metadata_record(value)  # type: ignore[arg-type]
        versions[type(record).__name__] = version
    assert versions["PartitionRecord"] == (2 if level >= 23 else 1 if level >= 17 else 0)
    assert versions["RegisterBrokerRecord"] == (3 if level >= 17 else 2 if level >= 8 else 1)
    assert ("RegisterControllerRecord" in versions) == (level >= 15)
    assert ("BeginTransactionRecord" in versions) == (level >= 13)
    assert versions.get("BrokerRegistrationChangeRecord", 0) < 3
    world.restart()
    assert world.controller.image.features["metadata.version"] == level
    assert [len(topic.partitions) for topic in world.controller.image.topics()] == [3]
