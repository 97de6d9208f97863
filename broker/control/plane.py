"""What endpoints reach: the process's server, its clusters, its settings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import define

from broker.http.endpoint import Call

if TYPE_CHECKING:
    from broker.config.broker_config import BrokerConfig
    from broker.server import Server
    from broker.virtual.cluster import VirtualCluster
    from broker.virtual.registry import VirtualClusters


@define(eq=False)
class ControlPlane:
    """One per process. config: the process's settings."""

    server: Server
    clusters: VirtualClusters
    config: BrokerConfig


def cluster_of(call: Call) -> VirtualCluster:
    """The cluster a path names. Raises UnknownClusterError (404)."""
    return call.plane.clusters.get(call.path["cluster"])
