"""Snapshots of a cluster: kept in the broker, forked into new clusters, put back, written to a directory."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Literal

from attrs import fields, frozen

from kwire.testing.http import ControlClient, segment

if TYPE_CHECKING:
    from kwire.testing.cluster import Cluster


@frozen
class Snapshot:
    """taken_ms: by the cluster's clock. storage_bytes: what its files hold, most of it shared with the cluster.
    forks: how many clusters were made of it.
    """

    name: str
    cluster: str
    taken_ms: int
    cluster_id: str
    nodes: int
    topics: int
    forks: int
    storage_bytes: int


@frozen
class Export:
    """What was written where."""

    path: str
    format: str
    files: int
    size_bytes: int


class Snapshots:
    """`cluster.snapshots`. A refusal raises ControlRequestError.

        cluster.snapshots.take("seeded")
        with cluster.snapshots.fork("seeded") as fresh:
            ...

    A fork has the same records, offsets, groups, transactions, configs, topic ids and cluster id, and listeners of its
    own. Nothing done to one is seen by the other.
    """

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._http = cluster.http
        self._path = f"{cluster.path}/snapshots"

    def take(self, name: str | None = None) -> Snapshot:
        """Keep what the cluster is now. name: None for one that is free."""
        return _snapshot(self._http.request("POST", self._path, {} if name is None else {"name": name}))

    def all(self) -> list[Snapshot]:
        """In the order they were taken."""
        return [_snapshot(each) for each in self._http.request("GET", self._path)["snapshots"]]

    def get(self, name: str) -> Snapshot:
        return _snapshot(self._http.request("GET", f"{self._path}/{segment(name)}"))

    def delete(self, name: str) -> None:
        """Forget it; clusters forked from it stay."""
        self._http.request("DELETE", f"{self._path}/{segment(name)}")

    def fork(self, snapshot: str | None = None, *, name: str | None = None, seed: int | None = None) -> Cluster:
        """A new cluster with the data of a snapshot; None: of the cluster as it is now."""
        body = {"snapshot": snapshot, "name": name, "seed": seed}
        answer = self._http.request("POST", f"{self._cluster.path}/fork", _given(body))
        return _handle(self._http, answer)

    def restore(self, snapshot: str) -> None:
        """Put this cluster back to a snapshot. Its addresses stay, connections are closed as by a restart."""
        self._http.request("POST", f"{self._cluster.path}/restore", {"snapshot": snapshot})

    def export(
        self,
        path: str | os.PathLike[str],
        snapshot: str | None = None,
        *,
        format: Literal["kwire", "kafka"] = "kwire",
    ) -> Export:
        """Write a snapshot (None: the cluster as it is now) to a directory of the broker's machine.

        path: empty or not there yet. format: "kwire", for `import_cluster`; "kafka", which Apache Kafka opens.
        """
        body = {"path": os.path.abspath(path), "snapshot": snapshot, "format": format}
        answer = self._http.request("POST", f"{self._cluster.path}/export", _given(body))
        return Export(answer["path"], answer["format"], answer["files"], answer["size_bytes"])


def import_cluster(http: ControlClient, path: str | os.PathLike[str], name: str | None = None) -> Cluster:
    """A new cluster with the data that `Snapshots.export` wrote. Raises ControlRequestError."""
    body = {"path": os.path.abspath(path), "name": name}
    return _handle(http, http.request("POST", "/v1/snapshots/import", _given(body)))


def _handle(http: ControlClient, answer: dict[str, Any]) -> Cluster:
    from kwire.testing.cluster import Cluster

    return Cluster(http, answer["name"], answer)


def _given(body: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in body.items() if value is not None}


def _snapshot(answer: dict[str, Any]) -> Snapshot:
    return Snapshot(**{each.name: answer[each.name] for each in fields(Snapshot)})
