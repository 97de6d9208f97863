"""Offsets committed within a transaction: TxnOffsetCommit, and what OffsetFetch tells before and after its end."""

from collections.abc import Callable
from typing import Any

import pytest

from compat_tests.raw.groups import Member, described, stable, wait_for_coordinator
from compat_tests.raw.transactions import CLASSIC, CURRENT, GENERATIONS, Generation, Txn
from compat_tests.raw.wire import Wire

pytestmark = [pytest.mark.usefixtures("transaction_coordinators"), pytest.mark.capability("transactions")]

both = pytest.mark.parametrize("generation", GENERATIONS.values(), ids=GENERATIONS)


@pytest.fixture
def existing(wire: Wire, topic: str, group: str) -> str:
    """A topic of two partitions; the coordinator of the test's group answers."""
    wire.create(topic, partitions=2)
    wait_for_coordinator(wire, group)
    return topic


@pytest.fixture
def txn(wire: Wire, generation: Generation, fresh_name: Callable[[str], str]) -> Txn:
    """With a producer id; each generation in turn."""
    return Txn(wire, fresh_name("txn"), generation).init()


@pytest.fixture
def old(wire: Wire, fresh_name: Callable[[str], str]) -> Txn:
    """The classic generation, with a producer id."""
    return Txn(wire, fresh_name("txn"), CLASSIC).init()


@pytest.fixture
def new(wire: Wire, fresh_name: Callable[[str], str]) -> Txn:
    return Txn(wire, fresh_name("txn"), CURRENT).init()


def fetched(wire: Wire, group: str, topic: str, *, stable: bool, partition: int = 0) -> tuple[int, int]:
    """OffsetFetch's (error, offset) of one partition."""
    topics = [{"name": topic, "partition_indexes": [partition]}]
    groups = [{"group_id": group, "topics": topics}]
    (answer,) = wire.ask("OffsetFetch", 8, groups=groups, require_stable=stable).groups
    assert answer.error_code == 0
    entry = answer.topics[0].partitions[0]
    return entry.error_code, entry.committed_offset


def all_fetched(wire: Wire, group: str, *, stable: bool) -> Any:
    (answer,) = wire.ask("OffsetFetch", 8, groups=[{"group_id": group, "topics": None}], require_stable=stable).groups
    return {
        (t.name, p.partition_index): (p.error_code, p.committed_offset) for t in answer.topics for p in t.partitions
    }


def partition_of(group: str) -> int:
    """Where __consumer_offsets keeps it: Java's hash of the text."""
    code = 0
    for letter in group:
        code = (code * 31 + ord(letter)) & 0xFFFFFFFF
    return abs(code - (1 << 32) if code >> 31 else code) % 50


@both
def test_offsets_of_an_open_transaction_are_not_told(txn: Txn, existing: str, group: str) -> None:
    """With requireStable 88; else as if there were none."""
    txn.commit_offset(group, existing, 5)
    assert fetched(txn.wire, group, existing, stable=True) == (88, -1)
    assert fetched(txn.wire, group, existing, stable=False) == (0, -1)
    assert fetched(txn.wire, group, existing, stable=True, partition=1) == (0, -1)
    txn.commit()
    assert fetched(txn.wire, group, existing, stable=True) == (0, 5)
    assert fetched(txn.wire, group, existing, stable=False) == (0, 5)


@both
def test_offsets_of_an_aborted_transaction_are_forgotten(txn: Txn, existing: str, group: str) -> None:
    assert Member(txn.wire, group).commit(existing, 3) == 0
    txn.commit_offset(group, existing, 5)
    assert fetched(txn.wire, group, existing, stable=True) == (88, -1)
    assert fetched(txn.wire, group, existing, stable=False) == (0, 3)
    txn.abort()
    assert fetched(txn.wire, group, existing, stable=True) == (0, 3)


