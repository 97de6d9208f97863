"""Classic groups: OffsetCommit, OffsetFetch, OffsetDelete, and where they are stored."""

import uuid
from collections.abc import Callable
from typing import Any

import pytest

from compat_tests.raw.batches import headers
from compat_tests.raw.groups import LOADING, Member, stable, wait_for_coordinator
from compat_tests.raw.wire import Wire, eventually

Connect = Callable[[], Wire]


@pytest.fixture
def existing(wire: Wire, topic: str, group: str) -> str:
    """A topic of two partitions; the coordinator of the test's group answers."""
    wire.create(topic, partitions=2)
    wait_for_coordinator(wire, group)
    return topic


def simple(wire: Wire, group: str) -> Member:
    """Someone outside the group: generation -1, no member id."""
    return Member(wire, group)


def fetched(wire: Wire, group: str, topics: dict[str, list[int]] | None, version: int = 7, **more: Any) -> Any:
    """OffsetFetch's {(topic, partition): (error, offset, epoch, metadata)} of one group."""
    wanted = None
    if topics is not None:
        wanted = [{"name": name, "partition_indexes": indexes} for name, indexes in topics.items()]
    if version >= 8:
        groups = [{"group_id": group, "topics": wanted, **more}]
        (answer,) = wire.ask("OffsetFetch", version, groups=groups).groups
    else:
        answer = wire.ask("OffsetFetch", version, group_id=group, topics=wanted, **more)
    assert answer.error_code == 0, f"OffsetFetch: {answer.error_code}"
    return {
        (t.name, p.partition_index): (p.error_code, p.committed_offset, p.committed_leader_epoch, p.metadata)
        for t in answer.topics
        for p in t.partitions
    }


@pytest.mark.parametrize("version", range(2, 10))
def test_commit_and_fetch_in_every_version(wire: Wire, group: str, existing: str, version: int) -> None:
    member = stable(wire, group)
    assert member.commit(existing, 42, version) == 0
    assert fetched(wire, group, {existing: [0]}, max(1, version - 1)) == {(existing, 0): (0, 42, -1, "m")}


def test_commit_and_fetch_by_topic_id(wire: Wire, group: str, existing: str) -> None:
    topic_id = wire.topic_id(existing)
    partitions = [{"partition_index": 0, "committed_offset": 7, "committed_metadata": "x"}]
    fields = {"group_id": group, "generation_id_or_member_epoch": -1, "member_id": ""}
    answer = wire.ask("OffsetCommit", 10, topics=[{"topic_id": topic_id, "partitions": partitions}], **fields)
    assert (bytes(answer.topics[0].topic_id), answer.topics[0].partitions[0].error_code) == (topic_id, 0)
    groups = [{"group_id": group, "topics": [{"topic_id": topic_id, "partition_indexes": [0]}]}]
    (found,) = wire.ask("OffsetFetch", 10, groups=groups).groups[0].topics
    assert bytes(found.topic_id) == topic_id
    assert [(p.error_code, p.committed_offset, p.metadata) for p in found.partitions] == [(0, 7, "x")]


def test_unknown_topic_id(wire: Wire, group: str, existing: str) -> None:
    topic_id = uuid.uuid4().bytes
    partitions = [{"partition_index": 0, "committed_offset": 7}]
    fields = {"group_id": group, "generation_id_or_member_epoch": -1, "member_id": ""}
    answer = wire.ask("OffsetCommit", 10, topics=[{"topic_id": topic_id, "partitions": partitions}], **fields)
    assert answer.topics[0].partitions[0].error_code == 100
    groups = [{"group_id": group, "topics": [{"topic_id": topic_id, "partition_indexes": [0]}]}]
    (found,) = wire.ask("OffsetFetch", 10, groups=groups).groups[0].topics
    assert [(p.error_code, p.committed_offset) for p in found.partitions] == [(100, -1)]


# OffsetCommit


def test_commit_while_preparing_a_rebalance(wire: Wire, group: str, existing: str, connect: Connect) -> None:
    member = stable(wire, group)
    newcomer = Member(connect(), group)
    newcomer.id_for_join()
    newcomer.send_join()
    eventually(member.heartbeat, lambda e: e == 27, "rebalance")
    assert member.commit(existing) == 0


