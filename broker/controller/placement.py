"""Which brokers get the replicas of new partitions, spread over racks and brokers. (KIP-36; `StripedReplicaPlacer`)

Within a request the first replica moves on by one rack for each partition, and within a rack by one broker, so leaders
and replicas are dealt out evenly. Brokers that are fenced get replicas only when there are not enough others, and never
the first one. Where to begin is drawn at random, so that many small topics do not all begin on the same broker.
(Kafka counts its rounds from 0 again after each shuffle, and then passes over brokers that seem to be dealt already.)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

from attrs import define, field

from broker.controller.image import BrokerImage
from kwire.error_codes import ErrorCode
from kwire.errors import ApiError

T = TypeVar("T")

Below = Callable[[int], int]
"""Draws a number from 0 up to, not including, its argument."""


@define(slots=True)
class _Ring:
    """Brokers dealt in turn; each round begins one further than the round before."""

    brokers: list[int] = field(factory=list)
    offset: int = 0
    dealt: int = 0
    round: int = 0

    def next(self, round_number: int) -> int | None:
        """One that was not dealt yet in this round, or None."""
        count = len(self.brokers)
        if count == 0:
            return None
        if self.round != round_number:
            self.round = round_number
            self.dealt = 0
            self.offset = (self.offset + 1) % count
        if self.dealt >= count:
            return None
        broker = self.brokers[(self.offset + self.dealt) % count]
        self.dealt += 1
        return broker


@define(slots=True)
class _Rack:
    unfenced: _Ring = field(factory=_Ring)
    fenced: _Ring = field(factory=_Ring)

    def next(self, round_number: int) -> int | None:
        broker = self.unfenced.next(round_number)
        return broker if broker is not None else self.fenced.next(round_number)


def usable_brokers(brokers: Iterable[BrokerImage]) -> list[BrokerImage]:
    """Those that may get replicas: registered, and with a log directory that is not cordoned."""
    return [
        broker
        for broker in brokers
        if not broker.directories or not set(broker.directories) <= set(broker.cordoned_directories)
    ]


def place(
    brokers: Iterable[BrokerImage], partitions: int, replication_factor: int, below: Below
) -> list[tuple[int, ...]]:
    """The replicas of `partitions` new partitions, leader first.

    Raises ApiError(INVALID_REPLICATION_FACTOR) when there are too few brokers, or none that is unfenced.
    """
    usable = usable_brokers(brokers)
    unfenced_count = sum(not broker.fenced for broker in usable)
    if replication_factor <= 0:
        raise _invalid(f"Invalid replication factor {replication_factor}: the replication factor must be positive.")
    if unfenced_count == 0:
        raise _invalid("All brokers are currently fenced or have all their log directories cordoned.")
    if replication_factor > len(usable):
        raise _invalid(
            f"The target replication factor of {replication_factor} cannot be reached because only {len(usable)} "
            "broker(s) are registered or some brokers have all their log directories cordoned."
        )
    if len(usable) == 1:
        return [(usable[0].broker_id,)] * partitions
    by_name: dict[str | None, _Rack] = {}
    for broker in sorted(usable, key=lambda each: each.broker_id):
        rack = by_name.setdefault(broker.rack, _Rack())
        (rack.fenced if broker.fenced else rack.unfenced).brokers.append(broker.broker_id)
    names = sorted(by_name, key=lambda name: (name is not None, name or ""))
    racks = [by_name[name] for name in names]
    for rack in racks:
        for ring in (rack.fenced, rack.unfenced):
            if ring.brokers:
                ring.offset = below(len(ring.brokers))
    first_rack = below(len(racks))
    result = []
    for round_number in range(partitions):
        if round_number and round_number % unfenced_count == 0 and unfenced_count > 1:
            # Another order keeps the same groups of brokers from coming again and again.
            _shuffle(racks, below)
            for rack in racks:
                _shuffle(rack.fenced.brokers, below)
                _shuffle(rack.unfenced.brokers, below)
        result.append(_place_one(racks, (first_rack + round_number) % len(racks), replication_factor, round_number))
    return result


def _place_one(racks: list[_Rack], first_rack: int, replication_factor: int, round_number: int) -> tuple[int, ...]:
    count = len(racks)
    leader_rack = first_rack
    while (leader := racks[leader_rack].unfenced.next(round_number)) is None:
        leader_rack = (leader_rack + 1) % count
    replicas = [leader]
    index = first_rack
    skip: int | None = leader_rack  # its turn was taken by the leader, once
    while len(replicas) < replication_factor:
        if index == skip:
            skip = None
        else:
            broker = racks[index].next(round_number)
            if broker is not None:
                replicas.append(broker)
        index = (index + 1) % count
    return tuple(replicas)


def _shuffle(items: list[T], below: Below) -> None:
    for last in range(len(items) - 1, 0, -1):
        other = below(last + 1)
        items[last], items[other] = items[other], items[last]


def _invalid(message: str) -> ApiError:
    return ApiError(ErrorCode.INVALID_REPLICATION_FACTOR, message)
