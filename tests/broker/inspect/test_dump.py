"""What `kwire dump` says of each kind of file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from broker.cli.dump import Selection, find, parse_range, select
from broker.inspect.entries import EVERYTHING, DumpOptions
from broker.inspect.files import Kind, data_file, files_of, is_partition_dir
from broker.inspect.reading import Batch, Damage, ReadFile, walk
from broker.inspect.record_kinds import decode_control, decode_record
from broker.inspect.text import entry_text
from broker.inspect.values import plain_bytes, time_text
from kwire.internal import CONSUMER_OFFSETS, SHARE_GROUP_STATE, TRANSACTION_STATE, encode_key, encode_value
from kwire.internal.consumer_groups import ConsumerGroupMetadataKey, ConsumerGroupMetadataValue
from kwire.internal.consumer_protocol import ConsumerProtocolSubscription
from kwire.internal.framing import encode_consumer_protocol
from kwire.internal.group_offsets import (
    GroupMetadataKey,
    GroupMetadataValue,
    MemberMetadata,
    OffsetCommitKey,
    OffsetCommitValue,
)
from kwire.internal.share_group_state import ShareSnapshotKey, ShareSnapshotValue
from kwire.internal.share_groups import ShareGroupMetadataKey, ShareGroupMetadataValue
from kwire.internal.streams_groups import StreamsGroupTopologyKey, StreamsGroupTopologyValue
from kwire.internal.transaction_state import PartitionsSchema, TransactionLogKey, TransactionLogValue
from kwire.records import RecordBatchBuilder
from kwire.records.legacy import write_message_set
from kwire.records.record import Record
from kwire.schema import Struct
from tests.broker.inspect.data import batches, flip, segments


def dump(*paths: Path, records: bool = False, **selection: Any) -> list[dict[str, Any]]:
    options = DumpOptions(records, selection.pop("raw", False), selection.pop("offsets", EVERYTHING))
    found = list(select([str(path) for path in paths], Selection(options, **selection)))
    for entry in found:
        assert json.loads(json.dumps(entry)) == entry
        assert entry_text(entry)
    return found


def of_type(found: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [entry for entry in found if entry["type"] == kind]


def test_a_data_directory_is_told_whole(data: Path) -> None:
    found = dump(data, records=True)
    assert not of_type(found, "damage")
    assert {entry["kind"] for entry in of_type(found, "file")} == {kind.value for kind in Kind}
    rich = [entry for entry in of_type(found, "record") if entry["topic"] == "rich"]
    assert [entry["offset"] for entry in rich] == list(range(len(rich)))
    assert {entry["codec"] for entry in of_type(found, "batch")} == {"none", "gzip", "snappy", "lz4", "zstd"}
    assert all(entry["crc_ok"] for entry in of_type(found, "batch"))
    kinds = {entry.get("kind") for entry in of_type(found, "record")}
    assert kinds >= {"TopicRecord", "PartitionRecord", "FeatureLevelRecord", "OffsetCommit", "ABORT", "COMMIT"}
    assert kinds >= {"LEADER_CHANGE", "SNAPSHOT_HEADER", "SNAPSHOT_FOOTER"}
    assert {"topic": "rich", "partition": 0, "offset": len(rich)}.items() <= next(
        entry for entry in of_type(found, "offset-checkpoint") if entry["topic"] == "rich"
    ).items()


def test_the_small_files(rich: Path) -> None:
    found = dump(rich)
    producers = of_type(found, "producer")
    assert producers[-1]["producer_id"] == 2
    assert producers[-1]["coordinator_epoch"] == 0
    aborted = of_type(found, "txnindex")
    assert len(aborted) == 2
    assert aborted[0]["producer_id"] == 2
    assert [entry["epoch"] for entry in of_type(found, "leader-epoch")] == [0, 1, 2]
    (metadata,) = of_type(found, "partition-metadata")
    assert metadata["topic_id"] == "AAECAwQFBgcICQoLDA0ODw"
    for path in segments(rich):
        of_file = [entry for entry in of_type(found, "index") if entry["file"] == str(path.with_suffix(".index"))]
        ends = {header.position: header.last_offset for header in batches(path)}
        assert of_file
        assert all(ends[entry["position"]] == entry["offset"] for entry in of_file)


@pytest.mark.parametrize(
    ("text", "expected"), [("5", (5, 5)), ("5..9", (5, 9)), ("..9", (0, 9)), ("5..", (5, 1 << 62)), ("0", (0, 0))]
)
def test_ranges(text: str, expected: tuple[int, int]) -> None:
    low, high = parse_range(text)
    assert (low, min(high, 1 << 62)) == expected


@pytest.mark.parametrize("text", ["", "..", "a", "9..5", "1-2", "-1"])
def test_what_is_no_range(text: str) -> None:
    with pytest.raises(ValueError, match=r"no range|ends before"):
        parse_range(text)


def test_filters(data: Path) -> None:
    found = dump(data, records=True, topic="rich", offsets=(10, 12))
    assert [entry["offset"] for entry in of_type(found, "record")] == [10, 11, 12]
    assert {entry["topic"] for entry in of_type(found, "batch")} == {"rich"}
    assert {entry["topic"] for entry in of_type(found, "offset-checkpoint")} == {"rich"}
    found = dump(data, topic="plain", partition=1)
    assert {entry.get("partition") for entry in found} <= {1, None}
    found = dump(data, records=True, types=frozenset(["offsetcommit"]))
    assert {entry["type"] for entry in found} == {"file", "record"}
    assert {entry["kind"] for entry in of_type(found, "record")} == {"OffsetCommit"}
    assert len(of_type(found, "file")) == 1, "files without a match are not named"
    found = dump(data, most=3)
    assert len([entry for entry in found if entry["type"] != "file"]) == 3
    found = dump(data, types=frozenset(["snapshot"]))
    assert {entry["type"] for entry in found} <= {"file", "producer"}


def test_names_below_a_data_directory(data: Path) -> None:
    assert find("rich-0", [str(data)]) == [f"{data}/rich-0"]
    assert find("plain", [str(data)]) == [f"{data}/plain-0", f"{data}/plain-1"]
    assert find("nothing", [str(data), "nowhere"]) == []
    assert find(str(data), []) == [str(data)]


def test_a_data_directory_may_have_a_partitions_name(data: Path) -> None:
    named = data.rename(data.parent / "broker-1")
    assert not is_partition_dir(str(named))
    found = {Path(file.path).name: file.topic for file in files_of(str(named))}
    assert found["meta.properties"] is None
    assert found["recovery-point-offset-checkpoint"] is None


def test_files_that_are_marked_or_unknown(rich: Path, tmp_path: Path) -> None:
    log = segments(rich)[0]
    for mark in (".deleted", ".swap", ".cleaned"):
        target = log.with_name(log.name + mark)
        target.write_bytes(log.read_bytes())
        (head, *rest) = dump(target)
        assert head["mark"] == mark
        assert len(rest) == len(batches(log))
    (rich / "notes.txt").write_text("x")
    assert data_file(str(rich / "notes.txt")) is None
    stray = tmp_path / f"gone-3.{'a' * 32}-delete"
    rich.rename(stray)
    assert {(file.topic, file.partition) for file in files_of(str(stray))} == {("gone", 3)}


def test_damage_is_named_and_the_rest_follows(rich: Path) -> None:
    path = segments(rich)[0]
    headers = batches(path)
    flip(path, headers[2].position + 9)  # its length
    flip(path, headers[5].position + 80)  # a record
    found = dump(path)
    (damage,) = of_type(found, "damage")
    assert damage["position"] == headers[2].position
    assert damage["size"] == headers[2].size
    told = of_type(found, "batch")
    assert len(told) == len(headers) - 1
    assert [entry["position"] for entry in told if not entry["crc_ok"]] == [headers[5].position]
    assert "CRC WRONG" in entry_text(told[4])
    assert "DAMAGED" in entry_text(damage)


def test_the_walk_finds_its_way_behind_rubbish(rich: Path) -> None:
    path = segments(rich)[0]
    data = path.read_bytes()
    rubbish = (b"\x02" * 300, bytes(5000), b"text " * 50)
    for each in rubbish:
        path.write_bytes(data + each + data)
        with ReadFile(str(path)) as file:
            found = list(walk(file))
        (damage,) = [each for each in found if isinstance(each, Damage)]
        assert (damage.position, damage.size) == (len(data), len(each))
        assert sum(isinstance(each, Batch) for each in found) == 2 * len(batches_in(data))


def batches_in(data: bytes) -> list[int]:
    found, position = [], 0
    while position < len(data):
        found.append(position)
        position += 12 + int.from_bytes(data[position + 8 : position + 12], "big")
    return found


@pytest.mark.parametrize("magic", [0, 1])
def test_messages_of_old_formats(magic: int, tmp_path: Path) -> None:
    (tmp_path / "t-0").mkdir()
    path = tmp_path / "t-0" / f"{0:020d}.log"
    path.write_bytes(write_message_set([Record(3, 5, b"k", b"v"), Record(4, 6, None, b"w")], magic=magic))
    found = dump(path, records=True)
    assert [(entry["offset"], entry["magic"]) for entry in of_type(found, "message")] == [(3, magic), (4, magic)]
    assert [entry["value"] for entry in of_type(found, "record")] == ["v", "w"]


PAIRS: list[tuple[str, Struct, Struct, int, str]] = [
    (
        CONSUMER_OFFSETS,
        OffsetCommitKey(group="g", topic="t", partition=1),
        OffsetCommitValue(offset=7, metadata="m"),
        4,
        "OffsetCommit",
    ),
    (CONSUMER_OFFSETS, GroupMetadataKey(group="g"), GroupMetadataValue(protocol_type="consumer"), 3, "GroupMetadata"),
    (
        CONSUMER_OFFSETS,
        ConsumerGroupMetadataKey(group_id="g"),
        ConsumerGroupMetadataValue(epoch=3),
        0,
        "ConsumerGroupMetadata",
    ),
    (CONSUMER_OFFSETS, ShareGroupMetadataKey(group_id="g"), ShareGroupMetadataValue(epoch=3), 0, "ShareGroupMetadata"),
    (
        CONSUMER_OFFSETS,
        StreamsGroupTopologyKey(group_id="g"),
        StreamsGroupTopologyValue(epoch=3),
        0,
        "StreamsGroupTopology",
    ),
    (
        TRANSACTION_STATE,
        TransactionLogKey(transactional_id="x"),
        TransactionLogValue(
            producer_id=5,
            transaction_status=4,
            transaction_partitions=[PartitionsSchema(topic="t", partition_ids=[1])],
        ),
        1,
        "TransactionLog",
    ),
    (
        SHARE_GROUP_STATE,
        ShareSnapshotKey(group_id="g", topic_id=bytes(range(16)), partition=2),
        ShareSnapshotValue(start_offset=9),
        0,
        "ShareSnapshot",
    ),
]


@pytest.mark.parametrize(("topic", "key", "value", "version", "kind"), PAIRS, ids=lambda value: str(value)[:20])
def test_records_of_internal_topics(topic: str, key: Struct, value: Struct, version: int, kind: str) -> None:
    record = Record(0, 0, encode_key(key), encode_value(value, version))
    found = decode_record(topic, record)
    assert found is not None
    assert (found["kind"], found["version"]) == (kind, version)
    tombstone = decode_record(topic, Record(0, 0, encode_key(key), None))
    assert tombstone == {"kind": kind, "key": found["key"], "value": None}
    for cut in range(len(record.value or b"")):
        damaged = decode_record(topic, Record(0, 0, record.key, (record.value or b"")[:cut]))
        assert damaged is not None


def test_members_of_classic_groups_are_told_in_their_own_protocol() -> None:
    subscription = encode_consumer_protocol(ConsumerProtocolSubscription(topics=["t"]), 1)
    members = [MemberMetadata(member_id="m", subscription=subscription, assignment=b"\xff")]
    value = GroupMetadataValue(protocol_type="consumer", members=members)
    record = Record(0, 0, encode_key(GroupMetadataKey(group="g")), encode_value(value, 3))
    found = decode_record(CONSUMER_OFFSETS, record)
    assert found is not None
    (member,) = found["value"]["members"]
    assert member["subscription"]["topics"] == ["t"]
    assert member["assignment"] == {"base64": "/w=="}


@pytest.mark.parametrize("key", [None, b"", b"\x00\x00\x00\x63", b"\x00\x00\x00\x00"])
def test_control_records_that_cannot_be_read(key: bytes | None) -> None:
    found = decode_control(Record(0, 0, key, None))
    assert found["kind"] == "?"
    assert found["error"]


def test_values() -> None:
    assert plain_bytes(None) is None
    assert plain_bytes("grüße\n".encode()) == "grüße\n"
    assert plain_bytes(b"\x00\x01") == {"base64": "AAE="}
    assert plain_bytes(b"\xff") == {"base64": "/w=="}
    assert time_text(1_700_000_000_123) == "2023-11-14T22:13:20.123Z"
    assert time_text(-1) == "-1"
    assert time_text(1 << 62) == str(1 << 62)


def test_a_large_segment_needs_little_memory(tmp_path: Path) -> None:
    directory = tmp_path / "t-0"
    directory.mkdir()
    path = directory / f"{0:020d}.log"
    with path.open("wb") as file:
        for number in range(300):
            batch = RecordBatchBuilder(base_offset=number)
            batch.append(None, bytes(100_000), timestamp=1)
            file.write(batch.build())
    import tracemalloc

    tracemalloc.start()
    count = sum(1 for _ in select([str(path)], Selection(DumpOptions(records=False))))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == 301
    assert peak < 8 << 20, peak