@both
def test_all_offsets_with_one_of_an_open_transaction(txn: Txn, existing: str, group: str) -> None:
    assert Member(txn.wire, group).commit(existing, 3) == 0
    txn.commit_offset(group, existing, 5, partition=1)
    assert all_fetched(txn.wire, group, stable=True) == {(existing, 0): (0, 3)}
    txn.commit()
    assert all_fetched(txn.wire, group, stable=True) == {(existing, 0): (0, 3), (existing, 1): (0, 5)}


@both
def test_last_offset_of_a_transaction_counts(txn: Txn, existing: str, group: str) -> None:
    txn.commit_offset(group, existing, 5)
    txn.commit_offset(group, existing, 9)
    txn.commit()
    assert fetched(txn.wire, group, existing, stable=True) == (0, 9)


@both
def test_plain_commit_during_a_transaction(txn: Txn, existing: str, group: str) -> None:
    """It counts at once; whichever record is later in the log wins when the transaction commits."""
    txn.commit_offset(group, existing, 5)
    assert Member(txn.wire, group).commit(existing, 7) == 0
    assert fetched(txn.wire, group, existing, stable=False) == (0, 7)
    txn.commit()
    assert fetched(txn.wire, group, existing, stable=True) == (0, 7)


@pytest.mark.parametrize(("version", "error"), [(0, 48), (2, 48), (3, 48), (4, 120)])
def test_commit_without_the_group_added(old: Txn, existing: str, group: str, version: int, error: int) -> None:
    old.add((existing, 0))
    assert old.ask_commit_offset(group, existing, 5, version=version) == error
    assert fetched(old.wire, group, existing, stable=True) == (0, -1)


@pytest.mark.parametrize("version", range(6))
def test_commit_in_every_version(old: Txn, existing: str, group: str, version: int) -> None:
    old.add_offsets(group)
    assert old.ask_commit_offset(group, existing, 5, version=version) == 0
    old.commit()
    assert fetched(old.wire, group, existing, stable=True) == (0, 5)


def test_commit_v5_joins_the_transaction(new: Txn, existing: str, group: str) -> None:
    assert new.ask_commit_offset(group, existing, 5) == 0
    described = new.described()
    assert described.transaction_state == "Ongoing"
    assert [t.topic for t in described.topics] == ["__consumer_offsets"]
    new.commit()
    assert fetched(new.wire, group, existing, stable=True) == (0, 5)


@both
def test_commit_of_a_generation_of_an_unknown_member(txn: Txn, existing: str, group: str) -> None:
    if not txn.generation.joins:
        txn.add_offsets(group)
    """A group nobody knows has no generation either."""
    nobody: dict[str, Any] = {"generation_id": 3, "member_id": "nobody"}
    assert txn.ask_commit_offset(group, existing, 5, **nobody) == 22
    assert txn.ask_commit_offset(group, existing, 5, generation_id=3) == 22
    stable(txn.wire, group)
    assert txn.ask_commit_offset(group, existing, 5, **nobody) == 25
    assert txn.ask_commit_offset(group, existing, 5, generation_id=3) == 25


@both
def test_commit_by_a_member(txn: Txn, existing: str, group: str) -> None:
    """What a consumer's group metadata is for: a member of an older generation is refused."""
    member = stable(txn.wire, group)
    if not txn.generation.joins:
        txn.add_offsets(group)
    mine: dict[str, Any] = {"generation_id": member.generation, "member_id": member.member_id}
    assert txn.ask_commit_offset(group, existing, 5, **mine | {"generation_id": member.generation - 1}) == 22
    assert txn.ask_commit_offset(group, existing, 5, **mine | {"generation_id": member.generation + 1}) == 22
    assert txn.ask_commit_offset(group, existing, 5, **mine | {"member_id": "nobody"}) == 25
    assert txn.ask_commit_offset(group, existing, 5, **mine) == 0
    txn.commit()
    assert fetched(txn.wire, group, existing, stable=True) == (0, 5)


@both
def test_commit_by_a_static_member_that_was_replaced(txn: Txn, existing: str, group: str) -> None:
    member = stable(txn.wire, group, instance="static")
    if not txn.generation.joins:
        txn.add_offsets(group)
    mine: dict[str, Any] = {"generation_id": member.generation, "group_instance_id": "static"}
    assert txn.ask_commit_offset(group, existing, 5, member_id="replaced", **mine) == 82
    assert txn.ask_commit_offset(group, existing, 5, member_id=member.member_id, **mine) == 0