def test_commit_while_completing_a_rebalance(wire: Wire, group: str, existing: str) -> None:
    member = Member(wire, group)
    member.join()
    assert member.commit(existing) == 27


def test_commit_errors_of_a_member(wire: Wire, group: str, existing: str) -> None:
    member = stable(wire, group)
    assert member.commit(existing, generation_id_or_member_epoch=7) == 22
    assert member.commit(existing, member_id="nobody") == 25
    assert member.commit(existing, group_instance_id="nobody") == 25


def test_simple_commit_to_a_live_group(wire: Wire, group: str, existing: str) -> None:
    stable(wire, group)
    assert simple(wire, group).commit(existing) == 25


def test_simple_commit_to_a_new_group(wire: Wire, group: str, existing: str) -> None:
    assert simple(wire, group).commit(existing, 9) == 0
    assert fetched(wire, group, {existing: [0]})[existing, 0] == (0, 9, -1, "m")


def test_simple_commit_to_an_empty_group(wire: Wire, group: str, existing: str) -> None:
    stable(wire, group).leave()
    assert simple(wire, group).commit(existing) == 0


def test_simple_commit_to_the_group_with_the_empty_id(wire: Wire, existing: str) -> None:
    empty = simple(wire, "")
    eventually(lambda: empty.commit(existing), lambda e: e not in LOADING, "coordinator")
    assert empty.commit(existing, 3) == 0
    assert fetched(wire, "", {existing: [0]})[existing, 0] == (0, 3, -1, "m")


def test_commit_with_a_generation_to_an_unknown_group(wire: Wire, group: str, existing: str) -> None:
    member = Member(wire, group, "someone", generation=3)
    assert member.commit(existing, version=9) == 69
    assert member.commit(existing, version=8) == 22


def test_commit_of_unknown_topic_or_partition(wire: Wire, group: str, existing: str) -> None:
    member = simple(wire, group)
    assert member.commit(f"{existing}-missing") == 3
    assert member.commit(existing, partition=9) == 3
    assert member.commit(existing, partition=-1) == 3


def test_commit_of_a_negative_offset(wire: Wire, group: str, existing: str) -> None:
    assert simple(wire, group).commit(existing, -5) == 0


def commit_metadata(wire: Wire, group: str, topic: str, metadata: str | None) -> int:
    partitions = [{"partition_index": 0, "committed_offset": 1, "committed_metadata": metadata}]
    topics = [{"name": topic, "partitions": partitions}]
    return simple(wire, group).commit(topic, topics=topics)


def test_commit_metadata_size(wire: Wire, group: str, existing: str) -> None:
    assert commit_metadata(wire, group, existing, "x" * 4096) == 0
    assert commit_metadata(wire, group, existing, "x" * 4097) == 12


def test_commit_of_null_metadata_is_stored_as_empty(wire: Wire, group: str, existing: str) -> None:
    assert commit_metadata(wire, group, existing, None) == 0
    assert fetched(wire, group, {existing: [0]})[existing, 0] == (0, 1, -1, "")


def test_commit_keeps_the_leader_epoch(wire: Wire, group: str, existing: str) -> None:
    partitions = [{"partition_index": 0, "committed_offset": 1, "committed_leader_epoch": 4}]
    assert simple(wire, group).commit(existing, topics=[{"name": existing, "partitions": partitions}]) == 0
    assert fetched(wire, group, {existing: [0]})[existing, 0] == (0, 1, 4, "")


def java_hash(text: str) -> int:
    """String.hashCode: over UTF-16 units, 32 bits, signed."""
    value = 0
    for unit in memoryview(text.encode("utf-16-le")).cast("H"):
        value = (31 * value + unit) & 0xFFFFFFFF
    return value - (1 << 32) if value >> 31 else value


def test_group_lives_in_the_partition_of_its_hash(wire: Wire, group: str, existing: str) -> None:
    name = f"{group}-ü"
    partition = (java_hash(name) & 0x7FFFFFFF if java_hash(name) == -(2**31) else abs(java_hash(name))) % 50
    eventually(lambda: simple(wire, name).commit(existing), lambda e: e not in LOADING, "coordinator")
    end = wire.start_and_end("__consumer_offsets", partition)[1]
    assert simple(wire, name).commit(existing, 11) == 0
    stored = wire.fetch("__consumer_offsets", end, partition=partition)
    assert len(headers(stored.records)) >= 1
    assert name.encode() in bytes(stored.records)


