"""The records of `__cluster_metadata`, and the version Kafka 4.3 writes each in."""

from __future__ import annotations

from types import MappingProxyType
from typing import Final, TypeAlias

from kwire.internal.metadata_records import (
    AbortTransactionRecord,
    AccessControlEntryRecord,
    BeginTransactionRecord,
    BrokerEndpoint,
    BrokerFeature,
    BrokerRegistrationChangeRecord,
    ClearElrRecord,
    ClientQuotaRecord,
    ConfigRecord,
    ControllerEndpoint,
    ControllerFeature,
    DelegationTokenRecord,
    EndTransactionRecord,
    FeatureLevelRecord,
    FenceBrokerRecord,
    NoOpRecord,
    PartitionChangeRecord,
    PartitionRecord,
    ProducerIdsRecord,
    RegisterBrokerRecord,
    RegisterControllerRecord,
    RemoveAccessControlEntryRecord,
    RemoveDelegationTokenRecord,
    RemoveTopicRecord,
    RemoveUserScramCredentialRecord,
    TopicRecord,
    UnfenceBrokerRecord,
    UnregisterBrokerRecord,
    UserScramCredentialRecord,
    ZkMigrationStateRecord,
)
from kwire.schema import Struct

__all__ = [
    "AbortTransactionRecord",
    "AccessControlEntryRecord",
    "BeginTransactionRecord",
    "BrokerEndpoint",
    "BrokerFeature",
    "BrokerRegistrationChangeRecord",
    "ClearElrRecord",
    "ClientQuotaRecord",
    "ConfigRecord",
    "ControllerEndpoint",
    "ControllerFeature",
    "DelegationTokenRecord",
    "EndTransactionRecord",
    "FeatureLevelRecord",
    "FenceBrokerRecord",
    "NoOpRecord",
    "PartitionChangeRecord",
    "PartitionRecord",
    "ProducerIdsRecord",
    "Record",
    "RegisterBrokerRecord",
    "RegisterControllerRecord",
    "RemoveAccessControlEntryRecord",
    "RemoveDelegationTokenRecord",
    "RemoveTopicRecord",
    "RemoveUserScramCredentialRecord",
    "TopicRecord",
    "UnfenceBrokerRecord",
    "UnregisterBrokerRecord",
    "UserScramCredentialRecord",
    "ZkMigrationStateRecord",
    "version_of",
]

Record: TypeAlias = Struct

# The versions of metadata.version 30 (4.3-IV0), each with the level from which on it is written (`MetadataVersion`);
# below the first, and of what is not named here, it is version 0.
_VERSIONS: Final = MappingProxyType(
    {
        PartitionRecord: ((23, 2), (17, 1)),
        PartitionChangeRecord: ((23, 2), (17, 1)),
        RegisterBrokerRecord: ((30, 4), (17, 3), (8, 2), (0, 1)),
    }
)


def version_of(record: Record, level: int = 30) -> int:
    """The version to write `record` in at that metadata.version.

    A change of a broker's registration is written in the lowest version that can say it, as Kafka does.
    """
    if type(record) is BrokerRegistrationChangeRecord:
        if record.cordoned_log_dirs is not None:
            return 3
        if record.log_dirs:
            return 2
        return 1 if record.in_controlled_shutdown else 0
    for first_level, version in _VERSIONS.get(type(record), ()):
        if level >= first_level:
            return version
    return 0
