"""What a change of one partition's replicas, ISR or leader comes to, as a PartitionChangeRecord.

Rules of Kafka's `PartitionChangeBuilder`: completing a reassignment, eligible leader replicas (KIP-966), clean, unclean
and preferred elections, and when the leader epoch is raised although the leader stays.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from enum import Enum

from attrs import define

from broker.controller.image import (
    NO_LEADER,
    NO_LEADER_CHANGE,
    RECOVERING,
    PartitionImage,
)
from broker.controller.records import PartitionChangeRecord


class Election(Enum):
    """ONLINE: keep the leader when it may stay. PREFERRED: the first replica when it may. UNCLEAN: anyone alive."""

    ONLINE = "online"
    PREFERRED = "preferred"
    UNCLEAN = "unclean"


def without(values: Iterable[int], removed: Iterable[int]) -> tuple[int, ...]:
    """`values` in their order, without those in `removed`."""
    gone = frozenset(removed)
    return tuple(value for value in values if value not in gone)


@define(slots=True)
class Target:
    """What a partition shall become; the fields begin as it is."""

    isr: tuple[int, ...]
    replicas: tuple[int, ...]
    removing: tuple[int, ...]
    adding: tuple[int, ...]
    elr: tuple[int, ...]

    @classmethod
    def like(cls, partition: PartitionImage) -> Target:
        return cls(
            partition.isr,
            partition.replicas,
            partition.removing_replicas,
            partition.adding_replicas,
            partition.elr,
        )


@define(slots=True, frozen=True)
class Surroundings:
    """What the rules need to know of the cluster.

    can_lead: whether a broker may be a leader now. min_isr: the topic's. default_directory: where a new replica on a
    broker goes. unclean_shutdown: brokers that may have lost the end of their logs.
    """

    can_lead: Callable[[int], bool]
    min_isr: int
    elr_enabled: bool
    default_directory: Callable[[int], bytes]
    unclean_shutdown: frozenset[int] = frozenset()


def partition_change(
    topic_id: bytes,
    index: int,
    partition: PartitionImage,
    target: Target,
    around: Surroundings,
    election: Election = Election.ONLINE,
) -> PartitionChangeRecord | None:
    """The record that brings `partition` to `target`, or None when nothing would change."""
    record = PartitionChangeRecord(partition_id=index, topic_id=topic_id)
    _complete_reassignment(target)
    if around.elr_enabled:
        _fill_elr(partition, target, around)
    _elect(record, partition, target, around, election)
    if record.leader == NO_LEADER_CHANGE and not set(partition.replicas) <= set(target.replicas):
        record.leader = partition.leader  # a replica goes: raise the epoch so that it learns of it
    if record.isr is not None or not around.elr_enabled:
        target.elr = ()
    if target.elr != partition.elr:
        record.eligible_leader_replicas = list(target.elr)
    if record.isr is None and (target.isr or around.elr_enabled) and target.isr != partition.isr:
        record.isr = list(target.isr)
    _last_known_leader(record, partition, around)
    _assignment(record, partition, target, around)
    return None if _is_empty(record) else record


def copied(record: PartitionChangeRecord, topic_id: bytes, index: int) -> PartitionChangeRecord:
    """The same change of another partition. Shares the lists."""
    return PartitionChangeRecord(
        partition_id=index,
        topic_id=topic_id,
        isr=record.isr,
        leader=record.leader,
        replicas=record.replicas,
        removing_replicas=record.removing_replicas,
        adding_replicas=record.adding_replicas,
        leader_recovery_state=record.leader_recovery_state,
        directories=record.directories,
        eligible_leader_replicas=record.eligible_leader_replicas,
        last_known_elr=record.last_known_elr,
    )


def _complete_reassignment(target: Target) -> None:
    """Once the ISR holds every replica that is to stay, those to be removed go."""
    if not (target.removing or target.adding):
        return
    isr = without(target.isr, target.removing)
    replicas = without(target.replicas, target.removing)
    if isr and replicas and set(isr) >= set(replicas):
        target.isr, target.replicas, target.removing, target.adding = isr, replicas, (), ()


def _fill_elr(partition: PartitionImage, target: Target, around: Surroundings) -> None:
    """Those who leave an ISR that falls below min.insync.replicas hold all committed records and stay eligible."""
    if len(target.isr) >= around.min_isr:
        target.elr = ()
        return
    candidates = sorted({*target.elr, *partition.isr})
    target.elr = without(candidates, {*target.isr, *around.unclean_shutdown})


def _elect(
    record: PartitionChangeRecord,
    partition: PartitionImage,
    target: Target,
    around: Surroundings,
    election: Election,
) -> None:
    leader, unclean = _choose_leader(partition, target, around, election)
    if leader == partition.leader:
        return
    if leader in target.elr:
        target.isr = (leader,)
        target.elr = without(target.elr, (leader,))
    record.leader = leader
    if unclean:
        record.isr = [leader]
        if partition.leader_recovery_state != RECOVERING:
            record.leader_recovery_state = RECOVERING


def _choose_leader(
    partition: PartitionImage, target: Target, around: Surroundings, election: Election
) -> tuple[int, bool]:
    """(leader, whether records may be lost by it)."""

    def valid(replica: int) -> bool:
        eligible = replica in target.isr or (not target.isr and replica in target.elr)
        return eligible and around.can_lead(replica)

    order: Sequence[int] = (partition.leader, *target.replicas)
    if election is Election.PREFERRED:
        order = (target.replicas[0], *order)
    for replica in order:
        if valid(replica):
            return replica, False
    if (
        around.elr_enabled
        and not target.elr
        and not target.isr
        and len(partition.last_known_elr) == 1
        and around.can_lead(partition.last_known_elr[0])
    ):
        return partition.last_known_elr[0], True
    if election is Election.UNCLEAN:
        for replica in target.replicas:
            if around.can_lead(replica):
                return replica, True
    return NO_LEADER, False


def _last_known_leader(record: PartitionChangeRecord, partition: PartitionImage, around: Surroundings) -> None:
    """Remember who led last when nobody is left in the ISR; forget it once there is a leader."""
    if not around.elr_enabled:
        return
    if record.isr == [] and partition.last_known_elr != (partition.leader,):
        record.last_known_elr = [partition.leader]
    elif partition.last_known_elr:
        led = partition.leader != NO_LEADER and record.leader != NO_LEADER
        if record.leader >= 0 or led:
            record.last_known_elr = []


def _assignment(record: PartitionChangeRecord, partition: PartitionImage, target: Target, around: Surroundings) -> None:
    if target.replicas:
        known = dict(zip(partition.replicas, partition.directories, strict=True))
        directories = tuple(
            known[replica] if replica in known else around.default_directory(replica) for replica in target.replicas
        )
        if directories != partition.directories:
            record.directories = list(directories)
        if target.replicas != partition.replicas:
            record.replicas = list(target.replicas)
    if target.removing != partition.removing_replicas:
        record.removing_replicas = list(target.removing)
    if target.adding != partition.adding_replicas:
        record.adding_replicas = list(target.adding)


def _is_empty(record: PartitionChangeRecord) -> bool:
    return (
        record.isr is None
        and record.leader == NO_LEADER_CHANGE
        and record.replicas is None
        and record.removing_replicas is None
        and record.adding_replicas is None
        and record.leader_recovery_state < 0
        and record.directories is None
        and record.eligible_leader_replicas is None
        and record.last_known_elr is None
    )
