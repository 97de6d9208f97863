"""Changing configs of topics, brokers, groups and client metrics. (`ConfigurationControlManager`, KIP-339)"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import IntEnum
from typing import TypeAlias

from broker.controller.decisions.decision import MAX_RECORDS_PER_OPERATION, Decision, too_many_records
from broker.controller.image import ClusterImage
from broker.controller.ports import RESOURCE_BROKER, RESOURCE_TOPIC, ConfigResource, ConfigRules
from broker.controller.records import ClearElrRecord, ConfigRecord, Record
from kwire.error_codes import ErrorCode
from kwire.errors import ApiError

MIN_ISR = "min.insync.replicas"
MAX_VALUE_BYTES = 32767


class AlterOp(IntEnum):
    """What an incremental change does to one key."""

    SET = 0
    DELETE = 1
    APPEND = 2
    SUBTRACT = 3


ConfigOps: TypeAlias = Sequence[tuple[str, AlterOp, str | None]]
"""(key, operation, value); the value of a DELETE is not looked at."""

Results: TypeAlias = dict[ConfigResource, ApiError | None]


def incremental_alter_configs(
    image: ClusterImage, changes: Mapping[ConfigResource, ConfigOps], rules: ConfigRules
) -> Decision[Results]:
    """Each resource as a whole or not at all. Keys of one resource must differ from each other."""
    decision: Decision[Results] = Decision({})
    for resource, ops in changes.items():
        current = image.configs(*resource)
        try:
            wanted = {key: _apply(resource, key, op, value, current, rules) for key, op, value in ops}
            records = _records(image, resource, wanted, current, rules)
        except ApiError as error:
            decision.answer[resource] = error
        else:
            decision.answer[resource] = None
            decision.records += records
    return _finished(image, decision)


def alter_configs(
    image: ClusterImage, configs: Mapping[ConfigResource, Mapping[str, str]], rules: ConfigRules
) -> Decision[Results]:
    """Each resource gets exactly these configs; what it had besides is unset. (AlterConfigs, the older way)"""
    decision: Decision[Results] = Decision({})
    for resource, new in configs.items():
        current = image.configs(*resource)
        wanted: dict[str, str | None] = dict(new)
        wanted.update((key, None) for key in current if key not in new)
        try:
            records = _records(image, resource, wanted, current, rules)
        except ApiError as error:
            decision.answer[resource] = error
        else:
            decision.answer[resource] = None
            decision.records += records
    return _finished(image, decision)


def _finished(image: ClusterImage, decision: Decision[Results]) -> Decision[Results]:
    decision.records += clear_elr_records(image, decision.records)
    if len(decision.records) > MAX_RECORDS_PER_OPERATION:
        raise too_many_records()
    return decision


def clear_elr_records(image: ClusterImage, records: Sequence[Record]) -> list[Record]:
    """With another min.insync.replicas, other replicas would have become eligible leaders: begin anew. (KIP-966)"""
    if not image.elr_enabled:
        return []
    return [
        ClearElrRecord(topic_name=record.resource_name if record.resource_type == RESOURCE_TOPIC else "")
        for record in records
        if isinstance(record, ConfigRecord) and record.name == MIN_ISR
    ]


def _apply(
    resource: ConfigResource,
    key: str,
    op: AlterOp,
    value: str | None,
    current: Mapping[str, str],
    rules: ConfigRules,
) -> str | None:
    """The key's new value, None: unset."""
    if op is AlterOp.DELETE:
        return None
    if op is AlterOp.SET:
        return value
    if not rules.is_list(resource, key):
        raise ApiError(ErrorCode.INVALID_CONFIG, f"Can't {op.name} to key {key} because its type is not LIST.")
    before = current.get(key)
    if before is None:
        before = rules.default_value(resource, key) or ""
    items = [item.strip() for item in before.split(",")] if before else []
    given = [item.strip() for item in (value or "").split(",")]
    if op is AlterOp.APPEND:
        items += (item for item in dict.fromkeys(given) if item not in items)
    else:
        items = [item for item in items if item not in given]
    return ",".join(items)


def check_size(value: str) -> None:
    """ApiError for a value that no record can hold; APPEND makes ones larger than a request may have."""
    if len(value) * 3 > MAX_VALUE_BYTES and len(value.encode()) > MAX_VALUE_BYTES:
        raise ApiError(
            ErrorCode.INVALID_CONFIG,
            "The configuration value cannot be added because it exceeds the maximum value size of "
            f"{MAX_VALUE_BYTES} bytes.",
        )


def _records(
    image: ClusterImage,
    resource: ConfigResource,
    wanted: Mapping[str, str | None],
    current: Mapping[str, str],
    rules: ConfigRules,
) -> list[Record]:
    """Validate the whole, and keep the keys that change."""
    changed = {key: value for key, value in wanted.items() if value != current.get(key)}
    if resource.type == RESOURCE_BROKER and MIN_ISR in changed and image.elr_enabled:
        # With ELRs the default of all brokers decides which replicas are eligible, so it must be there, and alone.
        if resource.name:
            raise ApiError(ErrorCode.INVALID_CONFIG, f"Broker-level {MIN_ISR} cannot be altered while ELR is enabled.")
        if changed[MIN_ISR] is None:
            raise ApiError(ErrorCode.INVALID_CONFIG, f"Cluster-level {MIN_ISR} cannot be removed while ELR is enabled.")
    after = dict(current)
    for key, value in changed.items():
        if value is None:
            after.pop(key, None)
        else:
            check_size(value)
            after[key] = value
    rules.validate(resource, after, current)
    if resource.type == RESOURCE_TOPIC and image.topic_by_name(resource.name) is None:
        raise ApiError(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, f"The topic '{resource.name}' does not exist.")
    return [
        ConfigRecord(resource_type=resource.type, resource_name=resource.name, name=key, value=value)
        for key, value in changed.items()
    ]
