"""What several families need of a cluster, read once for each time it is asked for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from attrs import define

from broker.nodes.node import RUNNING

if TYPE_CHECKING:
    from broker.cluster import Cluster
    from broker.controller.model import PartitionImage, TopicImage
    from broker.nodes.node import Node
    from log.partition_log import PartitionLog


@define(slots=True)
class PartitionState:
    """One partition. log: None while nobody has used it since the start. start, end: offsets; None: not known without
    opening the log. last_stable: as far as it is known."""

    topic: str
    index: int
    described: PartitionImage
    min_isr: int
    leader: Node | None
    log: PartitionLog | None
    start: int | None
    end: int | None

    @property
    def under_replicated(self) -> bool:
        return self.leader is not None and len(self.described.isr) < len(self.described.replicas)


@define(slots=True)
class ClusterState:
    """partitions: of all topics, by topic. labels: what each sample of the cluster carries."""

    cluster: Cluster
    labels: dict[str, str]
    partitions: list[PartitionState]

    @classmethod
    def read(cls, cluster: Cluster, labels: dict[str, str]) -> ClusterState:
        found = [each for topic in cluster.controller.image.topics() for each in _partitions(cluster, topic)]
        return cls(cluster, labels, found)

    def nodes(self) -> list[tuple[Node, dict[str, str]]]:
        """Those that run, with the labels of their samples: `node` where there are several."""
        nodes = [node for node in self.cluster.nodes.values() if node.state == RUNNING]
        if len(self.cluster.nodes) == 1:
            return [(node, self.labels) for node in nodes]
        return [(node, {**self.labels, "node": str(node.node_id)}) for node in nodes]

    def spans(self) -> dict[tuple[str, int], tuple[int | None, int | None]]:
        """Log start and high watermark by partition."""
        return {(each.topic, each.index): (each.start, each.end) for each in self.partitions}


def _partitions(cluster: Cluster, topic: TopicImage) -> Iterator[PartitionState]:
    manager = cluster.manager
    min_isr = cluster.controller.image.min_isr(topic.name, len(topic.partitions[0].replicas))
    for index, described in enumerate(topic.partitions):
        node = cluster.nodes.get(described.leader)
        leader = node if node is not None and node.state == RUNNING else None
        log = manager.opened(topic.name, index)
        start: int | None = 0
        end: int | None = 0
        if log is not None and not log.offline:
            start, end = log.log_start_offset, log.high_watermark
        else:
            directory = manager.directory_of(topic.name, index)
            if directory is not None:
                # Not opened for being looked at: what the checkpoints say.
                key = (topic.name, index)
                start, end = directory.log_starts.get(key), directory.high_watermarks.get(key)
        yield PartitionState(topic.name, index, described, min_isr, leader, log, start, end)
