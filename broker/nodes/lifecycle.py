"""Stopping, starting, isolating and freezing nodes, as a person orders it; choosing leaders, losing tails.

All of it is done when the call returns: the controller fences and unfences at once where Kafka waits for a session.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from broker.nodes.node import ISOLATED, RUNNING, STOPPED
from kwire.error_codes import ErrorCode
from kwire.errors import ApiError

if TYPE_CHECKING:
    from broker.cluster import Cluster
    from broker.controller.image import TopicImage
    from broker.deferred import Deferred
    from broker.nodes.node import Node


class NodeStateError(Exception):
    """What was ordered cannot be done to the node as it is; the text says why and what can."""


def stop(node: Node, *, kill: bool = False) -> None:
    """Take a node out of service: its port refuses connections, those that are open are cut.

    A controlled stop lets others lead first; kill: others lead because it is gone, and it comes back as after a crash
    (nothing is lost by it, the process lives). A node that is stopped stays so.
    """
    if node.state == STOPPED:
        return
    cluster = node.cluster
    listeners = node.listeners
    if kill and listeners is not None:
        listeners.close(cut=True, reserve=True)
    leaves(node)
    was_isolated = node.state == ISOLATED
    node.state = STOPPED
    node.stopped_cleanly = not kill
    if kill or was_isolated:
        cluster.controller.fence_broker(node.node_id)
    else:
        cluster.controller.shut_down_broker(node.node_id)
    node.stop_coordinators()
    node.partitions.forget_all()
    node.services.fetch_sessions.forget_all()
    if listeners is not None:
        listeners.close(cut=True, reserve=True)


def leaves(node: Node) -> None:
    """It follows nobody from now on."""
    replicas = node.cluster.replicas
    if replicas is not None:
        replicas.stops_fetching(node)


def start(node: Node) -> None:
    """Bring a stopped node back on the same ports. One that runs runs on.

    Raises NodeStateError when it is isolated; StartError when a port is taken meanwhile, and it stays stopped.
    """
    if node.state == RUNNING:
        return
    if node.state == ISOLATED:
        raise NodeStateError(f"node {node.node_id} is isolated, not stopped: heal it")
    cluster = node.cluster
    listeners = node.listeners
    if listeners is not None:
        listeners.open()
    known = cluster.controller.image.brokers.get(node.node_id)
    node.state = RUNNING
    node.incarnation_id = cluster.new_uuid()
    cluster.register_node(
        node,
        node.addresses,
        known.epoch if known is not None and node.stopped_cleanly else -1,
    )
    node.start_coordinators()
    if listeners is not None:
        listeners.start()
    _follows(node)


def _follows(node: Node) -> None:
    replicas = node.cluster.replicas
    if replicas is not None:
        replicas.fetches_again(node)


def isolate(node: Node) -> None:
    """Cut a node off from the others; clients reach it still, and are told that it leads nothing.

    Raises NodeStateError when it is stopped.
    """
    if node.state == ISOLATED:
        return
    if node.state == STOPPED:
        raise NodeStateError(f"node {node.node_id} is stopped: start it first")
    leaves(node)
    node.state = ISOLATED
    node.cluster.controller.fence_broker(node.node_id)


def heal(node: Node) -> None:
    """End an isolation. Raises NodeStateError when the node is stopped."""
    if node.state == RUNNING:
        return
    if node.state == STOPPED:
        raise NodeStateError(f"node {node.node_id} is stopped, not isolated: start it")
    node.state = RUNNING
    node.cluster.controller.unfence_broker(node.node_id)
    _follows(node)


def freeze(node: Node) -> None:
    """Its replicas follow nobody until `run`; what it leads goes on. Of a stopped node: once it is started."""
    if node.frozen:
        return
    node.frozen = True
    if node.cluster.replicas is not None:
        node.cluster.replicas.froze(node)


def run(node: Node) -> None:
    """Its replicas follow again, and catch up at once."""
    if not node.frozen:
        return
    node.frozen = False
    _follows(node)


def elect(cluster: Cluster, topic_name: str, index: int, node_id: int, *, unclean: bool = False) -> Deferred[None]:
    """Let a replica lead; unclean: also one that is behind, and what it does not have is lost.

    Raises ApiError: UNKNOWN_TOPIC_OR_PARTITION, INVALID_REQUEST, ELIGIBLE_LEADERS_NOT_AVAILABLE.
    """
    return cluster.controller.elect_leader(find_topic(cluster, topic_name, index), index, node_id, unclean=unclean)


def lose_tail(cluster: Cluster, topic_name: str, index: int, records: int) -> int:
    """Cut at least the last `records` offsets off a log, as an unclean election would; gives the new end.

    What was acknowledged is lost on purpose. Whole batches are cut; the leader stays, its epoch is raised.
    Raises ApiError: UNKNOWN_TOPIC_OR_PARTITION; LEADER_NOT_AVAILABLE when nobody leads; KAFKA_STORAGE_ERROR.
    """
    topic = find_topic(cluster, topic_name, index)
    leader = topic.partitions[index].leader
    if leader not in cluster.nodes:
        raise ApiError(ErrorCode.LEADER_NOT_AVAILABLE, f"nobody leads {topic_name}-{index} now")
    log = cluster.open_log(topic, index)
    if records > 0:
        log.truncate_to(max(log.log_end_offset - records, log.log_start_offset), cluster.clock.now_ms())
    made = cluster.nodes[leader].partitions.made(topic_name, index)
    if made is not None:
        made.lost_tail()
    cluster.controller.elect_leader(topic, index, leader, unclean=True)
    log.assign_epoch(topic.partitions[index].leader_epoch)
    return log.log_end_offset


def find_topic(cluster: Cluster, name: str, index: int) -> TopicImage:
    """Raises ApiError(UNKNOWN_TOPIC_OR_PARTITION)."""
    topic = cluster.controller.image.topic_by_name(name)
    if topic is None or not 0 <= index < len(topic.partitions):
        raise ApiError(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, f"there is no partition {name}-{index}")
    return topic
