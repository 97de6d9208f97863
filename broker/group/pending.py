"""Offsets that transactions committed and that wait for the transactions' markers  (Kafka: OffsetMetadataManager)."""

from __future__ import annotations

from collections.abc import Iterator

from attrs import Factory, define

from broker.group.records import OffsetAndMetadata

PartitionKey = tuple[str, int]
"""Topic name, partition index."""


@define(slots=True)
class PendingOffset:
    """order: rises with each record. overtaken: a commit that was recorded later is in force already."""

    value: OffsetAndMetadata
    order: int
    overtaken: bool = False


@define(slots=True)
class PendingOffsets:
    """of_group: group id -> (topic, partition) -> producer id -> offset; no empty inner dicts.

    of_producer: producer id -> group id -> its partitions, as they were first committed in the transaction.
    """

    of_group: dict[str, dict[PartitionKey, dict[int, PendingOffset]]] = Factory(dict)
    of_producer: dict[int, dict[str, dict[PartitionKey, None]]] = Factory(dict)
    recorded: int = 0

    def __bool__(self) -> bool:
        return bool(self.of_group)

    def put(self, producer_id: int, group_id: str, topic: str, partition: int, value: OffsetAndMetadata) -> None:
        self.recorded += 1
        key = (topic, partition)
        offsets = self.of_group.setdefault(group_id, {}).setdefault(key, {})
        offsets[producer_id] = PendingOffset(value, self.recorded)
        self.of_producer.setdefault(producer_id, {}).setdefault(group_id, {})[key] = None

    def overtake(self, group_id: str, topic: str, partition: int) -> None:
        """An offset outside of transactions was committed: what was recorded before it will not replace it."""
        for pending in self.of_group.get(group_id, {}).get((topic, partition), {}).values():
            pending.overtaken = True

    def overtake_one(self, producer_id: int, group_id: str, topic: str, partition: int) -> None:
        """What this producer has pending will not come into force."""
        self.of_group[group_id][(topic, partition)][producer_id].overtaken = True

    def forget(self, group_id: str, topic: str, partition: int) -> None:
        """The partition's offset was deleted, with all that is pending for it."""
        partitions = self.of_group.get(group_id)
        if partitions is None:
            return
        for producer_id in partitions.pop((topic, partition), ()):
            groups = self.of_producer[producer_id]
            del groups[group_id][(topic, partition)]
            if not groups[group_id]:
                del groups[group_id]
                if not groups:
                    del self.of_producer[producer_id]
        if not partitions:
            del self.of_group[group_id]

    def end(self, producer_id: int, *, committed: bool) -> Iterator[tuple[str, str, int, OffsetAndMetadata]]:
        """The producer's transaction is over: (group id, topic, partition, offset) of each that comes into force."""
        for group_id, keys in self.of_producer.pop(producer_id, {}).items():
            partitions = self.of_group[group_id]
            for key in keys:
                offsets = partitions[key]
                ended = offsets.pop(producer_id)
                if not offsets:
                    del partitions[key]
                if not committed or ended.overtaken:
                    continue
                for other in offsets.values():
                    if other.order < ended.order:
                        other.overtaken = True
                yield group_id, key[0], key[1], ended.value
            if not partitions:
                del self.of_group[group_id]

    def has(self, group_id: str, topic: str, partition: int) -> bool:
        """Whether an open transaction has committed an offset of this partition."""
        return (topic, partition) in self.of_group.get(group_id, ())

    def has_group(self, group_id: str) -> bool:
        return group_id in self.of_group

    def partitions(self, group_id: str) -> list[PartitionKey]:
        """Those of a group for which something is pending."""
        return list(self.of_group.get(group_id, ()))