@both
def test_commit_without_member_to_a_live_group(txn: Txn, existing: str, group: str) -> None:
    """What producers without group metadata send (generation -1, no member) is taken."""
    stable(txn.wire, group)
    txn.commit_offset(group, existing, 5)
    txn.commit()
    assert fetched(txn.wire, group, existing, stable=True) == (0, 5)


@both
def test_commit_of_an_unknown_topic_or_partition(txn: Txn, existing: str, group: str) -> None:
    if not txn.generation.joins:
        txn.add_offsets(group)
    assert txn.ask_commit_offset(group, f"{existing}-missing", 5) == 3
    assert txn.ask_commit_offset(group, existing, 5, partition=9) == 3


@both
def test_commit_of_a_topic_twice(txn: Txn, existing: str, group: str) -> None:
    """Each is answered for itself; the last one counts."""
    if not txn.generation.joins:
        txn.add_offsets(group)
    topics = [
        {
            "name": existing,
            "partitions": [
                {"partition_index": 0, "committed_offset": offset, "committed_metadata": ""} for offset in offsets
            ],
        }
        for offsets in ((3, 4), (5,))
    ]
    version = 5 if txn.generation.joins else 3
    answer = txn.wire.ask("TxnOffsetCommit", version, **txn.me, group_id=group, topics=topics)
    assert [(t.name, [(p.partition_index, p.error_code) for p in t.partitions]) for t in answer.topics] == [
        (existing, [(0, 0), (0, 0)]),
        (existing, [(0, 0)]),
    ]
    txn.commit()
    assert fetched(txn.wire, group, existing, stable=True) == (0, 5)


@both
def test_commit_of_too_much_metadata(txn: Txn, existing: str, group: str) -> None:
    if not txn.generation.joins:
        txn.add_offsets(group)
    partitions = [
        {"partition_index": 0, "committed_offset": 1, "committed_metadata": "m" * 4097},
        {"partition_index": 1, "committed_offset": 1, "committed_metadata": None},
    ]
    fields = txn.me | {"group_id": group, "topics": [{"name": existing, "partitions": partitions}]}
    answer = txn.wire.ask("TxnOffsetCommit", txn.generation.offsets, **fields)
    assert {p.partition_index: p.error_code for p in answer.topics[0].partitions} == {0: 12, 1: 0}


@both
def test_commit_of_whom_the_coordinator_does_not_take(txn: Txn, existing: str, group: str) -> None:
    txn.init()
    if not txn.generation.joins:
        txn.add_offsets(group)
    assert txn.ask_commit_offset(group, existing, 5, producer_epoch=txn.epoch - 1) == 47
    assert txn.ask_commit_offset(group, existing, 5, producer_id=txn.producer_id + 1000) == 49
    assert txn.ask_commit_offset(group, existing, 5, transactional_id=f"{txn.id}-nobody") == 49


@both
def test_commit_to_an_empty_group_id(txn: Txn, existing: str) -> None:
    assert txn.ask_add_offsets("") == 0
    assert txn.ask_commit_offset("", existing, 5) == 24


@both
def test_group_deleted_under_an_open_transaction(txn: Txn, existing: str, group: str) -> None:
    """What the transaction commits goes with it; the transaction still ends."""
    assert Member(txn.wire, group).commit(existing, 3) == 0
    txn.commit_offset(group, existing, 5)
    (deleted,) = txn.wire.ask("DeleteGroups", 2, groups_names=[group]).results
    assert deleted.error_code == 0
    assert fetched(txn.wire, group, existing, stable=True) == (0, -1)
    txn.commit()
    assert fetched(txn.wire, group, existing, stable=True) == (0, -1)


