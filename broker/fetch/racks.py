"""Consumers that say in which rack they are, are sent to a replica there.  (KIP-392; Kafka: RackAwareReplicaSelector,
ReplicaManager.findPreferredReadReplica)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from broker.fetch.read import FetchLimits, FetchReader
from broker.fetch.target import FetchTarget
from broker.partitions import Partition, Partitions
from kwire.messages.fetch import PartitionData

if TYPE_CHECKING:
    from broker.nodes.followers import Followers


class RackAwareReader(FetchReader):
    """Of what this node leads it reads nothing for which a replica in the consumer's rack is as good."""

    __slots__ = ("_followers", "_rack")

    def __init__(self, partitions: Partitions, limits: FetchLimits, followers: Followers, rack: str) -> None:
        super().__init__(partitions, limits)
        self._followers = followers
        self._rack = rack

    def _read_partition(
        self, target: FetchTarget, partition: Partition, data: PartitionData, end: int | None = None
    ) -> int:
        if end is None:
            preferred = self._followers.preferred(partition, target.offset, self._rack)
            if preferred is not None:
                partition_log = partition.log
                data.high_watermark = partition_log.high_watermark
                data.last_stable_offset = partition_log.last_stable_offset
                data.log_start_offset = partition_log.log_start_offset
                data.preferred_read_replica = preferred
                self.must_answer = True
                return 0
        return super()._read_partition(target, partition, data, end)
