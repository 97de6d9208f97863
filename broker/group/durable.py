"""The durable state of one shard: what replaying its partition of `__consumer_offsets` gives, and nothing else."""

from __future__ import annotations

from attrs import Factory, define

from broker.group.pending import PendingOffsets
from broker.group.records import (
    CoordinatorRecord,
    GroupRecord,
    OffsetAndMetadata,
    OffsetRecord,
    StoredGroup,
    TransactionalOffsetRecord,
    TransactionEnd,
)

GroupOffsets = dict[str, dict[int, OffsetAndMetadata]]


@define(slots=True)
class DurableState:
    """groups: by id. offsets: group id -> topic -> partition -> committed offset; no empty inner dicts.

    pending: offsets of open transactions.
    """

    groups: dict[str, StoredGroup] = Factory(dict)
    offsets: dict[str, GroupOffsets] = Factory(dict)
    pending: PendingOffsets = Factory(PendingOffsets)

    def replay(self, record: CoordinatorRecord) -> None:
        """Apply one record. The only place that changes this state, live and when loading."""
        if type(record) is OffsetRecord:
            value = record.value
            if value is None:
                self._remove_offset(record)
            else:
                self._put_offset(record.group_id, record.topic, record.partition, value)
                if self.pending:
                    self.pending.overtake(record.group_id, record.topic, record.partition)
        elif type(record) is GroupRecord:
            if record.value is None:
                self.groups.pop(record.group_id, None)
            else:
                self.groups[record.group_id] = record.value
        elif isinstance(record, TransactionalOffsetRecord):
            if record.group_id not in self.groups:
                self.groups[record.group_id] = StoredGroup()
            self.pending.put(record.producer_id, record.group_id, record.topic, record.partition, record.value)
        else:
            assert isinstance(record, TransactionEnd)
            for group_id, topic, partition, value in self.pending.end(record.producer_id, committed=record.committed):
                self._put_offset(group_id, topic, partition, value)

    def restore_pending(self, producer_id: int, record: OffsetRecord, place: int, *, overtaken: bool) -> None:
        """An offset that waits for its transaction's marker, as it is when all records were replayed."""
        assert record.value is not None
        self.pending.recorded = place - 1
        self.pending.put(producer_id, record.group_id, record.topic, record.partition, record.value)
        if overtaken:
            self.pending.overtake_one(producer_id, record.group_id, record.topic, record.partition)

    def _put_offset(self, group_id: str, topic: str, partition: int, value: OffsetAndMetadata) -> None:
        topics = self.offsets.get(group_id)
        if topics is None:
            topics = self.offsets[group_id] = {}
        if group_id not in self.groups:
            # Offsets of a group never stored: a "simple" group, which only commits. (OffsetMetadataManager.replay)
            self.groups[group_id] = StoredGroup()
        partitions = topics.get(topic)
        if partitions is None:
            partitions = topics[topic] = {}
        partitions[partition] = value

    def _remove_offset(self, record: OffsetRecord) -> None:
        if self.pending:
            self.pending.forget(record.group_id, record.topic, record.partition)
        topics = self.offsets.get(record.group_id)
        partitions = topics.get(record.topic) if topics is not None else None
        if topics is None or partitions is None:
            return
        partitions.pop(record.partition, None)
        if not partitions:
            del topics[record.topic]
            if not topics:
                del self.offsets[record.group_id]

    def offset(self, group_id: str, topic: str, partition: int) -> OffsetAndMetadata | None:
        topics = self.offsets.get(group_id)
        partitions = topics.get(topic) if topics is not None else None
        return partitions.get(partition) if partitions is not None else None
