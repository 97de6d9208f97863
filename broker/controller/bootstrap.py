"""How a metadata log begins. (`ActivationRecordsGenerator`, KIP-778)"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from broker.controller.decisions.features import METADATA_VERSION
from broker.controller.ports import RESOURCE_BROKER
from broker.controller.record_levels import LATEST_LEVEL, at_level
from broker.controller.records import (
    BeginTransactionRecord,
    ConfigRecord,
    ControllerEndpoint,
    ControllerFeature,
    EndTransactionRecord,
    FeatureLevelRecord,
    Record,
    RegisterControllerRecord,
)
from broker.controller.settings import ControllerSettings

ELR_VERSION: Final = "eligible.leader.replicas.version"


def feature_records(settings: ControllerSettings) -> list[Record]:
    """The finalized levels of a fresh cluster, metadata.version first, the others by name. Level 0 needs no record."""
    levels = dict(settings.bootstrap_features)
    first = levels.pop(METADATA_VERSION)
    ordered = [(METADATA_VERSION, first), *sorted(levels.items())]
    return [FeatureLevelRecord(name=name, feature_level=level) for name, level in ordered if level]


def bootstrap_records(settings: ControllerSettings, first_records: Sequence[Record] = ()) -> list[Record]:
    """The first batch of data in a fresh log: `first_records`, else the settings' features."""
    given = list(first_records) or feature_records(settings)
    records: list[Record] = [BeginTransactionRecord(name="Bootstrap records"), *given]
    levels = {record.name: record.feature_level for record in given if isinstance(record, FeatureLevelRecord)}
    if levels.get(ELR_VERSION, 0) >= 1:
        # With ELRs the cluster's min.insync.replicas is part of the metadata, so that every node knows the same.
        records.append(
            ConfigRecord(
                resource_type=RESOURCE_BROKER,
                resource_name="",
                name="min.insync.replicas",
                value=str(settings.min_insync_replicas),
            )
        )
    records.append(EndTransactionRecord())
    return at_level(records, levels.get(METADATA_VERSION, LATEST_LEVEL))


def register_controller(settings: ControllerSettings, incarnation_id: bytes) -> RegisterControllerRecord:
    """Written at each start."""
    return RegisterControllerRecord(
        controller_id=settings.node_id,
        incarnation_id=incarnation_id,
        end_points=[
            ControllerEndpoint(name=e.name, host=e.host, port=e.port, security_protocol=e.security_protocol)
            for e in settings.controller_endpoints
        ],
        features=[
            ControllerFeature(name=name, min_supported_version=low, max_supported_version=high)
            for name, (low, high) in sorted(settings.supported_features.items())
        ],
    )
