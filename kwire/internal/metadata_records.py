"""Records of the metadata log, `__cluster_metadata`."""

from kwire.schema import (
    Struct,
    array,
    binary,
    boolean,
    float64,
    int8,
    int16,
    int32,
    int64,
    record,
    string,
    uint16,
    uuid,
)


class BrokerEndpoint(Struct):
    name: str = string()
    host: str = string()
    port: int = uint16()
    security_protocol: int = int16()


class BrokerFeature(Struct):
    name: str = string()
    min_supported_version: int = int16()
    max_supported_version: int = int16()


@record("metadata", 0, versions="0-4", flexible="0+")
class RegisterBrokerRecord(Struct):
    broker_id: int = int32()
    is_migrating_zk_broker: bool = boolean("2+")
    incarnation_id: bytes = uuid()
    broker_epoch: int = int64()
    end_points: list[BrokerEndpoint] = array(BrokerEndpoint)
    features: list[BrokerFeature] = array(BrokerFeature)
    rack: str | None = string(nullable="0+")
    fenced: bool = boolean(default=True)
    in_controlled_shutdown: bool = boolean("1+")
    log_dirs: list[bytes] = array(uuid, "3+", tag=0)
    cordoned_log_dirs: list[bytes] | None = array(uuid, "4+", nullable="4+", default=None, tag=1)


@record("metadata", 1, versions="0", flexible="0+")
class UnregisterBrokerRecord(Struct):
    broker_id: int = int32()
    broker_epoch: int = int64()


@record("metadata", 2, versions="0", flexible="0+")
class TopicRecord(Struct):
    name: str = string()
    topic_id: bytes = uuid()


@record("metadata", 3, versions="0-2", flexible="0+")
class PartitionRecord(Struct):
    partition_id: int = int32(default=-1)
    topic_id: bytes = uuid()
    replicas: list[int] = array(int32)
    isr: list[int] = array(int32)
    removing_replicas: list[int] = array(int32)
    adding_replicas: list[int] = array(int32)
    leader: int = int32(default=-1)
    leader_recovery_state: int = int8(tag=0)
    leader_epoch: int = int32(default=-1)
    partition_epoch: int = int32(default=-1)
    directories: list[bytes] = array(uuid, "1+")
    eligible_leader_replicas: list[int] | None = array(int32, "2+", nullable="2+", default=None, tag=1)
    last_known_elr: list[int] | None = array(int32, "2+", nullable="2+", default=None, tag=2)


@record("metadata", 4, versions="0", flexible="0+")
class ConfigRecord(Struct):
    resource_type: int = int8()
    resource_name: str = string()
    name: str = string()
    value: str | None = string(nullable="0+")


@record("metadata", 5, versions="0-2", flexible="0+")
class PartitionChangeRecord(Struct):
    partition_id: int = int32(default=-1)
    topic_id: bytes = uuid()
    isr: list[int] | None = array(int32, nullable="0+", default=None, tag=0)
    leader: int = int32(default=-2, tag=1)
    replicas: list[int] | None = array(int32, nullable="0+", default=None, tag=2)
    removing_replicas: list[int] | None = array(int32, nullable="0+", default=None, tag=3)
    adding_replicas: list[int] | None = array(int32, nullable="0+", default=None, tag=4)
    leader_recovery_state: int = int8(default=-1, tag=5)
    directories: list[bytes] | None = array(uuid, "1+", nullable="1+", default=None, tag=8)
    eligible_leader_replicas: list[int] | None = array(int32, "2+", nullable="2+", default=None, tag=6)
    last_known_elr: list[int] | None = array(int32, "2+", nullable="2+", default=None, tag=7)


@record("metadata", 7, versions="0", flexible="0+")
class FenceBrokerRecord(Struct):
    id: int = int32()
    epoch: int = int64()


@record("metadata", 8, versions="0", flexible="0+")
class UnfenceBrokerRecord(Struct):
    id: int = int32()
    epoch: int = int64()


@record("metadata", 9, versions="0", flexible="0+")
class RemoveTopicRecord(Struct):
    topic_id: bytes = uuid()


