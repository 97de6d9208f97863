"""`/metrics`, in Prometheus' text format."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import msgspec
from msgspec import Meta

from broker.deferred import Deferred
from broker.http.endpoint import Call, Endpoint, Text

if TYPE_CHECKING:
    from broker.cluster import Cluster


class MetricsQuery(msgspec.Struct, forbid_unknown_fields=True):
    """cluster: whose; `*`: of all, each sample with a label `cluster`."""

    cluster: Annotated[str, Meta(min_length=1, max_length=255)] = "default"


async def metrics(call: Call) -> Text:
    """Of one cluster, as dashboards for a Kafka expect them; UnknownClusterError (404)."""
    from broker.metrics.exposition import CONTENT_TYPE, exposed

    plane = call.plane
    wanted = call.query.cluster
    hosted = plane.clusters.all()
    chosen = hosted if wanted == "*" else [plane.clusters.get(wanted)]
    clusters: dict[str, Cluster] = {each.name: each.cluster for each in chosen}
    pieces: list[bytes] = []
    for piece in exposed(plane.server, clusters, labelled=wanted == "*", hosted=len(hosted)):
        pieces.append(piece)
        turn: Deferred[None] = Deferred()
        plane.server.reactor.call_soon(lambda turn=turn: turn.resolve(None))  # type: ignore[misc]
        await call.wait(turn)
    return Text(b"".join(pieces), CONTENT_TYPE)


endpoints = [
    Endpoint(
        "GET",
        "/metrics",
        metrics,
        query=MetricsQuery,
        answer=Text,
        produces=["text/plain"],
        summary="Metrics, in Prometheus' text format",
        description="Under the names of the JMX exporter's usual rules for Kafka and of kafka_exporter: of the cluster"
        " `default`, or of the one that `?cluster=` names; `?cluster=*`: of all, with a label `cluster`.",
        tag="about",
    )
]
