"""Partitions that a node does not lead but has a replica of: consumers may read them there.  (KIP-392)

There is one log for all replicas; a follower is a window on it that ends where its replica does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from broker.partitions import Partition, Watcher
from kwire.error_codes import ErrorCode

if TYPE_CHECKING:
    from broker.controller.image import ClusterImage, TopicImage
    from broker.nodes.node import Node
    from broker.nodes.replicas import Replicas
    from broker.partitions import Partitions


class Follower(Partition):
    """A replica that follows. Who watches it is told when its leader's partition grows."""

    __slots__ = ("_leader", "_node_id", "_replicas")

    def __init__(
        self, owner: Partitions, topic: TopicImage, index: int, leader_epoch: int, node_id: int, replicas: Replicas
    ) -> None:
        super().__init__(owner, topic, index, leader_epoch)
        self._node_id = node_id
        self._replicas = replicas
        self._leader: Partition | None = None

    @property
    def end_offset(self) -> int:
        """Of this replica."""
        return self._replicas.end_of(self.topic, self.index, self._node_id)

    def watch(self, watcher: Watcher) -> None:
        super().watch(watcher)
        if self._leader is None:
            self._leader = self._replicas.leading(self.topic, self.index)
            if self._leader is not None:
                self._leader.watch(self)

    def unwatch(self, watcher: Watcher) -> None:
        super().unwatch(watcher)
        if not self._watchers and self._leader is not None:
            self._leader.unwatch(self)
            self._leader = None

    def grown(self, _partition: Partition) -> None:
        """The leader has more."""
        self._wake()

    def close(self, why: ErrorCode) -> None:
        super().close(why)
        if self._leader is not None:
            self._leader.unwatch(self)
            self._leader = None


class Followers:
    """Those of one node, made when first asked for. rack_aware: consumers are sent to replicas in their racks."""

    def __init__(self, node: Node, image: ClusterImage, replicas: Replicas, *, rack_aware: bool) -> None:
        self.rack_aware = rack_aware
        self._node = node
        self._image = image
        self._replicas = replicas
        self._made: dict[tuple[bytes, int], Follower] = {}

    def get(self, topic: str, topic_id: bytes, index: int) -> Follower | None:
        """By name, or by id when the name is empty; None: the node has no replica to read from."""
        found = self._image.topic_by_name(topic) if topic else self._image.topic_by_id(topic_id)
        if found is None or self._node.state != "running" or not 0 <= index < len(found.partitions):
            return None
        described = found.partitions[index]
        node_id = self._node.node_id
        if node_id not in described.replicas or described.leader == node_id:
            return None
        key = (found.topic_id, index)
        follower = self._made.get(key)
        if follower is None:
            follower = self._made[key] = Follower(
                self._node.partitions, found, index, described.leader_epoch, node_id, self._replicas
            )
        return follower

    def preferred(self, partition: Partition, offset: int, rack: str) -> int | None:
        """Which replica of a partition led here a consumer in `rack` had better read; None: this one.

        In sync, and as far as the consumer is; the one that has most.
        """
        if self._node.rack == rack:
            return None
        described = self._image.partition(partition.topic, partition.index)
        best: tuple[int, int] | None = None
        for replica in () if described is None else described.isr:
            broker = self._image.brokers.get(replica)
            if broker is None or broker.fenced or broker.rack != rack:
                continue
            end = self._replicas.end_of(partition.topic, partition.index, replica)
            if end >= offset and (best is None or end > best[0]):
                best = (end, replica)
        return None if best is None else best[1]

    def changed(self, topic: TopicImage, index: int) -> None:
        """Who leads may have changed: who waits here is answered."""
        follower = self._made.pop((topic.topic_id, index), None)
        if follower is not None:
            follower.close(ErrorCode.NOT_LEADER_OR_FOLLOWER)

    def deleted(self, topic: TopicImage) -> None:
        for index in range(len(topic.partitions)):
            self.changed(topic, index)

    def forget_all(self) -> None:
        made, self._made = self._made, {}
        for follower in made.values():
            follower.close(ErrorCode.NOT_LEADER_OR_FOLLOWER)