@record("metadata", 10, versions="0", flexible="0+")
class DelegationTokenRecord(Struct):
    owner: str = string()
    requester: str = string()
    renewers: list[str] = array(string)
    issue_timestamp: int = int64()
    max_timestamp: int = int64()
    expiration_timestamp: int = int64()
    token_id: str = string()


@record("metadata", 11, versions="0", flexible="0+")
class UserScramCredentialRecord(Struct):
    name: str = string()
    mechanism: int = int8()
    salt: bytes = binary()
    stored_key: bytes = binary()
    server_key: bytes = binary()
    iterations: int = int32()


@record("metadata", 12, versions="0", flexible="0+")
class FeatureLevelRecord(Struct):
    name: str = string()
    feature_level: int = int16()


class EntityData(Struct):
    entity_type: str = string()
    entity_name: str | None = string(nullable="0+")


@record("metadata", 14, versions="0", flexible="0+")
class ClientQuotaRecord(Struct):
    entity: list[EntityData] = array(EntityData)
    key: str = string()
    value: float = float64()
    remove: bool = boolean()


@record("metadata", 15, versions="0", flexible="0+")
class ProducerIdsRecord(Struct):
    broker_id: int = int32()
    broker_epoch: int = int64(default=-1)
    next_producer_id: int = int64()


@record("metadata", 17, versions="0-3", flexible="0+")
class BrokerRegistrationChangeRecord(Struct):
    broker_id: int = int32()
    broker_epoch: int = int64()
    fenced: int = int8(tag=0)
    in_controlled_shutdown: int = int8("1+", tag=1)
    log_dirs: list[bytes] = array(uuid, "2+", tag=2)
    cordoned_log_dirs: list[bytes] | None = array(uuid, "3+", nullable="3+", default=None, tag=3)


@record("metadata", 18, versions="0", flexible="0+")
class AccessControlEntryRecord(Struct):
    id: bytes = uuid()
    resource_type: int = int8()
    resource_name: str = string()
    pattern_type: int = int8()
    principal: str = string()
    host: str = string()
    operation: int = int8()
    permission_type: int = int8()


@record("metadata", 19, versions="0", flexible="0+")
class RemoveAccessControlEntryRecord(Struct):
    id: bytes = uuid()


@record("metadata", 20, versions="0", flexible="0+")
class NoOpRecord(Struct):
    pass


@record("metadata", 21, versions="0", flexible="0+")
class ZkMigrationStateRecord(Struct):
    zk_migration_state: int = int8()


@record("metadata", 22, versions="0", flexible="0+")
class RemoveUserScramCredentialRecord(Struct):
    name: str = string()
    mechanism: int = int8()


@record("metadata", 23, versions="0", flexible="0+")
class BeginTransactionRecord(Struct):
    name: str | None = string(nullable="0+", default=None, tag=0)


@record("metadata", 24, versions="0", flexible="0+")
class EndTransactionRecord(Struct):
    pass


@record("metadata", 25, versions="0", flexible="0+")
class AbortTransactionRecord(Struct):
    reason: str | None = string(nullable="0+", default=None, tag=0)


@record("metadata", 26, versions="0", flexible="0+")
class RemoveDelegationTokenRecord(Struct):
    token_id: str = string()


class ControllerEndpoint(Struct):
    name: str = string()
    host: str = string()
    port: int = uint16()
    security_protocol: int = int16()


class ControllerFeature(Struct):
    name: str = string()
    min_supported_version: int = int16()
    max_supported_version: int = int16()


@record("metadata", 27, versions="0", flexible="0+")
class RegisterControllerRecord(Struct):
    controller_id: int = int32()
    incarnation_id: bytes = uuid()
    zk_migration_ready: bool = boolean()
    end_points: list[ControllerEndpoint] = array(ControllerEndpoint)
    features: list[ControllerFeature] = array(ControllerFeature)


@record("metadata", 28, versions="0", flexible="0+")
class ClearElrRecord(Struct):
    topic_name: str = string()
