"""What a cluster was at one instant: its files, as a kill at that instant would leave them, and how it was asked for.

Taking one costs an object per file: the logs write what a clean stop writes and go on, and the copy gets its marker.
Where that cannot be (a log that is offline, or being compacted) the copy is recovered before its first fork, as a
broker does after a kill, and left clean then.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import define, field

from broker.virtual.storage import Directory, MemoryStorage
from log.clean_shutdown import write_marker

if TYPE_CHECKING:
    from collections.abc import Sequence

    from broker.cluster import Cluster
    from broker.nodes.spec import NodeSpec
    from broker.virtual.spec import ClusterSpec


@define(frozen=True)
class ClockState:
    """now_ms: wall time then; None where the clock was the machine's."""

    now_ms: int | None = None
    frozen: bool = False
    rate: float = 1.0


@define(eq=False)
class Snapshot:
    """taken_ms: by the cluster's clock. nodes: of the cluster it was taken of, with their ports."""

    name: str
    cluster: str
    spec: ClusterSpec
    nodes: Sequence[NodeSpec]
    clock: ClockState
    taken_ms: int
    cluster_id: str
    topics: int
    root: Directory
    clean: bool = False
    forks: int = field(default=0)

    def storage(self, spill_directory: str) -> MemoryStorage:
        """What it holds, in a storage that may be changed; the snapshot stays."""
        taken_ms = self.taken_ms
        return MemoryStorage(lambda: taken_ms, spill_directory, self.root.twin())

    @property
    def used_bytes(self) -> int:
        return self.storage("").used_bytes()


def mark_clean(cluster: Cluster, copy: MemoryStorage) -> None:
    """The marker of a clean stop in a copy of the cluster's files, whose logs were finished."""
    broker = cluster.controller.image.brokers.get(cluster.node_id)
    for directory in cluster.manager.online_directories:
        write_marker(copy, directory.path, -1 if broker is None else broker.epoch)


def close_cleanly(cluster: Cluster) -> None:
    """Of a cluster that was opened and never served: sync, leave the marker of a clean stop."""
    broker = cluster.controller.image.brokers.get(cluster.node_id)
    failures = cluster.manager.close(cluster.clock.now_ms(), broker_epoch=-1 if broker is None else broker.epoch)
    if failures:
        raise failures[0]
