"""The random part of members' ids: the same for the same seed, group, client and count; otherwise another."""

from __future__ import annotations

from itertools import count
from uuid import UUID

from broker import member_ids
from broker.group.config import GroupConfig
from broker.member_ids import MemberIds
from tests.broker.coordinator.group_world import World


def test_they_depend_on_nothing_else() -> None:
    first, second = MemberIds(7), MemberIds(7)
    here = {(group, client): first.next(group, client) for group in "gh" for client in "ab"}
    there = {(group, client): second.next(group, client) for client in "ba" for group in "hg"}
    assert here == there
    assert len(set(here.values())) == 4
    assert first.next("g", "a") not in here.values()
    assert MemberIds(8).next("g", "a") not in here.values()
    assert MemberIds(7).next("g:a", "b") != MemberIds(7).next("g", "a:b")


def test_they_are_uuids_as_java_makes_them() -> None:
    assert UUID(MemberIds(1).next("g", "c")).version == 4


def test_what_is_remembered_is_bounded() -> None:
    ids = MemberIds(1)
    for number in range(member_ids.MOST_REMEMBERED + 1):
        ids._given[("g", str(number))] = 1
    ids.next("g", "c")
    assert len(ids._given) == 1


def test_an_id_that_somebody_has_is_not_given_again() -> None:
    """They begin anew where a cluster was put back to what it was."""
    world = World(GroupConfig(group_initial_rebalance_delay_ms=0), t=1)
    world.ids = count(1)
    first = world.join("g", "", version=4).result()
    world.ids = count(1)
    second = world.join("g", "", version=4).result()
    assert first.member_id != second.member_id
