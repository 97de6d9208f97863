"""A virtual cluster: a cluster, how it was asked for, and what belongs to it beside its data."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import trio

from broker.deferred import Deferred, resolved

if TYPE_CHECKING:
    from broker.clock import Clock
    from broker.cluster import Cluster
    from broker.faults.faults import Faults
    from broker.virtual.snapshot import Snapshot
    from broker.virtual.spec import ClusterSpec
    from broker.virtual.storage import MemoryStorage

Replaced = Callable[["Cluster", "Cluster"], None]


class VirtualCluster:
    """One line of the registry. `cluster` is another object after a restore: keep the VirtualCluster.

    spec, storage: None for the process's own cluster. ready: done when what was declared is there. forked_from: the
    cluster whose data it began with.
    """

    def __init__(
        self,
        name: str,
        cluster: Cluster,
        spec: ClusterSpec | None = None,
        storage: MemoryStorage | None = None,
        *,
        forked_from: str | None = None,
    ) -> None:
        self.name = name
        self.cluster = cluster
        self.spec = spec
        self.storage = storage
        self.forked_from = forked_from
        self.created_ms = cluster.clock.now_ms()
        self.snapshots: dict[str, Snapshot] = {}
        self.ready: Deferred[Any] = resolved(None)
        self.ends = trio.Event()
        """Set when `cluster` is not served any more: deleted, or replaced (then there is another event here)."""
        self._faults: Faults | None = None
        self._on_replaced: list[Replaced] = []
        self._on_deleted: list[Callable[[], None]] = []

    def __repr__(self) -> str:
        return f"VirtualCluster({self.name!r}, {self.bootstrap_servers})"

    @property
    def is_default(self) -> bool:
        return self.spec is None

    @property
    def clock(self) -> Clock:
        return self.cluster.clock

    @property
    def faults(self) -> Faults:
        """Its fault rules; they stay when it is restored."""
        if self._faults is None:
            from broker.faults.faults import Faults

            faults = self._faults = Faults(self.cluster)
            self.on_replaced(lambda _old, new: faults.move(new))
        return self._faults

    @property
    def failing_produces(self) -> list[str]:
        """The fault rules that let a produce fail now."""
        return [] if self._faults is None else [str(rule) for rule in self._faults.failing_produces()]

    @property
    def bootstrap_servers(self) -> str:
        """`host:port,...`: the first listener of each node, as a client of this machine reaches it."""
        servers = []
        for node in self.cluster.nodes.values():
            for endpoint in node.addresses[:1]:
                host, port = endpoint.advertised or (endpoint.bound_host, endpoint.bound_port)
                host = host or endpoint.bound_host
                if host in ("", "0.0.0.0", "::"):
                    host = "127.0.0.1"
                servers.append(f"[{host}]:{port}" if ":" in host else f"{host}:{port or endpoint.bound_port}")
        return ",".join(servers)

    @property
    def storage_bytes(self) -> int | None:
        """How much its files hold; what is shared with snapshots and forks counts for each. None: not in memory."""
        return None if self.storage is None else self.storage.used_bytes()

    def on_replaced(self, fn: Replaced) -> None:
        """Call `fn(old, new)` when a restore puts another Cluster in place, before it is served."""
        self._on_replaced.append(fn)

    def on_deleted(self, fn: Callable[[], None]) -> None:
        """Call `fn` when the cluster is gone."""
        self._on_deleted.append(fn)

    def replaced(self, cluster: Cluster) -> None:
        """`cluster` takes the old one's place. For the registry."""
        old, self.cluster = self.cluster, cluster
        for fn in self._on_replaced:
            fn(old, cluster)
        self.ends.set()
        self.ends = trio.Event()

    def deleted(self) -> None:
        """For the registry."""
        self.ends.set()
        for fn in self._on_deleted:
            fn()
        self._on_deleted.clear()
        self._on_replaced.clear()
        self.snapshots.clear()
