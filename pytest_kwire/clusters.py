"""The clusters that a test has while it runs."""

from __future__ import annotations

import re
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

import pytest

if TYPE_CHECKING:
    from kwire.testing import Broker, Cluster

_OPEN: Final = pytest.StashKey[list["Cluster"]]()
# Of clusters that are forked, by name: the snapshot that is.
_SNAPSHOTS: Final = pytest.StashKey[dict[str, str]]()
_NAME_CHARACTERS: Final = 60


def clusters_of(item: pytest.Item) -> list[Cluster]:
    """The test's clusters that are there just now."""
    return item.stash.get(_OPEN, [])


class ClustersOfTest:
    """Makes clusters for one test, with names that tell whose they are; deletes them at the end."""

    def __init__(self, item: pytest.Item, broker: Broker) -> None:
        self._item = item
        self._broker = broker
        self._made: list[Cluster] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        known = clusters_of(self._item)
        while self._made:
            cluster = self._made.pop()
            known.remove(cluster)
            cluster.delete(missing_ok=True)

    def create(self, **options: Any) -> Cluster:
        """A fresh cluster; options: those of `Broker.create_cluster`."""
        options.setdefault("name", self._name())
        return self._keep(self._broker.create_cluster(**options))

    def fork(self, parent: Cluster, **options: Any) -> Cluster:
        """A fork of a cluster as it is when it is first forked, and in it the topics that the marker names."""
        from kwire.testing import Cluster

        if not isinstance(parent, Cluster):
            raise pytest.UsageError(f"{self._item.nodeid}: a fork is of a cluster; the fixture gives {parent!r}")
        topics = options.pop("topics", None)
        if options:
            raise pytest.UsageError(
                f"{self._item.nodeid}: a fork has its parent's {', '.join(sorted(options))}; "
                "give them where the parent is made, or snapshot=None for a cluster that is no fork"
            )
        snapshots = self._item.config.stash.setdefault(_SNAPSHOTS, {})
        if parent.name not in snapshots:
            # Forking a snapshot is quicker than the cluster itself, and each test sees the same.
            snapshots[parent.name] = parent.snapshots.take().name
        cluster = self._keep(parent.fork(snapshot=snapshots[parent.name], name=self._name()))
        if topics is not None:
            cluster.create_topics(topics)
        return cluster

    def _keep(self, cluster: Cluster) -> Cluster:
        self._made.append(cluster)
        self._item.stash.setdefault(_OPEN, []).append(cluster)
        return cluster

    def _name(self) -> str:
        import secrets

        from pytest_kwire.sharing import worker_prefix

        # xdist says it in the environment too, which runs of pytest within a test inherit.
        worker = getattr(self._item.config, "workerinput", {}).get("workerid", "test")
        test = re.sub(r"[^A-Za-z0-9._-]+", "-", self._item.name)[:_NAME_CHARACTERS].strip("-")
        return f"{worker_prefix(worker)}{test}-{secrets.token_hex(3)}"
