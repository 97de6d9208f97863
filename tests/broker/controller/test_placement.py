"""Replicas are spread over racks and brokers, whatever the offsets drawn."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.controller.image import BrokerImage
from broker.controller.placement import place
from kwire.error_codes import ErrorCode
from kwire.errors import ApiError

RACKS = st.sampled_from([None, "r1", "r2", "r3"])


def broker(broker_id: int, rack: str | None = None, *, fenced: bool = False, cordoned: bool = False) -> BrokerImage:
    directories = (bytes([broker_id]) * 16,)
    return BrokerImage(
        broker_id,
        1,
        bytes(16),
        (),
        {},
        rack=rack,
        fenced=fenced,
        directories=directories,
        cordoned_directories=directories if cordoned else (),
    )


@given(
    st.lists(st.tuples(RACKS, st.booleans()), min_size=1, max_size=8),
    st.integers(1, 40),
    st.integers(1, 8),
    st.integers(0, 1000),
)
def test_every_placement(nodes: list[tuple[str | None, bool]], partitions: int, factor: int, seed: int) -> None:
    brokers = [broker(number, rack, fenced=fenced) for number, (rack, fenced) in enumerate(nodes)]
    unfenced = {each.broker_id for each in brokers if not each.fenced}
    below = Random(seed).randrange
    if factor > len(brokers) or not unfenced:
        with pytest.raises(ApiError) as refused:
            place(brokers, partitions, factor, below)
        assert refused.value.code is ErrorCode.INVALID_REPLICATION_FACTOR
        return
    placed = place(brokers, partitions, factor, below)
    assert len(placed) == partitions
    rack_of = {each.broker_id: each.rack for each in brokers}
    for replicas in placed:
        assert len(set(replicas)) == factor
        assert replicas[0] in unfenced
    sizes = Counter(rack_of.values())
    if len(unfenced) == len(brokers) and len(set(sizes.values())) == 1:
        # Racks of one size: every placement touches as many of them as it can, and leaders are dealt evenly.
        for replicas in placed:
            assert len({rack_of[each] for each in replicas}) == min(factor, len(sizes))
        if factor == 1:
            leaders = Counter(replicas[0] for replicas in placed)
            counts = [leaders[each] for each in unfenced]
            assert max(counts) - min(counts) <= 1


def test_one_broker() -> None:
    assert place([broker(1)], 3, 1, lambda _limit: 0) == [(1,)] * 3


def test_the_stripes() -> None:
    brokers = [broker(rack * 10 + number, f"r{rack}") for rack in range(3) for number in range(3)]
    placed = place(brokers, 3, 3, lambda _limit: 0)
    assert placed == [(0, 10, 20), (11, 21, 1), (22, 2, 12)]


def test_fenced_brokers_come_last_and_never_lead() -> None:
    brokers = [broker(1), broker(2, fenced=True), broker(3)]
    for replicas in place(brokers, 6, 2, lambda _limit: 0):
        assert set(replicas) == {1, 3}
    for replicas in place(brokers, 6, 3, lambda _limit: 0):
        assert replicas[0] != 2


def test_cordoned_brokers_get_nothing() -> None:
    with pytest.raises(ApiError) as refused:
        place([broker(1), broker(2, cordoned=True)], 1, 2, lambda _limit: 0)
    assert refused.value.message == (
        "The target replication factor of 2 cannot be reached because only 1 broker(s) are registered or some brokers "
        "have all their log directories cordoned."
    )
