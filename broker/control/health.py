"""`/healthz`: the process answers. `/readyz`: a produce would succeed now."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Final

import msgspec
from msgspec import Meta

from broker.http.endpoint import Call, Endpoint, Json
from broker.nodes.node import RUNNING
from log.storage import RealStorage

if TYPE_CHECKING:
    from broker.cluster import Cluster

# A log directory with less is full: Kafka's own segments are made of more.
_LEAST_FREE_BYTES: Final = 16 * 1024 * 1024


class Health(msgspec.Struct):
    """status: "ok", whenever there is an answer at all. clusters: how many the process hosts."""

    status: str
    clusters: int


class Readiness(msgspec.Struct):
    """ready: a produce to `cluster` would succeed now. reasons: why not; empty when it would."""

    ready: bool
    cluster: str
    reasons: list[str]


class ReadyQuery(msgspec.Struct, forbid_unknown_fields=True):
    """cluster: which one is asked for."""

    cluster: Annotated[str, Meta(min_length=1, max_length=255)] = "default"


def healthz(call: Call) -> Health:
    return Health("ok", len(call.plane.clusters.all()))


async def readyz(call: Call) -> Json:
    """Status 200 or 503. Raises UnknownClusterError (404)."""
    virtual = call.plane.clusters.get(call.query.cluster)
    cluster = virtual.cluster
    reasons = list(_not_serving(call, cluster))
    rules = virtual.failing_produces
    if rules:
        reasons.append(f"fault rules let produces fail: {_some(rules)}")
    paths = [directory.path for directory in cluster.manager.online_directories]
    if not paths:
        reasons.append("no log directory is online: see the log for why they failed")
    elif type(cluster.storage) is RealStorage:
        full = await call.wait(call.plane.server.reactor.run_in_thread(_full, paths))
        if len(full) == len(paths):
            reasons.append(f"no log directory has room: {', '.join(full)}; free some, or set retention")
    ready = not reasons
    return Json(msgspec.to_builtins(Readiness(ready, virtual.name, reasons)), status=200 if ready else 503)


def _not_serving(call: Call, cluster: Cluster) -> Iterator[str]:
    if call.stopping.is_set():
        yield "the broker is stopping"
    failure = cluster.controller.failure
    if failure is not None:
        yield f"the controller takes no changes any more: {failure.message or failure.code.name}"
    serving = [
        node
        for node in cluster.nodes.values()
        if node.state == RUNNING and node.listeners is not None and node.listeners.open_ones
    ]
    if not serving:
        yield "no node runs with a listener that is open: start one (POST .../nodes/{node}/start)"
    image = cluster.controller.image
    leaderless: list[str] = []
    too_few: list[str] = []
    for topic in image.topics():
        least = image.min_isr(topic.name, len(topic.partitions[0].replicas))
        for index, partition in enumerate(topic.partitions):
            if partition.leader < 0:
                leaderless.append(f"{topic.name}-{index}")
            elif len(partition.isr) < least:
                too_few.append(f"{topic.name}-{index}")
    offline = [f"{log.topic}-{log.partition}" for log in cluster.manager.open_logs() if log.offline]
    if offline:
        yield f"partitions whose disk failed: {_some(offline)}"
    if leaderless:
        yield f"partitions without a leader: {_some(leaderless)}"
    if too_few:
        yield f"partitions with fewer replicas in sync than min.insync.replicas, where acks=all fails: {_some(too_few)}"


def _some(names: list[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def _full(paths: list[str]) -> list[str]:
    """Those whose file system has no room. For a thread."""
    full = []
    for path in paths:
        try:
            found = os.statvfs(path)
        except OSError as error:
            full.append(f"{path} ({error.strerror})")
            continue
        free_bytes = found.f_bavail * found.f_frsize
        if free_bytes < _LEAST_FREE_BYTES:
            full.append(f"{path} ({free_bytes} bytes left)")
    return full


endpoints = [
    Endpoint("GET", "/healthz", healthz, answer=Health, summary="Whether the process answers", tag="about", open=True),
    Endpoint(
        "GET",
        "/readyz",
        readyz,
        query=ReadyQuery,
        answer=Readiness,
        summary="Whether a produce would succeed now",
        description="200, or 503 with the reasons: the broker stops, no listener is open, the controller has failed,"
        " partitions have no leader, too few replicas in sync or a disk that failed, a fault rule lets produces fail,"
        " no log directory is online or has room.",
        tag="about",
        open=True,
        also=[503],
    ),
]
