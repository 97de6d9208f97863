"""CreateAcls (API 30). Versions 1-3, flexible from 2; 0 as in Kafka 3.9.

Request v1 adds resource_pattern_type.
"""

from kwire.api_keys import ApiKey
from kwire.schema import Struct, array, int8, int16, int32, message, string


class AclCreation(Struct):
    resource_type: int = int8()
    resource_name: str = string()
    resource_pattern_type: int = int8("1+", default=3)
    principal: str = string()
    host: str = string()
    operation: int = int8()
    permission_type: int = int8()


@message(ApiKey.CREATE_ACLS, versions="1-3", flexible="2+", removed="0")
class CreateAclsRequest(Struct):
    creations: list[AclCreation] = array(AclCreation)


class AclCreationResult(Struct):
    error_code: int = int16()
    error_message: str | None = string(nullable="0+")


@message(ApiKey.CREATE_ACLS, versions="1-3", flexible="2+", removed="0")
class CreateAclsResponse(Struct):
    throttle_time_ms: int = int32()
    results: list[AclCreationResult] = array(AclCreationResult)
