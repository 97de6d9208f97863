"""`/v1/clusters`: virtual clusters, made, shown and deleted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final

import msgspec
from msgspec import Meta

from broker.contents.parse import parse_contents
from broker.control.plane import cluster_of
from broker.http.endpoint import Call, Endpoint
from broker.virtual.spec import LONGEST_NAME, MOST_NODES, ClusterSpec

if TYPE_CHECKING:
    from broker.contents.model import Contents
    from broker.virtual.cluster import VirtualCluster

_SMALL_BYTES: Final = 256 * 1024

Name = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=LONGEST_NAME,
        pattern="^[A-Za-z0-9][A-Za-z0-9._-]*$",
        description="a-z, A-Z, 0-9, '.', '_', '-'; the first a letter or a digit",
    ),
]
Seed = Annotated[int, Meta(ge=0, le=2**53)]
Moment = Annotated[int, Meta(ge=0, le=2**53)]


class NewCluster(msgspec.Struct, forbid_unknown_fields=True):
    """A cluster to make; `{}` is one node with a name of its own.

    topics: names with a number of partitions or a mapping (partitions, replication_factor, configs, records), or a
    list; groups: committed offsets; both as `kwire serve --contents` takes them. configs: Kafka's broker settings, over
    those the process was started with. racks: dealt out to the nodes in turn. ports: of the nodes, in their order; left
    out: any free one.
    """

    name: Name | None = None
    nodes: Annotated[int, Meta(ge=1, le=MOST_NODES)] = 1
    racks: list[str] = []
    topics: dict[str, Any] | list[Any] | None = None
    groups: dict[str, Any] | None = None
    configs: dict[str, str] = {}
    as_version: Annotated[str | None, Meta(description="the release of Kafka to be like: 2.8")] = None
    seed: Annotated[Seed | None, Meta(description="of all that is random in it")] = None
    now_ms: Annotated[Moment | None, Meta(description="wall time its clock begins with")] = None
    host: Annotated[str, Meta(min_length=1, max_length=255, description="where its nodes listen")] = "127.0.0.1"
    ports: list[Annotated[int, Meta(ge=0, le=65535)]] = []


class ClusterNode(msgspec.Struct):
    """state: running, stopped, isolated."""

    node_id: int
    rack: str | None
    state: str
    host: str
    port: int


class ClusterView(msgspec.Struct):
    """A cluster.

    bootstrap_servers: for Kafka's clients. created_ms: by its own clock. topics: how many, internal ones included.
    storage_bytes: what its files hold, null for the process's own cluster; what is shared with snapshots and forks
    counts for each. forked_from: the cluster whose data it began with.
    """

    name: str
    bootstrap_servers: str
    cluster_id: str
    nodes: list[ClusterNode]
    topics: int
    created_ms: int
    snapshots: list[str]
    forked_from: str | None
    storage_bytes: int | None
    as_version: str | None
    seed: int | None
    configs: dict[str, str]


class ClusterList(msgspec.Struct):
    clusters: list[ClusterView]


def view(virtual: VirtualCluster) -> ClusterView:
    cluster, spec = virtual.cluster, virtual.spec
    image = cluster.controller.image
    nodes = []
    for node in cluster.nodes.values():
        endpoint = node.addresses[0]
        nodes.append(ClusterNode(node.node_id, node.rack, node.state, endpoint.bound_host, endpoint.bound_port))
    return ClusterView(
        name=virtual.name,
        bootstrap_servers=virtual.bootstrap_servers,
        cluster_id=image.cluster_id,
        nodes=nodes,
        topics=sum(1 for _ in image.topics()),
        created_ms=virtual.created_ms,
        snapshots=list(virtual.snapshots),
        forked_from=virtual.forked_from,
        storage_bytes=virtual.storage_bytes,
        as_version=cluster.config.get_text("kwire.as.version"),
        seed=None if spec is None else spec.seed,
        configs={} if spec is None else dict(spec.configs),
    )


def list_clusters(call: Call) -> ClusterList:
    return ClusterList([view(each) for each in call.plane.clusters.all()])


async def create_cluster(call: Call, body: NewCluster) -> ClusterView:
    spec = ClusterSpec(
        name=body.name,
        nodes=body.nodes,
        racks=body.racks,
        configs=body.configs,
        contents=await _contents(call, {"topics": body.topics, "groups": body.groups}),
        as_version=body.as_version,
        seed=body.seed,
        now_ms=body.now_ms,
        host=body.host,
        ports=body.ports,
    )
    clusters = call.plane.clusters
    virtual = clusters.create(spec)
    call.ends = virtual.ends
    try:
        await call.wait(virtual.ready)
        call.check_cluster()
    except BaseException:  # the client went away, too: nobody would know the name
        if virtual in clusters.all():
            clusters.delete(virtual.name)
        raise
    return view(virtual)


async def _contents(call: Call, declared: dict[str, Any]) -> Contents:
    """A million records take seconds to read: not on the loop."""
    length = call.headers.get("content-length", "")
    if length.isdecimal() and int(length) <= _SMALL_BYTES:
        return parse_contents(declared)
    return await call.wait(call.plane.server.reactor.run_in_thread(parse_contents, declared))


def show_cluster(call: Call) -> ClusterView:
    return view(cluster_of(call))


def delete_cluster(call: Call) -> None:
    call.plane.clusters.delete(call.path["cluster"])


endpoints = [
    Endpoint("GET", "/v1/clusters", list_clusters, answer=ClusterList, summary="All clusters", tag="clusters"),
    Endpoint(
        "POST",
        "/v1/clusters",
        create_cluster,
        body=NewCluster,
        answer=ClusterView,
        status=201,
        summary="Make a cluster",
        description="Answered when it serves and what it declares is there. Its data is in memory (large files without"
        " a name on the disk) and gone with the process. It is made whole or not at all.",
        tag="clusters",
    ),
    Endpoint("GET", "/v1/clusters/{cluster}", show_cluster, answer=ClusterView, summary="One cluster", tag="clusters"),
    Endpoint(
        "DELETE",
        "/v1/clusters/{cluster}",
        delete_cluster,
        status=204,
        summary="Delete a cluster",
        description="Its connections are closed, its data and its snapshots are gone; clusters forked from it stay.",
        tag="clusters",
    ),
]
