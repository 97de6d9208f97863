"""All of one shard's state: the durable part, and the live groups."""

from __future__ import annotations

from collections.abc import Callable

from broker.group.classic_group import ClassicGroup
from broker.group.config import GroupConfig
from broker.group.decision import Decision
from broker.group.durable import DurableState
from broker.group.records import CoordinatorRecord, OffsetRecord, TransactionEnd
from broker.group.survivors import Survivors


class ShardState:
    """durable: changed by `replay` only. groups: soft state by group id, once loaded.

    new_id: gives the random part of a member id (a uuid's text) for a group and a client. survivors: while the log is
    being read.
    """

    __slots__ = ("config", "durable", "groups", "loaded", "new_id", "survivors")

    def __init__(self, config: GroupConfig, new_id: Callable[[str, str], str]) -> None:
        self.config = config
        self.new_id = new_id
        self.durable = DurableState()
        self.survivors: Survivors | None = Survivors()
        self.groups: dict[str, ClassicGroup] = {}
        self.loaded = False

    def replay(self, record: CoordinatorRecord, now_ms: int) -> None:
        """Apply one record, appended just now or read from the log.

        A live group follows its record where nothing else could tell it: it goes with its tombstone, and comes into
        being with its first offset.
        """
        if isinstance(record, TransactionEnd):
            groups = list(self.durable.pending.of_producer.get(record.producer_id, ()))
            self.durable.replay(record)
            if self.loaded:
                for group_id in groups:
                    # One that is gone although offsets were pending for it comes back with them.
                    if group_id in self.durable.groups and group_id not in self.groups:
                        self.groups[group_id] = ClassicGroup(group_id, now_ms)
            return
        self.durable.replay(record)
        if not self.loaded:
            return
        if record.group_id in self.groups:
            if record.value is None and type(record) is not OffsetRecord:
                self.groups.pop(record.group_id, None)
        elif record.value is not None:
            self.groups[record.group_id] = ClassicGroup(record.group_id, now_ms)

    def finish_loading(self) -> None:
        """Build the live groups from what was replayed."""
        self.groups = {
            group_id: ClassicGroup.from_stored(group_id, stored) for group_id, stored in self.durable.groups.items()
        }
        self.survivors = None
        self.loaded = True

    def get_or_create(self, group_id: str, decision: Decision) -> ClassicGroup:
        group = self.groups.get(group_id)
        if group is None:
            group = self.groups[group_id] = ClassicGroup(group_id, decision.now_ms)
        return group
