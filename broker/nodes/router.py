"""To whichever node of a cluster leads: partitions, transaction markers, the coordinators of transactions.

Only clusters of several nodes have one; with one node its parts are asked directly.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

from broker.coordinator_log import TRANSACTION_TOPIC
from broker.deferred import Deferred
from broker.group.ids import partition_for
from broker.nodes.node import RUNNING
from broker.transaction_markers import PartitionKey
from kwire.error_codes import ErrorCode
from kwire.errors import ApiError

if TYPE_CHECKING:
    from broker.controller.image import ClusterImage
    from broker.nodes.node import Node
    from broker.partitions import Partition


class Router:
    """See the module. nodes: by id, filled after this is made. image: gives the cluster's image."""

    def __init__(self, nodes: Mapping[int, Node], image: ClusterImage) -> None:
        self._nodes = nodes
        self._image = image

    def leader_of(self, topic: str, index: int) -> Node | None:
        """The node that leads a partition and runs; None: nobody does, or there is no such partition."""
        described = self._image.partition(topic, index)
        node = None if described is None else self._nodes.get(described.leader)
        return node if node is not None and node.state == RUNNING else None

    def get(self, topic: str, index: int) -> Partition | None:
        """The partition at its leader; None when nobody leads it."""
        node = self.leader_of(topic, index)
        return None if node is None else node.partitions.get(topic, index)

    def write(
        self,
        producer_id: int,
        producer_epoch: int,
        committed: bool,
        coordinator_epoch: int,
        partitions: Collection[PartitionKey],
        transaction_version: int,
        /,
    ) -> Deferred[dict[PartitionKey, ErrorCode]]:
        """Markers of one transaction, by the leaders of its partitions (TransactionMarkers.write).

        LEADER_NOT_AVAILABLE, which is tried again: nobody leads the partition now.
        """
        done: Deferred[dict[PartitionKey, ErrorCode]] = Deferred()
        codes: dict[PartitionKey, ErrorCode] = {}
        by_node: dict[int, list[PartitionKey]] = {}
        for topic, index in partitions:
            node = self.leader_of(topic, index)
            if node is not None:
                by_node.setdefault(node.node_id, []).append((topic, index))
            elif self._image.partition(topic, index) is None:
                codes[(topic, index)] = ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
            else:
                codes[(topic, index)] = ErrorCode.LEADER_NOT_AVAILABLE
        left = len(by_node)

        def told(written: Deferred[dict[PartitionKey, ErrorCode]]) -> None:
            nonlocal left
            codes.update(written.result())
            left -= 1
            if not left:
                done.resolve(codes)

        for node_id, keys in by_node.items():
            self._nodes[node_id].markers.write(
                producer_id, producer_epoch, committed, coordinator_epoch, keys, transaction_version
            ).add_callback(told)
        if not by_node:
            done.resolve(codes)
        return done

    def verify(
        self,
        transactional_id: str,
        producer_id: int,
        producer_epoch: int,
        partitions: list[PartitionKey],
        /,
        *,
        add: bool,
    ) -> Deferred[dict[PartitionKey, ErrorCode]]:
        """What the transactional id's coordinator says (TransactionCoordinator.verify)."""
        topic = self._image.topic_by_name(TRANSACTION_TOPIC)
        node = (
            None
            if topic is None
            else self.leader_of(TRANSACTION_TOPIC, partition_for(transactional_id, len(topic.partitions)))
        )
        if node is None:
            refused: Deferred[dict[PartitionKey, ErrorCode]] = Deferred()
            refused.fail(ApiError(ErrorCode.COORDINATOR_NOT_AVAILABLE))
            return refused
        return node.transactions.verify(transactional_id, producer_id, producer_epoch, partitions, add=add)
