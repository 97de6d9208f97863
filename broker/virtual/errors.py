"""What is refused where virtual clusters are made and unmade. Each says what is allowed."""

from __future__ import annotations

from collections.abc import Sequence


class VirtualError(Exception):
    """status, code: as the control plane tells it. allowed: what would have been taken, where that can be listed."""

    status = 400
    code = "invalid_cluster"

    def __init__(self, message: str, *, allowed: Sequence[str] | None = None) -> None:
        super().__init__(message)
        self.allowed = allowed


class InvalidSpecError(VirtualError):
    """A cluster that cannot be made as it was asked for."""


class UnknownClusterError(VirtualError):
    status = 404
    code = "unknown_cluster"

    def __init__(self, name: str, known: Sequence[str]) -> None:
        super().__init__(f"there is no cluster {name!r}", allowed=known)


class ClusterExistsError(VirtualError):
    status = 409
    code = "cluster_exists"

    def __init__(self, name: str) -> None:
        super().__init__(
            f"there is a cluster {name!r} already; delete it first, choose another name, or give none to get one"
        )


class TooManyError(VirtualError):
    """A bound on how many there may be."""

    status = 409
    code = "too_many"


class DefaultClusterError(VirtualError):
    """The cluster of `kwire serve` itself is the process's: it lives on the disk, and as long as the process."""

    status = 409
    code = "default_cluster"

    def __init__(self, what: str) -> None:
        super().__init__(
            f"the cluster 'default' cannot be {what}: it is the broker's own, with its data in a directory. Create a"
            " cluster (POST /v1/clusters, kwire cluster create) for that."
        )


class UnknownSnapshotError(VirtualError):
    status = 404
    code = "unknown_snapshot"

    def __init__(self, cluster: str, name: str, known: Sequence[str]) -> None:
        super().__init__(f"cluster {cluster!r} has no snapshot {name!r}", allowed=known)


class SnapshotExistsError(VirtualError):
    status = 409
    code = "snapshot_exists"

    def __init__(self, cluster: str, name: str) -> None:
        super().__init__(
            f"cluster {cluster!r} has a snapshot {name!r} already; delete it first, or choose another name"
        )


class SnapshotRefusedError(VirtualError):
    """An exported snapshot that cannot be read here."""

    code = "snapshot_refused"


class ExportError(VirtualError):
    """A directory that cannot be written."""

    code = "cannot_export"
