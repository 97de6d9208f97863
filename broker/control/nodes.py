"""`/v1/clusters/{cluster}/nodes`: the nodes of a cluster; stop, start, isolate, heal them, freeze their replication."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import msgspec

from broker.cluster import Cluster
from broker.control.plane import cluster_of
from broker.http.endpoint import Call, ControlError, Endpoint
from broker.nodes import lifecycle
from broker.nodes.node import Node
from broker.start_error import StartError


class NodeListener(msgspec.Struct):
    """Where a node listens, or did before it was stopped."""

    name: str
    host: str
    port: int


class NodeView(msgspec.Struct):
    """A node.

    state: "isolated" is one that clients reach and the other nodes do not. replication: "frozen" while its replicas
    follow nobody. controller: whether clients are told that it is the active controller. leads, replicas, in_sync: how
    many partitions it leads, has a replica of, and is in sync with.
    """

    node: int
    rack: str | None
    state: Literal["running", "stopped", "isolated"]
    replication: Literal["running", "frozen"]
    controller: bool
    listeners: list[NodeListener]
    leads: int
    replicas: int
    in_sync: int


class NodeList(msgspec.Struct):
    """By id."""

    nodes: list[NodeView]


class Stop(msgspec.Struct, forbid_unknown_fields=True):
    """kill: do not let others lead first, and come back as after a crash."""

    kill: bool = False


class Replication(msgspec.Struct, forbid_unknown_fields=True):
    """state: "frozen": the node's replicas follow nobody, "running": they catch up and follow again."""

    state: Literal["running", "frozen"]


def view(cluster: Cluster, node: Node) -> NodeView:
    leads = replicas = in_sync = 0
    for topic in cluster.controller.image.topics():
        for partition in topic.partitions:
            leads += partition.leader == node.node_id
            replicas += node.node_id in partition.replicas
            in_sync += node.node_id in partition.isr
    return NodeView(
        node=node.node_id,
        rack=node.rack,
        state=node.state,
        replication="frozen" if node.frozen else "running",
        controller=node.node_id == cluster.active_controller,
        listeners=[NodeListener(each.listener, each.bound_host, each.bound_port) for each in node.addresses],
        leads=leads,
        replicas=replicas,
        in_sync=in_sync,
    )


def node_of(call: Call) -> tuple[Cluster, Node]:
    """What a path names. Raises UnknownClusterError, ControlError 404."""
    cluster = cluster_of(call).cluster
    return cluster, find_node(cluster, call.number("node"))


def find_node(cluster: Cluster, node_id: int, *, status: int = 404) -> Node:
    """Raises ControlError that names the nodes there are."""
    node = cluster.nodes.get(node_id)
    if node is None:
        there = [str(each) for each in sorted(cluster.nodes)]
        raise ControlError(status, "unknown_node", f"there is no node {node_id} in this cluster", allowed=there)
    return node


def list_nodes(call: Call) -> NodeList:
    cluster = cluster_of(call).cluster
    return NodeList([view(cluster, node) for _, node in sorted(cluster.nodes.items())])


def show_node(call: Call) -> NodeView:
    return view(*node_of(call))


def _done(call: Call, order: Callable[[Node], None]) -> NodeView:
    cluster, node = node_of(call)
    try:
        order(node)
    except lifecycle.NodeStateError as error:
        raise ControlError(409, "node_state", str(error)) from None
    except StartError as error:
        raise ControlError(409, "cannot_start", str(error)) from None
    return view(cluster, node)


def stop_node(call: Call, body: Stop) -> NodeView:
    return _done(call, lambda node: lifecycle.stop(node, kill=body.kill))


def start_node(call: Call) -> NodeView:
    return _done(call, lifecycle.start)


def isolate_node(call: Call) -> NodeView:
    return _done(call, lifecycle.isolate)


def heal_node(call: Call) -> NodeView:
    return _done(call, lifecycle.heal)


def set_replication(call: Call, body: Replication) -> NodeView:
    return _done(call, lifecycle.freeze if body.state == "frozen" else lifecycle.run)


_NODES = "/v1/clusters/{cluster}/nodes"
_NODE = _NODES + "/{node:int}"
_SIMULATED = (
    " Nodes are simulated for clients: they share one process and one log per partition, and protect nothing against"
    " the loss of a machine."
)

endpoints = [
    Endpoint("GET", _NODES, list_nodes, answer=NodeList, summary="The nodes of a cluster", tag="nodes"),
    Endpoint("GET", _NODE, show_node, answer=NodeView, summary="A node", tag="nodes"),
    Endpoint(
        "POST",
        f"{_NODE}/stop",
        stop_node,
        body=Stop,
        answer=NodeView,
        summary="Stop a node: connections to it are refused, other replicas lead",
        description="Done when answered. Acknowledged records stay; partitions without another replica in sync have no"
        " leader until it is started again." + _SIMULATED,
        tag="nodes",
    ),
    Endpoint(
        "POST",
        f"{_NODE}/start",
        start_node,
        answer=NodeView,
        summary="Start a stopped node again, on the ports it had",
        description="Its replicas catch up at once. Preferred leaders lead again after"
        " leader.imbalance.check.interval.seconds of the cluster's clock, or when an election is asked for.",
        tag="nodes",
    ),
    Endpoint(
        "POST",
        f"{_NODE}/isolate",
        isolate_node,
        answer=NodeView,
        summary="Cut a node off from the others; clients reach it still",
        description="It leads and coordinates nothing, and says so (NOT_LEADER_OR_FOLLOWER, NOT_COORDINATOR).",
        tag="nodes",
    ),
    Endpoint("POST", f"{_NODE}/heal", heal_node, answer=NodeView, summary="End a node's isolation", tag="nodes"),
    Endpoint(
        "PUT",
        f"{_NODE}/replication",
        set_replication,
        body=Replication,
        answer=NodeView,
        summary="Freeze the replication of a node, or let it run",
        description="While a replica in sync is frozen nothing becomes committed beyond its end: acks=all waits. After"
        " replica.lag.time.max.ms it falls out of the ISR.",
        tag="nodes",
    ),
]
