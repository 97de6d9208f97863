"""Snapshots of virtual clusters: taken, forked, put back, exported, imported."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import msgspec
from msgspec import Meta

from broker.control.clusters import ClusterView, Name, Seed, view
from broker.http.endpoint import Call, Endpoint

if TYPE_CHECKING:
    from broker.virtual.snapshot import Snapshot

Directory = Annotated[str, Meta(min_length=1, max_length=4096, description="absolute, on the broker's machine")]


class NewSnapshot(msgspec.Struct, forbid_unknown_fields=True):
    """name: left out: one that is free."""

    name: Name | None = None


class SnapshotView(msgspec.Struct):
    """taken_ms: by the cluster's clock. storage_bytes: what its files hold, most of it shared with the cluster."""

    name: str
    cluster: str
    taken_ms: int
    cluster_id: str
    nodes: int
    topics: int
    forks: int
    storage_bytes: int


class SnapshotList(msgspec.Struct):
    snapshots: list[SnapshotView]


class NewFork(msgspec.Struct, forbid_unknown_fields=True):
    """name: of the new cluster; left out: one that is free. snapshot: left out: the cluster as it is now."""

    name: Name | None = None
    snapshot: str | None = None
    seed: Seed | None = None


class Restore(msgspec.Struct, forbid_unknown_fields=True):
    snapshot: str


class Export(msgspec.Struct, forbid_unknown_fields=True):
    """path: a directory that is empty or not there yet. format: "kafka", which a broker opens as its log directory
    (one node, every partition with one replica); "kwire", which can be imported again. snapshot: left out: the cluster
    as it is now.
    """

    path: Directory
    format: Literal["kafka", "kwire"] = "kwire"
    snapshot: str | None = None


class ExportView(msgspec.Struct):
    path: str
    format: Literal["kafka", "kwire"]
    files: int
    size_bytes: int


class Import(msgspec.Struct, forbid_unknown_fields=True):
    """path: what an export in kwire's format wrote. name: of the new cluster; left out: one that is free."""

    path: Directory
    name: Name | None = None


def snapshot_view(taken: Snapshot) -> SnapshotView:
    return SnapshotView(
        name=taken.name,
        cluster=taken.cluster,
        taken_ms=taken.taken_ms,
        cluster_id=taken.cluster_id,
        nodes=len(taken.nodes),
        topics=taken.topics,
        forks=taken.forks,
        storage_bytes=taken.used_bytes,
    )


def list_snapshots(call: Call) -> SnapshotList:
    return SnapshotList(
        [snapshot_view(each) for each in call.plane.clusters.get(call.path["cluster"]).snapshots.values()]
    )


def take_snapshot(call: Call, body: NewSnapshot) -> SnapshotView:
    return snapshot_view(call.plane.clusters.take_snapshot(call.path["cluster"], body.name))


def show_snapshot(call: Call) -> SnapshotView:
    return snapshot_view(call.plane.clusters.snapshot(call.path["cluster"], call.path["snapshot"]))


def delete_snapshot(call: Call) -> None:
    call.plane.clusters.delete_snapshot(call.path["cluster"], call.path["snapshot"])


def fork(call: Call, body: NewFork) -> ClusterView:
    return view(
        call.plane.clusters.fork(call.path["cluster"], snapshot=body.snapshot, as_name=body.name, seed=body.seed)
    )


def restore(call: Call, body: Restore) -> ClusterView:
    return view(call.plane.clusters.restore(call.path["cluster"], body.snapshot))


async def export(call: Call, body: Export) -> ExportView:
    from broker.virtual import export as exports

    clusters = call.plane.clusters
    run_in_thread = call.plane.server.reactor.run_in_thread
    exports.check_target(body.path)
    taken = clusters.taken(call.path["cluster"], body.snapshot)
    if body.format == "kafka":
        one = exports.of_one_node(taken, clusters.config_of(taken), clusters.spill_directory, run_in_thread)
        written = await call.wait(run_in_thread(exports.write_kafka, one, body.path))
    else:
        written = await call.wait(run_in_thread(exports.write_snapshot, taken, body.path))
    return ExportView(written.path, body.format, written.files, written.size_bytes)


async def import_snapshot(call: Call, body: Import) -> ClusterView:
    from broker.virtual import export as exports

    clusters = call.plane.clusters
    clusters.check_free(body.name)
    read = call.plane.server.reactor.run_in_thread(exports.read_snapshot, body.path, clusters.empty_storage())
    return view(clusters.open_snapshot(await call.wait(read), as_name=body.name))


_CLUSTER = "/v1/clusters/{cluster}"
_SAME = (
    "The same: records, offsets, groups, transactions, configs, topic ids and the cluster id; the clock goes on from"
    " where it was, if it was driven. New: listeners, what is random, and who is connected."
)

endpoints = [
    Endpoint(
        "GET",
        f"{_CLUSTER}/snapshots",
        list_snapshots,
        answer=SnapshotList,
        summary="Snapshots of a cluster",
        tag="snapshots",
    ),
    Endpoint(
        "POST",
        f"{_CLUSTER}/snapshots",
        take_snapshot,
        body=NewSnapshot,
        answer=SnapshotView,
        status=201,
        summary="Keep what a cluster is now",
        description="What a kill at this instant would leave: every acknowledged record, offset, transaction, config.",
        tag="snapshots",
    ),
    Endpoint(
        "GET",
        f"{_CLUSTER}/snapshots/{{snapshot}}",
        show_snapshot,
        answer=SnapshotView,
        summary="One snapshot",
        tag="snapshots",
    ),
    Endpoint(
        "DELETE",
        f"{_CLUSTER}/snapshots/{{snapshot}}",
        delete_snapshot,
        status=204,
        summary="Forget a snapshot; its forks stay",
        tag="snapshots",
    ),
    Endpoint(
        "POST",
        f"{_CLUSTER}/fork",
        fork,
        body=NewFork,
        answer=ClusterView,
        status=201,
        summary="A new cluster with the data of this one, or of a snapshot",
        description=_SAME,
        tag="snapshots",
    ),
    Endpoint(
        "POST",
        f"{_CLUSTER}/restore",
        restore,
        body=Restore,
        answer=ClusterView,
        summary="Put a cluster back to a snapshot",
        description="Its listeners and ports stay, connections are closed as by a restart; its clock does not go back.",
        tag="snapshots",
    ),
    Endpoint(
        "POST",
        f"{_CLUSTER}/export",
        export,
        body=Export,
        answer=ExportView,
        summary="Write a cluster, or a snapshot of it, to a directory",
        tag="snapshots",
    ),
    Endpoint(
        "POST",
        "/v1/snapshots/import",
        import_snapshot,
        body=Import,
        answer=ClusterView,
        status=201,
        summary="A new cluster with the data of an exported snapshot",
        description=_SAME,
        tag="snapshots",
    ),
]
