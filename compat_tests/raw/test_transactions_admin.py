"""DescribeTransactions and ListTransactions."""

import time
from collections.abc import Callable
from typing import Any

import pytest

from compat_tests.raw.transactions import CLASSIC, Txn
from compat_tests.raw.wire import Wire

pytestmark = [pytest.mark.usefixtures("transaction_coordinators"), pytest.mark.capability("transactions")]


@pytest.fixture
def old(wire: Wire, fresh_name: Callable[[str], str]) -> Txn:
    """The classic generation, with a producer id."""
    return Txn(wire, fresh_name("txn"), CLASSIC).init()


@pytest.fixture
def existing(wire: Wire, topic: str) -> str:
    """A topic with two partitions."""
    wire.create(topic, 2)
    return topic


def listed(wire: Wire, version: int = 2, **filters: Any) -> dict[str, tuple[int, str]]:
    """ListTransactions' {transactional id: (producer id, state)}."""
    answer = wire.ask("ListTransactions", version, **filters)
    assert (answer.error_code, answer.unknown_state_filters) == (0, [])
    return {t.transactional_id: (t.producer_id, t.transaction_state) for t in answer.transaction_states}


def test_describe_unknown_and_empty(wire: Wire, topic: str) -> None:
    answer = wire.ask("DescribeTransactions", 0, transactional_ids=[topic, "", topic])
    found = [(s.transactional_id, s.error_code, s.transaction_state) for s in answer.transaction_states]
    assert sorted(set(found)) == [("", 42, ""), (topic, 105, "")]
    assert wire.ask("DescribeTransactions", 0, transactional_ids=[]).transaction_states == []


def test_describe_over_the_life_of_a_transaction(old: Txn, existing: str) -> None:
    def state() -> tuple[str, int, bool, list[tuple[str, list[int]]]]:
        d = old.described()
        assert (d.error_code, d.transactional_id) == (0, old.id)
        assert (d.producer_id, d.producer_epoch) == (old.producer_id, old.epoch)
        topics = sorted((t.topic, sorted(t.partitions)) for t in d.topics)
        return d.transaction_state, d.transaction_timeout_ms, d.transaction_start_time_ms > 0, topics

    assert state() == ("Empty", 60000, False, [])
    assert old.described().transaction_start_time_ms == -1
    before = int(time.time() * 1000)
    old.add((existing, 0), (existing, 1))
    assert state() == ("Ongoing", 60000, True, [(existing, [0, 1])])
    assert before - 50 <= old.described().transaction_start_time_ms <= int(time.time() * 1000) + 50
    old.commit()
    assert state()[::3] == ("CompleteCommit", [])
    old.produce(existing)
    old.abort()
    assert state()[::3] == ("CompleteAbort", [])


def test_list_all(old: Txn, existing: str) -> None:
    assert listed(old.wire)[old.id] == (old.producer_id, "Empty")
    old.add((existing, 0))
    assert listed(old.wire)[old.id] == (old.producer_id, "Ongoing")
    old.commit()
    assert listed(old.wire)[old.id] == (old.producer_id, "CompleteCommit")


@pytest.mark.parametrize("version", range(3))
def test_list_by_state(old: Txn, existing: str, version: int) -> None:
    old.add((existing, 0))
    assert old.id in listed(old.wire, version, state_filters=["Ongoing"])
    assert old.id in listed(old.wire, version, state_filters=["Ongoing", "Empty"])
    assert old.id not in listed(old.wire, version, state_filters=["Empty", "CompleteCommit", "PrepareAbort"])
    assert {state for _, state in listed(old.wire, version, state_filters=["Ongoing"]).values()} == {"Ongoing"}


def test_list_by_an_unknown_state(old: Txn) -> None:
    """Named in the answer, and otherwise left out of the filter."""
    answer = old.wire.ask("ListTransactions", 2, state_filters=["Ongoing", "Sleeping", "empty"])
    assert (answer.error_code, sorted(answer.unknown_state_filters)) == (0, ["Sleeping", "empty"])
    alone = old.wire.ask("ListTransactions", 2, state_filters=["Sleeping"])
    assert (alone.unknown_state_filters, alone.transaction_states) == (["Sleeping"], [])


@pytest.mark.parametrize("version", range(3))
def test_list_by_producer_id(old: Txn, version: int) -> None:
    assert listed(old.wire, version, producer_id_filters=[old.producer_id]) == {old.id: (old.producer_id, "Empty")}
    assert listed(old.wire, version, producer_id_filters=[2**60]) == {}
    assert old.id in listed(old.wire, version, producer_id_filters=[2**60, old.producer_id])


def test_list_by_duration(old: Txn, existing: str) -> None:
    """Begun longer ago than that; -1 takes all. What never began counts as begun in 1970."""
    for duration in (-1, 0, 60000):
        assert old.id in listed(old.wire, duration_filter=duration)
    old.add((existing, 0))
    time.sleep(0.02)
    assert old.id in listed(old.wire, duration_filter=10)
    assert old.id in listed(old.wire, duration_filter=0)
    assert old.id not in listed(old.wire, duration_filter=60000)


def test_list_by_pattern(wire: Wire, topic: str) -> None:
    """RE2 syntax; the whole id must match; null and "" take all."""
    ids = [f"{topic}-a1", f"{topic}-a2", f"{topic}-b1"]
    for name in ids:
        Txn(wire, name).init()

    def matching(pattern: str | None) -> list[str]:
        return sorted(name for name in listed(wire, transactional_id_pattern=pattern) if name.startswith(topic))

    assert matching(None) == ids
    assert matching("") == ids
    assert matching(f"{topic}-a.*") == ids[:2]
    assert matching(f"{topic}-[ab]1") == [ids[0], ids[2]]
    assert matching(f"{topic}-a") == []
    assert matching(".*-b1") == ids[2:]
    assert matching("nothing-like-it") == []


@pytest.mark.parametrize("pattern", ["(ab(c", "[", "*", "a**", "(?=a)", r"\1"])
def test_list_by_a_bad_pattern(wire: Wire, pattern: str) -> None:
    answer = wire.ask("ListTransactions", 2, transactional_id_pattern=pattern)
    assert (answer.error_code, answer.transaction_states) == (128, [])


def test_list_by_all_filters(old: Txn, existing: str) -> None:
    old.add((existing, 0))
    filters: dict[str, Any] = {
        "state_filters": ["Ongoing"],
        "producer_id_filters": [old.producer_id],
        "duration_filter": 0,
    }
    time.sleep(0.01)
    found = listed(old.wire, **filters, transactional_id_pattern=f"{old.id}|other")
    assert found == {old.id: (old.producer_id, "Ongoing")}
    assert listed(old.wire, **filters | {"state_filters": ["Empty"]}) == {}