@both
def test_group_known_only_by_an_open_transaction(txn: Txn, existing: str, group: str) -> None:
    txn.commit_offset(group, existing, 5)
    assert described(txn.wire, group, 6).group_state == "Empty"
    (deleted,) = txn.wire.ask("DeleteGroups", 2, groups_names=[group]).results
    assert deleted.error_code == 0
    assert described(txn.wire, group, 6).error_code == 69
    txn.abort()
    assert fetched(txn.wire, group, existing, stable=True) == (0, -1)


@both
def test_group_of_an_aborted_transaction(txn: Txn, existing: str, group: str) -> None:
    txn.commit_offset(group, existing, 5)
    txn.abort()
    assert fetched(txn.wire, group, existing, stable=True) == (0, -1)
    assert described(txn.wire, group, 6).group_state == "Empty"


@both
def test_offset_deleted_under_an_open_transaction(txn: Txn, existing: str, group: str) -> None:
    """The one that waits for its transaction's end goes too."""
    txn.commit_offset(group, existing, 5)
    topics = [{"name": existing, "partitions": [{"partition_index": 0}]}]
    deleted = txn.wire.ask("OffsetDelete", 0, group_id=group, topics=topics)
    assert (deleted.error_code, deleted.topics[0].partitions[0].error_code) == (0, 0)
    assert fetched(txn.wire, group, existing, stable=True) == (0, -1)
    txn.commit()
    assert fetched(txn.wire, group, existing, stable=True) == (0, -1)


@both
def test_topic_deleted_under_an_open_transaction(txn: Txn, existing: str, group: str) -> None:
    txn.commit_offset(group, existing, 5)
    assert txn.wire.ask("DeleteTopics", 5, topic_names=[existing], timeout_ms=5000).responses[0].error_code == 0
    txn.commit()
    assert fetched(txn.wire, group, existing, stable=True)[1] in (-1, 5)


@both
@pytest.mark.parametrize("committed", [True, False])
def test_marker_by_a_client_ends_what_is_pending(txn: Txn, existing: str, group: str, committed: bool) -> None:
    """WriteTxnMarkers to the group's partition is what ends its offsets, whoever sends it."""
    txn.commit_offset(group, existing, 5)
    marker = {
        "producer_id": txn.producer_id,
        "producer_epoch": txn.epoch,
        "transaction_result": committed,
        "topics": [{"name": "__consumer_offsets", "partition_indexes": [partition_of(group)]}],
        "coordinator_epoch": 0,
    }
    (result,) = txn.wire.ask("WriteTxnMarkers", 1, markers=[marker]).markers
    assert result.topics[0].partitions[0].error_code == 0
    assert fetched(txn.wire, group, existing, stable=True) == (0, 5 if committed else -1)
    txn.end(committed)
    assert fetched(txn.wire, group, existing, stable=True) == (0, 5 if committed else -1)


@both
def test_offsets_of_a_transaction_past_its_time(txn: Txn, existing: str, group: str) -> None:
    txn.timeout_ms = 1
    txn.init()
    txn.commit_offset(group, existing, 5)
    txn.wait_for_end()
    assert fetched(txn.wire, group, existing, stable=True) == (0, -1)


@both
def test_two_producers_commit_for_one_group(txn: Txn, existing: str, group: str) -> None:
    """Each transaction's offsets are its own until it ends."""
    other = Txn(txn.wire, f"{txn.id}-other", txn.generation).init()
    txn.commit_offset(group, existing, 5, partition=0)
    other.commit_offset(group, existing, 6, partition=1)
    txn.abort()
    assert fetched(txn.wire, group, existing, stable=True, partition=0) == (0, -1)
    assert fetched(txn.wire, group, existing, stable=True, partition=1) == (88, -1)
    other.commit()
    assert fetched(txn.wire, group, existing, stable=True, partition=1) == (0, 6)


@both
def test_offsets_and_records_end_together(txn: Txn, existing: str, group: str) -> None:
    txn.produce(existing, b"out")
    txn.commit_offset(group, existing, 5)
    assert sorted(t.topic for t in txn.described().topics) == ["__consumer_offsets", existing]
    txn.commit()
    assert fetched(txn.wire, group, existing, stable=True) == (0, 5)
    assert txn.wire.start_and_end(existing) == (0, 2)
