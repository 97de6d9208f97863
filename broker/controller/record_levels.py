"""Records as an older metadata.version has them: what it does not know is left out.

A directory of an older Kafka keeps its level until somebody raises it, and a node of that Kafka must be able to read
what is written meanwhile. (Kafka: MetadataVersion, ImageWriterOptions)
"""

from __future__ import annotations

from collections.abc import Iterable
from copy import copy
from typing import Final

from broker.controller.records import (
    AbortTransactionRecord,
    BeginTransactionRecord,
    BrokerRegistrationChangeRecord,
    EndTransactionRecord,
    PartitionChangeRecord,
    PartitionRecord,
    Record,
    RegisterBrokerRecord,
    RegisterControllerRecord,
)

LATEST_LEVEL: Final = 30
_METADATA_TRANSACTIONS: Final = 13  # 3.6-IV1
_CONTROLLER_REGISTRATION: Final = 15  # 3.7-IV0
_DIRECTORY_ASSIGNMENT: Final = 17  # 3.7-IV2
_ELIGIBLE_LEADER_REPLICAS: Final = 23  # 4.0-IV1
_CORDONED_DIRECTORIES: Final = 30  # 4.3-IV0


def at_level(records: Iterable[Record], level: int) -> list[Record]:
    """What may be written at this metadata.version; the records given stay as they are."""
    if level >= LATEST_LEVEL:
        return list(records)
    return [lowered for record in records if (lowered := _lowered(record, level)) is not None]


def _lowered(record: Record, level: int) -> Record | None:
    if isinstance(record, BeginTransactionRecord | EndTransactionRecord | AbortTransactionRecord):
        return record if level >= _METADATA_TRANSACTIONS else None
    if isinstance(record, RegisterControllerRecord):
        return record if level >= _CONTROLLER_REGISTRATION else None
    if isinstance(record, PartitionRecord | PartitionChangeRecord):
        return _partition(record, level)
    if isinstance(record, RegisterBrokerRecord):
        record = copy(record)
        record.cordoned_log_dirs = None
        if level < _DIRECTORY_ASSIGNMENT:
            record.log_dirs = []
    elif isinstance(record, BrokerRegistrationChangeRecord):
        record = copy(record)
        record.cordoned_log_dirs = None
        if level < _DIRECTORY_ASSIGNMENT:
            record.log_dirs = []
        if not (record.fenced or record.in_controlled_shutdown or record.log_dirs):
            return None
    return record


def _partition(record: PartitionRecord | PartitionChangeRecord, level: int) -> Record | None:
    if level >= _ELIGIBLE_LEADER_REPLICAS:
        return record
    record = copy(record)
    record.eligible_leader_replicas = None
    record.last_known_elr = None
    if level >= _DIRECTORY_ASSIGNMENT:
        return record
    if isinstance(record, PartitionRecord):
        record.directories = []
        return record
    record.directories = None
    told = (record.isr, record.replicas, record.removing_replicas, record.adding_replicas)
    changes = any(each is not None for each in told) or record.leader != -2 or record.leader_recovery_state != -1
    return record if changes else None
