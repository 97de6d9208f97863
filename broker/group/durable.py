"""The durable state of one shard: what replaying its partition of `__consumer_offsets` gives, and nothing else."""

from __future__ import annotations

from attrs import Factory, define

from broker.group.records import CoordinatorRecord, OffsetAndMetadata, OffsetRecord, StoredGroup

GroupOffsets = dict[str, dict[int, OffsetAndMetadata]]


@define(slots=True)
class DurableState:
    """groups: by id. offsets: group id -> topic -> partition -> committed offset; no empty inner dicts."""

    groups: dict[str, StoredGroup] = Factory(dict)
    offsets: dict[str, GroupOffsets] = Factory(dict)

    def replay(self, record: CoordinatorRecord) -> None:
        """Apply one record. The only place that changes this state, live and when loading."""
        if type(record) is OffsetRecord:
            if record.value is not None:
                self._put_offset(record, record.value)
            else:
                self._remove_offset(record)
        elif record.value is None:
            self.groups.pop(record.group_id, None)
        else:
            assert isinstance(record.value, StoredGroup)
            self.groups[record.group_id] = record.value

    def _put_offset(self, record: OffsetRecord, value: OffsetAndMetadata) -> None:
        topics = self.offsets.get(record.group_id)
        if topics is None:
            topics = self.offsets[record.group_id] = {}
        if record.group_id not in self.groups:
            # Offsets of a group never stored: a "simple" group, which only commits. (OffsetMetadataManager.replay)
            self.groups[record.group_id] = StoredGroup()
        partitions = topics.get(record.topic)
        if partitions is None:
            partitions = topics[record.topic] = {}
        partitions[record.partition] = value

    def _remove_offset(self, record: OffsetRecord) -> None:
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
