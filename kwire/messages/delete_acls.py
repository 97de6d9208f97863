"""DeleteAcls (API 31). Versions 1-3, flexible from 2; 0 as in Kafka 3.9.

Request v1 adds pattern_type_filter.
Response v1 adds pattern_type.
"""

from kwire.api_keys import ApiKey
from kwire.schema import Struct, array, int8, int16, int32, message, string


class DeleteAclsFilter(Struct):
    resource_type_filter: int = int8()
    resource_name_filter: str | None = string(nullable="0+")
    pattern_type_filter: int = int8("1+", default=3)
    principal_filter: str | None = string(nullable="0+")
    host_filter: str | None = string(nullable="0+")
    operation: int = int8()
    permission_type: int = int8()


@message(ApiKey.DELETE_ACLS, versions="1-3", flexible="2+", removed="0")
class DeleteAclsRequest(Struct):
    filters: list[DeleteAclsFilter] = array(DeleteAclsFilter)


class DeleteAclsMatchingAcl(Struct):
    error_code: int = int16()
    error_message: str | None = string(nullable="0+")
    resource_type: int = int8()
    resource_name: str = string()
    pattern_type: int = int8("1+", default=3)
    principal: str = string()
    host: str = string()
    operation: int = int8()
    permission_type: int = int8()


class DeleteAclsFilterResult(Struct):
    error_code: int = int16()
    error_message: str | None = string(nullable="0+")
    matching_acls: list[DeleteAclsMatchingAcl] = array(DeleteAclsMatchingAcl)


@message(ApiKey.DELETE_ACLS, versions="1-3", flexible="2+", removed="0")
class DeleteAclsResponse(Struct):
    throttle_time_ms: int = int32()
    filter_results: list[DeleteAclsFilterResult] = array(DeleteAclsFilterResult)
