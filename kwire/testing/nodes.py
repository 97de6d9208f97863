"""A cluster's nodes, simulated for its clients: stop, start, isolate, freeze them; choose leaders, lose tails.

They share one process and one log per partition: this tests clients, it protects nothing against a machine's loss.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from attrs import frozen

from kwire.testing.errors import KwireError
from kwire.testing.http import segment

if TYPE_CHECKING:
    from kwire.testing.cluster import Cluster


@frozen
class NodeStatus:
    """A node as it was. state: "running", "stopped" or "isolated"; replication: "running" or "frozen".

    controller: clients are told that it is the active controller. leads, replicas, in_sync: how many partitions it
    leads, has a replica of, is in sync with. address: `host:port` of its first listener.
    """

    node: int
    rack: str | None
    state: str
    replication: str
    controller: bool
    address: str
    leads: int
    replicas: int
    in_sync: int


@frozen
class Replica:
    """One replica of a partition. log_end_offset: how far it has come."""

    node: int
    rack: str | None
    in_sync: bool
    eligible: bool
    log_end_offset: int


@frozen
class PartitionStatus:
    """A partition as it was. leader: None without one. replicas: the preferred leader first."""

    topic: str
    partition: int
    leader: int | None
    leader_epoch: int
    log_start_offset: int
    log_end_offset: int
    high_watermark: int
    replicas: tuple[Replica, ...]
    isr: tuple[int, ...]
    adding: tuple[int, ...]
    removing: tuple[int, ...]


class Node:
    """`cluster.nodes[2]`. Orders are done when they return; a refused one raises ControlRequestError."""

    def __init__(self, nodes: Nodes, node_id: int) -> None:
        self._nodes = nodes
        self.id = node_id

    def __repr__(self) -> str:
        return f"Node({self.id})"

    def status(self) -> NodeStatus:
        return self._nodes._show(self.id)

    @property
    def state(self) -> str:
        """ "running", "stopped" or "isolated"."""
        return self.status().state

    @property
    def address(self) -> str:
        """`host:port` of its first listener, also while it is stopped."""
        return self.status().address

    def stop(self, *, kill: bool = False) -> NodeStatus:
        """Refuse and cut connections; other replicas lead. kill: come back as after a crash."""
        return self._order("POST", "stop", {"kill": kill})

    def kill(self) -> NodeStatus:
        """Stop without letting others lead first."""
        return self.stop(kill=True)

    def start(self) -> NodeStatus:
        """Bring it back on the same ports."""
        return self._order("POST", "start")

    def restart(self) -> NodeStatus:
        self.stop()
        return self.start()

    def isolate(self) -> NodeStatus:
        """Cut it off from the other nodes; clients reach it still."""
        return self._order("POST", "isolate")

    def heal(self) -> NodeStatus:
        """End its isolation."""
        return self._order("POST", "heal")

    def freeze_replication(self) -> NodeStatus:
        """Let its replicas follow nobody: what waits for all replicas in sync waits for it."""
        return self._order("PUT", "replication", {"state": "frozen"})

    def run_replication(self) -> NodeStatus:
        """Let them catch up and follow again."""
        return self._order("PUT", "replication", {"state": "running"})

    @contextmanager
    def stopped(self, *, kill: bool = False) -> Iterator[Node]:
        """`with cluster.nodes[2].stopped():` it is down within the block."""
        self.stop(kill=kill)
        try:
            yield self
        finally:
            self.start()

    @contextmanager
    def isolated(self) -> Iterator[Node]:
        """Within the block it is cut off."""
        self.isolate()
        try:
            yield self
        finally:
            self.heal()

    @contextmanager
    def frozen(self) -> Iterator[Node]:
        """Within the block its replicas follow nobody."""
        self.freeze_replication()
        try:
            yield self
        finally:
            self.run_replication()

    def _order(self, method: str, name: str, body: dict[str, Any] | None = None) -> NodeStatus:
        path = f"{self._nodes.path}/{self.id}/{name}"
        return _status(self._nodes.http.request(method, path, body))


class Nodes:
    """`cluster.nodes`: iterate over it, or take one by its id."""

    def __init__(self, cluster: Cluster) -> None:
        self.http = cluster.http
        self.path = f"{cluster.path}/nodes"
        self._cluster_path = cluster.path

    def __getitem__(self, node_id: int) -> Node:
        """Raises KwireError when there is no such node."""
        ids = [each.node for each in self.status()]
        if node_id not in ids:
            raise KwireError(f"the cluster has no node {node_id!r}, its nodes are {ids}")
        return Node(self, node_id)

    def __iter__(self) -> Iterator[Node]:
        return iter([Node(self, each.node) for each in self.status()])

    def __len__(self) -> int:
        return len(self.status())

    def status(self) -> list[NodeStatus]:
        """All of them, by id."""
        return [_status(each) for each in self.http.request("GET", self.path)["nodes"]]

    def _show(self, node_id: int) -> NodeStatus:
        return _status(self.http.request("GET", f"{self.path}/{node_id}"))

    def partition(self, topic: str, partition: int = 0) -> PartitionStatus:
        """Who leads a partition, who is in sync, how far each replica has come."""
        return _partition(self.http.request("GET", self._partition_path(topic, partition)))

    def leader_of(self, topic: str, partition: int = 0) -> Node:
        """Raises KwireError when nobody leads."""
        leader = self.partition(topic, partition).leader
        if leader is None:
            raise KwireError(f"nobody leads {topic}-{partition} now")
        return Node(self, leader)

    def set_leader(self, topic: str, partition: int, node: int | Node, *, unclean: bool = False) -> PartitionStatus:
        """Let a replica lead. unclean: also one that is behind; what it does not have is lost."""
        node_id = node.id if isinstance(node, Node) else node
        body = {"node": node_id, "unclean": unclean}
        return _partition(self.http.request("PUT", f"{self._partition_path(topic, partition)}/leader", body))

    def lose_tail(self, topic: str, partition: int = 0, *, records: int = 1) -> PartitionStatus:
        """Lose at least that many offsets at the end of a log, and raise its leader's epoch, as an unclean election
        does: for tests of what consumers do about it.
        """
        path = f"{self._partition_path(topic, partition)}/lose-tail"
        return _partition(self.http.request("POST", path, {"records": records}))

    def _partition_path(self, topic: str, partition: int) -> str:
        return f"{self._cluster_path}/partitions/{segment(topic)}/{partition}"


def _status(found: dict[str, Any]) -> NodeStatus:
    names = ("node", "rack", "state", "replication", "controller", "leads", "replicas", "in_sync")
    first = found["listeners"][0]
    host = f"[{first['host']}]" if ":" in first["host"] else first["host"]
    return NodeStatus(address=f"{host}:{first['port']}", **{name: found[name] for name in names})


def _partition(found: dict[str, Any]) -> PartitionStatus:
    plain = (
        "topic",
        "partition",
        "leader",
        "leader_epoch",
        "log_start_offset",
        "log_end_offset",
        "high_watermark",
    )
    names = ("node", "rack", "in_sync", "eligible", "log_end_offset")
    return PartitionStatus(
        replicas=tuple(Replica(**{name: each[name] for name in names}) for each in found["replicas"]),
        isr=tuple(found["isr"]),
        adding=tuple(found["adding"]),
        removing=tuple(found["removing"]),
        **{name: found[name] for name in plain},
    )
