"""The transcripts of a process's clusters: of virtual ones from their beginning, of its own one when asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from broker.transcript.transcript import Transcript, TranscriptSettings

if TYPE_CHECKING:
    from broker.virtual.cluster import VirtualCluster
    from broker.virtual.registry import VirtualClusters


class Transcripts:
    """One for each cluster, made with it or when first asked for."""

    def __init__(self, clusters: VirtualClusters) -> None:
        self._by_cluster: dict[VirtualCluster, Transcript] = {}
        clusters.on_created(self._created)

    def of(self, virtual: VirtualCluster) -> Transcript:
        """The transcript of a cluster."""
        found = self._by_cluster.get(virtual)
        return self._make(virtual, TranscriptSettings(enabled=False)) if found is None else found

    def _created(self, virtual: VirtualCluster) -> None:
        self._make(virtual, TranscriptSettings())

    def _deleted(self, virtual: VirtualCluster) -> None:
        self._by_cluster.pop(virtual).close()

    def _make(self, virtual: VirtualCluster, settings: TranscriptSettings) -> Transcript:
        made = self._by_cluster[virtual] = Transcript(virtual.cluster, settings)
        virtual.on_replaced(lambda _old, new: made.moved(new))
        virtual.on_deleted(lambda: self._deleted(virtual))
        return made
