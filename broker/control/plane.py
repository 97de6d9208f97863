"""What endpoints reach: the process's server, its clusters, its settings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import define, field

from broker.http.endpoint import Call
from broker.transcript.registry import Transcripts

if TYPE_CHECKING:
    from broker.config.broker_config import BrokerConfig
    from broker.server import Server
    from broker.virtual.cluster import VirtualCluster
    from broker.virtual.registry import VirtualClusters


@define(eq=False)
class ControlPlane:
    """One per process, made with its clusters' registry. config: the process's settings."""

    server: Server
    clusters: VirtualClusters
    config: BrokerConfig
    transcripts: Transcripts = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.transcripts = Transcripts(self.clusters)


def cluster_of(call: Call) -> VirtualCluster:
    """The cluster a path names. Raises UnknownClusterError (404)."""
    virtual = call.plane.clusters.get(call.path["cluster"])
    call.ends = virtual.ends
    return virtual