# OffsetFetch


@pytest.mark.parametrize("version", range(1, 10))
def test_fetch_of_what_was_never_committed(wire: Wire, group: str, existing: str, version: int) -> None:
    missing = f"{existing}-missing"
    found = fetched(wire, group, {existing: [0, 99], missing: [0]}, version)
    nothing = (0, -1, -1, "")
    assert found == {(existing, 0): nothing, (existing, 99): nothing, (missing, 0): nothing}


@pytest.mark.parametrize("version", range(2, 10))
def test_fetch_of_all_gives_only_committed(wire: Wire, group: str, existing: str, version: int) -> None:
    assert fetched(wire, group, None, version) == {}
    simple(wire, group).commit(existing, 5, partition=1)
    assert fetched(wire, group, None, version) == {(existing, 1): (0, 5, -1, "m")}


def test_fetch_of_several_groups(wire: Wire, group: str, existing: str) -> None:
    simple(wire, group).commit(existing, 5)
    other = f"{group}-other"
    eventually(lambda: simple(wire, other).commit(existing, 6), lambda e: e not in LOADING, "coordinator")
    groups = [{"group_id": g, "topics": [{"name": existing, "partition_indexes": [0]}]} for g in (group, other)]
    answer = wire.ask("OffsetFetch", 8, groups=groups)
    found = {g.group_id: g.topics[0].partitions[0].committed_offset for g in answer.groups}
    assert found == {group: 5, other: 6}


def test_fetch_does_not_check_the_member(wire: Wire, group: str, existing: str) -> None:
    stable(wire, group).commit(existing, 5)
    found = fetched(wire, group, {existing: [0]}, 9, member_id="nobody", member_epoch=77)
    assert found == {(existing, 0): (0, 5, -1, "m")}


def test_require_stable_without_transactions(wire: Wire, group: str, existing: str) -> None:
    simple(wire, group).commit(existing, 5)
    assert fetched(wire, group, {existing: [0]}, require_stable=True) == {(existing, 0): (0, 5, -1, "m")}


# OffsetDelete


def delete_offset(wire: Wire, group: str, topic: str, partition: int = 0) -> tuple[int, list[int]]:
    """(error of the whole, errors of the partitions)"""
    topics = [{"name": topic, "partitions": [{"partition_index": partition}]}]
    answer = wire.ask("OffsetDelete", 0, group_id=group, topics=topics)
    return answer.error_code, [p.error_code for t in answer.topics for p in t.partitions]


def test_delete_offset_of_an_empty_group(wire: Wire, group: str, existing: str) -> None:
    simple(wire, group).commit(existing, 5)
    assert delete_offset(wire, group, existing) == (0, [0])
    assert fetched(wire, group, None) == {}


def test_delete_offset_of_a_subscribed_topic(wire: Wire, group: str, existing: str) -> None:
    subscription = b"\0\0" + (1).to_bytes(4, "big") + len(existing).to_bytes(2, "big") + existing.encode() + b"\xff" * 4
    member = stable(wire, group, protocols={"range": subscription})
    assert member.commit(existing) == 0
    assert delete_offset(wire, group, existing) == (0, [86])


def test_delete_offset_of_a_topic_nobody_subscribes(wire: Wire, group: str, existing: str) -> None:
    subscription = b"\0\0" + (1).to_bytes(4, "big") + b"\0\5other" + b"\xff" * 4
    member = stable(wire, group, protocols={"range": subscription})
    assert member.commit(existing) == 0
    assert delete_offset(wire, group, existing) == (0, [0])


def test_delete_offset_unknown(wire: Wire, group: str, existing: str) -> None:
    assert delete_offset(wire, f"{group}-missing", existing) == (69, [])
    simple(wire, group).commit(existing, 5)
    assert delete_offset(wire, group, existing, 9) == (0, [3])
    assert delete_offset(wire, group, f"{existing}-missing") == (0, [3])
