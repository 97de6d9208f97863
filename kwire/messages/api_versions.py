"""ApiVersions (API 18). Versions 0-4, flexible from 3.

Request v3 adds client_software_name, client_software_version.
Response v1 adds throttle_time_ms.
Response v3 adds name, min_version, max_version, max_version_level, min_version_level, supported_features,
   finalized_features_epoch, finalized_features, zk_migration_ready.
"""

from kwire.api_keys import ApiKey
from kwire.schema import Struct, array, boolean, int16, int32, int64, message, string


@message(ApiKey.API_VERSIONS, versions="0-4", flexible="3+")
class ApiVersionsRequest(Struct):
    client_software_name: str = string("3+", ignorable=True)
    client_software_version: str = string("3+", ignorable=True)


class ApiVersion(Struct):
    api_key: int = int16()
    min_version: int = int16()
    max_version: int = int16()


class SupportedFeatureKey(Struct):
    name: str = string("3+")
    min_version: int = int16("3+")
    max_version: int = int16("3+")


class FinalizedFeatureKey(Struct):
    name: str = string("3+")
    max_version_level: int = int16("3+")
    min_version_level: int = int16("3+")


@message(ApiKey.API_VERSIONS, versions="0-4", flexible="3+")
class ApiVersionsResponse(Struct):
    error_code: int = int16()
    api_keys: list[ApiVersion] = array(ApiVersion)
    throttle_time_ms: int = int32("1+", ignorable=True)
    supported_features: list[SupportedFeatureKey] = array(SupportedFeatureKey, "3+", ignorable=True, tag=0)
    finalized_features_epoch: int = int64("3+", default=-1, ignorable=True, tag=1)
    finalized_features: list[FinalizedFeatureKey] = array(FinalizedFeatureKey, "3+", ignorable=True, tag=2)
    zk_migration_ready: bool = boolean("3+", ignorable=True, tag=3)
