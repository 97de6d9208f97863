"""Who leads a partition, for clients that asked the wrong node: the leader, its epoch, where it is.  (KIP-951)"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from broker.group.ids import partition_for

if TYPE_CHECKING:
    from broker.addresses import AddressBook
    from broker.context import RequestContext
    from broker.controller.image import ClusterImage


class LeaderHints:
    """Looks into the image; used for refusals only."""

    __slots__ = ("_addresses", "_image")

    def __init__(self, image: ClusterImage, addresses: AddressBook) -> None:
        self._image = image
        self._addresses = addresses

    def leader(self, topic: str, topic_id: bytes, index: int) -> tuple[int, int]:
        """(leader, leader epoch) of a partition given by name, or by id when the name is empty; (-1, -1): unknown."""
        found = self._image.topic_by_name(topic) if topic else self._image.topic_by_id(topic_id)
        if found is None or not 0 <= index < len(found.partitions):
            return (-1, -1)
        described = found.partitions[index]
        return (described.leader, described.leader_epoch)

    def coordinator(self, topic: str, key: str) -> int:
        """Who leads the partition of an internal topic in which a group or a transactional id lives; -1: nobody."""
        found = self._image.topic_by_name(topic)
        if found is None:
            return -1
        leader = found.partitions[partition_for(key, len(found.partitions))].leader
        broker = self._image.brokers.get(leader)
        return -1 if broker is None or broker.fenced else leader

    def endpoints(self, node_ids: Iterable[int], ctx: RequestContext) -> list[tuple[int, str, int, str | None]]:
        """(node, host, port, rack) of those that have the client's listener, each once."""
        found = []
        for node_id in dict.fromkeys(node_ids):
            broker = self._image.brokers.get(node_id)
            address = self._addresses.for_node(node_id, ctx)
            if broker is not None and address is not None:
                found.append((node_id, *address, broker.rack))
        return found
