"""Everything of one or several clusters, family by family, so that others are served between two of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Final

from prometheus_client import CONTENT_TYPE_LATEST
from prometheus_client.process_collector import ProcessCollector

from broker.cli.version import KAFKA_VERSION, kwire_version
from broker.metrics import exporter, jmx
from broker.metrics.families import Families, rendered
from broker.metrics.state import ClusterState
from broker.metrics.traffic import traffic

if TYPE_CHECKING:
    from broker.cluster import Cluster
    from broker.server import Server

CONTENT_TYPE: Final[str] = CONTENT_TYPE_LATEST
_Part = Callable[[Families, ClusterState], Iterator[None] | None]
_PARTS: Final[tuple[_Part, ...]] = (
    exporter.brokers,
    exporter.topics,
    exporter.groups,
    jmx.controller,
    jmx.replicas,
    jmx.groups,
    jmx.logs,
    jmx.partitions,
    traffic,
)


def exposed(server: Server, clusters: Mapping[str, Cluster], *, labelled: bool, hosted: int) -> Iterator[bytes]:
    """The text, in pieces; the loop may turn to others between two.

    labelled: each sample says its cluster. hosted: how many clusters there are in all.
    """
    found = Families()
    found.extend(ProcessCollector(registry=None).collect())
    found.gauge("kwire_info", "What runs here", {"version": kwire_version(), "kafka_version": KAFKA_VERSION}, 1)
    found.gauge("kwire_clusters", "Clusters the process hosts", {}, hosted)
    found.gauge("kwire_connections", "Connections of clients, of all clusters", {}, len(server.host.connections))
    for name, cluster in clusters.items():
        state = ClusterState.read(cluster, {"cluster": name} if labelled else {})
        for part in _PARTS:
            for _ in part(found, state) or ():
                yield b""
            yield b""
    for metric in found.all():
        yield from rendered(metric)
