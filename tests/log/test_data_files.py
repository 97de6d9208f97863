"""The small files of a data directory, byte for byte as Kafka writes them."""

from __future__ import annotations

import pytest

from kwire import uuids
from log.checkpoints import OffsetCheckpoint
from log.clean_shutdown import marker_exists, read_broker_epoch, remove_marker, write_marker
from log.config import CommitRule, LogConfig
from log.filenames import marked_dir, offset_name, parse_offset_name, parse_partition_dir
from log.leader_epochs import EpochEntry, LeaderEpochs
from log.meta_properties import (
    MetaProperties,
    MetaPropertiesError,
    read_meta_properties,
    verify,
    write_meta_properties,
)
from log.partition_metadata import read_topic_id, write_topic_id
from log.storage import read_file, write_file
from tests.crash.fault_storage import FaultStorage


@pytest.fixture
def storage() -> FaultStorage:
    made = FaultStorage()
    made.mkdir("/d")
    return made


def put(storage: FaultStorage, path: str, text: str) -> None:
    write_file(storage, path, text.encode(), sync=False)


def test_offset_checkpoint(storage: FaultStorage) -> None:
    file = OffsetCheckpoint(storage, "/d/recovery-point-offset-checkpoint")
    assert file.read() == {}
    file.ensure_exists()
    assert read_file(storage, file.path) == b""
    assert file.read() == {}
    assert file.write({("compacted", 0): 1, ("plain", 1): 0})
    assert read_file(storage, file.path) == b"0\n2\ncompacted 0 1\nplain 1 0\n"
    assert OffsetCheckpoint(storage, file.path).read() == {("compacted", 0): 1, ("plain", 1): 0}
    assert not file.write({("compacted", 0): 1, ("plain", 1): 0}), "nothing changed"
    assert file.write({})
    assert read_file(storage, file.path) == b"0\n0\n"


@pytest.mark.parametrize("text", ["1\n0\n", "0\n2\na 0 1\n", "0\n1\na 0 1", "0\n1\na 0\n", "0\nx\n", "\x00\x00", "0\n"])
def test_damaged_checkpoints_are_refused(storage: FaultStorage, text: str) -> None:
    put(storage, "/d/c", text)
    with pytest.raises(ValueError, match="Malformed"):
        OffsetCheckpoint(storage, "/d/c").read()


def test_leader_epochs_file(storage: FaultStorage) -> None:
    epochs, missing = LeaderEpochs.load(storage, "/d")
    assert missing
    epochs.assign(0, 0)
    assert read_file(storage, epochs.path) == b"0\n1\n0 0\n"
    epochs.assign(3, 9)
    assert LeaderEpochs.load(storage, "/d")[0].entries == [EpochEntry(0, 0), EpochEntry(3, 9)]
    put(storage, epochs.path, "0\n2\n0 0\n")
    assert LeaderEpochs.load(storage, "/d")[1], "a torn file counts as missing"


def test_leader_epochs_answers(storage: FaultStorage) -> None:
    epochs = LeaderEpochs(storage, "/d")
    assert epochs.end_offset_for(0, 7) == (-1, -1)
    for epoch, offset in ((2, 10), (4, 20), (7, 30)):
        epochs.assign(epoch, offset)
    assert epochs.end_offset_for(7, 35) == (7, 35)
    assert epochs.end_offset_for(8, 35) == (-1, -1)
    assert epochs.end_offset_for(-1, 35) == (-1, -1)
    assert epochs.end_offset_for(1, 35) == (1, 10), "below all: where the first begins"
    assert epochs.end_offset_for(2, 35) == (2, 20)
    assert epochs.end_offset_for(3, 35) == (2, 20)
    assert epochs.end_offset_for(6, 35) == (4, 30)
    assert [epochs.epoch_for_offset(offset) for offset in (9, 10, 19, 20, 99)] == [-1, 2, 2, 4, 7]
    epochs.truncate_from_start(25)
    assert epochs.entries == [EpochEntry(4, 25), EpochEntry(7, 30)]
    epochs.truncate_from_end(30)
    assert epochs.entries == [EpochEntry(4, 25)]
    assert epochs.latest_epoch == 4
    epochs.assign(9, 22)
    assert epochs.entries == [EpochEntry(9, 22)], "entries that a new one contradicts go"


def test_clean_shutdown_marker(storage: FaultStorage) -> None:
    assert read_broker_epoch(storage, "/d") is None
    write_marker(storage, "/d", 12)
    assert read_file(storage, "/d/.kafka_cleanshutdown") == b'{"version":0,"brokerEpoch":12}'
    assert read_broker_epoch(storage, "/d") == 12
    assert remove_marker(storage, "/d")
    assert not marker_exists(storage, "/d")
    assert not remove_marker(storage, "/d")
    put(storage, "/d/.kafka_cleanshutdown", "")
    assert read_broker_epoch(storage, "/d") is None


