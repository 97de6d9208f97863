"""How a partition looks to a client on a listener: who leads it, which replicas are offline. (`KRaftMetadataCache`)"""

from __future__ import annotations

from collections.abc import Iterable

from attrs import define

from broker.controller.image import NO_LEADER, ClusterImage, PartitionImage
from kwire.error_codes import ErrorCode


@define(slots=True, frozen=True)
class LeaderView:
    """Shared by all partitions with the same replicas, ISR, leader and directories: do not change the lists."""

    error_code: int
    leader: int
    replicas: list[int]
    isr: list[int]
    offline: list[int]


class PartitionViews:
    """Views for one answer.

    reachable: the unfenced brokers that have the client's listener. hide_unreachable: leave replicas on other brokers
    out, and answer REPLICA_NOT_AVAILABLE then (Metadata v0). tell_listener: tell a leader without that listener
    (LISTENER_NOT_FOUND) from one that is gone (LEADER_NOT_AVAILABLE).
    """

    __slots__ = ("_hide", "_image", "_reachable", "_tell", "_views")

    def __init__(
        self, image: ClusterImage, reachable: frozenset[int], *, hide_unreachable: bool, tell_listener: bool
    ) -> None:
        self._image = image
        self._reachable = reachable
        self._hide = hide_unreachable
        self._tell = tell_listener
        self._views: dict[object, LeaderView] = {}

    def leader_view(self, partition: PartitionImage) -> LeaderView:
        # Ten thousand partitions have few different views; building each anew would cost more than encoding it.
        key = (partition.leader, partition.replicas, partition.isr, partition.directories)
        view = self._views.get(key)
        if view is None:
            view = self._views[key] = self._build(partition)
        return view

    def _build(self, partition: PartitionImage) -> LeaderView:
        replicas = self._shown(partition.replicas)
        isr = self._shown(partition.isr)
        offline = [replica for replica in partition.replicas if self._is_offline(partition, replica)]
        leader = partition.leader
        if leader not in self._reachable:
            known = leader in self._image.brokers
            code = ErrorCode.LISTENER_NOT_FOUND if known and self._tell else ErrorCode.LEADER_NOT_AVAILABLE
            leader = NO_LEADER
        elif len(replicas) < len(partition.replicas) or len(isr) < len(partition.isr):
            code = ErrorCode.REPLICA_NOT_AVAILABLE
        else:
            code = ErrorCode.NONE
        return LeaderView(int(code), leader, replicas, isr, offline)

    def _shown(self, replicas: Iterable[int]) -> list[int]:
        return [replica for replica in replicas if not self._hide or replica in self._reachable]

    def _is_offline(self, partition: PartitionImage, replica: int) -> bool:
        if replica not in self._reachable:
            return True
        directory = partition.directory_of(replica)
        registered = self._image.brokers[replica].directories
        if directory is None or not registered:
            return False
        if directory[:15] == bytes(15) and directory[15] < 100:
            return directory[15] == 2  # the id that stands for a lost directory
        return directory not in registered
