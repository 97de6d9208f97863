"""Keys and values of control records: transaction markers, and those of the metadata log."""

from kwire.schema import Struct, array, int16, int32, int64, nested, record, string, uint16, uuid


@record("data", versions="0")
class ControlRecordTypeSchema(Struct):
    type: int = int16()


@record("data", versions="0")
class EndTxnMarker(Struct):
    coordinator_epoch: int = int32()


@record("data", versions="0", flexible="0+")
class KRaftVersionRecord(Struct):
    version: int = int16()
    kraft_version: int = int16()


class LeaderChangeMessageVoter(Struct):
    voter_id: int = int32()
    voter_directory_id: bytes = uuid("1+")


@record("data", versions="0-1", flexible="0+")
class LeaderChangeMessage(Struct):
    version: int = int16()
    leader_id: int = int32()
    voters: list[LeaderChangeMessageVoter] = array(LeaderChangeMessageVoter)
    granting_voters: list[LeaderChangeMessageVoter] = array(LeaderChangeMessageVoter)


@record("data", versions="0", flexible="0+")
class SnapshotFooterRecord(Struct):
    version: int = int16()


@record("data", versions="0", flexible="0+")
class SnapshotHeaderRecord(Struct):
    version: int = int16()
    last_contained_log_timestamp: int = int64()


class Endpoint(Struct):
    name: str = string()
    host: str = string()
    port: int = uint16()


class KRaftVersionFeature(Struct):
    min_supported_version: int = int16()
    max_supported_version: int = int16()


class VotersVoter(Struct):
    voter_id: int = int32()
    voter_directory_id: bytes = uuid()
    endpoints: list[Endpoint] = array(Endpoint)
    kraft_version_feature: KRaftVersionFeature = nested(KRaftVersionFeature)


@record("data", versions="0", flexible="0+")
class VotersRecord(Struct):
    version: int = int16()
    voters: list[VotersVoter] = array(VotersVoter)