def test_partition_metadata(storage: FaultStorage) -> None:
    assert read_topic_id(storage, "/d") is None
    topic_id = uuids.from_string("803kk39iTcuXvcu-CP7Zew")
    write_topic_id(storage, "/d", topic_id)
    assert read_file(storage, "/d/partition.metadata") == b"version: 0\ntopic_id: 803kk39iTcuXvcu-CP7Zew"
    assert read_topic_id(storage, "/d") == topic_id
    for text in ("", "version: 1\ntopic_id: 803kk39iTcuXvcu-CP7Zew", "version: 0\ntopic_id: x", "\x00" * 43):
        put(storage, "/d/partition.metadata", text)
        assert read_topic_id(storage, "/d") is None


def test_meta_properties(storage: FaultStorage) -> None:
    assert read_meta_properties(storage, "/d") is None
    properties = MetaProperties("kIJ9Q0LzT2SgT6WmM8pOeA", 1, uuids.from_string("xNFx4CtJs5QD9XrMbxdrwA"[:22]))
    write_meta_properties(storage, "/d", properties, "Fri Nov 20 10:45:51 UTC 2026")
    assert read_file(storage, "/d/meta.properties") == (
        b"#\n#Fri Nov 20 10:45:51 UTC 2026\ncluster.id=kIJ9Q0LzT2SgT6WmM8pOeA\n"
        b"directory.id=xNFx4CtJs5QD9XrMbxdrwA\nnode.id=1\nversion=1\n"
    )
    assert read_meta_properties(storage, "/d") == properties


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("version=2\ncluster.id=c\nnode.id=1\n", "version is '2'"),
        ("version=1\nnode.id=1\n", "cluster.id is missing"),
        ("version=1\ncluster.id=c\nnode.id=one\n", "node.id is 'one'"),
        ("version=1\ncluster.id=c\nnode.id=1\ndirectory.id=zzz\n", "directory.id"),
    ],
)
def test_damaged_meta_properties(storage: FaultStorage, text: str, reason: str) -> None:
    put(storage, "/d/meta.properties", text)
    with pytest.raises(MetaPropertiesError, match=reason):
        read_meta_properties(storage, "/d")


def test_directories_of_another_node_or_cluster_are_refused() -> None:
    one, two = MetaProperties("c", 1, bytes(15) + b"\xff"), MetaProperties("c", 1, bytes(15) + b"\xfe")
    assert verify([("/a", one), ("/b", two), ("/c", None)], cluster_id=None, node_id=1) == "c"
    assert verify([("/a", None)], cluster_id=None, node_id=1) is None
    for found, cluster_id, node_id, reason in (
        ([("/a", one)], "other", 1, "Invalid cluster.id"),
        ([("/a", one)], None, 2, "Stored node id 1"),
        ([("/a", one), ("/b", one)], None, 1, "in both /a and /b"),
        ([("/a", one), ("/b", MetaProperties("d", 1))], None, 1, "Expected c, but read d"),
    ):
        with pytest.raises(MetaPropertiesError, match=reason):
            verify(found, cluster_id=cluster_id, node_id=node_id)


def test_names() -> None:
    assert offset_name(42, ".log") == "00000000000000000042.log"
    parsed = parse_offset_name("00000000000000000042.timeindex.deleted")
    assert parsed is not None
    assert (parsed.offset, parsed.suffix, parsed.mark) == (42, ".timeindex", ".deleted")
    assert parse_offset_name("leader-epoch-checkpoint") is None
    plain = parse_partition_dir("my-topic-7")
    assert plain is not None
    assert (plain.topic, plain.partition, plain.mark) == ("my-topic", 7, "")
    name = marked_dir("t" * 249, 12, "a" * 32, "-delete")
    assert len(name) == 255
    marked = parse_partition_dir(name)
    assert marked is not None
    assert (marked.partition, marked.mark) == (12, "-delete")
    assert parse_partition_dir("lost+found") is None


def test_config_from_strings() -> None:
    config = LogConfig.from_strings(
        {"segment.bytes": "2097152", "cleanup.policy": "compact, delete", "flush.messages": "1", "unclean": "x"},
        {"retention.ms": "-1", "preallocate": "TRUE", "min.cleanable.dirty.ratio": "0.25", "segment.bytes": "1"},
    )
    assert config.segment_bytes == 2097152
    assert config.compact
    assert config.delete
    assert config.preallocate
    assert config.retention_ms == -1
    assert config.min_cleanable_dirty_ratio == 0.25
    assert config.commit_rule is CommitRule.FSYNC
    assert LogConfig().commit_rule is CommitRule.PAGE_CACHE
    assert LogConfig.from_strings({"internal.segment.bytes": "500"}).segment_bytes == 500
    assert not LogConfig.from_strings({"cleanup.policy": ""}).delete
    with pytest.raises(ValueError, match="abc"):
        LogConfig.from_strings({"segment.ms": "abc"})
