"""DescribeAcls (API 29). Versions 1-3, flexible from 2; 0 as in Kafka 3.9.

Request v1 adds pattern_type_filter.
Response v1 adds pattern_type.
"""

from kwire.api_keys import ApiKey
from kwire.schema import Struct, array, int8, int16, int32, message, string


@message(ApiKey.DESCRIBE_ACLS, versions="1-3", flexible="2+", removed="0")
class DescribeAclsRequest(Struct):
    resource_type_filter: int = int8()
    resource_name_filter: str | None = string(nullable="0+")
    pattern_type_filter: int = int8("1+", default=3)
    principal_filter: str | None = string(nullable="0+")
    host_filter: str | None = string(nullable="0+")
    operation: int = int8()
    permission_type: int = int8()


class AclDescription(Struct):
    principal: str = string()
    host: str = string()
    operation: int = int8()
    permission_type: int = int8()


class DescribeAclsResource(Struct):
    resource_type: int = int8()
    resource_name: str = string()
    pattern_type: int = int8("1+", default=3)
    acls: list[AclDescription] = array(AclDescription)


@message(ApiKey.DESCRIBE_ACLS, versions="1-3", flexible="2+", removed="0")
class DescribeAclsResponse(Struct):
    throttle_time_ms: int = int32()
    error_code: int = int16()
    error_message: str | None = string(nullable="0+")
    resources: list[DescribeAclsResource] = array(DescribeAclsResource)
